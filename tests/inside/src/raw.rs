//! System calls by number, as an attacker makes them.
//!
//! The workspace allows `unsafe` in `crates/kernel` alone. This probe is no part of the product: it runs inside test
//! containers only, and must be able to make exactly the calls that no library offers, with arguments that no library
//! lets pass.
#![allow(unsafe_code)]

/// Makes the system call `number`; the errno it failed with, or what it returned.
///
/// The arguments are numbers chosen by a test. A call that takes pointers gets null or garbage and fails with EFAULT.
pub(crate) fn call(number: i64, arguments: [u64; 6]) -> Result<i64, i32> {
    let [a, b, c, d, e, f] = arguments;
    // SAFETY: the probe's tests pass calls that a filter denies, or that read no memory of ours through null; whatever
    // the kernel does to this process, no Rust code of it runs on but the printing of the answer.
    let answer = unsafe { libc::syscall(number, a, b, c, d, e, f) };
    if answer == -1 { Err(std::io::Error::last_os_error().raw_os_error().unwrap_or(0)) } else { Ok(answer) }
}
