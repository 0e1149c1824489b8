//! `run`: [`create`](fn@crate::create) and then [`start`](fn@crate::start).

use crate::create::{CreateError, Created};
use crate::session::{Attachment, Session};
use crate::start::StartError;
use crate::{Engine, Request};

/// A container that was made and started.
#[derive(Debug)]
pub struct Running {
    /// What was made.
    pub created: Created,
    /// The caller's attachment, if one was asked for.
    pub session: Option<Session>,
}

/// Why nothing runs.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// There is no container.
    #[error(transparent)]
    Create(#[from] CreateError),
    /// It was made and did not start; it is still there, unless it was asked for with `--rm`.
    #[error(transparent)]
    Start(#[from] StartError),
}

impl RunError {
    /// Docker's exit code for it.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Create(_) => 125,
            Self::Start(error) => error.exit_code(),
        }
    }
}

/// Makes a container and starts it, with the caller attached if `attachment` is given.
///
/// # Errors
/// See [`RunError`].
pub fn run(engine: &Engine, request: &Request, attachment: Option<Attachment>) -> Result<Running, RunError> {
    let created = crate::create(engine, request)?;
    let session = match attachment {
        Some(attachment) => Some(crate::start_attached(engine, &created.id, attachment)?),
        None => {
            crate::start(engine, &created.id)?;
            None
        }
    };
    Ok(Running { created, session })
}
