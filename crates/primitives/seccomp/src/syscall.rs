//! System calls by name, with the number and the argument widths that each architecture gives them.
//!
//! The tables are generated from the kernel's own (`tables/generate.py`).

use std::fmt;
use std::sync::OnceLock;

use crate::architecture::{self, Arch};

/// The generated tables.
pub(crate) mod data {
    use super::Call;

    /// A call that exists: its number, and two bits per argument (64, 32, 16, 8).
    const fn c(number: u32, widths: u16) -> Call {
        Call { number, widths }
    }
    /// No such call.
    const N: Call = c(u32::MAX, 0);

    include!("../tables/generated.rs");
}

pub(crate) const COUNT: usize = data::COUNT;

/// Set in the numbers of x32 (`__X32_SYSCALL_BIT`).
pub(crate) const X32_BIT: u32 = 0x4000_0000;

/// A call on one architecture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) number: u32,
    widths: u16,
}

impl Call {
    pub(crate) fn exists(&self) -> bool {
        self.number != u32::MAX
    }

    /// How many bits of argument `index` the kernel looks at: 8, 16, 32 or 64.
    pub(crate) fn width(&self, index: u8) -> u32 {
        64 >> (self.widths >> (2 * index) & 3)
    }
}

/// The name of a system call that at least one architecture has.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Syscall(u16);

impl Syscall {
    /// The call of this name, `None` if no architecture has one.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        let (mut low, mut high) = (0u16, COUNT as u16);
        while low < high {
            let middle = Self(low.midpoint(high));
            match name.cmp(middle.name()) {
                std::cmp::Ordering::Equal => return Some(middle),
                std::cmp::Ordering::Less => high = middle.0,
                std::cmp::Ordering::Greater => low = middle.0 + 1,
            }
        }
        None
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        let index = usize::from(self.0);
        &data::NAMES[usize::from(data::OFFSETS[index])..usize::from(data::OFFSETS[index + 1])]
    }

    /// Its number on `arch` (on x32 with the x32 bit), `None` if that architecture lacks it.
    #[must_use]
    pub fn number(self, arch: Arch) -> Option<u32> {
        self.call(arch).map(|call| call.number)
    }

    pub(crate) fn call(self, arch: Arch) -> Option<Call> {
        Some(arch.calls()[usize::from(self.0)]).filter(Call::exists)
    }

    /// All names, sorted.
    pub fn all() -> impl Iterator<Item = Syscall> {
        (0..COUNT as u16).map(Syscall)
    }

    /// The first name with this number on `arch`.
    #[must_use]
    pub fn from_number(arch: Arch, number: u32) -> Option<Self> {
        let all = Self::by_number(arch);
        let (found, syscall) = all.get(all.partition_point(|(other, _)| *other < number))?;
        (*found == number).then_some(*syscall)
    }

    /// The calls of `arch` by their numbers, and those of one number by their names: put in order once, because who watches a program
    /// asks for each of its calls.
    fn by_number(arch: Arch) -> &'static [(u32, Self)] {
        static ALL: [OnceLock<Vec<(u32, Syscall)>>; architecture::COUNT] =
            [const { OnceLock::new() }; architecture::COUNT];
        ALL[arch as usize].get_or_init(|| {
            let mut all: Vec<_> = Self::all().filter_map(|syscall| Some((syscall.number(arch)?, syscall))).collect();
            all.sort_unstable();
            all
        })
    }

    /// The name that is the fewest edits away from `name`, if that is close enough to be a slip of the pen.
    #[must_use]
    pub fn nearest(name: &str) -> Option<Self> {
        if name.len() > 64 {
            return None;
        }
        let (distance, nearest) = Self::all().map(|syscall| (edits(name, syscall.name()), syscall)).min()?;
        (distance <= 1 + name.len() / 4).then_some(nearest)
    }
}

/// Levenshtein's distance of the two names in bytes.
fn edits(left: &str, right: &str) -> usize {
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in right.bytes().enumerate() {
            let replaced = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[right.len()]
}

impl fmt::Debug for Syscall {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl fmt::Display for Syscall {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(name: &str, arch: Arch) -> Call {
        Syscall::from_name(name).unwrap().call(arch).unwrap()
    }

    #[test]
    fn every_name_is_found_again() {
        for syscall in Syscall::all() {
            assert_eq!(Syscall::from_name(syscall.name()), Some(syscall));
            assert!(Arch::all().any(|arch| syscall.number(arch).is_some()), "{syscall}");
        }
        assert_eq!(Syscall::from_name("chmodd"), None);
        assert_eq!(Syscall::from_name(""), None);
        assert_eq!(Syscall::nearest("chmodd").unwrap().name(), "chmod");
        assert_eq!(Syscall::nearest("xyzzyplughxyzzy"), None);
    }

    #[test]
    fn a_number_is_its_first_name() {
        for arch in Arch::all() {
            for number in Syscall::all().filter_map(|syscall| syscall.number(arch)) {
                let first = Syscall::all().find(|syscall| syscall.number(arch) == Some(number));
                assert_eq!(Syscall::from_number(arch, number), first, "{number} on {arch}");
            }
            assert_eq!(Syscall::from_number(arch, u32::MAX), None);
        }
    }

    #[test]
    fn numbers_are_the_kernels() {
        for (name, arch, number) in [
            ("read", Arch::X86_64, 0),
            ("socket", Arch::X86, 359),
            ("ioctl", Arch::X32, X32_BIT + 514),
            ("mseal", Arch::X86_64, 462),
            ("openat", Arch::Aarch64, 56),
            ("set_tls", Arch::Arm, 0xf0005),
            ("riscv_flush_icache", Arch::Riscv64, 259),
            ("exit", Arch::S390x, 1),
            ("clone", Arch::Ppc64le, 120),
            ("read", Arch::Mips64, 5000),
        ] {
            assert_eq!(call(name, arch).number, number, "{name} on {arch}");
        }
        assert_eq!(Syscall::from_name("fork").unwrap().number(Arch::Aarch64), None);
    }

    #[test]
    fn widths_are_the_kernels() {
        for (name, arch, index, width) in [
            ("socket", Arch::X86_64, 0, 32),
            ("socket", Arch::S390x, 2, 32),
            ("personality", Arch::X86_64, 0, 32),
            ("clone", Arch::X86_64, 0, 32),
            ("clone", Arch::X86_64, 1, 64),
            ("clone", Arch::S390x, 1, 32),
            ("mmap", Arch::X86_64, 2, 64),
            ("mmap", Arch::X86_64, 4, 32),
            ("personality", Arch::Ppc64le, 0, 32),
            ("chmod", Arch::X86_64, 1, 16),
            ("unshare", Arch::X86_64, 0, 64),
            ("unshare", Arch::X86, 0, 32),
            ("ioctl", Arch::X32, 1, 32),
            ("fanotify_mark", Arch::X86_64, 2, 64),
            ("setxattrat", Arch::Riscv64, 2, 32),
        ] {
            assert_eq!(call(name, arch).width(index), width, "argument {index} of {name} on {arch}");
        }
    }
}
