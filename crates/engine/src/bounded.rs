//! Other people's programs, which may hang: their end is waited for so long and no longer.

use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::AsFd;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};
use stockade_kernel::spawn::die_with_caller;

/// How much of a stream is read at a time.
const CHUNK: usize = 64 << 10;

/// What a program has said when it ended.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) status: ExitStatus,
    pub(crate) output: Vec<u8>,
    pub(crate) error: Vec<u8>,
}

/// Runs `command` without input to its end; `None` if it has not ended after `patience`: then it was killed, and with it what it has started and
/// what did not leave its process group. It also ends when the caller does. What it leaves may hold its streams: they are not waited for.
///
/// # Errors
/// If it cannot be executed; as `poll(2)`.
pub(crate) fn run(command: &mut Command, patience: Duration) -> io::Result<Option<Said>> {
    let deadline = Instant::now() + patience;
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let mut child = die_with_caller(command).spawn()?;
    let heard = hear(&mut child, deadline);
    if !matches!(heard, Ok(Some(_))) {
        // It was not waited for: its number is its own, and its group's.
        match kill_process_group(Pid::from_child(&child), Signal::KILL) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    let status = child.wait()?;
    Ok(heard?.map(|[output, error]| Said { status, output, error }))
}

/// What it says until it has ended; `None` if it has not by then.
fn hear(child: &mut Child, deadline: Instant) -> io::Result<Option<[Vec<u8>; 2]>> {
    let pidfd = pidfd_open(Pid::from_child(child), PidfdFlags::empty())?;
    let (mut stdout, mut stderr) = (child.stdout.take(), child.stderr.take());
    for stream in stdout.iter().map(AsFd::as_fd).chain(stderr.iter().map(AsFd::as_fd)) {
        rustix::io::ioctl_fionbio(stream, true)?;
    }
    let mut said = [Vec::new(), Vec::new()];
    loop {
        let mut fds = vec![PollFd::new(&pidfd, PollFlags::IN)];
        fds.extend(stdout.iter().map(|stream| PollFd::new(stream, PollFlags::IN)));
        fds.extend(stderr.iter().map(|stream| PollFd::new(stream, PollFlags::IN)));
        let left = deadline.saturating_duration_since(Instant::now());
        let limit = Timespec { tv_sec: left.as_secs().cast_signed(), tv_nsec: i64::from(left.subsec_nanos()) };
        let ready = rustix::io::retry_on_intr(|| poll(&mut fds, Some(&limit)))?;
        // Before the streams are read: what it wrote is in them then.
        let ended = fds.first().is_some_and(|fd| !fd.revents().is_empty());
        read(&mut stdout, &mut said[0])?;
        read(&mut stderr, &mut said[1])?;
        if ended {
            return Ok(Some(said));
        }
        if ready == 0 || left.is_zero() {
            return Ok(None);
        }
    }
}

/// Reads what is there; a stream that has ended is closed.
fn read<R: Read>(stream: &mut Option<R>, said: &mut Vec<u8>) -> io::Result<()> {
    let mut buffer = [0; CHUNK];
    while let Some(open) = stream {
        match open.read(&mut buffer) {
            Ok(0) => *stream = None,
            Ok(length) => said.extend_from_slice(&buffer[..length]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(text: &str, patience: Duration) -> Option<Said> {
        run(Command::new("sh").args(["-c", text]), patience).unwrap()
    }

    #[test]
    fn what_it_says_is_heard_whatever_its_length() {
        let said = script("head -c 300000 /dev/zero; echo why >&2; exit 3", Duration::from_secs(30)).unwrap();
        assert_eq!((said.output.len(), said.error.as_slice(), said.status.code()), (300_000, &b"why\n"[..], Some(3)));
    }

    #[test]
    fn what_it_leaves_is_not_waited_for() {
        let said = script("sleep 100 & echo $!", Duration::from_secs(30)).unwrap();
        let left = String::from_utf8(said.output).unwrap().trim().parse().unwrap();
        rustix::process::kill_process(Pid::from_raw(left).unwrap(), Signal::KILL).unwrap();
    }

    #[test]
    fn one_that_hangs_is_killed_with_what_it_started() {
        let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
        let held = format!("/proc/{}/fd/{}", std::process::id(), rustix::fd::AsRawFd::as_raw_fd(&writer));
        // Both processes hold the pipe; neither ends by itself.
        let text = format!("exec 3>{held}; echo ready >&3; sleep 1000 & sleep 1000");
        assert!(script(&text, Duration::from_secs(2)).is_none());
        drop(writer);
        let mut all = Vec::new();
        std::fs::File::from(reader).read_to_end(&mut all).unwrap();
        assert_eq!(all, b"ready\n");
    }
}
