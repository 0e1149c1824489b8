//! The default system call filter, tried from inside: what is tried is generated from the policy that is shipped.

use serde_json::{Value, json};
use stockade_capabilities::CapSet;
use stockade_policy::{Seccomp, defaults, seccomp::Kernel};
use stockade_seccomp::architecture::Arch;
use stockade_seccomp::model::{Action, Filter};
use stockade_seccomp::syscall::Syscall;
use stockade_seccomp::{Profile, Target};
use stockade_testkit::{Bundle, programs, requires};

/// Denied calls that are not tried, each with the reason.
const NOT_TRIED: &[(&str, &str)] =
    &[("uprobe", "the kernel asks no filter about it, and kills who calls it outside of a probe")];

/// Arguments instead of null ones, each with the reason.
const ARGUMENTS: &[(&str, &str, &str)] = &[
    ("kexec_load", "0,0,0,0xfff", "without unknown flags, nothing to load unloads what the host has loaded"),
    ("kexec_file_load", "0,0,0,0,0xfff", "without unknown flags, standard input would be loaded"),
];

/// The filter that a container has by default, as the runtime is given it.
fn section() -> Value {
    let default: CapSet = defaults::CAPABILITIES.iter().map(|entry| entry.value).collect();
    let section = Seccomp::Builtin.resolve(default, Kernel::running()).unwrap().unwrap();
    serde_json::from_str(section.get()).unwrap()
}

fn filter() -> Filter {
    Profile::parse_oci(section().to_string().as_bytes()).unwrap().resolve(&Target::here(&[])).unwrap()
}

/// A container that waits, with the default filter and every capability that this process has: what fails there does so
/// because of the filter. `None` is no filter at all.
fn container(section: Option<Value>) -> Bundle {
    let held = rustix::thread::capabilities(None).unwrap().permitted;
    let names: Vec<String> = CapSet::from_bits(held.bits()).iter().map(|capability| capability.to_string()).collect();
    let bundle = Bundle::busybox().with_inside().args(&["/bin/sleep", "1000"]).edit(|config| {
        for set in ["bounding", "effective", "permitted"] {
            config["process"]["capabilities"][set] = json!(names);
        }
        config["linux"]["seccomp"] = section.unwrap_or_default();
    });
    bundle.detached()
}

/// The errnos with which `calls` fail, in their order; 0 for one that does not.
fn errnos(bundle: &Bundle, calls: &[String]) -> Vec<i64> {
    let mut whole = vec!["/inside", "syscalls"];
    whole.extend(calls.iter().map(String::as_str));
    let answers = bundle.exec(&whole).ok().json();
    answers.as_array().unwrap().iter().map(|answer| answer["errno"].as_i64().unwrap_or(0)).collect()
}

/// All calls that the default profile denies whatever their arguments, with the errno, and how they are tried.
fn denied() -> Vec<(&'static str, i64, String)> {
    let filter = filter();
    let mut found = Vec::new();
    for call in Syscall::all() {
        let Some(number) = call.number(Arch::X86_64) else { continue };
        let Action::Errno(errno) = filter.decide(Arch::X86_64.audit(), number, &[0; 6]).action else { continue };
        if NOT_TRIED.iter().any(|(name, _)| *name == call.name()) {
            continue;
        }
        let arguments = ARGUMENTS.iter().find(|(name, ..)| *name == call.name());
        let tried = arguments.map_or_else(|| number.to_string(), |(_, arguments, _)| format!("{number},{arguments}"));
        found.push((call.name(), errno.into(), tried));
    }
    found
}

#[test]
fn every_denied_call_fails_as_the_profile_says() {
    requires!(root, runtime, busybox_image, x86_64);
    let denied = denied();
    let calls: Vec<String> = denied.iter().map(|(.., tried)| tried.clone()).collect();
    let filtered = errnos(&container(Some(section())), &calls);
    for ((name, errno, _), found) in denied.iter().zip(&filtered) {
        // Another runtime's tables may be older than the profile; it does not have the call then.
        let unknown_to_it = !programs::runtime_is_ours() && *found == 38;
        assert!(found == errno || unknown_to_it, "{name} fails with {found}, not {errno}");
    }
    assert!(denied.iter().any(|(name, errno, _)| *name == "clone3" && *errno == 38));
    // The same without the filter, so that it is the filter that was seen.
    let open = errnos(&container(None), &calls);
    let by_filter = open.iter().zip(&filtered).filter(|(open, filtered)| open != filtered).count();
    assert!(denied.len() > 65 && by_filter > 50, "{by_filter} of {}: {open:?}", denied.len());
}

