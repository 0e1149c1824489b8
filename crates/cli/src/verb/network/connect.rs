//! `network connect`: puts a container on a network.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use clap::Args;
use stockade_engine::network;
use stockade_engine::network::ask::Attach;

use crate::exit::{Failure, REFUSED, SUCCESS};
use crate::global::Global;
use crate::grammar::network::alias;
use crate::grammar::{Invalid, invalid};

/// Put a container, running or not, on a network
#[derive(Debug, Args)]
pub(crate) struct Connect {
    /// Name of the container on the network; may be repeated
    #[arg(long, value_name = "NAME", value_parser = name)]
    alias: Vec<String>,
    /// IPv4 address
    #[arg(long, value_name = "ADDRESS")]
    ip: Option<Ipv4Addr>,
    /// IPv6 address
    #[arg(long, value_name = "ADDRESS")]
    ip6: Option<Ipv6Addr>,
    /// Rank of the network's gateway: the highest one is the way out
    #[arg(long, value_name = "NUMBER")]
    gw_priority: Option<i64>,
    /// Not supported: containers find each other by name
    #[arg(long, value_name = "CONTAINER", hide = true)]
    link: Vec<String>,
    /// Not supported: the kernel gives such addresses itself
    #[arg(long, value_name = "ADDRESS", hide = true)]
    link_local_ip: Vec<IpAddr>,
    /// Not supported
    #[arg(long, value_name = "OPTION", hide = true)]
    driver_opt: Vec<String>,
    /// The network
    #[arg(value_name = "NETWORK")]
    network: String,
    /// The container
    #[arg(value_name = "CONTAINER")]
    container: String,
}

fn name(text: &str) -> Result<String, Invalid> {
    alias(text).ok_or_else(|| invalid("--alias", text, "letters, digits, - _ and ."))
}

impl Connect {
    /// Puts it there; says nothing.
    pub(crate) fn run(self, global: &Global) -> Result<u8, Failure> {
        for (given, flag, instead) in [
            (
                !self.link.is_empty(),
                "--link",
                "containers on one network find each other by name; use --alias on the other one",
            ),
            (
                !self.link_local_ip.is_empty(),
                "--link-local-ip",
                "the kernel gives such addresses itself; leave the flag out",
            ),
            (
                !self.driver_opt.is_empty(),
                "--driver-opt",
                "the drivers have no options for a container; leave the flag out",
            ),
        ] {
            if given {
                return Err(Failure::new(REFUSED, format!("{flag} is not supported: {instead}")));
            }
        }
        let engine = global.engine()?;
        let container = engine.find(&self.container).map_err(|error| Failure::failed(&error))?;
        let attach = Attach {
            network: self.network,
            ipv4: self.ip,
            ipv6: self.ip6,
            mac: None,
            aliases: self.alias,
            gateway_priority: self.gw_priority.unwrap_or_default(),
        };
        network::connect(&engine, &container, &attach).map_err(|error| Failure::failed(&error))?;
        Ok(SUCCESS)
    }
}
