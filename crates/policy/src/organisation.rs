//! The policy of an organisation, `/etc/stockade/policy.toml`: what containers of this machine get by default, must have and must
//! not have, and who is excepted until when.
//!
//! It is judged on the plan, not on the request ([`Plan`]): whichever flag, alias or file led to a capability or a mount, it is in the
//! OCI configuration that the runtime is given, and found there. Nothing here reads the machine but [`Organisation::load`].
//!
//! Fails closed: an unknown key or value is an error, and so is a file that is there and cannot be read. No variable and no option
//! names another file.

mod judge;
mod rules;

use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::Deserialize;

pub use judge::{Bound, Plan, Violation};
pub use rules::{Defaults, Exception, Forbidden, OWN_RUNTIME, Required};
use rules::{bytes, cpus};

use crate::options::Options;
use crate::security::Seccomp;

/// Where the policy is.
pub const FILE: &str = "/etc/stockade/policy.toml";
/// The most bytes of it.
const LARGEST: u64 = 1 << 20;
/// The version of its form.
const VERSION: u32 = 1;
/// What stands for root where it is not mapped in the user namespace of an ordinary user's engine (`/proc/sys/kernel/overflowuid`).
const UNMAPPED: u32 = 65534;

/// The policy.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Organisation {
    version: u32,
    #[serde(default)]
    defaults: Defaults,
    #[serde(default)]
    required: Required,
    #[serde(default)]
    forbidden: Forbidden,
    #[serde(default, rename = "exception")]
    exceptions: Vec<Exception>,
}

/// A policy that is there and cannot be used: nothing is made or started as long as it is so.
#[derive(Debug, thiserror::Error)]
pub enum OrganisationError {
    /// It cannot be read.
    #[error("cannot read the policy {}: without it no container is made or started", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is a folder, a device, a pipe, or too large.
    #[error("the policy {} is not a regular file of at most {LARGEST} bytes", .0.display())]
    NotAFile(PathBuf),
    /// Somebody else than root could change it.
    #[error("the policy {} can be changed by others than root: chown root:root and chmod 644 it", .0.display())]
    Writable(PathBuf),
    /// It says something unknown.
    #[error("the policy {} cannot be used: {reason}", path.display())]
    Form {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        reason: String,
    },
}

impl Organisation {
    /// The machine's policy; `None` if there is no file [`FILE`].
    ///
    /// # Errors
    /// See [`OrganisationError`].
    pub fn load() -> Result<Option<Self>, OrganisationError> {
        Self::load_from(Path::new(FILE))
    }

    fn load_from(path: &Path) -> Result<Option<Self>, OrganisationError> {
        let failed = |source| OrganisationError::Read { path: path.to_owned(), source };
        let mut options = std::fs::OpenOptions::new();
        let flags = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOCTTY;
        let file = match options.read(true).custom_flags(flags.bits().cast_signed()).open(path) {
            Ok(file) => file,
            // The only absence that means that nobody has made a policy.
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::NOENT.raw_os_error()) => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let data = file.metadata().map_err(failed)?;
        if !data.is_file() || data.len() > LARGEST {
            return Err(OrganisationError::NotAFile(path.to_owned()));
        }
        if data.mode() & 0o022 != 0 || ![0, UNMAPPED].contains(&data.uid()) {
            return Err(OrganisationError::Writable(path.to_owned()));
        }
        let mut text = String::new();
        file.take(LARGEST).read_to_string(&mut text).map_err(failed)?;
        let form = |reason| OrganisationError::Form { path: path.to_owned(), reason };
        Self::parse(&text).map(Some).map_err(form)
    }

    /// The policy that `text` says.
    ///
    /// # Errors
    /// What is wrong, and where: an unknown key or value, an exception without an owner or an end.
    pub fn parse(text: &str) -> Result<Self, String> {
        let policy: Self = toml::from_str(text).map_err(|error| error.to_string())?;
        if policy.version != VERSION {
            return Err(format!("version {} is not known: this version of Stockade knows {VERSION}", policy.version));
        }
        policy.defaults.check()?;
        policy.required.check()?;
        policy.forbidden.check()?;
        for (number, exception) in policy.exceptions.iter().enumerate() {
            exception.check().map_err(|reason| format!("exception {}: {reason}", number + 1))?;
        }
        Ok(policy)
    }

    /// Fills in the walls that nobody asked otherwise about. What is a switch can be switched on only.
    pub fn fill(&self, options: &mut Options) {
        let defaults = &self.defaults;
        options.read_only |= defaults.read_only;
        options.security.no_new_privileges |= defaults.no_new_privileges;
        // Behind what is asked for, so that `--cap-add` of one of them counts.
        options.cap_drop.extend(defaults.cap_drop.iter().cloned());
        if options.security.seccomp.is_none() && !options.privileged {
            options.security.seccomp = defaults.seccomp.as_deref().map(named_filter);
        }
    }

    /// Fills in the limits that nobody asked for; for an engine that has control groups.
    pub fn fill_limits(&self, options: &mut Options) {
        let resources = &mut options.resources;
        if resources.memory.is_none() && resources.memory_swap.is_none() {
            resources.memory = bytes(self.defaults.memory.as_deref());
        }
        resources.pids_limit = resources.pids_limit.or(self.defaults.pids_limit);
        if resources.cpus.is_none() && resources.cpu_quota.is_none() && resources.cpu_period.is_none() {
            resources.cpus = cpus(self.defaults.cpus.as_deref());
        }
    }

    /// The filters one of which every container must have, by their names; empty if any will do.
    pub fn filters(&self) -> impl Iterator<Item = (&str, Seccomp)> {
        self.required.seccomp.iter().map(|name| (name.as_str(), named_filter(name)))
    }

    /// Whether containers are to be audited when they have started, and killed if something is weaker than it was asked for.
    #[must_use]
    pub fn demands_proof(&self) -> bool {
        self.required.proof
    }

    /// Whether profiles of AppArmor are required by name. One from a file would be loaded under whatever name it has, in the place of that
    /// one for everybody: it must be refused before it is.
    #[must_use]
    pub fn requires_profiles(&self) -> bool {
        !self.required.apparmor.is_empty()
    }

    /// Which folders and files of the host are watched over: the plan's mounts are to be known by their real paths.
    #[must_use]
    pub fn watches_mounts(&self) -> bool {
        !self.forbidden.mounts.is_empty() || !self.forbidden.writable_mounts.is_empty()
    }
}

/// Stockade's own filter, or a file of the folder of profiles, which root keeps; never a file of the working folder.
fn named_filter(name: &str) -> Seccomp {
    match name {
        "builtin" => Seccomp::Builtin,
        name => Seccomp::File(Path::new(crate::seccomp::FOLDER).join(name).with_extension("json")),
    }
}

#[cfg(test)]
mod tests;
