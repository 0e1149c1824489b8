//! Endpoints: addresses given to containers that run, and taken from them.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};

use rustix::fd::OwnedFd;
use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize};

use super::{Networks, Share, StoreError, files};
use crate::addresses::{self, AddressError};
use crate::model::{Endpoint, Family, InterfaceName, Mac, Network, NetworkId, PublishedPort};

/// Written beside, then renamed.
const NEW: &str = ".new";
/// The addresses that were given last, one a line.
const LAST: &str = ".last";

/// An endpoint, and what name servers say of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lease {
    /// What the container has.
    pub endpoint: Endpoint,
    /// Its names on the network: the first is the container's.
    pub dns_names: Vec<String>,
}

/// What a container wants of a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    /// The container's id.
    pub container: String,
    /// This address and no other.
    pub ipv4: Option<Ipv4Addr>,
    /// The same.
    pub ipv6: Option<Ipv6Addr>,
    /// This hardware address; otherwise the one that goes with the IPv4 address.
    pub mac: Option<Mac>,
    /// How its interface is called in the container.
    pub interface: InterfaceName,
    /// Whether its ways out go by this network.
    pub gateway: bool,
    /// Ports of the host that lead to it.
    pub ports: Vec<PublishedPort>,
    /// Its names.
    pub dns_names: Vec<String>,
}

/// A file's name, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    container: String,
    addresses: Vec<IpAddr>,
    path: PathBuf,
}

impl Entry {
    fn parse(folder: &Path, name: &str) -> Option<Self> {
        let mut parts = name.split(',');
        let container = parts.next().filter(|id| id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
        let addresses = parts.map(|part| part.parse().ok()).collect::<Option<_>>()?;
        Some(Self { container: container.to_owned(), addresses, path: folder.join(name) })
    }

    fn read(&self) -> Result<Option<Lease>, StoreError> {
        let Some(text) = files::read(&self.path)? else { return Ok(None) };
        let lease = serde_json::from_slice(&text);
        lease.map(Some).map_err(|source| StoreError::Damaged { path: self.path.clone(), source })
    }
}

/// The folder of a network's endpoints while it is locked.
struct Ledger {
    path: PathBuf,
    _lock: OwnedFd,
    entries: Vec<Entry>,
}

impl Networks {
    /// The folder of the network's endpoints, for name servers.
    #[must_use]
    pub fn endpoints_folder(&self, id: &NetworkId) -> PathBuf {
        self.live.join(id.as_str())
    }

    /// The endpoints of a network, by container.
    ///
    /// # Errors
    /// If one cannot be read.
    pub fn endpoints(&self, id: &NetworkId) -> Result<Vec<Lease>, StoreError> {
        let mut found = Vec::new();
        for entry in entries(&self.endpoints_folder(id))? {
            // One that is not there any more was given back meanwhile.
            found.extend(entry.read()?);
        }
        Ok(found)
    }

    /// What the container has of the network.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn endpoint(&self, id: &NetworkId, container: &str) -> Result<Option<Lease>, StoreError> {
        let entries = entries(&self.endpoints_folder(id))?;
        let entry = entries.iter().find(|entry| entry.container == container);
        Ok(entry.map(Entry::read).transpose()?.flatten())
    }

