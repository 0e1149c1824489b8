//! The exit codes, which are Docker's, and what is said when a command fails.
//!
//! | code | meaning |
//! |---|---|
//! | 0 | it worked; for `run` and `start --attach`, the container's program said so |
//! | 1 | a command failed, or one of the containers that it named |
//! | 3 | `audit` found a wall that is weaker than asked, or a profile that is not met; `diff-walls` found the second weaker; `selftest` found one broken; `policy check` does not allow it; `record replay` found something missing |
//! | 64 | `--format` of `inspect`, `info` or `version` was given something that is no template |
//! | 125 | a command line that is wrong, or a container that was not made or not started |
//! | 126 | the container's program cannot be executed |
//! | 127 | the container's program was not found |
//! | others | the container's own: 128 and the signal's number if a signal ended it |
//!
//! 125, 126 and 127 of a container's own program look the same, as with Docker.

use std::error::Error;

use stockade_engine::{CreateError, FollowError, OpenError, StartError};
use stockade_kernel::chain::chain;

use crate::flags::RequestError;
use crate::verb::policy::prove::ProofError;

/// It worked.
pub(crate) const SUCCESS: u8 = 0;
/// A command failed.
pub(crate) const FAILED: u8 = 1;
/// A wall is weaker than asked.
pub(crate) const WEAKER: u8 = 3;
/// A template of `inspect`, `info` or `version` that is none.
pub(crate) const NO_TEMPLATE: u8 = 64;
/// A wrong command line, or no container.
pub(crate) const REFUSED: u8 = 125;

/// Why the command ends without having done what it was asked for.
#[derive(Debug)]
pub(crate) struct Failure {
    /// The exit code.
    pub(crate) code: u8,
    /// What is said after `stockade: `; `None` if it was said already, or nobody is there to read it.
    pub(crate) message: Option<String>,
}

impl Failure {
    /// Ends with `code` and says `message`.
    pub(crate) fn new(code: u8, message: impl Into<String>) -> Self {
        Self { code, message: Some(message.into()) }
    }

    /// Ends with `code` and says the error with its causes.
    pub(crate) fn of(code: u8, error: &dyn Error) -> Self {
        Self::new(code, chain(error))
    }

    /// Ends with 1 and says the error with its causes.
    pub(crate) fn failed(error: &dyn Error) -> Self {
        Self::of(FAILED, error)
    }
}

impl From<RequestError> for Failure {
    fn from(error: RequestError) -> Self {
        Self::of(REFUSED, &error)
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        Self::of(REFUSED, &error)
    }
}

impl From<CreateError> for Failure {
    fn from(error: CreateError) -> Self {
        Self::of(REFUSED, &error)
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        Self::of(error.exit_code(), &error)
    }
}

impl From<ProofError> for Failure {
    fn from(error: ProofError) -> Self {
        Self::of(REFUSED, &error)
    }
}

impl From<FollowError> for Failure {
    fn from(error: FollowError) -> Self {
        Self::of(error.exit_code(), &error)
    }
}

/// Standard output that cannot be written. That its reader has gone is no news to anybody.
impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::BrokenPipe {
            return Self { code: FAILED, message: None };
        }
        Self::new(FAILED, format!("cannot write to standard output: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_said_once() {
        #[derive(Debug, thiserror::Error)]
        #[error("{0}")]
        struct Outer(&'static str, #[source] std::io::Error);
        let cause = || std::io::Error::other("it is full");
        assert_eq!(chain(&Outer("write a", cause())), "write a: it is full");
        assert_eq!(chain(&Outer("write a: it is full", cause())), "write a: it is full");
        let pipe = Failure::from(std::io::Error::from(std::io::ErrorKind::BrokenPipe));
        assert_eq!((pipe.code, pipe.message), (FAILED, None));
    }
}
