//! `--network` of `run` and `create`, `--add-host`.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use stockade_engine::network::ask::Attach;
use stockade_engine::policy::namespaces::NetworkMode;

use super::{Invalid, invalid};

const FLAG: &str = "--network";

/// One `--network`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Network {
    /// `none`, `host`, `container:NAME`.
    Mode(NetworkMode),
    /// A network, and what the container has there.
    Attach(Attach),
}

/// Docker's default.
impl Default for Network {
    fn default() -> Self {
        Self::Attach(Attach { network: "bridge".to_owned(), ..Attach::default() })
    }
}

impl Network {
    /// The default of a user other than root.
    pub(crate) fn pasta() -> Self {
        Self::Attach(Attach { network: stockade_engine::network::PASTA.to_owned(), ..Attach::default() })
    }
}

impl fmt::Display for Network {
    /// The name alone.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mode(NetworkMode::None) => out.write_str("none"),
            Self::Mode(NetworkMode::Bridge) => out.write_str("bridge"),
            Self::Mode(NetworkMode::Host) => out.write_str("host"),
            Self::Mode(NetworkMode::Container(name)) => write!(out, "container:{name}"),
            Self::Attach(attach) => out.write_str(&attach.network),
        }
    }
}

/// `--default-network`: `none`, `host`, or a network without anything else.
pub(crate) fn plain(text: &str) -> Result<Network, Invalid> {
    let network: Network = text.parse()?;
    match &network {
        Network::Mode(NetworkMode::None | NetworkMode::Host) => Ok(network),
        Network::Attach(_) if !text.contains('=') => Ok(network),
        Network::Mode(_) | Network::Attach(_) => {
            Err(invalid("--default-network", text, "bridge, none, host, or a network's name or id"))
        }
    }
}

impl FromStr for Network {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        // A longer form has a `=`, which no name has.
        let attach =
            if text.contains('=') { long(text)? } else { Attach { network: text.to_owned(), ..Attach::default() } };
        let plain = attach == Attach { network: attach.network.clone(), ..Attach::default() };
        let wrong = |reason: &str| invalid(FLAG, text, reason);
        match attach.network.as_str() {
            "" => Err(wrong("it names no network")),
            "default" => Ok(Self::Attach(Attach { network: "bridge".to_owned(), ..attach })),
            name if name.starts_with("container:") || matches!(name, "none" | "host") => {
                let mode =
                    name.parse().map_err(|error: stockade_engine::policy::PolicyError| wrong(&error.to_string()))?;
                if plain { Ok(Self::Mode(mode)) } else { Err(wrong("it takes no addresses and names")) }
            }
            name if name.contains([':', '/', ' ']) => {
                Err(wrong("none, host, container:NAME, a network's name or id, or name=NETWORK,ip=ADDRESS,..."))
            }
            _ => Ok(Self::Attach(attach)),
        }
    }
}

/// `name=NETWORK[,alias=..][,ip=..][,ip6=..][,mac-address=..][,gw-priority=..]`.
fn long(text: &str) -> Result<Attach, Invalid> {
    let wrong = |reason: String| invalid(FLAG, text, reason);
    let mut attach = Attach::default();
    for field in super::csv::fields(text).map_err(|error| wrong(error.to_string()))? {
        let form = || wrong(format!("{field:?} is not of the form KEY=VALUE"));
        let (key, value) = field.split_once('=').ok_or_else(form)?;
        let no = |what: &str| wrong(format!("{value:?} is no {what}"));
        match key.trim().to_ascii_lowercase().as_str() {
            "name" => attach.network = value.to_owned(),
            "alias" => attach.aliases.push(alias(value).ok_or_else(|| no("name"))?),
            "ip" => attach.ipv4 = Some(value.parse().map_err(|_other| no("IPv4 address"))?),
            "ip6" => attach.ipv6 = Some(value.parse().map_err(|_other| no("IPv6 address"))?),
            "mac-address" => {
                attach.mac = Some(value.parse().map_err(|_other| no("hardware address of one interface"))?);
            }
            "gw-priority" => attach.gateway_priority = value.parse().map_err(|_other| no("number"))?,
            _ => {
                return Err(wrong(format!(
                    "unknown key {key:?}: name, alias, ip, ip6, mac-address and gw-priority are supported"
                )));
            }
        }
    }
    Ok(attach)
}

