//! What a container that starts gets of its networks, and what is taken back when it has ended.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use rustix::fd::OwnedFd;
use rustix::fs::{Mode, OFlags};
use stockade_kernel::procfs::{Procfs, Subject};
use stockade_monitor::events::NetworkAction;
use stockade_network::firewall::Others;
use stockade_network::model::{Driver, Endpoint, Network, PublishedPort};
use stockade_network::store::{Lease, Networks, Share, StoreError, Wish};
use stockade_network::{bridge, endpoint, firewall};

use super::names::{ResolvConf, hosts};
use super::wanted::{FILE, Place, Wanted};
use super::{NetworksError, is_default, ports, resolver};
use crate::container::{ContainerError, Folder, Locked};
use crate::files::FileError;
use crate::{ContainerId, Engine};

/// Says in the exec folder that packets are forwarded because of us.
const FORWARDING: &str = ".forwarding";

/// A container's place in a network, with the network.
pub(crate) struct Joining {
    pub(crate) place: Place,
    pub(crate) network: Network,
}

impl Engine {
    /// Attaches the container whose first process is `pid`, which waits for its start, to the networks that are `wanted`. The folder is
    /// locked, or the caller is its monitor's.
    ///
    /// # Errors
    /// See [`NetworksError`]; what was given is taken back by [`Engine::release_networks`].
    pub(crate) fn attach_networks(&self, folder: &Folder, wanted: &Wanted, pid: i32) -> Result<(), NetworksError> {
        if wanted.pasta {
            return self.attach_pasta(folder, wanted, pid);
        }
        let store = self.networks()?;
        let share = store.share()?;
        let target = self.network_of(pid)?;
        let all = joinings(&store, wanted)?;
        let gateway = gateway(wanted, &all);
        firewall::check(&self.places().data)?;
        self.forward(&all)?;
        let leases = self.take(&store, &share, folder, wanted, &all, gateway.as_deref())?;
        self.apply_rules(&store)?;
        for (one, lease) in all.iter().zip(&leases) {
            endpoint::attach(&one.network, &lease.endpoint, rustix::fd::AsFd::as_fd(&target))?;
            publish_on_loopback(&one.network, &lease.endpoint)?;
            self.happened_to_network(NetworkAction::Connect, &one.network, Some(folder.id.as_str()));
        }
        self.tell_names(&store, folder, (pid, &target), wanted, &all, &leases)
    }

    /// The network namespace of the container's first process.
    pub(crate) fn network_of(&self, pid: i32) -> Result<OwnedFd, NetworksError> {
        let opened = Procfs::host().and_then(|procfs| procfs.open_namespace(Subject::Pid(pid), "net"));
        let path = format!("/proc/{pid}/ns/net");
        Ok(opened.map_err(FileError::at("open", path)).map_err(ContainerError::from)?)
    }

    /// Addresses and ports: what is taken by one is not by another, because all take them under one lock.
    fn take(
        &self,
        store: &Networks,
        share: &Share,
        folder: &Folder,
        wanted: &Wanted,
        all: &[Joining],
        gateway: Option<&str>,
    ) -> Result<Vec<Lease>, NetworksError> {
        let _rules = store.rules()?;
        let publishes = publisher(all, gateway);
        let mut leases = Vec::new();
        for one in all {
            let ports = if publishes == Some(one.network.id.as_str()) {
                self.choose_ports(store, folder, wanted, &one.network)?
            } else {
                Vec::new()
            };
            let wish = self.wish(folder, wanted, one, gateway, ports)?;
            leases.push(share.join(&one.network, &wish, |container| self.is_alive(container))?);
        }
        Ok(leases)
    }

    fn choose_ports(
        &self,
        store: &Networks,
        folder: &Folder,
        wanted: &Wanted,
        network: &Network,
    ) -> Result<Vec<PublishedPort>, NetworksError> {
        if wanted.ports.is_empty() {
            return Ok(Vec::new());
        }
        let own = folder.id.as_str();
        let (mut taken, mut before) = (Vec::new(), Vec::new());
        for other in store.list()? {
            for lease in store.endpoints(&other.id)? {
                let container = lease.endpoint.container;
                if container == own {
                    before.extend(lease.endpoint.ports);
                } else if !lease.endpoint.ports.is_empty() && self.is_alive(&container) {
                    taken.extend(lease.endpoint.ports.into_iter().map(|port| (port, container.clone())));
                }
            }
        }
        let host = match &network.driver {
            Driver::Bridge(options) => options.host_binding,
            Driver::Macvlan { .. } => None,
        };
        let name = |container: &str| self.name_of(container).unwrap_or_else(|_unread| container.to_owned());
        ports::choose(&wanted.ports, host, &before, &taken, name)
    }

