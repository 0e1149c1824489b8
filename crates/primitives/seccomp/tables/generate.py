#!/usr/bin/env python3
"""Writes generated.rs: system call numbers and argument widths of every architecture that a filter can name.

Generated from Linux 6.12.117, Debian's package linux-source-6.12 (6.12.117-1~deb12u1), unpacked; then

    tables/generate.py LINUX-SOURCE-FOLDER > tables/generated.rs

Numbers come from the kernel's own tables:
    arch/x86/entry/syscalls/syscall_64.tbl (x86_64, x32), syscall_32.tbl (x86), arch/arm/tools/syscall.tbl,
    arch/{powerpc,s390}/kernel/syscalls/syscall.tbl, arch/mips/kernel/syscalls/syscall_{o32,n32,n64}.tbl, and
    scripts/syscall.tbl (aarch64, riscv64, loongarch64).
Widths come from the entry point that the table names: the argument types of its SYSCALL_DEFINEn or
COMPAT_SYSCALL_DEFINEn in arch, block, drivers, fs, io_uring, ipc, kernel, mm, net and security. The wrapper that the
macro makes converts each register to that type, so that is how much of a register the kernel looks at.
System calls of Linux 6.13 to 7.0 are listed below by hand (LATER), from scripts/syscall.tbl of those versions.
"""
import pathlib
import re
import sys

ROOT = pathlib.Path(sys.argv[1])
FOLDERS = "arch block drivers fs io_uring ipc kernel mm net security".split()

# name in generated.rs, table, ABIs taken from it, what is added to a number, 32-bit registers, source folder, compat
# entries (the fifth column) preferred.
SYSCALLS = "kernel/syscalls/syscall"
ARCHES = [
    ("X86_64", "arch/x86/entry/syscalls/syscall_64.tbl", "common 64", 0, False, "x86", False),
    ("X86", "arch/x86/entry/syscalls/syscall_32.tbl", "i386", 0, True, "x86", True),
    ("X32", "arch/x86/entry/syscalls/syscall_64.tbl", "common x32", 0x40000000, False, "x86", False),
    ("AARCH64", "scripts/syscall.tbl", "common 64 renameat rlimit memfd_secret", 0, False, "arm64", False),
    ("ARM", "arch/arm/tools/syscall.tbl", "common", 0, True, "arm", False),
    ("RISCV64", "scripts/syscall.tbl", "common 64 riscv rlimit memfd_secret", 0, False, "riscv", False),
    ("S390X", f"arch/s390/{SYSCALLS}.tbl", "common 64", 0, False, "s390", False),
    ("S390", f"arch/s390/{SYSCALLS}.tbl", "common 32", 0, True, "s390", True),
    ("PPC64", f"arch/powerpc/{SYSCALLS}.tbl", "common 64 nospu", 0, False, "powerpc", False),
    ("PPC", f"arch/powerpc/{SYSCALLS}.tbl", "common 32 nospu", 0, True, "powerpc", True),
    ("LOONGARCH64", "scripts/syscall.tbl", "common 64", 0, False, "loongarch", False),
    ("MIPS_O32", f"arch/mips/{SYSCALLS}_o32.tbl", "o32", 4000, True, "mips", True),
    ("MIPS_N32", f"arch/mips/{SYSCALLS}_n32.tbl", "n32", 6000, False, "mips", False),
    ("MIPS_N64", f"arch/mips/{SYSCALLS}_n64.tbl", "n64", 5000, False, "mips", False),
]

# The private calls of 32-bit ARM (arch/arm/include/uapi/asm/unistd.h) and names that libseccomp gives to its calls.
EXTRA = {
    "ARM": [(0xF0001, "breakpoint"), (0xF0002, "cacheflush"), (0xF0003, "usr26"), (0xF0004, "usr32"),
            (0xF0005, "set_tls"), (0xF0006, "get_tls"), (270, "arm_fadvise64_64"), (341, "arm_sync_file_range")],
    "X86_64": [(336, "uprobe")],
}

