//! The default system call filter, tried from inside.

use serde_json::Value;
use stockade_testkit::{Bundle, requires};

/// Calls of x86_64 that the default profile denies under the default capabilities, by number; with null arguments each
/// of them would fail otherwise, or change nothing, or never return to a container without capabilities.
const DENIED: &[(&str, u64)] = &[
    ("mount", 165),
    ("umount2", 166),
    ("swapon", 167),
    ("reboot", 169),
    ("init_module", 175),
    ("delete_module", 176),
    ("quotactl", 179),
    ("lookup_dcookie", 212),
    ("kexec_load", 246),
    ("add_key", 248),
    ("request_key", 249),
    ("keyctl", 250),
    ("unshare", 272),
    ("move_pages", 279),
    ("perf_event_open", 298),
    ("open_by_handle_at", 304),
    ("setns", 308),
    ("finit_module", 313),
    ("bpf", 321),
    ("userfaultfd", 323),
    ("io_uring_setup", 425),
    ("open_tree", 428),
    ("fsopen", 430),
    ("pivot_root", 155),
];

fn errno(bundle: &Bundle, arguments: &[&str]) -> Value {
    let mut whole = vec!["/inside", "syscall"];
    whole.extend(arguments);
    bundle.exec(&whole).ok().json()["errno"].clone()
}

#[test]
fn denied_calls_fail_with_eperm() {
    requires!(root, runtime, busybox_image, x86_64);
    let bundle = Bundle::busybox().with_inside().args(&["/bin/sleep", "1000"]).detached();
    for (name, number) in DENIED {
        assert_eq!(errno(&bundle, &[&number.to_string()]), 1, "{name}");
    }
    // clone3 hides its flags in memory: callers are to fall back to clone.
    assert_eq!(errno(&bundle, &["435"]), 38);
}

#[test]
fn socket_families_are_compared_at_the_kernels_width() {
    requires!(root, runtime, busybox_image, x86_64);
    let bundle = Bundle::busybox().with_inside().args(&["/bin/sleep", "1000"]).detached();
    for family in [38u64, 40] {
        assert_eq!(errno(&bundle, &["41", &family.to_string(), "5"]), 1, "AF {family}");
        if stockade_testkit::programs::runtime_is_ours() {
            let stepped = family | 1 << 32;
            assert_eq!(errno(&bundle, &["41", &stepped.to_string(), "5"]), 1, "AF {stepped:#x}");
        }
    }
}

#[test]
fn calls_of_another_abi_are_no_way_around() {
    requires!(root, runtime, busybox_image, x86_64);
    let bundle = Bundle::busybox().with_inside().args(&["/bin/sleep", "1000"]).detached();
    // mount and unshare by the x32 numbers.
    for number in [0x4000_0000u64 | 165, 0x4000_0000 | 272] {
        let answer = errno(&bundle, &[&number.to_string()]);
        assert!(answer == 1 || answer == 38, "{number:#x}: {answer}");
    }
}
