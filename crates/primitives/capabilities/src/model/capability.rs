//! One capability: its number, its name, what it lets a process do.

use std::fmt;
use std::str::FromStr;

/// One capability of `capabilities(7)`, by its number (0 to 63).
///
/// The numbers that Linux 6.18 names are constants here; a number above them is spelled `CAP_41` and so on, as
/// `capsh` does, so that a newer kernel's capabilities can be shown, granted and dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Capability(u8);

/// A name that is no capability's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name:?} is not the name of a capability{}", suggestion(*nearest))]
pub struct UnknownCapability {
    /// What was given.
    pub name: String,
    /// The capability whose name is nearest, if one is near enough to be meant.
    pub nearest: Option<Capability>,
}

/// The end of the message of [`UnknownCapability`].
fn suggestion(nearest: Option<Capability>) -> String {
    nearest.map_or_else(String::new, |capability| format!("; did you mean {capability}?"))
}

/// Makes the constants and the table of names from one list, whose order is the numbers'.
macro_rules! capabilities {
    ($($number:literal $name:ident $meaning:literal;)*) => {
        impl Capability {
            $(
                #[doc = $meaning]
                pub const $name: Self = Self($number);
            )*
        }

        /// Name without `CAP_` and meaning, by number.
        const TABLE: &[(&str, &str)] = &[$((stringify!($name), $meaning)),*];
    };
}

capabilities! {
    0 CHOWN "Change the owner and group of any file.";
    1 DAC_OVERRIDE "Pass by the read, write and execute permissions of files.";
    2 DAC_READ_SEARCH "Read any file and search any directory; open files by handle.";
    3 FOWNER "Do what only a file's owner may do: modes, times, attributes, deletion in sticky directories.";
    4 FSETID "Keep set-user-id and set-group-id bits when a file changes.";
    5 KILL "Send signals to any process.";
    6 SETGID "Set group ids and supplementary groups at will.";
    7 SETUID "Set user ids at will.";
    8 SETPCAP "Drop from the bounding set, add to the inheritable set, change securebits.";
    9 LINUX_IMMUTABLE "Set the immutable and append-only attributes of files.";
    10 NET_BIND_SERVICE "Bind to ports below 1024.";
    11 NET_BROADCAST "Send broadcasts and listen to multicasts (unused by the kernel).";
    12 NET_ADMIN "Configure interfaces, routes, firewalls and other network state.";
    13 NET_RAW "Open raw and packet sockets; bind to any address transparently.";
    14 IPC_LOCK "Lock any amount of memory.";
    15 IPC_OWNER "Pass by the permissions of System V IPC objects.";
    16 SYS_MODULE "Load and unload kernel modules.";
    17 SYS_RAWIO "Access I/O ports, kernel and device memory, raw device commands.";
    18 SYS_CHROOT "Use chroot and enter mount namespaces.";
    19 SYS_PTRACE "Trace and inspect any process.";
    20 SYS_PACCT "Switch process accounting.";
    21 SYS_ADMIN "Mount, make and enter namespaces, and a great many other administrative calls.";
    22 SYS_BOOT "Reboot and load a new kernel.";
    23 SYS_NICE "Raise priorities, choose real-time scheduling and CPU affinity of any process.";
    24 SYS_RESOURCE "Pass over resource limits, quotas and reserved space.";
    25 SYS_TIME "Set the system and the hardware clock.";
    26 SYS_TTY_CONFIG "Hang up and configure virtual terminals.";
    27 MKNOD "Make device files.";
    28 LEASE "Take leases on any file.";
    29 AUDIT_WRITE "Write records to the kernel's audit log.";
    30 AUDIT_CONTROL "Switch auditing and change its rules.";
    31 SETFCAP "Set file capabilities; map user 0 into a new user namespace.";
    32 MAC_OVERRIDE "Pass by mandatory access control (Smack).";
    33 MAC_ADMIN "Configure mandatory access control (Smack, AppArmor).";
    34 SYSLOG "Read and clear the kernel's log; see kernel addresses.";
    35 WAKE_ALARM "Set timers that wake the machine.";
    36 BLOCK_SUSPEND "Keep the machine from suspending.";
    37 AUDIT_READ "Read the audit log over netlink.";
    38 PERFMON "Observe performance of the whole system.";
    39 BPF "Load and use privileged BPF programs and maps.";
    40 CHECKPOINT_RESTORE "Choose process ids and use other calls of checkpoint and restore.";
}

impl Capability {
    /// The highest number that a set of the kernel's version 3 interface can hold.
    pub const MAX: u8 = 63;

