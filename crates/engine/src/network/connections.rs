//! The networks of many containers, for lists: what is common to all of them is read once.

use std::collections::BTreeMap;

use stockade_network::model::{Family, NetworkId};
use stockade_network::store::{Lease, Networks};

use super::settings::{self, PortBinding};
use super::wanted::Wanted;
use super::{HOST, HOST_ID, NONE, NONE_ID, NetworksError};
use crate::{ContainerId, Engine};

/// A network that a container is on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    /// Its name.
    pub name: String,
    /// Its id.
    pub id: String,
}

/// Ports of a container, and those of the host that lead to each.
pub(crate) type Ports = BTreeMap<String, Option<Vec<PortBinding>>>;

/// What networks have given to containers, read when it is asked for first.
#[derive(Debug)]
pub(crate) struct Connections<'engine> {
    engine: &'engine Engine,
    store: Option<Networks>,
    /// By container; `None` for a network of which an endpoint is damaged, so that the others are read one by one.
    leases: BTreeMap<NetworkId, Option<BTreeMap<String, Lease>>>,
}

impl<'engine> Connections<'engine> {
    pub(crate) fn new(engine: &'engine Engine) -> Self {
        Self { engine, store: None, leases: BTreeMap::new() }
    }

    /// The networks of a container that was made with the mode `mode`, and its ports, which it has while it runs.
    pub(crate) fn of(
        &mut self,
        id: &ContainerId,
        wanted: Option<Wanted>,
        mode: &str,
        running: bool,
    ) -> Result<(Vec<Connection>, Ports), NetworksError> {
        let Some(wanted) = wanted else { return Ok((fixed(mode), Ports::new())) };
        let mut ports = Ports::new();
        if running {
            ports.extend(wanted.exposed.into_iter().map(|port| (port, None)));
            settings::add_published(&mut ports, &wanted.published, Family::V4);
            for place in &wanted.networks {
                if let Some(lease) = self.lease(&place.network, id.as_str())? {
                    settings::add_ports(&mut ports, &lease);
                }
            }
        }
        let networks = wanted.networks.into_iter();
        let networks = networks.map(|place| Connection { name: place.name.to_string(), id: place.network.to_string() });
        Ok((networks.collect(), ports))
    }

    /// What a network has given to a container.
    fn lease(&mut self, id: &NetworkId, container: &str) -> Result<Option<Lease>, NetworksError> {
        let store = match self.store.take() {
            Some(store) => store,
            None => self.engine.networks()?,
        };
        let store = self.store.insert(store);
        let all = self.leases.entry(id.clone()).or_insert_with(|| {
            let all = store.endpoints(id).ok()?.into_iter();
            Some(all.map(|lease| (lease.endpoint.container.clone(), lease)).collect())
        });
        match all {
            Some(all) => Ok(all.get(container).cloned()),
            None => Ok(store.endpoint(id, container)?),
        }
    }
}

/// The networks that are not written down with a container; one that is in another's namespace is on none of its own.
pub(super) fn fixed(mode: &str) -> Vec<Connection> {
    let known = [(HOST, HOST_ID), (NONE, NONE_ID)].into_iter().filter(|(name, _)| *name == mode);
    known.map(|(name, id)| Connection { name: name.to_owned(), id: id.to_owned() }).collect()
}
