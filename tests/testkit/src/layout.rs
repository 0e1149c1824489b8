//! Writing OCI image layouts by hand: honest ones from trees of tar members, and dishonest ones by editing any document.

use std::io::Write;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use sha2::Digest as _;

use crate::tarball::Tarball;

/// The media type of a manifest.
pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// The media type of an index.
pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// The media type of a configuration.
pub const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// The media type of a layer, without its compression.
pub const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// A change of a document just before it is written.
type Edit = Box<dyn Fn(&mut Value)>;

/// An image layout in the making; [`Layout::finish`] makes it one.
pub struct Layout {
    folder: PathBuf,
    /// A folder of the host that nobody but an attacker has business in.
    pub canary: PathBuf,
    /// The configuration; `rootfs.diff_ids` grows with the layers.
    pub config: Value,
    layers: Vec<Value>,
    archives: Vec<Vec<u8>>,
    edits: [Vec<Edit>; 2],
}

/// The digest of `bytes` as it stands in documents.
#[must_use]
pub fn digest(bytes: &[u8]) -> String {
    let digits: String = sha2::Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{digits}")
}

/// The same of a file's content.
///
/// # Errors
/// If it cannot be read.
pub fn digest_of_file(path: &Path) -> std::io::Result<String> {
    let mut file = std::fs::File::open(path)?;
    let mut hasher = sha2::Sha256::new();
    let mut buffer = vec![0; 128 << 10];
    loop {
        match std::io::Read::read(&mut file, &mut buffer)? {
            0 => break,
            count => hasher.update(&buffer[..count]),
        }
    }
    let digits: String = hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(format!("sha256:{digits}"))
}

/// `bytes` in gzip's format.
#[must_use]
pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    packed(bytes, Compression::fast())
}

/// The same, as small as it can be.
#[must_use]
pub fn gzip_tightly(bytes: &[u8]) -> Vec<u8> {
    packed(bytes, Compression::best())
}

fn packed(bytes: &[u8], level: Compression) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), level);
    encoder.write_all(bytes).expect("memory takes all");
    encoder.finish().expect("memory takes all")
}

/// A descriptor of `bytes`.
#[must_use]
pub fn descriptor(media_type: &str, bytes: &[u8]) -> Value {
    json!({ "mediaType": media_type, "digest": digest(bytes), "size": bytes.len() })
}

impl Layout {
    /// One without layers in the new folder `folder`.
    ///
    /// # Panics
    /// If it cannot be made.
    #[must_use]
    pub fn new(folder: &Path, canary: &Path) -> Self {
        std::fs::create_dir_all(folder.join("blobs/sha256")).expect("folders can be made");
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        let config = json!({
            "architecture": architecture,
            "os": "linux",
            "config": { "Env": ["PATH=/bin"] },
            "rootfs": { "type": "layers", "diff_ids": [] },
        });
        let edits = [Vec::new(), Vec::new()];
        Self {
            folder: folder.to_owned(),
            canary: canary.to_owned(),
            config,
            layers: Vec::new(),
            archives: Vec::new(),
            edits,
        }
    }

    /// One with the layer of the busybox image, which must be packed.
    ///
    /// # Panics
    /// If it cannot be made.
    #[must_use]
    pub fn on_busybox(folder: &Path, canary: &Path) -> Self {
        let mut layout = Self::new(folder, canary);
        let source = crate::programs::images().join("busybox/oci");
        let read = |path: PathBuf| -> Value {
            let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            serde_json::from_slice(&bytes).expect("the documents of the busybox image are JSON")
        };
        let path = |descriptor: &Value| blob(&source, descriptor["digest"].as_str().expect("a digest"));
        let manifest = read(path(&read(source.join("index.json"))["manifests"][0]));
        layout.config["rootfs"] = read(path(&manifest["config"]))["rootfs"].clone();
        for layer in manifest["layers"].as_array().expect("layers") {
            let name = layer["digest"].as_str().expect("a digest");
            std::fs::copy(blob(&source, name), blob(folder, name)).expect("a blob can be copied");
            layout.layers.push(layer.clone());
        }
        layout
    }

    /// The folder that it is in.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// A path of [`Self::canary`] as it stands in links: absolute.
    #[must_use]
    pub fn outside(&self, name: &str) -> String {
        self.canary.join(name).display().to_string()
    }

    /// The same with more `..` before it than any folder is deep.
    #[must_use]
    pub fn climb(&self, name: &str) -> String {
        format!("{}{}", "../".repeat(20), self.outside(name).trim_start_matches('/'))
    }

    /// The archives of the layers that were added.
    #[must_use]
    pub fn archives(&self) -> &[Vec<u8>] {
        &self.archives
    }

    /// Adds a layer, with gzip.
    pub fn layer(&mut self, tarball: Tarball) {
        let archive = tarball.end();
        self.packed(&format!("{LAYER}+gzip"), &gzip(&archive), &archive);
    }

    /// Adds a layer that is `blob`, of which the configuration says that it is `archive` when it is unpacked.
    pub fn packed(&mut self, media_type: &str, blob: &[u8], archive: &[u8]) {
        let layer = self.blob(media_type, blob);
        self.archives.push(archive.to_owned());
        self.described(layer, &digest(archive));
    }

    /// Adds a layer by what the documents say of it.
    pub fn described(&mut self, layer: Value, diff_id: &str) {
        self.layers.push(layer);
        self.config["rootfs"]["diff_ids"].as_array_mut().expect("a list").push(json!(diff_id));
    }

    /// Writes a blob; its descriptor.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn blob(&self, media_type: &str, bytes: &[u8]) -> Value {
        std::fs::write(blob(&self.folder, &digest(bytes)), bytes).expect("a blob can be written");
        descriptor(media_type, bytes)
    }

    /// Changes the manifest before it is written.
    pub fn edit_manifest(&mut self, edit: impl Fn(&mut Value) + 'static) {
        self.edits[0].push(Box::new(edit));
    }

    /// Changes the index before it is written.
    pub fn edit_index(&mut self, edit: impl Fn(&mut Value) + 'static) {
        self.edits[1].push(Box::new(edit));
    }

    /// Writes all documents; the name of the image.
    ///
    /// # Panics
    /// If they cannot be written.
    pub fn finish(&self) -> String {
        let config = self.blob(CONFIG, self.config.to_string().as_bytes());
        let mut manifest =
            json!({ "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": self.layers });
        self.edits[0].iter().for_each(|edit| edit(&mut manifest));
        let mut named = self.blob(MANIFEST, manifest.to_string().as_bytes());
        named["annotations"] = json!({ "org.opencontainers.image.ref.name": "latest" });
        let mut index = json!({ "schemaVersion": 2, "manifests": [named] });
        self.edits[1].iter().for_each(|edit| edit(&mut index));
        let write = |name: &str, content: String| {
            std::fs::write(self.folder.join(name), content).expect("a document can be written");
        };
        write("oci-layout", json!({ "imageLayoutVersion": "1.0.0" }).to_string());
        write("index.json", index.to_string());
        format!("oci:{}:latest", self.folder.display())
    }
}

/// The file of a blob of the layout in `folder`.
#[must_use]
pub fn blob(folder: &Path, digest: &str) -> PathBuf {
    folder.join("blobs").join(digest.replacen(':', "/", 1))
}
