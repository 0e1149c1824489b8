//! System call filters as tables: what a profile says of every call, in what two differ, and how long a program of it is.

mod loaded;

use std::collections::BTreeMap;
use std::fmt;

use stockade_capabilities::CapSet;
use stockade_policy::seccomp::{FOLDER, Found};
use stockade_policy::{Seccomp, SeccompError};
use stockade_seccomp::architecture::Arch;
use stockade_seccomp::compile::Size;
use stockade_seccomp::decide::Reason;
use stockade_seccomp::model::{Action, Condition, Filter, Operator};
use stockade_seccomp::syscall::Syscall;
use stockade_seccomp::{CompileError, Compiled, Profile, Target};

use crate::explain::{ExplainError, numbers};

pub use loaded::against_loaded;

/// Why there is no filter to look at.
#[derive(Debug, thiserror::Error)]
pub enum FilterError {
    /// The file, or the name.
    #[error(transparent)]
    Seccomp(#[from] SeccompError),
    /// What it says.
    #[error("the seccomp profile {origin} cannot be used")]
    Profile {
        /// Where it was.
        origin: String,
        /// What is wrong, and where in it.
        source: CompileError,
    },
    /// The process, or its filters.
    #[error("cannot read the filters of process {pid}")]
    Process {
        /// Which one.
        pid: i32,
        /// Why not.
        source: std::io::Error,
    },
    /// There is nothing to look at.
    #[error("unconfined has no filter")]
    Unconfined,
    /// The call that is asked about.
    #[error(transparent)]
    Call(#[from] ExplainError),
}

/// A profile with the filter that it means for some capabilities on this machine.
#[derive(Clone, Debug)]
pub struct Looked {
    profile: Profile,
    filter: Filter,
    compiled: Compiled,
}

impl Looked {
    /// The filter that `choice` means for a container with these capabilities.
    ///
    /// # Errors
    /// [`FilterError`].
    pub fn at(choice: &Seccomp, capabilities: CapSet) -> Result<Self, FilterError> {
        let found = choice.profile(std::path::Path::new(FOLDER))?.ok_or(FilterError::Unconfined)?;
        let Found { origin, profile } = found;
        let names: Vec<String> = capabilities.iter().map(|capability| capability.to_string()).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let looked = profile.map_err(CompileError::from).and_then(|profile| {
            let filter = profile.resolve(&Target::here(&names))?;
            Ok(Self { compiled: Compiled::new(&filter)?, profile, filter })
        });
        looked.map_err(|source| FilterError::Profile { origin: origin.to_string(), source })
    }

    /// What it says of each call of this machine.
    #[must_use]
    pub fn table(&self) -> BTreeMap<&'static str, String> {
        let calls = Syscall::all().filter(|call| call.number(Arch::NATIVE).is_some());
        calls.map(|call| (call.name(), self.says(call))).collect()
    }

    /// What it says of one call: the action, or one for each condition.
    fn says(&self, call: Syscall) -> String {
        let about = self.filter.rules().iter().filter(|rule| rule.calls.contains(&call));
        let conditional: Vec<String> = about
            .filter(|rule| !rule.conditions.is_empty())
            .map(|rule| format!("{} if {}", action(rule.action), all_of(&rule.conditions)))
            .collect();
        let Some(number) = call.number(Arch::NATIVE) else { return String::new() };
        if conditional.is_empty() {
            return action(self.filter.decide(Arch::NATIVE.audit(), number, &[0; 6]).action);
        }
        let always = self.filter.rules().iter().find(|rule| rule.calls.contains(&call) && rule.conditions.is_empty());
        let otherwise = always.map_or(self.filter.default_action(), |rule| rule.action);
        format!("{}; else {}", conditional.join(", "), action(otherwise))
    }

    /// What happens to a call with these arguments, and what decides it.
    ///
    /// # Errors
    /// [`FilterError::Call`] for a name that is no call's, or something that is no number.
    pub fn decide(&self, name: &str, arguments: &[String]) -> Result<String, FilterError> {
        let number = crate::explain::number(name)?;
        let decision = self.filter.decide(Arch::NATIVE.audit(), number, &numbers(arguments)?);
        let why = match decision.reason {
            Reason::Entry(entry) => {
                let said = self.profile.comment(entry).map(|comment| format!(": {comment}")).unwrap_or_default();
                format!("entry {entry}{said}")
            }
            Reason::Default => "no entry is about it: the default".to_owned(),
            Reason::Newer => "it is newer than all calls that are named".to_owned(),
            Reason::OtherArchitecture => "the filter has nothing for its architecture".to_owned(),
        };
        Ok(format!("{name}({}): {} ({why})", arguments.join(", "), action(decision.action)))
    }

    /// How large its program is.
    #[must_use]
    pub fn size(&self) -> Size {
        self.compiled.size()
    }

    /// The architectures, the native one first.
    pub fn architectures(&self) -> impl Iterator<Item = Arch> {
        self.filter.architectures().iter().copied()
    }
}

/// A call of which two filters say something else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Other {
    /// Its name.
    pub call: &'static str,
    /// What the first says.
    pub first: String,
    /// What the second says.
    pub second: String,
}

impl fmt::Display for Other {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {} -> {}", self.call, self.first, self.second)
    }
}

/// In what calls of this machine two filters differ.
#[must_use]
pub fn differences(first: &Looked, second: &Looked) -> Vec<Other> {
    let mut theirs = second.table();
    let pairs = first.table().into_iter().filter_map(|(call, first)| Some((call, first, theirs.remove(call)?)));
    pairs
        .filter(|(_, first, second)| first != second)
        .map(|(call, first, second)| Other { call, first, second })
        .collect()
}

/// An action in a word or two.
fn action(action: Action) -> String {
    match action {
        Action::Allow => "allowed".to_owned(),
        Action::Log => "allowed and logged".to_owned(),
        Action::Errno(1) => "EPERM".to_owned(),
        Action::Errno(38) => "ENOSYS".to_owned(),
        Action::Errno(errno) => format!("errno {errno}"),
        Action::KillProcess | Action::KillThread => "killed".to_owned(),
        Action::Trap => "SIGSYS".to_owned(),
        Action::Notify => "a listener is asked".to_owned(),
        Action::Trace(_) => "a tracer is told".to_owned(),
    }
}

/// Conditions as somebody would write them.
fn all_of(conditions: &[Condition]) -> String {
    let one = |condition: &Condition| {
        let (argument, value) = (condition.argument, condition.value);
        let sign = match condition.operator {
            Operator::NotEqual => "!=",
            Operator::Less => "<",
            Operator::LessOrEqual => "<=",
            Operator::Equal => "==",
            Operator::GreaterOrEqual => ">=",
            Operator::Greater => ">",
            Operator::MaskedEqual => return format!("arg{argument} & {value:#x} == {:#x}", condition.second),
        };
        format!("arg{argument} {sign} {value:#x}")
    };
    conditions.iter().map(one).collect::<Vec<_>>().join(" and ")
}
