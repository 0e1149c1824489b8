//! The process that unpacks: started, fed with the blob, and heard.

use std::io::{self, PipeWriter, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};

use rustix::fd::OwnedFd;
use rustix::pipe::fcntl_setpipe_size;
use stockade_kernel::spawn;

use super::EnsureError;
use crate::confined::{Answer, LARGEST_ANSWER, Unpacked};
use crate::{Compression, Digest, Privilege};

/// How much of the blob is passed on at once, and how much waits in the pipe.
const CHUNK: usize = 256 << 10;

/// Has `program` unpack `blob` into `root`, which stays locked in share as long as the program runs. It is gone when this returns,
/// and dies if this thread does.
///
/// # Errors
/// See [`EnsureError`]. What was unpacked so far stays.
pub(super) fn unpack(
    program: &Path,
    root: &OwnedFd,
    (compression, privilege): (Compression, Privilege),
    mut blob: impl Read,
    diff_id: &Digest,
) -> Result<Unpacked, EnsureError> {
    let failed =
        |step| move |source| EnsureError::Program { diff_id: *diff_id, program: program.to_owned(), step, source };
    let (mut child, writer) = start(program, root, compression, privilege).map_err(failed("start"))?;
    let answer = child.0.stdout.take();
    // An error of the blob counts, whatever the program says of what it got.
    let fed = feed(&mut blob, writer, diff_id).inspect_err(|_| child.stop())?;
    let bytes = hear(answer).map_err(failed("hear"))?;
    let status = child.0.wait().map_err(failed("wait for"))?;
    match Answer::parse(&bytes) {
        Some(Answer::Unpacked(unpacked)) if status.success() && fed == Fed::Whole => Ok(unpacked),
        Some(Answer::Refused(source)) => Err(EnsureError::Unpack { diff_id: *diff_id, source }),
        Some(Answer::Unconfined(reason)) => Err(EnsureError::Unconfined { diff_id: *diff_id, reason }),
        Some(Answer::Unpacked(_)) if status.success() => {
            Err(EnsureError::ended(diff_id, "it was done before all of the layer was read"))
        }
        Some(Answer::Unpacked(_)) | None => Err(EnsureError::ended(diff_id, end(status))),
    }
}

/// The process, which is not left behind.
struct Running(Child);

impl Running {
    fn stop(&mut self) {
        // One that has ended by itself is as good.
        if let Err(_ended) = self.0.kill() {}
        if let Err(_unknown) = self.0.wait() {}
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !matches!(self.0.try_wait(), Ok(Some(_))) {
            self.stop();
        }
    }
}

fn start(
    program: &Path,
    root: &OwnedFd,
    compression: Compression,
    privilege: Privilege,
) -> io::Result<(Running, PipeWriter)> {
    let (reader, writer) = io::pipe()?;
    // The default does as well, where there is a bound on the pipes of all users.
    if let Err(_bound) = fcntl_setpipe_size(&writer, CHUNK) {}
    let mut command = Command::new(program);
    command.env_clear().arg(compression.name()).stdin(reader).stdout(Stdio::piped()).stderr(Stdio::null());
    let number = spawn::only_with(&mut command, rustix::io::fcntl_dupfd_cloexec(root, 3)?);
    command.arg(number.to_string()).arg(privilege.name());
    spawn::unblock_signals(spawn::die_with_caller(&mut command));
    Ok((Running(command.spawn()?), writer))
}

/// Whether the program took all of the blob.
#[derive(PartialEq, Eq)]
enum Fed {
    Whole,
    Part,
}

/// Passes the blob on. A program that takes no more of it says why in its answer.
fn feed(blob: &mut impl Read, mut writer: PipeWriter, diff_id: &Digest) -> Result<Fed, EnsureError> {
    let mut buffer = vec![0; CHUNK];
    loop {
        let count = match blob.read(&mut buffer) {
            Ok(0) => return Ok(Fed::Whole),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(source) => return Err(EnsureError::Blob { diff_id: *diff_id, source }),
        };
        match writer.write_all(&buffer[..count]) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(Fed::Part),
            Err(source) => return Err(EnsureError::Blob { diff_id: *diff_id, source }),
        }
    }
}

/// All that the program says, up to a bound beyond which it is no answer.
fn hear(answer: Option<ChildStdout>) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    match answer {
        Some(answer) => answer.take(LARGEST_ANSWER).read_to_end(&mut bytes).map(|_| bytes),
        None => Ok(bytes),
    }
}

/// How a process ended that said nothing.
fn end(status: ExitStatus) -> String {
    match status.signal() {
        Some(signal) => format!("it was killed by signal {signal}"),
        None => format!("it gave no answer ({status})"),
    }
}
