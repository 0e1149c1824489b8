//! What would say no, and the one flag that would allow it, with its risk: answered without a container, by the rooms' own decisions.

use std::fmt;

use stockade_capabilities::{CapSet, Capability, UnknownCapability};
use stockade_policy::defaults;
use stockade_seccomp::decide::{Decision, Reason};
use stockade_seccomp::model::{Action, Filter};
use stockade_seccomp::syscall::Syscall;
use stockade_seccomp::{Profile, ProfileError, Target};

use crate::exposure::{self, Exposure};

mod flags;

pub use flags::{UnknownFlag, flag};

/// Why nothing can be explained.
#[derive(Debug, thiserror::Error)]
pub enum ExplainError {
    /// A name that is no system call's.
    #[error("{name:?} is not the name of a system call{}", nearest.map(|nearest| format!("; did you mean {nearest}?")).unwrap_or_default())]
    Call {
        /// What was given.
        name: String,
        /// The call whose name is nearest.
        nearest: Option<&'static str>,
    },
    /// A call that this machine does not have.
    #[error("this machine's architecture has no system call {0}")]
    Elsewhere(String),
    /// Something that is no number.
    #[error("the argument {0:?} is no number: give decimal numbers, or hexadecimal ones after 0x, at most six")]
    Argument(String),
    /// A name that is no capability's.
    #[error(transparent)]
    Capability(#[from] UnknownCapability),
    /// A flag that takes no wall down.
    #[error(transparent)]
    Flag(#[from] UnknownFlag),
    /// A profile.
    #[error("the built-in profile cannot be used")]
    Profile(#[from] ProfileError),
    /// The kernel does not say whether there is AppArmor.
    #[error("cannot ask the kernel for AppArmor")]
    AppArmor(#[source] std::io::Error),
}

/// A flag that would allow something, and what that costs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Way {
    /// The flag as it is written.
    pub flag: String,
    /// What it exposes.
    pub risks: Vec<&'static Exposure>,
}

impl fmt::Display for Way {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let points: u32 = self.risks.iter().map(|risk| risk.points).sum();
        writeln!(out, "{} would allow it, at {points} points of exposure:", self.flag)?;
        self.risks.iter().try_for_each(|risk| writeln!(out, "    {}: {}", risk.id, risk.reason))
    }
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// What happens.
    pub verdict: String,
    /// Why, a line each.
    pub because: Vec<String>,
    /// What would allow it, the least risky first; none if it is allowed, or nothing would.
    pub ways: Vec<Way>,
}

impl fmt::Display for Explanation {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "{}", self.verdict)?;
        for line in &self.because {
            writeln!(out, "  {line}")?;
        }
        self.ways.iter().try_for_each(|way| write!(out, "  {way}"))
    }
}

/// The capabilities of a container's root by default.
fn usual() -> CapSet {
    defaults::CAPABILITIES.iter().map(|entry| entry.value).collect()
}

/// The built-in filter of a container with these capabilities on this kernel.
pub(crate) fn filter(profile: &Profile, capabilities: CapSet) -> Result<Filter, ProfileError> {
    let names: Vec<String> = capabilities.iter().map(|capability| capability.to_string()).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    profile.resolve(&Target::here(&names))
}

/// What AppArmor's profile of a container of defaults has to say, which is beside the filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profiles {
    /// The kernel enforces one.
    Enforced,
    /// There is no AppArmor.
    Absent,
}

impl Profiles {
    /// This machine's.
    ///
    /// # Errors
    /// [`ExplainError::AppArmor`].
    pub fn here() -> Result<Self, ExplainError> {
        let support = stockade_apparmor::Support::probe().map_err(ExplainError::AppArmor)?;
        Ok(if support.enabled { Self::Enforced } else { Self::Absent })
    }

    /// Whether they deny the call whatever the filter and the capabilities say.
    fn deny(self, call: &str) -> bool {
        // The hooks of `security/apparmor/lsm.c` that are about mounts, which the profile denies altogether.
        self == Self::Enforced && ["mount", "umount2", "pivot_root", "move_mount"].contains(&call)
    }
}

