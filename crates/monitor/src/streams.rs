//! The container's standard streams: pipes or a terminal, the inner ends for the runtime and the outer ends for the monitor.

use std::io;
use std::process::Stdio;

use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer};
use rustix::termios::{Winsize, tcsetwinsize};
use stockade_monitor::order::Stdin;

/// Where something was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stream {
    /// Standard output, or the terminal.
    Output,
    /// Standard error.
    Error,
}

impl Stream {
    /// Docker's word for it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Output => "stdout",
            Self::Error => "stderr",
        }
    }

    /// Its place in an array of two.
    pub(crate) fn index(self) -> usize {
        match self {
            Self::Output => 0,
            Self::Error => 1,
        }
    }
}

/// The inner ends: the standard streams of the runtime's `create`, which the container inherits unless it has a terminal.
#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) stdin: Stdio,
    pub(crate) stdout: Stdio,
    pub(crate) stderr: Stdio,
}

impl Inner {
    /// No streams at all.
    pub(crate) fn nothing() -> Self {
        Self { stdin: Stdio::null(), stdout: Stdio::null(), stderr: Stdio::null() }
    }
}

/// What a read brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Read {
    /// So many bytes.
    Some(usize),
    /// Nothing now.
    NotNow,
    /// Nobody can write any more.
    End,
}

/// The outer ends of the output.
#[derive(Debug, Default)]
pub(crate) struct Outputs {
    ends: [Option<OwnedFd>; 2],
    /// With a terminal, its inner side: as long as somebody has it open, the outer side is not told of a hang-up when the
    /// container closes its own for a while.
    kept_open: Option<OwnedFd>,
    terminal: bool,
}

/// Makes pipes for a container without a terminal: the inner ends, the outer ends, and the outer end of standard input.
///
/// # Errors
/// As `pipe2(2)`.
pub(crate) fn pipes(stdin: Stdin) -> io::Result<(Inner, Outputs, Option<OwnedFd>)> {
    let (output, output_inner) = pipe_with(PipeFlags::CLOEXEC)?;
    let (error, error_inner) = pipe_with(PipeFlags::CLOEXEC)?;
    let (input_inner, input) = if stdin == Stdin::Closed {
        (Stdio::null(), None)
    } else {
        let (inner, outer) = pipe_with(PipeFlags::CLOEXEC)?;
        // The outer ends alone: inner ends that do not block are not what programs expect.
        rustix::io::ioctl_fionbio(&outer, true)?;
        (Stdio::from(inner), Some(outer))
    };
    for outer in [&output, &error] {
        rustix::io::ioctl_fionbio(outer, true)?;
    }
    let inner = Inner { stdin: input_inner, stdout: output_inner.into(), stderr: error_inner.into() };
    Ok((inner, Outputs { ends: [Some(output), Some(error)], ..Outputs::default() }, input))
}

/// What the runtime gets when the container has a terminal: a pipe for what it says itself, which is the error output of the
/// value returned.
///
/// # Errors
/// As `pipe2(2)`.
pub(crate) fn runtime_only() -> io::Result<(Inner, Outputs)> {
    let (error, inner) = pipe_with(PipeFlags::CLOEXEC)?;
    rustix::io::ioctl_fionbio(&error, true)?;
    let inner = Inner { stdin: Stdio::null(), stdout: Stdio::null(), stderr: inner.into() };
    Ok((inner, Outputs { ends: [None, Some(error)], ..Outputs::default() }))
}

impl Outputs {
    /// The terminal whose outer side is `master`, and a second descriptor of it for input.
    ///
    /// # Errors
    /// As `TIOCGPTPEER` (`ioctl_tty(2)`) and `dup(2)`.
    pub(crate) fn terminal(master: OwnedFd) -> io::Result<(Self, OwnedFd)> {
        rustix::io::ioctl_fionbio(&master, true)?;
        let inner = ioctl_tiocgptpeer(&master, OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
        let input = rustix::io::fcntl_dupfd_cloexec(&master, 3)?;
        Ok((Self { ends: [Some(master), None], kept_open: Some(inner), terminal: true }, input))
    }

    /// Whether nothing can come any more.
    pub(crate) fn ended(&self) -> bool {
        self.ends.iter().all(Option::is_none)
    }

    /// The descriptors to wait for.
    pub(crate) fn open(&self) -> impl Iterator<Item = (Stream, &OwnedFd)> {
        let streams = [Stream::Output, Stream::Error].into_iter();
        streams.zip(&self.ends).filter_map(|(stream, end)| end.as_ref().map(|end| (stream, end)))
    }

    /// Reads what there is of `stream`; a stream that has ended or can not be read is closed.
    ///
    /// # Errors
    /// As `read(2)`, for which there is no reason.
    pub(crate) fn read(&mut self, stream: Stream, buffer: &mut [u8]) -> io::Result<Read> {
        let end = &mut self.ends[stream.index()];
        let Some(open) = end else { return Ok(Read::End) };
        match rustix::io::retry_on_intr(|| rustix::io::read(&*open, &mut *buffer)) {
            Err(Errno::AGAIN) => Ok(Read::NotNow),
            // EIO: nobody has the terminal's inner side open.
            Ok(0) | Err(Errno::IO) => {
                *end = None;
                Ok(Read::End)
            }
            Ok(length) => Ok(Read::Some(length)),
            Err(errno) => {
                *end = None;
                Err(errno.into())
            }
        }
    }

    /// What was said on standard error so far, of at most 4 KiB; nothing if it can not be read.
    pub(crate) fn said(&mut self) -> String {
        let mut buffer = vec![0; 4 << 10];
        match self.read(Stream::Error, &mut buffer) {
            Ok(Read::Some(length)) => String::from_utf8_lossy(&buffer[..length]).into_owned(),
            Ok(Read::NotNow | Read::End) | Err(_) => String::new(),
        }
    }

    /// The container has ended: the terminal is no longer kept open, so that its end can be seen.
    pub(crate) fn let_end(&mut self) {
        self.kept_open = None;
    }

    /// Closes everything.
    pub(crate) fn close(&mut self) {
        self.ends = [None, None];
        self.kept_open = None;
    }

    /// Sets the terminal's size; nothing without one.
    ///
    /// # Errors
    /// As `tcsetwinsize(3)`.
    pub(crate) fn resize(&self, rows: u16, columns: u16) -> io::Result<()> {
        match &self.ends[Stream::Output.index()] {
            Some(master) if self.terminal => {
                let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
                Ok(tcsetwinsize(master, size)?)
            }
            _ => Ok(()),
        }
    }
}
