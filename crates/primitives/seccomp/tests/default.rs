//! Our own profile against Docker's: the same verdict on every call, and stricter where Docker's can be stepped over.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;

use stockade_seccomp::architecture::Arch;
use stockade_seccomp::compile::compile;
use stockade_seccomp::interpret::{Shown, interpret};
use stockade_seccomp::model::{Action, Filter};
use stockade_seccomp::syscall::Syscall;
use stockade_seccomp::{Profile, Target};

/// Written by `tables/verdicts.py` from Docker's profile, without our resolver.
const DOCKERS: &str = include_str!("../tables/docker-verdicts.txt");

/// Docker's default capabilities.
const DEFAULT: [&str; 14] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FSETID",
    "CAP_FOWNER",
    "CAP_MKNOD",
    "CAP_NET_RAW",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETFCAP",
    "CAP_SETPCAP",
    "CAP_NET_BIND_SERVICE",
    "CAP_SYS_CHROOT",
    "CAP_KILL",
    "CAP_AUDIT_WRITE",
];

/// All that the profile asks for.
const ALL: [&str; 15] = [
    "CAP_AUDIT_WRITE",
    "CAP_BPF",
    "CAP_DAC_READ_SEARCH",
    "CAP_PERFMON",
    "CAP_SYSLOG",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_CHROOT",
    "CAP_SYS_MODULE",
    "CAP_SYS_NICE",
    "CAP_SYS_PACCT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
];

/// In the order of the table's columns.
const SETS: [&[&str]; 3] = [&[], &DEFAULT, &ALL];

/// The kernels with the architectures that they run, by the table's names.
const KERNELS: [(Arch, &[(Arch, &str)]); 6] = [
    (Arch::X86_64, &[(Arch::X86_64, "X86_64"), (Arch::X86, "X86"), (Arch::X32, "X32")]),
    (Arch::Aarch64, &[(Arch::Aarch64, "AARCH64"), (Arch::Arm, "ARM")]),
    (Arch::Riscv64, &[(Arch::Riscv64, "RISCV64")]),
    (Arch::S390x, &[(Arch::S390x, "S390X"), (Arch::S390, "S390")]),
    (Arch::Ppc64le, &[(Arch::Ppc64le, "PPC64")]),
    (Arch::Loongarch64, &[(Arch::Loongarch64, "LOONGARCH64")]),
];

fn filter(architecture: Arch, kernel: (u32, u32), capabilities: &[&str]) -> Filter {
    Profile::builtin().unwrap().resolve(&Target { architecture, kernel, capabilities }).unwrap()
}

/// What the compiled filters, one per set of capabilities, answer; `None` if that depends on the arguments.
struct Answers {
    programs: [Vec<stockade_kernel::seccomp::Instruction>; 3],
}

impl Answers {
    fn of(kernel: Arch) -> Self {
        Self { programs: SETS.map(|capabilities| compile(&filter(kernel, (6, 18), capabilities)).unwrap()) }
    }

    fn to(&self, arch: Arch, call: &str, arguments: Option<[u64; 6]>) -> [Option<Action>; 3] {
        let number = Syscall::from_name(call).unwrap().number(arch).unwrap();
        self.to_number(arch, number, arguments)
    }

    fn to_number(&self, arch: Arch, number: u32, arguments: Option<[u64; 6]>) -> [Option<Action>; 3] {
        let shown = Shown { number, audit: arch.audit(), arguments };
        [0, 1, 2].map(|set| interpret(&self.programs[set], &shown))
    }
}

fn word(word: &str) -> Option<Action> {
    match word {
        "allow" => Some(Action::Allow),
        "EPERM" => Some(Action::Errno(1)),
        "ENOSYS" => Some(Action::Errno(38)),
        "arguments" => None,
        _ => panic!("{word}"),
    }
}

fn three(words: &str) -> [Option<Action>; 3] {
    let words: Vec<_> = words.split_whitespace().map(word).collect();
    words.try_into().unwrap()
}

/// The table's lines for one architecture: what is before the colon without the architecture, and what is after it.
fn lines(name: &str) -> impl Iterator<Item = (&'static str, &'static str)> {
    let prefix = format!("{name} ");
    DOCKERS.lines().filter_map(move |line| line.strip_prefix(&prefix)?.split_once(':'))
}

