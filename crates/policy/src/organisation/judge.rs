//! A plan held against a policy. Pure.

use std::path::{Path, PathBuf};

use stockade_capabilities::{CapSet, Capability};
use stockade_spec::{DeviceRule, Linux, NamespaceType, Process};

use super::Organisation;
use super::rules::{Exception, bytes, cpus, matches};
use crate::defaults;

/// What only `--privileged` and `--cap-add ALL` give together.
const ALL_MARKS: CapSet = CapSet::of(&[Capability::SYS_ADMIN, Capability::SYS_MODULE, Capability::SYS_RAWIO]);
/// Of the host's `/dev`, what is no device.
const NO_DEVICES: [&str; 2] = ["/dev/shm", "/dev/mqueue"];

/// What a container is about to be, as the runtime will be told, with what its paths mean on this machine.
#[derive(Clone, Debug)]
pub struct Plan<'a> {
    /// Its image as `ps` shows it.
    pub image: &'a str,
    /// The digest of the image's configuration.
    pub image_id: Option<&'a str>,
    /// The OCI runtime that will make it: [`OWN_RUNTIME`](super::OWN_RUNTIME), or the real path of another.
    pub runtime: PathBuf,
    /// Its process.
    pub process: &'a Process,
    /// Its walls.
    pub linux: &'a Linux,
    /// Whether its root cannot be written.
    pub read_only: bool,
    /// The kinds of namespaces that are the host's, whichever way.
    pub hosts: Vec<NamespaceType>,
    /// The kinds that are another container's.
    pub joined: Vec<NamespaceType>,
    /// What it sees of the host, by real paths; without its own files and volumes.
    pub bound: Vec<Bound>,
    /// The filters that the policy allows, as OCI has them for this container.
    pub filters: Vec<String>,
}

/// A folder or file of the host in a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bound {
    /// Its real path on the host.
    pub source: PathBuf,
    /// Whether the container could write it.
    pub writable: bool,
}

/// A rule that a plan does not keep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which rule.
    pub rule: &'static str,
    /// What of it; empty for rules that are about one thing.
    pub value: String,
    /// What is wrong, for people.
    pub text: String,
}

/// Collects what is wrong.
#[derive(Default)]
struct Found(Vec<Violation>);

impl Found {
    fn add(&mut self, rule: &'static str, value: impl Into<String>, text: impl Into<String>) {
        self.0.push(Violation { rule, value: value.into(), text: text.into() });
    }

    /// A rule that is about one thing.
    fn unless(&mut self, kept: bool, rule: &'static str, text: &str) {
        if !kept {
            self.add(rule, "", text);
        }
    }
}

impl Organisation {
    /// What of the policy the plan does not keep on the day `today` (`YYYY-MM-DD`, UTC), exceptions taken out.
    #[must_use]
    pub fn judge(&self, plan: &Plan<'_>, today: &str) -> Vec<Violation> {
        let mut found = Found::default();
        self.judge_image(plan, &mut found);
        let runtimes = &self.required.runtimes;
        if !runtimes.is_empty() && !runtimes.contains(&plan.runtime) {
            let text = format!("the runtime {} is not one of those that are allowed", plan.runtime.display());
            found.add("required.runtimes", "", text);
        }
        self.judge_process(plan, &mut found);
        self.judge_filter(plan, &mut found);
        self.judge_limits(plan, &mut found);
        self.judge_namespaces(plan, &mut found);
        self.judge_devices(plan, &mut found);
        self.judge_mounts(&plan.bound, &mut found);
        self.excepted(found.0, plan.image, plan.image_id, today)
    }

    /// The same for one more process in a container that was planned as `plan` is: `exec`.
    #[must_use]
    pub fn judge_exec(&self, plan: &Plan<'_>, process: &Process, today: &str) -> Vec<Violation> {
        let mut found = Found::default();
        self.judge_process(&Plan { process, ..plan.clone() }, &mut found);
        if self.forbidden.privileged && !all_capabilities(process).is_subset(all_capabilities(plan.process)) {
            found.add("forbidden.privileged", "", "the process would have more capabilities than its container");
        }
        self.excepted(found.0, plan.image, plan.image_id, today)
    }

    /// The same for mounts that are already there, by the paths that the kernel has for them.
    #[must_use]
    pub fn judge_bound(&self, bound: &[Bound], image: &str, image_id: Option<&str>, today: &str) -> Vec<Violation> {
        let mut found = Found::default();
        self.judge_mounts(bound, &mut found);
        self.excepted(found.0, image, image_id, today)
    }

