//! Making a system call with every bit of its registers chosen, to see what a filter answers.
//!
//! No library function passes the upper half of an `int`, or enters the kernel as i386 or x32 code does; a test of
//! a wall must. Only calls that can do no harm to memory are offered: their arguments are numbers.

use std::io;

/// How the kernel is entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Abi {
    /// As this program itself does.
    Native,
    /// x86-64 only: the x32 numbers of the same entry.
    X32,
    /// x86-64 only: `int $0x80`, which takes i386 numbers and the lower half of each register.
    I386,
}

/// A call that is made with arbitrary arguments. Its number depends on the [`Abi`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Probe {
    /// `socket(family, type, protocol)`; a socket that is made is closed at once.
    Socket,
    /// `personality(persona)`; it changes the calling thread.
    Personality,
    /// `getpriority(which, who)`.
    GetPriority,
    /// `umask(mask)`; it changes the calling process.
    Umask,
    /// `getpgid(pid)`.
    GetProcessGroup,
    /// `lseek(fd, offset, whence)`.
    Seek,
    /// `unshare(flags)` with namespace flags only; it changes the calling thread.
    Unshare,
    /// `clone(flags)` with namespace flags and an exit signal only; a child that is made exits at once.
    Clone,
    /// A number that no architecture uses, with no meaning but `ENOSYS`.
    Unassigned,
}

/// Namespace flags without CLONE_NEWTIME (which is a part of clone's signal mask), and all above 32 bits.
const NAMESPACES: u64 = 0x7e02_0000 | 0xffff_ffff_0000_0000;

impl Probe {
    /// Native number, i386 number.
    fn numbers(self) -> (i64, u32) {
        match self {
            Probe::Socket => (libc::SYS_socket, 359),
            Probe::Personality => (libc::SYS_personality, 136),
            Probe::GetPriority => (libc::SYS_getpriority, 96),
            Probe::Umask => (libc::SYS_umask, 60),
            Probe::GetProcessGroup => (libc::SYS_getpgid, 132),
            Probe::Seek => (libc::SYS_lseek, 19),
            Probe::Unshare => (libc::SYS_unshare, 310),
            Probe::Clone => (libc::SYS_clone, 120),
            Probe::Unassigned => (4000, 4000),
        }
    }

    /// Whether the arguments keep the promise that memory stays whole.
    fn permits(self, arguments: [u64; 6]) -> bool {
        match self {
            Probe::Unshare => arguments[0] & !NAMESPACES == 0,
            // The lowest byte is the signal; a new stack, or pointers to store ids at, are refused.
            Probe::Clone => arguments[0] & !(NAMESPACES | 0xff) == 0 && arguments[1..] == [0; 5],
            _ => true,
        }
    }
}

/// Makes the call and returns its result.
///
/// # Errors
/// What the kernel, or a filter, answers; `EINVAL` for arguments that a probe does not permit and `ENOTSUP` for an
/// ABI that this architecture lacks, both before any call.
pub fn probe(call: Probe, abi: Abi, arguments: [u64; 6]) -> io::Result<i64> {
    if !call.permits(arguments) {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    let (native, i386) = call.numbers();
    let answer = match abi {
        Abi::Native => enter(native, arguments),
        Abi::X32 if cfg!(target_arch = "x86_64") => enter(native | 0x4000_0000, arguments),
        Abi::I386 => enter_i386(i386, arguments)?,
        Abi::X32 => return Err(io::Error::from_raw_os_error(libc::ENOTSUP)),
    };
    if (-4095..0).contains(&answer) {
        return Err(io::Error::from_raw_os_error(-answer as i32));
    }
    match call {
        Probe::Socket => close(answer as i32),
        Probe::Clone => leave_child(answer as i32),
        _ => {}
    }
    Ok(answer)
}

/// The native entry; the result is the kernel's, with a negative errno.
fn enter(number: i64, a: [u64; 6]) -> i64 {
    // SAFETY: `permits` has left only calls whose arguments are numbers, so no memory is touched.
    let answer = unsafe { libc::syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]) };
    if answer == -1 { -i64::from(io::Error::last_os_error().raw_os_error().unwrap_or(0)) } else { answer }
}

/// The entry of i386 programs; registers keep their upper halves up to the kernel.
#[cfg(target_arch = "x86_64")]
fn enter_i386(number: u32, a: [u64; 6]) -> io::Result<i64> {
    let answer: i64;
    // SAFETY: as in `enter`. The kernel keeps all registers but rax, and r8 to r11, which are named; rbx is exchanged
    // because LLVM reserves it.
    unsafe {
        std::arch::asm!(
            "xchg {first}, rbx",
            "int 0x80",
            "xchg {first}, rbx",
            first = inout(reg) a[0] => _,
            inout("rax") u64::from(number) => answer,
            in("rcx") a[1], in("rdx") a[2], in("rsi") a[3], in("rdi") a[4],
            out("r8") _, out("r9") _, out("r10") _, out("r11") _,
        );
    }
    Ok(i64::from(answer as i32))
}

/// Other architectures have no such entry.
#[cfg(not(target_arch = "x86_64"))]
fn enter_i386(_number: u32, _arguments: [u64; 6]) -> io::Result<i64> {
    Err(io::Error::from_raw_os_error(libc::ENOTSUP))
}

/// Closes the socket that a probe made.
fn close(fd: i32) {
    // SAFETY: the probe has just made this descriptor and nobody else knows it.
    unsafe { libc::close(fd) };
}

/// Ends the child that a probe made; in the parent, waits for it.
fn leave_child(pid: i32) {
    if pid == 0 {
        // SAFETY: this is the child, which owns a copy of the memory and runs nothing else.
        unsafe { libc::_exit(0) };
    }
    // SAFETY: a null status is permitted.
    unsafe { libc::waitpid(pid, std::ptr::null_mut(), libc::__WALL) };
}
