//! Images that are made here: a configuration and a manifest for layers that are at hand.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};

use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use rustix::io::Errno;
use serde_json::{Map, Value, json};
use sha2::Digest as _;
use stockade_storage::{Compression, Digest};

use crate::change::Draft;
use crate::{ContentError, Descriptor, Images, IngestError, Name, Platform, StoredImage, StoredLayer};

const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// Why no image was made. Blobs that were stored by then are garbage.
#[derive(Debug, thiserror::Error)]
pub enum MakeError {
    /// The store.
    #[error(transparent)]
    Content(#[from] ContentError),
    /// A blob.
    #[error(transparent)]
    Ingest(#[from] IngestError),
    /// A new layer.
    #[error("cannot write the new layer")]
    Layer(#[source] io::Error),
    /// The configuration of the image that it begins with.
    #[error("the configuration of the image below is damaged")]
    Base(#[source] serde_json::Error),
}

/// A layer that is being written: its archive, uncompressed, in a file without a name.
#[derive(Debug)]
pub struct LayerWriter<'a> {
    images: &'a Images,
    file: File,
    hasher: sha2::Sha256,
    size: u64,
}

/// What an entry of the history says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// What made the layer.
    pub created_by: String,
    /// What the user says of it.
    pub comment: String,
}

/// An image to make.
#[derive(Clone, Debug)]
pub struct Making<'a> {
    /// What it begins with, whose layers are in the store.
    pub base: Option<&'a StoredImage>,
    /// The layers above, lowest first, each with what made it.
    pub layers: Vec<(StoredLayer, History)>,
    /// What it says of containers.
    pub draft: &'a Draft,
    /// What it is for.
    pub platform: Platform,
    /// Now, RFC 3339.
    pub created: String,
    /// Who made it; empty for nobody.
    pub author: &'a str,
}

impl Images {
    /// Begins a layer.
    ///
    /// # Errors
    /// If no file can be made.
    pub fn layer_writer(&self) -> Result<LayerWriter<'_>, MakeError> {
        let file = self.nameless().map_err(|errno| MakeError::Layer(errno.into()))?;
        Ok(LayerWriter { images: self, file, hasher: sha2::Sha256::new(), size: 0 })
    }

    /// A file on the store's file system that nobody else finds, and that goes with the process.
    fn nameless(&self) -> Result<File, Errno> {
        let folder = self.folder().join("ingest");
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        match rustix::fs::open(&folder, flags, Mode::RUSR | Mode::WUSR) {
            Ok(file) => return Ok(file.into()),
            Err(Errno::OPNOTSUPP | Errno::ISDIR) => {}
            Err(errno) => return Err(errno),
        }
        // A file system without: what a kill leaves of it is taken for a partial blob, and goes as those do.
        let path = folder.join(format!("new-{}", std::process::id()));
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(CWD, &path, flags, Mode::RUSR | Mode::WUSR)?;
        rustix::fs::unlinkat(CWD, &path, AtFlags::empty())?;
        Ok(file.into())
    }

    /// Writes down the image, under `name` if there is one. The caller holds [`Images::share`].
    ///
    /// # Errors
    /// See [`MakeError`].
    pub fn make(&self, making: &Making<'_>, name: Option<&Name>) -> Result<StoredImage, MakeError> {
        let config = self.put(CONFIG, &bytes(&self.config_of(making)?)?)?;
        let base = making.base.map(|base| base.layers.as_slice()).unwrap_or_default();
        let layers = base.iter().chain(making.layers.iter().map(|(layer, _)| layer));
        let layers: Vec<Value> = layers.map(|layer| descriptor(media_type(layer.compression), &layer.blob)).collect();
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": descriptor(CONFIG, &config),
            "layers": layers,
        });
        let manifest = self.put(MANIFEST, &bytes(&manifest)?)?;
        Ok(self.add(&manifest, &manifest.digest, name)?)
    }

    fn config_of(&self, making: &Making<'_>) -> Result<Value, MakeError> {
        let mut document = match making.base {
            None => Map::new(),
            Some(base) => serde_json::from_slice(&self.read(&base.config)?).map_err(MakeError::Base)?,
        };
        document.insert("created".into(), json!(making.created));
        document.insert("architecture".into(), json!(making.platform.architecture()));
        document.insert("os".into(), json!(making.platform.os()));
        if !making.platform.variant().is_empty() {
            document.insert("variant".into(), json!(making.platform.variant()));
        }
        if !making.author.is_empty() {
            document.insert("author".into(), json!(making.author));
        }
        let below = making.base.map(|base| base.layers.as_slice()).unwrap_or_default();
        let all = below.iter().chain(making.layers.iter().map(|(layer, _)| layer));
        let diff_ids: Vec<String> = all.map(|layer| layer.diff_id.to_string()).collect();
        document.insert("rootfs".into(), json!({ "type": "layers", "diff_ids": diff_ids }));
        let mut history = document.get("history").and_then(Value::as_array).cloned().unwrap_or_default();
        if history.is_empty() {
            // Whoever reads a history wants an entry for each layer.
            history = below.iter().map(|_layer| json!({})).collect();
        }
        history.extend(making.layers.iter().map(|(_, entry)| entry.to_value(making)));
        document.insert("history".into(), Value::Array(history));
        let config = document.remove("config").filter(Value::is_object).unwrap_or_else(|| json!({}));
        document.insert("config".into(), making.draft.to_value(config));
        // What Docker once wrote beside: of the container that the image below was made from.
        document.remove("container_config");
        document.remove("container");
        Ok(Value::Object(document))
    }
}

