//! Which names and addresses the containers of some networks have, as the folders of their endpoints say.
//!
//! A folder has one file for each endpoint, `CONTAINER,ADDRESS,...`, with the names of the container in it. Files are made, replaced
//! and removed by rename and unlink only, so that whatever changes the folder's time changes too; of a file only that is looked at
//! which is new.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read};
use std::net::IpAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fd::OwnedFd;
use rustix::fs::{Dir, Mode, OFlags};
use serde::Deserialize;

use crate::answer::names_of;
use crate::message::Name;

/// The most endpoints of one network that are known here.
const MOST: usize = 8192;
/// No file of an endpoint is larger.
const LARGEST: u64 = 256 << 10;
/// The most names of one endpoint.
const MOST_NAMES: usize = 256;
/// As long as a folder's last change is so recent, another one may have the same time.
const SETTLING: Duration = Duration::from_millis(100);

/// The names of all networks that the container is on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    forward: BTreeMap<Name, BTreeSet<IpAddr>>,
    reverse: BTreeMap<IpAddr, Vec<Name>>,
}

impl Names {
    /// The addresses of a name, in order; `None` if no container has it.
    #[must_use]
    pub fn addresses(&self, name: &Name) -> Option<Vec<IpAddr>> {
        self.forward.get(name).map(|addresses| addresses.iter().copied().collect())
    }

    /// The names of an address.
    #[must_use]
    pub fn of_address(&self, address: IpAddr) -> Vec<Name> {
        self.reverse.get(&address).cloned().unwrap_or_default()
    }

    /// Adds a container of the network `network`: by each of its names, and by that with the network's behind it. Its first name is
    /// the one that its addresses stand for.
    fn add(&mut self, network: Option<&Name>, one: &Known) {
        for name in &one.names {
            let longer = network.and_then(|network| name.below(network));
            for name in [Some(name.clone()), longer].into_iter().flatten() {
                self.forward.entry(name).or_default().extend(&one.addresses);
            }
        }
        let Some(first) = one.names.first() else { return };
        let shown = network.and_then(|network| first.below(network)).unwrap_or_else(|| first.clone());
        for address in &one.addresses {
            self.reverse.entry(*address).or_default().push(shown.clone());
        }
    }
}

/// One endpoint.
#[derive(Clone, Debug)]
struct Known {
    inode: u64,
    names: Vec<Name>,
    addresses: Vec<IpAddr>,
}

/// The folder of one network's endpoints.
#[derive(Debug)]
pub struct Folder {
    network: Option<Name>,
    folder: OwnedFd,
    /// The time of its change when it was read last; none if it may have changed since without another time.
    read: Option<(i64, u64)>,
    known: BTreeMap<String, Known>,
}

/// What of an endpoint's file matters here.
#[derive(Deserialize)]
struct Content {
    dns_names: Vec<String>,
}

impl Folder {
    /// The endpoints of the network that is called `network`, of which nothing is read yet.
    #[must_use]
    pub fn new(network: &str, folder: OwnedFd) -> Self {
        Self { network: Name::of(network), folder, read: None, known: BTreeMap::new() }
    }

    /// Reads what has changed; whether anything may have.
    fn refresh(&mut self) -> io::Result<bool> {
        let stat = rustix::fs::fstat(&self.folder)?;
        let changed = (stat.st_mtime, stat.st_mtime_nsec);
        if self.read == Some(changed) {
            return Ok(false);
        }
        let now = SystemTime::now();
        let mut found = BTreeMap::new();
        for entry in Dir::read_from(&self.folder)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().to_str() else { continue };
            let Some(addresses) = addresses(name) else { continue };
            let inode = entry.ino();
            let one = match self.known.remove(name).filter(|known| known.inode == inode) {
                Some(known) => known,
                None => match self.names(name) {
                    Ok(names) => Known { inode, names, addresses },
                    // It is gone by now, or damaged: then it has no names.
                    Err(_unread) => continue,
                },
            };
            if found.len() < MOST {
                found.insert(name.to_owned(), one);
            }
        }
        self.known = found;
        self.read = is_settled(changed, now).then_some(changed);
        Ok(true)
    }

    fn names(&self, file: &str) -> io::Result<Vec<Name>> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.folder, file, flags, Mode::empty())?;
        let mut text = Vec::new();
        File::from(file).take(LARGEST).read_to_end(&mut text)?;
        let content: Content = serde_json::from_slice(&text)?;
        Ok(names_of(content.dns_names.iter().map(String::as_str).take(MOST_NAMES)))
    }
}

