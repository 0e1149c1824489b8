//! Names: how an image of the store is found, gets names and loses them.

use stockade_storage::Digest;

use super::entry::{Descriptor, Entry, StoredImage};
use super::index::{Document, name_of};
use super::{ContentError, Images};
use crate::Name;

/// Why a text does not tell an image of the store.
#[derive(Debug, thiserror::Error)]
pub enum FindImageError {
    /// Nothing is called so.
    #[error("No such image: {0}")]
    Missing(String),
    /// The beginning of more than one id.
    #[error("{text} is the beginning of more than one image's id, such as {first} and {second}")]
    Ambiguous {
        /// What was asked for.
        text: String,
        /// One that begins so.
        first: Digest,
        /// Another.
        second: Digest,
    },
    /// The store.
    #[error(transparent)]
    Content(#[from] ContentError),
}

/// The name as it stands in the index: with a digest, which makes a tag meaningless, or with a tag.
pub(super) fn key(name: &Name) -> Name {
    match name.digest() {
        Some(digest) => name.repository().with_digest(digest),
        None => name.clone().tag_or_latest(),
    }
}

impl Images {
    /// All images that can be read, the newest first; one without names is there too.
    ///
    /// # Errors
    /// If the index cannot be read. An image that is damaged is left out: [`Images::check`] tells of it.
    pub fn list(&self) -> Result<Vec<StoredImage>, ContentError> {
        let (mut images, _damaged) = self.all()?;
        images.sort_by(|one, other| (&other.created, &one.id).cmp(&(&one.created, &other.id)));
        Ok(images)
    }

    /// The image that `text` means, as in Docker: a whole id with or without `sha256:`, a name, or the beginning of one id.
    /// Its [`StoredImage::target`] is what the name leads to.
    ///
    /// # Errors
    /// See [`FindImageError`].
    pub fn find(&self, text: &str) -> Result<StoredImage, FindImageError> {
        let (images, _damaged) = self.all()?;
        let missing = || FindImageError::Missing(text.to_owned());
        let bare = text.strip_prefix("sha256:").unwrap_or(text);
        let hex = !bare.is_empty() && bare.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
        if hex && bare.len() == 64 {
            return images.into_iter().find(|image| image.id.hex() == bare).ok_or_else(missing);
        }
        if let Ok(name) = Name::parse(text)
            && let Some(image) = self.named(&images, &name)?
        {
            return Ok(image);
        }
        if !hex {
            return Err(missing());
        }
        let mut found = images.into_iter().filter(|image| image.id.hex().starts_with(bare));
        match (found.next(), found.next()) {
            (Some(image), None) => Ok(image),
            (Some(first), Some(second)) => {
                Err(FindImageError::Ambiguous { text: text.to_owned(), first: first.id, second: second.id })
            }
            (None, _) => Err(missing()),
        }
    }

    /// The image with exactly this name, without the names that it has besides: quicker than [`Images::find`] where there are
    /// many images.
    pub(crate) fn by_name(&self, name: &Name) -> Result<Option<StoredImage>, ContentError> {
        let Some((target, chosen)) = self.leads_to(name)? else { return Ok(None) };
        let read = self.image(&target, chosen);
        read.map(Some).map_err(ContentError::document(target.digest.to_string()))
    }

    /// The image with exactly this name. One with a digest may have a tag as well, which then does not count.
    fn named(&self, images: &[StoredImage], name: &Name) -> Result<Option<StoredImage>, ContentError> {
        let wanted = key(name);
        let has = |image: &&StoredImage| image.names.contains(&wanted) || image.repo_digests.contains(&wanted);
        let Some(image) = images.iter().find(has) else { return Ok(None) };
        let mut image = image.clone();
        // Several manifests may have one configuration: the name says which is meant.
        let index = self.index()?;
        let entries = index.entries().iter().filter_map(|value| Entry::read(value).ok());
        for entry in entries.filter(|entry| entry.name.as_ref() == Some(&wanted)) {
            if let Ok(read) = self.image(&entry.target, entry.chosen) {
                image = StoredImage { names: image.names, repo_digests: image.repo_digests, ..read };
            }
        }
        Ok(Some(image))
    }