# Number on every architecture (above its base), name, widths.
LATER = [
    (463, "setxattrat", [32, 64, 32, 64, 64, 64]), (464, "getxattrat", [32, 64, 32, 64, 64, 64]),
    (465, "listxattrat", [32, 64, 32, 64, 64]), (466, "removexattrat", [32, 64, 32, 64]),
    (467, "open_tree_attr", [32, 64, 32, 64, 64]), (468, "file_getattr", [32, 64, 64, 64, 32]),
    (469, "file_setattr", [32, 64, 64, 64, 32]), (470, "listns", [64, 64, 64, 32]), (471, "rseq_slice_yield", []),
]

# Where the kernel itself drops the upper half of an `unsigned long`: kernel/fork.c takes lower_32_bits() of clone's
# flags (the second argument on s390, CONFIG_CLONE_BACKWARDS2), fget() takes mmap's descriptor as an unsigned int, and
# ppc64_personality() hands its argument to ksys_personality(), which takes an unsigned int.
NARROWED = {("clone", None): 0, ("clone", "s390"): 1, ("mmap", None): 4, ("mmap2", None): 4, ("personality", "powerpc"): 0}

WORDS = {
    8: "u8 __u8 char",
    16: "umode_t old_uid_t old_gid_t u16 __u16 compat_mode_t __compat_uid_t",
    32: """int unsigned u32 __u32 s32 __s32 pid_t uid_t gid_t qid_t key_serial_t timer_t clockid_t mqd_t rwf_t mode_t
        enum compat_int_t compat_uint_t compat_long_t compat_ulong_t compat_size_t compat_ssize_t compat_off_t
        compat_uptr_t compat_pid_t compat_aio_context_t compat_timer_t compat_mqd_t compat_key_t
        old_time32_t compat_old_sigset_t __kernel_old_time32_t compat_clockid_t key_t uint uint32_t""",
    64: """long size_t ssize_t off_t loff_t u64 __u64 aio_context_t cap_user_header_t cap_user_data_t old_sigset_t
        compat_loff_t __sighandler_t sigset_t __kernel_old_time_t compat_u64 uintptr_t utrap_entry_t""",
}
WIDTH = {word: width for width, words in WORDS.items() for word in words.split()}
HALVES = ("compat_arg_u64_dual", "compat_arg_u64", "SC_ARG64", "arg_u64", "arg_u32p", "merge_64")


def width_of(kind):
    """The bits of a register that an argument of this C type takes."""
    if "*" in kind or "[" in kind:
        return 64
    words = [w for w in re.findall(r"\w+", kind) if w not in ("const", "signed", "__user", "struct", "short")]
    if "short" in kind:
        return 16
    if "long" in words:
        return 64
    if words[0] == "enum":
        return 32
    return WIDTH[words[-1] if words != ["unsigned"] else "unsigned"]


def arguments(text):
    """Splits a macro's arguments at the commas of the outermost parentheses."""
    depth, part, parts = 0, "", []
    for char in text:
        depth += (char == "(") - (char == ")")
        if char == "," and depth == 0:
            parts.append(part.strip())
            part = ""
        else:
            part += char
    return parts + [part.strip()]


def widths(parts):
    """Widths of the arguments after the name: type and name alternate, 64-bit pairs are two words."""
    result, rest = [], list(parts)
    while rest:
        first = rest.pop(0)
        if first.startswith(HALVES):
            result += [32, 32]
        elif first:
            result.append(width_of(first))
            rest.pop(0)
    return result


