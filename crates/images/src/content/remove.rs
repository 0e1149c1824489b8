//! What goes: names, images, and everything that nobody needs any more.

use std::collections::BTreeSet;
use std::os::unix::ffi::OsStrExt;

use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, Dir, FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use stockade_storage::{Digest, Layers};

use super::entry::Entry;
use super::index::name_of;
use super::names::key;
use super::{ContentError, Images};
use crate::Name;
use crate::error::ImageError;

/// What a removal did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// The names that are gone.
    pub untagged: Vec<Name>,
    /// The image that went with its last name.
    pub deleted: Option<Digest>,
}

impl Images {
    /// Takes a name away. With the last name of its repository the image loses its digests there too, and with its last name
    /// it is in the store no longer; its content goes by [`Images::alone`] and [`Alone::collect`].
    ///
    /// # Errors
    /// If the index cannot be changed. A name that nothing has is no error, and removes nothing.
    pub fn remove(&self, name: &Name) -> Result<Removed, ContentError> {
        let name = &key(name);
        self.change(|document| {
            let owner = document.entries().iter().find(|entry| name_of(entry).as_ref() == Some(name));
            let Some(owner) = owner.cloned() else { return Ok(Removed::default()) };
            let entry = Entry::read(&owner).and_then(|entry| self.image(&entry.target, entry.chosen));
            let Ok(image) = entry else {
                document.remove(|entry| *entry == owner);
                return Ok(Removed { untagged: vec![name.clone()], deleted: None });
            };
            let names: Vec<Name> =
                self.entries_of(document, &image.id).into_iter().filter_map(|(_, name)| name).collect();
            let (tags, digests): (Vec<&Name>, Vec<&Name>) = names.iter().partition(|name| name.digest().is_none());
            let mut untagged = vec![name.clone()];
            let keeps_tag = tags.iter().any(|tag| *tag != name && tag.repository() == name.repository());
            if name.digest().is_none() && !keeps_tag {
                let here = digests.into_iter().filter(|digest| digest.repository() == name.repository());
                untagged.extend(here.cloned());
            }
            let of_it = self.entries_of(document, &image.id);
            document.remove(|entry| {
                of_it
                    .iter()
                    .any(|(value, name)| value == entry && name.as_ref().is_some_and(|name| untagged.contains(name)))
            });
            let rest = self.entries_of(document, &image.id);
            let deleted = rest.is_empty().then_some(image.id);
            Ok(Removed { untagged, deleted })
        })
    }

    /// Takes a name away and leaves the image, without a name if it was the last.
    ///
    /// # Errors
    /// As [`Images::remove`].
    pub fn untag(&self, name: &Name) -> Result<(), ContentError> {
        let name = &key(name);
        self.change(|document| {
            let owner = document.entries().iter().find(|entry| name_of(entry).as_ref() == Some(name)).cloned();
            document.remove(|entry| name_of(entry).as_ref() == Some(name));
            let entry = owner.and_then(|owner| Entry::read(&owner).ok());
            if let Some(entry) = entry
                && let Ok(image) = self.image(&entry.target, entry.chosen)
                && self.entries_of(document, &image.id).is_empty()
            {
                document.add(&image.target, image.manifest.digest, None);
            }
            Ok(())
        })
    }

    /// Takes an image out of the store with all of its names; its content goes by [`Alone::collect`].
    ///
    /// # Errors
    /// If the index cannot be changed. An image that is not there is no error, and removes nothing.
    pub fn remove_image(&self, id: &Digest) -> Result<Removed, ContentError> {
        self.change(|document| {
            let of_it = self.entries_of(document, id);
            document.remove(|entry| of_it.iter().any(|(value, _)| value == entry));
            let deleted = (!of_it.is_empty()).then_some(*id);
            Ok(Removed { untagged: of_it.into_iter().filter_map(|(_, name)| name).collect(), deleted })
        })
    }

    /// The store while nobody else makes or uses an image: for [`Alone::collect`]. `None` if somebody does; what is garbage
    /// then stays until the next time.
    ///
    /// # Errors
    /// If the lock cannot be opened.
    pub fn alone(&self) -> Result<Option<Alone<'_>>, ContentError> {
        let lock = self.garbage_lock()?;
        match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Alone { images: self, _lock: lock })),
            Err(Errno::WOULDBLOCK) => Ok(None),
            Err(errno) => Err(ContentError::at("lock", self.path.join("lock"))(errno)),
        }
    }
}

