//! Every damage is found, and what is dropped comes anew.

use std::os::unix::fs::PermissionsExt;

use stockade_testkit::requires;

use super::*;
use crate::Reference;
use crate::content::tests::{layers, name, named, place};

/// A store with one image, unpacked.
struct Here {
    data: tempfile::TempDir,
    images: Images,
    layers: Layers,
    image: StoredImage,
}

impl Here {
    fn new() -> Self {
        let data = place();
        let (images, layers) = (Images::open(data.path()).unwrap(), layers(data.path()));
        let image = named(&images, "content", "a:1");
        images.load(&image, &Reference::Host, &layers).unwrap();
        Self { data, images, layers, image }
    }

    fn check(&self, repair: Repair) -> Vec<String> {
        let findings = self.images.check(&self.layers, &BTreeSet::new(), repair).unwrap();
        findings.iter().map(ToString::to_string).collect()
    }

    fn blob(&self, digest: &Digest) -> std::path::PathBuf {
        self.data.path().join("images/blobs/sha256").join(digest.hex())
    }

    fn file(&self) -> std::path::PathBuf {
        self.layers.find(&self.image.layers[0].diff_id).unwrap().join("file")
    }
}

#[test]
fn a_sound_store_is_sound() {
    requires!(root);
    let here = Here::new();
    assert_eq!(here.check(Repair::Report), Vec::<String>::new());
    assert_eq!(here.check(Repair::Drop), Vec::<String>::new());
    assert!(here.images.find("a:1").is_ok());
}

#[test]
fn every_damage_is_found_and_mended() {
    requires!(root);
    type Harm = fn(&Here);
    let harms: [(&str, Harm); 11] = [
        ("blob", |here| std::fs::write(here.blob(&here.image.layers[0].blob.digest), b"x").unwrap()),
        ("blob", |here| std::fs::write(here.blob(&here.image.config.digest), b"").unwrap()),
        ("blob", |here| std::fs::write(here.blob(&here.image.manifest.digest), b"{}").unwrap()),
        ("image a:1", |here| std::fs::remove_file(here.blob(&here.image.layers[0].blob.digest)).unwrap()),
        ("image a:1", |here| std::fs::remove_file(here.blob(&here.image.manifest.digest)).unwrap()),
        ("index.json", |here| std::fs::write(here.data.path().join("images/index.json"), b"{").unwrap()),
        ("oci-layout", |here| std::fs::write(here.data.path().join("images/oci-layout"), b"{}").unwrap()),
        ("the content of \"file\"", |here| std::fs::write(here.file(), b"CONTENT").unwrap()),
        ("the size of \"file\"", |here| std::fs::write(here.file(), b"").unwrap()),
        ("the presence of \"file\"", |here| std::fs::remove_file(here.file()).unwrap()),
        ("the mode of \"file\"", |here| {
            std::fs::set_permissions(here.file(), PermissionsExt::from_mode(0o4755)).unwrap();
        }),
    ];
    for (said, harm) in harms {
        let here = Here::new();
        harm(&here);
        let findings = here.check(Repair::Report);
        assert!(findings.iter().any(|finding| finding.contains(said)), "{said}: {findings:?}");
        assert_eq!(here.check(Repair::Report), findings, "a report changes nothing");
        assert_eq!(here.check(Repair::Drop).len(), findings.len().max(1), "{said}");
        assert_eq!(here.check(Repair::Report), Vec::<String>::new(), "{said}");
        // What the next pull does.
        let again = named(&here.images, "content", "a:1");
        here.images.load(&again, &Reference::Host, &here.layers).unwrap();
        assert_eq!(std::fs::read_to_string(here.file()).unwrap(), "content");
        assert_eq!(here.check(Repair::Report), Vec::<String>::new(), "{said}");
    }
}

#[test]
fn what_containers_stand_on_stays() {
    requires!(root);
    let here = Here::new();
    std::fs::write(here.file(), b"CONTENT").unwrap();
    let used = BTreeSet::from([here.image.layers[0].diff_id]);
    for repair in [Repair::Drop, Repair::Report] {
        let findings = here.images.check(&here.layers, &used, repair).unwrap();
        assert!(matches!(findings[..], [Finding::UsedLayer { .. }]), "{findings:?}");
    }
    assert!(here.images.remove(&name("a:1")).unwrap().deleted.is_some());
}
