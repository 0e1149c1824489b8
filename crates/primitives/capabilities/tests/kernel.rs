//! What the plan says is what the kernel enforces: each case in a thread of its own, since capabilities are a thread's.
#![allow(clippy::unwrap_used)] // An integration test is a test throughout; clippy excuses only test functions.

use proptest::prelude::*;
use rustix::process::{Gid, Uid};
use stockade_capabilities::{
    CapSet, Capability, PlanError, Request, Securebits, Sets, State, Transition, Unavailable, UserChange, Which, apply,
    observe, support, verify,
};
use stockade_kernel::procfs::{Procfs, Subject};

fn last() -> Capability {
    support::last_cap(&Procfs::host().unwrap()).unwrap()
}

/// Whether this process may drop from the bounding set and change users, which every test below needs.
fn privileged() -> bool {
    let state = observe::of_this_thread(last()).unwrap();
    let enough = [Capability::SETPCAP, Capability::SETUID, Capability::SETGID].iter().all(|&c| state.can(c));
    if !enough {
        println!("skipped: needs root");
    }
    enough
}

fn request(sets: Sets) -> Request {
    Request { sets, securebits: None, user: None, unavailable: Unavailable::Degrade, hold_sys_admin: false }
}

/// Plans and makes the transition in a thread of its own and returns what is in force before the last step and after.
fn carry_out(request: Request) -> (Transition, State, State) {
    std::thread::spawn(move || {
        let now = observe::of_this_thread(last()).unwrap();
        let transition = Transition::plan(&now, &request, last()).unwrap();
        apply(&transition.before).unwrap();
        if let Some(user) = request.user {
            rustix::thread::set_thread_groups(&[]).unwrap();
            let (uid, gid) = (Uid::from_raw(user.to), Gid::from_raw(user.to));
            rustix::thread::set_thread_res_gid(gid, gid, gid).unwrap();
            rustix::thread::set_thread_res_uid(uid, uid, uid).unwrap();
        }
        apply(&transition.after).unwrap();
        let held = observe::of_this_thread(last()).unwrap();
        apply(transition.last.as_slice()).unwrap();
        verify(&transition.expected, last()).unwrap();
        let status = Procfs::host().unwrap().status(Subject::Myself).unwrap();
        let state = observe::of_this_thread(last()).unwrap();
        assert_eq!(observe::of_status(&status), state.sets);
        assert_eq!(observe::of_myself(&Procfs::host().unwrap()).unwrap(), state);
        assert_eq!(status.no_new_privs, rustix::thread::no_new_privs().unwrap());
        (transition, held, state)
    })
    .join()
    .unwrap()
}