/// The store, held alone.
#[derive(Debug)]
pub struct Alone<'a> {
    images: &'a Images,
    _lock: OwnedFd,
}

/// What was garbage and is gone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// Blobs, and what there was of blobs.
    pub blobs: Vec<Digest>,
    /// Unpacked layers.
    pub layers: Vec<Digest>,
    /// The bytes that the blobs had.
    pub bytes: u64,
}

impl Alone<'_> {
    /// Removes every blob that no image of the store has, every partial one, and every unpacked layer that neither an image of
    /// the store nor `keep` (those of containers, looked up while this value is held) has.
    ///
    /// # Errors
    /// If an entry of the index cannot be read: then nothing is removed, since what it needs is not known, and
    /// [`Images::check`] tells which. If something cannot be removed: the rest stays for the next time.
    pub fn collect(self, layers: &Layers, keep: &BTreeSet<Digest>) -> Result<Collected, ContentError> {
        let images = self.images;
        let mut kept = keep.clone();
        let mut blobs = BTreeSet::new();
        for value in images.index()?.entries() {
            let read = Entry::read(value).and_then(|entry| images.needs(&entry));
            let (of_entry, archives) = read.map_err(ContentError::document("an entry of the index"))?;
            blobs.extend(of_entry);
            kept.extend(archives);
        }
        let mut collected = Collected::default();
        images.sweep(&images.blobs, "blobs/sha256", &blobs, &mut collected)?;
        images.sweep(&images.ingest, "ingest", &BTreeSet::new(), &mut collected)?;
        let folder = || images.path.with_file_name("layers");
        for layer in layers.list().map_err(ContentError::at("list", folder()))? {
            if !kept.contains(&layer) {
                layers.remove(&layer).map_err(ContentError::at("remove a layer of", folder()))?;
                collected.layers.push(layer);
            }
        }
        Ok(collected)
    }
}

impl Images {
    /// The blobs and the archives of layers that an entry needs.
    fn needs(&self, entry: &Entry) -> Result<(BTreeSet<Digest>, BTreeSet<Digest>), ImageError> {
        let image = match self.image(&entry.target, entry.chosen) {
            Ok(image) => image,
            // Something that another tool put there, and that is no image: what it points to stays.
            Err(ImageError::MediaType(_)) => return Ok((BTreeSet::from([entry.target.digest]), BTreeSet::new())),
            Err(error) => return Err(error),
        };
        let documents = [entry.target.digest, image.manifest.digest, image.config.digest];
        let blobs = documents.into_iter().chain(image.layers.iter().map(|layer| layer.blob.digest)).collect();
        Ok((blobs, image.layers.iter().map(|layer| layer.diff_id).collect()))
    }

    /// Removes the files in `folder` that are not among `keep`.
    fn sweep(
        &self,
        folder: &OwnedFd,
        name: &'static str,
        keep: &BTreeSet<Digest>,
        collected: &mut Collected,
    ) -> Result<(), ContentError> {
        let path = self.path.join(name);
        let failed = |errno: Errno| ContentError::at("clear", &path)(errno);
        // The descriptor's own position is not used: others may list it at the same time.
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let listed = rustix::fs::openat(folder, ".", flags, Mode::empty()).map_err(failed)?;
        for entry in Dir::new(listed).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let file = entry.file_name();
            let digest = std::str::from_utf8(file.to_bytes()).ok().and_then(|hex| format!("sha256:{hex}").parse().ok());
            // What has no such name is none of ours.
            let Some(digest) = digest.filter(|digest| !keep.contains(digest)) else { continue };
            let name = std::ffi::OsStr::from_bytes(file.to_bytes());
            let size = rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW).map_err(failed)?.st_size;
            rustix::fs::unlinkat(folder, name, AtFlags::empty()).map_err(failed)?;
            collected.blobs.push(digest);
            collected.bytes += size.cast_unsigned();
        }
        Ok(())
    }
}
