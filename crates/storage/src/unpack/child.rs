//! The program that unpacks, as its caller has it.

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};

use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::pipe::fcntl_setpipe_size;
use stockade_kernel::spawn;

use super::answer::{self, AnswerError, Done, Refusal};
use crate::Compression;

/// How much is read at once, and how much the pipe holds where the kernel lets it: Linux's bound for users without privileges.
const CHUNK: usize = 1 << 20;

/// Why a blob was not unpacked. What there is of it in the folder stays, for the caller to remove; nobody writes there any more.
#[derive(Debug)]
pub(crate) enum ChildError {
    /// It was unpacked up to here.
    Refused(Refusal),
    /// The blob could not be read.
    Blob(io::Error),
    /// The program.
    Program(ProgramError),
}

/// Why the program that unpacks did not do its work.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    /// It could not be started.
    #[error("start {program}, which is installed beside stockade")]
    Start {
        /// The program.
        program: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The pipes to it.
    #[error("talk to {program}")]
    Talk {
        /// The program.
        program: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// It ended without a word: killed, out of the memory that it may take, or another program.
    #[error("{program} ended with {status}")]
    Answer {
        /// The program.
        program: PathBuf,
        /// How it ended.
        status: ExitStatus,
        /// What it said.
        source: AnswerError,
    },
}

/// Unpacks `blob` into the empty `folder` by `program`, which reads it to its end. The child holds `lock` as long as it lives and dies
/// with the calling thread, so that whoever gets the lock later is alone.
///
/// # Errors
/// See [`ChildError`]. An error of `blob` is never taken for its end.
pub(crate) fn unpack(
    program: &Path,
    folder: &Path,
    lock: OwnedFd,
    compression: Compression,
    mut blob: impl Read,
) -> Result<Done, ChildError> {
    let start = |source| ChildError::Program(ProgramError::Start { program: program.to_owned(), source });
    let talk = |source| ChildError::Program(ProgramError::Talk { program: program.to_owned(), source });
    let mut child = start_in(program, folder, lock, compression).map_err(start)?;
    let fed = child.stdin.take().map_or(Ok(()), |pipe| feed(pipe, &mut blob));
    if let Err(Fed::Blob(source)) = fed {
        child.kill().and_then(|()| child.wait()).map_err(talk)?;
        return Err(ChildError::Blob(source));
    }
    let said = child.stdout.take().map_or(Err(AnswerError::Form), answer::read);
    let status = child.wait().map_err(talk)?;
    let answer = said
        .map_err(|source| ChildError::Program(ProgramError::Answer { program: program.to_owned(), status, source }))?;
    let done = answer.map_err(ChildError::Refused)?;
    if !status.success() {
        let source = AnswerError::Form;
        return Err(ChildError::Program(ProgramError::Answer { program: program.to_owned(), status, source }));
    }
    match fed {
        Err(Fed::Pipe(source)) => Err(talk(source)),
        _ => Ok(done),
    }
}

fn start_in(program: &Path, folder: &Path, lock: OwnedFd, compression: Compression) -> io::Result<Child> {
    let mut command = Command::new(program);
    command.arg(compression.name()).env_clear().current_dir(folder);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    spawn::hand_over(&mut command, lock);
    spawn::unblock_signals(&mut command);
    spawn::die_with_caller(&mut command).spawn()
}

/// Where passing a blob on broke off.
enum Fed {
    Blob(io::Error),
    Pipe(io::Error),
}

/// Passes `blob` on, to its end or until nobody reads it any more, which the answer explains.
fn feed(mut pipe: ChildStdin, blob: &mut impl Read) -> Result<(), Fed> {
    match fcntl_setpipe_size(&pipe, CHUNK) {
        // Beyond the bounds of a user it stays as small as it was.
        Ok(_) | Err(Errno::PERM | Errno::BUSY) => {}
        Err(errno) => return Err(Fed::Pipe(errno.into())),
    }
    let mut buffer = vec![0; CHUNK];
    loop {
        let count = match blob.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(Fed::Blob(error)),
        };
        pipe.write_all(&buffer[..count]).map_err(Fed::Pipe)?;
    }
}
