//! Why a stage ended, in a form that crosses from the container's process to the runtime's.

use std::error::Error;
use std::io;

use serde::{Deserialize, Serialize};

/// The longest reason, so that it fits into one message.
const LONGEST: usize = 8 << 10;

/// A step that failed: which, on what, and the kernel's answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("cannot {step}: {reason}")]
pub struct Failure {
    /// What was attempted: an entry of the order in which a container is confined.
    pub step: String,
    /// The reasons, outermost first.
    pub reason: String,
    /// The kernel's errno, if it was the kernel that refused.
    pub errno: Option<i32>,
}

impl Failure {
    /// The failure of `step` because of `error` and its causes.
    pub(super) fn new(step: &str, error: &(dyn Error + 'static)) -> Self {
        let mut reasons: Vec<String> = Vec::new();
        let mut errno = None;
        let mut cause = Some(error);
        while let Some(error) = cause {
            let text = error.to_string();
            // A transparent error says what its source says.
            if reasons.last() != Some(&text) {
                reasons.push(text);
            }
            errno = errno.or_else(|| error.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error));
            errno = errno.or_else(|| error.downcast_ref::<rustix::io::Errno>().map(|errno| errno.raw_os_error()));
            cause = error.source();
        }
        let mut reason = reasons.join(": ");
        let end = (0..=LONGEST).rev().find(|end| reason.is_char_boundary(*end)).unwrap_or(0);
        reason.truncate(end);
        Self { step: step.to_owned(), reason, errno }
    }

    /// A failure that has no error value behind it.
    pub(super) fn because(step: &str, reason: impl Into<String>) -> Self {
        Self { step: step.to_owned(), reason: reason.into(), errno: None }
    }
}

/// Carries out one step of an order.
pub(super) fn step<T, E: Error + 'static>(name: &str, run: impl FnOnce() -> Result<T, E>) -> Result<T, Failure> {
    run().map_err(|error| Failure::new(name, &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot open the door")]
    struct Outer(#[source] io::Error);

    #[test]
    fn the_chain_and_the_errno_are_kept() {
        let error = Outer(io::Error::from_raw_os_error(13));
        let failure = Failure::new("enter the house", &error);
        assert_eq!(failure.errno, Some(13));
        let text = failure.to_string();
        assert!(text.starts_with("cannot enter the house: cannot open the door: Permission denied"), "{text}");
    }
}
