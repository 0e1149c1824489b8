//! The architectures whose system calls a filter can tell apart.

use std::fmt;
use std::ops::Range;

use crate::syscall::{self, Call};

/// An architecture as libseccomp's `SCMP_ARCH_*` constants tell them apart: x32 is one of its own, although the
/// kernel reports it as x86-64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
#[allow(missing_docs)]
pub enum Arch {
    X86_64,
    X86,
    X32,
    Aarch64,
    Arm,
    Riscv64,
    S390x,
    S390,
    Ppc64le,
    Ppc64,
    Ppc,
    Loongarch64,
    Mips,
    Mips64,
    Mips64n32,
    Mipsel,
    Mipsel64,
    Mipsel64n32,
}

/// How many there are.
pub(crate) const COUNT: usize = 18;

/// Everything about one architecture.
struct Facts {
    arch: Arch,
    /// OCI's name.
    oci: &'static str,
    /// The names that Docker's `arches` lists and Go use.
    docker: &'static [&'static str],
    /// `AUDIT_ARCH_*` of `linux/audit.h`.
    audit: u32,
    calls: &'static [Call; syscall::COUNT],
}

use Arch::*;
use syscall::data;

/// In the order of [`Arch`].
#[rustfmt::skip]
static FACTS: [Facts; COUNT] = [
    Facts { arch: X86_64, oci: "SCMP_ARCH_X86_64", docker: &["amd64", "x86_64"], audit: 0xc000_003e, calls: &data::X86_64 },
    Facts { arch: X86, oci: "SCMP_ARCH_X86", docker: &["x86", "386"], audit: 0x4000_0003, calls: &data::X86 },
    Facts { arch: X32, oci: "SCMP_ARCH_X32", docker: &["x32"], audit: 0xc000_003e, calls: &data::X32 },
    Facts { arch: Aarch64, oci: "SCMP_ARCH_AARCH64", docker: &["arm64", "aarch64"], audit: 0xc000_00b7, calls: &data::AARCH64 },
    Facts { arch: Arm, oci: "SCMP_ARCH_ARM", docker: &["arm"], audit: 0x4000_0028, calls: &data::ARM },
    Facts { arch: Riscv64, oci: "SCMP_ARCH_RISCV64", docker: &["riscv64"], audit: 0xc000_00f3, calls: &data::RISCV64 },
    Facts { arch: S390x, oci: "SCMP_ARCH_S390X", docker: &["s390x"], audit: 0x8000_0016, calls: &data::S390X },
    Facts { arch: S390, oci: "SCMP_ARCH_S390", docker: &["s390"], audit: 0x0000_0016, calls: &data::S390 },
    Facts { arch: Ppc64le, oci: "SCMP_ARCH_PPC64LE", docker: &["ppc64le"], audit: 0xc000_0015, calls: &data::PPC64 },
    Facts { arch: Ppc64, oci: "SCMP_ARCH_PPC64", docker: &["ppc64"], audit: 0x8000_0015, calls: &data::PPC64 },
    Facts { arch: Ppc, oci: "SCMP_ARCH_PPC", docker: &["ppc"], audit: 0x0000_0014, calls: &data::PPC },
    Facts { arch: Loongarch64, oci: "SCMP_ARCH_LOONGARCH64", docker: &["loong64", "loongarch64"], audit: 0xc000_0102, calls: &data::LOONGARCH64 },
    Facts { arch: Mips, oci: "SCMP_ARCH_MIPS", docker: &["mips"], audit: 0x0000_0008, calls: &data::MIPS_O32 },
    Facts { arch: Mips64, oci: "SCMP_ARCH_MIPS64", docker: &["mips64"], audit: 0x8000_0008, calls: &data::MIPS_N64 },
    Facts { arch: Mips64n32, oci: "SCMP_ARCH_MIPS64N32", docker: &["mips64n32", "mips64p32"], audit: 0xa000_0008, calls: &data::MIPS_N32 },
    Facts { arch: Mipsel, oci: "SCMP_ARCH_MIPSEL", docker: &["mipsel", "mipsle"], audit: 0x4000_0008, calls: &data::MIPS_O32 },
    Facts { arch: Mipsel64, oci: "SCMP_ARCH_MIPSEL64", docker: &["mipsel64", "mips64le"], audit: 0xc000_0008, calls: &data::MIPS_N64 },
    Facts { arch: Mipsel64n32, oci: "SCMP_ARCH_MIPSEL64N32", docker: &["mipsel64n32", "mips64p32le", "mips3l64n32"], audit: 0xe000_0008, calls: &data::MIPS_N32 },
];

