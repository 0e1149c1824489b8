//! `index.json`: read with everything in it, so that what other tools wrote there stays, and written as a whole.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use stockade_storage::Digest;

use super::entry::{CHOSEN, Descriptor, Entry};
use super::{ContentError, Images};
use crate::Name;
use crate::error::ImageError;
use crate::oci::document::{self, LARGEST_MANIFEST, bounded, parse};
use crate::oci::{IMAGE_NAME, REF_NAME};

/// Its name.
pub(super) const NAME: &str = "index.json";
/// One without images.
pub(super) const EMPTY: &[u8] =
    br#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#;

/// The document: the images, and what else stands in it.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Document {
    #[serde(default, deserialize_with = "document::nullable")]
    manifests: Vec<Value>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

impl Document {
    /// The elements of `manifests`.
    pub(super) fn entries(&self) -> &[Value] {
        &self.manifests
    }

    /// Whether the same entries stand in both, in whatever order.
    fn says_the_same_as(&self, other: &Self) -> bool {
        let sorted = |document: &Self| {
            let mut entries: Vec<String> = document.manifests.iter().map(Value::to_string).collect();
            entries.sort_unstable();
            entries
        };
        self.rest == other.rest && sorted(self) == sorted(other)
    }

    /// Removes the entries that `which` says.
    pub(super) fn remove(&mut self, which: impl Fn(&Value) -> bool) {
        self.manifests.retain(|entry| !which(entry));
    }

    /// Adds an entry.
    pub(super) fn add(&mut self, target: &Descriptor, manifest: Digest, name: Option<&Name>) {
        let mut annotations = Map::new();
        if let Some(name) = name {
            annotations.insert(IMAGE_NAME.to_owned(), name.to_string().into());
            if let Some(tag) = name.tag() {
                annotations.insert(REF_NAME.to_owned(), tag.into());
            }
        }
        if manifest != target.digest {
            annotations.insert(CHOSEN.to_owned(), manifest.to_string().into());
        }
        let mut entry = json!({
            "mediaType": target.media_type,
            "digest": target.digest.to_string(),
            "size": target.size,
        });
        if !annotations.is_empty() {
            entry["annotations"] = Value::Object(annotations);
        }
        self.manifests.push(entry);
    }
}

/// The name of an entry, if it has one that is ours.
pub(super) fn name_of(entry: &Value) -> Option<Name> {
    Entry::read(entry).ok()?.name
}

impl Images {
    /// The index as it is now.
    pub(super) fn index(&self) -> Result<Document, ContentError> {
        let read = || -> Result<Document, ImageError> {
            let bytes = bounded(self.files.open(NAME)?, NAME, LARGEST_MANIFEST)?;
            // Twice the same property would be read by one tool so and by another so.
            let checked: document::Index = parse("the index", &bytes)?;
            checked.check(None)?;
            parse("the index", &bytes)
        };
        read().map_err(ContentError::document(NAME))
    }

    /// Changes the index under its lock; what `change` returns an error for is not written, and neither is what says the same as before.
    pub(super) fn change<T, E: From<ContentError>>(
        &self,
        change: impl FnOnce(&mut Document) -> Result<T, E>,
    ) -> Result<T, E> {
        let _locked = self.lock()?;
        let before = self.index()?;
        let mut document = before.clone();
        let outcome = change(&mut document)?;
        if document.says_the_same_as(&before) {
            return Ok(outcome);
        }
        let bytes = serde_json::to_vec(&document).map_err(|error| ContentError::File {
            action: "write",
            path: self.path.join(NAME),
            source: error.into(),
        })?;
        if bytes.len() as u64 > LARGEST_MANIFEST {
            let size = bytes.len() as u64;
            let error = ImageError::TooLarge { name: NAME.to_owned(), size, most: LARGEST_MANIFEST };
            return Err(ContentError::document(NAME)(error).into());
        }
        self.replace(NAME, &bytes)?;
        Ok(outcome)
    }
}
