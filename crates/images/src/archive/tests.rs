//! What is written is read back, and what is not whole or not what it says is refused.

use std::io::{Seek, Write};

use super::*;
use crate::save::{self, Item, ItemImage, ItemName};

const LAYER: &[u8] = &[0; 1024];

/// Blobs of an image for `architecture`, with its manifest last.
fn image(architecture: &str) -> Vec<Vec<u8>> {
    let layer = Digest::of(LAYER);
    let config = json!({
        "architecture": architecture, "os": "linux", "config": {},
        "rootfs": { "type": "layers", "diff_ids": [layer.to_string()] },
    });
    let config = config.to_string().into_bytes();
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": Digest::of(&config).to_string(),
            "size": config.len(),
        },
        "layers": [{
            "mediaType": "application/vnd.oci.image.layer.v1.tar",
            "digest": layer.to_string(),
            "size": LAYER.len(),
        }],
    });
    vec![LAYER.to_vec(), config, manifest.to_string().into_bytes()]
}

fn item(blobs: &[Vec<u8>], names: &[(&str, &str, &str)]) -> Item {
    let digests: Vec<Digest> = blobs.iter().map(|blob| Digest::of(blob)).collect();
    let names = names.iter().map(|(full, repository, tag)| ItemName {
        full: (*full).to_owned(),
        repository: (*repository).to_owned(),
        tag: (*tag).to_owned(),
    });
    Item {
        media_type: OCI_MANIFEST.to_owned(),
        digest: digests[2],
        size: blobs[2].len() as u64,
        platform: None,
        names: names.collect(),
        image: Some(ItemImage { config: digests[1], layers: vec![digests[0]] }),
        blobs: blobs.iter().map(|blob| (Digest::of(blob), blob.len() as u64)).collect(),
    }
}

fn store(bytes: &[u8]) -> Result<Store, crate::StoreError> {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file.rewind().unwrap();
    Store::opened(file)
}

fn written(items: &[Item], blobs: &[Vec<u8>]) -> Vec<u8> {
    let open = |digest: &Digest| {
        let found = blobs.iter().find(|blob| Digest::of(blob) == *digest);
        found.map(Vec::as_slice).ok_or(std::io::ErrorKind::NotFound.into())
    };
    save::write(items, open, Vec::new()).unwrap()
}

/// A tar archive of these files.
fn files(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, content) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, name, *content).unwrap();
    }
    builder.into_inner().unwrap()
}

fn here() -> Platform {
    Platform::machine()
}

#[test]
fn what_is_saved_is_read_back() {
    let blobs = image(here().architecture());
    let names = [("docker.io/library/a:1", "a", "1"), ("127.0.0.1:5000/b:2", "127.0.0.1:5000/b", "2")];
    let found = read(&store(&written(&[item(&blobs, &names)], &blobs)).unwrap(), &here()).unwrap();
    let [one] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!(one.names.iter().map(Name::familiar).collect::<Vec<_>>(), ["a:1", "127.0.0.1:5000/b:2"]);
    assert_eq!(one.manifest, blobs[2]);
    assert!(one.blobs.len() == 2 && one.blobs.contains_key(&Digest::of(&blobs[1])));
    let nameless = read(&store(&written(&[item(&blobs, &[])], &blobs)).unwrap(), &here()).unwrap();
    assert_eq!(nameless[0].names, []);
}

#[test]
fn dockers_older_form_gets_a_manifest_that_is_always_the_same() {
    let blobs = image(here().architecture());
    let hex = Digest::of(&blobs[1]).hex();
    let manifest =
        json!([{ "Config": format!("{hex}.json"), "RepoTags": ["a"], "Layers": ["x/layer.tar"] }]).to_string();
    let config = format!("{hex}.json");
    let bytes = files(&[("x/layer.tar", LAYER), (&config, &blobs[1]), ("manifest.json", manifest.as_bytes())]);
    let read = || read(&store(&bytes).unwrap(), &here()).unwrap();
    let (one, again) = (read(), read());
    assert_eq!(one[0].names[0].to_string(), "docker.io/library/a:latest");
    assert_eq!(one[0].manifest, again[0].manifest);
    assert!(one[0].blobs.len() == 2 && one[0].blobs.contains_key(&Digest::of(&blobs[1])));
}

