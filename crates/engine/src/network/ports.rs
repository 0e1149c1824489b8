//! Which ports of the host lead to a container that starts.

use std::net::{IpAddr, Ipv6Addr};

use stockade_network::holders::{self, Holder};
use stockade_network::model::{Protocol, PublishedPort};
use stockade_network::{bridge, ports};

use super::NetworksError;
use super::ask::PortRequest;

/// A port that somebody has, and who: a container's id.
pub(crate) type Taken = (PublishedPort, String);

/// Why a port cannot be published.
#[derive(Debug, thiserror::Error)]
pub enum PortError {
    /// A container has it.
    #[error("Bind for {host}:{port} failed: port is already allocated by container {container}", host = shown(*host))]
    Container {
        /// The host's address.
        host: Option<IpAddr>,
        /// The port.
        port: u16,
        /// The container's name.
        container: String,
    },
    /// A process of the host has it.
    #[error(
        "Bind for {host}:{port} failed: a program of the host has that port{}; stop it, or publish another one",
        .program.as_ref().map(told).unwrap_or_default(),
        host = shown(*host)
    )]
    Host {
        /// The host's address.
        host: Option<IpAddr>,
        /// The port.
        port: u16,
        /// Which one, if it was found.
        program: Option<Holder>,
    },
    /// The loopback of IPv6, which cannot lead anywhere.
    #[error(
        "Bind for [::1]:{0} failed: with net.bridge.bridge-nf-call-ip6tables on, no answer comes back to ::1; publish 127.0.0.1, or set it to 0"
    )]
    Loopback(u16),
    /// None is left.
    #[error("no port from {0} to {1} of the host is free")]
    None(u16, u16),
}

fn told(program: &Holder) -> String {
    format!(" ({}, process {})", program.name, program.pid)
}

fn shown(host: Option<IpAddr>) -> String {
    match host {
        None => "0.0.0.0".to_owned(),
        Some(IpAddr::V4(address)) => address.to_string(),
        Some(IpAddr::V6(address)) => format!("[{address}]"),
    }
}

/// Whether one of both would get what is for the other.
fn conflict(one: &PublishedPort, host: Option<IpAddr>, port: u16, protocol: Protocol) -> bool {
    let any = |host: Option<IpAddr>| host.is_none_or(|host| host.is_unspecified());
    let version = |host: Option<IpAddr>| host.map(|host| host.is_ipv4());
    let meet = match (version(one.host), version(host)) {
        (Some(one), Some(other)) => one == other,
        _ => true,
    };
    let same = any(one.host) || any(host) || one.host == host;
    one.host_port == port && one.protocol == protocol && meet && same
}

