//! `network connect`, `network disconnect`, `network reload`.

use rustix::fd::{AsFd, OwnedFd};
use stockade_monitor::events::NetworkAction;
use stockade_network::model::{Driver, Network};
use stockade_network::store::{Lease, Networks};
use stockade_network::{bridge, endpoint};

use super::ask::Attach;
use super::attach::{Joining, gateway, joinings, publish_on_loopback, publisher};
use super::wanted::{FILE, Place, VERSION, Wanted};
use super::{Found, NetworksError, is_default};
use crate::container::{ContainerError, Folder, View};
use crate::{ContainerId, Engine};

/// Puts a container on a network, whether it runs or not.
///
/// # Errors
/// See [`NetworksError`]; then it is on the networks that it was on.
pub fn connect(engine: &Engine, container: &ContainerId, asked: &Attach) -> Result<(), NetworksError> {
    super::pasta::refuse_others(&asked.network)?;
    let store = engine.networks()?;
    let folder = engine.folder(container)?.lock()?;
    let view = engine.settle(&folder)?;
    let network = match engine.find_network(&store, &asked.network)? {
        Found::Host => return Err(NetworksError::Refused("container cannot be connected to host network".into())),
        Found::None => return Err(NetworksError::Refused("container cannot be connected to none network".into())),
        Found::Network(network) if is_default(&network) => engine.default_network(&store)?,
        Found::Network(network) => *network,
    };
    refuse_shared(&view)?;
    let before = wanted(&folder.0, &view)?;
    if before.networks.iter().any(|place| place.network == network.id) {
        let text = format!("endpoint with name {} already exists in network {}", view.record.name, network.name);
        return Err(NetworksError::Refused(text));
    }
    let mut after = before.clone();
    after.networks.push(place(asked, &network, after.free_number())?);
    folder.0.write(FILE, &after)?;
    let done = match view.pid {
        Some(pid) => engine.change_live(&store, &folder.0, &after, pid, None),
        None => Ok(()),
    };
    if done.is_err() {
        folder.0.write(FILE, &before)?;
        store.leave(&network.id, container.as_str())?;
        engine.apply_rules(&store)?;
    }
    if done.is_ok() && view.pid.is_some() {
        engine.happened_to_network(NetworkAction::Connect, &network, Some(container.as_str()));
    }
    done
}

/// Whether a container that is not on the network is an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absent {
    /// It is.
    Refuse,
    /// What there may be of it is removed (`--force`).
    Ignore,
}

/// Takes a container off a network, whether it runs or not.
///
/// # Errors
/// See [`NetworksError`].
pub fn disconnect(engine: &Engine, container: &ContainerId, text: &str, absent: Absent) -> Result<(), NetworksError> {
    let store = engine.networks()?;
    let folder = engine.folder(container)?.lock()?;
    let view = engine.settle(&folder)?;
    refuse_shared(&view)?;
    let Found::Network(network) = engine.find_network(&store, text)? else {
        return Err(NetworksError::Refused(format!("container cannot be disconnected from {text} network")));
    };
    let before = wanted(&folder.0, &view)?;
    let mut after = before.clone();
    after.networks.retain(|place| place.network != network.id);
    if after == before && absent == Absent::Refuse {
        let text = format!("container {} is not connected to network {}", view.record.name, network.name);
        return Err(NetworksError::Refused(text));
    }
    folder.0.write(FILE, &after)?;
    let lease = store.endpoint(&network.id, container.as_str())?;
    if let (Some(pid), Some(lease)) = (view.pid, lease) {
        let target = engine.network_of(pid)?;
        endpoint::detach(&lease.endpoint, target.as_fd())?;
        store.leave(&network.id, container.as_str())?;
        engine.happened_to_network(NetworkAction::Disconnect, &network, Some(container.as_str()));
        return engine.change_live(&store, &folder.0, &after, pid, Some(&lease));
    }
    if store.leave(&network.id, container.as_str())? { engine.apply_rules(&store) } else { Ok(()) }
}

/// Makes bridges and rules what networks and endpoints say, as after somebody has flushed all rules of the machine.
///
/// # Errors
/// See [`NetworksError`].
pub fn reload(engine: &Engine) -> Result<(), NetworksError> {
    let store = engine.networks()?;
    for network in store.list()? {
        engine.settle_endpoints(&store, &network)?;
        let used = !store.containers(&network.id)?.is_empty();
        if used && matches!(network.driver, Driver::Bridge(_)) {
            bridge::ensure(&network)?;
        }
    }
    engine.apply_rules(&store)
}

/// Attaches a container anew that its monitor starts again; `pid` is its first process, which waits for its start. For the monitor only,
/// by the hidden command [`ATTACH_COMMAND`].
///
/// # Errors
/// See [`NetworksError`].
pub fn reattach(engine: &Engine, container: &ContainerId, pid: i32) -> Result<(), NetworksError> {
    // Not locked: its monitor, which waits for this, is what keeps others from it.
    let folder = engine.folder(container)?;
    Wanted::of(&folder)?.map_or(Ok(()), |wanted| engine.attach_networks(&folder, &wanted, pid))
}

/// `stockade --data-root DIR --exec-root DIR container-network ID PID`: [`reattach`].
pub const ATTACH_COMMAND: &str = "container-network";

