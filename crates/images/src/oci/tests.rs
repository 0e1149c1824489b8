//! Layouts as other tools make them, and layouts that lie.

use std::collections::BTreeMap;
use std::path::Path;

use proptest::prelude::*;
use serde_json::{Value, json};
use stockade_testkit::{programs, requires};
use tempfile::TempDir;

use super::*;
use crate::{Images, LoadError, ReadOnlyBind, load};

const OCI: &str = "application/vnd.oci.image";
const DOCKER: &str = "application/vnd.docker";

/// A folder whose files need not be written through to a disk.
fn in_memory() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_none| tempfile::tempdir()).unwrap()
}

/// A layout that is put together blob by blob.
struct Layout {
    place: TempDir,
}

impl Layout {
    fn new() -> Self {
        let place = in_memory();
        std::fs::create_dir_all(place.path().join("blobs/sha256")).unwrap();
        std::fs::write(place.path().join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
        Self { place }
    }

    fn path(&self) -> &Path {
        self.place.path()
    }

    /// Writes a blob and describes it.
    fn blob(&self, media_type: &str, bytes: &[u8]) -> Value {
        let digest = Digest::of(bytes);
        std::fs::write(self.path().join("blobs/sha256").join(digest.hex()), bytes).unwrap();
        json!({ "mediaType": media_type, "digest": digest.to_string(), "size": bytes.len() })
    }

    fn json(&self, media_type: &str, document: &Value) -> Value {
        self.blob(media_type, document.to_string().as_bytes())
    }

    /// The description of a manifest with one layer that holds a file `name`.
    fn image(&self, name: &str) -> Value {
        self.json(&format!("{OCI}.manifest.v1+json"), &self.manifest(name))
    }

    fn manifest(&self, name: &str) -> Value {
        let layer = layer(name);
        let config = json!({ "architecture": machine(), "os": "linux", "config": { "Cmd": [name] },
                             "rootfs": { "type": "layers", "diff_ids": [Digest::of(&layer).to_string()] } });
        json!({ "schemaVersion": 2,
                "config": self.json(&format!("{OCI}.config.v1+json"), &config),
                "layers": [self.blob(&format!("{OCI}.layer.v1.tar"), &layer)] })
    }

    fn index(&self, document: &Value) -> &Self {
        std::fs::write(self.path().join("index.json"), document.to_string()).unwrap();
        self
    }

    fn with(&self, manifests: &[Value]) -> &Self {
        self.index(&json!({ "schemaVersion": 2, "manifests": manifests }))
    }

    fn load(&self, tag: Option<&str>) -> Result<Image, ImageError> {
        load_into(in_memory().path(), self.path(), tag)
    }
}

fn load_into(data: &Path, layout: &Path, tag: Option<&str>) -> Result<Image, ImageError> {
    let layers = Layers::open(data, &stockade_testkit::programs::folder()).unwrap();
    let reference = Reference::Oci { path: layout.to_owned(), tag: tag.map(str::to_owned) };
    load(&reference, None, &Images::open(data).unwrap(), &layers).map_err(|error| match error {
        LoadError::Image { source, .. } => *source,
        other => panic!("{other:?}"),
    })
}

/// A layer with one file of that name, which is its content too.
fn layer(name: &str) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.set_size(name.len() as u64);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    builder.append_data(&mut header, name, name.as_bytes()).unwrap();
    builder.into_inner().unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    writer.write_all(bytes).unwrap();
    writer.finish().unwrap()
}

fn with(mut value: Value, key: &str, other: Value) -> Value {
    value[key] = other;
    value
}

fn for_platform(image: Value, os: &str, architecture: &str) -> Value {
    with(image, "platform", json!({ "os": os, "architecture": architecture }))
}

fn named(image: Value, name: &str) -> Value {
    with(image, "annotations", json!({ REF_NAME: name }))
}

