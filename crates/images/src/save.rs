//! Archives of images: at once an OCI image layout and what `docker save` writes, so that every tool reads them.
//!
//! `oci-layout` and `index.json` are the layout; `manifest.json` and `repositories` are Docker's, and name blobs of the layout.
//! The same images make the same bytes. What is written first are the small files, so that a reader of a stream knows what
//! comes.

mod tarball;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Write};

use serde_json::{Map, Value, json};
use stockade_storage::Digest;

use tarball::Tarball;

/// The annotation with an image's whole name, which containerd and Docker read.
const IMAGE_NAME: &str = "io.containerd.image.name";
/// The annotation with an image's tag (image-spec, annotations.md).
const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// One image, or one index of images, as it goes into an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Item {
    /// The media type of its manifest or index.
    pub(crate) media_type: String,
    /// Its digest.
    pub(crate) digest: Digest,
    /// Its size.
    pub(crate) size: u64,
    /// `os`, `architecture` and perhaps `variant`, if it is for one platform.
    pub(crate) platform: Option<Value>,
    /// Its names.
    pub(crate) names: Vec<ItemName>,
    /// The image that Docker's files name; `None` if none of the index is for this machine.
    pub(crate) image: Option<ItemImage>,
    /// Every blob of it with its size, its manifest included.
    pub(crate) blobs: BTreeMap<Digest, u64>,
}

/// A name of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ItemName {
    /// `docker.io/library/alpine:3.20`.
    pub(crate) full: String,
    /// `alpine`.
    pub(crate) repository: String,
    /// `3.20`.
    pub(crate) tag: String,
}

/// What Docker's files tell of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ItemImage {
    /// Its configuration.
    pub(crate) config: Digest,
    /// Its layers, lowest first.
    pub(crate) layers: Vec<Digest>,
}

/// Writes the archive of `items`; `open` gives the content of a blob.
///
/// # Errors
/// What `open` and `out` say; then what was written is no archive.
pub(crate) fn write<W: Write, R: Read>(
    items: &[Item],
    mut open: impl FnMut(&Digest) -> io::Result<R>,
    out: W,
) -> io::Result<W> {
    let mut tarball = Tarball::new(out);
    tarball.file("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)?;
    for (name, document) in
        [("index.json", index(items)), ("manifest.json", manifest(items)), ("repositories", repositories(items))]
    {
        tarball.file(name, document.to_string().as_bytes())?;
    }
    tarball.folder("blobs/")?;
    tarball.folder("blobs/sha256/")?;
    let blobs: BTreeSet<(&Digest, &u64)> = items.iter().flat_map(|item| &item.blobs).collect();
    for (digest, size) in blobs {
        tarball.stream(&blob(digest), *size, open(digest)?)?;
    }
    tarball.finish()
}

fn blob(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

/// The layout's index: an entry for each name, or one without.
fn index(items: &[Item]) -> Value {
    let entries = items.iter().flat_map(|item| {
        let entry = |annotations: Option<Value>| {
            let mut entry = Map::new();
            entry.insert("mediaType".into(), item.media_type.clone().into());
            entry.insert("digest".into(), item.digest.to_string().into());
            entry.insert("size".into(), item.size.into());
            entry.extend(item.platform.clone().map(|platform| ("platform".into(), platform)));
            entry.extend(annotations.map(|annotations| ("annotations".into(), annotations)));
            Value::Object(entry)
        };
        if item.names.is_empty() {
            return vec![entry(None)];
        }
        let named = item.names.iter();
        named.map(|name| entry(Some(json!({ IMAGE_NAME: name.full, REF_NAME: name.tag })))).collect()
    });
    let entries: Vec<Value> = entries.collect();
    json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": entries,
    })
}

/// Docker's list of images.
fn manifest(items: &[Item]) -> Value {
    let entries = items.iter().filter_map(|item| {
        let image = item.image.as_ref()?;
        let tags: Vec<String> = item.names.iter().map(|name| format!("{}:{}", name.repository, name.tag)).collect();
        let layers: Vec<String> = image.layers.iter().map(blob).collect();
        Some(json!({
            "Config": blob(&image.config),
            "RepoTags": if tags.is_empty() { Value::Null } else { tags.into() },
            "Layers": layers,
        }))
    });
    entries.collect()
}