    /// What the container wants of one network.
    pub(crate) fn wish(
        &self,
        folder: &Folder,
        wanted: &Wanted,
        one: &Joining,
        gateway: Option<&str>,
        ports: Vec<PublishedPort>,
    ) -> Result<Wish, NetworksError> {
        let place = &one.place;
        let name = format!("eth{}", place.number);
        let wrong = |error: super::model::InvalidInterface| NetworksError::Subnet(error.to_string());
        Ok(Wish {
            container: folder.id.to_string(),
            ipv4: place.ipv4,
            ipv6: place.ipv6,
            mac: place.mac,
            interface: name.parse().map_err(wrong)?,
            gateway: gateway == Some(one.network.id.as_str()),
            ports,
            dns_names: self.dns_names(folder, wanted, one)?,
        })
    }

    /// The names of the container on one network; none on the default one. Its own name is the first.
    pub(crate) fn dns_names(
        &self,
        folder: &Folder,
        wanted: &Wanted,
        one: &Joining,
    ) -> Result<Vec<String>, NetworksError> {
        if is_default(&one.network) {
            return Ok(Vec::new());
        }
        let mut names = vec![self.name_of(folder.id.as_str())?];
        let short = folder.id.short().to_owned();
        for name in one.place.aliases.iter().cloned().chain([short, wanted.hostname.clone()]) {
            if !name.is_empty() && !names.contains(&name) {
                names.push(name);
            }
        }
        Ok(names)
    }