/// OCI's architectures of which there is no table here.
pub(crate) const WITHOUT_TABLE: [&str; 5] =
    ["SCMP_ARCH_PARISC", "SCMP_ARCH_PARISC64", "SCMP_ARCH_M68K", "SCMP_ARCH_SH", "SCMP_ARCH_SHEB"];

/// `__AUDIT_ARCH_LE`: the architecture is little-endian.
const LITTLE_ENDIAN: u32 = 0x4000_0000;

impl Arch {
    /// The architecture that this program was built for.
    pub const NATIVE: Arch = if cfg!(target_arch = "x86_64") {
        X86_64
    } else if cfg!(target_arch = "aarch64") {
        Aarch64
    } else if cfg!(target_arch = "riscv64") {
        Riscv64
    } else if cfg!(target_arch = "s390x") {
        S390x
    } else if cfg!(all(target_arch = "powerpc64", target_endian = "little")) {
        Ppc64le
    } else if cfg!(target_arch = "loongarch64") {
        Loongarch64
    } else if cfg!(target_arch = "arm") {
        Arm
    } else {
        X86
    };

    /// All of them.
    pub fn all() -> impl Iterator<Item = Arch> {
        FACTS.iter().map(|facts| facts.arch)
    }

    fn facts(self) -> &'static Facts {
        &FACTS[self as usize]
    }

    /// OCI's name, for instance `SCMP_ARCH_X86_64`.
    #[must_use]
    pub fn oci_name(self) -> &'static str {
        self.facts().oci
    }

    /// The architecture that OCI calls `name`.
    #[must_use]
    pub fn from_oci_name(name: &str) -> Option<Self> {
        FACTS.iter().find(|facts| facts.oci == name).map(|facts| facts.arch)
    }

    /// The architecture that Docker's `includes.arches` calls `name`, for instance `amd64`.
    #[must_use]
    pub fn from_docker_name(name: &str) -> Option<Self> {
        FACTS.iter().find(|facts| facts.docker.contains(&name)).map(|facts| facts.arch)
    }

    /// The value that the kernel reports in `seccomp_data.arch`. x86-64 and x32 share it.
    #[must_use]
    pub fn audit(self) -> u32 {
        self.facts().audit
    }

    /// The architecture of a call that the kernel reports as `audit` with `number`.
    #[must_use]
    pub fn from_audit(audit: u32, number: u32) -> Option<Self> {
        let arch = FACTS.iter().find(|facts| facts.audit == audit)?.arch;
        Some(if arch == X86_64 && number & syscall::X32_BIT != 0 { X32 } else { arch })
    }

    /// Whether an argument's upper half comes first in memory.
    pub(crate) fn big_endian(self) -> bool {
        is_big_endian(self.audit())
    }

    /// Whether `socketcall(2)` and `ipc(2)` reach other calls.
    pub(crate) fn multiplexes(self) -> bool {
        matches!(self, X86 | S390x | S390 | Ppc64le | Ppc64 | Ppc | Mips | Mipsel)
    }

    /// The numbers that this architecture keeps for calls of its own: they say nothing about what is newer than what.
    pub(crate) fn private_numbers(self) -> Range<u32> {
        match self {
            // __ARM_NR_BASE (arch/arm/include/uapi/asm/unistd.h).
            Arm => 0xf_0000..0x10_0000,
            // 512 to 547, "the end of the legacy x32 range" (arch/x86/entry/syscalls/syscall_64.tbl).
            X32 => syscall::X32_BIT + 512..syscall::X32_BIT + 548,
            _ => 0..0,
        }
    }

    /// The number that a filter sees for a call that the kernel does not know. On s390 the number of a new call is in a register
    /// behind `svc 0`, and the kernel puts it in place of the 0 only if it knows the call (arch/s390/kernel/syscall.c).
    pub(crate) fn number_of_unknown(self) -> Option<u32> {
        matches!(self, S390x | S390).then_some(0)
    }

    pub(crate) fn calls(self) -> &'static [Call; syscall::COUNT] {
        self.facts().calls
    }
}

/// Whether the architecture that the kernel reports as `audit` is big-endian.
pub(crate) fn is_big_endian(audit: u32) -> bool {
    audit & LITTLE_ENDIAN == 0
}

impl fmt::Display for Arch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.oci_name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_stand_in_the_order_of_the_enum() {
        for (index, facts) in FACTS.iter().enumerate() {
            assert_eq!(facts.arch as usize, index);
            assert_eq!(Arch::from_oci_name(facts.oci), Some(facts.arch));
        }
    }
}
