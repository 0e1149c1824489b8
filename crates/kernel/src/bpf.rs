//! eBPF programs that decide about device nodes for a cgroup v2 group (`bpf(2)`, `BPF_PROG_TYPE_CGROUP_DEVICE`,
//! Linux 4.15).
//!
//! A program gets `struct bpf_cgroup_dev_ctx` of `linux/bpf.h`, three 32-bit words: access (`BPF_DEVCG_ACC_*`) in the
//! upper and type (`BPF_DEVCG_DEV_*`) in the lower half of the first, then major and minor. It returns 1 to allow. It
//! stays attached as long as the group exists; of several on one group and its ancestors all must allow.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// Commands of `enum bpf_cmd`.
const PROG_LOAD: libc::c_int = 5;
const PROG_ATTACH: libc::c_int = 8;
const PROG_DETACH: libc::c_int = 9;
const PROG_GET_FD_BY_ID: libc::c_int = 13;
const OBJ_GET_INFO_BY_FD: libc::c_int = 15;
const PROG_QUERY: libc::c_int = 16;

/// `BPF_PROG_TYPE_CGROUP_DEVICE`.
const TYPE_CGROUP_DEVICE: u32 = 15;
/// `BPF_CGROUP_DEVICE`.
const ATTACH_CGROUP_DEVICE: u32 = 6;
/// `BPF_F_ALLOW_MULTI`: beside other programs, on this group and below.
const ALLOW_MULTI: u32 = 2;
/// `BPF_CGROUP_MAX_PROGS`: the most programs that one group can have.
const MOST_PROGRAMS: usize = 64;

/// One instruction, laid out as `struct bpf_insn`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Instruction {
    /// Class, operation and source mode.
    pub code: u8,
    /// The destination register in the lower, the source register in the upper four bits.
    pub registers: u8,
    /// The offset of a jump or of memory.
    pub offset: i16,
    /// The constant.
    pub immediate: i32,
}

/// What the kernel says of a loaded program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProgramInfo {
    /// Its id, unique while it is loaded.
    pub id: u32,
    /// A digest of its instructions.
    pub tag: [u8; 8],
    /// Whether it is of the type for cgroup devices.
    pub is_device_program: bool,
    /// Its name, filled up with zeros; empty before Linux 4.15.
    pub name: [u8; 16],
}

/// `union bpf_attr` for `BPF_PROG_LOAD`, as far as Linux 4.15 knows it.
#[repr(C)]
struct LoadAttributes {
    kind: u32,
    count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    version: u32,
    flags: u32,
    name: [u8; 16],
}

/// For `BPF_PROG_ATTACH` and `BPF_PROG_DETACH`.
#[repr(C)]
struct AttachAttributes {
    target: u32,
    program: u32,
    kind: u32,
    flags: u32,
}

/// For `BPF_PROG_QUERY`.
#[repr(C)]
struct QueryAttributes {
    target: u32,
    kind: u32,
    query_flags: u32,
    attach_flags: u32,
    ids: u64,
    count: u32,
    padding: u32,
}

/// For `BPF_PROG_GET_FD_BY_ID`.
#[repr(C)]
struct IdAttributes {
    id: u32,
    next: u32,
    flags: u32,
}

/// For `BPF_OBJ_GET_INFO_BY_FD`.
#[repr(C)]
struct InfoAttributes {
    object: u32,
    length: u32,
    info: u64,
}

/// The beginning of `struct bpf_prog_info`.
#[repr(C)]
#[derive(Default)]
struct RawInfo {
    kind: u32,
    id: u32,
    tag: [u8; 8],
    machine_length: u32,
    length: u32,
    machine_code: u64,
    instructions: u64,
    load_time: u64,
    owner: u32,
    map_count: u32,
    maps: u64,
    name: [u8; 16],
}

