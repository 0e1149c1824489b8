//! A process that holds a scope of systemd's open until the container's own is in it: systemd makes none around nobody, and removes one
//! in which nobody is any more.
//!
//! It does nothing, and ends with the runtime: what it reads from has its other end there.

use std::io;

use rustix::fd::OwnedFd;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::Pid;
use stockade_kernel::clone::{Forked, Request, clone3};
use stockade_kernel::exec::exit_now;

use super::outside;

/// The process; it is ended when this is dropped.
#[derive(Debug)]
pub struct Holder {
    pid: Pid,
    pidfd: OwnedFd,
    /// Kept open as long as it is to live.
    _life: OwnedFd,
}

impl Holder {
    /// Makes it.
    ///
    /// # Errors
    /// As `clone3(2)` and `pipe(2)`.
    pub fn make() -> io::Result<Self> {
        let (end, life) = pipe_with(PipeFlags::CLOEXEC)?;
        match clone3(&Request::default())? {
            Forked::Parent { pid, pidfd } => Ok(Self { pid, pidfd, _life: life }),
            Forked::Child => {
                drop(life);
                let read = rustix::io::retry_on_intr(|| rustix::io::read(&end, &mut [0u8; 1]));
                exit_now(u8::from(read.is_err()))
            }
        }
    }

    /// Its id for systemd.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        use rustix::fd::AsFd;
        outside::end(self.pidfd.as_fd());
    }
}
