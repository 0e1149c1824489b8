//! Published sequences of system calls, made in a container with Docker's filter.

use serde_json::{Value, json};
use stockade_testkit::{Bundle, cgroup, requires};

use crate::sleeping;

/// The errno of one call by its number.
fn errno(bundle: &Bundle, arguments: &[&str]) -> Value {
    let mut whole = vec!["/inside", "syscall"];
    whole.extend(arguments);
    bundle.exec(&whole).ok().json()["errno"].clone()
}

/// The kernel's crypto sockets write into the page cache of files that are only read, and so of layers that are shared: denied
/// by every way to make a socket, and whatever stands in the half of the argument that the kernel does not read.
#[test]
fn cve_2026_31431_no_crypto_socket_by_any_way() {
    requires!(root, stake, busybox_image, x86_64);
    let bundle = sleeping();
    let (family, kind) = ("38", "5");
    for upper in [0u64, 1, 0x7fff_ffff, 0xffff_ffff] {
        let family = (upper << 32 | 38).to_string();
        assert_eq!(errno(&bundle, &["41", &family, kind]), 1, "socket, upper half {upper:#x}");
        assert_eq!(errno(&bundle, &[&(0x4000_0000u64 | 41).to_string(), &family, kind]), 1, "x32");
    }
    let gate = |arguments: &[&str]| {
        let mut whole = vec!["/inside", "gate-386"];
        whole.extend(arguments);
        bundle.exec(&whole).ok().json()
    };
    // The gate works: getpid is 20 there.
    assert!(gate(&["20", "0", "0", "0"])["returned"].as_i64().is_some_and(|pid| pid > 0));
    assert_eq!(gate(&["359", family, kind, "0"])["errno"], 1, "socket of i386");
    // socketcall(SYS_SOCKET, {AF_ALG, SOCK_SEQPACKET, 0}): its arguments lie where no filter sees them. Docker's profile of that
    // year allows it by name; without that, and where the call is denied by its family alone, there is no such way around.
    let denied = json!([{ "names": ["socket"], "action": "SCMP_ACT_ERRNO", "args": [{ "index": 0, "value": 38, "op": "SCMP_CMP_EQ" }] }]);
    let by_family = json!({ "defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"], "syscalls": denied });
    let mut without = stockade_testkit::posture::seccomp();
    for rule in without["syscalls"].as_array_mut().unwrap() {
        rule["names"].as_array_mut().unwrap().retain(|name| name != "socketcall");
    }
    for profile in [by_family, without] {
        let bundle = Bundle::busybox().with_inside().edit(|config| config["linux"]["seccomp"] = profile);
        let bundle = bundle.args(&["/inside", "gate-386", "102", "1", "0", "0", family, kind, "0"]);
        assert_eq!(bundle.run().ok().json()["errno"], 1, "socketcall of i386");
    }
}

/// The published sequence: a user and cgroup namespace of one's own, a mount of a v1 hierarchy, and a release agent.
#[test]
fn cve_2022_0492_no_release_agent_can_be_set() {
    requires!(root, runtime, busybox_image, limits);
    let script = "d=/tmp/hierarchy; mkdir -p $d; \
        unshare -UrmC sh -c \"mount -t cgroup -o rdma cgroup $d\" && echo unshared; \
        for c in rdma memory pids misc devices; do mount -t cgroup -o $c cgroup $d && echo mounted; done; \
        for f in $(find / -xdev -name release_agent; find /sys/fs/cgroup -name release_agent); do \
            echo $f; (echo /x > $f) && echo written; done; \
        for f in $(find /sys/fs/cgroup -name notify_on_release); do (echo 1 > $f) && echo notified; done; echo end";
    let before = agents();
    let mut bundle = Bundle::busybox().sh(script);
    assert_eq!(bundle.run().ok().out(), "end");
    // Nor without a filter, by the capabilities alone; and nor with CAP_SYS_ADMIN, as the groups are read-only there.
    bundle = bundle.edit(|config| config["linux"]["seccomp"] = json!(null));
    let done = bundle.run().ok();
    assert!(!done.stdout.contains("written") && !done.stdout.contains("notified"), "{done:?}");
    assert_eq!(agents(), before);
}

/// The release agents of the host.
fn agents() -> Vec<String> {
    let read = |one: &cgroup::Hierarchy| std::fs::read_to_string(one.mount.join("release_agent")).unwrap_or_default();
    cgroup::hierarchies().iter().map(read).collect()
}

/// The filter's calls that only some capability opens are open with it, and closed without.
#[test]
fn cve_2022_0185_no_user_namespace_or_mount_by_the_new_calls() {
    requires!(root, runtime, busybox_image, x86_64);
    let bundle = sleeping();
    let flags = [0x1000_0000u64, 0x0002_0000, 0x0200_0000, 0x1000_0000 | 0x0002_0000];
    for flag in flags {
        assert_eq!(errno(&bundle, &["272", &flag.to_string()]), 1, "unshare {flag:#x}");
        assert_eq!(errno(&bundle, &["56", &(flag | 17).to_string()]), 1, "clone {flag:#x}");
    }
    // fsopen, fsconfig, fsmount, move_mount, open_tree, mount_setattr.
    for number in [430, 431, 432, 429, 428, 442] {
        assert_eq!(errno(&bundle, &[&number.to_string()]), 1, "{number}");
    }
}
