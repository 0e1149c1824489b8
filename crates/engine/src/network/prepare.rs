//! What a container that is made is to have of networks.

use std::collections::BTreeSet;

use stockade_network::store::Networks;

use super::ask::{Attach, NetworkRequest, PortRequest};
use super::connect::place;
use super::wanted::{VERSION, Wanted};
use super::{Found, NetworksError, is_default, pasta};
use crate::Engine;
use crate::machine::MachineError;

impl Engine {
    /// Finds the networks that are asked for; the default one is made if it was never needed. `exposed` are the ports that the image and
    /// `--expose` name.
    ///
    /// # Errors
    /// See [`NetworksError`].
    pub(crate) fn plan_networks(
        &self,
        asked: &NetworkRequest,
        exposed: &BTreeSet<String>,
        hostname: &str,
    ) -> Result<Wanted, NetworksError> {
        let mut wanted = Wanted {
            version: VERSION,
            networks: Vec::new(),
            ports: asked.ports.clone(),
            names: asked.names.clone(),
            hosts: asked.hosts.clone(),
            hostname: hostname.to_owned(),
            exposed: exposed.iter().cloned().collect(),
            pasta: false,
            published: Vec::new(),
        };
        let published: BTreeSet<String> =
            asked.ports.iter().map(|port| format!("{}/{}", port.container_port, port.protocol)).collect();
        if asked.publish_all {
            wanted.ports.extend(
                wanted.exposed.iter().filter(|port| !published.contains(*port)).filter_map(|port| any_port(port)),
            );
        }
        if asked.attachments.is_empty() {
            return Ok(wanted);
        }
        if let [only] = &asked.attachments[..]
            && *only == (Attach { network: pasta::NAME.to_owned(), ..Attach::default() })
            && crate::rootless::is_here().map_err(MachineError::user_namespace)?
        {
            wanted.pasta = true;
            return Ok(wanted);
        }
        asked.attachments.iter().try_for_each(|one| pasta::refuse_others(&one.network))?;
        let store: Networks = self.networks()?;
        for one in &asked.attachments {
            let network = match self.find_network(&store, &one.network)? {
                Found::Network(network) if is_default(&network) => self.default_network(&store)?,
                Found::Network(network) => *network,
                Found::Host | Found::None => {
                    let text = "a container on the host's network, or on none, cannot be on another one";
                    return Err(NetworksError::Refused(text.to_owned()));
                }
            };
            if wanted.networks.iter().any(|place| place.network == network.id) {
                let text = format!("network {} is specified multiple times", network.name);
                return Err(NetworksError::Refused(text));
            }
            let number = wanted.free_number();
            wanted.networks.push(place(one, &network, number)?);
        }
        Ok(wanted)
    }
}

/// `80/tcp` on a port of the host that is drawn.
fn any_port(port: &str) -> Option<PortRequest> {
    let (number, protocol) = port.split_once('/').unwrap_or((port, "tcp"));
    let (container_port, protocol) = (number.parse().ok()?, protocol.parse().ok()?);
    Some(PortRequest { host: None, host_ports: None, container_port, protocol })
}
