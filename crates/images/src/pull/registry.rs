//! A registry as a source.

use std::io::Read;

use super::source::{Document, Source, SourceError};
use crate::Name;
use crate::content::Descriptor;
use crate::registry::{Access, Fetched, Registries, Repository, Version};

/// The image of a registry that a name means.
pub struct Remote {
    repository: Repository,
    name: Name,
}

impl Remote {
    /// The image `name`. Nobody is asked yet.
    #[must_use]
    pub fn new(registries: &Registries, name: &Name) -> Self {
        Self { repository: Repository::open(registries, name, Access::Pull), name: name.clone() }
    }

    fn fetch(&self, version: &Version<'_>) -> Result<Document, SourceError> {
        let Fetched { media_type, bytes, .. } = self.repository.manifest(version)?;
        Ok(Document { media_type, bytes })
    }
}

impl Source for Remote {
    fn top(&self) -> Result<Document, SourceError> {
        self.fetch(&Version::of(&self.name))
    }

    fn manifest(&self, descriptor: &Descriptor) -> Result<Document, SourceError> {
        self.fetch(&Version::Digest(descriptor.digest))
    }

    fn blob(&self, descriptor: &Descriptor, offset: u64) -> Result<Box<dyn Read + '_>, SourceError> {
        Ok(Box::new(self.repository.blob(descriptor.digest, descriptor.size, offset)?))
    }

    fn origin(&self) -> Option<Box<dyn Source + '_>> {
        let origin = || Self { repository: self.repository.origin(), name: self.name.clone() };
        self.repository.has_mirrors().then(|| Box::new(origin()) as Box<dyn Source>)
    }
}
