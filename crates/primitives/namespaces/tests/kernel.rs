//! Namespaces on the real kernel: made in one `clone3(2)`, then observed from outside.
//!
//! A process that clones may have one thread only, so this program brings its own harness. Needs root.

// Clippy knows tests by their attribute, which a program with a harness of its own does not have.
#![allow(clippy::unwrap_used)]

use std::process::ExitCode;

use rustix::fd::{AsFd, OwnedFd};
use rustix::mount::OpenTreeFlags;
use rustix::process::{Pid, WaitOptions, waitpid};
use stockade_kernel::clone::{Forked, Request as CloneRequest, clone3};
use stockade_kernel::exec::exit_now;
use stockade_kernel::mount::{Change, mount_setattr};
use stockade_kernel::namespace::{Namespaces, unshare};
use stockade_kernel::procfs::{Procfs, Subject};
use stockade_namespaces::{
    Clock, DelegateError, IdMap, IdMaps, IdRange, KINDS, Observed, Plan, Request, TimeOffsets, observe, support, table,
    user_namespace_with, write_maps, write_maps_delegated, write_time_offsets,
};

type Case = (&'static str, fn());

const CASES: &[Case] = &[
    ("each_kind_alone_is_observed", each_kind_alone_is_observed),
    ("all_in_one_call_are_observed", all_in_one_call_are_observed),
    ("a_map_can_not_be_written_twice", a_map_can_not_be_written_twice),
    ("clock_offsets_are_seen_by_the_child", clock_offsets_are_seen_by_the_child),
    ("a_namespace_for_mounts_shows_owners_through_its_maps", a_namespace_for_mounts_shows_owners_through_its_maps),
    ("a_map_of_the_own_id_takes_setgroups_away", a_map_of_the_own_id_takes_setgroups_away),
    ("newuidmap_refuses_what_the_user_was_not_given", newuidmap_refuses_what_the_user_was_not_given),
    ("the_table_is_that_of_lsns", the_table_is_that_of_lsns),
    ("this_kernel_has_what_it_makes", this_kernel_has_what_it_makes),
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
    in_a_child(clock_offsets);
}

/// Runs `body` in a process of its own; a panic there is one here.
fn in_a_child(body: fn()) {
    let Forked::Parent { pid, .. } = clone3(&CloneRequest::default()).unwrap() else {
        exit_now(u8::from(std::panic::catch_unwind(body).is_err()));
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

fn a_namespace_for_mounts_shows_owners_through_its_maps() {
    let children = || std::fs::read_to_string("/proc/thread-self/children").unwrap();
    let before = children();
    let namespace = user_namespace_with(&maps()).unwrap();
    assert_eq!(children(), before);
    assert_eq!(stockade_kernel::namespace::kind(&namespace).unwrap(), Namespaces::USER);
    in_a_child(|| {
        unshare(Namespaces::MOUNT).unwrap();
        let namespace = user_namespace_with(&maps()).unwrap();
        let run = |script: &str| std::process::Command::new("sh").args(["-ec", script]).status().unwrap().success();
        // The file system of temporary files: tmpfs itself maps owners from Linux 6.3 on only.
        let place = tempfile::tempdir().unwrap();
        let bind = format!("mount --make-rprivate /; mount --bind '{}' /mnt", place.path().display());
        assert!(run(&format!("{bind}; touch /mnt/file; chown 5:6 /mnt/file")));
        let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
        let tree = rustix::mount::open_tree(rustix::fs::CWD, "/mnt", flags).unwrap();
        let change = Change { id_map: Some(namespace.as_fd()), ..Change::default() };
        mount_setattr(&tree, c"", false, change).unwrap();
        let stat = rustix::fs::statat(&tree, "file", rustix::fs::AtFlags::empty()).unwrap();
        assert_eq!((stat.st_uid, stat.st_gid), (100_005, 200_006));
    });
    let overlapping = IdMap::from_text("0 0 5\n3 9 5\n").unwrap();
    let wrong = IdMaps { users: overlapping.clone(), groups: overlapping };
    assert!(user_namespace_with(&wrong).is_err());
    assert_eq!(children(), before);
}

/// Becomes a user without privileges who owns nothing in `/etc/subuid`.
fn become_nobody() {
    let (uid, gid) = (rustix::process::Uid::from_raw(64_999), rustix::process::Gid::from_raw(64_999));
    rustix::thread::set_thread_groups(&[]).unwrap();
    rustix::thread::set_thread_res_gid(gid, gid, gid).unwrap();
    rustix::thread::set_thread_res_uid(uid, uid, uid).unwrap();
    // The change of user took it away, and with it the right to see the own files below /proc.
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::Dumpable).unwrap();
}

fn one(outside: u32, count: u32) -> IdMap {
    IdMap::new(vec![IdRange { inside: 0, outside, count }]).unwrap()
}

fn a_map_of_the_own_id_takes_setgroups_away() {
    in_a_child(|| {
        become_nobody();
        let procfs = Procfs::host().unwrap();
        let maps = IdMaps { users: one(64_999, 1), groups: one(64_999, 1) };
        let plan = Plan::new([Request { kind: Namespaces::USER, path: None }], maps.clone(), None).unwrap();
        let child = Child::of(&plan, || true);
        write_maps_delegated(&procfs, child.pid, &maps).unwrap();
        assert_eq!(observe(&procfs, child.subject()).unwrap().maps, maps);
        assert_eq!(procfs.read(child.subject(), "setgroups").unwrap(), b"deny\n");
        assert_eq!(child.end(), Some(0));
    });
}

fn newuidmap_refuses_what_the_user_was_not_given() {
    in_a_child(|| {
        become_nobody();
        let procfs = Procfs::host().unwrap();
        let maps = IdMaps { users: one(0, 10), groups: one(64_999, 1) };
        let plan = Plan::new([Request { kind: Namespaces::USER, path: None }], maps.clone(), None).unwrap();
        let child = Child::of(&plan, || true);
        let error = write_maps_delegated(&procfs, child.pid, &maps).unwrap_err();
        match &error {
            DelegateError::Refused { file: "/etc/subuid", user: 64_999, said, .. } => assert!(!said.is_empty()),
            // The package uidmap is not installed.
            DelegateError::NoProgram { program: "newuidmap" } => {
                assert!(!std::path::Path::new("/usr/bin/newuidmap").exists());
            }
            other => unreachable!("{other:?}"),
        }
        assert!(observe(&procfs, child.subject()).unwrap().maps.users.ranges().is_empty());
        child.end();
    });
}

fn the_table_is_that_of_lsns() {
    let procfs = Procfs::host().unwrap();
    let child = Child::of(&plan(Namespaces::all() - Namespaces::TIME), || true);
    let pid = child.pid.as_raw_nonzero().get();
    let ours: Vec<_> = table(&procfs).unwrap().rows.into_iter().filter(|row| row.pid == pid).collect();
    let output = std::process::Command::new("lsns").args(["-rno", "NS,TYPE,NPROCS,PID"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let theirs: Vec<_> = text.lines().filter(|line| line.ends_with(&format!(" {pid}"))).collect();
    assert_eq!((ours.len(), theirs.len()), (7, 7), "{text}");
    for row in ours {
        let (_, name) = KINDS.into_iter().find(|(kind, _)| *kind == row.kind).unwrap();
        assert!(theirs.contains(&format!("{} {name} {} {pid}", row.inode, row.processes).as_str()), "{row:?} {text}");
        assert!(row.command.windows(6).any(|part| part == b"kernel"), "{row:?}");
    }
    assert_eq!(child.end(), Some(0));
}

fn this_kernel_has_what_it_makes() {
    let found = support(&Procfs::host().unwrap()).unwrap();
    assert!(found.possible().contains(Namespaces::MOUNT | Namespaces::PID | Namespaces::NET | Namespaces::USER));
    in_a_child(|| {
        let procfs = Procfs::host().unwrap();
        unshare(Namespaces::USER).unwrap();
        let own = Subject::Pid(rustix::process::getpid().as_raw_nonzero().get());
        // From inside a map can be written of the own user only, and of no group without denying setgroups(2).
        procfs.write(own, "uid_map", b"0 0 1\n").unwrap();
        procfs.write_at("sys/user/max_net_namespaces", b"0").unwrap();
        let found = support(&procfs).unwrap();
        assert_eq!(found.kinds - found.possible(), Namespaces::NET);
        assert!(unshare(Namespaces::NET).is_err());
    });
}