/// What happens to the system call `name` with these arguments in a container of defaults, and which one flag would let it through. It may
/// still fail for other reasons: many calls ask for a capability themselves.
///
/// # Errors
/// [`ExplainError`].
pub fn syscall(name: &str, arguments: &[String], profiles: Profiles) -> Result<Explanation, ExplainError> {
    let arch = stockade_seccomp::architecture::Arch::NATIVE;
    let number = number(name)?;
    let numbers = numbers(arguments)?;
    let profile = Profile::builtin()?;
    let decide = |set: CapSet| Ok::<_, ProfileError>(filter(&profile, set)?.decide(arch.audit(), number, &numbers));
    let now = decide(usual())?;
    let shown = arguments.join(", ");
    let mut because = vec![reason(&profile, now)];
    if arguments.is_empty() && depends(&filter(&profile, usual())?, name) {
        because.push("what happens depends on its arguments, which are taken as 0: name them behind it".to_owned());
    }
    if now.action.permits() {
        return Ok(Explanation {
            verdict: format!("{name}({shown}) is let through by the filter"),
            because,
            ways: vec![],
        });
    }
    let mut ways = Vec::new();
    for capability in Capability::named().filter(|one| !usual().contains(*one)) {
        if decide(usual() | capability.into())?.action.permits() {
            let risks = vec![exposure::of_capability(capability)];
            ways.push(Way { flag: format!("--cap-add {}", short(capability)), risks });
        }
    }
    ways.sort_by_key(|way| way.risks.iter().map(|risk| risk.points).sum::<u32>());
    let changed = format!("--security-opt seccomp=default+{name}");
    ways.push(Way { flag: changed, risks: vec![exposure::OPEN_CALL] });
    if profiles.deny(name) {
        because.push("AppArmor's profile stockade-default denies it too".to_owned());
        for way in &mut ways {
            way.flag += " --security-opt apparmor=unconfined";
            way.risks.push(exposure::NO_LSM);
        }
    }
    Ok(Explanation { verdict: format!("{name}({shown}) {}", action(now.action)), because, ways })
}

/// The number of a call on this machine.
pub(crate) fn number(name: &str) -> Result<u32, ExplainError> {
    let unknown = || ExplainError::Call { name: name.to_owned(), nearest: Syscall::nearest(name).map(Syscall::name) };
    let number = Syscall::from_name(name).ok_or_else(unknown)?.number(stockade_seccomp::architecture::Arch::NATIVE);
    number.ok_or_else(|| ExplainError::Elsewhere(name.to_owned()))
}

/// The numbers of arguments, the others being 0.
pub(crate) fn numbers(arguments: &[String]) -> Result<[u64; 6], ExplainError> {
    let mut numbers = [0; 6];
    for (place, text) in arguments.iter().enumerate() {
        let wrong = || ExplainError::Argument(text.clone());
        let parsed = match text.strip_prefix("0x") {
            Some(digits) => u64::from_str_radix(digits, 16).ok(),
            None => text.parse::<u64>().ok().or_else(|| text.parse::<i64>().ok().map(i64::cast_unsigned)),
        };
        *numbers.get_mut(place).ok_or_else(wrong)? = parsed.ok_or_else(wrong)?;
    }
    Ok(numbers)
}

/// Whether a rule for the call looks at its arguments.
fn depends(filter: &Filter, name: &str) -> bool {
    let about = |rule: &&stockade_seccomp::model::Rule| rule.calls.iter().any(|call| call.name() == name);
    filter.rules().iter().filter(about).any(|rule| !rule.conditions.is_empty())
}

/// Why the filter decides so.
fn reason(profile: &Profile, decision: Decision) -> String {
    match decision.reason {
        Reason::Entry(entry) => {
            let said = profile.comment(entry).map(|comment| format!(": {comment}")).unwrap_or_default();
            format!("entry {entry} of the built-in profile{said}")
        }
        Reason::Default => "no entry of the built-in profile is about it for a container of defaults".to_owned(),
        Reason::Newer => "it is newer than all calls of the built-in profile, so that programs fall back".to_owned(),
        Reason::OtherArchitecture => "the filter has nothing for its architecture".to_owned(),
    }
}