/// All files below `root` with their content, mode and owner.
fn tree(root: &Path) -> BTreeMap<String, (u32, u32, Vec<u8>)> {
    use std::os::unix::fs::MetadataExt;
    let mut found = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let data = path.symlink_metadata().unwrap();
            let content = if data.is_symlink() {
                std::fs::read_link(&path).unwrap().into_os_string().into_encoded_bytes()
            } else if data.is_file() {
                std::fs::read(&path).unwrap()
            } else {
                folders.extend(data.is_dir().then(|| path.clone()));
                data.rdev().to_le_bytes().to_vec()
            };
            let name = path.strip_prefix(root).unwrap().display().to_string();
            found.insert(name, (data.mode(), data.uid(), content));
        }
    }
    found
}

/// Loads the test image `name` by all of `forms` and compares what was unpacked with what was packed.
fn assert_read(name: &str, path: &str, forms: &[String]) {
    let expected = tree(&programs::image(name));
    let mut ids = std::collections::BTreeSet::new();
    for form in forms {
        let data = in_memory();
        let images = Images::open(data.path()).unwrap();
        let loaded = load(
            &Reference::parse(form).unwrap(),
            None,
            &images,
            &Layers::open(data.path(), &stockade_testkit::programs::folder()).unwrap(),
        );
        let loaded = loaded.unwrap_or_else(|error| panic!("{form}: {error:?}"));
        assert_eq!((loaded.config.cmd, loaded.config.env), (vec!["sh".to_owned()], vec![path.to_owned()]), "{form}");
        assert_eq!((loaded.binds, loaded.lowers.len()), (Vec::<ReadOnlyBind>::new(), 1));
        assert!(tree(&loaded.lowers[0]) == expected, "{form}: the layer differs from what was packed");
        ids.insert(loaded.id.unwrap());
    }
    // skopeo writes the configuration anew where it turns Docker's form into OCI's.
    assert!(ids.len() <= 2, "{ids:?}");
}

#[test]
fn what_umoci_and_skopeo_made_is_read_in_all_forms() {
    requires!(root, unpacker, busybox_image, skopeo, umoci);
    let image = programs::images().join("busybox").display().to_string();
    let mut forms = vec![format!("oci:{image}/oci"), format!("oci:{image}/oci:latest")];
    for name in ["oci.tar", "oci-zstd.tar"] {
        forms.extend(["", ":latest"].map(|tag| format!("oci-archive:{image}/{name}{tag}")));
    }
    for name in ["docker.tar", "docker-layout.tar"] {
        let tags = ["", ":busybox", ":busybox:latest", ":docker.io/library/busybox:latest"];
        forms.extend(tags.map(|tag| format!("docker-archive:{image}/{name}{tag}")));
    }
    forms.push(format!("oci-archive:{image}/docker-layout.tar:latest"));
    assert_read("busybox", "PATH=/bin:/usr/bin", &forms);
}

