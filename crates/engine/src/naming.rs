//! Which container has which name: `names/NAME` is a symbolic link whose text is the id.
//!
//! Names are given and taken under the lock of the folder. A link whose container exists neither whole nor unfinished was left
//! by a command that was killed; whoever wants the name next takes it.

use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, CWD, FlockOperation};
use rustix::io::Errno;

use crate::container::RECORD;
use crate::engine::link_text;
use crate::files::FileError;
use crate::{ContainerId, ContainerName, Engine};

/// Of a record, what says its name.
#[derive(serde::Deserialize)]
struct Named {
    name: ContainerName,
}

/// Words of which names are made up: how it stands, and what stands.
const FIRST: [&str; 32] = [
    "amber", "ancient", "brave", "bright", "broad", "calm", "clear", "firm", "gentle", "grand", "hidden", "high",
    "honest", "iron", "keen", "lone", "lofty", "loyal", "mighty", "noble", "old", "patient", "plain", "proud", "quiet",
    "rugged", "silent", "solid", "stern", "stone", "sturdy", "wooden",
];
/// The other half.
const SECOND: [&str; 32] = [
    "arch",
    "bailey",
    "barbican",
    "bastion",
    "battlement",
    "beacon",
    "bridge",
    "bulwark",
    "castle",
    "citadel",
    "donjon",
    "fence",
    "ford",
    "fort",
    "gate",
    "harbour",
    "hedge",
    "keep",
    "lantern",
    "moat",
    "mound",
    "palisade",
    "parapet",
    "portcullis",
    "rampart",
    "redoubt",
    "tower",
    "trench",
    "turret",
    "vault",
    "wall",
    "ward",
];

/// The name is somebody's.
#[derive(Debug)]
pub(crate) enum Taken {
    /// This container's.
    By(ContainerId),
    /// The names could not be read or written.
    File(FileError),
}

impl From<FileError> for Taken {
    fn from(error: FileError) -> Self {
        Self::File(error)
    }
}

impl Engine {
    /// The container that has this name.
    pub(crate) fn named(&self, name: &ContainerName) -> Result<Option<ContainerId>, FileError> {
        let path = self.names().join(name.as_str());
        let text = link_text(&path).map_err(FileError::at("read the link", &path))?;
        let id = text.and_then(|text| ContainerId::try_from(text).ok());
        Ok(id.filter(|id| self.containers().join(id.as_str()).exists() && self.is_called(id, name)))
    }

    /// Gives `name` to the container `id`, which may be unfinished still.
    pub(crate) fn take_name(&self, name: &ContainerName, id: &ContainerId) -> Result<(), Taken> {
        let folder = self.lock_names()?;
        self.link(&folder, name, id)
    }

    /// Gives the container `new` instead of `old`; `write` makes its record say so. All under one lock: between the link and the record
    /// another would find the link to be nobody's. Whatever `write` says is returned; if that is an error it is called `old` still.
    pub(crate) fn change_name<T, E>(
        &self,
        [old, new]: [&ContainerName; 2],
        id: &ContainerId,
        write: impl FnOnce() -> Result<T, E>,
    ) -> Result<Result<T, E>, Taken> {
        let folder = self.lock_names()?;
        self.link(&folder, new, id)?;
        let written = write();
        self.unlink(&folder, if written.is_ok() { old } else { new }, id)?;
        Ok(written)
    }

    fn link(&self, folder: &OwnedFd, name: &ContainerName, id: &ContainerId) -> Result<(), Taken> {
        let path = self.names().join(name.as_str());
        if let Some(text) = link_text(&path).map_err(FileError::at("read the link", &path))? {
            if let Ok(owner) = ContainerId::try_from(text)
                && self.exists(&owner)
                && self.is_called(&owner, name)
            {
                return Err(Taken::By(owner));
            }
            let gone = rustix::fs::unlinkat(folder, name.as_str(), AtFlags::empty());
            gone.map_err(FileError::at("remove the link", &path))?;
        }
        let made = rustix::fs::symlinkat(id.as_str(), folder, name.as_str());
        Ok(made.map_err(FileError::at("make the link", &path))?)
    }

    /// Takes the name from the container, if it has it.
    pub(crate) fn drop_name(&self, name: &ContainerName, id: &ContainerId) -> Result<(), FileError> {
        let folder = self.lock_names()?;
        self.unlink(&folder, name, id)
    }

    fn unlink(&self, folder: &OwnedFd, name: &ContainerName, id: &ContainerId) -> Result<(), FileError> {
        let path = self.names().join(name.as_str());
        let owner = link_text(&path).map_err(FileError::at("read the link", &path))?;
        if owner.as_deref() != Some(id.as_str()) {
            return Ok(());
        }
        match rustix::fs::unlinkat(folder, name.as_str(), AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(FileError::at("remove the link", path)(errno)),
        }
    }

    /// Gives the container a name that is made up from its id; returns it.
    pub(crate) fn make_up_name(&self, id: &ContainerId) -> Result<ContainerName, FileError> {
        let mut tries = 0;
        loop {
            let name = made_up(id, tries);
            match self.take_name(&name, id) {
                Ok(()) => return Ok(name),
                Err(Taken::By(_)) => tries += 1,
                Err(Taken::File(error)) => return Err(error),
            }
        }
    }

