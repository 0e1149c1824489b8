//! `system check`: whether everything in the store is what it should be, and what is not goes where that is asked for.

use std::collections::BTreeSet;
use std::io::Read;

use rustix::fs::{Dir, Mode, OFlags};
use stockade_kernel::chain::chain;
use stockade_storage::{Digest, Layers};

use super::compare::{Difference, compare};
use super::entry::Entry;
use super::index::{EMPTY, NAME, name_of};
use super::{ContentError, Images, MARKER, StoredImage, StoredLayer};
use crate::error::ImageError;
use crate::oci;
use crate::store::Part;

/// What is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Finding {
    /// The file that says what the folder is.
    #[error("oci-layout of the image store: {0}")]
    Layout(String),
    /// The index as a whole.
    #[error("index.json of the image store: {0}")]
    Index(String),
    /// A blob with another content than its name says.
    #[error("blob {digest} {reason}")]
    Blob {
        /// Its name.
        digest: Digest,
        /// What is wrong with it.
        reason: String,
    },
    /// An image that has not all that it needs.
    #[error("image {image}: {reason}")]
    Image {
        /// Its name, or the digest of what it leads to.
        image: String,
        /// What is wrong with it.
        reason: String,
    },
    /// An unpacked layer that is not what its archive says.
    #[error("layer {diff_id}: {reason}")]
    Layer {
        /// Which.
        diff_id: Digest,
        /// What is wrong with it.
        reason: String,
    },
    /// The same of a layer that containers stand on, which therefore stays.
    #[error("layer {diff_id}, on which containers stand: {reason}; remove them, check again, and pull the image again")]
    UsedLayer {
        /// Which.
        diff_id: Digest,
        /// What is wrong with it.
        reason: String,
    },
}

/// What is done about findings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repair {
    /// Nothing.
    Report,
    /// What is damaged goes, so that the next pull brings it anew. The caller holds [`Images::alone`].
    Drop,
}

impl Images {
    /// Compares every blob with its digest, every image with what it needs, and every unpacked layer whose archive is here with
    /// that, file by file. `used` are the layers that containers stand on, which always stay. Unless the store is held alone
    /// ([`Images::alone`]) the caller holds [`Images::share`].
    ///
    /// # Errors
    /// If something cannot be read or removed; that something is damaged is no error.
    pub fn check(
        &self,
        layers: &Layers,
        used: &BTreeSet<Digest>,
        repair: Repair,
    ) -> Result<Vec<Finding>, ContentError> {
        let mut findings = Vec::new();
        if let Err(error) = oci::marker(&self.files) {
            findings.push(Finding::Layout(chain(&error)));
            if repair == Repair::Drop {
                self.replace("oci-layout", MARKER)?;
            }
        }
        self.check_blobs(repair, &mut findings)?;
        match self.index() {
            Ok(_) => {}
            Err(ContentError::Document { source, .. }) => {
                findings.push(Finding::Index(chain(&*source)));
                if repair == Repair::Report {
                    return Ok(findings);
                }
                self.replace_index()?;
            }
            Err(error) => return Err(error),
        }
        self.check_images(repair, &mut findings)?;
        self.check_layers(layers, used, repair, &mut findings)?;
        Ok(findings)
    }