    /// The capability with this number; `None` above 63.
    #[must_use]
    pub const fn new(number: u8) -> Option<Self> {
        if number <= Self::MAX { Some(Self(number)) } else { None }
    }

    /// The number, `CAP_CHOWN` being 0.
    #[must_use]
    pub const fn number(self) -> u8 {
        self.0
    }

    /// What it lets a process do, in one line; `None` for one that is newer than this table.
    #[must_use]
    pub fn meaning(self) -> Option<&'static str> {
        TABLE.get(usize::from(self.0)).map(|(_, meaning)| *meaning)
    }

    /// All capabilities that this table names, in the order of their numbers.
    pub fn named() -> impl Iterator<Item = Self> {
        (0..=Self::MAX).take(TABLE.len()).map(Self)
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match TABLE.get(usize::from(self.0)) {
            Some((name, _)) => write!(out, "CAP_{name}"),
            None => write!(out, "CAP_{}", self.0),
        }
    }
}

impl FromStr for Capability {
    type Err = UnknownCapability;

    /// Parses a name with or without `CAP_`, in any case, or `CAP_41` to `CAP_63` for those without a name here.
    /// Nothing else: no blanks, no numbers of named capabilities, no `ALL` (which is a set).
    fn from_str(name: &str) -> Result<Self, UnknownCapability> {
        let upper = name.to_ascii_uppercase();
        let bare = upper.strip_prefix("CAP_").unwrap_or(&upper);
        if let Some(found) = Self::named().find(|capability| TABLE[usize::from(capability.0)].0 == bare) {
            return Ok(found);
        }
        let numbered = (TABLE.len()..=usize::from(Self::MAX)).find(|number| upper == format!("CAP_{number}"));
        match numbered.and_then(|number| u8::try_from(number).ok()).and_then(Self::new) {
            Some(capability) => Ok(capability),
            None => Err(UnknownCapability { name: name.to_owned(), nearest: nearest(bare) }),
        }
    }
}

/// The named capability with the least edit distance to `bare`, if at most a third of its letters would change.
fn nearest(bare: &str) -> Option<Capability> {
    const LONGEST: usize = 64;
    if bare.len() > LONGEST {
        return None;
    }
    let distances = Capability::named().map(|capability| {
        let name = TABLE[usize::from(capability.0)].0;
        (distance(bare.as_bytes(), name.as_bytes()), name.len(), capability)
    });
    let (distance, length, capability) = distances.min()?;
    (distance <= length.div_ceil(3)).then_some(capability)
}

/// The Levenshtein distance of two byte strings.
fn distance(from: &[u8], to: &[u8]) -> usize {
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.iter().enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, b) in to.iter().enumerate() {
            let replaced = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_the_kernels() {
        assert_eq!(TABLE.len(), 41);
        for (number, capability) in Capability::named().enumerate() {
            assert_eq!(usize::from(capability.number()), number);
            assert_eq!(capability.to_string().parse(), Ok(capability));
        }
        assert_eq!(Capability::SYS_ADMIN.number(), 21);
        assert_eq!(Capability::CHECKPOINT_RESTORE.number(), 40);
        let named = |name: &str| name.parse::<Capability>().unwrap().number();
        // linux/capability.h, a sample that does not come from the list above.
        assert_eq!([named("CAP_SETPCAP"), named("net_raw"), named("Mknod"), named("cap_bpf")], [8, 13, 27, 39]);
    }

    #[test]
    fn newer_ones_have_a_spelling() {
        let newer = Capability::new(41).unwrap();
        assert_eq!((newer.to_string().as_str(), newer.meaning()), ("CAP_41", None));
        assert_eq!("cap_41".parse(), Ok(newer));
        for wrong in ["CAP_40", "CAP_64", "41", "CAP_041", "CAP_999999999999"] {
            assert!(wrong.parse::<Capability>().is_err(), "{wrong}");
        }
        assert_eq!(Capability::new(64), None);
    }

    #[test]
    fn unknown_names_suggest_the_nearest() {
        let error = "NET_ADMN".parse::<Capability>().unwrap_err();
        assert_eq!(error.to_string(), "\"NET_ADMN\" is not the name of a capability; did you mean CAP_NET_ADMIN?");
        assert_eq!("cap_sysadmin".parse::<Capability>().unwrap_err().nearest, Some(Capability::SYS_ADMIN));
        for wrong in ["", " CHOWN", "CHOWN ", "CAP_CAP_CHOWN", "ALL", "CAP_", "0", "CHOWN\0", &"x".repeat(100_000)] {
            assert!(wrong.parse::<Capability>().is_err(), "{wrong:.20}");
        }
        assert_eq!("quux".parse::<Capability>().unwrap_err().nearest, None);
    }
}
