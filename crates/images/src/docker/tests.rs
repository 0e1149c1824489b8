//! Archives as Docker and skopeo write them, and archives that lie.

use std::path::{Path, PathBuf};

use proptest::prelude::*;
use serde_json::{Value, json};
use stockade_testkit::requires;
use tar::{Builder, EntryType, Header};

use super::*;
use crate::{LoadError, StoreError, load as load_image};

#[test]
fn short_and_full_names_are_one() {
    for name in ["busybox", "busybox:latest", "library/busybox", "docker.io/library/busybox:latest"] {
        assert_eq!(familiar(name), "busybox:latest", "{name}");
    }
    assert_eq!(familiar("localhost:5000/a"), "localhost:5000/a:latest");
    assert_eq!(familiar("docker.io/user/a:1"), "user/a:1");
}

#[test]
fn digests_in_names_are_found() {
    let hex = "a".repeat(64);
    for name in [format!("{hex}.json"), format!("{hex}.tar"), format!("blobs/sha256/{hex}")] {
        assert_eq!(digest_in(&name).map(|digest| digest.hex()), Some(hex.clone()), "{name}");
    }
    assert_eq!(digest_in("x/layer.tar"), None);
}

/// An archive that is put together entry by entry.
struct Saver(Builder<Vec<u8>>);

impl Saver {
    fn new() -> Self {
        Self(Builder::new(Vec::new()))
    }

    fn file(mut self, name: &str, bytes: &[u8]) -> Self {
        let mut header = Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        self.0.append_data(&mut header, name, bytes).unwrap();
        self
    }

    fn json(self, name: &str, value: &Value) -> Self {
        self.file(name, value.to_string().as_bytes())
    }

    fn link(mut self, name: &str, target: &str) -> Self {
        let mut header = Header::new_gnu();
        header.set_entry_type(EntryType::Symlink);
        header.set_size(0);
        header.set_link_name_literal(target).unwrap();
        self.0.append_data(&mut header, name, std::io::empty()).unwrap();
        self
    }

    fn bytes(self) -> Vec<u8> {
        self.0.into_inner().unwrap()
    }
}

/// A layer with one file of that name.
fn layer(name: &str) -> Vec<u8> {
    Saver::new().file(name, name.as_bytes()).bytes()
}

fn configuration(layers: &[&[u8]]) -> Value {
    let diff_ids: Vec<_> = layers.iter().map(|layer| Digest::of(layer).to_string()).collect();
    json!({ "architecture": config::machine(), "os": "linux", "rootfs": { "type": "layers", "diff_ids": diff_ids } })
}

/// `manifest.json` with one image.
fn manifest(config: &str, tags: &[&str], layers: &[&str]) -> Value {
    json!([{ "Config": config, "RepoTags": tags, "Layers": layers }])
}

fn load_bytes(bytes: &[u8], tag: Option<&str>) -> Result<(Image, tempfile::TempDir), ImageError> {
    let place = tempfile::tempdir_in("/dev/shm").or_else(|_none| tempfile::tempdir()).unwrap();
    let path = place.path().join("image.tar");
    std::fs::write(&path, bytes).unwrap();
    load_path(&path, tag, place.path()).map(|image| (image, place))
}

fn load_path(path: &Path, tag: Option<&str>, data: &Path) -> Result<Image, ImageError> {
    let reference = Reference::DockerArchive { path: path.to_owned(), tag: tag.map(str::to_owned) };
    load_image(
        &reference,
        None,
        &crate::Images::open(data).unwrap(),
        &Layers::open(data, &stockade_testkit::programs::folder()).unwrap(),
    )
    .map_err(|error| match error {
        LoadError::Image { source, .. } => *source,
        other => panic!("{other:?}"),
    })
}