    /// Has packets forwarded, if a network needs it, and remembers that this is our doing.
    fn forward(&self, all: &[Joining]) -> Result<(), NetworksError> {
        let open = all.iter().filter(|one| !one.network.internal && matches!(one.network.driver, Driver::Bridge(_)));
        for one in open {
            let four = one.network.subnets.iter().any(|subnet| subnet.subnet.addr().is_ipv4());
            let versions = [
                four.then_some(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
                one.network.ipv6.then_some(IpAddr::V6(Ipv6Addr::UNSPECIFIED)),
            ];
            for version in versions.into_iter().flatten() {
                if !bridge::forwards(version)? {
                    let path = self.places().exec.join(FORWARDING);
                    File::create(&path).map_err(FileError::at("make", path)).map_err(ContainerError::from)?;
                    // In force before the first packet of others could be forwarded.
                    self.apply_rules(&self.networks()?)?;
                    bridge::forward(version)?;
                }
            }
        }
        Ok(())
    }

    /// Makes the machine's rules what networks and endpoints say.
    pub(crate) fn apply_rules(&self, store: &Networks) -> Result<(), NetworksError> {
        let _rules = store.rules()?;
        let mut state = Vec::new();
        for network in store.list()? {
            let leases = store.endpoints(&network.id)?;
            state.push((network, leases.into_iter().map(|lease| lease.endpoint).collect()));
        }
        let ours = self.places().exec.join(FORWARDING).exists();
        let others = if ours { Others::Drop } else { Others::AsBefore };
        Ok(firewall::apply(&state, others, &self.places().data)?)
    }

    /// Writes `/etc/hosts` and `/etc/resolv.conf` of the container, and starts its name server.
    pub(crate) fn tell_names(
        &self,
        store: &Networks,
        folder: &Folder,
        (pid, target): (i32, &OwnedFd),
        wanted: &Wanted,
        all: &[Joining],
        leases: &[Lease],
    ) -> Result<(), NetworksError> {
        let way_out = all.iter().zip(leases).find(|(_, lease)| lease.endpoint.gateway);
        let own = leases.iter().flat_map(|lease| {
            [lease.endpoint.ipv4.map(IpAddr::V4), lease.endpoint.ipv6.map(IpAddr::V6)].into_iter().flatten()
        });
        let own: Vec<IpAddr> = own.collect();
        let host = way_out.and_then(|(one, _)| one.network.subnets.first()?.gateway);
        let added = super::added(&wanted.hosts, host)?;
        overwrite(folder, "hosts", &hosts(&added, &own, &wanted.hostname))?;
        let servers = ResolvConf::of_host().with(&wanted.names);
        let named: Vec<Network> =
            all.iter().filter(|one| !is_default(&one.network)).map(|one| one.network.clone()).collect();
        // Where nothing outside is reached by address it is not by name either.
        let closed = all.iter().all(|one| one.network.internal);
        let asked = if closed { ResolvConf { servers: Vec::new(), ..servers.clone() } } else { servers.clone() };
        if named.is_empty() && !servers.is_on_loopback() {
            return overwrite(folder, "resolv.conf", &servers.text());
        }
        overwrite(folder, "resolv.conf", &servers.inside().text())?;
        let target = (pid, rustix::fd::AsFd::as_fd(target));
        Ok(resolver::start(self, folder, target, (store, &named), &asked)?)
    }

    /// Takes back what a container has of networks that has ended, unless it runs again by now.
    pub(crate) fn release_networks(&self, id: &ContainerId) -> Result<(), NetworksError> {
        let folder = self.containers().join(id.as_str());
        // Who was never to have any has none.
        if folder.is_dir() && !folder.join(FILE).exists() {
            return Ok(());
        }
        // Of a container that is gone already nothing of it is left either.
        super::pasta::end(&folder)?;
        let Some(store) = Networks::existing(&self.places().data, &self.places().exec)? else { return Ok(()) };
        let mut had = false;
        for network in store.list()? {
            if store.leave(&network.id, id.as_str())? {
                had = true;
                self.happened_to_network(NetworkAction::Disconnect, &network, Some(id.as_str()));
            }
        }
        if had { self.apply_rules(&store) } else { Ok(()) }
    }

    /// The same for a folder that is locked, of which no monitor lives.
    pub(crate) fn release_networks_of(&self, folder: &Locked) -> Result<(), NetworksError> {
        if folder.0.monitor_lives()? { Ok(()) } else { self.release_networks(&folder.0.id) }
    }
}

/// The networks of the container, which must be there.
pub(crate) fn joinings(store: &Networks, wanted: &Wanted) -> Result<Vec<Joining>, NetworksError> {
    let find = |place: &Place| match store.find(&place.network)? {
        Some(network) => Ok(Joining { place: place.clone(), network }),
        None => Err(NetworksError::Store(StoreError::Missing(place.name.to_string()))),
    };
    wanted.networks.iter().map(find).collect()
}

/// The id of the network that the ways out go by.
pub(crate) fn gateway(wanted: &Wanted, all: &[Joining]) -> Option<String> {
    let internal: BTreeMap<_, _> = all.iter().map(|one| (one.network.id.clone(), one.network.internal)).collect();
    wanted.gateway(&internal).map(|place| place.network.to_string())
}

/// The id of the network by which ports are published: that of the ways out, or else the first that can.
pub(crate) fn publisher<'a>(all: &'a [Joining], gateway: Option<&str>) -> Option<&'a str> {
    let can = |one: &&Joining| !one.network.internal && matches!(one.network.driver, Driver::Bridge(_));
    let first = all.iter().filter(can).find(|one| gateway == Some(one.network.id.as_str()));
    first.or_else(|| all.iter().find(can)).map(|one| one.network.id.as_str())
}

/// Ports that are published on the host's loopback are reached from there.
pub(crate) fn publish_on_loopback(network: &Network, endpoint: &Endpoint) -> Result<(), NetworksError> {
    let there = |four: bool| {
        let of = |host: IpAddr| host.is_ipv4() == four && (host.is_loopback() || host.is_unspecified());
        endpoint.ports.iter().any(|port| port.host.is_none_or(of))
    };
    if endpoint.ipv4.is_some() && there(true) {
        bridge::route_loopback(network)?;
    }
    if endpoint.ipv6.is_some() && there(false) && bridge::has_loopback_six()? {
        bridge::route_loopback_six(network)?;
    }
    Ok(())
}

/// Writes into a file that is mounted in the container: it stays the same file.
pub(super) fn overwrite(folder: &Folder, name: &str, content: &str) -> Result<(), NetworksError> {
    let path = folder.path.join(name);
    let flags = OFlags::WRONLY | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let opened = rustix::fs::openat(&folder.fd, name, flags, Mode::empty()).map_err(std::io::Error::from);
    let written = opened.and_then(|file| File::from(file).write_all(content.as_bytes()));
    Ok(written.map_err(FileError::at("write", path)).map_err(ContainerError::from)?)
}