    /// The ids of all containers that have an endpoint of the network.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub fn containers(&self, id: &NetworkId) -> Result<BTreeSet<String>, StoreError> {
        Ok(entries(&self.endpoints_folder(id))?.into_iter().map(|entry| entry.container).collect())
    }

    /// Takes from the container what it has of the network; whether it had something.
    ///
    /// # Errors
    /// [`StoreError::File`].
    pub fn leave(&self, id: &NetworkId, container: &str) -> Result<bool, StoreError> {
        let path = self.endpoints_folder(id);
        if !entries(&path)?.iter().any(|entry| entry.container == container) {
            return Ok(false);
        }
        let ledger = Ledger::lock(path)?;
        let own = ledger.entries.iter().filter(|entry| entry.container == container);
        own.map(|entry| files::remove(&entry.path)).collect::<Result<Vec<_>, _>>().map(|removed| !removed.is_empty())
    }

    /// Takes from the container what it has of any network; whether it had something.
    ///
    /// # Errors
    /// [`StoreError::File`].
    pub fn leave_all(&self, container: &str) -> Result<bool, StoreError> {
        let mut had = false;
        for entry in std::fs::read_dir(&self.live).map_err(StoreError::at("read", &self.live))? {
            let name = entry.map_err(StoreError::at("read", &self.live))?.file_name();
            let id = name.to_str().and_then(|name| name.parse::<NetworkId>().ok());
            had |= id.map(|id| self.leave(&id, container)).transpose()?.unwrap_or_default();
        }
        Ok(had)
    }

    /// Changes what is written of an endpoint, but not its addresses; nothing if the container has none there.
    ///
    /// # Errors
    /// If it cannot be read or written.
    pub fn change(&self, id: &NetworkId, container: &str, change: impl Fn(&mut Lease)) -> Result<(), StoreError> {
        let ledger = Ledger::lock(self.endpoints_folder(id))?;
        let Some(entry) = ledger.entries.iter().find(|entry| entry.container == container) else { return Ok(()) };
        let Some(mut lease) = entry.read()? else { return Ok(()) };
        change(&mut lease);
        ledger.write(&entry.path, &lease)
    }
}

impl Share {
    /// Gives the container its addresses of the network. One that has an endpoint there already keeps its addresses, as far as it does
    /// not ask for others. What a container has counts as long as it is `alive`: what dead ones have is given away where no other is left.
    ///
    /// # Errors
    /// [`StoreError::Address`], [`StoreError::NoFamily`], [`StoreError::Missing`]; then nothing has changed.
    pub fn join(&self, network: &Network, wish: &Wish, alive: impl Fn(&str) -> bool) -> Result<Lease, StoreError> {
        if self.networks.find(&network.id)?.is_none() {
            return Err(StoreError::Missing(network.name.to_string()));
        }
        let mut ledger = Ledger::lock(self.networks.endpoints_folder(&network.id))?;
        let addresses = match ledger.choose(network, wish) {
            Err(StoreError::Address { source: AddressError::InUse(_) | AddressError::Exhausted(_), .. }) => {
                ledger.forget(&alive)?;
                ledger.choose(network, wish)?
            }
            chosen => chosen?,
        };
        let lease = ledger.lease(network, wish, &addresses)?;
        let mut name = wish.container.clone();
        addresses.iter().for_each(|address| name += &format!(",{address}"));
        let path = ledger.path.join(name);
        ledger.write(&path, &lease)?;
        ledger.remember(&addresses)?;
        for old in ledger.entries.iter().filter(|entry| entry.container == wish.container && entry.path != path) {
            files::remove(&old.path)?;
        }
        Ok(lease)
    }
}

/// What is in a folder of endpoints; nothing if it is not there.
fn entries(path: &Path) -> Result<Vec<Entry>, StoreError> {
    let folder = match std::fs::read_dir(path) {
        Ok(folder) => folder,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(StoreError::at("read", path)(error)),
    };
    let mut found = Vec::new();
    for entry in folder {
        let name = entry.map_err(StoreError::at("read", path))?.file_name();
        found.extend(name.to_str().and_then(|name| Entry::parse(path, name)));
    }
    found.sort_by(|one, other| one.container.cmp(&other.container));
    Ok(found)
}

impl Ledger {
    fn lock(path: PathBuf) -> Result<Self, StoreError> {
        files::make_folder(&path)?;
        let lock = files::locked(&path, FlockOperation::LockExclusive)?;
        let entries = entries(&path)?;
        Ok(Self { path, _lock: lock, entries })
    }

