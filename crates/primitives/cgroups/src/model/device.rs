//! Rules about device nodes.

use super::LimitError;

bitflags::bitflags! {
    /// What may be done with a device node; the values are those of `BPF_DEVCG_ACC_*` in `linux/bpf.h`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
    pub struct Access: u16 {
        /// `m`: make a node with this number.
        const MKNOD = 1;
        /// `r`: open for reading.
        const READ = 2;
        /// `w`: open for writing.
        const WRITE = 4;
    }
}

impl Access {
    /// Parses some of the letters `r`, `w` and `m`, each at most once.
    ///
    /// # Errors
    /// [`LimitError::Malformed`] for anything else, and for the empty text.
    pub fn parse(text: &str) -> Result<Self, LimitError> {
        let malformed = || LimitError::malformed("device access", text, "some of the letters r, w and m");
        let mut access = Self::empty();
        for letter in text.chars() {
            let one = match letter {
                'r' => Self::READ,
                'w' => Self::WRITE,
                'm' => Self::MKNOD,
                _ => return Err(malformed()),
            };
            if access.contains(one) {
                return Err(malformed());
            }
            access |= one;
        }
        if access.is_empty() { Err(malformed()) } else { Ok(access) }
    }
}

impl std::fmt::Display for Access {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (flag, letter) in [(Self::READ, "r"), (Self::WRITE, "w"), (Self::MKNOD, "m")] {
            if self.contains(flag) {
                formatter.write_str(letter)?;
            }
        }
        Ok(())
    }
}

/// The kinds of device nodes that a rule is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DeviceKind {
    /// `a`: both kinds.
    All,
    /// `b`.
    Block,
    /// `c` (and `u`).
    Character,
}

impl DeviceKind {
    /// Parses `a`, `b`, `c` or `u`.
    ///
    /// # Errors
    /// [`LimitError::Malformed`] for anything else.
    pub fn parse(text: &str) -> Result<Self, LimitError> {
        match text {
            "a" => Ok(Self::All),
            "b" => Ok(Self::Block),
            "c" | "u" => Ok(Self::Character),
            _ => Err(LimitError::malformed("device type", text, "a, b, c or u")),
        }
    }
}

/// One rule. `None` as a number stands for all numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceRule {
    /// Whether it allows or denies.
    pub allow: bool,
    /// The kinds of nodes.
    pub kind: DeviceKind,
    /// The major number.
    pub major: Option<u32>,
    /// The minor number.
    pub minor: Option<u32>,
    /// What it allows or denies.
    pub access: Access,
}

impl DeviceRule {
    /// Whether the rule is about all devices and all access.
    pub(crate) fn is_total(&self) -> bool {
        self.kind == DeviceKind::All && self.major.is_none() && self.minor.is_none() && self.access.is_all()
    }
}

/// Rules in order: for each single access (r, w, m) the last rule that is about it decides, and what no rule is about
/// is denied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeviceRules {
    rules: Vec<DeviceRule>,
}

impl DeviceRules {
    /// The most rules that are taken: their program stays far below the kernel's bound on jumps and complexity.
    pub const MOST: usize = 2000;

    /// Takes the rules in order.
    ///
    /// # Errors
    /// [`LimitError::OutOfRange`] if there are more than [`DeviceRules::MOST`], a rule has no access, or a number is
    /// above what a device can have (4095, 1048575).
    pub fn new(rules: Vec<DeviceRule>) -> Result<Self, LimitError> {
        if rules.len() > Self::MOST {
            return Err(LimitError::out_of_range("the number of device rules", rules.len(), "at most 2000"));
        }
        for rule in &rules {
            if rule.access.is_empty() {
                return Err(LimitError::malformed("device access", "", "some of the letters r, w and m"));
            }
            for (what, number, highest, range) in [
                ("device major number", rule.major, 4095, "at most 4095"),
                ("device minor number", rule.minor, 1_048_575, "at most 1048575"),
            ] {
                if let Some(number) = number.filter(|&number| number > highest) {
                    return Err(LimitError::out_of_range(what, number, range));
                }
            }
        }
        Ok(Self { rules })
    }

    /// The rules in order.
    #[must_use]
    pub fn rules(&self) -> &[DeviceRule] {
        &self.rules
    }

    /// What the rules say of `access` to the device `kind` `major`:`minor`, by their definition: the reference that
    /// the kernel's answers are tested against. An access of no letters is allowed where some rule allows anything.
    ///
    /// `kind` is [`DeviceKind::Block`] or [`DeviceKind::Character`].
    #[must_use]
    pub fn allows(&self, kind: DeviceKind, major: u32, minor: u32, access: Access) -> bool {
        let about = |rule: &&DeviceRule| {
            (rule.kind == DeviceKind::All || rule.kind == kind)
                && rule.major.is_none_or(|number| number == major)
                && rule.minor.is_none_or(|number| number == minor)
        };
        if access.is_empty() {
            return self.rules.iter().filter(about).any(|rule| rule.allow);
        }
        access.iter().all(|single| {
            let decides = |rule: &&DeviceRule| rule.access.contains(single);
            self.rules.iter().rev().filter(about).find(decides).is_some_and(|rule| rule.allow)
        })
    }
}
