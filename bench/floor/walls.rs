//! Capabilities and the filter.

use std::ffi::OsString;

use rustix::thread::{CapabilitySet, CapabilitySets};
use stockade_kernel::seccomp::{FilterFlags, Instruction, set_mode_filter};

use crate::{Failed, to};

/// Docker's fourteen.
const KEPT: u64 = 0xa804_25fb;
/// The highest capability (`CAP_CHECKPOINT_RESTORE`).
const LAST: u32 = 40;

/// Reads a file of instructions, eight bytes each, in this machine's order.
pub(crate) fn filter(path: &OsString) -> Result<Vec<Instruction>, Failed> {
    let bytes = std::fs::read(path).map_err(to("read the filter"))?;
    let one = |bytes: &[u8; 8]| Instruction {
        code: u16::from_ne_bytes([bytes[0], bytes[1]]),
        if_true: bytes[2],
        if_false: bytes[3],
        constant: u32::from_ne_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]),
    };
    Ok(bytes.as_chunks().0.iter().map(one).collect())
}

/// Gives up capabilities and loads the filter, which takes CAP_SYS_ADMIN where no_new_privs is not set: so that goes last.
pub(crate) fn confine(filter: &[Instruction]) -> Result<(), Failed> {
    for number in (0..=LAST).filter(|number| KEPT & (1 << number) == 0) {
        let one = CapabilitySet::from_bits_retain(1 << number);
        rustix::thread::remove_capability_from_bounding_set(one).map_err(to("drop a capability"))?;
    }
    set_mode_filter(FilterFlags::SPEC_ALLOW, filter).map_err(to("load the filter"))?;
    let kept = CapabilitySet::from_bits_retain(KEPT);
    let sets = CapabilitySets { effective: kept, permitted: kept, inheritable: CapabilitySet::empty() };
    rustix::thread::set_capabilities(None, sets).map_err(to("set capabilities"))
}