/// The old form: layers in folders of their own, an equal one as a link.
fn old_form() -> Vec<u8> {
    let (one, two) = (layer("one"), layer("two"));
    Saver::new()
        .file("a/layer.tar", &one)
        .file("b/layer.tar", &two)
        .link("c/layer.tar", "../a/layer.tar")
        .json("config.json", &configuration(&[&one, &two, &one]))
        .json("manifest.json", &manifest("config.json", &["x:1"], &["a/layer.tar", "b/layer.tar", "c/layer.tar"]))
        .bytes()
}

#[test]
fn the_old_form_is_read() {
    requires!(root, unpacker);
    for tag in [None, Some("x:1"), Some("docker.io/library/x:1")] {
        let (image, _place) = load_bytes(&old_form(), tag).unwrap();
        let names: Vec<PathBuf> = image
            .lowers
            .iter()
            .map(|layer| std::fs::read_dir(layer).unwrap().next().unwrap().unwrap().file_name().into())
            .collect();
        // The lowest is the topmost once more.
        assert_eq!(names, ["one", "two"].map(PathBuf::from), "topmost first");
    }
    assert!(matches!(load_bytes(&old_form(), Some("x")), Err(ImageError::NoTag { known, .. }) if known == ["x:1"]));
}

#[test]
fn names_in_the_manifest_are_names_in_the_archive() {
    requires!(root, unpacker);
    let one = layer("one");
    let outside = tempfile::tempdir().unwrap();
    let path = outside.path().join("layer.tar");
    std::fs::write(&path, &one).unwrap();
    let absolute = path.to_str().unwrap();
    let up = format!("../../../../../..{absolute}");
    for name in [absolute, &up, "missing", "", "/", ".."] {
        let layers = Saver::new()
            .json("config.json", &configuration(&[&one]))
            .json("manifest.json", &manifest("config.json", &[], &[name]));
        assert!(matches!(load_bytes(&layers.bytes(), None), Err(ImageError::Store(StoreError::Missing(_)))), "{name}");
        let config = Saver::new().json("manifest.json", &manifest(name, &[], &[]));
        assert!(matches!(load_bytes(&config.bytes(), None), Err(ImageError::Store(StoreError::Missing(_)))), "{name}");
        if !name.is_empty() {
            let link = Saver::new()
                .link("layer.tar", name)
                .json("config.json", &configuration(&[&one]))
                .json("manifest.json", &manifest("config.json", &[], &["layer.tar"]));
            assert!(matches!(load_bytes(&link.bytes(), None), Err(ImageError::Store(_))), "a link to {name}");
        }
    }
    let circle = Saver::new().link("a", "b").link("b", "a").json("manifest.json", &manifest("a", &[], &[]));
    assert!(matches!(load_bytes(&circle.bytes(), None), Err(ImageError::Store(StoreError::NotAFile(_)))));
}

#[test]
fn what_can_be_read_in_two_ways_is_refused() {
    requires!(root, unpacker);
    let one = layer("one");
    let whole = || Saver::new().json("config.json", &configuration(&[&one])).file("layer.tar", &one);
    let named = manifest("config.json", &["x:1"], &["layer.tar"]);
    let twice = whole().json("manifest.json", &named).json("./manifest.json", &json!([]));
    assert!(
        matches!(load_bytes(&twice.bytes(), None), Err(ImageError::Store(StoreError::Twice(name))) if name == "manifest.json")
    );
    let two = json!([named[0], manifest("config.json", &["y:1"], &["layer.tar"])[0]]);
    let two = whole().json("manifest.json", &two).bytes();
    assert!(matches!(load_bytes(&two, None), Err(ImageError::ManyImages(known)) if known == ["x:1", "y:1"]));
    load_bytes(&two, Some("y:1")).unwrap();
    let none = whole().json("manifest.json", &json!([])).bytes();
    assert!(matches!(load_bytes(&none, None), Err(ImageError::NoTag { .. })));
    let missing = whole().bytes();
    assert!(matches!(load_bytes(&missing, None), Err(ImageError::Store(StoreError::Missing(_)))));
    let more = whole().json("manifest.json", &manifest("config.json", &[], &["layer.tar", "layer.tar"])).bytes();
    assert!(matches!(load_bytes(&more, None), Err(ImageError::LayerCount { layers: 2, diff_ids: 1 })));
}