    /// The addresses for the container, of each family that the network has.
    fn choose(&self, network: &Network, wish: &Wish) -> Result<Vec<IpAddr>, StoreError> {
        let missing = |family| StoreError::NoFamily { network: network.name.clone(), family };
        let mut chosen = Vec::new();
        for (family, name, wanted) in
            [(Family::V4, "IPv4", wish.ipv4.map(IpAddr::V4)), (Family::V6, "IPv6", wish.ipv6.map(IpAddr::V6))]
        {
            let Some(subnet) = network.subnet(family) else {
                match wanted {
                    Some(_) => return Err(missing(name)),
                    None => continue,
                }
            };
            let others = self.entries.iter().filter(|entry| entry.container != wish.container);
            let used: BTreeSet<IpAddr> = others.flat_map(|entry| entry.addresses.iter().copied()).collect();
            let mut own = self.entries.iter().filter(|entry| entry.container == wish.container);
            let before = own.find_map(|entry| entry.addresses.iter().find(|one| Family::of(**one) == family));
            let address = match (wanted, before) {
                (Some(wanted), _) => addresses::claim(subnet, wanted, &used),
                (None, Some(before)) if addresses::claim(subnet, *before, &used).is_ok() => Ok(*before),
                (None, _) => addresses::choose(subnet, &used, self.last(family)?),
            };
            let failed = |source| StoreError::Address {
                network: network.name.clone(),
                container: wish.container.clone(),
                source,
            };
            chosen.push(address.map_err(failed)?);
        }
        Ok(chosen)
    }

    /// Takes away what dead containers have.
    fn forget(&mut self, alive: &impl Fn(&str) -> bool) -> Result<(), StoreError> {
        let (living, dead): (Vec<_>, Vec<_>) = self.entries.drain(..).partition(|entry| alive(&entry.container));
        self.entries = living;
        dead.iter().try_for_each(|entry| files::remove(&entry.path))
    }

    fn lease(&self, network: &Network, wish: &Wish, addresses: &[IpAddr]) -> Result<Lease, StoreError> {
        let id = NetworkId::random().map_err(StoreError::at("draw an id in", &self.path))?;
        let find = |address: &IpAddr| match address {
            IpAddr::V4(address) => Some(*address),
            IpAddr::V6(_) => None,
        };
        let ipv4 = addresses.iter().find_map(find);
        let ipv6 = addresses.iter().find_map(|address| match address {
            IpAddr::V6(address) => Some(*address),
            IpAddr::V4(_) => None,
        });
        let random = u32::from_str_radix(&id.as_str()[..8], 16).unwrap_or_default().to_be_bytes();
        // Without an address to go with it is drawn, like the id; the second digit of the first byte makes it a local one.
        let drawn = || Mac::new([0x02, 0x42, random[0], random[1], random[2], random[3]]);
        let mac = wish.mac.or(ipv4.map(Mac::of)).or_else(drawn);
        let name = format!("veth{}", &id.as_str()[..10]);
        let wrong = |error: String| StoreError::at("name an interface in", &self.path)(io::Error::other(error));
        Ok(Lease {
            endpoint: Endpoint {
                network: network.id.clone(),
                container: wish.container.clone(),
                host_interface: name
                    .parse()
                    .map_err(|error: crate::model::InvalidInterface| wrong(error.to_string()))?,
                container_interface: wish.interface.clone(),
                mac: mac.ok_or_else(|| wrong("no hardware address".to_owned()))?,
                ipv4,
                ipv6,
                gateway: wish.gateway,
                ports: wish.ports.clone(),
                id,
            },
            dns_names: wish.dns_names.clone(),
        })
    }

    fn write(&self, path: &Path, lease: &Lease) -> Result<(), StoreError> {
        let text = serde_json::to_vec(lease).map_err(io::Error::from).map_err(StoreError::at("write", path))?;
        files::replace(&self.path.join(NEW), path, &text)
    }

    /// The address of that family that was given last.
    fn last(&self, family: Family) -> Result<Option<IpAddr>, StoreError> {
        let text = files::read(&self.path.join(LAST))?.unwrap_or_default();
        let lines = String::from_utf8_lossy(&text).into_owned();
        // What a kill left of it is as good as nothing.
        let mut all = lines.lines().filter_map(|line| line.parse().ok());
        Ok(all.find(|address: &IpAddr| Family::of(*address) == family))
    }

    fn remember(&self, addresses: &[IpAddr]) -> Result<(), StoreError> {
        let text: String = addresses.iter().map(|address| format!("{address}\n")).collect();
        files::replace(&self.path.join(".last.new"), &self.path.join(LAST), text.as_bytes())
    }
}
