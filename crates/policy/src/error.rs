//! What is wrong with a set of options.

use stockade_apparmor::PlanError;
use stockade_capabilities::{CapSet, UnknownCapability};
use stockade_seccomp::ChangesError;

/// Options that are malformed, contradict each other, or cannot be met.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// A value that the flag does not take.
    #[error("invalid {flag} {value:?}: {reason}")]
    Invalid {
        /// The flag.
        flag: &'static str,
        /// What was given.
        value: String,
        /// What it should be.
        reason: &'static str,
    },
    /// Changes of the system call filter.
    #[error("invalid --security-opt {option:?}")]
    Calls {
        /// What was given.
        option: String,
        /// What is wrong.
        source: ChangesError,
    },
    /// Options that exclude each other.
    #[error("conflicting options: {first} and {second}")]
    Conflict {
        /// One of them.
        first: &'static str,
        /// The other.
        second: &'static str,
    },
    /// An option that means nothing without another.
    #[error("{option} needs {needs}")]
    Incomplete {
        /// The option.
        option: &'static str,
        /// What it needs.
        needs: &'static str,
    },
    /// A capability name.
    #[error("invalid --cap-add or --cap-drop")]
    Capability(#[from] UnknownCapability),
    /// Capabilities asked for by name that this process cannot give.
    #[error("cannot add {0}: this machine or this process does not have it")]
    CapabilityUnavailable(CapSet),
    /// SELinux was asked for.
    #[error("--security-opt {0:?}: SELinux labels are not supported, except label=disable")]
    SelinuxUnsupported(String),
    /// The AppArmor choice.
    #[error("the AppArmor choice cannot be met")]
    AppArmor(#[from] PlanError),
    /// What only a control group can do, asked for where the engine may make none.
    #[error(
        "{0} needs a control group, which is for root to make here: leave it out, or run the container as root (stockade doctor \
         tells more)"
    )]
    NoGroup(&'static str),
    /// A host device that could not be looked at.
    #[error("cannot use the device {path}")]
    Device {
        /// Its path on the host.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// A [`PolicyError::Invalid`].
pub(crate) fn invalid(flag: &'static str, value: impl Into<String>, reason: &'static str) -> PolicyError {
    PolicyError::Invalid { flag, value: value.into(), reason }
}
