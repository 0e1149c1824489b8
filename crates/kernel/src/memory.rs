//! Giving memory back: what of the running program is mapped and not needed any more; and how much memory others had.

use std::io;

use libc::{c_int, c_void, size_t};

use crate::sys::check;

/// Unmaps the pages of the running program's code and constants from this process; those that are used again are mapped again from
/// the page cache, where they stay. A process that has started and then waits for long is so much smaller (`Pss` in `proc_pid_smaps(5)`)
/// and nothing else changes: of a segment that cannot be written no page differs from the file.
///
/// # Errors
/// As `madvise(2)`, for which there is no reason.
pub fn let_go_of_the_program() -> io::Result<()> {
    let mut result: c_int = 0;
    // SAFETY: the callback has the type that is asked for and gets the pointer to `result`, which lives until the call returns.
    unsafe { libc::dl_iterate_phdr(Some(let_go), (&raw mut result).cast()) };
    check(result).map(drop)
}

/// The most memory, in KiB, that one of the processes had which this one has waited for, or which those have (`ru_maxrss` of
/// `getrusage(2)`). A process counts from its birth, so it is at least what its maker had then.
///
/// # Errors
/// As `getrusage(2)`, for which there is no reason.
pub fn most_of_children() -> io::Result<u64> {
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::uninit();
    // SAFETY: the pointer is to memory of the size of what is written.
    check(unsafe { libc::getrusage(libc::RUSAGE_CHILDREN, usage.as_mut_ptr()) })?;
    // SAFETY: getrusage returned success, so all of it is written.
    Ok(unsafe { usage.assume_init() }.ru_maxrss.unsigned_abs())
}

/// Lets go of one object's segments: for a program that is linked statically, the program.
unsafe extern "C" fn let_go(info: *mut libc::dl_phdr_info, _size: size_t, result: *mut c_void) -> c_int {
    // SAFETY: the C library gives a pointer to a structure that is valid during this call.
    let info = unsafe { &*info };
    // SAFETY: it names so many headers, which are mapped as long as the object is.
    let headers = unsafe { std::slice::from_raw_parts(info.dlpi_phdr, info.dlpi_phnum.into()) };
    for header in headers {
        if header.p_type != libc::PT_LOAD || header.p_flags & libc::PF_W != 0 {
            continue;
        }
        // SAFETY: this has no effect.
        let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) }.cast_unsigned();
        let first = (info.dlpi_addr + header.p_vaddr) / page * page;
        let end = (info.dlpi_addr + header.p_vaddr + header.p_memsz).next_multiple_of(page);
        let length = (end - first) as size_t;
        // SAFETY: the range is a segment of a loaded object that cannot be written, so that every page of it is the file's and
        // comes back as it is; a segment that can be written has other protections and so begins in another page.
        let code = unsafe { libc::madvise(first as *mut c_void, length, libc::MADV_DONTNEED) };
        if code != 0 {
            // SAFETY: this is the pointer that was given for it.
            unsafe { *result.cast::<c_int>() = code };
        }
    }
    // The vDSO would be next, which is no file.
    1
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How much of the program's code is mapped, in KiB.
    fn mapped() -> u64 {
        let text = std::fs::read_to_string("/proc/self/smaps").unwrap();
        let program = std::env::current_exe().unwrap().display().to_string();
        let mut ours = false;
        let mut sum = 0;
        for line in text.lines() {
            if line.contains('-') && !line.starts_with(char::is_uppercase) {
                ours = line.contains("r-xp") && line.ends_with(&program);
            } else if let Some(size) = line.strip_prefix("Rss:").filter(|_| ours) {
                sum += size.trim().trim_end_matches(" kB").parse::<u64>().unwrap();
            }
        }
        sum
    }

    #[test]
    fn the_memory_of_a_child_is_told_in_kib() {
        let script = "x=$(head -c 50000000 /dev/zero | tr '\\0' x); grep VmHWM /proc/$$/status";
        let output = std::process::Command::new("sh").args(["-c", script]).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let told: u64 = text.split_whitespace().nth(1).unwrap().parse().unwrap();
        let most = most_of_children().unwrap();
        assert!(told > 48_000 && most >= told && most < 4 * told, "{told} {most}");
    }

    #[test]
    fn code_that_is_let_go_of_comes_back_when_it_runs() {
        let before = mapped();
        let_go_of_the_program().unwrap();
        let after = mapped();
        assert!(after < before, "{before} {after}");
        // Other code than what has just run, with its constants.
        assert_eq!(format!("{:.3e}", 12345.678_f64), "1.235e4");
    }
}
