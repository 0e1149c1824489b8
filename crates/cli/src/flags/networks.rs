//! Networks, ports and names.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use clap::Args;
use stockade_engine::network::ask::{Attach, NameServers, NetworkRequest};
use stockade_engine::policy::namespaces::NetworkMode;

use crate::grammar::network::{Host, Network, alias};
use crate::grammar::publish::Publish;
use crate::grammar::{Invalid, invalid};

/// What the container reaches, and who reaches it.
#[derive(Debug, Args)]
#[command(next_help_heading = "Networks")]
pub(crate) struct NetworkFlags {
    /// Network: bridge (the default), none (loopback only), host, container:NAME, or a network's name, also as
    /// name=NETWORK,ip=ADDRESS,ip6=ADDRESS,alias=NAME,mac-address=ADDRESS,gw-priority=NUMBER; several are possible
    #[arg(long, visible_alias = "net", value_name = "NETWORK")]
    pub(crate) network: Vec<Network>,
    /// Name of the container on its networks; may be repeated
    #[arg(long, visible_alias = "net-alias", value_name = "NAME", value_parser = network_alias)]
    pub(crate) network_alias: Vec<String>,
    /// IPv4 address of the container
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) ip: Option<Ipv4Addr>,
    /// IPv6 address of the container
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) ip6: Option<Ipv6Addr>,
    /// Hardware address of the container
    #[arg(long, value_name = "ADDRESS", value_parser = mac_address)]
    pub(crate) mac_address: Option<stockade_engine::network::model::Mac>,
    /// Publish a port of the container on the host: [[HOST:]HOSTPORT:]PORT[/PROTOCOL], also ranges
    #[arg(long, short, value_name = "PORT")]
    pub(crate) publish: Vec<Publish>,
    /// Publish all ports that the image or --expose names, on ports of the host that are drawn
    #[arg(long, short = 'P')]
    pub(crate) publish_all: bool,
    /// Name server that is asked instead of the host's
    #[arg(long, value_name = "ADDRESS", value_parser = server)]
    pub(crate) dns: Vec<IpAddr>,
    /// Domain in which names are looked for, instead of the host's; . for none
    #[arg(long, value_name = "DOMAIN", value_parser = domain)]
    pub(crate) dns_search: Vec<String>,
    /// Option of the resolver (resolv.conf), instead of the host's
    #[arg(long, visible_alias = "dns-opt", value_name = "OPTION", value_parser = dns_option)]
    pub(crate) dns_option: Vec<String>,
    /// Name for an address in /etc/hosts: HOST:ADDRESS, or HOST:host-gateway
    #[arg(long, value_name = "HOST:ADDRESS")]
    pub(crate) add_host: Vec<Host>,
}

fn network_alias(text: &str) -> Result<String, Invalid> {
    alias(text).ok_or_else(|| invalid("--network-alias", text, "letters, digits, - _ and ."))
}

fn mac_address(text: &str) -> Result<stockade_engine::network::model::Mac, Invalid> {
    let known = |_other| {
        invalid("--mac-address", text, "six pairs of hexadecimal digits, of one interface, as in 02:42:ac:11:00:02")
    };
    text.parse().map_err(known)
}

fn server(text: &str) -> Result<IpAddr, Invalid> {
    let address: IpAddr = text.parse().map_err(|_other| invalid("--dns", text, "no address of a server"))?;
    if address.is_loopback() || address.is_unspecified() {
        let reason =
            "the host asks this server, and its own loopback is nobody else's: give an address that others reach, too";
        return Err(invalid("--dns", text, reason));
    }
    Ok(address)
}

fn domain(text: &str) -> Result<String, Invalid> {
    match text {
        "." => Ok(text.to_owned()),
        _ => alias(text.trim_end_matches('.')).ok_or_else(|| invalid("--dns-search", text, "no name of a domain")),
    }
}

fn dns_option(text: &str) -> Result<String, Invalid> {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b"-_:".contains(&byte);
    if text.is_empty() || !text.bytes().all(good) {
        return Err(invalid("--dns-option", text, "no option of resolv.conf(5), such as ndots:2"));
    }
    Ok(text.to_owned())
}

impl NetworkFlags {
    /// The namespace, and what is in it; without a network the container is on `default`.
    ///
    /// # Errors
    /// For flags that do not go together.
    pub(crate) fn request(self, default: &Network) -> Result<(NetworkMode, NetworkRequest), Invalid> {
        let mut modes = Vec::new();
        let mut attachments = Vec::new();
        let asked = if self.network.is_empty() { vec![default.clone()] } else { self.network };
        for network in asked {
            match network {
                Network::Mode(mode) => modes.push(mode),
                Network::Attach(attach) => attachments.push(attach),
            }
        }
        let mode = match (modes.pop(), attachments.is_empty()) {
            (None, true) => NetworkMode::None,
            (None, false) => NetworkMode::Bridge,
            (Some(mode), true) if modes.is_empty() => mode,
            (Some(_), _) => {
                let reason = "none, host and container:NAME stand alone: such a container is on no other network";
                return Err(invalid("--network", "several", reason));
            }
        };
        let first = Attach {
            ipv4: self.ip,
            ipv6: self.ip6,
            mac: self.mac_address,
            aliases: self.network_alias,
            ..Attach::default()
        };
        add(&mut attachments, first)?;
        let ports: Vec<_> = self.publish.into_iter().flat_map(|publish| publish.0).collect();
        let published = !ports.is_empty() || self.publish_all;
        if published && attachments.is_empty() {
            let reason =
                "a container without a network of its own publishes no ports: add --network bridge, or another network";
            return Err(invalid("--publish", "", reason));
        }
        let names = NameServers { servers: self.dns, search: self.dns_search, options: self.dns_option };
        if matches!(mode, NetworkMode::Container(_)) && (names != NameServers::default() || !self.add_host.is_empty()) {
            let reason = "with --network container:NAME, hosts and name servers are that container's; leave --dns and --add-host out";
            return Err(invalid("--network", "container", reason));
        }
        let request = NetworkRequest {
            attachments,
            ports,
            publish_all: self.publish_all,
            names,
            hosts: self.add_host.into_iter().map(|host| (host.0, host.1)).collect(),
        };
        Ok((mode, request))
    }
}

/// `--ip`, `--ip6`, `--mac-address` and `--network-alias` are about the first network.
fn add(attachments: &mut [Attach], asked: Attach) -> Result<(), Invalid> {
    if asked == Attach::default() {
        return Ok(());
    }
    let Some(first) = attachments.first_mut() else {
        let reason = "--ip, --ip6, --mac-address and --network-alias need a network: add --network NAME";
        return Err(invalid("--network", "", reason));
    };
    let both = (asked.ipv4.is_some() && first.ipv4.is_some())
        || (asked.ipv6.is_some() && first.ipv6.is_some())
        || (asked.mac.is_some() && first.mac.is_some());
    if both {
        let reason = "it says an address that --ip, --ip6 or --mac-address says, too; leave one out";
        return Err(invalid("--network", &first.network.clone(), reason));
    }
    first.ipv4 = first.ipv4.or(asked.ipv4);
    first.ipv6 = first.ipv6.or(asked.ipv6);
    first.mac = first.mac.or(asked.mac);
    first.aliases.extend(asked.aliases);
    Ok(())
}
