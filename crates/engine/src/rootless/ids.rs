//! Which ids the user's namespace has.

use std::path::{Path, PathBuf};

use stockade_namespaces::{IdMap, IdMaps, IdRange, MapError};

use crate::files::FileError;
use crate::subids::{Ids, Kind, RangeError, delegated};

/// Why the ids are not known.
#[derive(Debug, thiserror::Error)]
pub enum IdsError {
    /// A file could not be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// A line of the user's is wrong.
    #[error(transparent)]
    Range(#[from] RangeError),
    /// The ranges are no map.
    #[error("the ranges of {} in {} cannot be a user namespace's ids", user, file.display())]
    Map {
        /// The user.
        user: String,
        /// The file.
        file: PathBuf,
        /// Why.
        source: MapError,
    },
}

/// The ids that a user can have in a namespace.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Owned {
    /// The maps: the own id is root's, the ranges follow from 1 on.
    pub(super) maps: IdMaps,
    /// The user's name, or number without one.
    pub(super) user: String,
    /// Whether there is no id but the own one.
    pub(super) alone: bool,
}

/// Those of the calling user, by the files of this machine. Without a range in either file there is none.
pub(super) fn of_caller() -> Result<Owned, IdsError> {
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let (_, accounts) = Kind::Users.files();
    let text = crate::subids::text(accounts)?;
    let name = name_of(&text, uid);
    let user = name.unwrap_or_else(|| uid.to_string());
    let names = [user.as_str(), &uid.to_string()];
    let users = delegated(Kind::Users, &names)?;
    let groups = delegated(Kind::Groups, &names)?;
    // With ranges of one kind only, files of an image could keep half of their owners.
    let alone = users.is_empty() || groups.is_empty();
    let map = |kind: Kind, own: u32, ranges: &[Ids]| {
        let ranges = if alone { &[] } else { ranges };
        let wrong = |source| IdsError::Map { user: user.clone(), file: kind.files().0.to_owned(), source };
        mapped(own, ranges).map_err(wrong)
    };
    let maps = IdMaps { users: map(Kind::Users, uid, &users)?, groups: map(Kind::Groups, gid, &groups)? };
    Ok(Owned { maps, user, alone })
}

/// The own id as root, and the ranges one after the other from 1 on.
fn mapped(own: u32, ranges: &[Ids]) -> Result<IdMap, MapError> {
    let mut all = vec![IdRange { inside: 0, outside: own, count: 1 }];
    let mut next = 1u32;
    for range in ranges {
        all.push(IdRange { inside: next, outside: range.first, count: range.count });
        // A map that goes past the last id is refused below.
        next = next.saturating_add(range.count);
    }
    IdMap::new(all)
}

/// The name that `passwd(5)` has for the id.
fn name_of(accounts: &str, uid: u32) -> Option<String> {
    accounts.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, id) = (fields.next()?, fields.nth(1)?);
        (id.parse() == Ok(uid) && !name.is_empty()).then(|| name.to_owned())
    })
}

/// What is said once of a namespace with one id.
pub(super) fn alone_warning(user: &str) -> String {
    let [users, groups] = [Kind::Users, Kind::Groups].map(|kind| Path::display(kind.files().0).to_string());
    format!(
        "{user} has no ranges of ids in {users} and {groups}: containers have one user and one group, to whom all files of \
         images belong, and keep the groups that {user} is in; for more: sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {user} (ids that nobody \
         else has), and end the process `stockade-monitor --hold`, which keeps the namespace"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_id_is_roots_and_ranges_follow() {
        let ids = [Ids { first: 100_000, count: 65536 }, Ids { first: 300_000, count: 10 }];
        let map = mapped(1000, &ids).unwrap();
        assert_eq!(map.to_text(), "0 1000 1\n1 100000 65536\n65537 300000 10\n");
        assert!(mapped(100_001, &ids).is_err(), "the own id is among the ranges");
        assert!(mapped(1, &[Ids { first: 2, count: u32::MAX - 3 }, Ids { first: 2, count: 1 }]).is_err());
        assert_eq!(mapped(7, &[]).unwrap().to_text(), "0 7 1\n");
    }

    #[test]
    fn names_are_looked_up_by_number() {
        let accounts = "root:x:0:0::/:/bin/sh\nbroken\n:x:5:5\nada:x:1000:1000::/home/ada:\n";
        assert_eq!(name_of(accounts, 1000).as_deref(), Some("ada"));
        assert_eq!(name_of(accounts, 5), None);
        assert_eq!(name_of(accounts, 6), None);
    }
}