/// Chooses a port for each request: the one that was had `before`, if it can be had, and otherwise the first. `host` is the address that those have
/// which ask for none.
///
/// # Errors
/// The first that cannot be had.
pub(crate) fn choose(
    requests: &[PortRequest],
    host: Option<IpAddr>,
    before: &[PublishedPort],
    taken: &[Taken],
    name: impl Fn(&str) -> String,
) -> Result<Vec<PublishedPort>, NetworksError> {
    let mut chosen: Vec<PublishedPort> = Vec::new();
    for request in requests {
        let address = request.host.or(host);
        if address == Some(IpAddr::V6(Ipv6Addr::LOCALHOST)) && !bridge::has_loopback_six()? {
            return Err(PortError::Loopback(request.host_ports.map_or(0, |(first, _)| first)).into());
        }
        let (first, last) = match request.host_ports {
            Some(range) => range,
            None => ports::ephemeral()?,
        };
        let mut found = None;
        let mut refusal = None;
        let had = before.iter().filter(|one| {
            let same =
                (one.host, one.container_port, one.protocol) == (address, request.container_port, request.protocol);
            same && (first..=last).contains(&one.host_port)
        });
        for port in had.map(|one| one.host_port).chain(first..=last) {
            let is_it = |one: &PublishedPort| conflict(one, address, port, request.protocol);
            if let Some((_, container)) = taken.iter().find(|(one, _)| is_it(one)) {
                refusal = Some(PortError::Container { host: address, port, container: name(container) });
            } else if chosen.iter().any(is_it) {
                refusal = Some(PortError::Container { host: address, port, container: "itself".to_owned() });
            } else if !ports::is_free(address, port, request.protocol)? {
                refusal = Some(PortError::Host { host: address, port, program: None });
            } else {
                found = Some(port);
                break;
            }
        }
        let none = || match refusal {
            Some(PortError::Host { host, port, .. }) if first == last => {
                PortError::Host { host, port, program: holders::holder(host, port, request.protocol) }
            }
            Some(refusal) if first == last => refusal,
            _ => PortError::None(first, last),
        };
        chosen.push(PublishedPort {
            host: address,
            host_port: found.ok_or_else(none)?,
            container_port: request.container_port,
            protocol: request.protocol,
        });
    }
    Ok(chosen)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port(host: Option<&str>, port: u16, protocol: Protocol) -> PublishedPort {
        let host = host.map(|host| host.parse().unwrap());
        PublishedPort { host, host_port: port, container_port: 80, protocol }
    }

    #[test]
    fn who_is_in_whose_way() {
        let of = |one: Option<&str>, other: Option<&str>| {
            let other = other.map(|other| other.parse().unwrap());
            conflict(&port(one, 80, Protocol::Tcp), other, 80, Protocol::Tcp)
        };
        assert!(of(None, None) && of(None, Some("127.0.0.1")) && of(Some("0.0.0.0"), Some("10.0.0.1")));
        assert!(of(Some("10.0.0.1"), Some("10.0.0.1")) && of(None, Some("::1")));
        assert!(!of(Some("10.0.0.1"), Some("10.0.0.2")) && !of(Some("0.0.0.0"), Some("::")));
        let one = port(None, 80, Protocol::Tcp);
        assert!(!conflict(&one, None, 81, Protocol::Tcp) && !conflict(&one, None, 80, Protocol::Udp));
    }

    #[test]
    fn what_was_had_before_is_had_again_if_nobody_else_has_it() {
        let host: Option<IpAddr> = Some("127.0.0.1".parse().unwrap());
        let drawn = |container_port| PortRequest { host, host_ports: None, container_port, protocol: Protocol::Tcp };
        let (first, last) = ports::ephemeral().unwrap();
        let free = (first..=last).rev().filter(|port| ports::is_free(host, *port, Protocol::Tcp).unwrap());
        let free: Vec<u16> = free.take(2).collect();
        let had =
            |host_port, container_port| PublishedPort { host, host_port, container_port, protocol: Protocol::Tcp };
        let before = [had(free[0], 80), had(free[1], 80), had(1, 81)];
        let got = |taken: &[Taken]| {
            let got = choose(&[drawn(80), drawn(80), drawn(81)], None, &before, taken, str::to_owned).unwrap();
            got.into_iter().map(|port| port.host_port).collect::<Vec<_>>()
        };
        assert_eq!(got(&[])[..2], free[..]);
        assert_ne!(got(&[])[2], 1, "not of the range that is asked for");
        let taken = got(&[(had(free[0], 90), "web".to_owned())]);
        assert_eq!(taken[0], free[1]);
        assert!(!taken.contains(&free[0]));
    }

    #[test]
    fn what_is_taken_is_told_and_ranges_go_on() {
        let request = |first, last| PortRequest {
            host: Some("127.0.0.1".parse().unwrap()),
            host_ports: Some((first, last)),
            container_port: 80,
            protocol: Protocol::Tcp,
        };
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let used = listener.local_addr().unwrap().port();
        let choose = |requests: &[PortRequest], taken: &[Taken]| choose(requests, None, &[], taken, str::to_owned);
        let said = choose(&[request(used, used)], &[]).unwrap_err().to_string();
        let owner = format!(", process {})", std::process::id());
        assert!(said.contains("a program of the host has that port (") && said.contains(&owner), "{said}");
        drop(listener);
        let taken = [(port(None, used, Protocol::Tcp), "web".to_owned())];
        let said = choose(&[request(used, used)], &taken).unwrap_err().to_string();
        assert_eq!(said, format!("Bind for 127.0.0.1:{used} failed: port is already allocated by container web"));
        if used < 65000 {
            let got = choose(&[request(used, used + 200), request(used, used + 200)], &taken).unwrap();
            assert!(got[0].host_port > used && got[1].host_port > got[0].host_port);
        }
    }
}
