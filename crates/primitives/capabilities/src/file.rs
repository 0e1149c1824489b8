//! Capabilities of program files: the extended attribute `security.capability`.

use std::io;
use std::path::Path;

use rustix::fd::BorrowedFd;
use rustix::io::Errno;

use crate::model::CapSet;

/// The attribute's name.
pub const ATTRIBUTE: &str = "security.capability";

/// The layout in the upper byte of the first word (`linux/capability.h`).
const REVISION_MASK: u32 = 0xff00_0000;
const REVISION_2: u32 = 0x0200_0000;
const REVISION_3: u32 = 0x0300_0000;
/// The flag in the lower bytes that makes what the file gives effective at once.
const EFFECTIVE: u32 = 1;

/// What a program file gives to who executes it (`capabilities(7)`, "File capabilities").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileCapabilities {
    /// Given, within the bounding set.
    pub permitted: CapSet,
    /// Given as far as the thread has them inheritable.
    pub inheritable: CapSet,
    /// Whether what is given is also made effective.
    pub effective: bool,
    /// The host's id of the user 0 in whose namespaces this counts (version 3, Linux 4.14); `None` is version 2, which
    /// counts everywhere.
    pub root: Option<u32>,
}

/// An attribute value that the kernel would not honour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// Neither version 2 nor 3. Version 1, of Linux before 2.6.25, is not written by anything any more.
    #[error("file capabilities of the unknown version {0:#010x}")]
    Revision(u32),
    /// Not as long as its version says.
    #[error("file capabilities of {0} bytes")]
    Length(usize),
    /// A flag that no kernel knows.
    #[error("file capabilities with the unknown flags {0:#x}")]
    Flags(u32),
}

/// Why a file's capabilities are not known.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The attribute could not be read.
    #[error("cannot read the attribute {ATTRIBUTE}")]
    Read(#[source] io::Error),
    /// Its value is malformed.
    #[error("the attribute {ATTRIBUTE} is malformed")]
    Parse(#[source] ParseError),
}

impl FileCapabilities {
    /// Parses an attribute's value as the kernel stores it (little-endian words: version and flags, permitted and
    /// inheritable 0 to 31, then 32 to 63, then the root id).
    ///
    /// # Errors
    /// See [`ParseError`].
    pub fn parse(value: &[u8]) -> Result<Self, ParseError> {
        let (words, rest) = value.as_chunks::<4>();
        let word = |index: usize| words.get(index).copied().map(u32::from_le_bytes);
        let head = word(0).ok_or(ParseError::Length(value.len()))?;
        let length = match head & REVISION_MASK {
            REVISION_2 => 5,
            REVISION_3 => 6,
            other => return Err(ParseError::Revision(other)),
        };
        if words.len() != length || !rest.is_empty() {
            return Err(ParseError::Length(value.len()));
        }
        let flags = head & !REVISION_MASK;
        if flags & !EFFECTIVE != 0 {
            return Err(ParseError::Flags(flags));
        }
        let both = |low, high| {
            let bits = u64::from(word(low).unwrap_or(0)) | u64::from(word(high).unwrap_or(0)) << 32;
            CapSet::from_bits(bits)
        };
        Ok(Self { permitted: both(1, 3), inheritable: both(2, 4), effective: flags == EFFECTIVE, root: word(5) })
    }

    /// Reads those of an open file; `None` if it has none or its file system cannot store any. The kernel gives
    /// version 3 in the ids of the caller's user namespace.
    ///
    /// # Errors
    /// See [`ReadError`]; `file` must not be an `O_PATH` descriptor.
    pub fn read(file: BorrowedFd<'_>) -> Result<Option<Self>, ReadError> {
        let mut value = [0u8; 64];
        match rustix::fs::fgetxattr(file, ATTRIBUTE, &mut value[..]) {
            Ok(length) => Self::parse(value.get(..length).unwrap_or(&[])).map(Some).map_err(ReadError::Parse),
            Err(Errno::NODATA | Errno::NOTSUP) => Ok(None),
            Err(error) => Err(ReadError::Read(error.into())),
        }
    }
}

/// Whether the file at `path` has any: with its descriptor in `/proc/self/fd` also one that was opened with `O_PATH`. One that cannot be asked has
/// none.
#[must_use]
pub fn has_any(path: &Path) -> bool {
    // Read and not only measured: rustix says 0 for a buffer without room.
    let mut value = [0u8; 64];
    rustix::fs::getxattr(path, ATTRIBUTE, &mut value[..]).is_ok_and(|length| length > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Capability;
    use rustix::fd::AsFd;
    use rustix::fs::XattrFlags;

    /// `setcap cap_net_raw,cap_bpf+ep` as the kernel stores it.
    const PING: [u8; 20] = [1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0x80, 0, 0, 0, 0, 0, 0, 0];

    fn version_3() -> Vec<u8> {
        let mut value = PING.to_vec();
        value[3] = 3;
        value.extend(100_000u32.to_le_bytes());
        value
    }

    #[test]
    fn both_versions() {
        let given = CapSet::of(&[Capability::NET_RAW, Capability::BPF]);
        let expected = FileCapabilities { permitted: given, inheritable: CapSet::EMPTY, effective: true, root: None };
        assert_eq!(FileCapabilities::parse(&PING), Ok(expected));
        let rooted = FileCapabilities { root: Some(100_000), ..expected };
        assert_eq!(FileCapabilities::parse(&version_3()), Ok(rooted));
    }

    #[test]
    fn malformed_values_are_refused() {
        for length in 0..24 {
            assert!(FileCapabilities::parse(&version_3()[..length]).is_err(), "{length}");
        }
        let mut value = PING;
        value[3] = 1;
        assert_eq!(FileCapabilities::parse(&value), Err(ParseError::Revision(0x0100_0000)));
        value[3] = 2;
        value[0] = 3;
        assert_eq!(FileCapabilities::parse(&value), Err(ParseError::Flags(3)));
        assert!(FileCapabilities::parse(&[PING.as_slice(), &[0]].concat()).is_err());
    }

    proptest::proptest! {
        #[test]
        fn no_value_panics(value in proptest::collection::vec(proptest::num::u8::ANY, 0..40)) {
            if let Ok(parsed) = FileCapabilities::parse(&value) {
                proptest::prop_assert_eq!(value.len(), if parsed.root.is_some() { 24 } else { 20 });
            }
        }
    }

    #[test]
    fn what_was_written_is_read_back() {
        let file = tempfile::tempfile().unwrap();
        assert_eq!(FileCapabilities::read(file.as_fd()).unwrap(), None);
        if let Err(error) = rustix::fs::fsetxattr(&file, ATTRIBUTE, &PING, XattrFlags::empty()) {
            println!("skipped: file capabilities cannot be written here: {error}");
            return;
        }
        assert_eq!(FileCapabilities::read(file.as_fd()).unwrap(), FileCapabilities::parse(&PING).ok());
    }
}