#[test]
fn every_call_has_dockers_verdict() {
    for (kernel, architectures) in KERNELS {
        let answers = Answers::of(kernel);
        for (arch, name) in architectures {
            let mut judged = BTreeSet::new();
            for (verdicts, calls) in lines(name).filter(|(before, _)| !before.contains(" 0x")) {
                for call in calls.split_whitespace() {
                    assert_eq!(answers.to(*arch, call, None), three(verdicts), "{call} on {arch}");
                    assert!(judged.insert(call), "{call} on {arch} stands twice");
                }
            }
            let existing: BTreeSet<_> =
                Syscall::all().filter(|call| call.number(*arch).is_some()).map(Syscall::name).collect();
            assert_eq!(judged, existing, "{arch}");
        }
    }
}

/// The one deliberate difference: arguments are compared as the kernel reads them. Docker's rules, which libseccomp compares
/// as 64-bit numbers, take 0x1_0000_0028 for an address family above AF_VSOCK, and the kernel takes it for AF_VSOCK.
#[test]
fn every_argument_has_dockers_verdict_on_its_lower_half() {
    let mut stepped_over = BTreeSet::new();
    let mut judged = 0;
    for (kernel, architectures) in KERNELS {
        let answers = Answers::of(kernel);
        for (arch, name) in architectures {
            let examples: Vec<_> = lines(name).filter(|(before, _)| before.contains(" 0x")).collect();
            let dockers = |call: &str, argument: &str, value: u64| {
                let key = format!("{call} {argument} {value:#x}");
                three(examples.iter().find(|(before, _)| *before == key).unwrap().1)
            };
            for (example, after) in &examples {
                let [call, argument, hex] = example.split(' ').collect::<Vec<_>>().try_into().unwrap();
                let value = u64::from_str_radix(hex.strip_prefix("0x").unwrap(), 16).unwrap();
                // The upper bits of other arguments are as far from deciding.
                let mut arguments = [u64::MAX << 32; 6];
                arguments[argument.parse::<usize>().unwrap()] = value;
                let found = answers.to(*arch, call, Some(arguments));
                let expected = dockers(call, argument, value & 0xffff_ffff);
                assert_eq!(found, expected, "{example} on {arch}");
                let at_64_bits = three(after);
                if found[1] != at_64_bits[1] && at_64_bits[1] == Some(Action::Allow) {
                    stepped_over.insert(format!("{call} {hex}"));
                }
                judged += 1;
            }
        }
    }
    assert!(judged > 300, "only {judged} examples");
    let expected = ["socket 0x100000026", "socket 0x100000028"].map(str::to_owned);
    assert_eq!(stepped_over, BTreeSet::from(expected));
}

#[test]
fn i386_and_x32_are_filtered_by_their_own_numbers() {
    let answers = Answers::of(Arch::X86_64);
    let default = |arch, number, first: u64| {
        let answer = answers.to_number(arch, number, Some([first, 0, 0, 0, 0, 0]))[1];
        answer.unwrap()
    };
    // socket is 359 on i386, where 41 is dup.
    for (arch, socket) in [(Arch::X86_64, 41), (Arch::X86, 359), (Arch::X32, 0x4000_0000 | 41)] {
        for family in [38, 40, 38 | 1 << 32, 40 | 1 << 32, 40 | 1 << 63] {
            assert_eq!(default(arch, socket, family), Action::Errno(1), "AF {family:#x} on {arch}");
        }
        assert_eq!(default(arch, socket, 2), Action::Allow, "AF_INET on {arch}");
    }
    assert_eq!(default(Arch::X86, 41, 0), Action::Allow);
    // mount, unshare, clone3.
    for (arch, numbers) in [(Arch::X86, [21, 310, 435]), (Arch::X32, [165, 272, 435].map(|n| n | 0x4000_0000))] {
        for (number, errno) in numbers.into_iter().zip([1, 1, 38]) {
            assert_eq!(default(arch, number, 0), Action::Errno(errno), "{number:#x} on {arch}");
        }
    }
    // The families of socketcall are out of sight: the profile says so, and AppArmor denies AF_ALG.
    assert_eq!(default(Arch::X86, 102, 1), Action::Allow);
    // An architecture that this kernel does not run.
    let shown = Shown { number: 0, audit: Arch::Aarch64.audit(), arguments: Some([0; 6]) };
    assert_eq!(interpret(&answers.programs[2], &shown), Some(Action::KillProcess));
}