/// Thousands of files, setuid programs, devices, and links of both kinds.
#[test]
fn a_whole_debian_is_unpacked_as_it_was_packed() {
    requires!(root, unpacker, debian_image, skopeo, umoci);
    let image = programs::images().join("debian").display().to_string();
    let forms = ["oci-archive:IMAGE/oci.tar", "oci-archive:IMAGE/oci-zstd.tar", "docker-archive:IMAGE/docker.tar"];
    let forms = forms.map(|form| form.replace("IMAGE", &image));
    assert_read("debian", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", &forms);
}

#[test]
fn a_layer_that_is_there_is_not_read_again() {
    requires!(root, unpacker);
    let layout = Layout::new();
    layout.with(&[layout.image("a")]);
    let data = in_memory();
    let first = load_into(data.path(), layout.path(), None).unwrap();
    std::fs::write(layout.path().join("blobs/sha256").join(Digest::of(&layer("a")).hex()), vec![0; 1024 + 1024])
        .unwrap();
    let again = load_into(data.path(), layout.path(), None).unwrap();
    assert_eq!(first.lowers, again.lowers);
}

#[test]
fn images_are_found_by_name_and_platform() {
    requires!(root, unpacker);
    let layout = Layout::new();
    let (a, b) = (layout.image("a"), layout.image("b"));
    let cmd = |tag: Option<&str>| layout.load(tag).map(|image| image.config.cmd[0].clone());
    layout.with(&[named(a.clone(), "one"), named(b.clone(), "two")]);
    assert_eq!((cmd(Some("one")).unwrap(), cmd(Some("two")).unwrap()), ("a".to_owned(), "b".to_owned()));
    assert!(matches!(cmd(Some("three")), Err(ImageError::NoTag { known, .. }) if known == ["one", "two"]));
    assert!(matches!(cmd(None), Err(ImageError::ManyImages(known)) if known == ["one", "two"]));
    layout.with(&[for_platform(a.clone(), "linux", "s390x"), for_platform(b.clone(), "linux", machine())]);
    assert_eq!(cmd(None).unwrap(), "b");
    layout.with(&[for_platform(a.clone(), "linux", "s390x"), for_platform(b.clone(), "unknown", "unknown")]);
    assert!(matches!(cmd(None), Err(ImageError::Platform { known, .. }) if known.len() == 2));
    layout.with(&[]);
    assert!(matches!(cmd(None), Err(ImageError::Platform { .. })));
    // By way of an index in the index, in both dialects.
    for kind in [format!("{OCI}.index.v1+json"), format!("{DOCKER}.distribution.manifest.list.v2+json")] {
        let inner = json!({ "schemaVersion": 2, "mediaType": kind,
                            "manifests": [for_platform(a.clone(), "linux", "arm"), for_platform(b.clone(), "linux", machine())] });
        layout.with(&[named(layout.json(&kind, &inner), "multi")]);
        assert_eq!(cmd(Some("multi")).unwrap(), "b", "{kind}");
    }
}

#[test]
fn docker_s_media_types_and_gzip_are_read() {
    requires!(root, unpacker);
    let layout = Layout::new();
    let mut manifest = layout.manifest("a");
    manifest["mediaType"] = json!(format!("{DOCKER}.distribution.manifest.v2+json"));
    manifest["config"]["mediaType"] = json!(format!("{DOCKER}.container.image.v1+json"));
    manifest["layers"] = json!([layout.blob(&format!("{DOCKER}.image.rootfs.diff.tar.gzip"), &gzip(&layer("a")))]);
    layout.with(&[layout.json(&format!("{DOCKER}.distribution.manifest.v2+json"), &manifest)]);
    let data = in_memory();
    let image = load_into(data.path(), layout.path(), None).unwrap();
    assert_eq!(std::fs::read_to_string(image.lowers[0].join("a")).unwrap(), "a");
}

#[test]
fn an_image_without_layers_has_an_empty_one() {
    requires!(root, unpacker);
    let layout = Layout::new();
    let config = json!({ "architecture": machine(), "os": "linux", "rootfs": { "type": "layers", "diff_ids": [] } });
    let manifest =
        json!({ "schemaVersion": 2, "layers": [], "config": layout.json(&format!("{OCI}.config.v1+json"), &config) });
    layout.with(&[layout.json(&format!("{OCI}.manifest.v1+json"), &manifest)]);
    let data = in_memory();
    let image = load_into(data.path(), layout.path(), None).unwrap();
    assert_eq!((image.lowers.len(), std::fs::read_dir(&image.lowers[0]).unwrap().count()), (1, 0));
}

#[test]
fn cve_2021_41190_a_document_is_of_one_kind() {
    requires!(root, unpacker);
    let layout = Layout::new();
    let image = layout.image("a");
    let manifest = layout.manifest("a");
    let manifest_type = format!("{OCI}.manifest.v1+json");
    let index_type = format!("{OCI}.index.v1+json");
    for other in ["manifests", "Manifests", "fsLayers", "history"] {
        let mixed = with(manifest.clone(), other, json!([image.clone()]));
        layout.with(&[layout.json(&manifest_type, &mixed)]);
        assert!(matches!(layout.load(None), Err(ImageError::Ambiguous { .. })), "{other}");
    }
    let index = json!({ "schemaVersion": 2, "manifests": [image] });
    for other in ["layers", "config", "LAYERS"] {
        let mixed = with(index.clone(), other, manifest["layers"].clone());
        layout.with(&[layout.json(&index_type, &mixed)]);
        assert!(matches!(layout.load(None), Err(ImageError::Ambiguous { .. })), "{other}");
        layout.index(&mixed);
        assert!(matches!(layout.load(None), Err(ImageError::Ambiguous { .. })), "{other} at the top");
    }
    // A manifest that is announced as an index, the other way round, and one that contradicts its announcement.
    layout.with(&[layout.json(&index_type, &manifest)]);
    assert!(matches!(layout.load(None), Err(ImageError::Json { .. })));
    layout.with(&[layout.json(&manifest_type, &index)]);
    assert!(matches!(layout.load(None), Err(ImageError::Json { .. })));
    let lying = with(manifest.clone(), "mediaType", json!(index_type));
    layout.with(&[layout.json(&manifest_type, &lying)]);
    assert!(matches!(layout.load(None), Err(ImageError::AnnouncedAs { .. })));
    let old = with(manifest, "schemaVersion", json!(1));
    layout.with(&[layout.json(&manifest_type, &old)]);
    assert!(matches!(layout.load(None), Err(ImageError::SchemaVersion { version: 1, .. })));
}

#[test]
fn what_has_no_place_in_an_image_is_refused() {
    requires!(root, unpacker);
    let layout = Layout::new();
    let manifest_type = format!("{OCI}.manifest.v1+json");
    for (place, media_type) in [
        ("config", "application/vnd.oci.empty.v1+json"),
        ("config", "application/vnd.cncf.helm.config.v1+json"),
        ("layers", "application/vnd.oci.image.layer.v1.tar+xz"),
        ("layers", "application/vnd.oci.image.manifest.v1+json"),
        ("layers", ""),
    ] {
        let mut manifest = layout.manifest("a");
        let target = if place == "config" { &mut manifest["config"] } else { &mut manifest["layers"][0] };
        target["mediaType"] = json!(media_type);
        layout.with(&[layout.json(&manifest_type, &manifest)]);
        assert!(matches!(layout.load(None), Err(ImageError::MediaType(found)) if found == media_type), "{media_type}");
    }
    layout.with(&[with(layout.image("a"), "mediaType", json!("application/json"))]);
    assert!(matches!(layout.load(None), Err(ImageError::MediaType(_))));
    let mut manifest = layout.manifest("a");
    manifest["layers"] = json!([]);
    layout.with(&[layout.json(&manifest_type, &manifest)]);
    assert!(matches!(layout.load(None), Err(ImageError::LayerCount { layers: 0, diff_ids: 1 })));
    std::fs::write(layout.path().join("oci-layout"), r#"{"imageLayoutVersion":"2.0.0"}"#).unwrap();
    assert!(matches!(layout.load(None), Err(ImageError::LayoutVersion(_))));
}

/// A chain of indexes cannot be a circle, because digests cannot, but it can be long.
#[test]
fn nested_indexes_come_to_an_end() {
    requires!(root, unpacker);
    let layout = Layout::new();
    let index_type = format!("{OCI}.index.v1+json");
    let mut image = layout.image("a");
    for depth in 0..6 {
        layout.with(&[image.clone()]);
        let outcome = layout.load(None);
        assert_eq!(outcome.is_ok(), depth <= DEEPEST, "{depth}: {outcome:?}");
        assert!(outcome.is_ok() || matches!(outcome, Err(ImageError::Nested(_))));
        image = layout.json(&index_type, &json!({ "schemaVersion": 2, "manifests": [image] }));
    }
}

#[test]
fn no_byte_is_used_that_does_not_have_its_digest() {
    requires!(root, unpacker);
    let packed = gzip(&layer("a"));
    let make = || {
        let layout = Layout::new();
        let mut manifest = layout.manifest("a");
        manifest["layers"] = json!([layout.blob(&format!("{OCI}.layer.v1.tar+gzip"), &packed)]);
        let config = manifest["config"]["digest"].as_str().unwrap().to_owned();
        let image = layout.json(&format!("{OCI}.manifest.v1+json"), &manifest);
        layout.with(std::slice::from_ref(&image));
        let digests = [image["digest"].as_str().unwrap().to_owned(), config, Digest::of(&packed).to_string()];
        (layout, digests)
    };
    make().0.load(None).unwrap();
    for which in 0..3 {
        let (layout, digests) = make();
        let path = layout.path().join("blobs/sha256").join(&digests[which][7..]);
        let bytes = std::fs::read(&path).unwrap();
        for change in 0..4 {
            let mut changed = bytes.clone();
            match change {
                0 => changed[bytes.len() / 2] ^= 1,
                1 => changed.push(b' '),
                2 => drop(changed.pop()),
                _ => changed.clear(),
            }
            std::fs::write(&path, &changed).unwrap();
            let error = layout.load(None).unwrap_err();
            assert!(
                matches!(error, ImageError::Digest { .. } | ImageError::Size { .. }),
                "{which} {change}: {error:?}"
            );
        }
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(layout.load(None), Err(ImageError::Store(crate::StoreError::Missing(_)))));
    }
    // A layer whose own digest is right, and whose content is that of another image.
    let (layout, _) = make();
    let mut manifest = layout.manifest("a");
    manifest["layers"] = json!([layout.blob(&format!("{OCI}.layer.v1.tar+gzip"), &gzip(&layer("b")))]);
    layout.with(&[layout.json(&format!("{OCI}.manifest.v1+json"), &manifest)]);
    assert!(matches!(layout.load(None), Err(ImageError::Layer(stockade_storage::EnsureError::Digest { .. }))));
}

#[test]
fn cve_2021_21285_documents_are_bounded() {
    requires!(root, unpacker);
    let layout = Layout::new();
    layout.with(&[with(layout.image("a"), "size", json!(1_u64 << 40))]);
    assert!(matches!(layout.load(None), Err(ImageError::Size { .. })));
    let index = std::fs::File::create(layout.path().join("index.json")).unwrap();
    index.set_len(1 << 40).unwrap();
    assert!(matches!(layout.load(None), Err(ImageError::TooLarge { .. })));
    layout.with(&[layout.image("a")]);
    let digest = layout.image("a")["digest"].as_str().unwrap()[7..].to_owned();
    std::fs::File::create(layout.path().join("blobs/sha256").join(digest)).unwrap().set_len(1 << 40).unwrap();
    assert!(matches!(layout.load(None), Err(ImageError::Size { .. })));
}

#[test]
fn files_of_a_layout_are_files_of_the_layout() {
    requires!(root, unpacker);
    use std::os::unix::fs::symlink;
    let layout = Layout::new();
    layout.with(&[layout.image("a")]);
    let index = layout.path().join("index.json");
    let elsewhere = in_memory();
    std::fs::copy(&index, elsewhere.path().join("index.json")).unwrap();
    std::fs::remove_file(&index).unwrap();
    symlink(elsewhere.path().join("index.json"), &index).unwrap();
    assert!(matches!(layout.load(None), Err(ImageError::Store(crate::StoreError::Missing(_)))), "a link to outside");
    std::fs::remove_file(&index).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, &index, rustix::fs::FileType::Fifo, rustix::fs::Mode::from_raw_mode(0o600), 0)
        .unwrap();
    assert!(matches!(layout.load(None), Err(ImageError::Store(crate::StoreError::NotAFile(_)))), "a FIFO");
}

/// Whatever is changed in a manifest or index whose digest was made right again: an error or the same image.
#[test]
fn any_change_of_a_manifest_is_refused_or_harmless() {
    requires!(root, unpacker);
    let strategy = (any::<prop::sample::Index>(), "[\\x20-\\x7f]{0,3}", 0..4_usize, any::<bool>());
    proptest!(ProptestConfig::with_cases(400), |((place, with, cut, top) in strategy)| {
        let layout = Layout::new();
        let change = |whole: String| {
            let start = place.index(whole.len());
            format!("{}{with}{}", &whole[..start], &whole[(start + cut).min(whole.len())..])
        };
        if top {
            let index = json!({ "schemaVersion": 2, "manifests": [layout.image("a")] });
            std::fs::write(layout.path().join("index.json"), change(index.to_string())).unwrap();
        } else {
            let changed = change(layout.manifest("a").to_string());
            layout.with(&[layout.blob(&format!("{OCI}.manifest.v1+json"), changed.as_bytes())]);
        }
        if let Ok(image) = layout.load(None) {
            prop_assert_eq!(&image.config.cmd[0], "a");
        }
    });
}
