//! What the fuzzers reach of this crate; compiled for them only.
//!
//! Each takes any bytes, must come back, and asserts what holds for all of them.
#![allow(clippy::panic)]

use crate::oci::document::{Descriptor, Index, Manifest, parse};
use crate::{Name, Platform, Reference, config};

/// Names of images and platforms: what is accepted is said again in the same words.
pub fn references(text: &str) {
    if let Ok(name) = Name::parse(text) {
        assert_eq!(Name::parse(&name.to_string()).as_ref(), Ok(&name), "{text:?}");
        assert_eq!(Name::parse(&name.familiar()).as_ref(), Ok(&name), "{text:?}");
        let path = format!("/{}/", name.path());
        assert!(!path.contains("//") && !path.contains("/../") && !path.contains("/./"), "{text:?}");
        assert!(!name.to_string().contains(|letter: char| letter.is_control() || letter.is_whitespace()), "{text:?}");
    }
    if let Ok(platform) = text.parse::<Platform>() {
        assert_eq!(platform.to_string().parse::<Platform>().as_ref(), Ok(&platform), "{text:?}");
    }
    Reference::parse(text).map(drop).unwrap_or_default();
}

/// Indexes, manifests, configurations, and Docker's `manifest.json`: none is two of the first at once.
pub fn documents(bytes: &[u8]) {
    let index = parse::<Index>("an index", bytes).ok().filter(|index| index.check(None).is_ok());
    let announced = "application/vnd.oci.image.manifest.v1+json";
    let manifest = parse::<Manifest>("a manifest", bytes).ok().filter(|manifest| manifest.check(announced).is_ok());
    assert!(index.is_none() || manifest.is_none(), "both an index and a manifest");
    let descriptor = |one: &Descriptor| one.kind().is_ok() && one.digest().is_ok();
    index.iter().for_each(|index| drop(index.manifests.iter().map(descriptor).collect::<Vec<_>>()));
    manifest.iter().for_each(|manifest| drop(manifest.layers.iter().map(descriptor).collect::<Vec<_>>()));
    if let Ok((config, _)) = config::parse(bytes) {
        for volume in &config.volumes {
            assert!(volume.starts_with('/') && volume.len() > 1 && !volume.split('/').any(|part| part == ".."));
        }
        assert!(config.env.iter().all(|one| one.find('=').is_some_and(|place| place > 0) && !one.contains('\0')));
    }
    crate::docker::fuzz(bytes);
}

/// What a registry asks for, and what Docker's `config.json` in `folder`, which is made of `text` too, says to that.
pub fn registries(text: &str, folder: &std::path::Path) {
    crate::registry::challenge::fuzz(text);
    if std::fs::write(folder.join("config.json"), text).is_ok() {
        let store = crate::registry::CredentialStore::within(folder);
        for server in ["docker.io", "localhost:5000", "registry.example"] {
            store.find(server).map(drop).unwrap_or_default();
        }
    }
}
