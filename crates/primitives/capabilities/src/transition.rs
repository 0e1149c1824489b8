//! From what a thread has to what it shall have: a pure plan of ordered steps.
//!
//! The order matters, and so the plan has three parts. What needs the privileges of the old user comes before
//! `setuid(2)`, which empties the effective set; what uses the kept permitted set comes after it; and one last step
//! may wait until a seccomp filter has been loaded.

use std::fmt;

use crate::model::{CapSet, Capability, Securebits, Sets, State, Which};

/// One call to the kernel, as [`crate::apply`] makes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// `prctl(PR_CAPBSET_DROP)`.
    DropBounding(Capability),
    /// `prctl(PR_SET_KEEPCAPS)`.
    KeepCaps(bool),
    /// `capset(2)`.
    CapSet {
        /// The new effective set.
        effective: CapSet,
        /// The new permitted set.
        permitted: CapSet,
        /// The new inheritable set.
        inheritable: CapSet,
    },
    /// `prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL)`.
    ClearAmbient,
    /// `prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE)`.
    RaiseAmbient(Capability),
    /// `prctl(PR_SET_SECUREBITS)`.
    Securebits(Securebits),
}

impl fmt::Display for Step {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DropBounding(capability) => write!(out, "drop {capability} from the bounding set"),
            Self::KeepCaps(true) => out.write_str("keep the permitted capabilities over a change of user"),
            Self::KeepCaps(false) => out.write_str("stop keeping capabilities over a change of user"),
            Self::CapSet { effective, permitted, inheritable } => {
                write!(
                    out,
                    "set the capabilities to effective={effective} permitted={permitted} inheritable={inheritable}"
                )
            }
            Self::ClearAmbient => out.write_str("clear the ambient set"),
            Self::RaiseAmbient(capability) => write!(out, "add {capability} to the ambient set"),
            Self::Securebits(bits) => write!(out, "set the securebits to {bits}"),
        }
    }
}

/// What shall be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// The five sets.
    pub sets: Sets,
    /// The securebits, `None` to leave them as they are. Never [`Securebits::KEEP_CAPS`], which no exec survives.
    pub securebits: Option<Securebits>,
    /// The change of user that the caller makes between the two parts, if it makes one.
    pub user: Option<UserChange>,
    /// What becomes of capabilities that the thread does not have.
    pub unavailable: Unavailable,
    /// Keep CAP_SYS_ADMIN permitted and effective until [`Transition::last`]: without `no_new_privs` it is needed to load
    /// a seccomp filter. That filter must then let `capset(2)` through.
    pub hold_sys_admin: bool,
}

/// A change of the real, effective and saved user ids together, as seen in the thread's user namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UserChange {
    /// The user before.
    pub from: u32,
    /// The user after.
    pub to: u32,
}

/// What becomes of wanted capabilities that the thread does not have and so cannot keep: where the engine itself is confined,
/// or the kernel does not know them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unavailable {
    /// The plan fails.
    Refuse,
    /// The plan goes without them and lists them in [`Transition::missing`], for the user to see.
    Degrade,
}

/// Wanted capabilities that cannot be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Missing {
    /// The set that shall have them.
    pub set: Which,
    /// They.
    pub capabilities: CapSet,
}

/// The steps to [`Transition::expected`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transition {
    /// Before the change of user.
    pub before: Vec<Step>,
    /// After it.
    pub after: Vec<Step>,
    /// After the seccomp filter is loaded; only if CAP_SYS_ADMIN was held for it.
    pub last: Option<Step>,
    /// What the thread has when all is done.
    pub expected: State,
    /// What was wanted and is not in `expected`; empty under [`Unavailable::Refuse`].
    pub missing: Vec<Missing>,
}

/// A request that cannot be met.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// Effective without being permitted.
    #[error("{0} cannot be effective without being permitted")]
    EffectiveNotPermitted(CapSet),
    /// Ambient without being both permitted and inheritable.
    #[error("{0} cannot be ambient without being permitted and inheritable")]
    AmbientNotHeld(CapSet),
    /// Inheritable without being in the bounding set.
    #[error("{0} cannot be inheritable outside the bounding set")]
    InheritableNotBounded(CapSet),
    /// The thread does not have them.
    #[error("{} cannot be {}: this process does not have them", .0.capabilities, .0.set)]
    Unavailable(Missing),
    /// The steps need a capability that the thread does not have.
    #[error("cannot {what} without {capability}")]
    Needs {
        /// The capability.
        capability: Capability,
        /// What it is needed for.
        what: &'static str,
    },
    /// Bits that are locked would have to change, or the one that no exec survives was asked for.
    #[error("cannot change the securebits from {from} to {to}")]
    Securebits {
        /// The bits now.
        from: Securebits,
        /// The bits that the request or its steps need.
        to: Securebits,
    },
    /// Ambient capabilities are wanted where the securebits forbid to add any.
    #[error("{0} cannot be ambient: the securebits forbid it")]
    AmbientForbidden(CapSet),
}