    fn judge_image(&self, plan: &Plan<'_>, found: &mut Found) {
        let named = |patterns: &[String]| patterns.iter().any(|one| is_image(one, plan.image, plan.image_id));
        let (required, forbidden) = (&self.required.images, &self.forbidden.images);
        found.unless(
            required.is_empty() || named(required),
            "required.images",
            "the image is not one of those that are allowed",
        );
        found.unless(!named(forbidden), "forbidden.images", "the image is forbidden");
        let by_digest = plan.image.contains("@sha256:");
        found.unless(
            by_digest || !self.required.image_by_digest,
            "required.image-by-digest",
            "the image must be named by its digest (NAME@sha256:...)",
        );
    }

    fn judge_process(&self, plan: &Plan<'_>, found: &mut Found) {
        let (process, required) = (plan.process, &self.required);
        found.unless(
            process.no_new_privileges || !required.no_new_privileges,
            "required.no-new-privileges",
            "it must have --security-opt no-new-privileges",
        );
        found.unless(
            process.user.uid != 0 || !required.non_root,
            "required.non-root",
            "it must not be root: give --user",
        );
        let profiles = &required.apparmor;
        if !profiles.is_empty() && !profiles.contains(&process.apparmor_profile) {
            let has = if process.apparmor_profile.is_empty() { "none" } else { &process.apparmor_profile };
            let text = format!("its AppArmor profile must be {} and is {has}", profiles.join(" or "));
            found.add("required.apparmor", "", text);
        }
        let has = all_capabilities(process);
        let forbidden = self.forbidden.capability_set();
        for capability in has.iter().filter(|one| forbidden.contains(*one)) {
            found.add("forbidden.capabilities", capability.to_string(), format!("{capability} is forbidden"));
        }
        if self.forbidden.privileged && ALL_MARKS.is_subset(has) {
            found.add("forbidden.privileged", "", "it would have all capabilities");
        }
    }

    fn judge_filter(&self, plan: &Plan<'_>, found: &mut Found) {
        let names = &self.required.seccomp;
        let kept = |text: &str| plan.filters.iter().any(|allowed| allowed == text);
        let filter = plan.linux.seccomp.as_ref().map(|raw| raw.get());
        if !names.is_empty() && !filter.is_some_and(kept) {
            let has = if filter.is_some() { "another one" } else { "none" };
            found.add(
                "required.seccomp",
                "",
                format!("its seccomp profile must be {} and is {has}", names.join(" or ")),
            );
        }
    }

    fn judge_limits(&self, plan: &Plan<'_>, found: &mut Found) {
        let required = &self.required;
        found.unless(plan.read_only || !required.read_only, "required.read-only", "its root must be --read-only");
        let resources = plan.linux.resources.clone().unwrap_or_default();
        let within = |limit: Option<i64>, most: i64| limit.is_some_and(|limit| limit > 0 && limit <= most);
        if let Some(most) = bytes(required.memory.as_deref()) {
            let limit = resources.memory.as_ref().and_then(|memory| memory.limit);
            let text = format!("its --memory must be at most {most} bytes");
            found.unless(within(limit, i64::try_from(most).unwrap_or(i64::MAX)), "required.memory", &text);
        }
        if let Some(most) = required.pids_limit {
            let limit = resources.pids.as_ref().and_then(|pids| pids.limit);
            found.unless(
                within(limit, most),
                "required.pids-limit",
                &format!("its --pids-limit must be at most {most}"),
            );
        }
        if let Some(most) = cpus(required.cpus.as_deref()) {
            let cpu = resources.cpu.unwrap_or_default();
            // The kernel's period, microseconds, where none is asked for.
            let period = cpu.period.filter(|period| *period > 0).unwrap_or(100_000);
            let share = |quota: i64| u128::from(quota.unsigned_abs()) * 1_000_000_000 / u128::from(period);
            let kept = cpu.quota.is_some_and(|quota| quota > 0 && share(quota) <= u128::from(most.nano()));
            found.unless(kept, "required.cpus", "its --cpus must be at most what the policy says");
        }
    }

    fn judge_namespaces(&self, plan: &Plan<'_>, found: &mut Found) {
        for kind in plan.hosts.iter().filter(|kind| self.forbidden.host_namespaces.contains(kind)) {
            let text = format!("the host's {} namespace is forbidden", kind.word());
            found.add("forbidden.host-namespaces", kind.word(), text);
        }
        for kind in plan.joined.iter().filter(|kind| self.forbidden.joined_namespaces.contains(kind)) {
            let text = format!("another container's {} namespace is forbidden", kind.word());
            found.add("forbidden.joined-namespaces", kind.word(), text);
        }
        found.unless(
            !plan.hosts.contains(&NamespaceType::User) || !self.required.user_namespace,
            "required.user-namespace",
            "it must have users of its own: --userns auto",
        );
    }