/// What an action does, as it ends a sentence.
fn action(action: Action) -> String {
    match action {
        Action::Errno(1) => "is denied: it fails with EPERM (Operation not permitted)".to_owned(),
        Action::Errno(38) => "is denied: it fails with ENOSYS (Function not implemented)".to_owned(),
        Action::Errno(number) => format!("is denied: it fails with errno {number}"),
        Action::KillProcess | Action::KillThread | Action::Trap => "is denied: SIGSYS ends the process".to_owned(),
        Action::Notify => "is put to a listener".to_owned(),
        Action::Trace(_) => "is denied: it fails with ENOSYS unless a tracer is there".to_owned(),
        Action::Log | Action::Allow => "is let through".to_owned(),
    }
}

/// A capability's name as `--cap-add` takes it, without `CAP_`.
pub(crate) fn short(capability: Capability) -> String {
    let name = capability.to_string();
    name.strip_prefix("CAP_").unwrap_or(&name).to_owned()
}

/// What the capability `name` allows, whether a container of defaults has it, and which system calls its filter then lets through besides.
///
/// # Errors
/// [`ExplainError`].
pub fn capability(name: &str) -> Result<Explanation, ExplainError> {
    let capability: Capability = name.parse()?;
    let mut because = vec![capability.meaning().unwrap_or("It is newer than this program.").to_owned()];
    let entry = defaults::CAPABILITIES.iter().find(|entry| entry.value == capability);
    let profile = Profile::builtin()?;
    let without = filter(&profile, usual() - capability.into())?;
    let with = filter(&profile, usual() | capability.into())?;
    let opened = opened(&without, &with);
    if !opened.is_empty() {
        because.push(format!("with it the filter also lets through {}", opened.join(", ")));
    }
    Ok(match entry {
        Some(entry) => {
            because.push(format!("why it is there: {}", entry.reason));
            because.push(format!("--cap-drop {} takes it away", short(capability)));
            Explanation { verdict: format!("{capability} is there by default"), because, ways: Vec::new() }
        }
        None => {
            let risks = vec![exposure::of_capability(capability)];
            let ways = vec![Way { flag: format!("--cap-add {}", short(capability)), risks }];
            Explanation { verdict: format!("{capability} is not there by default"), because, ways }
        }
    })
}