impl Transition {
    /// Plans the way from `now` to `request` on a kernel whose last capability is `last`. Changes nothing.
    ///
    /// # Errors
    /// See [`PlanError`]: what contradicts itself is refused before any step is made.
    pub fn plan(now: &State, request: &Request, last: Capability) -> Result<Self, PlanError> {
        let (wanted, missing) = available(now, request)?;
        let securebits = securebits(now.securebits, request.securebits)?;
        let expected = State { sets: wanted, securebits };
        let (before, state) = before(now, &expected, request, last)?;
        let (after, last) = after(&state, &expected, request.hold_sys_admin)?;
        Ok(Self { before, after, last, expected, missing })
    }
}

/// The wanted sets without what `now` cannot give, and the latter.
fn available(now: &State, request: &Request) -> Result<(Sets, Vec<Missing>), PlanError> {
    consistent(&request.sets, now.sets.inheritable)?;
    let setpcap = now.sets.permitted.contains(Capability::SETPCAP);
    let added = if setpcap { now.sets.bounding } else { now.sets.bounding & now.sets.permitted };
    let inheritable = now.sets.inheritable | added;
    let had = |set| match set {
        Which::Bounding => now.sets.bounding,
        Which::Permitted | Which::Effective => now.sets.permitted,
        Which::Inheritable => inheritable,
        Which::Ambient => now.sets.permitted & inheritable,
    };
    let missing: Vec<Missing> = Which::ALL
        .into_iter()
        .map(|set| Missing { set, capabilities: request.sets.get(set) - had(set) })
        .filter(|missing| !missing.capabilities.is_empty())
        .collect();
    match (request.unavailable, missing.first()) {
        (Unavailable::Refuse, Some(first)) => Err(PlanError::Unavailable(*first)),
        _ => Ok((request.sets.masked(had), missing)),
    }
}

/// Refuses sets that no thread can have at once; `inheritable` may stay outside the bounding set but not come there.
fn consistent(sets: &Sets, inheritable: CapSet) -> Result<(), PlanError> {
    let refuse_any = |wrong: CapSet, error: fn(CapSet) -> PlanError| {
        if wrong.is_empty() { Ok(()) } else { Err(error(wrong)) }
    };
    refuse_any(sets.effective - sets.permitted, PlanError::EffectiveNotPermitted)?;
    refuse_any(sets.ambient - (sets.permitted & sets.inheritable), PlanError::AmbientNotHeld)?;
    refuse_any(sets.inheritable - (sets.bounding | inheritable), PlanError::InheritableNotBounded)
}

/// The securebits at the end: as asked for, and without KEEP_CAPS unless that is locked.
fn securebits(now: Securebits, wanted: Option<Securebits>) -> Result<Securebits, PlanError> {
    let Some(wanted) = wanted else {
        let locked = now.unchangeable() & Securebits::KEEP_CAPS.bits() != 0;
        return Ok(if locked { now } else { now.without(Securebits::KEEP_CAPS) });
    };
    let changed = now.bits() ^ wanted.bits();
    if changed & now.unchangeable() != 0 || wanted.contains(Securebits::KEEP_CAPS) || wanted.bits() > 0xff {
        return Err(PlanError::Securebits { from: now, to: wanted });
    }
    Ok(wanted)
}

/// The steps before the change of user, and the state after them and it.
fn before(now: &State, expected: &State, request: &Request, last: Capability) -> Result<(Vec<Step>, State), PlanError> {
    let mut steps = Vec::new();
    let mut state = *now;
    let dropped = (now.sets.bounding - expected.sets.bounding) & CapSet::up_to(last);
    let added = expected.sets.inheritable - now.sets.inheritable;
    if !(dropped.is_empty() && (added - now.sets.permitted).is_empty()) {
        need(&state, Capability::SETPCAP, "change the bounding or the inheritable set")?;
        if !state.can(Capability::SETPCAP) {
            state.sets.effective = state.sets.effective | Capability::SETPCAP.into();
            steps.push(capset(&state.sets));
        }
    }
    if !added.is_empty() {
        state.sets.inheritable = state.sets.inheritable | added;
        steps.push(capset(&state.sets));
    }
    steps.extend(dropped.iter().map(Step::DropBounding));
    state.sets.bounding = state.sets.bounding - dropped;
    let needed = needed_after(now, expected, request.hold_sys_admin);
    if request.user.is_some_and(|user| leaves_root(user, state.securebits)) && !needed.is_empty() {
        let keeping = Securebits::from_bits(state.securebits.bits() | Securebits::KEEP_CAPS.bits());
        if keeping != state.securebits {
            if state.securebits.unchangeable() & Securebits::KEEP_CAPS.bits() != 0 {
                return Err(PlanError::Securebits { from: state.securebits, to: keeping });
            }
            steps.push(Step::KeepCaps(true));
            state.securebits = keeping;
        }
    }
    Ok((steps, request.user.map_or(state, |user| changed_user(&state, user))))
}

