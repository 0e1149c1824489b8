//! Loading a compiled filter.

use std::io;

use rustix::fd::OwnedFd;
use stockade_kernel::seccomp::{FilterFlags, set_mode_filter};

use crate::cache::Compiled;
use crate::model::Flags;

/// Loads the filter for the calling thread (with the flag TSYNC for its process): it holds from the next call on, for
/// children and through `execve(2)`, and can not be taken off. Returns the listener if a rule notifies.
///
/// # Errors
/// As `seccomp(2)`: `EACCES` without no_new_privs and CAP_SYS_ADMIN; `EINVAL` if the kernel lacks a flag. Nothing is loaded.
pub fn apply(compiled: &Compiled) -> io::Result<Option<OwnedFd>> {
    set_mode_filter(kernel_flags(compiled.flags, compiled.notifies), &compiled.program)
}

/// The flags of the kernel for `flags`, and those that a listener needs.
pub(crate) fn kernel_flags(flags: Flags, notifies: bool) -> FilterFlags {
    let mut kernel = FilterFlags::empty();
    kernel.set(FilterFlags::LOG, flags.contains(Flags::LOG));
    kernel.set(FilterFlags::SPEC_ALLOW, flags.contains(Flags::SPEC_ALLOW));
    kernel.set(FilterFlags::THREAD_SYNC, flags.contains(Flags::TSYNC));
    kernel.set(FilterFlags::NEW_LISTENER, notifies);
    // Both flags answer with a number; with this one an error is told apart from a descriptor.
    kernel.set(FilterFlags::THREAD_SYNC_ESRCH, notifies && flags.contains(Flags::TSYNC));
    kernel.set(FilterFlags::WAIT_KILLABLE_RECV, notifies && flags.contains(Flags::WAIT_KILLABLE_RECV));
    kernel
}
