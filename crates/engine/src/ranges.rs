//! Which container has which ids of the host: `ids/OF-HOW-FIRST-COUNT-ID` is an empty file, one for users and groups if they are the
//! same. All are links to one, so that nothing but their names is written and removed.
//!
//! As with names, one whose container exists neither whole nor unfinished was left by a command that was killed, and counts for
//! nothing. Ids are given under the lock of the folder. The container's record says which it has for as long as it is there.

use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use stockade_spec::IdMapping;

use crate::files::{self, FileError};
use crate::idmap::Mappings;
use crate::record::Record;
use crate::subids::{Ids, Kind, Pool, RangeError};
use crate::{ContainerId, Engine};

/// The file that all are links to.
const FILE: &str = "any";

/// How a container has its ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    /// For itself.
    Own,
    /// With others.
    Shared,
}

/// What the ids are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Of {
    Users,
    Groups,
    Both,
}

impl Of {
    fn has(self, kind: Kind) -> bool {
        self == Self::Both || (self == Self::Users) == (kind == Kind::Users)
    }
}

/// One reservation: its name is all that it is.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Held {
    of: Of,
    how: How,
    ids: Ids,
    id: ContainerId,
}

impl Held {
    fn name(&self) -> String {
        let of = match self.of {
            Of::Users => "users",
            Of::Groups => "groups",
            Of::Both => "both",
        };
        let how = if self.how == How::Own { "own" } else { "shared" };
        format!("{of}-{how}-{}-{}-{}", self.ids.first, self.ids.count, self.id)
    }

    /// `None` for what is none.
    fn parse(name: &str) -> Option<Self> {
        let [of, how, first, count, id] = name.split('-').collect::<Vec<_>>()[..] else { return None };
        let of = match of {
            "users" => Of::Users,
            "groups" => Of::Groups,
            "both" => Of::Both,
            _ => return None,
        };
        let how = match how {
            "own" => How::Own,
            "shared" => How::Shared,
            _ => return None,
        };
        let ids = Ids { first: first.parse().ok()?, count: count.parse().ok()? };
        Some(Self { of, how, ids, id: ContainerId::try_from(id.to_owned()).ok()? })
    }
}

/// The folder while it is locked, and what was in it then.
struct Ledger<'a> {
    engine: &'a Engine,
    folder: OwnedFd,
    held: Vec<Held>,
}

impl Engine {
    /// Gives the container, which may be unfinished still, `size` user ids and as many group ids that no other container of this
    /// data folder has, and returns both.
    ///
    /// # Errors
    /// [`RangeError::Exhausted`]; [`Engine::release_ids`] takes away what was given all the same.
    pub(crate) fn take_ids(&self, id: &ContainerId, size: u32) -> Result<[Ids; 2], RangeError> {
        let pools = [Pool::read(Kind::Users)?, Pool::read(Kind::Groups)?];
        let start = u32::from_str_radix(&id.as_str()[..8], 16).unwrap_or_default();
        let ledger = self.ledger()?;
        let find = |kind: Kind, pool: &Pool| -> Result<Ids, RangeError> {
            for ids in pool.candidates(size, start) {
                if ledger.is_free(kind, ids, |_held| true)? {
                    return Ok(ids);
                }
            }
            Err(pool.exhausted(kind, size))
        };
        let both = [find(Kind::Users, &pools[0])?, find(Kind::Groups, &pools[1])?];
        ledger.write(id, How::Own, &both[..1], &both[1..])?;
        Ok(both)
    }

    /// Keeps the ids of these mappings from being given to others as long as the container exists. They may be shared with all
    /// that share them too, and with `partner`, who has them for itself.
    pub(crate) fn share_ids(
        &self,
        id: &ContainerId,
        partner: Option<&ContainerId>,
        [users, groups]: [&[IdMapping]; 2],
    ) -> Result<(), RangeError> {
        let ledger = self.ledger()?;
        if partner.is_some_and(|partner| !self.exists(partner)) {
            return Err(RangeError::Gone);
        }
        let all = |mappings: &[IdMapping]| -> Vec<Ids> { mappings.iter().map(Ids::of_host).collect() };
        let (users, groups) = (all(users), all(groups));
        for (kind, all) in [(Kind::Users, &users), (Kind::Groups, &groups)] {
            for ids in all.iter().filter(|_ids| partner.is_none()) {
                if !ledger.is_free(kind, *ids, |held| held.how == How::Own)? {
                    return Err(RangeError::Taken(kind.files().0.to_owned()));
                }
            }
        }
        Ok(ledger.write(id, How::Shared, &users, &groups)?)
    }