    /// Writes down an image whose manifest and configuration are stored: `target` is its manifest, or an index of which
    /// `manifest` was chosen. A name is taken from the image that had it, which stays without it. Without a name the image is
    /// there under its id.
    ///
    /// # Errors
    /// If a document is missing or no image's, or the index cannot be written; then nothing changes.
    pub fn add(
        &self,
        target: &Descriptor,
        manifest: &Digest,
        name: Option<&Name>,
    ) -> Result<StoredImage, ContentError> {
        self.write_down(target, manifest, |document, image| self.give(document, image, name))
    }

    /// The same with several names, which change at once.
    pub(crate) fn add_all(
        &self,
        target: &Descriptor,
        manifest: &Digest,
        names: &[Name],
    ) -> Result<StoredImage, ContentError> {
        self.write_down(target, manifest, |document, image| {
            if names.is_empty() {
                self.give(document, image, None);
            }
            names.iter().for_each(|name| self.give(document, image, Some(name)));
        })
    }

    fn write_down(
        &self,
        target: &Descriptor,
        manifest: &Digest,
        change: impl FnOnce(&mut Document, &StoredImage),
    ) -> Result<StoredImage, ContentError> {
        let read = self.image(target, Some(*manifest));
        let image = read.map_err(ContentError::document(target.digest.to_string()))?;
        self.change(|document| {
            change(document, &image);
            Ok::<_, ContentError>(())
        })?;
        Ok(image)
    }

    /// What the index has under this name, and which manifest was chosen of it, without reading it.
    pub(crate) fn leads_to(&self, name: &Name) -> Result<Option<(Descriptor, Option<Digest>)>, ContentError> {
        let (index, name) = (self.index()?, key(name));
        let mut entries = index.entries().iter().filter_map(|value| Entry::read(value).ok());
        Ok(entries.find(|entry| entry.name.as_ref() == Some(&name)).map(|entry| (entry.target, entry.chosen)))
    }

    /// Gives `image` the name in the index, or an entry without a name if it has none at all.
    fn give(&self, document: &mut Document, image: &StoredImage, name: Option<&Name>) {
        let Some(name) = name.map(key) else {
            if self.entries_of(document, &image.id).is_empty() {
                document.add(&image.target, image.manifest.digest, None);
            }
            return;
        };
        let before = self.owner(document, &name);
        document.remove(|entry| name_of(entry).as_ref() == Some(&name));
        if let Some(before) = before.filter(|before| before.id != image.id)
            && self.entries_of(document, &before.id).is_empty()
        {
            document.add(&before.target, before.manifest.digest, None);
        }
        // It has a name now: an entry without one is in the way.
        let nameless: Vec<_> =
            self.entries_of(document, &image.id).into_iter().filter(|(_, name)| name.is_none()).collect();
        document.remove(|entry| nameless.iter().any(|(value, _)| value == entry));
        document.add(&image.target, image.manifest.digest, Some(&name));
    }

    /// The image that has this very name.
    fn owner(&self, document: &Document, name: &Name) -> Option<StoredImage> {
        let entries = document.entries().iter().filter_map(|value| Entry::read(value).ok());
        let entry = entries.into_iter().find(|entry| entry.name.as_ref() == Some(name))?;
        self.image(&entry.target, entry.chosen).ok()
    }

    /// The entries of the image `id`, with their names.
    pub(super) fn entries_of(&self, document: &Document, id: &Digest) -> Vec<(serde_json::Value, Option<Name>)> {
        let of_it = |value: &serde_json::Value| {
            let entry = Entry::read(value).ok()?;
            let image = self.image(&entry.target, entry.chosen).ok()?;
            (image.id == *id).then(|| (value.clone(), entry.name))
        };
        document.entries().iter().filter_map(of_it).collect()
    }

    /// Gives the image one name more, which is taken from the image that had it.
    ///
    /// # Errors
    /// If the index cannot be changed.
    pub fn tag(&self, image: &StoredImage, name: &Name) -> Result<(), ContentError> {
        self.add(&image.target, &image.manifest.digest, Some(name)).map(drop)
    }
}
