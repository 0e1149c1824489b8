//! An image of the store into a registry: what is not there yet, layers at the same time, the manifest last, so that a reader
//! of the registry never sees a name without its content.

use std::collections::BTreeSet;
use std::io::{self, Read, Seek, SeekFrom};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use stockade_storage::Digest;

use crate::Name;
use crate::content::{ContentError, Descriptor, Images, StoredImage};
use crate::registry::{RegistryError, Repository, Version};
use crate::store::Part;

/// How many blobs are sent at the same time, as Docker does.
const AT_ONCE: usize = 5;

/// Whoever is told. Called from several threads at once.
pub trait PushProgress: Sync {
    /// These layers, lowest first, make the image.
    fn begun(&self, layers: &[Descriptor]);

    /// The layer with this blob is there.
    fn layer(&self, layer: &Descriptor, step: PushStep);
}

/// How a layer came to be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PushStep {
    /// It was there.
    Exists,
    /// The registry took it from another repository of its own.
    Mounted(String),
    /// It was sent.
    Pushed,
}

/// Why an image is not in a registry. Blobs that were sent by then are there, for the next time.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// The store.
    #[error(transparent)]
    Content(#[from] ContentError),
    /// A blob that the store should have.
    #[error("{0} is not in the image store: pull the image again")]
    Missing(Digest),
    /// The registry.
    #[error(transparent)]
    Registry(#[from] RegistryError),
}

impl Images {
    /// Puts `image` into `repository` under the tag of `name`: its blobs, and then the manifest of the platform that it was stored
    /// for. Blobs of the same registry's other repositories, which the image has names in, are taken from there. The caller
    /// holds [`Images::share`].
    ///
    /// # Errors
    /// See [`PushError`].
    pub fn push(
        &self,
        image: &StoredImage,
        name: &Name,
        repository: &Repository,
        progress: &dyn PushProgress,
    ) -> Result<Descriptor, PushError> {
        let layers: Vec<Descriptor> = image.layers.iter().map(|layer| layer.blob.clone()).collect();
        progress.begun(&layers);
        let mut seen = BTreeSet::new();
        let wanted: Vec<&Descriptor> = layers.iter().filter(|layer| seen.insert(layer.digest)).collect();
        let elsewhere = elsewhere(image, name);
        let (next, failed) = (AtomicUsize::new(0), Mutex::new(None));
        std::thread::scope(|scope| {
            for _ in 0..AT_ONCE.min(wanted.len()) {
                scope.spawn(|| {
                    while let Some(layer) = wanted.get(next.fetch_add(1, Ordering::Relaxed)) {
                        match self.push_blob(layer, repository, &elsewhere) {
                            Ok(step) => progress.layer(layer, step),
                            Err(error) => {
                                // The others begin nothing more.
                                next.store(wanted.len(), Ordering::Relaxed);
                                if let Ok(mut first) = failed.lock() {
                                    first.get_or_insert(error);
                                }
                            }
                        }
                    }
                });
            }
        });
        match failed.into_inner() {
            Ok(None) => {}
            Ok(Some(error)) => return Err(error),
            Err(poisoned) => poisoned.into_inner().map_or(Ok(()), Err)?,
        }
        self.push_blob(&image.config, repository, &elsewhere)?;
        let bytes = self.read(&image.manifest)?;
        repository.put_manifest(&Version::of(name), &image.manifest.media_type, &bytes)?;
        Ok(image.manifest.clone())
    }

    fn push_blob(&self, blob: &Descriptor, repository: &Repository, elsewhere: &[Name]) -> Result<PushStep, PushError> {
        let part = self.blob(&blob.digest)?.filter(|part| part.size() == blob.size);
        let part = part.ok_or(PushError::Missing(blob.digest))?;
        if repository.has_blob(blob.digest)? == Some(blob.size) {
            return Ok(PushStep::Exists);
        }
        for other in elsewhere {
            if repository.mount_blob(blob.digest, other)? {
                return Ok(PushStep::Mounted(other.path().to_owned()));
            }
        }
        let mut content = Content { rest: part.clone(), whole: part };
        repository.upload_blob(blob.digest, blob.size, &mut content)?;
        Ok(PushStep::Pushed)
    }
}

/// The other repositories of the registry of `name` that `image` has names in.
fn elsewhere(image: &StoredImage, name: &Name) -> Vec<Name> {
    let names = image.names.iter().chain(&image.repo_digests).map(Name::repository);
    let others = names.filter(|other| other.domain() == name.domain() && other.path() != name.path());
    let others: BTreeSet<Name> = others.collect();
    others.into_iter().collect()
}

/// A blob that can be read again from any place.
struct Content {
    whole: Part,
    rest: Part,
}

impl Read for Content {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.rest.read(buffer)
    }
}

impl Seek for Content {
    fn seek(&mut self, place: SeekFrom) -> io::Result<u64> {
        let SeekFrom::Start(place) = place else { return Err(io::ErrorKind::Unsupported.into()) };
        self.rest = self.whole.clone();
        io::copy(&mut (&mut self.rest).take(place), &mut io::sink())
    }
}
