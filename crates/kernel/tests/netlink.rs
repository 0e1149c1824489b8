//! Interfaces on the real kernel, in throw-away network namespaces; `ip(8)` makes them and says how they are afterwards.
//!
//! A process that enters namespaces may have one thread only, so this program brings its own harness. Needs root and `ip`.

// Clippy knows tests by their attribute, which a program with a harness of its own does not have.
#![allow(clippy::unwrap_used)]

use std::os::fd::AsFd;
use std::process::{Command, ExitCode};

use rustix::fd::OwnedFd;
use rustix::fs::{CWD, Mode, OFlags};
use rustix::process::{WaitOptions, waitpid};
use stockade_kernel::clone::{Forked, Request, clone3};
use stockade_kernel::exec::exit_now;
use stockade_kernel::namespace::{Namespaces, setns, unshare};
use stockade_kernel::netlink::{NetlinkError, loopback_up, move_link};

type Case = (&'static str, fn());

const CASES: &[Case] = &[
    ("the_loopback_comes_up", the_loopback_comes_up),
    ("an_interface_moves_with_what_it_has", an_interface_moves_with_what_it_has),
    ("a_name_and_an_index_that_are_taken_there", a_name_and_an_index_that_are_taken_there),
    ("what_can_not_be_moved_stays", what_can_not_be_moved_stays),
    ("without_privileges_the_kernel_refuses", without_privileges_the_kernel_refuses),
];

fn main() -> ExitCode {
    let able = rustix::process::geteuid().is_root() && Command::new("ip").arg("-V").output().is_ok();
    let (mut passed, mut failed) = (0, 0);
    for (name, case) in CASES.iter().filter(|_| able) {
        let ok = in_a_child(*case);
        println!("test {name} ... {}", if ok { "ok" } else { "FAILED" });
        if ok { passed += 1 } else { failed += 1 }
    }
    let ignored = if able { 0 } else { CASES.len() };
    let word = if failed == 0 { "ok" } else { "FAILED" };
    println!("test result: {word}. {passed} passed; {failed} failed; {ignored} ignored; 0 measured; 0 filtered out");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs `case` in a child in a network namespace of its own.
fn in_a_child(case: fn()) -> bool {
    match clone3(&Request { new: Namespaces::NET, ..Request::default() }).unwrap() {
        Forked::Child => exit_now(u8::from(std::panic::catch_unwind(case).is_err())),
        Forked::Parent { pid, .. } => {
            waitpid(Some(pid), WaitOptions::empty()).unwrap().unwrap().1.exit_status() == Some(0)
        }
    }
}

/// The network namespace of the caller.
fn current() -> OwnedFd {
    rustix::fs::openat(CWD, "/proc/self/ns/net", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).unwrap()
}

/// Another one, empty.
fn other() -> OwnedFd {
    let here = current();
    unshare(Namespaces::NET).unwrap();
    let other = current();
    setns(here, Namespaces::NET).unwrap();
    other
}

/// What `ip` says in the caller's network namespace.
fn ip(arguments: &str) -> String {
    let output = Command::new("ip").args(arguments.split(' ')).output().unwrap();
    assert!(output.status.success(), "{arguments}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn the_loopback_comes_up() {
    assert!(!ip("-o link show lo").contains(",UP"));
    loopback_up().unwrap();
    loopback_up().unwrap();
    assert!(ip("-o link show lo").contains(",UP"));
    assert!(ip("-o addr show lo").contains("127.0.0.1/8"));
}

fn an_interface_moves_with_what_it_has() {
    ip("link add dev outside mtu 1400 address 02:00:00:00:00:07 type veth peer name peer");
    for address in ["10.1.2.3/24 brd +", "10.1.2.4/24", "fd00::7/64 nodad", "169.254.1.1/16 scope link"] {
        ip(&format!("addr add {address} dev outside"));
    }
    ip("addr add 10.9.9.9/32 dev outside valid_lft 1000 preferred_lft 1000");
    let (here, there) = (current(), other());
    move_link("outside", Some("inside"), there.as_fd()).unwrap();
    assert!(!ip("-o link show").contains("outside"));
    assert_eq!(rustix::fs::fstat(&here).unwrap().st_ino, rustix::fs::fstat(current()).unwrap().st_ino);
    setns(there, Namespaces::NET).unwrap();
    let link = ip("-o link show inside");
    for part in ["mtu 1400", "02:00:00:00:00:07", ",UP"] {
        assert!(link.contains(part), "{link}");
    }
    let addresses = ip("-o addr show inside");
    for part in ["10.1.2.3/24 brd 10.1.2.255 scope global inside", "10.1.2.4/24 scope global secondary", "fd00::7/64"] {
        assert!(addresses.contains(part), "{addresses}");
    }
    for part in ["169.254", "10.9.9.9"] {
        assert!(!addresses.contains(part), "{addresses}");
    }
}

fn a_name_and_an_index_that_are_taken_there() {
    ip("link add dev first index 7 type veth peer name peer");
    let (here, there) = (current(), other());
    setns(&there, Namespaces::NET).unwrap();
    ip("link add dev first index 7 type veth peer name peer");
    setns(here, Namespaces::NET).unwrap();
    assert!(matches!(move_link("first", None, there.as_fd()), Err(NetlinkError::Taken(name)) if name == "first"));
    assert!(ip("-o link show").contains("first"));
    move_link("first", Some("second"), there.as_fd()).unwrap();
    setns(there, Namespaces::NET).unwrap();
    assert!(ip("-o link show second").contains(",UP"));
    assert!(!ip("-o link show first").contains(",UP"));
}

fn what_can_not_be_moved_stays() {
    let there = other();
    let there = there.as_fd();
    assert!(matches!(move_link("absent", None, there), Err(NetlinkError::Missing(name)) if name == "absent"));
    for bad in ["", "..", "a/b", "a b", "eth%d", "sixteen-letters-"] {
        assert!(matches!(move_link(bad, None, there), Err(NetlinkError::Name(name)) if name == bad));
        assert!(matches!(move_link("lo", Some(bad), there), Err(NetlinkError::Name(name)) if name == bad));
    }
    let error = move_link("lo", Some("lo2"), there).unwrap_err();
    let NetlinkError::Request { said: Some(said), .. } = &error else { unreachable!("{error:?}") };
    assert!(error.to_string().contains(said), "{error}");
    ip("link add dev bridge type bridge");
    ip("link add dev port master bridge type veth peer name peer");
    assert!(matches!(move_link("port", None, there), Err(NetlinkError::InUse { .. })));
    assert!(ip("-o link show").contains("port"));
    let file = std::fs::File::open("/dev/null").unwrap();
    assert!(matches!(move_link("bridge", None, file.as_fd()), Err(NetlinkError::Enter(_))));
    assert!(ip("-o link show").contains("bridge"));
}

fn without_privileges_the_kernel_refuses() {
    rustix::thread::set_no_new_privs(true).unwrap();
    rustix::thread::set_thread_res_uid(
        rustix::process::Uid::from_raw(1000),
        rustix::process::Uid::from_raw(1000),
        rustix::process::Uid::from_raw(1000),
    )
    .unwrap();
    let NetlinkError::Request { source, .. } = loopback_up().unwrap_err() else { unreachable!() };
    assert_eq!(source.raw_os_error(), Some(rustix::io::Errno::PERM.raw_os_error()));
}
