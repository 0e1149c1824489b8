//! Which container has which ids of the host: `ids/KIND-HOW-FIRST-COUNT-SHORTID` is a symbolic link whose text is the id.
//!
//! As with names, a link whose container exists neither whole nor unfinished was left by a command that was killed, and counts for
//! nothing. Ids are given under the lock of the folder. The container's record says which it has for as long as it is there.

use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, FlockOperation};
use rustix::io::Errno;
use stockade_spec::IdMapping;

use crate::engine::link_text;
use crate::files::{self, FileError};
use crate::subids::{Ids, Kind, Pool, RangeError};
use crate::{ContainerId, Engine};

/// How a container has its ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    /// For itself.
    Own,
    /// With others.
    Shared,
}

/// One link, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Held {
    kind: Kind,
    how: How,
    ids: Ids,
}

impl Held {
    fn name(self, id: &ContainerId) -> String {
        let kind = if self.kind == Kind::Users { "users" } else { "groups" };
        let how = if self.how == How::Own { "own" } else { "shared" };
        format!("{kind}-{how}-{}-{}-{}", self.ids.first, self.ids.count, id.short())
    }

    fn parse(name: &str) -> Option<Self> {
        let [kind, how, first, count, _id] = name.split('-').collect::<Vec<_>>()[..] else { return None };
        let kind = match kind {
            "users" => Kind::Users,
            "groups" => Kind::Groups,
            _ => return None,
        };
        let how = match how {
            "own" => How::Own,
            "shared" => How::Shared,
            _ => return None,
        };
        Some(Self { kind, how, ids: Ids { first: first.parse().ok()?, count: count.parse().ok()? } })
    }
}

/// The folder while it is locked, and what was in it then.
struct Ledger<'a> {
    engine: &'a Engine,
    folder: OwnedFd,
    held: Vec<(String, Held)>,
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
        let take = |kind: Kind, pool: &Pool| -> Result<Ids, RangeError> {
            for ids in pool.candidates(size, start) {
                if ledger.is_free(kind, ids, |_held| true)? {
                    ledger.write(id, Held { kind, how: How::Own, ids })?;
                    return Ok(ids);
                }
            }
            Err(pool.exhausted(kind, size))
        };
        Ok([take(Kind::Users, &pools[0])?, take(Kind::Groups, &pools[1])?])
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
        for (kind, mappings) in [(Kind::Users, users), (Kind::Groups, groups)] {
            for mapping in mappings {
                let ids = Ids { first: mapping.host_id, count: mapping.size };
                if partner.is_none() && !ledger.is_free(kind, ids, |held| held.how == How::Own)? {
                    return Err(RangeError::Taken(kind.files().0.to_owned()));
                }
                ledger.write(id, Held { kind, how: How::Shared, ids })?;
            }
        }
        Ok(())
    }

    /// Takes all ids from a container that is gone.
    pub(crate) fn release_ids(&self, id: &ContainerId) -> Result<(), FileError> {
        let path = self.id_ranges();
        let folder = files::open_folder(&path).map_err(FileError::at("open", &path))?;
        for entry in std::fs::read_dir(&path).map_err(FileError::at("read", &path))? {
            let name = entry.map_err(FileError::at("read", &path))?.file_name();
            let mine = name.to_str().is_some_and(|name| name.ends_with(id.short()));
            let owner = if mine { link_text(&path.join(&name)) } else { Ok(None) };
            if owner.map_err(FileError::at("read the link", path.join(&name)))?.as_deref() == Some(id.as_str()) {
                remove(&folder, &name).map_err(FileError::at("remove the link", path.join(&name)))?;
            }
        }
        Ok(())
    }

    /// Removes what is left of containers that are not there any more.
    pub(crate) fn clear_ids(&self) -> Result<(), FileError> {
        let ledger = self.ledger()?;
        ledger.held.iter().try_for_each(|(name, _)| ledger.is_alive(name).map(drop))
    }

    fn ledger(&self) -> Result<Ledger<'_>, FileError> {
        let path = self.id_ranges();
        let folder = files::open_folder(&path).map_err(FileError::at("open", &path))?;
        let lock = || rustix::fs::flock(&folder, FlockOperation::LockExclusive);
        rustix::io::retry_on_intr(lock).map_err(FileError::at("lock", &path))?;
        let mut held = Vec::new();
        for entry in std::fs::read_dir(&path).map_err(FileError::at("read", &path))? {
            let name = entry.map_err(FileError::at("read", &path))?.file_name();
            let name = name.to_string_lossy().into_owned();
            held.extend(Held::parse(&name).map(|one| (name, one)));
        }
        Ok(Ledger { engine: self, folder, held })
    }
}

impl Ledger<'_> {
    /// Whether no container that exists has any of these ids in a way that `counts`. What others have left is removed.
    fn is_free(&self, kind: Kind, ids: Ids, counts: impl Fn(&Held) -> bool) -> Result<bool, FileError> {
        for (name, held) in &self.held {
            if held.kind == kind && held.ids.overlaps(ids) && counts(held) && self.is_alive(name)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether the link's container exists. Otherwise the link is removed.
    fn is_alive(&self, name: &str) -> Result<bool, FileError> {
        let path = self.engine.id_ranges().join(name);
        let owner = link_text(&path).map_err(FileError::at("read the link", &path))?;
        let owner = owner.and_then(|text| ContainerId::try_from(text).ok());
        if owner.is_some_and(|owner| self.engine.exists(&owner)) {
            return Ok(true);
        }
        remove(&self.folder, name.as_ref()).map_err(FileError::at("remove the link", path))?;
        Ok(false)
    }

    fn write(&self, id: &ContainerId, held: Held) -> Result<(), FileError> {
        let name = held.name(id);
        let made = rustix::fs::symlinkat(id.as_str(), &self.folder, &name);
        made.map_err(FileError::at("make the link", self.engine.id_ranges().join(name)))
    }
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
    use crate::Places;

    fn engine(place: &std::path::Path) -> Engine {
        let below = |name: &str| place.join(name);
        Engine::open(Places { data: below("data"), exec: below("exec"), programs: place.into(), runtime: None })
            .unwrap()
    }

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
        let left: Vec<_> = engine.ledger().unwrap().held.into_iter().map(|(name, _)| name).collect();
        assert!(left.len() == 2 && left.iter().all(|name| name.ends_with(two.short())), "{left:?}");
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
