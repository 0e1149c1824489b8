//! `--expose PORT[-PORT][/PROTOCOL]`.

use super::{Invalid, invalid};

const FLAG: &str = "--expose";

/// One or more ports of one protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ports {
    first: u16,
    last: u16,
    protocol: &'static str,
}

impl Ports {
    /// Each as Docker writes it: `80/tcp`.
    pub(crate) fn each(&self) -> impl Iterator<Item = String> {
        let protocol = self.protocol;
        (self.first..=self.last).map(move |port| format!("{port}/{protocol}"))
    }
}

/// The ports that `text` names.
///
/// # Errors
/// Anything else, and what belongs to `--publish`.
pub(crate) fn ports(text: &str) -> Result<Ports, Invalid> {
    if text.contains(':') {
        return Err(invalid(FLAG, text, "a port of the container alone; one of the host is given by --publish"));
    }
    let (numbers, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let known = ["tcp", "udp", "sctp"].into_iter().find(|known| known.eq_ignore_ascii_case(protocol));
    let protocol = known.ok_or_else(|| invalid(FLAG, text, "the protocol is tcp, udp or sctp"))?;
    let (first, last) = numbers.split_once('-').unwrap_or((numbers, numbers));
    let number = |digits: &str| {
        let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        let number = digits.parse().ok().filter(|number| plain && *number != 0);
        number.ok_or_else(|| invalid(FLAG, text, "a port is a number of 1 to 65535, and a range is FIRST-LAST"))
    };
    let (first, last) = (number(first)?, number(last)?);
    if last < first {
        return Err(invalid(FLAG, text, "the range ends before it begins"));
    }
    Ok(Ports { first, last, protocol })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_as_docker_writes_them() {
        let each = |text: &str| ports(text).unwrap().each().collect::<Vec<_>>().join(" ");
        assert_eq!(each("80"), "80/tcp");
        assert_eq!(each("53/UDP"), "53/udp");
        assert_eq!(each("8000-8002/sctp"), "8000/sctp 8001/sctp 8002/sctp");
        assert_eq!(ports("1-65535").unwrap().each().count(), 65535);
        for text in ["", "0", "65536", "80/icmp", "80/", "/tcp", "90-80", "-", "80-", "+80", "8080:80", "x"] {
            assert!(ports(text).unwrap_err().to_string().starts_with("invalid --expose"), "{text}");
        }
    }
}
