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

/// Makes the i386 call `number` through the gate that 32-bit programs use (`int 0x80`); what the kernel returned. If
/// `pointed` is not empty it is put where 32 bits reach it and its address takes the place of the second argument.
#[cfg(target_arch = "x86_64")]
pub(crate) fn call_386(number: u32, [a, b, c]: [u32; 3], pointed: &[u64]) -> std::io::Result<i32> {
    let b = if pointed.is_empty() { b } else { low_copy(pointed)? };
    let answer: u32;
    // SAFETY: the gate keeps all registers but eax, as the ABI's r8 to r11 are named as lost; the kernel reads only the
    // words that `low_copy` has put in place for ever. rbx, which the compiler keeps for itself, is put back.
    unsafe {
        std::arch::asm!(
            "xchg {b:r}, rbx",
            "int 0x80",
            "xchg {b:r}, rbx",
            b = inout(reg) u64::from(a) => _,
            inlateout("eax") number => answer,
            in("ecx") b,
            in("edx") c,
            in("esi") 0,
            in("edi") 0,
            lateout("r8") _,
            lateout("r9") _,
            lateout("r10") _,
            lateout("r11") _,
        );
    }
    Ok(answer.cast_signed())
}

/// There is no such gate.
#[cfg(not(target_arch = "x86_64"))]
pub(crate) fn call_386(_: u32, _: [u32; 3], _: &[u64]) -> std::io::Result<i32> {
    Err(std::io::ErrorKind::Unsupported.into())
}

/// `words` as 32-bit ones in memory below 2 GiB, which stays; its address.
#[cfg(target_arch = "x86_64")]
fn low_copy(words: &[u64]) -> std::io::Result<u32> {
    let (protection, flags) =
        (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_32BIT);
    // SAFETY: a new anonymous mapping touches no memory in use.
    let page = unsafe { libc::mmap(std::ptr::null_mut(), 4096, protection, flags, -1, 0) };
    if page == libc::MAP_FAILED || words.len() > 1024 {
        return Err(std::io::Error::last_os_error());
    }
    // SAFETY: the page is aligned, zeroed, ours alone, never unmapped, and has room for 1024 words.
    let room = unsafe { std::slice::from_raw_parts_mut(page.cast::<u32>(), words.len()) };
    room.iter_mut().zip(words).for_each(|(place, word)| *place = *word as u32);
    Ok(page as usize as u32)
}