/// Writes a container's new name into what it has of networks, so that it is found by that one.
///
/// # Errors
/// See [`NetworksError`].
pub fn renamed(engine: &Engine, container: &ContainerId) -> Result<(), NetworksError> {
    engine.rename_endpoints(&engine.folder(container)?)
}

/// Those that have no network of their own.
fn refuse_shared(view: &View) -> Result<(), NetworksError> {
    let mode = view.record.host_config.network_mode.as_str();
    let text = match mode {
        "host" => {
            "container sharing network namespace with another container or host cannot be connected to any other network"
        }
        "none" => {
            "container cannot be connected to multiple networks with one of the networks in private (none) mode: make it \
             with another --network"
        }
        _ if mode.starts_with("container:") => {
            "container sharing network namespace with another container or host cannot be connected to any other network"
        }
        _ => return Ok(()),
    };
    Err(NetworksError::Refused(text.to_owned()))
}

fn wanted(folder: &Folder, view: &View) -> Result<Wanted, ContainerError> {
    let hostname = view.record.config.hostname.clone();
    Ok(folder.read(FILE)?.unwrap_or_else(|| Wanted { version: VERSION, hostname, ..Wanted::default() }))
}

/// What was asked for on a network, if it can be had there.
pub(crate) fn place(asked: &Attach, network: &Network, number: u32) -> Result<Place, NetworksError> {
    let refuse = |text: &str| Err(NetworksError::Refused(text.to_owned()));
    if is_default(network) {
        if asked.ipv4.is_some() || asked.ipv6.is_some() {
            return refuse("user specified IP address is supported on user defined networks only");
        }
        if !asked.aliases.is_empty() {
            return refuse("network-scoped alias is supported only for containers in user defined networks");
        }
    }
    Ok(Place {
        network: network.id.clone(),
        name: network.name.clone(),
        ipv4: asked.ipv4,
        ipv6: asked.ipv6,
        mac: asked.mac,
        aliases: asked.aliases.clone(),
        gateway_priority: asked.gateway_priority,
        number,
    })
}

impl Engine {
    /// Makes what a container that runs has of networks what it is to have: new places, its ways out, its ports, and its names.
    fn change_live(
        &self,
        store: &Networks,
        folder: &Folder,
        wanted: &Wanted,
        pid: i32,
        gone: Option<&Lease>,
    ) -> Result<(), NetworksError> {
        let share = store.share()?;
        let target = self.network_of(pid)?;
        let all = joinings(store, wanted)?;
        let way_out = gateway(wanted, &all);
        let mut leases = Vec::new();
        for one in &all {
            let found = store.endpoint(&one.network.id, folder.id.as_str())?;
            leases.push(match found {
                Some(lease) => lease,
                None => {
                    let wish = self.wish(folder, wanted, one, way_out.as_deref(), Vec::new())?;
                    let lease = share.join(&one.network, &wish, |container| self.is_alive(container))?;
                    self.apply_rules(store)?;
                    endpoint::attach(&one.network, &lease.endpoint, target.as_fd())?;
                    lease
                }
            });
        }
        self.choose_again(store, folder, (&target, way_out.as_deref()), &all, &mut leases, gone)?;
        self.apply_rules(store)?;
        for (one, lease) in all.iter().zip(&leases) {
            publish_on_loopback(&one.network, &lease.endpoint)?;
        }
        self.tell_names(store, folder, (pid, &target), wanted, &all, &leases)
    }

    /// The ways out and the ports, which may be another network's now.
    fn choose_again(
        &self,
        store: &Networks,
        folder: &Folder,
        (target, way_out): (&OwnedFd, Option<&str>),
        all: &[Joining],
        leases: &mut [Lease],
        gone: Option<&Lease>,
    ) -> Result<(), NetworksError> {
        let had: Vec<_> = leases.iter().chain(gone).flat_map(|lease| lease.endpoint.ports.clone()).collect();
        let publishes = publisher(all, way_out);
        for (one, lease) in all.iter().zip(leases) {
            let leads = way_out == Some(one.network.id.as_str());
            let ports = if publishes == Some(one.network.id.as_str()) { had.clone() } else { Vec::new() };
            if leads == lease.endpoint.gateway && ports == lease.endpoint.ports {
                continue;
            }
            let begins = leads && !lease.endpoint.gateway;
            (lease.endpoint.gateway, lease.endpoint.ports) = (leads, ports);
            let new = lease.clone();
            store.change(&one.network.id, folder.id.as_str(), |written| *written = new.clone())?;
            if begins {
                endpoint::lead(&one.network, &lease.endpoint, target.as_fd())?;
            }
        }
        Ok(())
    }

    fn rename_endpoints(&self, folder: &Folder) -> Result<(), NetworksError> {
        let Some(wanted) = folder.read::<Wanted>(FILE)? else { return Ok(()) };
        let store = self.networks()?;
        for one in joinings(&store, &wanted)? {
            let names = self.dns_names(folder, &wanted, &one)?;
            store.change(&one.network.id, folder.id.as_str(), |lease| lease.dns_names.clone_from(&names))?;
        }
        Ok(())
    }
}
