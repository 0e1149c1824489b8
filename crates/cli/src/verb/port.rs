//! `port`: which ports of the host lead to a container.

use std::str::FromStr;

use clap::Args;
use stockade_engine::network::settings::PortBinding;

use crate::exit::{FAILED, Failure, SUCCESS};
use crate::global::Global;
use crate::grammar::{Invalid, expose, invalid};
use crate::say;

/// List the ports of the host that lead to a container, or to one of its ports
#[derive(Debug, Args)]
pub(crate) struct Port {
    /// Name, id, or the beginning of an id
    #[arg(value_name = "CONTAINER")]
    container: String,
    /// A port of the container
    #[arg(value_name = "PORT[/PROTOCOL]")]
    port: Option<One>,
}

/// One port, as Docker writes it: `80/tcp`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct One(String);

impl FromStr for One {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let wrong = || invalid("port", text, "a port of the container, and perhaps /tcp, /udp or /sctp");
        let ports = expose::ports(text).map_err(|_other| wrong())?;
        let mut each = ports.each();
        each.next().filter(|_| each.next().is_none()).map(Self).ok_or_else(wrong)
    }
}

impl Port {
    /// Prints a line for each.
    pub(crate) fn run(self, global: &Global) -> Result<u8, Failure> {
        let engine = global.engine()?;
        let id = engine.find(&self.container).map_err(|error| Failure::failed(&error))?;
        let found = stockade_engine::inspect(&engine, &id).map_err(|error| Failure::failed(&error))?;
        let ports = found.network_settings.ports;
        if let Some(One(port)) = self.port {
            let Some(bindings) = ports.get(&port).and_then(Option::as_ref) else {
                let text = format!("no public port '{port}' published for {}", self.container.escape_debug());
                return Err(Failure::new(FAILED, text));
            };
            for binding in bindings {
                say::line(&address(binding))?;
            }
            return Ok(SUCCESS);
        }
        let mut lines: Vec<(u16, String)> = Vec::new();
        for (port, bindings) in &ports {
            let number = port.split('/').next().and_then(|number| number.parse().ok()).unwrap_or_default();
            let bindings = bindings.iter().flatten();
            lines.extend(bindings.map(|binding| (number, format!("{port} -> {}", address(binding)))));
        }
        lines.sort_unstable();
        for (_, line) in lines {
            say::line(&line)?;
        }
        Ok(SUCCESS)
    }
}

/// As URLs have it.
fn address(binding: &PortBinding) -> String {
    match binding.host_ip.contains(':') {
        true => format!("[{}]:{}", binding.host_ip, binding.host_port),
        false => format!("{}:{}", binding.host_ip, binding.host_port),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_port_and_no_range() {
        assert_eq!("80".parse(), Ok(One("80/tcp".to_owned())));
        assert_eq!("53/UDP".parse(), Ok(One("53/udp".to_owned())));
        for text in ["", "0", "80-81", "80/icmp", "8080:80", "x"] {
            assert!(text.parse::<One>().is_err(), "{text}");
        }
        let at = |host: &str| address(&PortBinding { host_ip: host.into(), host_port: "8080".into() });
        assert_eq!((at("0.0.0.0").as_str(), at("::").as_str()), ("0.0.0.0:8080", "[::]:8080"));
    }
}
