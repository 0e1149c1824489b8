//! `pull`: an image from a [`Source`] into the store, its layers unpacked.
//!
//! Of each layer the bytes go into the blob, through its digest and to the unpacking at once, some layers side by side. What is
//! here is not fetched again, also if an earlier attempt was stopped within a blob. The name is written down last: an image is
//! there whole, or not at all.

mod arrive;
mod progress;
mod registry;
mod source;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::io::Read;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use stockade_storage::{Digest, EnsureError, Layers};

use crate::content::{ContentError, Descriptor, Images, IngestError, StoredImage, StoredLayer, stored_layers};
use crate::error::ImageError;
use crate::oci::document::{Index, Kind, LARGEST_CONFIG, LARGEST_MANIFEST, Manifest, parse};
use crate::oci::{DEEPEST, best};
use crate::{Name, Platform, config, layers};

use arrive::Arriving;

pub use arrive::ArriveError;
pub use progress::{Progress, Quiet, Step};
pub use registry::Remote;
pub use source::{Document, Layout, Source, SourceError};

/// How many layers come at once, as in Docker.
const AT_ONCE: usize = 3;

/// How many bytes of a layer that cannot be unpacked are still fetched to tell why.
const MOST_DRAINED: u64 = 256 << 20;

/// Why an image was not pulled. Blobs and layers that were complete stay for the next time, and so does what there is of others.
#[derive(Debug, thiserror::Error)]
pub enum PullError {
    /// The source did not give a manifest or the configuration.
    #[error(transparent)]
    Source(SourceError),
    /// It is no image, or not the one that its name says. Boxed, because it is large and rare.
    #[error(transparent)]
    Image(Box<ImageError>),
    /// The image is for another platform than the one that was asked for.
    #[error("the image is for {} and not for {wanted}", found.escape_debug())]
    Platform {
        /// What was asked for.
        wanted: String,
        /// What it is for.
        found: String,
    },
    /// A blob.
    #[error(transparent)]
    Arrive(#[from] ArriveError),
    /// A layer could not be unpacked.
    #[error(transparent)]
    Layer(#[from] EnsureError),
    /// The store.
    #[error(transparent)]
    Content(#[from] ContentError),
    /// A document could not be stored.
    #[error(transparent)]
    Ingest(#[from] IngestError),
}

impl From<ImageError> for PullError {
    fn from(error: ImageError) -> Self {
        Self::Image(Box::new(error))
    }
}

/// An image that was pulled.
#[derive(Clone, Debug)]
pub struct Pulled {
    /// The image, without its names.
    pub image: StoredImage,
    /// Whether the name led to it before.
    pub before: Before,
}

/// What a name led to before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Before {
    /// The same image, whole.
    Same,
    /// Another image, or none.
    Other,
}

/// What is pulled, and where to.
#[derive(Clone, Copy)]
pub struct Pull<'a> {
    /// The store.
    pub images: &'a Images,
    /// The unpacked layers.
    pub layers: &'a Layers,
    /// Where it comes from.
    pub source: &'a dyn Source,
    /// The platform that was asked for; without one, what suits this machine best.
    pub platform: Option<&'a Platform>,
    /// Who is told.
    pub progress: &'a dyn Progress,
}

impl Pull<'_> {
    /// Pulls the image and gives it these names. If the first has a digest, the image must have it.
    ///
    /// # Errors
    /// See [`PullError`]; no name changes.
    pub fn pull(&self, names: &[Name]) -> Result<Pulled, PullError> {
        self.named(names.first(), |_target| names.to_vec())
    }

    /// Pulls the image from the registry that has it under `name`, which it gets here, as well as the one with its digest.
    ///
    /// # Errors
    /// As [`Pull::pull`].
    pub fn pull_from_registry(&self, name: &Name) -> Result<Pulled, PullError> {
        self.named(Some(name), |target| {
            let digest = name.repository().with_digest(target.digest);
            if name.digest().is_some() { vec![digest] } else { vec![name.clone(), digest] }
        })
    }

    fn named(&self, asked: Option<&Name>, names: impl FnOnce(&Descriptor) -> Vec<Name>) -> Result<Pulled, PullError> {
        let _share = self.images.share()?;
        let (target, manifest, document) = self.resolve(asked.and_then(Name::digest))?;
        let layers = self.configured(&document)?;
        let blobs: Vec<Descriptor> = layers.iter().map(|layer| layer.blob.clone()).collect();
        self.progress.begun(&blobs);
        self.fetch_layers(&layers)?;
        let diff_ids: Vec<Digest> = layers.iter().map(|layer| layer.diff_id).collect();
        self.layers.commit(&diff_ids)?;
        let led = asked.map(|name| self.images.leads_to(name)).transpose()?.flatten();
        let is_same = |(before, chosen): (Descriptor, Option<Digest>)| {
            before == target && chosen.is_none_or(|one| one == manifest.digest)
        };
        let before = if led.is_some_and(is_same) { Before::Same } else { Before::Other };
        let image = self.images.add_all(&target, &manifest.digest, &names(&target))?;
        Ok(Pulled { image, before })
    }

    /// What the name leads to, the manifest for the platform, and that manifest read.
    fn resolve(&self, wanted: Option<Digest>) -> Result<(Descriptor, Descriptor, Manifest), PullError> {
        let top = self.source.top().map_err(PullError::Source)?;
        let found = Digest::of(&top.bytes);
        if let Some(expected) = wanted.filter(|expected| *expected != found) {
            return Err(ImageError::Digest { expected, found }.into());
        }
        let target = self.keep(&top)?;
        let (mut current, mut bytes) = (target.clone(), top.bytes);
        for _ in 0..=DEEPEST {
            match Kind::of(&current.media_type) {
                Some(Kind::Manifest) => {
                    let manifest: Manifest = parse("a manifest", &bytes)?;
                    manifest.check(&current.media_type)?;
                    return Ok((target, current, manifest));
                }
                Some(Kind::Index) => {}
                _ => return Err(ImageError::MediaType(current.media_type).into()),
            }
            let index: Index = parse("an index", &bytes)?;
            index.check(Some(&current.media_type))?;
            let machine = Platform::machine();
            current = Descriptor::of(best(&index.manifests, self.platform.unwrap_or(&machine))?)?;
            bytes = self.document(&current)?;
        }
        Err(ImageError::Nested(DEEPEST).into())
    }

    /// Stores a document that came.
    fn keep(&self, document: &Document) -> Result<Descriptor, PullError> {
        if document.bytes.len() as u64 > LARGEST_MANIFEST {
            let (name, size) = (Digest::of(&document.bytes).to_string(), document.bytes.len() as u64);
            return Err(ImageError::TooLarge { name, size, most: LARGEST_MANIFEST }.into());
        }
        Ok(self.images.put(&document.media_type, &document.bytes)?)
    }

    /// The manifest or index `descriptor`, from the store or the source.
    fn document(&self, descriptor: &Descriptor) -> Result<Vec<u8>, PullError> {
        if let Ok(bytes) = self.images.read(descriptor) {
            return Ok(bytes);
        }
        let document = self.source.manifest(descriptor).map_err(PullError::Source)?;
        self.compared(descriptor, document.bytes, LARGEST_MANIFEST)
    }

    /// The bytes, if they are what `descriptor` says, stored.
    fn compared(&self, descriptor: &Descriptor, bytes: Vec<u8>, most: u64) -> Result<Vec<u8>, PullError> {
        let (expected, found) = (descriptor.digest, Digest::of(&bytes));
        let size = bytes.len() as u64;
        if size != descriptor.size {
            return Err(ImageError::Size { digest: expected, expected: descriptor.size, found: size }.into());
        }
        if size > most {
            return Err(ImageError::TooLarge { name: expected.to_string(), size, most }.into());
        }
        if expected != found {
            return Err(ImageError::Digest { expected, found }.into());
        }
        self.images.put(&descriptor.media_type, &bytes)?;
        Ok(bytes)
    }

    /// The layers, after the configuration was fetched and looked at.
    fn configured(&self, manifest: &Manifest) -> Result<Vec<StoredLayer>, PullError> {
        if manifest.config.kind()? != Kind::Config {
            return Err(ImageError::MediaType(manifest.config.media_type.clone()).into());
        }
        let descriptor = Descriptor::of(&manifest.config)?;
        let bytes = match self.images.read(&descriptor) {
            Ok(bytes) => bytes,
            Err(_absent) => self.fetch_config(&descriptor)?,
        };
        let (_wishes, outline) = config::read(&bytes).map_err(ImageError::from)?;
        if let Some(wanted) = self.platform.filter(|wanted| wanted.rank(&outline.platform).is_none()) {
            let (wanted, found) = (wanted.to_string(), outline.platform.to_string());
            return Err(PullError::Platform { wanted, found });
        }
        Ok(stored_layers(manifest, &outline.diff_ids)?)
    }

    fn fetch_config(&self, descriptor: &Descriptor) -> Result<Vec<u8>, PullError> {
        if descriptor.size > LARGEST_CONFIG {
            let name = descriptor.digest.to_string();
            return Err(ImageError::TooLarge { name, size: descriptor.size, most: LARGEST_CONFIG }.into());
        }
        let mut bytes = Vec::new();
        let source = self.source.blob(descriptor, 0).map_err(PullError::Source)?;
        let read = source.take(descriptor.size + 1).read_to_end(&mut bytes);
        read.map_err(|error| PullError::Source(format!("read the configuration: {error}").into()))?;
        self.compared(descriptor, bytes, LARGEST_CONFIG)
    }

    /// Fetches and unpacks the layers, some at once; what is the reason that not all are there is the error.
    fn fetch_layers(&self, layers: &[StoredLayer]) -> Result<(), PullError> {
        let mut seen = BTreeSet::new();
        // An image may have one layer twice.
        let todo: Vec<_> = layers.iter().filter(|layer| seen.insert((layer.blob.digest, layer.diff_id))).collect();
        let (next, stop, failure) = (AtomicUsize::new(0), AtomicBool::new(false), Mutex::new(None));
        let work = || {
            while !stop.load(Ordering::Relaxed)
                && let Some(layer) = todo.get(next.fetch_add(1, Ordering::Relaxed))
            {
                if let Err(error) = self.layer(layer, &stop) {
                    let first = !stop.swap(true, Ordering::Relaxed);
                    let mut slot = failure.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                    if first || slot.is_none() {
                        *slot = Some(error);
                    }
                }
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..AT_ONCE.min(todo.len()) {
                scope.spawn(work);
            }
            work();
        });
        let failure = failure.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        failure.map_or(Ok(()), Err)
    }

    /// One layer: its blob in the store, and it unpacked.
    fn layer(&self, layer: &StoredLayer, stop: &AtomicBool) -> Result<(), PullError> {
        let blob = &layer.blob;
        let unpacked = self.layers.find(&layer.diff_id).is_some();
        if unpacked && self.images.has(&blob.digest, blob.size)? {
            self.progress.layer(blob, Step::Exists);
            return Ok(());
        }
        let mut outcome = self.fetch(layer, stop);
        // What an earlier attempt left may be damaged, which is only seen at the end; it was dropped then.
        if is_damaged(&outcome) && matches!(outcome, Err((_, resumed)) if resumed > 0) {
            outcome = self.fetch(layer, stop);
        }
        if is_damaged(&outcome)
            && let Some(origin) = self.source.origin()
        {
            outcome = Pull { source: &*origin, ..*self }.fetch(layer, stop);
        }
        outcome.map_err(|(error, _)| error)?;
        self.progress.layer(blob, Step::Complete);
        Ok(())
    }

    /// Fetches what is missing of a layer and unpacks it; an error comes with the number of bytes that were there before.
    fn fetch(&self, layer: &StoredLayer, stop: &AtomicBool) -> Result<(), (PullError, u64)> {
        let blob = &layer.blob;
        let fresh = |error: PullError| (error, 0);
        let Some(writer) = self.images.resume(&blob.digest, blob.size).map_err(|error| fresh(error.into()))? else {
            return self.unpack_stored(layer, stop);
        };
        let mut arriving = Arriving::new(writer, blob, self.source, self.progress, stop);
        let unpacked = match self.layers.find(&layer.diff_id) {
            Some(_) => Ok(()),
            None => layers::unpack(self.layers, layer, &mut arriving),
        };
        let resumed = arriving.resumed;
        if let Err(error) = unpacked {
            // That reading failed is said in other words by whoever read.
            let mut failure = arriving.failure.take();
            let broken = failure.is_none() && matches!(error, EnsureError::Unpack { .. } | EnsureError::Digest { .. });
            if broken {
                // Whether it was made so or damaged on its way is told by the digest of all of it.
                failure = if arriving.left() <= MOST_DRAINED { arriving.drain().err() } else { None };
                if failure.is_none() {
                    // A blob that cannot be unpacked is of no use to the next attempt.
                    arriving.writer.discard().map_err(|error| (error.into(), resumed))?;
                }
            }
            return Err((failure.map_or(PullError::Layer(error), PullError::Arrive), resumed));
        }
        arriving.drain().map_err(|error| (error.into(), resumed))?;
        self.progress.layer(blob, Step::Downloaded);
        arriving.writer.finish().map_err(|error| (error.into(), resumed))
    }

    /// Unpacks a layer whose blob is in the store. If that turns out to be damaged it is fetched once more.
    fn unpack_stored(&self, layer: &StoredLayer, stop: &AtomicBool) -> Result<(), (PullError, u64)> {
        if self.layers.find(&layer.diff_id).is_some() {
            return Ok(());
        }
        self.progress.layer(&layer.blob, Step::Extracting);
        match self.images.unpack(layer, self.layers) {
            Ok(()) => Ok(()),
            Err(ImageError::Digest { .. } | ImageError::Size { .. }) => {
                self.images.drop_blob(&layer.blob.digest).map_err(|error| (error.into(), 0))?;
                self.fetch(layer, stop)
            }
            Err(error) => Err((error.into(), 0)),
        }
    }
}

/// Whether a blob came with another content than its digest says.
fn is_damaged<T>(outcome: &Result<(), (PullError, T)>) -> bool {
    matches!(outcome, Err((PullError::Arrive(ArriveError::Ingest(IngestError::Digest { .. })), _)))
}