/// The system call.
///
/// # Safety
/// `attributes` must be a part of `union bpf_attr` for `command`, and the addresses in it must be valid for what the
/// command reads and writes there.
unsafe fn call<T>(command: libc::c_int, attributes: &mut T) -> io::Result<libc::c_long> {
    // SAFETY: the pointer and size are those of a live exclusive reference; the caller vouches for the content.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(attributes), size_of::<T>()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// The number of a descriptor as `union bpf_attr` has it; a live descriptor's is never negative.
fn number(fd: BorrowedFd<'_>) -> u32 {
    fd.as_raw_fd().cast_unsigned()
}

/// Takes ownership of the descriptor that a command returned.
fn owned(result: libc::c_long) -> io::Result<OwnedFd> {
    let fd = RawFd::try_from(result).map_err(io::Error::other)?;
    // SAFETY: the kernel has just made this descriptor for us and nothing else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Loads a device program. `name` (at most 15 bytes) is what `bpftool prog` shows. The descriptor is close-on-exec.
///
/// # Errors
/// `EPERM` without CAP_BPF or CAP_SYS_ADMIN, `EINVAL` or `EACCES` if the verifier refuses it, `E2BIG` if it is too long.
pub fn load_device_program(instructions: &[Instruction], name: &CStr) -> io::Result<OwnedFd> {
    let count = u32::try_from(instructions.len()).unwrap_or(u32::MAX);
    let mut short = [0; 16];
    for (to, from) in short.iter_mut().take(15).zip(name.to_bytes()) {
        *to = *from;
    }
    let mut attributes = LoadAttributes {
        kind: TYPE_CGROUP_DEVICE,
        count,
        instructions: instructions.as_ptr() as u64,
        license: c"Apache-2.0".as_ptr() as u64,
        log_level: 0,
        log_size: 0,
        log: 0,
        version: 0,
        flags: 0,
        name: short,
    };
    // SAFETY: the instructions and the licence outlive the call, which only reads them, `count` of the former.
    owned(unsafe { call(PROG_LOAD, &mut attributes) }?)
}

/// Attaches `program` to the cgroup v2 directory `group`, beside others.
///
/// # Errors
/// `EPERM` if a program that allows no others is on an ancestor, `E2BIG` at 64 programs, `EBADF` if `group` is no
/// cgroup v2 directory.
pub fn attach_device_program(group: BorrowedFd<'_>, program: BorrowedFd<'_>) -> io::Result<()> {
    let (target, program) = (number(group), number(program));
    let mut attributes = AttachAttributes { target, program, kind: ATTACH_CGROUP_DEVICE, flags: ALLOW_MULTI };
    // SAFETY: the attributes hold no addresses.
    unsafe { call(PROG_ATTACH, &mut attributes) }.map(drop)
}

/// Takes `program` off the cgroup v2 directory `group`.
///
/// # Errors
/// `ENOENT` if it is not attached there.
pub fn detach_device_program(group: BorrowedFd<'_>, program: BorrowedFd<'_>) -> io::Result<()> {
    let (target, program) = (number(group), number(program));
    let mut attributes = AttachAttributes { target, program, kind: ATTACH_CGROUP_DEVICE, flags: 0 };
    // SAFETY: the attributes hold no addresses.
    unsafe { call(PROG_DETACH, &mut attributes) }.map(drop)
}

/// The ids of the device programs attached to the cgroup v2 directory `group` itself.
///
/// # Errors
/// `EPERM` without CAP_NET_ADMIN or CAP_BPF (by kernel version), `EBADF` if `group` is no cgroup v2 directory.
pub fn query_device_programs(group: BorrowedFd<'_>) -> io::Result<Vec<u32>> {
    let mut ids = vec![0u32; MOST_PROGRAMS];
    let mut attributes = QueryAttributes {
        target: number(group),
        kind: ATTACH_CGROUP_DEVICE,
        query_flags: 0,
        attach_flags: 0,
        ids: ids.as_mut_ptr() as u64,
        count: MOST_PROGRAMS as u32,
        padding: 0,
    };
    // SAFETY: `ids` has room for `count` numbers and outlives the call, which writes no more than that.
    unsafe { call(PROG_QUERY, &mut attributes) }?;
    ids.truncate(attributes.count as usize);
    Ok(ids)
}

/// A descriptor of the program with this id.
///
/// # Errors
/// `ENOENT` if there is none, `EPERM` without CAP_SYS_ADMIN.
pub fn program_by_id(id: u32) -> io::Result<OwnedFd> {
    let mut attributes = IdAttributes { id, next: 0, flags: 0 };
    // SAFETY: the attributes hold no addresses.
    owned(unsafe { call(PROG_GET_FD_BY_ID, &mut attributes) }?)
}

/// What the kernel says of `program`.
///
/// # Errors
/// `EINVAL` if the descriptor is of something else.
pub fn program_info(program: BorrowedFd<'_>) -> io::Result<ProgramInfo> {
    let mut raw = RawInfo::default();
    // SAFETY: no address is in `raw`, so that nothing but itself is written.
    unsafe { info(program, &mut raw) }?;
    Ok(ProgramInfo { id: raw.id, tag: raw.tag, is_device_program: raw.kind == TYPE_CGROUP_DEVICE, name: raw.name })
}

/// The instructions of `program` as the kernel runs them, after the verifier: of a device program they are those that were loaded,
/// without what can never be reached.
///
/// # Errors
/// `EACCES` without CAP_BPF or CAP_SYS_ADMIN, and of a program whose constants are hidden (`bpf_jit_harden`).
pub fn program_instructions(program: BorrowedFd<'_>) -> io::Result<Vec<Instruction>> {
    let mut raw = RawInfo::default();
    // SAFETY: no address is in `raw`, so that nothing but itself is written.
    unsafe { info(program, &mut raw) }?;
    let count = raw.length as usize / size_of::<Instruction>();
    let mut instructions = vec![Instruction::default(); count];
    let mut raw = RawInfo { length: raw.length, instructions: instructions.as_mut_ptr() as u64, ..RawInfo::default() };
    // SAFETY: `instructions` has room for `length` bytes, which is the most that the kernel writes there, and outlives the call; the
    // programs that there are never change.
    unsafe { info(program, &mut raw) }?;
    // Where the caller may not see them the kernel says that there are none, or takes the address away.
    if count == 0 || raw.instructions == 0 || raw.length as usize != count * size_of::<Instruction>() {
        return Err(io::Error::from_raw_os_error(libc::EACCES));
    }
    Ok(instructions)
}

/// `BPF_OBJ_GET_INFO_BY_FD`.
///
/// # Safety
/// The addresses in `raw` must be null or valid for writing the lengths beside them.
unsafe fn info(program: BorrowedFd<'_>, raw: &mut RawInfo) -> io::Result<()> {
    let length = size_of::<RawInfo>() as u32;
    let mut attributes = InfoAttributes { object: number(program), length, info: std::ptr::from_mut(raw) as u64 };
    // SAFETY: `raw` has `length` bytes, which the kernel fills at most, and outlives the call; the caller vouches for its addresses.
    unsafe { call(OBJ_GET_INFO_BY_FD, &mut attributes) }.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn a_program_is_loaded_and_found_by_id() {
        let allow = [
            Instruction { code: 0xb7, registers: 0, offset: 0, immediate: 1 },
            Instruction { code: 0x95, registers: 0, offset: 0, immediate: 0 },
        ];
        let program = match load_device_program(&allow, c"stockade_test") {
            Err(error) if error.raw_os_error() == Some(libc::EPERM) => {
                eprintln!("skipped: loading eBPF programs is not permitted here");
                return;
            }
            other => other.unwrap(),
        };
        let info = program_info(program.as_fd()).unwrap();
        assert!(info.is_device_program);
        assert_eq!(&info.name, b"stockade_test\0\0\0");
        let again = program_by_id(info.id).unwrap();
        assert_eq!(program_info(again.as_fd()).unwrap(), info);
        assert_eq!(program_instructions(again.as_fd()).unwrap(), allow);
        assert!(load_device_program(&allow[..1], c"broken").is_err());
    }
}