/// Whether whatever changes a folder from now on gives it another time than `changed`.
fn is_settled((seconds, nanoseconds): (i64, u64), now: SystemTime) -> bool {
    let since = Duration::from_secs(u64::try_from(seconds).unwrap_or_default()) + Duration::from_nanos(nanoseconds);
    now.duration_since(UNIX_EPOCH).is_ok_and(|now| now > since + SETTLING)
}

/// The addresses in the name of an endpoint's file; `None` if it is no such name.
fn addresses(file: &str) -> Option<Vec<IpAddr>> {
    let mut parts = file.split(',');
    let id = parts.next()?;
    let is_id = id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_id.then(|| parts.map(|part| part.parse().ok()).collect())?
}

/// All that is known, and where it is from.
#[derive(Debug)]
pub struct Book {
    folders: Vec<Folder>,
    names: Names,
}

impl Book {
    /// Of these networks.
    #[must_use]
    pub fn new(folders: Vec<Folder>) -> Self {
        Self { folders, names: Names::default() }
    }

    /// The names as they are now. Of a folder that cannot be read that is left which was read last.
    pub fn names(&mut self) -> &Names {
        let mut changed = false;
        for folder in &mut self.folders {
            changed |= folder.refresh().unwrap_or_default();
        }
        if changed {
            self.names = Names::default();
            for folder in &self.folders {
                for one in folder.known.values() {
                    self.names.add(folder.network.as_ref(), one);
                }
            }
        }
        &self.names
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::path::Path;

    pub(crate) fn write(folder: &Path, id: char, addresses: &str, names: &[&str]) -> std::path::PathBuf {
        let path = folder.join(format!("{}{addresses}", id.to_string().repeat(64)));
        let new = folder.join(".new");
        std::fs::write(&new, serde_json::json!({ "dns_names": names, "other": 1 }).to_string()).unwrap();
        std::fs::rename(new, &path).unwrap();
        path
    }

    pub(crate) fn book(place: &Path) -> Book {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Book::new(vec![Folder::new("net", rustix::fs::open(place, flags, Mode::empty()).unwrap())])
    }

    fn of(book: &mut Book, name: &str) -> Option<Vec<String>> {
        let found = book.names().addresses(&Name::of(name).unwrap());
        found.map(|found| found.iter().map(IpAddr::to_string).collect())
    }

    #[test]
    fn names_come_and_go_with_files() {
        let place = tempfile::tempdir().unwrap();
        let mut book = book(place.path());
        assert_eq!(of(&mut book, "web"), None);
        let one = write(place.path(), 'a', ",10.0.0.2,fd00::2", &["Web", "www", "a..b"]);
        write(place.path(), 'b', ",10.0.0.3", &["db", "www"]);
        std::fs::write(place.path().join("notes"), "{}").unwrap();
        std::fs::write(place.path().join("c".repeat(64)), "{").unwrap();
        assert_eq!(of(&mut book, "web").unwrap(), ["10.0.0.2", "fd00::2"]);
        assert_eq!(of(&mut book, "WEB.net").unwrap(), ["10.0.0.2", "fd00::2"]);
        assert_eq!(of(&mut book, "www").unwrap(), ["10.0.0.2", "10.0.0.3", "fd00::2"]);
        assert_eq!(book.names().of_address("10.0.0.3".parse().unwrap()), [Name::of("db.net").unwrap()]);
        // A new name in the same place.
        write(place.path(), 'b', ",10.0.0.3", &["data"]);
        assert_eq!((of(&mut book, "db"), of(&mut book, "data").unwrap().len()), (None, 1));
        std::fs::remove_file(one).unwrap();
        assert_eq!(of(&mut book, "web"), None);
    }

    #[test]
    fn a_change_within_one_tick_is_seen() {
        let place = tempfile::tempdir().unwrap();
        let mut book = book(place.path());
        for round in 0..200 {
            let address = format!(",10.0.{}.{}", round / 100, round % 100);
            let path = write(place.path(), 'a', &address, &["web"]);
            assert_eq!(of(&mut book, "web").unwrap(), [&address[1..]]);
            std::fs::remove_file(path).unwrap();
            assert_eq!(of(&mut book, "web"), None);
        }
    }

    #[test]
    fn an_old_change_is_read_once() {
        let now = SystemTime::now();
        let at = now.duration_since(UNIX_EPOCH).unwrap();
        let stamp = |at: Duration| (at.as_secs().cast_signed(), u64::from(at.subsec_nanos()));
        assert!(!is_settled(stamp(at), now));
        assert!(!is_settled(stamp(at + Duration::from_secs(5)), now), "the clock was set back");
        assert!(is_settled(stamp(at - Duration::from_secs(1)), now));
    }
}