/// A name that a container can be found by.
pub(crate) fn alias(text: &str) -> Option<String> {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let parts = text.split('.').all(|part| !part.is_empty() && part.len() <= 63);
    (text.len() <= 253 && parts && text.bytes().all(good)).then(|| text.to_owned())
}

/// One `--add-host`: a name and an address; `None` is `host-gateway`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Host(pub(crate) String, pub(crate) Option<IpAddr>);

impl FromStr for Host {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let wrong = |reason: &str| invalid("--add-host", text, reason);
        // As Docker: either sign, whichever comes first.
        let at = text.find(['=', ':']).ok_or_else(|| wrong("not of the form HOST:ADDRESS"))?;
        let (name, address) = (&text[..at], &text[at + 1..]);
        let good = |byte: u8| byte.is_ascii_graphic() && byte != b'#';
        if name.is_empty() || !name.bytes().all(good) {
            return Err(wrong("it has no name of a host before the address"));
        }
        if address == "host-gateway" {
            return Ok(Self(name.to_owned(), None));
        }
        let bare = address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(address);
        let address = bare.parse().map_err(|_other| wrong("it has no address of a host, and not host-gateway"))?;
        Ok(Self(name.to_owned(), Some(address)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_and_modes() {
        let attach = |network: &str| Network::Attach(Attach { network: network.to_owned(), ..Attach::default() });
        for (text, expected) in [
            ("none", Network::Mode(NetworkMode::None)),
            ("host", Network::Mode(NetworkMode::Host)),
            ("container:web", Network::Mode(NetworkMode::Container("web".into()))),
            ("bridge", attach("bridge")),
            ("default", attach("bridge")),
            ("my.net_1-x", attach("my.net_1-x")),
            ("name=net", attach("net")),
        ] {
            assert_eq!(text.parse::<Network>().unwrap(), expected, "{text}");
        }
        let text = "name=net,ip=10.0.0.5,alias=db,alias=data,ip6=fd00::5,mac-address=02:42:ac:11:00:05,gw-priority=-1";
        let Network::Attach(attach) = text.parse().unwrap() else { panic!("{text} is a network") };
        assert_eq!((attach.network.as_str(), attach.aliases.len(), attach.gateway_priority), ("net", 2, -1));
        assert_eq!(attach.ipv4, Some([10, 0, 0, 5].into()));
        for wrong in [
            "",
            "container:",
            "a b",
            "ns:/x",
            "name=net,ip=x",
            "name=net,x=y",
            "name=host,ip=10.0.0.1",
            "ip=10.0.0.1",
            "name=net,mac-address=01:00:00:00:00:00",
            "name=net,alias=a b",
            "name=net,driver-opt=a=b",
            "name=net,x",
        ] {
            assert!(wrong.parse::<Network>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn hosts_and_addresses() {
        let host = |text: &str| text.parse::<Host>().map(|host| (host.0, host.1.map(|address| address.to_string())));
        assert_eq!(host("db:10.0.0.1").unwrap(), ("db".into(), Some("10.0.0.1".into())));
        assert_eq!(host("db=::1").unwrap(), ("db".into(), Some("::1".into())));
        assert_eq!(host("db:[::1]").unwrap(), ("db".into(), Some("::1".into())));
        assert_eq!(host("host.internal:host-gateway").unwrap(), ("host.internal".into(), None));
        for wrong in ["", "db", ":10.0.0.1", "db:", "db:host", "a b:10.0.0.1", "a\n:1.1.1.1"] {
            assert!(host(wrong).is_err(), "{wrong}");
        }
    }
}