    /// Puts an index without images in the place of one that cannot be read, which is kept beside it.
    fn replace_index(&self) -> Result<(), ContentError> {
        let _locked = self.lock()?;
        let (path, aside) = (self.path.join(NAME), self.path.join("index.json.damaged"));
        match std::fs::rename(&path, aside) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(ContentError::at("move aside", path)(error));
            }
            _ => {}
        }
        self.replace(NAME, EMPTY)
    }

    fn check_blobs(&self, repair: Repair, findings: &mut Vec<Finding>) -> Result<(), ContentError> {
        let path = self.path.join("blobs/sha256");
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let listed = rustix::fs::openat(&self.blobs, ".", flags, Mode::empty());
        for entry in
            Dir::new(listed.map_err(ContentError::at("open", &path))?).map_err(ContentError::at("read", &path))?
        {
            let entry = entry.map_err(ContentError::at("read", &path))?;
            let hex = entry.file_name().to_str().unwrap_or_default();
            // What has no such name is none of ours.
            let Ok(digest) = format!("sha256:{hex}").parse::<Digest>() else { continue };
            let reason = match self.blob(&digest) {
                // Removed meanwhile.
                Ok(None) => continue,
                Ok(Some(part)) => match digest_of(part) {
                    Ok(found) if found == digest => continue,
                    Ok(found) => format!("has the content of {found}"),
                    Err(error) => format!("cannot be read: {error}"),
                },
                Err(error) => format!("cannot be opened: {}", chain(&error)),
            };
            findings.push(Finding::Blob { digest, reason });
            if repair == Repair::Drop {
                self.drop_blob(&digest)?;
            }
        }
        Ok(())
    }

    fn check_images(&self, repair: Repair, findings: &mut Vec<Finding>) -> Result<(), ContentError> {
        let mut damaged = Vec::new();
        for value in self.index()?.entries() {
            let outcome = Entry::read(value).and_then(|entry| self.whole(&entry));
            if let Err(error) = outcome {
                let target = || value.get("digest").and_then(|digest| digest.as_str()).unwrap_or("without a digest");
                let shown = name_of(value).map_or_else(|| target().escape_debug().to_string(), |name| name.familiar());
                findings.push(Finding::Image { image: shown, reason: chain(&error) });
                damaged.push(value.clone());
            }
        }
        if repair == Repair::Drop && !damaged.is_empty() {
            self.change(|document| {
                document.remove(|value| damaged.contains(value));
                Ok::<_, ContentError>(())
            })?;
        }
        Ok(())
    }

    /// Whether all that an entry needs is there, by size.
    fn whole(&self, entry: &Entry) -> Result<(), ImageError> {
        let image = match self.image(&entry.target, entry.chosen) {
            // Something that another tool put there, and that is no image.
            Err(ImageError::MediaType(_)) => return Ok(()),
            read => read?,
        };
        image.layers.iter().try_for_each(|layer| self.packed(layer, layer.diff_id).map(drop))
    }

    fn check_layers(
        &self,
        layers: &Layers,
        used: &BTreeSet<Digest>,
        repair: Repair,
        findings: &mut Vec<Finding>,
    ) -> Result<(), ContentError> {
        let (images, _damaged) = self.all()?;
        let mut seen = BTreeSet::new();
        for layer in images.iter().flat_map(|image: &StoredImage| &image.layers) {
            let Some(folder) = layers.find(&layer.diff_id).filter(|_| seen.insert(layer.diff_id)) else { continue };
            let reason = match self.unpacked_differs(layer, &folder) {
                Ok(None) => continue,
                Ok(Some(difference)) => difference.to_string(),
                Err(error) => chain(&error),
            };
            let diff_id = layer.diff_id;
            if used.contains(&diff_id) {
                findings.push(Finding::UsedLayer { diff_id, reason });
                continue;
            }
            findings.push(Finding::Layer { diff_id, reason });
            if repair == Repair::Drop {
                layers.remove(&diff_id).map_err(ContentError::at("remove the layer", folder))?;
            }
        }
        Ok(())
    }

    /// What distinguishes an unpacked layer from its archive. One whose blob is damaged is not looked at: that is another finding.
    fn unpacked_differs(
        &self,
        layer: &StoredLayer,
        folder: &std::path::Path,
    ) -> Result<Option<Difference>, ImageError> {
        let Ok(packed) = self.packed(layer, layer.diff_id) else { return Ok(None) };
        let name = layer.blob.digest.to_string();
        let failed = |source| ImageError::Read { name: name.clone(), source };
        if digest_of(packed.part.clone()).map_err(failed)? != layer.blob.digest {
            return Ok(None);
        }
        compare(layer.compression.read(packed.part), folder).map_err(failed)
    }
}

fn digest_of(mut part: Part) -> std::io::Result<Digest> {
    use sha2::Digest as _;
    let mut hasher = sha2::Sha256::new();
    let mut buffer = vec![0; 256 << 10];
    loop {
        match part.read(&mut buffer)? {
            0 => return Ok(Digest::finish(hasher)),
            count => hasher.update(&buffer[..count]),
        }
    }
}

#[cfg(test)]
mod tests;