impl History {
    fn to_value(&self, making: &Making<'_>) -> Value {
        let mut entry = Map::from_iter([("created".to_owned(), json!(making.created))]);
        for (key, value) in [("author", making.author), ("created_by", &self.created_by), ("comment", &self.comment)] {
            if !value.is_empty() {
                entry.insert(key.into(), json!(value));
            }
        }
        Value::Object(entry)
    }
}

impl Draft {
    /// The object `config`, with what `below` has and nobody here knows.
    fn to_value(&self, mut below: Value) -> Value {
        let config = &self.config;
        let set = |names: &std::collections::BTreeSet<String>| {
            Value::Object(names.iter().map(|name| (name.clone(), json!({}))).collect())
        };
        let fields = [
            ("User", json!(config.user)),
            ("ExposedPorts", set(&config.exposed_ports)),
            ("Env", json!(config.env)),
            ("Entrypoint", json!(config.entrypoint)),
            ("Cmd", json!(config.cmd)),
            ("Volumes", set(&config.volumes)),
            ("WorkingDir", json!(config.working_dir)),
            ("Labels", json!(config.labels)),
            ("StopSignal", json!(config.stop_signal)),
            ("OnBuild", json!(self.on_build)),
            ("Healthcheck", json!(config.healthcheck)),
            ("Shell", json!(config.shell)),
        ];
        if let Some(object) = below.as_object_mut() {
            for (key, value) in fields {
                let empty = match &value {
                    Value::String(text) => text.is_empty(),
                    Value::Array(list) => list.is_empty(),
                    Value::Object(map) => map.is_empty(),
                    Value::Null => true,
                    _ => false,
                };
                if empty { drop(object.remove(key)) } else { drop(object.insert(key.into(), value)) }
            }
        }
        below
    }
}

impl LayerWriter<'_> {
    /// Stores the layer.
    ///
    /// # Errors
    /// If it cannot be read again or stored.
    pub fn finish(mut self) -> Result<StoredLayer, MakeError> {
        self.file.seek(SeekFrom::Start(0)).map_err(MakeError::Layer)?;
        let digest = Digest::finish(self.hasher);
        if let Some(mut writer) = self.images.writer(&digest, self.size)? {
            writer.restart()?;
            writer.fill(&mut self.file)?;
        }
        let blob = Descriptor { media_type: media_type(Compression::None).into(), digest, size: self.size };
        Ok(StoredLayer { blob, diff_id: digest, compression: Compression::None })
    }
}

impl Write for LayerWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.file.write(bytes)?;
        self.hasher.update(&bytes[..count]);
        self.size += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// OCI's, also for what came in Docker's words.
fn media_type(compression: Compression) -> &'static str {
    match compression {
        Compression::None => "application/vnd.oci.image.layer.v1.tar",
        Compression::Gzip => "application/vnd.oci.image.layer.v1.tar+gzip",
        Compression::Zstd => "application/vnd.oci.image.layer.v1.tar+zstd",
    }
}

fn descriptor(media_type: &str, blob: &Descriptor) -> Value {
    json!({ "mediaType": media_type, "digest": blob.digest.to_string(), "size": blob.size })
}

fn bytes(document: &Value) -> Result<Vec<u8>, MakeError> {
    serde_json::to_vec(document).map_err(|error| MakeError::Layer(error.into()))
}

/// What reads an archive that may be compressed, by its first bytes.
///
/// # Errors
/// If it cannot be read.
pub fn decompressed<'a>(mut archive: impl Read + 'a) -> io::Result<Box<dyn Read + 'a>> {
    let mut start = Vec::new();
    (&mut archive).take(4).read_to_end(&mut start)?;
    let compression = Compression::of(start.as_slice())?;
    Ok(compression.read(io::Cursor::new(start).chain(archive)))
}