/// What must be permitted after the change of user.
fn needed_after(now: &State, expected: &State, hold_sys_admin: bool) -> CapSet {
    let change = expected.securebits != now.securebits.without(Securebits::KEEP_CAPS);
    let setpcap = if change { CapSet::from(Capability::SETPCAP) } else { CapSet::EMPTY };
    let held = if hold_sys_admin { CapSet::from(Capability::SYS_ADMIN) } else { CapSet::EMPTY };
    expected.sets.permitted | setpcap | held
}

/// Whether the kernel takes capabilities away at this change of user.
fn leaves_root(user: UserChange, securebits: Securebits) -> bool {
    user.from == 0 && user.to != 0 && !securebits.contains(Securebits::NO_SETUID_FIXUP)
}

/// What the kernel makes of `state` at a change of all user ids (`cap_emulate_setxuid`).
fn changed_user(state: &State, user: UserChange) -> State {
    let mut state = *state;
    if leaves_root(user, state.securebits) {
        if !state.securebits.contains(Securebits::KEEP_CAPS) {
            state.sets.permitted = CapSet::EMPTY;
        }
        state.sets.effective = CapSet::EMPTY;
        state.sets.ambient = CapSet::EMPTY;
    } else if user.from != 0 && user.to == 0 && !state.securebits.contains(Securebits::NO_SETUID_FIXUP) {
        state.sets.effective = state.sets.permitted;
    }
    state
}

/// The steps after the change of user, and the one after the seccomp filter.
fn after(state: &State, expected: &State, hold_sys_admin: bool) -> Result<(Vec<Step>, Option<Step>), PlanError> {
    let mut steps = Vec::new();
    let change = expected.securebits != state.securebits.without(Securebits::KEEP_CAPS)
        && expected.securebits != state.securebits;
    let mut held = expected.sets;
    if hold_sys_admin {
        need(state, Capability::SYS_ADMIN, "load a seccomp filter without no_new_privs")?;
        held = with(&held, Capability::SYS_ADMIN);
    }
    if change {
        need(state, Capability::SETPCAP, "change the securebits")?;
        steps.push(capset(&with(&held, Capability::SETPCAP)));
    } else {
        steps.push(capset(&held));
    }
    let ambient = raise_ambient(state, expected)?;
    let bits = change.then_some(Step::Securebits(expected.securebits));
    if expected.securebits.contains(Securebits::NO_CAP_AMBIENT_RAISE) {
        steps.extend(ambient);
        steps.extend(bits);
    } else {
        steps.extend(bits);
        steps.extend(ambient);
    }
    if state.securebits.contains(Securebits::KEEP_CAPS) && !expected.securebits.contains(Securebits::KEEP_CAPS) {
        steps.push(Step::KeepCaps(false));
    }
    if change && with(&held, Capability::SETPCAP) != held {
        steps.push(capset(&held));
    }
    Ok((steps, (held != expected.sets).then(|| capset(&expected.sets))))
}

/// The steps to the wanted ambient set, once permitted and inheritable are as wanted.
fn raise_ambient(state: &State, expected: &State) -> Result<Vec<Step>, PlanError> {
    let (now, wanted) = (state.sets.ambient, expected.sets.ambient);
    let clear = !now.is_subset(wanted);
    let raised = if clear { wanted } else { wanted - now };
    let forbids = |bits: Securebits| bits.contains(Securebits::NO_CAP_AMBIENT_RAISE);
    if !raised.is_empty() && forbids(state.securebits) && forbids(expected.securebits) {
        return Err(PlanError::AmbientForbidden(raised));
    }
    let mut steps: Vec<Step> = clear.then_some(Step::ClearAmbient).into_iter().collect();
    steps.extend(raised.iter().map(Step::RaiseAmbient));
    Ok(steps)
}

/// An error unless the thread can make `capability` effective.
fn need(state: &State, capability: Capability, what: &'static str) -> Result<(), PlanError> {
    if state.sets.permitted.contains(capability) { Ok(()) } else { Err(PlanError::Needs { capability, what }) }
}

/// `sets` with `capability` permitted and effective too.
fn with(sets: &Sets, capability: Capability) -> Sets {
    Sets { effective: sets.effective | capability.into(), permitted: sets.permitted | capability.into(), ..*sets }
}

/// The step that sets the three sets of `capset(2)`.
const fn capset(sets: &Sets) -> Step {
    Step::CapSet { effective: sets.effective, permitted: sets.permitted, inheritable: sets.inheritable }
}
