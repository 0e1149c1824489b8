//! What a policy can say: its tables, each value checked when it is read.

use std::path::{Component, PathBuf};

use serde::Deserialize;
use stockade_capabilities::CapSet;
use stockade_spec::NamespaceType;

use crate::limits::parse_size;
use crate::resources::{Cpus, LEAST_MEMORY};

/// What a container gets where the command line says nothing.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Defaults {
    /// As `--memory`.
    pub(super) memory: Option<String>,
    /// As `--pids-limit`.
    pub(super) pids_limit: Option<i64>,
    /// As `--cpus`.
    pub(super) cpus: Option<String>,
    /// As `--read-only`.
    pub(super) read_only: bool,
    /// As `--security-opt no-new-privileges`.
    pub(super) no_new_privileges: bool,
    /// As `--cap-drop`.
    pub(super) cap_drop: Vec<String>,
    /// `builtin`, or the name of a profile in `/etc/stockade/seccomp`.
    pub(super) seccomp: Option<String>,
}

impl Defaults {
    pub(super) fn check(&self) -> Result<(), String> {
        size("defaults.memory", self.memory.as_deref())?;
        processors("defaults.cpus", self.cpus.as_deref())?;
        positive("defaults.pids-limit", self.pids_limit)?;
        capabilities("defaults.cap-drop", &self.cap_drop)?;
        self.seccomp.iter().try_for_each(|name| profile("defaults.seccomp", name))
    }
}

/// The runtime that comes with the engine.
pub const OWN_RUNTIME: &str = "stake";

/// What every container must have.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Required {
    /// A limit of memory, at most this.
    pub(super) memory: Option<String>,
    /// A limit of processes, at most this.
    pub(super) pids_limit: Option<i64>,
    /// A limit of processor time, at most this.
    pub(super) cpus: Option<String>,
    /// A root file system that cannot be written.
    pub(super) read_only: bool,
    /// `no_new_privs`.
    pub(super) no_new_privileges: bool,
    /// Users of its own.
    pub(super) user_namespace: bool,
    /// Another user than root of the container.
    pub(super) non_root: bool,
    /// One of these filters: `builtin`, or names of profiles in `/etc/stockade/seccomp`.
    pub(super) seccomp: Vec<String>,
    /// One of these AppArmor profiles, by their names in the kernel.
    pub(super) apparmor: Vec<String>,
    /// One of these OCI runtimes: `stake`, or absolute paths.
    pub(super) runtimes: Vec<PathBuf>,
    /// An image of one of these names (`*` stands for any text) or digests.
    pub(super) images: Vec<String>,
    /// An image that is named by its digest.
    pub(super) image_by_digest: bool,
    /// Nothing that an audit right after the start finds weaker than it was asked for. It is about no plan, and has no exceptions.
    pub(super) proof: bool,
}

impl Required {
    pub(super) fn check(&self) -> Result<(), String> {
        size("required.memory", self.memory.as_deref())?;
        processors("required.cpus", self.cpus.as_deref())?;
        positive("required.pids-limit", self.pids_limit)?;
        patterns("required.images", &self.images)?;
        patterns("required.apparmor", &self.apparmor)?;
        if let Some(path) = self.runtimes.iter().find(|path| !path.is_absolute() && path.as_os_str() != OWN_RUNTIME) {
            return Err(format!(
                "required.runtimes: {:?} is neither {OWN_RUNTIME} nor an absolute path",
                path.display()
            ));
        }
        self.seccomp.iter().try_for_each(|name| profile("required.seccomp", name))
    }
}

/// What no container may have.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Forbidden {
    /// What `--privileged` is made of: every device, nothing hidden of the kernel's files, and for `exec` more than the container has.
    pub(super) privileged: bool,
    /// Capabilities in any of the five sets.
    pub(super) capabilities: Vec<String>,
    /// Namespaces that are the host's, whichever way.
    pub(super) host_namespaces: Vec<NamespaceType>,
    /// Namespaces that are another container's.
    pub(super) joined_namespaces: Vec<NamespaceType>,
    /// Folders and files of the host, with all above that contain them and all below.
    pub(super) mounts: Vec<PathBuf>,
    /// The same where the container could write.
    pub(super) writable_mounts: Vec<PathBuf>,
    /// Devices beyond those that every container has.
    pub(super) devices: bool,
    /// Images of these names (`*` stands for any text) or digests.
    pub(super) images: Vec<String>,
}

impl Forbidden {
    /// The capabilities.
    pub(super) fn capability_set(&self) -> CapSet {
        CapSet::parse(self.capabilities.iter().map(String::as_str), CapSet::from_bits(u64::MAX))
            .unwrap_or(CapSet::from_bits(u64::MAX))
    }

    pub(super) fn check(&self) -> Result<(), String> {
        capabilities("forbidden.capabilities", &self.capabilities)?;
        patterns("forbidden.images", &self.images)?;
        for path in self.mounts.iter().chain(&self.writable_mounts) {
            let climbs = path.components().any(|part| part == Component::ParentDir);
            if !path.is_absolute() || climbs {
                return Err(format!("forbidden mount {:?} is not an absolute path without '..'", path.display()));
            }
        }
        Ok(())
    }
}

