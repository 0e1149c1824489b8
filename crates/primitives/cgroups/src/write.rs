//! One write to a group's file, and what must be read from the file afterwards.

use std::borrow::Cow;

use crate::model::{IdList, Max};

/// One write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// The file's name in the group.
    pub file: Cow<'static, str>,
    /// What is written, in one `write(2)`; if it is empty the file is only read and compared.
    pub value: String,
    /// What is read afterwards.
    pub expect: Expect,
    /// What to do if there is no such file.
    pub missing: Missing,
}

/// What to do if a file is not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Missing {
    /// Fail: the limit can not be had.
    Fail,
    /// Write another file instead.
    Instead(Box<Write>),
    /// Report a degradation with this reason and go on.
    Degrade(&'static str),
}

/// What a file must say after a write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expect {
    /// The written text.
    Same,
    /// This text.
    Text(String),
    /// A bound, rounded down by the kernel to a multiple of the granule (at least 1).
    Bound(Max, u64),
    /// A line with this text.
    Line(String),
    /// No line beginning with this text and a space: the setting was removed.
    NoLine(String),
    /// A line beginning with this key and a space that has this word; or no such line.
    Word(String, String, bool),
    /// This set of numbers.
    Ids(IdList),
    /// These lines in any order, and no others.
    Lines(Vec<String>),
    /// Not compared: the kernel's form of the value is not known.
    Unchecked,
}

impl Write {
    /// A write that is read back as it was written.
    pub(crate) fn new(file: impl Into<Cow<'static, str>>, value: impl std::fmt::Display) -> Self {
        Self { file: file.into(), value: value.to_string(), expect: Expect::Same, missing: Missing::Fail }
    }

    /// With another expectation.
    pub(crate) fn expecting(self, expect: Expect) -> Self {
        Self { expect, ..self }
    }

    /// With `other` written where this file is missing.
    pub(crate) fn or(self, other: Self) -> Self {
        Self { missing: Missing::Instead(Box::new(other)), ..self }
    }

    /// With a missing file reported.
    pub(crate) fn or_degrade(self, why: &'static str) -> Self {
        Self { missing: Missing::Degrade(why), ..self }
    }

    /// Whether `content`, the file's text, is what this write must have brought about.
    #[must_use]
    pub fn holds(&self, content: &str) -> bool {
        let mut lines = content.lines().map(str::trim);
        match &self.expect {
            Expect::Same => content.trim() == self.value,
            Expect::Text(text) => content.trim() == text,
            Expect::Bound(asked, granule) => bound_holds(*asked, *granule, content),
            Expect::Line(line) => lines.any(|found| found == line),
            Expect::NoLine(key) => !lines.any(|found| found.split(' ').next() == Some(key)),
            Expect::Word(key, word, or_none) => {
                let found = lines.find(|found| found.split(' ').next() == Some(key));
                found.map_or(*or_none, |line| line.split(' ').any(|other| other == word))
            }
            Expect::Ids(ids) => IdList::parse("", content).as_ref() == Ok(ids),
            Expect::Lines(wanted) => {
                let mut found: Vec<&str> = lines.filter(|line| !line.is_empty()).collect();
                let mut wanted: Vec<&str> = wanted.iter().map(String::as_str).collect();
                found.sort_unstable();
                wanted.sort_unstable();
                found == wanted
            }
            Expect::Unchecked => true,
        }
    }
}

/// Whether the bound read is the one asked, or the multiple of the granule below it.
fn bound_holds(asked: Max, granule: u64, content: &str) -> bool {
    match (asked, read_bound(content)) {
        (Max::Unlimited, Some(Max::Unlimited)) => true,
        (Max::At(asked), Some(Max::At(found))) => found <= asked && asked - found < granule.max(1),
        // What is above the kernel's own maximum is no bound.
        (Max::At(asked), Some(Max::Unlimited)) => asked >= UNBOUNDED,
        _ => false,
    }
}

/// cgroup v1 shows an unlimited counter as `PAGE_COUNTER_MAX` pages: 2^63 - 1 rounded down to pages of up to 64 KiB.
const UNBOUNDED: u64 = (i64::MAX as u64) & !0xffff;

/// A bound as either interface shows it.
pub(crate) fn read_bound(content: &str) -> Option<Max> {
    match content.trim() {
        "max" | "-1" => Some(Max::Unlimited),
        number => number.parse().ok().map(|number| if number >= UNBOUNDED { Max::Unlimited } else { Max::At(number) }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn read_back_forms() {
        let write = |expect| Write::new("f", "8:0 5").expecting(expect);
        assert!(write(Expect::Same).holds("8:0 5\n"));
        assert!(write(Expect::Bound(Max::At(5000), 4096)).holds("4096\n"));
        assert!(!write(Expect::Bound(Max::At(5000), 4096)).holds("8192\n"));
        assert!(!write(Expect::Bound(Max::At(9000), 4096)).holds("4096\n"));
        assert!(write(Expect::Bound(Max::Unlimited, 4096)).holds("9223372036854771712\n"));
        assert!(!write(Expect::Bound(Max::At(1), 1)).holds("max\n"));
        assert!(write(Expect::Word("8:0".into(), "rbps=5".into(), false)).holds("8:16 rbps=1\n8:0 rbps=5 wbps=max\n"));
        assert!(!write(Expect::Word("8:0".into(), "rbps=5".into(), false)).holds("8:0 rbps=50\n"));
        assert!(write(Expect::NoLine("8:0".into())).holds("8:01 5\n"));
        assert!(!write(Expect::Lines(vec!["a".into()])).holds("a\nb\n"));
    }
}