def definitions():
    """(entry point, source folder) -> widths; the folder is None outside arch."""
    found = {}
    pattern = re.compile(r"^(COMPAT_)?SYSCALL(?:32|_WITH\w+)?_DEFINE\d\s*\(", re.M)
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.c")):
            source = re.sub(r"/\*.*?\*/", "", path.read_text(errors="replace"), flags=re.S)
            arch = path.relative_to(ROOT).parts[1] if folder == "arch" else None
            for match in pattern.finditer(source):
                depth, end = 1, match.end()
                while depth:
                    depth += (source[end] == "(") - (source[end] == ")")
                    end += 1
                name, *rest = arguments(source[match.end():end - 1])
                key = (("compat_sys_" if match[1] else "sys_") + name, arch)
                try:
                    these = widths(rest)
                except (KeyError, IndexError) as error:
                    print(f"{path}: {name}: type not understood: {error}", file=sys.stderr)
                    continue
                # Of variants chosen by configuration, the longer one splits 64-bit values for 32-bit registers, or has
                # an argument in another place (NARROWED): the shorter one tells the widths of 64-bit registers.
                found[key] = min(found.get(key, these), these, key=len)
                found.setdefault((key[0], "any"), found[key])
    return found


def table(arch, defined):
    """name -> (number, widths) of one architecture."""
    name_of_arch, path, abis, base, narrow, folder, compat = arch
    calls = {}
    for line in (ROOT / path).read_text().splitlines():
        words = line.split("#")[0].split()
        if len(words) < 3 or words[1] not in abis.split():
            continue
        number, name = int(words[0]), words[2]
        entries = words[3:5]
        if compat:
            entries.reverse()
        these = None
        for entry in entries:
            for where in (folder, None, "any"):
                if these is None:
                    these = defined.get((re.sub("^__sys_|^sysm_", "sys_", entry), where))
        if these is None and entries and entries[0] != "-" and "ni_syscall" not in entries[0]:
            print(f"{name_of_arch}: {name}: no definition of {entries}", file=sys.stderr)
        calls[name] = (number + base, list(these or []))
    for number, name in EXTRA.get(name_of_arch, []):
        calls[name] = (number, [])
    for number, name, these in LATER:
        calls[name] = (number + base, list(these))
    for name, (number, these) in calls.items():
        index = NARROWED.get((name, folder), NARROWED.get((name, None)))
        if index is not None and index < len(these):
            these[index] = 32
        these += [64] * (6 - len(these))
        if narrow:
            these[:] = [min(width, 32) for width in these]
    return calls


def main():
    defined = definitions()
    tables = {arch[0]: table(arch, defined) for arch in ARCHES}
    names = sorted({name for calls in tables.values() for name in calls})
    code = {64: 0, 32: 1, 16: 2, 8: 3}
    print("// Written by tables/generate.py from Linux 6.12.117 (and its list of later calls); do not edit.")
    print(f"pub(crate) const COUNT: usize = {len(names)};")
    print("/// The names, sorted, without separators.")
    print("pub(crate) static NAMES: &str = concat!(")
    line = ""
    for name in names:
        if len(line) + len(name) > 110:
            print(f'    "{line}",')
            line = ""
        line += name
    print(f'    "{line}",\n);')
    offset, offsets = 0, [0]
    for name in names:
        offset += len(name)
        offsets.append(offset)
    print("/// Where each name starts, and where the last one ends.")
    rows("OFFSETS", "u16", "COUNT + 1", [str(o) for o in offsets])
    for arch, calls in tables.items():
        cells = []
        for name in names:
            if name in calls:
                number, these = calls[name]
                cells.append(f"c({number}, {sum(code[w] << (2 * i) for i, w in enumerate(these))})")
            else:
                cells.append("N")
        rows(arch, "Call", "COUNT", cells)


def rows(name, kind, count, cells):
    """One static array, as many cells to a line as fit."""
    print(f"pub(crate) static {name}: [{kind}; {count}] = [")
    line = ""
    for cell in cells:
        if len(line) + len(cell) > 112:
            print(f"   {line}")
            line = ""
        line += f" {cell},"
    print(f"   {line}\n];")


main()