#[test]
fn the_platform_that_is_wanted_is_taken() {
    let (ours, theirs) = (image(here().architecture()), image("s390x"));
    let descriptor = |blobs: &[Vec<u8>], architecture: &str| {
        json!({
            "mediaType": OCI_MANIFEST, "digest": Digest::of(&blobs[2]).to_string(), "size": blobs[2].len(),
            "platform": { "os": "linux", "architecture": architecture },
        })
    };
    let index = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [descriptor(&theirs, "s390x"), descriptor(&ours, here().architecture())],
    });
    let index = index.to_string().into_bytes();
    let mut item = item(&ours, &[("docker.io/library/a:1", "a", "1")]);
    item.media_type = "application/vnd.oci.image.index.v1+json".to_owned();
    (item.digest, item.size) = (Digest::of(&index), index.len() as u64);
    item.blobs.insert(item.digest, item.size);
    item.blobs.extend(theirs.iter().map(|blob| (Digest::of(blob), blob.len() as u64)));
    let blobs = [ours.clone(), theirs.clone(), vec![index]].concat();
    let store = store(&written(&[item], &blobs)).unwrap();
    assert_eq!(read(&store, &here()).unwrap()[0].manifest, ours[2]);
    assert_eq!(read(&store, &"linux/s390x".parse().unwrap()).unwrap()[0].manifest, theirs[2]);
    let error = read(&store, &"linux/riscv64".parse().unwrap()).unwrap_err().to_string();
    assert!(error.contains("linux/riscv64") && error.contains("linux/s390x"), "{error}");
}

#[test]
fn what_is_not_what_it_says() {
    let blobs = image(here().architecture());
    let mut item = item(&blobs, &[]);
    let mut forged = blobs.clone();
    forged[1].push(b' ');
    let name = |blob: &[u8]| format!("blobs/sha256/{}", Digest::of(blob).hex());
    let index = |item: &Item| {
        let descriptor = json!({ "mediaType": item.media_type, "digest": item.digest.to_string(), "size": item.size });
        json!({ "schemaVersion": 2, "manifests": [descriptor] }).to_string()
    };
    let layout = |item: &Item, content: &[&[u8]]| {
        let index = index(item);
        let names: Vec<String> = blobs.iter().map(|blob| name(blob)).collect();
        let mut all = vec![("oci-layout", &br#"{"imageLayoutVersion":"1.0.0"}"#[..]), ("index.json", index.as_bytes())];
        all.extend(names.iter().map(String::as_str).zip(content.iter().copied()));
        read(&store(&files(&all)).unwrap(), &here())
    };
    let whole: Vec<&[u8]> = blobs.iter().map(Vec::as_slice).collect();
    layout(&item, &whole).unwrap();
    assert!(layout(&item, &whole[..2]).is_err(), "no manifest");
    assert!(layout(&item, &[whole[0], &forged[1], whole[2]]).is_err(), "a forged configuration");
    assert!(layout(&item, &[&whole[0][..512], whole[1], whole[2]]).is_err(), "a short layer");
    item.media_type = "application/vnd.oci.image.config.v1+json".to_owned();
    assert!(layout(&item, &whole).is_err(), "not a manifest");
    for content in [
        &[("a", &b"x"[..])][..],
        &[("manifest.json", b"[]")],
        &[("manifest.json", b"{}")],
        &[("manifest.json", br#"[{"Config":"../x","Layers":[]}]"#)],
        &[("manifest.json", br#"[{"Config":"c","Layers":["l"],"RepoTags":["A B"]}]"#), ("c", &blobs[1]), ("l", LAYER)],
        &[("oci-layout", br#"{"imageLayoutVersion":"2"}"#), ("index.json", b"{}")],
        &[("index.json", b"{}")],
    ] {
        assert!(read(&store(&files(content)).unwrap(), &here()).is_err(), "{content:?}");
    }
}
