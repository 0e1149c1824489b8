//! The kernel's switches (`/proc/sys`), as data: what each should be, and what is weaker otherwise.

use super::{Patient, Rank, Symptom};

/// One switch.
struct Setting {
    /// Its name, as `sysctl(8)` has it.
    name: &'static str,
    /// The least value that is good.
    least: i64,
    /// What it means if the kernel does not have it.
    missing: Option<&'static str>,
    /// What is weaker otherwise.
    because: &'static str,
}

/// What containers can be kept from even where a wall of theirs is missing.
const SETTINGS: &[Setting] = &[
    Setting {
        name: "kernel.unprivileged_bpf_disabled",
        least: 1,
        missing: None,
        because: "programs without privileges may load eBPF: a container without a filter of system calls reaches the verifier",
    },
    Setting {
        name: "kernel.yama.ptrace_scope",
        least: 1,
        missing: Some("processes of one user may trace each other: the kernel has no Yama"),
        because: "processes of one user may trace each other: one that broke out reaches all others of its user",
    },
    Setting {
        name: "kernel.dmesg_restrict",
        least: 1,
        missing: None,
        because: "a container without a filter of system calls may read the kernel's messages, addresses among them",
    },
    Setting {
        name: "kernel.kptr_restrict",
        least: 1,
        missing: None,
        because: "addresses of the kernel are shown to who holds CAP_SYSLOG, and in some files to everybody",
    },
    Setting {
        name: "kernel.io_uring_disabled",
        least: 1,
        missing: None,
        because: "a container without a filter of system calls, or whose filter allows it, may use io_uring, past the filter of what \
                  it does by that",
    },
    Setting {
        name: "kernel.perf_event_paranoid",
        least: 2,
        missing: None,
        because: "a container without a filter of system calls may watch the kernel by performance counters",
    },
    Setting {
        name: "fs.protected_symlinks",
        least: 1,
        missing: None,
        because: "links in folders such as /tmp are followed whoever made them",
    },
    Setting {
        name: "fs.protected_hardlinks",
        least: 1,
        missing: None,
        because: "users may link to files that they cannot read",
    },
    Setting {
        name: "fs.protected_fifos",
        least: 1,
        missing: None,
        because: "FIFOs in folders such as /tmp are opened whoever made them",
    },
    Setting {
        name: "fs.protected_regular",
        least: 1,
        missing: None,
        because: "files in folders such as /tmp are opened for writing whoever made them",
    },
];

/// Looks at all of them.
pub(super) fn examine(patient: &Patient) -> Vec<Symptom> {
    let mut found: Vec<Symptom> = SETTINGS.iter().filter_map(|setting| one(patient, setting)).collect();
    found.extend(userfaultfd(patient));
    found
}

/// The value of a switch.
pub(super) fn value(patient: &Patient, name: &str) -> std::io::Result<Option<String>> {
    patient.read(&format!("/proc/sys/{}", name.replace('.', "/")))
}

fn one(patient: &Patient, setting: &Setting) -> Option<Symptom> {
    let Setting { name, least, missing, because } = *setting;
    Some(match value(patient, name) {
        Err(error) => Symptom::unknown(name, &error),
        Ok(None) => {
            let mend = "use a kernel with it, and yama in the kernel parameter lsm=";
            Symptom::bad(Rank::Weaker, name, "this kernel has no such setting", missing?, mend)
        }
        Ok(Some(text)) => match text.parse::<i64>() {
            Ok(number) if number >= least => Symptom::good(name, text),
            Ok(_) => Symptom::bad(Rank::Weaker, name, text, because, &format!("sudo sysctl -w {name}={least}")),
            Err(_other) => Symptom::bad(Rank::Weaker, name, text, because, &format!("sudo sysctl -w {name}={least}")),
        },
    })
}

/// The one that is good when it is off.
fn userfaultfd(patient: &Patient) -> Option<Symptom> {
    let name = "vm.unprivileged_userfaultfd";
    Some(match value(patient, name) {
        Err(error) => Symptom::unknown(name, &error),
        Ok(None) => return None,
        Ok(Some(text)) if text == "0" => Symptom::good(name, text),
        Ok(Some(text)) => {
            let because = "a container without a filter of system calls may stop the kernel in the middle of a copy, which exploits do";
            Symptom::bad(Rank::Weaker, name, text, because, &format!("sudo sysctl -w {name}=0"))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::{about, patient};
    use super::*;

    #[test]
    fn switches_are_read() {
        let files = [
            ("/proc/sys/kernel/dmesg_restrict", "0\n"),
            ("/proc/sys/kernel/kptr_restrict", "2\n"),
            ("/proc/sys/kernel/perf_event_paranoid", "-1\n"),
            ("/proc/sys/vm/unprivileged_userfaultfd", "1\n"),
            ("/proc/sys/fs/protected_fifos", "what\n"),
        ];
        let (_root, patient) = patient(0, "6.1.0", &files);
        let found = examine(&patient);
        let rank = |name: &str| about(&found, name).rank;
        assert_eq!(rank("kernel.dmesg_restrict"), Rank::Weaker);
        assert_eq!(rank("kernel.kptr_restrict"), Rank::Good);
        assert_eq!(rank("kernel.perf_event_paranoid"), Rank::Weaker);
        assert_eq!(rank("fs.protected_fifos"), Rank::Weaker);
        assert_eq!(rank("kernel.yama.ptrace_scope"), Rank::Weaker);
        let userfaultfd = about(&found, "vm.unprivileged_userfaultfd");
        assert_eq!(userfaultfd.mend.as_deref(), Some("sudo sysctl -w vm.unprivileged_userfaultfd=0"));
        assert_eq!(found.len(), 6, "what the kernel has not is not held against it: {found:#?}");
    }
}