    fn judge_devices(&self, plan: &Plan<'_>, found: &mut Found) {
        let rules = plan.linux.resources.as_ref().map(|resources| resources.devices.as_slice()).unwrap_or_default();
        if self.forbidden.privileged {
            found.unless(!rules.iter().any(opens_all), "forbidden.privileged", "it would have every device");
            let hidden = !plan.linux.masked_paths.is_empty() && !plan.linux.readonly_paths.is_empty();
            found.unless(hidden, "forbidden.privileged", "nothing of the kernel's files would be hidden from it");
        }
        if self.forbidden.devices {
            let usual: Vec<DeviceRule> = defaults::device_rules().collect();
            let more = rules.iter().any(|rule| rule.allow && !usual.contains(rule));
            let bound = |one: &Bound| {
                one.source.starts_with("/dev") && !NO_DEVICES.iter().any(|path| one.source.starts_with(path))
            };
            let any = more || !plan.linux.devices.is_empty() || plan.bound.iter().any(bound);
            found.unless(!any, "forbidden.devices", "devices beyond the usual ones are forbidden");
        }
    }

    fn judge_mounts(&self, bound: &[Bound], found: &mut Found) {
        let forbidden = &self.forbidden;
        let lists = [
            ("forbidden.mounts", &forbidden.mounts, false),
            ("forbidden.writable-mounts", &forbidden.writable_mounts, true),
        ];
        for (rule, paths, only_writable) in lists {
            for one in bound.iter().filter(|one| one.writable || !only_writable) {
                let Some(path) = paths.iter().find(|path| overlap(path, &one.source)) else { continue };
                let text = format!("{} of the host is forbidden ({})", one.source.display(), path.display());
                found.add(rule, one.source.display().to_string(), text);
            }
        }
    }

    /// Takes out what exceptions are made for, and says of others that theirs has ended.
    fn excepted(&self, found: Vec<Violation>, image: &str, id: Option<&str>, today: &str) -> Vec<Violation> {
        let covers = |exception: &&Exception, violation: &Violation| {
            let value =
                |one: &String| *one == violation.value || format!("CAP_{}", one.to_uppercase()) == violation.value;
            exception.rule == violation.rule
                && (exception.values.is_empty() || exception.values.iter().any(value))
                && exception.images.iter().any(|pattern| is_image(pattern, image, id))
        };
        let judged = found.into_iter().filter_map(|mut violation| {
            let mut covering = self.exceptions.iter().filter(|exception| covers(exception, &violation)).peekable();
            let ended = covering.peek().map(|one| (one.owner.clone(), one.last_day()));
            if covering.any(|exception| today <= exception.last_day().as_str()) {
                return None;
            }
            if let Some((owner, day)) = ended {
                violation.text = format!("{} (the exception of {owner} ended on {day})", violation.text);
            }
            Some(violation)
        });
        judged.collect()
    }
}

/// Whether `pattern` means the image: by its name, or by a digest, which is that of its configuration or in its name.
fn is_image(pattern: &str, image: &str, id: Option<&str>) -> bool {
    if pattern.starts_with("sha256:") {
        return id == Some(pattern) || image.rsplit_once('@').is_some_and(|(_, digest)| digest == pattern);
    }
    matches(pattern, image)
}

/// What is in any of the five sets. A name that is none counts as all.
fn all_capabilities(process: &Process) -> CapSet {
    let Some(sets) = &process.capabilities else { return CapSet::EMPTY };
    let all = [&sets.effective, &sets.bounding, &sets.inheritable, &sets.permitted, &sets.ambient];
    let names = all.into_iter().flatten().map(String::as_str);
    CapSet::parse(names, CapSet::from_bits(u64::MAX)).unwrap_or(CapSet::from_bits(u64::MAX))
}

/// A rule by which every device can be read or written.
fn opens_all(rule: &DeviceRule) -> bool {
    let more_than_nodes = rule.access.as_deref().is_none_or(|access| access.contains(['r', 'w']));
    rule.allow && rule.major.is_none() && rule.minor.is_none() && more_than_nodes
}

/// Whether one path is in the other.
fn overlap(one: &Path, other: &Path) -> bool {
    one.starts_with(other) || other.starts_with(one)
}