    /// Makes sure before a start that the ids of the container are still kept for it: the machine may have stopped before what says
    /// so was on the disk, which the record was.
    ///
    /// # Errors
    /// [`RangeError::Lost`] if they were given to another meanwhile.
    pub(crate) fn keep_ids(&self, record: &Record) -> Result<(), RangeError> {
        let mappings = Mappings { uids: &record.uid_mappings, gids: &record.gid_mappings };
        if mappings.change_nothing() || self.ledger()?.held.iter().any(|held| held.id == record.id) {
            return Ok(());
        }
        let ledger = self.ledger()?;
        let all = |mappings: &[IdMapping]| -> Vec<Ids> { mappings.iter().map(Ids::of_host).collect() };
        let (users, groups) = (all(mappings.uids), all(mappings.gids));
        let own = record.host_config.userns_mode == "auto";
        for (kind, all) in [(Kind::Users, &users), (Kind::Groups, &groups)] {
            for ids in all {
                if !ledger.is_free(kind, *ids, |held| own || held.how == How::Own)? {
                    return Err(RangeError::Lost);
                }
            }
        }
        Ok(ledger.write(&record.id, if own { How::Own } else { How::Shared }, &users, &groups)?)
    }

    /// Takes all ids from a container that is gone.
    pub(crate) fn release_ids(&self, id: &ContainerId) -> Result<(), FileError> {
        let path = self.id_ranges();
        let folder = files::open_folder(&path).map_err(FileError::at("open", &path))?;
        for entry in std::fs::read_dir(&path).map_err(FileError::at("read", &path))? {
            let name = entry.map_err(FileError::at("read", &path))?.file_name();
            if name.to_str().is_some_and(|name| name.ends_with(id.as_str())) {
                remove(&folder, &name).map_err(FileError::at("remove", path.join(&name)))?;
            }
        }
        Ok(())
    }

    /// Removes what is left of containers that are not there any more.
    pub(crate) fn clear_ids(&self) -> Result<(), FileError> {
        let ledger = self.ledger()?;
        ledger.held.iter().try_for_each(|held| ledger.is_alive(held).map(drop))
    }

    fn ledger(&self) -> Result<Ledger<'_>, FileError> {
        let path = self.id_ranges();
        let folder = files::open_folder(&path).map_err(FileError::at("open", &path))?;
        let lock = || rustix::fs::flock(&folder, FlockOperation::LockExclusive);
        rustix::io::retry_on_intr(lock).map_err(FileError::at("lock", &path))?;
        let mut held = Vec::new();
        for entry in std::fs::read_dir(&path).map_err(FileError::at("read", &path))? {
            let name = entry.map_err(FileError::at("read", &path))?.file_name();
            held.extend(name.to_str().and_then(Held::parse));
        }
        Ok(Ledger { engine: self, folder, held })
    }
}

