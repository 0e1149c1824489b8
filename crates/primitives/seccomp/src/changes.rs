//! A profile with calls added and taken away, as `default+io_uring_setup-ptrace` writes it: pure.

use std::fmt;
use std::str::FromStr;

use crate::model::Action;
use crate::profile::{Entry, Profile, ProfileError};
use crate::syscall::Syscall;

/// What becomes of a call, whatever the profile said of it, for whatever capabilities and arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is made (`+`).
    Allow(Syscall),
    /// It fails with `EPERM` (`-`).
    Deny(Syscall),
}

impl Change {
    /// The call.
    #[must_use]
    pub fn call(self) -> Syscall {
        match self {
            Self::Allow(call) | Self::Deny(call) => call,
        }
    }
}

/// One or more changes, no call twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changes(Vec<Change>);

impl Changes {
    /// These, of which the first counts where a call is in several; `None` if there are none.
    #[must_use]
    pub fn of(changes: impl IntoIterator<Item = Change>) -> Option<Self> {
        let mut kept: Vec<Change> = Vec::new();
        for change in changes {
            if !kept.iter().any(|other| other.call() == change.call()) {
                kept.push(change);
            }
        }
        Some(Self(kept)).filter(|changes| !changes.0.is_empty())
    }

    /// Each.
    pub fn iter(&self) -> impl Iterator<Item = Change> {
        self.0.iter().copied()
    }
}

/// A text that says no changes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChangesError {
    /// It is not a list.
    #[error("{0:?} is no list of +CALL and -CALL, such as +io_uring_setup-ptrace")]
    Form(String),
    /// A name that is no call's.
    #[error("unknown system call {name:?}{}", nearest.map(|near| format!("; did you mean {near:?}?")).unwrap_or_default())]
    Unknown {
        /// What was given.
        name: String,
        /// The call whose name is nearest.
        nearest: Option<&'static str>,
    },
    /// A call that is named twice.
    #[error("{0} is named twice: say once what becomes of it")]
    Twice(&'static str),
}

impl FromStr for Changes {
    type Err = ChangesError;

    fn from_str(text: &str) -> Result<Self, ChangesError> {
        let form = || ChangesError::Form(text.to_owned());
        let mut changes: Vec<Change> = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let (sign, after) = rest.split_at_checked(1).ok_or_else(form)?;
            let (name, next) = after.split_at(after.find(['+', '-']).unwrap_or(after.len()));
            if name.is_empty() {
                return Err(form());
            }
            let unknown =
                || ChangesError::Unknown { name: name.to_owned(), nearest: Syscall::nearest(name).map(Syscall::name) };
            let change = match sign {
                "+" => Change::Allow,
                "-" => Change::Deny,
                _ => return Err(form()),
            };
            let call = Syscall::from_name(name).ok_or_else(unknown)?;
            if changes.iter().any(|change| change.call() == call) {
                return Err(ChangesError::Twice(call.name()));
            }
            changes.push(change(call));
            rest = next;
        }
        if changes.is_empty() { Err(form()) } else { Ok(Self(changes)) }
    }
}

impl fmt::Display for Changes {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|change| match change {
            Change::Allow(call) => write!(out, "+{}", call.name()),
            Change::Deny(call) => write!(out, "-{}", call.name()),
        })
    }
}

