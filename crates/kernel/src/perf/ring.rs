//! The memory into which the kernel writes records, and from which they are taken.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fd::{AsFd, BorrowedFd};
use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags};

use super::record;

/// Where the first page (`struct perf_event_mmap_page`) has `data_head` and `data_tail`.
const HEAD: usize = 1024;
const TAIL: usize = 1032;
/// `struct perf_event_header`: type, misc, size.
const HEADER: usize = 8;
/// No record is longer, as its length has sixteen bits.
const LONGEST: usize = 1 << 16;

/// One event's memory, into which others of the same processor write too.
#[derive(Debug)]
pub(super) struct Ring {
    event: OwnedFd,
    base: NonNull<u8>,
    /// Of the first page, which no records are in.
    page: usize,
    /// How many bytes of records there is room for: a power of two of pages.
    room: usize,
    /// How many of those were counted as lost of which the kernel has not told: 1 at most.
    untold: u64,
}

// SAFETY: the memory belongs to this value alone, which nobody but its owner reads, and the kernel's side does not know of threads.
unsafe impl Send for Ring {}

impl Ring {
    /// Maps the memory of `event`, with `room` for records: a power of two of pages, in bytes.
    ///
    /// # Errors
    /// As `mmap(2)`: `EPERM` above the limit of locked memory.
    pub(super) fn map(event: OwnedFd, room: usize) -> io::Result<Self> {
        // SAFETY: this has no effect.
        let page = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).map_err(io::Error::other)?;
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: no address is asked for, so that nothing that is mapped is replaced; the memory is unmapped when this value goes.
        let base =
            unsafe { rustix::mm::mmap(std::ptr::null_mut(), page + room, protection, MapFlags::SHARED, &event, 0) }?;
        let base = NonNull::new(base.cast()).ok_or(Errno::NOMEM)?;
        Ok(Self { event, base, page, room, untold: 0 })
    }

    pub(super) fn fd(&self) -> RawFd {
        self.event.as_raw_fd()
    }

    pub(super) fn descriptor(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }

    /// A counter of the first page.
    fn counter(&self, offset: usize) -> &AtomicU64 {
        // SAFETY: the offset is within the mapping.
        let counter = unsafe { self.base.add(offset) }.cast::<AtomicU64>();
        // SAFETY: the first page is mapped as long as `self` lives and has an aligned counter there, which the kernel changes as a whole.
        unsafe { counter.as_ref() }
    }

    /// Gives the body of every sample that is there to `each`, and the room of all records back to the kernel; `lost` grows by what there was no
    /// room for.
    ///
    /// The kernel tells that something was lost before the next record that it writes, which there may never be (`__perf_output_begin`). So a
    /// room in which another record might not have had place counts as one that was lost, until the kernel says how many it were.
    ///
    /// # Errors
    /// The first of `each`, and `EBADMSG` for a length that makes no sense; all that was there is gone then.
    pub(super) fn take(&mut self, lost: &mut u64, mut each: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        // What the kernel wrote before it wrote the head is seen after it (perf_output_put_handle).
        let head = self.counter(HEAD).load(Ordering::Acquire);
        let tail = self.counter(TAIL).load(Ordering::Relaxed);
        let length = usize::try_from(head.wrapping_sub(tail)).unwrap_or(usize::MAX);
        let mut bytes = vec![0; length.min(self.room)];
        let begin = tail as usize & (self.room - 1);
        let (before_the_end, from_the_start) = bytes.split_at_mut((self.room - begin).min(length.min(self.room)));
        for (offset, part) in [(begin, before_the_end), (0, from_the_start)] {
            // SAFETY: the offset is within the mapping: the records' room is behind the first page.
            let from = unsafe { self.base.add(self.page + offset) };
            // SAFETY: both parts are within the room, which is mapped as long as `self` lives, and the kernel does not write between tail
            // and head; a vector of our own is elsewhere.
            unsafe { from.copy_to_nonoverlapping(NonNull::from(&mut *part).cast(), part.len()) };
        }
        // Nothing of it is read after this.
        self.counter(TAIL).store(head, Ordering::Release);
        let mut rest = bytes.as_slice();
        while let Some((header, _)) = rest.split_first_chunk::<HEADER>() {
            let [a, b, c, d, _, _, e, f] = *header;
            let size = usize::from(u16::from_ne_bytes([e, f]));
            let record = rest.get(HEADER..size).ok_or(Errno::BADMSG)?;
            match u32::from_ne_bytes([a, b, c, d]) {
                record::SAMPLE => each(record)?,
                record::LOST => *lost += record::lost(record)?.saturating_sub(std::mem::take(&mut self.untold)),
                _ => {}
            }
            rest = &rest[size..];
        }
        if length + LONGEST > self.room && self.untold == 0 {
            self.untold = 1;
            *lost += 1;
        }
        if rest.is_empty() { Ok(()) } else { Err(Errno::BADMSG.into()) }
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // SAFETY: the mapping is this value's own, and no reference into it outlives it.
        let unmapped = unsafe { rustix::mm::munmap(self.base.as_ptr().cast(), self.page + self.room) };
        debug_assert!(unmapped.is_ok(), "a mapping of our own is there to be unmapped");
    }
}