/// Docker's older list of names, each with the topmost layer.
fn repositories(items: &[Item]) -> Value {
    let mut repositories = Map::new();
    for item in items {
        let top = item.image.as_ref().and_then(|image| image.layers.last());
        for (name, top) in item.names.iter().flat_map(|name| top.map(|top| (name, top))) {
            let tags = repositories.entry(name.repository.clone()).or_insert_with(|| Map::new().into());
            if let Value::Object(tags) = tags {
                tags.insert(name.tag.clone(), top.hex().into());
            }
        }
    }
    repositories.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &[u8] = b"a manifest";
    const LAYER: &[u8] = &[7; 700];

    fn item() -> Item {
        let digest = Digest::of(MANIFEST);
        let (config, layer) = (Digest::of(b"config"), Digest::of(LAYER));
        let name = |tag: &str| ItemName {
            full: format!("docker.io/library/a:{tag}"),
            repository: "a".to_owned(),
            tag: tag.to_owned(),
        };
        Item {
            media_type: "application/vnd.oci.image.manifest.v1+json".to_owned(),
            digest,
            size: MANIFEST.len() as u64,
            platform: Some(json!({ "architecture": "amd64", "os": "linux" })),
            names: vec![name("1"), name("2")],
            image: Some(ItemImage { config, layers: vec![layer, layer] }),
            blobs: BTreeMap::from([(digest, MANIFEST.len() as u64), (config, 6), (layer, LAYER.len() as u64)]),
        }
    }

    fn open(digest: &Digest) -> io::Result<&'static [u8]> {
        let known = [MANIFEST, b"config", LAYER];
        known.into_iter().find(|content| Digest::of(content) == *digest).ok_or(io::ErrorKind::NotFound.into())
    }

    #[test]
    fn an_archive_is_a_layout_and_dockers_and_always_the_same() {
        let unnamed = Item { names: Vec::new(), ..item() };
        let bytes = write(&[item(), unnamed.clone()], open, Vec::new()).unwrap();
        assert_eq!(write(&[item(), unnamed], open, Vec::new()).unwrap(), bytes);
        assert_eq!(bytes.len() % 512, 0);
        let mut archive = tar::Archive::new(bytes.as_slice());
        let mut found = BTreeMap::new();
        let mut names = Vec::new();
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            let name = entry.path().unwrap().display().to_string();
            let header = entry.header();
            assert_eq!((header.uid().unwrap(), header.gid().unwrap(), header.mtime().unwrap()), (0, 0, 0));
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            names.push(name.clone());
            found.insert(name, content);
        }
        assert_eq!(
            names[..6],
            ["oci-layout", "index.json", "manifest.json", "repositories", "blobs/", "blobs/sha256/"]
        );
        assert_eq!(names.len(), 9, "each blob once: {names:?}");
        for (name, content) in found.iter().filter(|(name, _)| name.len() == 77) {
            assert_eq!(*name, blob(&Digest::of(content)));
        }
        let json = |name: &str| serde_json::from_slice::<Value>(&found[name]).unwrap();
        let index = json("index.json");
        assert_eq!(index["manifests"].as_array().unwrap().len(), 3);
        assert_eq!(index["manifests"][1]["annotations"][REF_NAME], "2");
        assert_eq!(index["manifests"][1]["annotations"][IMAGE_NAME], "docker.io/library/a:2");
        assert_eq!(index["manifests"][2].get("annotations"), None);
        let manifest = json("manifest.json");
        assert_eq!(manifest[0]["RepoTags"], json!(["a:1", "a:2"]));
        assert_eq!(manifest[0]["Layers"].as_array().unwrap().len(), 2);
        assert_eq!(manifest[1]["RepoTags"], Value::Null);
        assert_eq!(json("repositories")["a"]["2"], Digest::of(LAYER).hex());
    }

    #[test]
    fn a_blob_that_is_too_short_is_no_archive() {
        let short = |_: &Digest| Ok(&b"x"[..]);
        assert_eq!(write(&[item()], short, Vec::new()).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