impl Profile {
    /// This profile, with the changes. The entries keep their places, and those of the changes come behind them.
    ///
    /// # Errors
    /// [`ProfileError::Invalid`] where the profile traces, logs or asks about a call that is changed: it wants to know of it.
    pub fn changed(&self, changes: &Changes) -> Result<Self, ProfileError> {
        let mut profile = self.clone();
        let mut entries = profile.syscalls.take().unwrap_or_default();
        let is = |name: &str| changes.0.iter().any(|change| change.call().name() == name);
        for (index, entry) in entries.iter_mut().enumerate() {
            let old = entry.name.take().filter(|name| !name.is_empty());
            let mut names = entry.names.take().unwrap_or_default();
            names.extend(old);
            let watches = !matches!(
                entry.action.as_str(),
                "SCMP_ACT_ALLOW"
                    | "SCMP_ACT_ERRNO"
                    | "SCMP_ACT_KILL"
                    | "SCMP_ACT_KILL_THREAD"
                    | "SCMP_ACT_KILL_PROCESS"
            );
            if let Some(name) = names.iter().find(|name| watches && is(name)) {
                let reason = format!("{} is for {name}, which cannot be changed by + or -", entry.action);
                return Err(ProfileError::at(format!("syscalls[{index}].action"), reason));
            }
            names.retain(|name| !is(name));
            // The entry keeps its place, so that others keep their numbers.
            entry.vacant = names.is_empty();
            entry.names = Some(names);
        }
        entries.extend(changes.0.iter().map(|change| match change {
            Change::Allow(call) => Entry::of(*call, Action::Allow),
            Change::Deny(call) => Entry::of(*call, Action::Errno(crate::model::EPERM)),
        }));
        profile.syscalls = Some(entries);
        Ok(profile)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Target;
    use crate::architecture::Arch;

    fn answers(profile: &Profile, call: &str, first: u64) -> Action {
        let target = Target { architecture: Arch::X86_64, kernel: (6, 1), capabilities: &["CAP_CHOWN"] };
        let number = Syscall::from_name(call).unwrap().number(Arch::X86_64).unwrap();
        let filter = profile.resolve(&target).unwrap();
        filter.decide(Arch::X86_64.audit(), number, &[first, 0, 0, 0, 0, 0]).action
    }

    #[test]
    fn what_is_added_is_made_and_what_is_taken_away_fails() {
        let builtin = Profile::builtin().unwrap();
        let changes: Changes = "+io_uring_setup-ptrace+clone3+socket-chmod".parse().unwrap();
        assert_eq!(changes.to_string(), "+io_uring_setup-ptrace+clone3+socket-chmod");
        let changed = builtin.changed(&changes).unwrap();
        for (call, first, before, after) in [
            ("io_uring_setup", 0, Action::Errno(1), Action::Allow),
            ("io_uring_enter", 0, Action::Errno(1), Action::Errno(1)),
            ("ptrace", 0, Action::Allow, Action::Errno(1)),
            // The profile's own word on it, ENOSYS, is stricter than Allow and must be gone.
            ("clone3", 0, Action::Errno(38), Action::Allow),
            // AF_VSOCK.
            ("socket", 40, Action::Errno(1), Action::Allow),
            ("chmod", 0, Action::Allow, Action::Errno(1)),
            ("read", 0, Action::Allow, Action::Allow),
        ] {
            assert_eq!(answers(&builtin, call, first), before, "{call}");
            assert_eq!(answers(&changed, call, first), after, "{call}");
        }
        // Reasons keep their places.
        assert_eq!(changed.comment(0), builtin.comment(0));
    }

    #[test]
    fn below_an_open_default_what_is_taken_away_fails_too() {
        let open = Profile::parse(
            br#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"name": "chmod", "action": "SCMP_ACT_ERRNO"}]}"#,
        );
        let changed = open.unwrap().changed(&"+chmod-chown".parse().unwrap()).unwrap();
        assert_eq!(answers(&changed, "chmod", 0), Action::Allow);
        assert_eq!(answers(&changed, "chown", 0), Action::Errno(1));
    }

    #[test]
    fn what_says_no_changes_is_refused_by_name() {
        for (text, words) in [
            ("", "no list"),
            ("ptrace", "no list"),
            ("+", "no list"),
            ("+ptrace+", "no list"),
            ("++ptrace", "no list"),
            ("+ptrace--mount", "no list"),
            ("+io_uring_setpu", "did you mean \"io_uring_setup\"?"),
            ("+ptrace-ptrace", "ptrace is named twice"),
            ("+mount,umount2", "unknown system call"),
        ] {
            let error = text.parse::<Changes>().unwrap_err().to_string();
            assert!(error.contains(words), "{text}: {error}");
        }
        let notifies = Profile::parse(
            br#"{"defaultAction": "SCMP_ACT_ERRNO", "listenerPath": "/s", "syscalls": [{"name": "mkdir", "action": "SCMP_ACT_NOTIFY"}]}"#,
        );
        let error = notifies.unwrap().changed(&"+mkdir".parse().unwrap()).unwrap_err().to_string();
        assert!(error.contains("syscalls[0].action: SCMP_ACT_NOTIFY is for mkdir"), "{error}");
    }
}