impl Ledger<'_> {
    /// Whether no container that exists has any of these ids in a way that `counts`. What others have left is removed.
    fn is_free(&self, kind: Kind, ids: Ids, counts: impl Fn(&Held) -> bool) -> Result<bool, FileError> {
        for held in &self.held {
            if held.of.has(kind) && held.ids.overlaps(ids) && counts(held) && self.is_alive(held)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether the container exists. Otherwise what it left is removed.
    fn is_alive(&self, held: &Held) -> Result<bool, FileError> {
        if self.engine.exists(&held.id) {
            return Ok(true);
        }
        let name = held.name();
        remove(&self.folder, name.as_ref()).map_err(FileError::at("remove", self.engine.id_ranges().join(&name)))?;
        Ok(false)
    }

    fn write(&self, id: &ContainerId, how: How, users: &[Ids], groups: &[Ids]) -> Result<(), FileError> {
        let held = |of, ids: &Ids| Held { of, how, ids: *ids, id: id.clone() };
        let all: Vec<Held> = if users == groups {
            users.iter().map(|ids| held(Of::Both, ids)).collect()
        } else {
            let groups = groups.iter().map(|ids| held(Of::Groups, ids));
            users.iter().map(|ids| held(Of::Users, ids)).chain(groups).collect()
        };
        for name in all.iter().map(Held::name) {
            let made = match rustix::fs::linkat(&self.folder, FILE, &self.folder, &name, AtFlags::empty()) {
                Err(Errno::NOENT) => make(&self.folder, FILE)
                    .and_then(|()| rustix::fs::linkat(&self.folder, FILE, &self.folder, &name, AtFlags::empty())),
                // A file has so many links, as many as its file system lets it have.
                Err(Errno::MLINK) => make(&self.folder, &name),
                made => made,
            };
            made.map_err(FileError::at("make", self.engine.id_ranges().join(name)))?;
        }
        Ok(())
    }
}

fn make(folder: &OwnedFd, name: &str) -> Result<(), Errno> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    rustix::fs::openat(folder, name, flags, Mode::RUSR | Mode::WUSR).map(drop)
}

fn remove(folder: &OwnedFd, name: &std::ffi::OsStr) -> Result<(), Errno> {
    match rustix::fs::unlinkat(folder, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(errno) => Err(errno),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::engine;

    fn container(engine: &Engine) -> ContainerId {
        let id = ContainerId::random().unwrap();
        files::make_folder(&engine.containers().join(id.as_str())).unwrap();
        id
    }

    #[test]
    fn ids_are_one_containers_until_it_is_gone() {
        let place = tempfile::tempdir().unwrap();
        let engine = engine(place.path());
        let (one, two) = (container(&engine), container(&engine));
        let [users, groups] = engine.take_ids(&one, 65536).unwrap();
        let [others, _] = engine.take_ids(&two, 70_000).unwrap();
        assert!(!users.overlaps(others) && users.count == 65536 && groups.count == 65536);
        let mapping = |ids: Ids| [IdMapping { container_id: 0, host_id: ids.first, size: ids.count }];
        let both = [mapping(users), mapping(groups)];
        let three = container(&engine);
        let alone = engine.share_ids(&three, None, [&both[0], &both[1]]);
        assert!(matches!(alone, Err(RangeError::Taken(_))), "{alone:?}");
        engine.share_ids(&three, Some(&one), [&both[0], &both[1]]).unwrap();
        std::fs::remove_dir(engine.containers().join(one.as_str())).unwrap();
        engine.release_ids(&one).unwrap();
        let ledger = engine.ledger().unwrap();
        assert!(!ledger.is_free(Kind::Users, users, |_held| true).unwrap(), "the one that joined has them still");
        // As a kill leaves it.
        std::fs::remove_dir(engine.containers().join(three.as_str())).unwrap();
        assert!(ledger.is_free(Kind::Users, users, |_held| true).unwrap());
        drop(ledger);
        engine.clear_ids().unwrap();
        let left = engine.ledger().unwrap().held;
        assert!(!left.is_empty() && left.iter().all(|held| held.id == two), "{left:?}");
    }

    #[test]
    fn names_say_it_all() {
        let id = ContainerId::random().unwrap();
        let ids = Ids { first: 100_000, count: 65536 };
        for (of, how) in [(Of::Both, How::Own), (Of::Users, How::Shared), (Of::Groups, How::Own)] {
            let held = Held { of, how, ids, id: id.clone() };
            assert_eq!(Held::parse(&held.name()), Some(held.clone()), "{held:?}");
        }
        for name in [FILE.to_owned(), format!("both-own-1-2-{}", id.short()), format!("all-own-1-2-{id}")] {
            assert_eq!(Held::parse(&name), None, "{name}");
        }
    }

    #[test]
    fn a_killed_commands_ids_are_given_away_again() {
        let place = tempfile::tempdir().unwrap();
        let engine = engine(place.path());
        let id = container(&engine);
        let [first, _] = engine.take_ids(&id, 65536).unwrap();
        std::fs::remove_dir(engine.containers().join(id.as_str())).unwrap();
        // The same container's again: its id chooses where to begin.
        let [again, _] = engine.take_ids(&id, 65536).unwrap();
        assert_eq!(first, again);
    }
}
