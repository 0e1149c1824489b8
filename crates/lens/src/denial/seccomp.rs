//! The system call filter.

use stockade_capabilities::{CapSet, Capability};
use stockade_seccomp::decide::{Decision, Reason};
use stockade_seccomp::model::Action;
use stockade_seccomp::{Change, Changes, Profile};

use super::ways::{Flags, needed};
use super::{Attempt, Certainty, Denial, ENOSYS, Wall, Walls, denial};
use crate::explain::{Way, filter, short};
use crate::exposure;

/// What the filter said.
pub(super) enum Said {
    /// The call was made.
    Yes,
    /// It was not, as programs expect that do without it.
    Quietly,
    /// It was not.
    No(Box<Denial>),
}

/// `CLONE_NEW*`, which `clone3` is asked for with when a program wants more than a process or a thread.
const NAMESPACES: u64 = 0x7e02_0080;

/// Judges by the filter's own decision.
pub(super) fn judge(walls: &Walls, attempt: &Attempt) -> Said {
    let Some(loaded) = &walls.filter else { return Said::Yes };
    let decision = loaded.decide(attempt.audit, attempt.number, &attempt.arguments);
    let errno = match decision.action {
        Action::Errno(errno) => i32::from(errno),
        // Nobody traces it here.
        Action::Trace(_) => ENOSYS,
        _ => return Said::Yes,
    };
    if errno == 0 || errno != attempt.errno {
        return Said::Yes;
    }
    let wants_namespaces = attempt.numbers.is_some_and(|[flags, _]| flags & NAMESPACES != 0);
    if decision.reason == Reason::Newer || attempt.name() == "clone3" && errno == ENOSYS && !wants_namespaces {
        return Said::Quietly;
    }
    let mut denial = denial(attempt, Wall::Seccomp, Certainty::Known);
    match own(walls) {
        Some(profile) => explain(walls, attempt, &profile, &mut denial),
        None => {
            let profile = walls.profile.as_deref().unwrap_or("the profile");
            denial.because.push(format!("{profile} does not let it through: allow {} in it", attempt.name()));
            denial.ways.push(unconfined());
        }
    }
    Said::No(Box::new(denial))
}

/// Stockade's own profile, with what was changed in it, if that is what the container has.
fn own(walls: &Walls) -> Option<Profile> {
    let builtin = Profile::builtin().ok()?;
    match walls.profile.as_deref() {
        None | Some("builtin") => Some(builtin),
        Some(changed) => builtin.changed(&changed.strip_prefix("default")?.parse().ok()?).ok(),
    }
}

fn unconfined() -> Way {
    Flags::default().and("--security-opt seccomp=unconfined", exposure::NO_SECCOMP).way()
}

/// Says which entry decided and which capability opens it, and what the least is that would let the call through.
fn explain(walls: &Walls, attempt: &Attempt, profile: &Profile, denial: &mut Denial) {
    let decide = |set: CapSet| -> Option<Decision> {
        Some(filter(profile, set).ok()?.decide(attempt.audit, attempt.number, &attempt.arguments))
    };
    if let Some(decision) = decide(walls.bounding) {
        denial.because.push(match decision.reason {
            Reason::Entry(entry) => {
                let said = profile.comment(entry).map(|comment| format!(": {comment}")).unwrap_or_default();
                format!("entry {entry} of the built-in profile{said}")
            }
            _ => "no entry of the built-in profile lets a container with its capabilities make this call".to_owned(),
        });
    }
    let opens = |capability: &Capability| {
        let set = walls.bounding | (*capability).into();
        !walls.bounding.contains(*capability) && decide(set).is_some_and(|decision| decision.action.permits())
    };
    let gates: Vec<Capability> = Capability::named().filter(opens).collect();
    let name = attempt.name();
    let flags = attempt.numbers.map_or(attempt.arguments[0], |[flags, _]| flags);
    let needs = needed(name, flags);
    let gate = match needs {
        Some((capability, _)) if gates.contains(&capability) => Some(capability),
        // It asks for nothing, so that no capability has to be given for the filter's sake.
        None if matches!(name, "unshare" | "clone" | "clone3") => None,
        _ => gates.iter().copied().min_by_key(|capability| exposure::of_capability(*capability).points),
    };
    if let Some(capability) = gate {
        denial.because.push(format!("CAP_{} would open it", short(capability)));
        let flags = Flags::default().capability(capability);
        denial.ways.push(match needs {
            Some((needed, place)) if needed == capability => flags.on(place, walls.own_users).way(),
            _ => flags.way(),
        });
        return;
    }
    let Some(word) = with(walls, attempt) else { return denial.ways.push(unconfined()) };
    let flags = Flags::default().and(format!("--security-opt seccomp={word}"), exposure::OPEN_CALL);
    denial.ways.push(match needs {
        Some((capability, place)) if !walls.bounding.contains(capability) => {
            flags.capability(capability).on(place, walls.own_users).way()
        }
        Some((_, place)) => flags.on(place, walls.own_users).way(),
        None => flags.way(),
    });
}

/// The profile that the container has, with this call added.
fn with(walls: &Walls, attempt: &Attempt) -> Option<String> {
    let call = attempt.call?;
    let word = walls.profile.as_deref().filter(|word| *word != "builtin").unwrap_or("default");
    let earlier: Vec<Change> = match word.strip_prefix("default")? {
        "" => Vec::new(),
        changes => changes.parse::<Changes>().ok()?.iter().collect(),
    };
    let kept = earlier.into_iter().filter(|change| change.call() != call);
    Some(format!("default{}", Changes::of(kept.chain([Change::Allow(call)]))?))
}