#[test]
fn content_that_is_not_what_its_name_says_is_refused() {
    requires!(root, unpacker);
    let (one, two) = (layer("one"), layer("two"));
    let other = Saver::new()
        .json("config.json", &configuration(&[&one]))
        .file("layer.tar", &two)
        .json("manifest.json", &manifest("config.json", &[], &["layer.tar"]));
    let error = load_bytes(&other.bytes(), None).unwrap_err();
    assert!(matches!(error, ImageError::Layer(stockade_storage::EnsureError::Digest { .. })), "{error:?}");
    let blob = format!("blobs/sha256/{}", Digest::of(&one).hex());
    for config in [format!("{}.json", "a".repeat(64)), format!("blobs/sha256/{}", "a".repeat(64))] {
        let forged = Saver::new()
            .json(&config, &configuration(&[&one]))
            .file(&blob, &one)
            .json("manifest.json", &manifest(&config, &[], &[&blob]));
        assert!(matches!(load_bytes(&forged.bytes(), None), Err(ImageError::Digest { .. })), "{config}");
    }
    let forged = Saver::new()
        .json("config.json", &configuration(&[&one]))
        .file(&blob, &[&one[..], &[0; 512]].concat())
        .json("manifest.json", &manifest("config.json", &[], &[&blob]));
    assert!(matches!(load_bytes(&forged.bytes(), None), Err(ImageError::Digest { .. })));
}

#[test]
fn what_is_no_archive_is_explained() {
    requires!(root, unpacker);
    let place = tempfile::tempdir().unwrap();
    let at = |name: &str| place.path().join(name);
    let refused = |name: &str| load_path(&at(name), None, place.path()).unwrap_err();
    assert!(matches!(refused("missing"), ImageError::Store(StoreError::Open { .. })));
    std::fs::create_dir(at("folder")).unwrap();
    assert!(matches!(refused("folder"), ImageError::Store(StoreError::NoArchive(_))));
    rustix::fs::mknodat(rustix::fs::CWD, at("fifo"), rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0).unwrap();
    assert!(matches!(refused("fifo"), ImageError::Store(StoreError::NoArchive(_))));
    for (magic, program) in [(&b"\x1f\x8b\x08"[..], "gunzip"), (b"\x28\xb5\x2f\xfd", "unzstd"), (b"BZh9", "bunzip2")] {
        std::fs::write(at("packed"), magic).unwrap();
        assert!(refused("packed").to_string().contains(program), "{program}");
    }
    std::fs::write(at("text"), "x".repeat(2000)).unwrap();
    assert!(matches!(refused("text"), ImageError::Store(StoreError::Archive { .. })));
    std::fs::write(at("cut"), &old_form()[..3000]).unwrap();
    assert!(matches!(refused("cut"), ImageError::Store(StoreError::Archive { .. })));
}

/// Whatever is changed in an archive: an error, or the image that it was.
#[test]
fn any_change_of_an_archive_is_refused_or_harmless() {
    requires!(root, unpacker);
    let whole = old_form();
    let (expected, _place) = load_bytes(&whole, None).unwrap();
    proptest!(ProptestConfig::with_cases(500), |(place in any::<prop::sample::Index>(),
                                                 with in prop::collection::vec(any::<u8>(), 1..24))| {
        let mut changed = whole.clone();
        let start = place.index(whole.len());
        let end = (start + with.len()).min(whole.len());
        changed[start..end].copy_from_slice(&with[..end - start]);
        if let Ok((image, _place)) = load_bytes(&changed, None) {
            let names = |image: &Image| image.lowers.iter().map(|path| path.file_name().map(ToOwned::to_owned)).collect::<Vec<_>>();
            prop_assert_eq!(names(&image), names(&expected));
        }
    });
}
