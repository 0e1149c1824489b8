//! `network create`: makes a network.

use std::net::IpAddr;

use clap::Args;
use stockade_engine::network;
use stockade_engine::network::create::{NewNetwork, parse_range};

use crate::exit::{FAILED, Failure, SUCCESS};
use crate::global::Global;
use crate::grammar::label::{Label, labels};
use crate::grammar::{Invalid, invalid};
use crate::say;

/// Create a network
#[derive(Debug, Args)]
pub(crate) struct Create {
    /// Driver: bridge or macvlan
    #[arg(long, short, value_name = "DRIVER", default_value = "bridge")]
    driver: String,
    /// Range of addresses, such as 10.1.0.0/16; one of IPv4 and one of IPv6
    #[arg(long, value_name = "RANGE", value_parser = parse_range)]
    subnet: Vec<network::create::Range>,
    /// Address of the way out, in the range
    #[arg(long, value_name = "ADDRESS", value_parser = gateway)]
    gateway: Vec<IpAddr>,
    /// Part of the range that containers get addresses from that ask for none
    #[arg(long, value_name = "RANGE", value_parser = parse_range)]
    ip_range: Vec<network::create::Range>,
    /// Address that no container gets: NAME=ADDRESS
    #[arg(long, value_name = "NAME=ADDRESS")]
    aux_address: Vec<Auxiliary>,
    /// Reach nothing outside of it
    #[arg(long)]
    internal: bool,
    /// Give addresses of IPv4
    #[arg(long, value_name = "BOOL", default_value = "true", num_args = 0..=1, require_equals = true, default_missing_value = "true",
        action = clap::ArgAction::Set, value_parser = crate::grammar::pflag::boolean)]
    ipv4: bool,
    /// Give addresses of IPv6
    #[arg(long)]
    ipv6: bool,
    /// Set a label: KEY or KEY=VALUE
    #[arg(long, value_name = "KEY=VALUE")]
    label: Vec<Label>,
    /// Set an option of the driver, such as com.docker.network.driver.mtu=1400, host-access=true or parent=eth0
    #[arg(long, short, visible_alias = "network-opt", value_name = "KEY=VALUE")]
    opt: Vec<Pair>,
    /// Its name
    #[arg(value_name = "NETWORK")]
    name: String,
}

/// One `--opt`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Pair(String, String);

impl std::str::FromStr for Pair {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let (key, value) = text.split_once('=').unwrap_or((text, ""));
        if key.is_empty() {
            return Err(invalid("--opt", text, "an option needs a key: KEY=VALUE"));
        }
        Ok(Self(key.to_owned(), value.to_owned()))
    }
}

/// One `--aux-address`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Auxiliary(String, IpAddr);

impl std::str::FromStr for Auxiliary {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let read = text.split_once('=').and_then(|(name, address)| Some((name, address.parse().ok()?)));
        match read {
            Some((name, address)) if !name.is_empty() => Ok(Self(name.to_owned(), address)),
            _ => Err(invalid("--aux-address", text, "not of the form NAME=ADDRESS")),
        }
    }
}

fn gateway(text: &str) -> Result<IpAddr, Invalid> {
    text.parse().map_err(|_other| invalid("--gateway", text, "no address"))
}

impl Create {
    /// Makes it and says its id.
    pub(crate) fn run(self, global: &Global) -> Result<u8, Failure> {
        let new = NewNetwork {
            name: self.name.parse().map_err(|error: network::model::InvalidNetworkName| Failure::of(FAILED, &error))?,
            driver: self.driver,
            subnets: self.subnet.into_iter().map(|range| range.0).collect(),
            gateways: self.gateway,
            ranges: self.ip_range.into_iter().map(|range| range.0).collect(),
            auxiliary: self.aux_address.into_iter().map(|one| (one.0, one.1)).collect(),
            internal: self.internal,
            ipv6: self.ipv6,
            ipv4: self.ipv4,
            labels: labels(&[], &self.label).map_err(|error| Failure::of(FAILED, &error))?,
            options: self.opt.into_iter().map(|Pair(key, value)| (key, value)).collect(),
        };
        let id = network::create(&global.engine()?, &new).map_err(|error| Failure::failed(&error))?;
        say::line(id.as_str())?;
        Ok(SUCCESS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        assert_eq!(parse_range("10.1.2.3/16").unwrap().0.to_string(), "10.1.2.3/16");
        assert!(parse_range("10.1.2.3").is_err());
        assert!("printer=10.0.0.9".parse::<Auxiliary>().is_ok() && "10.0.0.9".parse::<Auxiliary>().is_err());
    }
}