/// Any five sets that a thread can have at once.
fn possible_sets() -> impl Strategy<Value = Sets> {
    let bits = CapSet::up_to(Capability::CHECKPOINT_RESTORE).bits();
    let set = move || any::<u64>().prop_map(move |random| CapSet::from_bits(random & bits));
    (set(), set(), set(), set(), set()).prop_map(|(bounding, permitted, effective, inheritable, ambient)| Sets {
        bounding,
        permitted,
        effective: effective & permitted,
        inheritable: inheritable & bounding,
        ambient: ambient & permitted & inheritable & bounding,
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_observed_is_what_was_applied(
        sets in possible_sets(), to in prop_oneof![Just(None), Just(Some(0)), Just(Some(1000u32))],
        hold in any::<bool>(), locked in any::<bool>(),
    ) {
        if !privileged() {
            return Ok(());
        }
        let now = observe::of_this_thread(last()).unwrap();
        let request = Request {
            user: to.map(|to| UserChange { from: 0, to }),
            hold_sys_admin: hold && now.can(Capability::SYS_ADMIN),
            securebits: locked.then(|| Securebits::NO_CAP_AMBIENT_RAISE.locked()),
            ..request(sets)
        };
        let (transition, held, state) = carry_out(request);
        prop_assert_eq!(state, transition.expected);
        prop_assert!(!request.hold_sys_admin || held.can(Capability::SYS_ADMIN));
        for set in Which::ALL {
            let missing = transition.missing.iter().find(|missing| missing.set == set);
            let missing = missing.map_or(CapSet::EMPTY, |missing| missing.capabilities);
            prop_assert_eq!(state.sets.get(set) | missing, request.sets.get(set));
        }
    }
}

#[test]
fn cve_2022_29162_nothing_is_inheritable() {
    if !privileged() {
        return;
    }
    let (_, _, state) = carry_out(request(Sets::of_root(CapSet::of(&[Capability::CHOWN, Capability::KILL]))));
    assert!(state.sets.inheritable.is_empty());
    assert_eq!(state.sets.bounding.to_string(), "CAP_CHOWN,CAP_KILL");
}

#[test]
fn cve_2016_8867_a_user_other_than_root_keeps_nothing() {
    if !privileged() {
        return;
    }
    let user = Some(UserChange { from: 0, to: 1000 });
    let (_, _, state) = carry_out(Request { user, ..request(Sets::of_user(CapSet::from(Capability::CHOWN))) });
    assert_eq!(state.sets, Sets::of_user(CapSet::from(Capability::CHOWN)));
}

#[test]
fn a_user_can_have_ambient_capabilities() {
    if !privileged() {
        return;
    }
    let bind = CapSet::from(Capability::NET_BIND_SERVICE);
    let sets = Sets { effective: bind, permitted: bind, inheritable: bind, bounding: bind, ambient: bind };
    let (_, _, state) = carry_out(Request { user: Some(UserChange { from: 0, to: 1000 }), ..request(sets) });
    assert_eq!(state.sets, sets);
}

#[test]
fn what_the_process_lacks_is_refused_or_listed() {
    let lacking = CapSet::from(Capability::SYS_RESOURCE);
    let all = CapSet::up_to(Capability::CHECKPOINT_RESTORE);
    let now = State { sets: Sets::of_root(all - lacking), ..State::default() };
    let degraded = Transition::plan(&now, &request(Sets::of_root(all)), last()).unwrap();
    assert_eq!(degraded.expected.sets, now.sets);
    assert_eq!(degraded.missing.iter().map(|m| m.capabilities).collect::<Vec<_>>(), [lacking; 3]);
    let refuse = Request { unavailable: Unavailable::Refuse, ..request(Sets::of_root(all)) };
    let error = Transition::plan(&now, &refuse, last()).unwrap_err();
    assert_eq!(error.to_string(), "CAP_SYS_RESOURCE cannot be bounding: this process does not have them");
}

#[test]
fn contradictions_are_refused() {
    let (chown, none) = (CapSet::from(Capability::CHOWN), CapSet::EMPTY);
    let now = State { sets: Sets::of_root(CapSet::up_to(Capability::CHECKPOINT_RESTORE)), ..State::default() };
    let fails = |sets| Transition::plan(&now, &request(sets), last()).unwrap_err();
    let root = Sets::of_root(chown);
    assert_eq!(fails(Sets { permitted: none, ..root }), PlanError::EffectiveNotPermitted(chown));
    assert_eq!(fails(Sets { ambient: chown, ..root }), PlanError::AmbientNotHeld(chown));
    assert_eq!(fails(Sets { inheritable: chown, bounding: none, ..root }), PlanError::InheritableNotBounded(chown));
}

#[test]
fn steps_without_the_means_are_refused() {
    let chown = CapSet::from(Capability::CHOWN);
    let weak = State { sets: Sets::of_root(chown), ..State::default() };
    let drop = Transition::plan(&weak, &request(Sets::default()), last());
    assert!(matches!(drop, Err(PlanError::Needs { capability: Capability::SETPCAP, .. })));
    let hold = Request { hold_sys_admin: true, ..request(Sets::of_root(chown)) };
    let hold = Transition::plan(&weak, &hold, last());
    assert!(matches!(hold, Err(PlanError::Needs { capability: Capability::SYS_ADMIN, .. })));
    let locked = State { securebits: Securebits::NO_ROOT.locked(), ..weak };
    let unlock = Request { securebits: Some(Securebits::NONE), ..request(Sets::of_root(chown)) };
    assert!(matches!(Transition::plan(&locked, &unlock, last()), Err(PlanError::Securebits { .. })));
}
