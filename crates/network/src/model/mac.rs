//! Hardware addresses.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// An Ethernet address that one interface can have: not a group's, not zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Mac([u8; 6]);

/// A text that is no such address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no hardware address of one interface: six pairs of hexadecimal digits, as in 02:42:ac:11:00:02")]
pub struct InvalidMac(pub String);

impl Mac {
    /// The address, if one interface can have it.
    #[must_use]
    pub fn new(bytes: [u8; 6]) -> Option<Self> {
        (bytes[0] & 1 == 0 && bytes != [0; 6]).then_some(Self(bytes))
    }

    /// The one that goes with an IPv4 address, as in Docker: `02:42` and the address. No neighbour's memory of who had the address
    /// is then wrong for long.
    #[must_use]
    pub fn of(address: Ipv4Addr) -> Self {
        let [a, b, c, d] = address.octets();
        Self([0x02, 0x42, a, b, c, d])
    }

    /// The six bytes.
    #[must_use]
    pub fn octets(self) -> [u8; 6] {
        self.0
    }
}

impl FromStr for Mac {
    type Err = InvalidMac;

    fn from_str(text: &str) -> Result<Self, InvalidMac> {
        let wrong = || InvalidMac(text.to_owned());
        let separator = if text.contains('-') { '-' } else { ':' };
        let part = |part: &str| match part.len() {
            2 if part.bytes().all(|byte| byte.is_ascii_hexdigit()) => u8::from_str_radix(part, 16).ok(),
            _ => None,
        };
        let bytes: Vec<u8> = text.split(separator).map(part).collect::<Option<_>>().ok_or_else(wrong)?;
        let bytes = <[u8; 6]>::try_from(bytes).map_err(|_other_length| wrong())?;
        Self::new(bytes).ok_or_else(wrong)
    }
}

impl TryFrom<String> for Mac {
    type Error = InvalidMac;

    fn try_from(text: String) -> Result<Self, InvalidMac> {
        text.parse()
    }
}

impl From<Mac> for String {
    fn from(mac: Mac) -> Self {
        mac.to_string()
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, f] = self.0;
        write!(out, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_one_interface() {
        assert_eq!("02:42:AC-".parse::<Mac>().ok(), None);
        assert_eq!("02-42-AC-11-00-02".parse::<Mac>().unwrap().to_string(), "02:42:ac:11:00:02");
        assert_eq!(Mac::of([172, 17, 0, 2].into()).to_string(), "02:42:ac:11:00:02");
        for wrong in
            ["", "01:00:00:00:00:00", "00:00:00:00:00:00", "2:42:ac:11:0:2", "02:42:ac:11:00", "02:42:ac:11:00:02:03"]
        {
            assert!(wrong.parse::<Mac>().is_err(), "{wrong}");
        }
    }
}
