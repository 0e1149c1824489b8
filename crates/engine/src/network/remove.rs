//! `network rm` and `network prune`.

use stockade_monitor::events::NetworkAction;
use stockade_network::bridge;
use stockade_network::model::{Driver, Network};
use stockade_network::store::Networks;

use super::list::{NetworkSummary, list};
use super::{Found, HOST, NONE, NetworksError, is_default};
use crate::{ContainerId, Engine};

/// Removes the network, its bridge and its rules; its name, or the text if that was no name.
///
/// # Errors
/// [`NetworksError::InUse`] if a container that runs is on it, then nothing has changed.
pub fn remove(engine: &Engine, text: &str) -> Result<(), NetworksError> {
    let networks = engine.networks()?;
    let network = match engine.find_network(&networks, text)? {
        Found::Host => return Err(NetworksError::Predefined(HOST.to_owned())),
        Found::None => return Err(NetworksError::Predefined(NONE.to_owned())),
        Found::Network(network) if is_default(&network) => {
            return Err(NetworksError::Predefined(network.name.to_string()));
        }
        Found::Network(network) => network,
    };
    engine.settle_endpoints(&networks, &network)?;
    take_away(engine, &networks, &network)
}

/// The same for a network that was found.
fn take_away(engine: &Engine, networks: &Networks, network: &Network) -> Result<(), NetworksError> {
    let alone = networks.alone()?;
    let containers = networks.containers(&network.id)?;
    if !containers.is_empty() {
        let named = containers.into_iter().map(|id| Ok((engine.name_of(&id)?, id)));
        let users = named.collect::<Result<_, NetworksError>>()?;
        return Err(NetworksError::InUse { name: network.name.clone(), users });
    }
    // The record last: a kill in between leaves a network that is whole without its bridge, as one that was not used yet.
    if matches!(network.driver, Driver::Bridge(_)) {
        bridge::remove(network)?;
    }
    alone.remove(&network.id)?;
    drop(alone);
    engine.happened_to_network(NetworkAction::Destroy, network, None);
    engine.apply_rules(networks)
}

/// Removes the networks on which no container is, running or not, and that `taken` says; their names.
///
/// # Errors
/// See [`NetworksError`]; some may be gone.
pub fn prune(engine: &Engine, taken: impl Fn(&NetworkSummary) -> bool) -> Result<Vec<String>, NetworksError> {
    let mut gone = Vec::new();
    for one in list(engine)?.into_iter().filter(|one| !one.predefined && !one.used && taken(one)) {
        match remove(engine, &one.id) {
            Ok(()) => gone.push(one.name),
            // Somebody uses it by now, or has removed it.
            Err(NetworksError::InUse { .. }) => {}
            Err(error) if error.is_missing() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(gone)
}

impl Engine {
    /// Takes from containers that are dead what they still have of the network.
    pub(crate) fn settle_endpoints(&self, networks: &Networks, network: &Network) -> Result<(), NetworksError> {
        for container in networks.containers(&network.id)? {
            if !self.is_alive(&container) {
                networks.leave(&network.id, &container)?;
            }
        }
        Ok(())
    }

    /// Whether a container has a monitor: what it has of networks counts as long. One that cannot be looked at counts as alive.
    pub(crate) fn is_alive(&self, container: &str) -> bool {
        let Ok(id) = ContainerId::try_from(container.to_owned()) else { return false };
        match self.folder(&id).and_then(|folder| folder.monitor_lives()) {
            Ok(lives) => lives,
            Err(crate::container::ContainerError::Missing(_)) => false,
            Err(_unknown) => true,
        }
    }
}
