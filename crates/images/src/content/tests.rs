//! The store on a real file system, as other tools see it, and after anything that may happen to a process.

use std::collections::BTreeSet;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::Command;

use serde_json::{Value, json};
use stockade_testkit::requires;
use tempfile::TempDir;

use super::*;
use crate::{FindImageError, Name};

const OCI: &str = "application/vnd.oci.image";

/// A data folder whose files need not be written through to a disk.
pub(crate) fn place() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_none| tempfile::tempdir()).unwrap()
}

/// The layers below a data folder.
pub(crate) fn layers(data: &Path) -> Layers {
    Layers::open(data, &stockade_testkit::programs::folder()).unwrap()
}

pub(crate) fn name(text: &str) -> Name {
    Name::parse(text).unwrap().tag_or_latest()
}

/// A tar archive with one file.
pub(crate) fn archive(content: &str) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(content.len() as u64);
    header.set_mode(0o644);
    builder.append_data(&mut header, "file", content.as_bytes()).unwrap();
    builder.into_inner().unwrap()
}

/// Stores the documents and the layer of an image that has a file with this content; its manifest.
pub(crate) fn stored(images: &Images, content: &str) -> Descriptor {
    let archive = archive(content);
    let layer = images.put(&format!("{OCI}.layer.v1.tar"), &archive).unwrap();
    let config = json!({ "architecture": crate::config::machine(), "os": "linux", "created": "2026-01-01T00:00:00Z",
                         "config": { "Labels": { "content": content } },
                         "rootfs": { "type": "layers", "diff_ids": [layer.digest.to_string()] } });
    let config = images.put(&format!("{OCI}.config.v1+json"), config.to_string().as_bytes()).unwrap();
    let manifest = json!({ "schemaVersion": 2, "mediaType": format!("{OCI}.manifest.v1+json"),
                           "config": described(&config), "layers": [described(&layer)] });
    images.put(&format!("{OCI}.manifest.v1+json"), manifest.to_string().as_bytes()).unwrap()
}

pub(crate) fn described(descriptor: &Descriptor) -> Value {
    json!({ "mediaType": descriptor.media_type, "digest": descriptor.digest.to_string(), "size": descriptor.size })
}

/// Stores an image under a name.
pub(crate) fn named(images: &Images, content: &str, text: &str) -> StoredImage {
    let manifest = stored(images, content);
    images.add(&manifest, &manifest.digest, Some(&name(text))).unwrap();
    images.find(text).unwrap()
}

fn names(image: &StoredImage) -> Vec<String> {
    image.names.iter().chain(&image.repo_digests).map(Name::familiar).collect()
}

#[test]
fn the_store_is_a_private_layout_and_opening_it_changes_nothing() {
    let data = place();
    let images = Images::open(data.path()).unwrap();
    named(&images, "a", "a:1");
    let before = std::fs::read(data.path().join("images/index.json")).unwrap();
    Images::open(data.path()).unwrap();
    assert_eq!(std::fs::read(data.path().join("images/index.json")).unwrap(), before);
    // Neither does an image that is there under its name already.
    let inode = || data.path().join("images/index.json").metadata().unwrap().ino();
    let written = inode();
    named(&images, "a", "a:1");
    assert_eq!(inode(), written);
    for folder in ["images", "images/blobs", "images/blobs/sha256", "images/ingest"] {
        let mode = data.path().join(folder).metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o700, "{folder}");
    }
    assert_eq!(std::fs::read_dir(data.path().join("images/ingest")).unwrap().count(), 0);
}

#[test]
fn images_are_found_as_in_docker() {
    let data = place();
    let images = Images::open(data.path()).unwrap();
    let one = named(&images, "one", "docker.io/library/alpine");
    let two = named(&images, "two", "localhost:5000/a/b:3");
    for (text, expected) in [
        ("alpine", &one),
        ("alpine:latest", &one),
        ("docker.io/library/alpine:latest", &one),
        (&one.id.to_string(), &one),
        (&one.id.hex(), &one),
        (&one.id.hex()[..12], &one),
        (&one.id.to_string()[..19], &one),
        ("localhost:5000/a/b:3", &two),
    ] {
        assert_eq!(images.find(text).unwrap().id, expected.id, "{text}");
    }
    for text in ["", "alpine:3", "b:3", "localhost:5000/a/b", "sha256:", &"0".repeat(64), "xyz", "-", "\u{1b}"] {
        assert!(matches!(images.find(text), Err(FindImageError::Missing(_))), "{text}");
    }
    // Among seventeen ids two begin with the same digit.
    (0..17).for_each(|number| drop(named(&images, &format!("more {number}"), &format!("more:{number}"))));
    let digits = "0123456789abcdef".chars();
    assert!(
        digits.clone().any(|digit| matches!(images.find(&digit.to_string()), Err(FindImageError::Ambiguous { .. })))
    );
    assert_eq!(images.list().unwrap().len(), 19);
}

