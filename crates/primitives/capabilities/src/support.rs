//! What this kernel can do.

use std::io;

use rustix::io::Errno;
use stockade_kernel::procfs::Procfs;

use crate::model::Capability;

/// The capability with the highest number that the running kernel knows (`kernel.cap_last_cap`, Linux 3.2).
///
/// # Errors
/// `EBADMSG` if the file holds no number below 64; otherwise as [`Procfs::read_at`].
pub fn last_cap(procfs: &Procfs) -> io::Result<Capability> {
    let content = procfs.read_at("sys/kernel/cap_last_cap")?;
    parse(&content).ok_or_else(|| Errno::BADMSG.into())
}

/// The file's number.
fn parse(content: &[u8]) -> Option<Capability> {
    let number = std::str::from_utf8(content).ok()?.trim_ascii().parse().ok()?;
    Capability::new(number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CapSet;

    #[test]
    fn malformed_numbers_are_refused() {
        assert_eq!(parse(b"40\n"), Some(Capability::CHECKPOINT_RESTORE));
        for wrong in [&b""[..], b"64", b"-1", b"x", b"\xff", b"4 0"] {
            assert_eq!(parse(wrong), None);
        }
    }

    #[test]
    fn the_kernel_agrees_about_the_last() {
        let last = last_cap(&Procfs::host().unwrap()).unwrap();
        let bounding = |number| {
            let set = rustix::thread::CapabilitySet::from_bits_retain(1u64 << number);
            rustix::thread::capability_is_in_bounding_set(set)
        };
        assert!(bounding(last.number()).is_ok());
        assert_eq!(bounding(last.number() + 1), Err(Errno::INVAL));
        assert!(CapSet::up_to(last).contains(Capability::CHOWN));
    }
}