#[test]
fn a_tracer_could_change_calls_before_linux_4_8() {
    for (kernel, capabilities, permitted) in
        [((4, 7), &DEFAULT[..], false), ((4, 8), &DEFAULT[..], true), ((4, 7), &["CAP_SYS_PTRACE"][..], true)]
    {
        let filter = filter(Arch::X86_64, kernel, capabilities);
        let number = Syscall::from_name("ptrace").unwrap().number(Arch::X86_64).unwrap();
        let decision = filter.decide(Arch::X86_64.audit(), number, &[0; 6]);
        assert_eq!(decision.action.permits(), permitted, "{kernel:?} {capabilities:?}");
    }
}

#[test]
fn what_is_newer_than_the_profile_is_not_there() {
    for (kernel, architectures) in KERNELS {
        let answers = Answers::of(kernel);
        for (arch, _) in architectures {
            let newest = Syscall::from_name("removexattrat").unwrap().number(*arch).unwrap();
            for number in [newest + 1, newest + 5, newest + 20] {
                assert_eq!(answers.to_number(*arch, number, None), [Some(Action::Errno(38)); 3], "{number} on {arch}");
            }
        }
    }
    // What the kernel of an s390 does not know has the number 0.
    for arch in [Arch::S390x, Arch::S390] {
        let answers = Answers::of(Arch::S390x);
        assert_eq!(answers.to_number(arch, 0, None), [Some(Action::Errno(38)); 3], "{arch}");
        assert_eq!(answers.to_number(arch, 1, None), [Some(Action::Allow); 3], "exit on {arch}");
    }
    // ARM's own calls have numbers above all others, and are neither newer nor a reason to call others old.
    let answers = Answers::of(Arch::Aarch64);
    for (number, action) in [(0xf_0002, Action::Allow), (0xf_0006, Action::Errno(1)), (0x10_0000, Action::Errno(38))] {
        assert_eq!(answers.to_number(Arch::Arm, number, None)[1], Some(action), "{number:#x}");
    }
}

/// The kernel (5.11) answers a call without running the filter if the way to ALLOW loads nothing but number and architecture.
#[test]
fn the_kernel_can_skip_the_filter_for_what_is_always_allowed() {
    for (kernel, architectures) in KERNELS {
        let filter = filter(kernel, (6, 18), &DEFAULT);
        let program = compile(&filter).unwrap();
        for (arch, _) in architectures {
            let mut always = 0;
            for number in Syscall::all().filter_map(|call| call.number(*arch)) {
                let shown = |arguments| Shown { number, audit: arch.audit(), arguments };
                let conditional = ["socket", "personality", "clone"].map(|name| Syscall::from_name(name).unwrap());
                if conditional.iter().any(|call| call.number(*arch) == Some(number)) {
                    assert_eq!(interpret(&program, &shown(None)), None, "{number} on {arch}");
                    continue;
                }
                let expected = filter.decide(arch.audit(), number, &[0; 6]).action;
                assert_eq!(interpret(&program, &shown(None)), Some(expected), "{number} on {arch}");
                always += usize::from(expected == Action::Allow);
            }
            assert!(always > 230, "{always} on {arch}");
        }
    }
}

/// What the profile says and what it keeps from everybody: each decision about a call of today has a reason beside it.
#[test]
fn every_decision_has_a_reason() {
    let profile = Profile::builtin().unwrap();
    let newest = Syscall::from_name("removexattrat").unwrap().number(Arch::X86_64).unwrap();
    let mut entries = BTreeSet::new();
    for capabilities in SETS {
        for rule in filter(Arch::X86_64, (6, 18), capabilities).rules() {
            assert!(profile.comment(rule.entry).is_some_and(|reason| reason.len() > 5), "entry {}", rule.entry);
            entries.extend(rule.calls.iter().map(|call| call.name()));
        }
    }
    for call in Syscall::all().filter(|call| call.number(Arch::X86_64).is_some_and(|number| number < newest)) {
        // The kernel asks no filter about uprobe, which a probe of the host calls.
        assert!(entries.contains(call.name()) || call.name() == "uprobe", "{call}");
    }
}
