//! Namespaces on the real kernel: made in one `clone3(2)`, then observed from outside.
//!
//! A process that clones may have one thread only, so this program brings its own harness. Needs root.

// Clippy knows tests by their attribute, which a program with a harness of its own does not have.
#![allow(clippy::unwrap_used)]

use std::process::ExitCode;

use rustix::fd::OwnedFd;
use rustix::process::{Pid, WaitOptions, waitpid};
use stockade_kernel::clone::{Forked, Request as CloneRequest, clone3};
use stockade_kernel::exec::exit_now;
use stockade_kernel::namespace::{Namespaces, unshare};
use stockade_kernel::procfs::{Procfs, Subject};
use stockade_namespaces::{
    Clock, IdMap, IdMaps, IdRange, KINDS, Observed, Plan, Request, TimeOffsets, observe, write_maps, write_time_offsets,
};

type Case = (&'static str, fn());

const CASES: &[Case] = &[
    ("each_kind_alone_is_observed", each_kind_alone_is_observed),
    ("all_in_one_call_are_observed", all_in_one_call_are_observed),
    ("a_map_can_not_be_written_twice", a_map_can_not_be_written_twice),
    ("clock_offsets_are_seen_by_the_child", clock_offsets_are_seen_by_the_child),
];

fn main() -> ExitCode {
    let root = rustix::process::geteuid().is_root();
    let (mut passed, mut failed) = (0, 0);
    for (name, case) in CASES.iter().filter(|_| root) {
        let ok = std::panic::catch_unwind(case).is_ok();
        println!("test {name} ... {}", if ok { "ok" } else { "FAILED" });
        if ok { passed += 1 } else { failed += 1 }
    }
    let ignored = if root { 0 } else { CASES.len() };
    let word = if failed == 0 { "ok" } else { "FAILED" };
    println!("test result: {word}. {passed} passed; {failed} failed; {ignored} ignored; 0 measured; 0 filtered out");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// A child in the namespaces of a plan, which waits until `release` is closed.
struct Child {
    pid: Pid,
    release: OwnedFd,
}

impl Child {
    fn of(plan: &Plan, body: fn() -> bool) -> Self {
        let (wait, release) = rustix::pipe::pipe().unwrap();
        let (ready_read, ready) = rustix::pipe::pipe().unwrap();
        let request = CloneRequest { new: plan.clone_flags(), ..CloneRequest::default() };
        match clone3(&request).unwrap() {
            Forked::Child => {
                drop((release, ready_read));
                let ok = (plan.unshared_by_child().is_empty() || unshare(plan.unshared_by_child()).is_ok()) && body();
                drop(ready);
                let waited = rustix::io::read(&wait, &mut [0; 1]) == Ok(0);
                exit_now(u8::from(!(ok && waited)));
            }
            Forked::Parent { pid, .. } => {
                drop(ready);
                assert_eq!(rustix::io::read(&ready_read, &mut [0; 1]), Ok(0));
                Self { pid, release }
            }
        }
    }

    fn subject(&self) -> Subject {
        Subject::Pid(self.pid.as_raw_nonzero().get())
    }

    fn end(self) -> Option<i32> {
        drop(self.release);
        waitpid(Some(self.pid), WaitOptions::empty()).unwrap().unwrap().1.exit_status()
    }
}

fn plan(kinds: Namespaces) -> Plan {
    let maps = if kinds.contains(Namespaces::USER) { maps() } else { IdMaps::default() };
    let requests = kinds.iter().map(|kind| Request { kind, path: None });
    Plan::new(requests, maps, None).unwrap()
}

fn maps() -> IdMaps {
    let users = IdMap::new(vec![IdRange { inside: 0, outside: 100_000, count: 65_536 }]).unwrap();
    let groups = IdMap::new(vec![IdRange { inside: 0, outside: 200_000, count: 10 }]).unwrap();
    IdMaps { users, groups }
}

fn check(kinds: Namespaces) -> Observed {
    let procfs = Procfs::host().unwrap();
    let plan = plan(kinds);
    let child = Child::of(&plan, || true);
    if let Some(maps) = plan.maps() {
        write_maps(&procfs, child.subject(), maps).unwrap();
    }
    let inside = observe(&procfs, child.subject()).unwrap();
    let outside = observe(&procfs, Subject::Myself).unwrap();
    assert_eq!(inside.differing(&outside), kinds);
    assert_eq!(child.end(), Some(0));
    inside
}

fn each_kind_alone_is_observed() {
    for (kind, _) in KINDS {
        if kind != Namespaces::TIME {
            check(kind);
        }
    }
}

fn all_in_one_call_are_observed() {
    assert_eq!(check(Namespaces::all() - Namespaces::TIME).maps, maps());
}

fn a_map_can_not_be_written_twice() {
    let procfs = Procfs::host().unwrap();
    let child = Child::of(&plan(Namespaces::USER), || true);
    write_maps(&procfs, child.subject(), &maps()).unwrap();
    assert!(write_maps(&procfs, child.subject(), &maps()).is_err());
    assert_eq!(child.end(), Some(0));
}

/// The parent would keep the time namespace for its children, so a child of the test is the parent here.
fn clock_offsets_are_seen_by_the_child() {
    let Forked::Parent { pid, .. } = clone3(&CloneRequest::default()).unwrap() else {
        exit_now(u8::from(std::panic::catch_unwind(clock_offsets).is_err()));
    };
    let (_, status) = waitpid(Some(pid), WaitOptions::empty()).unwrap().unwrap();
    assert_eq!(status.exit_status(), Some(0));
}

/// Longer than this machine has been up.
const LONG: i64 = 3_000_000_000;

fn clock_offsets() {
    let years = Clock { seconds: LONG, nanoseconds: 0 };
    let offsets = TimeOffsets { boottime: years, ..TimeOffsets::default() };
    let plan = Plan::new([Request { kind: Namespaces::TIME, path: None }], IdMaps::default(), Some(offsets)).unwrap();
    let procfs = Procfs::host().unwrap();
    let before = observe(&procfs, Subject::Myself).unwrap();
    unshare(plan.unshared_by_parent()).unwrap();
    write_time_offsets(&procfs, plan.offsets().unwrap()).unwrap();
    let child = Child::of(&plan, || rustix::time::clock_gettime(rustix::time::ClockId::Boottime).tv_sec > LONG);
    assert_eq!(observe(&procfs, child.subject()).unwrap().differing(&before), Namespaces::TIME);
    assert_eq!(child.end(), Some(0));
    assert!(rustix::time::clock_gettime(rustix::time::ClockId::Boottime).tv_sec < LONG);
}
