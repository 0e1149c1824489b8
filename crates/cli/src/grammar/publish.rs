//! `--publish`, in Docker's grammar (`nat.ParsePortSpec`): `[[HOST:]HOSTPORT:]PORT[/PROTOCOL]`, with ranges.

use std::net::IpAddr;
use std::str::FromStr;

use stockade_engine::network::ask::PortRequest;
use stockade_engine::network::model::Protocol;

use super::{Invalid, invalid};

/// One `--publish`: a request for each port of a range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Publish(pub(crate) Vec<PortRequest>);

impl FromStr for Publish {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let wrong = |reason: &str| invalid("--publish", text, reason);
        if text.contains('=') {
            return long(text).map(Self);
        }
        let (ports, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
        let protocol: Protocol = protocol.parse().map_err(|_other| wrong("the protocols are tcp, udp and sctp"))?;
        let (host, ports) = address(ports).ok_or_else(|| {
            wrong("not of the form [[HOST:]HOSTPORT:]PORT[/PROTOCOL]; an IPv6 address stands in brackets")
        })?;
        let (host_ports, container) = match ports.split_once(':') {
            Some((host_ports, container)) => (host_ports, container),
            None => ("", ports),
        };
        let range_of =
            |text: &str| range(text).ok_or_else(|| wrong("a port is a number from 1 to 65535, or two with - between"));
        let (first, last) = range_of(container)?;
        let host_ports = match host_ports {
            "" => None,
            ports => Some(range_of(ports)?),
        };
        requests(host, host_ports, (first, last), protocol)
            .map(Self)
            .ok_or_else(|| wrong("the ranges of the host and of the container differ in length"))
    }
}

/// `target=PORT[,published=PORT][,protocol=..][,host_ip=..][,mode=host|ingress]`, Docker's longer form.
fn long(text: &str) -> Result<Vec<PortRequest>, Invalid> {
    let wrong = |reason: &str| invalid("--publish", text, reason);
    let form = "the keys are target, published, protocol and mode";
    let (mut target, mut published, mut protocol) = (None, None, Protocol::Tcp);
    for field in super::csv::fields(text).map_err(|error| wrong(&error.to_string()))? {
        let (key, value) = field.split_once('=').ok_or_else(|| wrong(form))?;
        match key.to_ascii_lowercase().as_str() {
            "target" => target = Some(range(value).ok_or_else(|| wrong("target is no port"))?),
            "published" => published = Some(range(value).ok_or_else(|| wrong("published is no port"))?),
            "protocol" => protocol = value.parse().map_err(|_other| wrong("the protocols are tcp, udp and sctp"))?,
            "mode" if matches!(value, "host" | "ingress") => {}
            _ => return Err(wrong(form)),
        }
    }
    let target = target.ok_or_else(|| wrong("target is missing"))?;
    requests(None, published, target, protocol).ok_or_else(|| wrong("the ranges differ in length"))
}

/// One request for each port of the container. A range of the host that is longer is one that a single port is chosen from.
fn requests(
    host: Option<IpAddr>,
    host_ports: Option<(u16, u16)>,
    (first, last): (u16, u16),
    protocol: Protocol,
) -> Option<Vec<PortRequest>> {
    let request = |container_port, host_ports| PortRequest { host, host_ports, container_port, protocol };
    match host_ports {
        None => Some((first..=last).map(|port| request(port, None)).collect()),
        Some(range) if first == last => Some(vec![request(first, Some(range))]),
        Some((from, to)) if to - from == last - first => Some(
            (first..=last).map(|port| request(port, Some((from + (port - first), from + (port - first))))).collect(),
        ),
        Some(_) => None,
    }
}

/// The address before the ports, and the ports.
fn address(text: &str) -> Option<(Option<IpAddr>, &str)> {
    if let Some(rest) = text.strip_prefix('[') {
        let (host, ports) = rest.split_once("]:")?;
        return host.parse::<std::net::Ipv6Addr>().ok().map(|host| (Some(host.into()), ports));
    }
    let parts = text.matches(':').count();
    match parts {
        0 | 1 => Some((None, text)),
        2 => {
            let (host, ports) = text.split_once(':')?;
            if host.is_empty() {
                return Some((None, ports));
            }
            host.parse::<std::net::Ipv4Addr>().ok().map(|host| (Some(host.into()), ports))
        }
        _ => None,
    }
}

/// A port, or the first and the last one.
fn range(text: &str) -> Option<(u16, u16)> {
    let number = |text: &str| {
        let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<u16>().ok().filter(|number| plain && *number > 0)
    };
    match text.split_once('-') {
        None => number(text).map(|port| (port, port)),
        Some((first, last)) => {
            let (first, last) = (number(first)?, number(last)?);
            (first <= last).then_some((first, last))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Vec<String> {
        let one = |port: &PortRequest| {
            let host = port.host.map(|host| host.to_string()).unwrap_or_default();
            let ports = port.host_ports.map(|(first, last)| format!("{first}-{last}")).unwrap_or_default();
            format!("{host} {ports} {}/{}", port.container_port, port.protocol)
        };
        text.parse::<Publish>().unwrap().0.iter().map(one).collect()
    }

    #[test]
    fn dockers_forms() {
        for (text, expected) in [
            ("80", &["  80/tcp"][..]),
            ("80/UDP", &["  80/udp"]),
            ("8080:80", &[" 8080-8080 80/tcp"]),
            ("8000-9000:80", &[" 8000-9000 80/tcp"]),
            ("127.0.0.1:8080:80/sctp", &["127.0.0.1 8080-8080 80/sctp"]),
            ("127.0.0.1::80", &["127.0.0.1  80/tcp"]),
            ("[::1]:8080:80", &["::1 8080-8080 80/tcp"]),
            ("[::]::80", &["::  80/tcp"]),
            ("8080-8081:80-81", &[" 8080-8080 80/tcp", " 8081-8081 81/tcp"]),
            ("80-81", &["  80/tcp", "  81/tcp"]),
            (":80", &["  80/tcp"]),
            ("target=80,published=8080,protocol=udp,mode=host", &[" 8080-8080 80/udp"]),
        ] {
            assert_eq!(shown(text), expected, "{text}");
        }
        for wrong in [
            "",
            "0",
            "65536",
            "a",
            "80/icmp",
            "80/",
            "8080:",
            "1-2:3-5",
            "3-1",
            "localhost:80:80",
            "::1:80:80",
            "[::1]80:80",
            "1:2:3:4",
            "+1:80",
            "[127.0.0.1]:80:80",
            "target=0",
            "published=80",
            "target=80,x=y",
        ] {
            assert!(wrong.parse::<Publish>().is_err(), "{wrong}");
        }
    }
}
