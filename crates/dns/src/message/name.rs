//! Domain names: labels of bytes, compared without regard to the case of ASCII letters.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The longest name in the form that is sent.
const LONGEST: usize = 255;
/// The longest label.
const LONGEST_LABEL: usize = 63;

/// A domain name, its letters in lower case. The root has no labels.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name {
    /// Each label with its length before it, without the last zero.
    wire: Vec<u8>,
}

impl Name {
    /// Reads a name that is not compressed, and where it ends.
    pub(super) fn read(bytes: &[u8], start: usize) -> Option<(Self, usize)> {
        let mut at = start;
        loop {
            let length = usize::from(*bytes.get(at)?);
            let end = at + 1 + length;
            // What is longer is a compressed name, or of a kind that nobody uses.
            if length > LONGEST_LABEL || end - start > LONGEST {
                return None;
            }
            if length == 0 {
                return Some((Self { wire: bytes[start..at].to_ascii_lowercase() }, end));
            }
            bytes.get(at..end)?;
            at = end;
        }
    }

    /// The name that `text` is; `None` if a label is empty or too long, or all of it is.
    #[must_use]
    pub fn of(text: &str) -> Option<Self> {
        let text = text.strip_suffix('.').unwrap_or(text);
        let mut wire = Vec::with_capacity(text.len() + 1);
        for label in text.split('.') {
            let length = u8::try_from(label.len()).ok()?;
            if length == 0 || label.len() > LONGEST_LABEL {
                return None;
            }
            wire.push(length);
            wire.extend(label.bytes().map(|byte| byte.to_ascii_lowercase()));
        }
        (wire.len() < LONGEST).then_some(Self { wire })
    }

    /// The form that is sent.
    pub(crate) fn wire(&self) -> impl Iterator<Item = u8> + '_ {
        self.wire.iter().copied().chain([0])
    }

    /// The labels, from left to right.
    fn labels(&self) -> Labels<'_> {
        Labels(&self.wire)
    }

    /// This name with `parent` behind it; `None` if that is too long.
    #[must_use]
    pub fn below(&self, parent: &Self) -> Option<Self> {
        let wire = [self.wire.as_slice(), &parent.wire].concat();
        (wire.len() < LONGEST).then_some(Self { wire })
    }

    /// The address that this name stands for below `in-addr.arpa` and `ip6.arpa`, if it is a whole one.
    #[must_use]
    pub fn reverse(&self) -> Option<IpAddr> {
        let mut labels: Vec<&[u8]> = self.labels().collect();
        if labels.pop()? != b"arpa" {
            return None;
        }
        match (labels.pop()?, labels.len()) {
            (b"in-addr", 4) => {
                let part = |label: &&[u8]| std::str::from_utf8(label).ok()?.parse::<u8>().ok();
                let parts: Vec<u8> = labels.iter().rev().map(part).collect::<Option<_>>()?;
                <[u8; 4]>::try_from(parts).ok().map(|parts| Ipv4Addr::from(parts).into())
            }
            (b"ip6", 32) => {
                let digit = |label: &&[u8]| match label {
                    [digit] => char::from(*digit).to_digit(16),
                    _ => None,
                };
                let mut digits = labels.iter().rev().map(digit);
                let bits = digits.try_fold(0u128, |bits, digit| Some(bits << 4 | u128::from(digit?)))?;
                Some(Ipv6Addr::from(bits).into())
            }
            _ => None,
        }
    }
}

/// The labels of a name.
struct Labels<'a>(&'a [u8]);

impl<'a> Iterator for Labels<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let (length, rest) = self.0.split_first()?;
        let (label, rest) = rest.split_at_checked(usize::from(*length))?;
        self.0 = rest;
        Some(label)
    }
}