#[test]
fn names_move_and_go_as_in_docker() {
    let data = place();
    let images = Images::open(data.path()).unwrap();
    let one = named(&images, "one", "a:1");
    let digest = name("a").repository().with_digest(one.manifest.digest);
    images.add(&one.target, &one.manifest.digest, Some(&digest)).unwrap();
    images.tag(&one, &name("b/c")).unwrap();
    let found = images.find(&format!("a@{}", one.manifest.digest)).unwrap();
    assert_eq!(names(&found), ["a:1", "b/c:latest", &format!("a@{}", one.manifest.digest)]);
    // A name that moves leaves the image that had it.
    let two = named(&images, "two", "b/c");
    assert_ne!(two.id, one.id);
    assert_eq!(names(&images.find(&one.id.hex()).unwrap()), ["a:1".to_owned(), digest.familiar()]);
    // The last name of the repository takes the digest along, and the image goes with it.
    let removed = images.remove(&name("a:1")).unwrap();
    assert_eq!(removed, Removed { untagged: vec![name("a:1"), digest], deleted: Some(one.id) });
    assert!(images.find(&one.id.hex()).is_err());
    assert_eq!(images.remove(&name("a:1")).unwrap(), Removed::default());
    // An image whose only name is given to another stays without a name.
    let three = named(&images, "three", "b/c");
    assert_eq!(names(&images.find(&two.id.hex()).unwrap()), Vec::<String>::new());
    assert_eq!(images.remove_image(&two.id).unwrap().deleted, Some(two.id));
    images.untag(&name("b/c")).unwrap();
    assert_eq!(images.list().unwrap().len(), 1);
    assert_eq!(names(&images.find(&three.id.hex()).unwrap()), Vec::<String>::new());
    // And gets one again, without an entry more.
    images.tag(&three, &name("b/c")).unwrap();
    assert_eq!(images.index().unwrap().entries().len(), 1);
    assert_eq!(images.remove(&name("b/c")).unwrap().deleted, Some(three.id));
}

#[test]
fn what_other_tools_wrote_stays() {
    let data = place();
    let images = Images::open(data.path()).unwrap();
    let one = named(&images, "one", "a:1");
    let path = data.path().join("images/index.json");
    let mut index: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    let artifact = images.put("application/x", b"an artifact").unwrap();
    let mut foreign = described(&artifact);
    foreign["annotations"] = json!({ "theirs": "x" });
    foreign["unheard"] = json!({ "of": [1, 2] });
    index["manifests"].as_array_mut().unwrap().push(foreign.clone());
    index["manifests"][0]["annotations"]["mine"] = json!("y");
    index["annotations"] = json!({ "z": "z" });
    std::fs::write(&path, index.to_string()).unwrap();
    images.tag(&one, &name("a:2")).unwrap();
    let after: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    let entries = after["manifests"].as_array().unwrap();
    assert_eq!((entries.len(), &entries[1], &after["annotations"]["z"]), (3, &foreign, &json!("z")));
    assert_eq!(entries[0]["annotations"]["mine"], "y");
    assert_eq!(names(&images.find("a:2").unwrap()), ["a:1", "a:2"]);
}

#[test]
fn an_index_keeps_its_digest_and_the_platform_that_was_chosen() {
    let data = place();
    let images = Images::open(data.path()).unwrap();
    let (here, there) = (stored(&images, "here"), stored(&images, "there"));
    let of = |manifest: &Descriptor, architecture: &str| {
        let mut entry = described(manifest);
        entry["platform"] = json!({ "os": "linux", "architecture": architecture });
        entry
    };
    let manifests = [of(&there, "s390x"), of(&here, crate::config::machine())];
    let index = json!({ "schemaVersion": 2, "manifests": manifests });
    let index = images
        .put(&format!("{OCI}.image.index.v1+json").replace("image.image", "image"), index.to_string().as_bytes())
        .unwrap();
    images.add(&index, &there.digest, Some(&name("a"))).unwrap();
    let found = images.find("a").unwrap();
    assert_eq!((&found.target, &found.manifest), (&index, &there));
    images.add(&index, &here.digest, Some(&name("a"))).unwrap();
    assert_eq!(images.find("a").unwrap().manifest, here);
}