/// The kit's bundles have Docker's filter, written down apart from our policy: every decision is the same.
#[test]
fn the_kits_filter_decides_as_ours() {
    requires!(x86_64);
    let kits = stockade_testkit::posture::seccomp().to_string();
    let kits = Profile::parse_oci(kits.as_bytes()).unwrap().resolve(&Target::here(&[])).unwrap();
    let ours = filter();
    assert_eq!(kits.architectures(), ours.architectures());
    let mut judged = 0;
    for arch in ours.architectures() {
        for number in Syscall::all().filter_map(|call| call.number(*arch)) {
            for first in [0, 1, 38, 40, 0x2_0000, 0x1_0000_0028] {
                let decide = |filter: &Filter| filter.decide(arch.audit(), number, &[first, 0, 0, 0, 0, 0]).action;
                assert_eq!(decide(&kits), decide(&ours), "{number:#x} with {first:#x} on {arch}");
                judged += 1;
            }
        }
    }
    assert!(judged > 6000, "{judged}");
}

/// Every argument that the profile denies, and the same with a bit that the kernel does not read.
#[test]
fn every_denied_argument_fails_at_the_kernels_width() {
    requires!(root, runtime, busybox_image, x86_64);
    let namespaces = (0..32).map(|bit| 1u64 << bit).filter(|bit| bit & 0x7e02_0000 != 0);
    let mut tried: Vec<(&str, u64)> = namespaces.map(|flag| ("clone", flag)).collect();
    tried.extend([38, 40].map(|family| ("socket", family)));
    // PER_SVR4, ADDR_NO_RANDOMIZE, READ_IMPLIES_EXEC.
    tried.extend([1, 0x4_0000, 0x40_0000].map(|persona| ("personality", persona)));
    let plain = tried.clone();
    // runc compares what libseccomp compares: all 64 bits.
    if programs::runtime_is_ours() {
        tried.extend(plain.into_iter().map(|(call, value)| (call, value | 1 << 32)));
    }
    let number = |call: &str| Syscall::from_name(call).unwrap().number(Arch::X86_64).unwrap();
    let calls: Vec<String> = tried.iter().map(|(call, value)| format!("{},{value:#x}", number(call))).collect();
    let found = errnos(&container(Some(section())), &calls);
    for ((call, value), errno) in tried.into_iter().zip(found) {
        assert_eq!(errno, 1, "{call}({value:#x})");
    }
}

/// The entries of x32 programs (CVE-2014-0038 was in x32's recvmmsg) and of i386 programs are no way around.
#[test]
fn calls_of_another_abi_are_no_way_around() {
    requires!(root, runtime, busybox_image, x86_64);
    let bundle = container(Some(section()));
    // mount, unshare, and clone3 by the x32 numbers.
    let calls = [165, 272, 435].map(|number: u32| (number | 0x4000_0000).to_string());
    assert_eq!(errnos(&bundle, &calls), [1, 1, 38]);
    for abi in ["native", "x32", "i386"] {
        for family in ["38", "40"] {
            let answer = bundle.exec(&["/inside", "socket", abi, family]).ok().json();
            assert_eq!(answer["errno"], 1, "AF {family} by {abi}");
        }
    }
    // i386 programs do have sockets: what was denied above was the family. AF_UNIX, SOCK_SEQPACKET.
    for abi in ["native", "i386"] {
        let answer = bundle.exec(&["/inside", "socket", abi, "1"]).ok().json();
        let unavailable = abi == "i386" && answer["errno"] == 38;
        assert!(answer["returned"].is_i64() || unavailable, "{abi}: {answer}");
    }
}
