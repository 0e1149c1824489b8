//! Carrying out steps on the calling thread.
//!
//! Capabilities belong to threads: a process that has more than one must do this before the second starts.

use rustix::io::Errno;
use rustix::thread::{CapabilitiesSecureBits, CapabilitySet, CapabilitySets};

use crate::model::{CapSet, Capability};
use crate::transition::Step;

/// A step that the kernel refused.
#[derive(Debug, thiserror::Error)]
#[error("cannot {step}")]
pub struct ApplyError {
    /// The step.
    pub step: Step,
    /// The kernel's answer.
    #[source]
    pub source: Errno,
}

/// Carries out `steps` in their order on the calling thread. What is in force afterwards is for
/// [`crate::observe::of_this_thread`] to say.
///
/// # Errors
/// The first step that the kernel refuses. The steps before it have taken effect: the thread is good for nothing but to
/// report it and exit.
pub fn apply(steps: &[Step]) -> Result<(), ApplyError> {
    steps.iter().try_for_each(|&step| carry_out(step).map_err(|source| ApplyError { step, source }))
}

/// Carries out one step.
fn carry_out(step: Step) -> Result<(), Errno> {
    match step {
        Step::DropBounding(capability) => rustix::thread::remove_capability_from_bounding_set(one(capability)),
        Step::KeepCaps(keep) => rustix::thread::set_keep_capabilities(keep),
        Step::CapSet { effective, permitted, inheritable } => rustix::thread::set_capabilities(
            None,
            CapabilitySets { effective: many(effective), permitted: many(permitted), inheritable: many(inheritable) },
        ),
        Step::ClearAmbient => rustix::thread::clear_ambient_capability_set(),
        Step::RaiseAmbient(capability) => rustix::thread::configure_capability_in_ambient_set(one(capability), true),
        Step::Securebits(bits) => {
            rustix::thread::set_capabilities_secure_bits(CapabilitiesSecureBits::from_bits_retain(bits.bits()))
        }
    }
}

/// The bit of one capability.
fn one(capability: Capability) -> CapabilitySet {
    many(capability.into())
}

/// The bits of a set.
fn many(set: CapSet) -> CapabilitySet {
    CapabilitySet::from_bits_retain(set.bits())
}
