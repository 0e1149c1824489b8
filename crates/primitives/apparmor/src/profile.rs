//! The text of Stockade's own profile, with a reason for each group of rules.
//!
//! It lets a container do what an ordinary program does and withholds what reaches the host: mounts, writes to kernel settings,
//! tracing of and signals to others. Docker's `docker-default` denies nothing that this profile allows; this one also denies
//! unmounting, which would uncover masked paths.

use std::fmt::Write;

use crate::model::ProfileName;

/// Where the parser finds the rules of ABI 3.0.
pub(crate) const ABI_FILE: &str = "/etc/apparmor.d/abi/3.0";

/// Rules that belong together, and why.
struct Group {
    reason: &'static str,
    rules: &'static [&'static str],
}

/// The rules. `{name}` is the profile's own name.
const GROUPS: &[Group] = &[
    Group {
        reason: "what programs do; capabilities, namespaces and seccomp limit it further",
        rules: &["network,", "unix,", "capability,", "file,"],
    },
    Group {
        reason: "sockets of the kernel's crypto interface let containers write shared page cache (CVE-2026-31431)",
        rules: &["deny network alg,"],
    },
    Group {
        reason: "the host stops containers, and so do the runtimes where they have profiles of their own",
        rules: &[
            "signal (receive) peer=unconfined,",
            "signal (receive) peer=stake,",
            "signal (receive) peer=stockade,",
            "signal (receive) peer=runc,",
            "signal (receive) peer=crun,",
        ],
    },
    Group {
        reason: "processes of containers see, trace and signal only each other",
        rules: &["signal (send,receive) peer={name},", "ptrace (trace,read,tracedby,readby) peer={name},"],
    },
    Group {
        reason: "a new mount, or one less, changes what is masked",
        rules: &["deny mount,", "deny remount,", "deny umount,", "deny pivot_root,"],
    },
    Group {
        reason: "in /proc only a process' own files and shared-memory settings may be written",
        rules: &[
            "deny /proc/* w,",
            "deny /proc/[^0-9s/]*/** w,",
            "deny /proc/s[^y/]*/** w,",
            "deny /proc/sy[^s/]*/** w,",
            "deny /proc/sys[^/]*/** w,",
            "deny /proc/sys/[^k]** w,",
            "deny /proc/sys/k[^e]** w,",
            "deny /proc/sys/ke[^r]** w,",
            "deny /proc/sys/kernel/[^s]** w,",
            "deny /proc/sys/kernel/s[^h]** w,",
            "deny /proc/sys/kernel/sh[^m]** w,",
            "deny /proc/sysrq-trigger rwklx,",
            "deny /proc/kcore rwklx,",
        ],
    },
    Group {
        reason: "in /sys only the control groups may be written",
        rules: &[
            "deny /sys/[^f]** wklx,",
            "deny /sys/f[^s]** wklx,",
            "deny /sys/fs/[^c]** wklx,",
            "deny /sys/fs/c[^g]** wklx,",
            "deny /sys/fs/cg[^r]** wklx,",
        ],
    },
    Group {
        reason: "secrets of the firmware, power readings that betray keys (CVE-2020-8694), the security modules themselves",
        rules: &[
            "deny /sys/firmware/** rwklx,",
            "deny /sys/devices/virtual/powercap/** rwklx,",
            "deny /sys/kernel/security/** rwklx,",
        ],
    },
];

/// The profile's text. `pinned` says that [`ABI_FILE`] exists, so that newer rules of the parser, under which `network` means
/// less, do not apply.
#[must_use]
pub fn text(name: &ProfileName, pinned: bool) -> String {
    let mut text = String::from(if pinned { "abi <abi/3.0>,\n\n" } else { "" });
    text.push_str(&format!("profile {name} flags=(attach_disconnected,mediate_deleted) {{\n"));
    for group in GROUPS {
        text.push_str(&format!("  # {}\n", group.reason));
        for rule in group.rules {
            text.push_str(&format!("  {}\n", rule.replace("{name}", name.as_str())));
        }
    }
    text.push_str("}\n");
    text
}

/// The SHA-256 of `text` in lower-case hexadecimal digits.
pub(crate) fn digest(text: &[u8]) -> String {
    use sha2::Digest;
    sha2::Sha256::digest(text).iter().fold(String::with_capacity(64), |mut digest, byte| {
        // Writing to a string cannot fail.
        digest.write_fmt(format_args!("{byte:02x}")).unwrap_or_default();
        digest
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_is_there_once_and_ends() {
        let text = text(&ProfileName::stockade_default(), true);
        assert!(text.starts_with("abi <abi/3.0>,\n"));
        assert!(text.contains("\nprofile stockade-default flags="));
        assert!(text.contains("  deny network alg,\n"));
        let rules: Vec<&str> = GROUPS.iter().flat_map(|group| group.rules).copied().collect();
        for rule in &rules {
            assert!(rule.ends_with(','), "{rule}");
            assert_eq!(rules.iter().filter(|other| *other == rule).count(), 1, "{rule}");
        }
        assert!(!text.contains("{name}"));
    }

    #[test]
    fn without_the_abi_file_nothing_is_pinned() {
        assert!(super::text(&"x".parse().unwrap(), false).starts_with("profile x "));
    }

    #[test]
    fn digests() {
        assert_eq!(digest(b""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    }
}