/// The rules that an exception can be of.
const RULES: &[&str] = &[
    "required.memory",
    "required.pids-limit",
    "required.cpus",
    "required.read-only",
    "required.no-new-privileges",
    "required.user-namespace",
    "required.non-root",
    "required.seccomp",
    "required.apparmor",
    "required.runtimes",
    "required.images",
    "required.image-by-digest",
    "forbidden.privileged",
    "forbidden.capabilities",
    "forbidden.host-namespaces",
    "forbidden.joined-namespaces",
    "forbidden.mounts",
    "forbidden.writable-mounts",
    "forbidden.devices",
    "forbidden.images",
];

/// Rules that are about single things: an exception names them.
const OF_THINGS: &[&str] = &[
    "forbidden.capabilities",
    "forbidden.host-namespaces",
    "forbidden.joined-namespaces",
    "forbidden.mounts",
    "forbidden.writable-mounts",
];

/// Who need not keep a rule, and until when.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Exception {
    /// Which rule, such as `forbidden.capabilities`.
    pub(super) rule: String,
    /// What of it, such as `CAP_NET_ADMIN`; of rules that are about single things these must be named.
    #[serde(default)]
    pub(super) values: Vec<String>,
    /// For which images, by name or digest.
    pub(super) images: Vec<String>,
    /// Who answers for it.
    pub(super) owner: String,
    /// Why.
    pub(super) reason: String,
    /// The last day on which it counts, in UTC.
    until: toml::value::Datetime,
}

impl Exception {
    /// The last day, `YYYY-MM-DD`.
    pub(super) fn last_day(&self) -> String {
        self.until.to_string()
    }

    pub(super) fn check(&self) -> Result<(), String> {
        if !RULES.contains(&self.rule.as_str()) {
            return Err(format!("there is no rule {:?}; rules are {}", self.rule, RULES.join(", ")));
        }
        if OF_THINGS.contains(&self.rule.as_str()) == self.values.is_empty() {
            let word = if self.values.is_empty() { "needs" } else { "has no" };
            return Err(format!("the rule {} {word} 'values'", self.rule));
        }
        if self.until.date.is_none() || self.until.time.is_some() || self.until.offset.is_some() {
            return Err(format!("'until' must be a date such as 2027-01-31, and is {}", self.until));
        }
        if self.owner.trim().is_empty() || self.reason.trim().is_empty() {
            return Err("it must have an owner and a reason".to_owned());
        }
        if self.images.is_empty() {
            return Err("it must name images; '*' is all".to_owned());
        }
        patterns("images", &self.images)
    }
}

/// A size of memory that was checked.
pub(super) fn bytes(text: Option<&str>) -> Option<u64> {
    text.and_then(|text| parse_size("--memory", text).ok())
}

/// A number of processors that was checked.
pub(super) fn cpus(text: Option<&str>) -> Option<Cpus> {
    text.and_then(|text| text.parse().ok())
}

fn size(key: &str, text: Option<&str>) -> Result<(), String> {
    match text.map(|text| parse_size("--memory", text)) {
        None => Ok(()),
        Some(Ok(bytes)) if bytes >= LEAST_MEMORY => Ok(()),
        Some(_) => Err(format!("{key} must be a size of at least 6m such as \"512m\"")),
    }
}

fn processors(key: &str, text: Option<&str>) -> Result<(), String> {
    match text.map(str::parse::<Cpus>) {
        Some(Err(_)) => Err(format!("{key} must be a number of processors such as \"1.5\"")),
        Some(Ok(_)) | None => Ok(()),
    }
}

fn positive(key: &str, number: Option<i64>) -> Result<(), String> {
    if number.is_some_and(|number| number <= 0) { Err(format!("{key} must be above 0")) } else { Ok(()) }
}

fn capabilities(key: &str, names: &[String]) -> Result<(), String> {
    let parsed = CapSet::parse(names.iter().map(String::as_str), CapSet::EMPTY);
    parsed.map(drop).map_err(|error| format!("{key}: {error}"))
}

/// A name of a profile, which is a file's name and no path.
fn profile(key: &str, name: &str) -> Result<(), String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    if !name.is_empty() && name.bytes().all(plain) {
        Ok(())
    } else {
        Err(format!("{key}: {name:?} is neither builtin nor the name of a profile in {}", crate::seccomp::FOLDER))
    }
}

fn patterns(key: &str, all: &[String]) -> Result<(), String> {
    if all.iter().any(|one| one.trim().is_empty()) { Err(format!("{key} has an empty entry")) } else { Ok(()) }
}

/// Whether `pattern`, in which `*` stands for any text, is all of `text`.
pub(super) fn matches(pattern: &str, text: &str) -> bool {
    let Some((head, mut rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut left) = text.strip_prefix(head) else { return false };
    while let Some((part, more)) = rest.split_once('*') {
        let Some(place) = left.find(part) else { return false };
        left = &left[place + part.len()..];
        rest = more;
    }
    left.ends_with(rest)
}
