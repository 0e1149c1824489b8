//! What each mount option means, as one table: `config.md` "Linux mount options", mount(8), and runc's extensions.

use stockade_kernel::mount::{AccessTimes, Attributes, Propagation};

/// What one option does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// Nothing: it names the default.
    Nothing,
    /// An attribute of the mount is set.
    Set(Attributes),
    /// An attribute of the mount is cleared.
    Clear(Attributes),
    /// The mount's access time mode.
    Times(AccessTimes),
    /// The mount's access time mode is not this one.
    NotTimes(AccessTimes),
    /// An attribute of the mount and all below is set.
    SetAll(Attributes),
    /// An attribute of the mount and all below is cleared.
    ClearAll(Attributes),
    /// The access time mode of the mount and all below.
    TimesAll(AccessTimes),
    /// The access time mode of the mount and all below is not this one.
    NotTimesAll(AccessTimes),
    /// A flag of the file system.
    Flag(&'static str),
    /// A flag of the file system is taken back.
    NoFlag(&'static str),
    /// The mount is a part of an existing file system.
    Bind {
        /// With all mounts below.
        recursive: bool,
    },
    /// Propagation of the mount.
    Propagate {
        /// To what.
        to: Propagation,
        /// Of all mounts below, too.
        recursive: bool,
    },
    /// Ids are shown by a map.
    IdMap {
        /// In all mounts below, too.
        recursive: bool,
    },
    /// The destination's content is copied into the new file system.
    CopyUp,
    /// It is refused, for this reason.
    Refused(&'static str),
}

use Effect::{Bind, Clear, ClearAll, CopyUp, Flag, IdMap, NoFlag, NotTimes, NotTimesAll, Nothing, Propagate, Refused};
use Effect::{Set, SetAll, Times, TimesAll};

const READ_ONLY: Attributes = Attributes::READ_ONLY;
const NO_SUID: Attributes = Attributes::NO_SUID;
const NO_DEV: Attributes = Attributes::NO_DEV;
const NO_EXEC: Attributes = Attributes::NO_EXEC;
const NO_DIR_ATIME: Attributes = Attributes::NO_DIR_ATIME;
const NO_SYM_FOLLOW: Attributes = Attributes::NO_SYM_FOLLOW;

/// A change of propagation, `r...` being recursive.
const fn propagate(to: Propagation, recursive: bool) -> Effect {
    Propagate { to, recursive }
}

/// The names of all options that a mount can be given, besides those of its file system.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    TABLE.iter().filter(|(_, effect)| !matches!(effect, Refused(_))).map(|(name, _)| *name)
}

/// Every option that is not the file system's own.
const TABLE: [(&str, Effect); 70] = [
    ("defaults", Nothing),
    ("ro", Set(READ_ONLY)),
    ("rw", Clear(READ_ONLY)),
    ("nosuid", Set(NO_SUID)),
    ("suid", Clear(NO_SUID)),
    ("nodev", Set(NO_DEV)),
    ("dev", Clear(NO_DEV)),
    ("noexec", Set(NO_EXEC)),
    ("exec", Clear(NO_EXEC)),
    ("nodiratime", Set(NO_DIR_ATIME)),
    ("diratime", Clear(NO_DIR_ATIME)),
    ("nosymfollow", Set(NO_SYM_FOLLOW)),
    ("symfollow", Clear(NO_SYM_FOLLOW)),
    ("noatime", Times(AccessTimes::Never)),
    ("atime", NotTimes(AccessTimes::Never)),
    ("relatime", Times(AccessTimes::Relative)),
    ("norelatime", NotTimes(AccessTimes::Relative)),
    ("strictatime", Times(AccessTimes::Strict)),
    ("nostrictatime", NotTimes(AccessTimes::Strict)),
    ("rro", SetAll(READ_ONLY)),
    ("rrw", ClearAll(READ_ONLY)),
    ("rnosuid", SetAll(NO_SUID)),
    ("rsuid", ClearAll(NO_SUID)),
    ("rnodev", SetAll(NO_DEV)),
    ("rdev", ClearAll(NO_DEV)),
    ("rnoexec", SetAll(NO_EXEC)),
    ("rexec", ClearAll(NO_EXEC)),
    ("rnodiratime", SetAll(NO_DIR_ATIME)),
    ("rdiratime", ClearAll(NO_DIR_ATIME)),
    ("rnosymfollow", SetAll(NO_SYM_FOLLOW)),
    ("rsymfollow", ClearAll(NO_SYM_FOLLOW)),
    ("rnoatime", TimesAll(AccessTimes::Never)),
    ("ratime", NotTimesAll(AccessTimes::Never)),
    ("rrelatime", TimesAll(AccessTimes::Relative)),
    ("rnorelatime", NotTimesAll(AccessTimes::Relative)),
    ("rstrictatime", TimesAll(AccessTimes::Strict)),
    ("rnostrictatime", NotTimesAll(AccessTimes::Strict)),
    ("sync", Flag("sync")),
    ("async", NoFlag("sync")),
    ("dirsync", Flag("dirsync")),
    ("lazytime", Flag("lazytime")),
    ("nolazytime", NoFlag("lazytime")),
    ("mand", Flag("mand")),
    ("nomand", NoFlag("mand")),
    ("iversion", Flag("iversion")),
    ("noiversion", NoFlag("iversion")),
    ("silent", Nothing),
    ("loud", Nothing),
    ("bind", Bind { recursive: false }),
    ("rbind", Bind { recursive: true }),
    ("private", propagate(Propagation::Private, false)),
    ("rprivate", propagate(Propagation::Private, true)),
    ("slave", propagate(Propagation::Slave, false)),
    ("rslave", propagate(Propagation::Slave, true)),
    ("shared", propagate(Propagation::Shared, false)),
    ("rshared", propagate(Propagation::Shared, true)),
    ("unbindable", propagate(Propagation::Unbindable, false)),
    ("runbindable", propagate(Propagation::Unbindable, true)),
    ("idmap", IdMap { recursive: false }),
    ("ridmap", IdMap { recursive: true }),
    ("tmpcopyup", CopyUp),
    ("remount", Refused("a mount is made once, with all its options")),
    ("move", Refused("mounts are made, not moved")),
    ("auto", Nothing),
    ("noauto", Refused("every mount of the list is made")),
    ("user", Refused("only the runtime mounts")),
    ("users", Refused("only the runtime mounts")),
    ("owner", Refused("only the runtime mounts")),
    ("group", Refused("only the runtime mounts")),
    ("_netdev", Refused("it is for boot scripts")),
];

/// What `option` does; `None`: it is for the file system.
pub(super) fn effect(option: &str) -> Option<Effect> {
    TABLE.iter().find(|(name, _)| *name == option).map(|(_, effect)| *effect)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_option_is_there_once() {
        for (index, (name, effect_of)) in TABLE.iter().enumerate() {
            assert_eq!(TABLE.iter().position(|(other, _)| other == name), Some(index), "{name}");
            assert_eq!(effect(name), Some(*effect_of));
        }
    }

    #[test]
    fn a_recursive_option_mirrors_the_plain_one() {
        for (name, effect_of) in TABLE {
            let recursive = effect(&format!("r{name}"));
            match effect_of {
                Set(attribute) => assert_eq!(recursive, Some(SetAll(attribute)), "{name}"),
                Clear(attribute) => assert_eq!(recursive, Some(ClearAll(attribute)), "{name}"),
                Times(mode) => assert_eq!(recursive, Some(TimesAll(mode)), "{name}"),
                NotTimes(mode) => assert_eq!(recursive, Some(NotTimesAll(mode)), "{name}"),
                Propagate { to, recursive: false } => assert_eq!(recursive, Some(propagate(to, true)), "{name}"),
                _ => {}
            }
        }
    }
}