    /// Removes the names of containers that are not there any more.
    pub(crate) fn clear_names(&self) -> Result<(), FileError> {
        let folder = self.lock_names()?;
        let path = self.names();
        for entry in std::fs::read_dir(&path).map_err(FileError::at("read", &path))? {
            let entry = entry.map_err(FileError::at("read", &path))?;
            let owner = link_text(&entry.path()).map_err(FileError::at("read the link", entry.path()))?;
            let owner = owner.and_then(|text| ContainerId::try_from(text).ok());
            let name = entry.file_name().to_str().and_then(|name| name.parse::<ContainerName>().ok());
            let right = |owner: &ContainerId| name.as_ref().is_none_or(|name| self.is_called(owner, name));
            if !owner.is_some_and(|owner| self.exists(&owner) && right(&owner)) {
                let gone = rustix::fs::unlinkat(&folder, entry.file_name(), AtFlags::empty());
                gone.map_err(FileError::at("remove the link", entry.path()))?;
            }
        }
        Ok(())
    }

    /// Whether the container has that name, as far as it can be told: a rename that was cut off leaves a link with another.
    fn is_called(&self, id: &ContainerId, name: &ContainerName) -> bool {
        let record = std::fs::read(self.containers().join(id.as_str()).join(RECORD)).ok();
        let record: Option<Named> = record.and_then(|text| serde_json::from_slice(&text).ok());
        record.is_none_or(|record| record.name == *name)
    }

    /// Whether there is a container with this id, be it unfinished.
    pub(crate) fn exists(&self, id: &ContainerId) -> bool {
        // In this order: one that is being finished goes from the first to the second, and must not be missed in both.
        [self.unfinished(), self.containers()].iter().any(|place| place.join(id.as_str()).exists())
    }

    fn lock_names(&self) -> Result<OwnedFd, FileError> {
        let path = self.names();
        let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::DIRECTORY | rustix::fs::OFlags::CLOEXEC;
        let folder = rustix::fs::openat(CWD, &path, flags, rustix::fs::Mode::empty());
        let folder = folder.map_err(FileError::at("open", &path))?;
        let lock = || rustix::fs::flock(&folder, FlockOperation::LockExclusive);
        rustix::io::retry_on_intr(lock).map_err(FileError::at("lock", &path))?;
        Ok(folder)
    }
}

/// Two words that the id's digits choose, and from the second try on a number.
fn made_up(id: &ContainerId, tries: u32) -> ContainerName {
    let digits = |from: usize| usize::from_str_radix(&id.as_str()[from..from + 4], 16).unwrap_or_default();
    let (first, second) = (FIRST[digits(0) % FIRST.len()], SECOND[digits(4) % SECOND.len()]);
    let text = if tries == 0 { format!("{first}_{second}") } else { format!("{first}_{second}{tries}") };
    // The words are letters; what could not be a name would be the id, which always is one.
    text.parse().unwrap_or_else(|_never| id.clone().into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files;
    use crate::tests::engine;

    #[test]
    fn who_wants_a_name_that_is_being_given_waits_and_finds_it_taken() {
        let place = tempfile::tempdir().unwrap();
        let engine = engine(place.path());
        let (one, two) = (ContainerId::random().unwrap(), ContainerId::random().unwrap());
        let [old, new]: [ContainerName; 2] = ["old", "new"].map(|name| name.parse().unwrap());
        let folder = engine.containers().join(one.as_str());
        files::make_folder(&folder).unwrap();
        let record = |name: &ContainerName| std::fs::write(folder.join(RECORD), format!(r#"{{"name": "{name}"}}"#));
        record(&old).unwrap();
        engine.take_name(&old, &one).unwrap();
        std::thread::scope(|scope| {
            let change = engine.change_name([&old, &new], &one, || {
                let other = scope.spawn(|| engine.take_name(&new, &two));
                std::thread::sleep(std::time::Duration::from_millis(50));
                record(&new).map(|()| other)
            });
            let Ok(Ok(other)) = change else { panic!("it is not called new") };
            assert!(matches!(other.join().unwrap(), Err(Taken::By(by)) if by == one));
        });
        assert_eq!((engine.named(&new).unwrap(), engine.named(&old).unwrap()), (Some(one), None));
    }

    #[test]
    fn a_name_is_one_containers_until_it_is_gone() {
        let place = tempfile::tempdir().unwrap();
        let engine = engine(place.path());
        let (one, two) = (ContainerId::random().unwrap(), ContainerId::random().unwrap());
        let name: ContainerName = "web".parse().unwrap();
        files::make_folder(&engine.containers().join(one.as_str())).unwrap();
        engine.take_name(&name, &one).unwrap();
        assert_eq!(engine.named(&name).unwrap(), Some(one.clone()));
        assert!(matches!(engine.take_name(&name, &two), Err(Taken::By(owner)) if owner == one));
        engine.drop_name(&name, &two).unwrap();
        assert_eq!(engine.named(&name).unwrap(), Some(one.clone()));
        // As a kill between the folder's end and the name's leaves it.
        std::fs::remove_dir(engine.containers().join(one.as_str())).unwrap();
        assert_eq!(engine.named(&name).unwrap(), None);
        engine.take_name(&name, &two).unwrap();
        files::make_folder(&engine.containers().join(two.as_str())).unwrap();
        assert_eq!(engine.find("web").unwrap(), two);
        engine.drop_name(&name, &two).unwrap();
        assert!(engine.find("web").is_err());
    }

    #[test]
    fn names_that_are_made_up_differ() {
        let place = tempfile::tempdir().unwrap();
        let engine = engine(place.path());
        let id = ContainerId::random().unwrap();
        files::make_folder(&engine.containers().join(id.as_str())).unwrap();
        let names: Vec<_> = (0..3).map(|_| engine.make_up_name(&id).unwrap()).collect();
        assert!(names[0] != names[1] && names[1] != names[2], "{names:?}");
        for text in FIRST.iter().chain(&SECOND) {
            assert!(text.parse::<ContainerName>().is_ok(), "{text}");
        }
    }
}