/// The calls of this machine that `with` lets through whatever their arguments and `without` does not.
fn opened(without: &Filter, with: &Filter) -> Vec<&'static str> {
    let permitted = |filter: &Filter| -> Vec<&'static str> {
        let rules = filter.rules().iter().filter(|rule| rule.action.permits() && rule.conditions.is_empty());
        rules.flat_map(|rule| rule.calls.iter().map(|call| call.name())).collect()
    };
    let before = permitted(without);
    let native = |name: &str| {
        let call = Syscall::from_name(name);
        call.and_then(|call| call.number(stockade_seccomp::architecture::Arch::NATIVE)).is_some()
    };
    let mut all: Vec<&str> =
        permitted(with).into_iter().filter(|name| !before.contains(name) && native(name)).collect();
    all.sort_unstable();
    all.dedup();
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(explanation: &Explanation) -> Vec<&str> {
        explanation.ways.iter().map(|way| way.flag.as_str()).collect()
    }

    #[test]
    fn calls_that_are_denied_name_the_flag_that_allows_them() {
        for (name, arguments, way) in [
            ("mount", &[][..], "--cap-add SYS_ADMIN"),
            ("setns", &[], "--cap-add SYS_ADMIN"),
            ("unshare", &["0x10000000"], "--cap-add SYS_ADMIN"),
            ("clone", &["0x10000000"], "--cap-add SYS_ADMIN"),
            ("clone3", &[], "--cap-add SYS_ADMIN"),
            ("bpf", &[], "--cap-add BPF"),
            ("perf_event_open", &[], "--cap-add PERFMON"),
            ("init_module", &[], "--cap-add SYS_MODULE"),
            ("reboot", &[], "--cap-add SYS_BOOT"),
            ("settimeofday", &[], "--cap-add SYS_TIME"),
            ("syslog", &[], "--cap-add SYSLOG"),
            ("open_by_handle_at", &[], "--cap-add DAC_READ_SEARCH"),
            ("iopl", &[], "--cap-add SYS_RAWIO"),
            ("acct", &[], "--cap-add SYS_PACCT"),
            ("vhangup", &[], "--cap-add SYS_TTY_CONFIG"),
        ] {
            let arguments: Vec<String> = arguments.iter().map(|one| (*one).to_owned()).collect();
            let explained = syscall(name, &arguments, Profiles::Absent).unwrap();
            assert!(flags(&explained).contains(&way), "{name}: {explained}");
            assert!(explained.verdict.contains("is denied"), "{explained}");
        }
    }

    #[test]
    fn where_a_profile_denies_it_as_well_a_capability_alone_is_no_way() {
        for call in ["mount", "umount2", "pivot_root"] {
            let explained = syscall(call, &[], Profiles::Enforced).unwrap();
            let both = flags(&explained).into_iter().all(|flag| flag.ends_with(" --security-opt apparmor=unconfined"));
            assert!(both && explained.because.iter().any(|line| line.contains("AppArmor")), "{explained}");
        }
        let explained = syscall("syslog", &[], Profiles::Enforced).unwrap();
        assert!(flags(&explained).contains(&"--cap-add SYSLOG"), "{explained}");
    }

    #[test]
    fn what_no_capability_allows_has_a_change_of_the_filter_as_its_one_way() {
        for (name, arguments) in [("io_uring_setup", &[][..]), ("keyctl", &[]), ("socket", &["40"])] {
            let arguments: Vec<String> = arguments.iter().map(|one| (*one).to_owned()).collect();
            let explained = syscall(name, &arguments, Profiles::Absent).unwrap();
            assert_eq!(flags(&explained), [format!("--security-opt seccomp=default+{name}")], "{explained}");
        }
    }

    #[test]
    fn calls_that_are_let_through_need_no_way() {
        for (name, arguments) in [("read", &[][..]), ("socket", &["2"]), ("clone", &["17"]), ("socket", &["-1"])] {
            let arguments: Vec<String> = arguments.iter().map(|one| (*one).to_owned()).collect();
            let explained = syscall(name, &arguments, Profiles::Absent).unwrap();
            assert!(explained.ways.is_empty() && explained.verdict.contains("let through"), "{explained}");
        }
        // Upper bits, at which the kernel does not look, change nothing.
        assert!(syscall("socket", &["0x100000028".to_owned()], Profiles::Absent).unwrap().verdict.contains("denied"));
        let unsaid = syscall("clone", &[], Profiles::Absent).unwrap();
        assert!(unsaid.because.iter().any(|line| line.contains("depends on its arguments")), "{unsaid}");
    }

    #[test]
    fn what_is_none_is_an_error_that_helps() {
        assert!(syscall("moutn", &[], Profiles::Absent).unwrap_err().to_string().ends_with("did you mean mount?"));
        assert!(syscall("read", &["x".to_owned()], Profiles::Absent).is_err());
        assert!(
            syscall(
                "read",
                &["1".to_owned(), "2".into(), "3".into(), "4".into(), "5".into(), "6".into(), "7".into()],
                Profiles::Absent
            )
            .is_err()
        );
        assert!(capability("SYS_ADMN").unwrap_err().to_string().contains("did you mean"));
        assert!(flag("--bogus").is_err());
    }

    #[test]
    fn capabilities_say_what_they_open() {
        let admin = capability("sys_admin").unwrap();
        assert!(admin.because.iter().any(|line| line.contains("mount")), "{admin}");
        assert_eq!(flags(&admin), ["--cap-add SYS_ADMIN"]);
        let chown = capability("CAP_CHOWN").unwrap();
        assert!(chown.ways.is_empty() && chown.verdict.ends_with("is there by default"), "{chown}");
    }
}