#[test]
fn skopeo_reads_the_store() {
    requires!(skopeo);
    let data = place();
    let images = Images::open(data.path()).unwrap();
    let one = named(&images, "one", "localhost/a:v1");
    named(&images, "two", "localhost/b:v2");
    let source = format!("oci:{}:v1", data.path().join("images").display());
    let output = Command::new("skopeo").args(["inspect", "--format", "{{.Digest}}", &source]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(String::from_utf8(output.stdout).unwrap().trim(), one.manifest.digest.to_string());
}

#[test]
fn many_write_names_at_once_and_every_reader_sees_a_whole_index() {
    let data = place();
    let images = Images::open(data.path()).unwrap();
    let one = named(&images, "one", "a:0");
    std::thread::scope(|scope| {
        for writer in 0..4 {
            let (data, one) = (data.path(), &one);
            scope.spawn(move || {
                let images = Images::open(data).unwrap();
                (0..10).for_each(|number| images.tag(one, &name(&format!("a:{writer}-{number}"))).unwrap());
            });
        }
        let mut seen = 0;
        while seen < 41 {
            let now = images.list().unwrap()[0].names.len();
            assert!(now >= seen, "{now} after {seen}");
            seen = now;
        }
    });
}

#[test]
fn what_nobody_needs_goes_and_nothing_else() {
    requires!(root, unpacker);
    let data = place();
    let images = Images::open(data.path()).unwrap();
    let layers = layers(data.path());
    let kept = named(&images, "kept", "kept");
    let gone = named(&images, "gone", "gone");
    let used = named(&images, "used by a container", "used");
    for image in [&kept, &gone, &used] {
        images.load(image, &Reference::Host, &layers).unwrap();
    }
    images.remove(&name("gone")).unwrap();
    images.remove(&name("used")).unwrap();
    drop(images.writer(&Digest::of(b"half"), 4).unwrap());
    let blobs = || std::fs::read_dir(data.path().join("images/blobs/sha256")).unwrap().count();
    assert_eq!(blobs(), 9);
    let share = images.share().unwrap();
    assert!(images.alone().unwrap().is_none(), "somebody makes or uses images");
    drop(share);
    let containers = BTreeSet::from([used.layers[0].diff_id]);
    let collected = images.alone().unwrap().unwrap().collect(&layers, &containers).unwrap();
    assert_eq!((collected.blobs.len(), collected.layers), (7, vec![gone.layers[0].diff_id]));
    assert_eq!((blobs(), std::fs::read_dir(data.path().join("images/ingest")).unwrap().count()), (3, 0));
    assert!(layers.find(&used.layers[0].diff_id).is_some());
    images.load(&images.find("kept").unwrap(), &Reference::Host, &layers).unwrap();
}

#[test]
fn while_an_entry_cannot_be_read_nothing_is_garbage() {
    let data = place();
    let images = Images::open(data.path()).unwrap();
    let layers = layers(data.path());
    let one = named(&images, "one", "one");
    stored(&images, "garbage");
    std::fs::remove_file(data.path().join("images/blobs/sha256").join(one.config.digest.hex())).unwrap();
    images.alone().unwrap().unwrap().collect(&layers, &BTreeSet::new()).unwrap_err();
    assert!(images.blob(&one.manifest.digest).unwrap().is_some());
    assert!(images.list().unwrap().is_empty());
    // It can still be removed.
    assert_eq!(images.remove(&name("one")).unwrap().untagged, [name("one")]);
    let collected = images.alone().unwrap().unwrap().collect(&layers, &BTreeSet::new()).unwrap();
    assert_eq!(collected.blobs.len(), 5);
}

/// Users hold their share from before they look for an image until it is written down what they need; a collector takes away all
/// that is not written down. Whoever comes first, what a user got stays.
#[test]
fn a_collector_never_takes_what_somebody_is_about_to_use() {
    requires!(root);
    const ROUNDS: usize = 60;
    let data = place();
    let records = std::sync::Mutex::new(BTreeSet::new());
    let done = std::sync::atomic::AtomicBool::new(false);
    let user = |images: &Images, layers: &Layers, text: &str| {
        let _share = images.share().unwrap();
        let image = images.find(text).unwrap_or_else(|_missing| named(images, text, text));
        images.load(&image, &Reference::Host, layers).unwrap();
        let needed = image.layers[0].diff_id;
        assert!(layers.find(&needed).is_some());
        records.lock().unwrap().insert(needed);
        needed
    };
    std::thread::scope(|scope| {
        let users: Vec<_> = ["x", "y"]
            .into_iter()
            .map(|own| {
                let (data, records, user) = (&data, &records, &user);
                scope.spawn(move || {
                    let (images, layers) = (Images::open(data.path()).unwrap(), layers(data.path()));
                    for round in 0..ROUNDS {
                        let text = format!("{own}:{}", round % 3);
                        let needed = user(&images, &layers, &text);
                        assert!(layers.find(&needed).is_some(), "what is written down stays");
                        // As if the container were removed, and the image too.
                        records.lock().unwrap().remove(&needed);
                        images.remove(&name(&text)).unwrap();
                    }
                })
            })
            .collect();
        let collector = scope.spawn(|| {
            let (images, layers) = (Images::open(data.path()).unwrap(), layers(data.path()));
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                if let Some(alone) = images.alone().unwrap() {
                    let keep = records.lock().unwrap().clone();
                    alone.collect(&layers, &keep).unwrap();
                }
            }
        });
        let outcomes: Vec<_> = users.into_iter().map(std::thread::ScopedJoinHandle::join).collect();
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        collector.join().unwrap();
        outcomes.into_iter().for_each(|outcome| outcome.unwrap());
    });
    let (images, layers) = (Images::open(data.path()).unwrap(), layers(data.path()));
    images.alone().unwrap().unwrap().collect(&layers, &BTreeSet::new()).unwrap();
    assert_eq!(layers.list().unwrap(), []);
}
