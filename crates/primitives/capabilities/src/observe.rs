//! What is in force, as the kernel answers.

use std::io;

use rustix::io::Errno;
use rustix::thread::CapabilitySet;
use stockade_kernel::procfs::{Procfs, Status, Subject};

use crate::model::{CapSet, Capability, Securebits, Sets, State, Which};

/// What the calling thread has, by `capget(2)` and `prctl(2)`, without procfs. About ninety short system calls.
///
/// # Errors
/// As those calls; `EINVAL` from a kernel before 4.3, which has no ambient set.
pub fn of_this_thread(last: Capability) -> io::Result<State> {
    let kernel = rustix::thread::capabilities(None)?;
    let (mut bounding, mut ambient) = (CapSet::EMPTY, CapSet::EMPTY);
    for capability in CapSet::up_to(last).iter() {
        let one = CapabilitySet::from_bits_retain(CapSet::from(capability).bits());
        if rustix::thread::capability_is_in_bounding_set(one)? {
            bounding = bounding | capability.into();
        }
        if rustix::thread::capability_is_in_ambient_set(one)? {
            ambient = ambient | capability.into();
        }
    }
    let sets = Sets {
        effective: CapSet::from_bits(kernel.effective.bits()),
        permitted: CapSet::from_bits(kernel.permitted.bits()),
        inheritable: CapSet::from_bits(kernel.inheritable.bits()),
        bounding,
        ambient,
    };
    Ok(State { sets, securebits: securebits()? })
}

/// What the calling thread has, as `procfs` tells it: the same by five system calls.
///
/// # Errors
/// As [`Procfs::status`] and `prctl(2)`.
pub fn of_myself(procfs: &Procfs) -> io::Result<State> {
    Ok(State { sets: of_status(&procfs.status(Subject::Myself)?), securebits: securebits()? })
}

/// The calling thread's securebits. Of other threads the kernel does not tell them.
fn securebits() -> Result<Securebits, Errno> {
    Ok(Securebits::from_bits(rustix::thread::capabilities_secure_bits()?.bits()))
}

/// The five sets of the process that `status` was read of.
#[must_use]
pub const fn of_status(status: &Status) -> Sets {
    Sets {
        effective: CapSet::from_bits(status.effective),
        permitted: CapSet::from_bits(status.permitted),
        inheritable: CapSet::from_bits(status.inheritable),
        bounding: CapSet::from_bits(status.bounding),
        ambient: CapSet::from_bits(status.ambient),
    }
}

/// What is in force is not what was planned, or cannot be known.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The kernel did not tell.
    #[error("cannot read back this thread's capabilities")]
    Observe(#[source] io::Error),
    /// A set differs.
    #[error("the {set} capabilities are {found} and not {expected} as planned")]
    Set {
        /// The set.
        set: Which,
        /// What the plan said.
        expected: CapSet,
        /// What is in force.
        found: CapSet,
    },
    /// The securebits differ.
    #[error("the securebits are {found} and not {expected} as planned")]
    Securebits {
        /// What the plan said.
        expected: Securebits,
        /// What is in force.
        found: Securebits,
    },
}

/// Holds the calling thread against `expected` ([`crate::Transition::expected`]).
///
/// # Errors
/// The first difference: the payload must not be started then.
pub fn verify(expected: &State, last: Capability) -> Result<(), VerifyError> {
    let found = of_this_thread(last).map_err(VerifyError::Observe)?;
    for set in Which::ALL {
        let (expected, found) = (expected.sets.get(set), found.sets.get(set));
        if expected != found {
            return Err(VerifyError::Set { set, expected, found });
        }
    }
    if expected.securebits != found.securebits {
        return Err(VerifyError::Securebits { expected: expected.securebits, found: found.securebits });
    }
    Ok(())
}
