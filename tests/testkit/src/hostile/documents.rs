//! Indexes, manifests and layouts that lie, are two things at once, or do not end.

use std::os::unix::fs::symlink;

use serde_json::{Value, json};

use super::Expected::{Harmless, Refused};
use super::{Kind, Layout, kind};
use crate::layout::{CONFIG, INDEX, LAYER, MANIFEST, blob, digest, gzip};
use crate::tarball::{Member, Tarball};

const AMBIGUOUS: &str = "2021-41190";
const FORGED: &str = "what is not what its digest says";
const BOUNDS: &str = "documents in memory (2021-21285)";
const PATHS: &str = "digests and blobs as paths";

/// An empty layer's archive.
fn empty() -> Vec<u8> {
    Tarball::default().end()
}

/// Wraps the manifest in `depth` indexes.
fn nest(image: &mut Layout, depth: usize) {
    let folder = image.folder().to_owned();
    image.edit_index(move |index| {
        for _ in 0..depth {
            let inner = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": index["manifests"] }).to_string();
            let name = digest(inner.as_bytes());
            std::fs::write(blob(&folder, &name), &inner).expect("a blob can be written");
            let one = json!({ "mediaType": INDEX, "digest": name, "size": inner.len(),
                "annotations": { "org.opencontainers.image.ref.name": "latest" } });
            index["manifests"] = json!([one]);
        }
    });
}

/// Puts another document in the manifest's place.
fn instead(image: &mut Layout, media_type: &'static str, bytes: impl Fn(&Value) -> Vec<u8> + 'static) {
    let folder = image.folder().to_owned();
    image.edit_index(move |index| {
        let named = &mut index["manifests"][0];
        let old = std::fs::read(blob(&folder, named["digest"].as_str().expect("a digest"))).expect("a manifest");
        let new = bytes(&serde_json::from_slice(&old).expect("JSON"));
        std::fs::write(blob(&folder, &digest(&new)), &new).expect("a blob can be written");
        named["mediaType"] = json!(media_type);
        named["digest"] = json!(digest(&new));
        named["size"] = json!(new.len());
    });
}

/// Lets `change` do something with the file of the topmost layer.
fn with_blob(image: &mut Layout, change: fn(&Layout, &std::path::Path)) {
    // What no other image has, or it would be there already.
    let own = || Tarball::of([Member::file("blob", "x")]);
    image.layer(own());
    change(image, &blob(image.folder(), &digest(&gzip(&own().end()))));
}

pub(super) const KINDS: &[Kind] = &[
    kind("a manifest that is an index too", AMBIGUOUS, Refused(&["manifests", "ambiguous"]), |image| {
        image.edit_manifest(|manifest| manifest["manifests"] = json!([]));
    }),
    kind("a manifest that is an index too, in capitals", AMBIGUOUS, Refused(&["manifests", "ambiguous"]), |image| {
        image.edit_manifest(|manifest| manifest["Manifests"] = json!([]));
    }),
    kind("an index that is a manifest too", AMBIGUOUS, Refused(&["layers", "config"]), |image| {
        image.edit_index(|index| {
            index["layers"] = json!([]);
            index["config"] = json!({});
        });
    }),
    kind("a manifest of schema 1 in schema 2", AMBIGUOUS, Refused(&["fslayers", "history"]), |image| {
        image.edit_manifest(|manifest| manifest["fsLayers"] = json!([{ "blobSum": "sha256:00" }]));
    }),
    kind("a manifest that calls itself an index", AMBIGUOUS, Refused(&["announced", "calls itself"]), |image| {
        image.edit_manifest(|manifest| manifest["mediaType"] = json!(INDEX));
    }),
    kind("a manifest that is announced as an index", AMBIGUOUS, Refused(&["index", "announced"]), |image| {
        image.edit_index(|index| index["manifests"][0]["mediaType"] = json!(INDEX));
    }),
    kind("a configuration that is announced as a manifest", AMBIGUOUS, Refused(&["manifest", "media type"]), |image| {
        let folder = image.folder().to_owned();
        image.edit_index(move |index| {
            let named = &mut index["manifests"][0];
            let path = blob(&folder, named["digest"].as_str().expect("a digest"));
            let manifest: Value = serde_json::from_slice(&std::fs::read(path).expect("a manifest")).expect("JSON");
            named["digest"] = manifest["config"]["digest"].clone();
            named["size"] = manifest["config"]["size"].clone();
        });
    }),
    kind(
        "a layer that is announced as a configuration",
        AMBIGUOUS,
        Refused(&["configuration", "media type"]),
        |image| {
            image.edit_manifest(|manifest| {
                let layer = manifest["layers"][0].clone();
                manifest["config"]["digest"] = layer["digest"].clone();
                manifest["config"]["size"] = layer["size"].clone();
            });
        },
    ),
    kind("properties twice", AMBIGUOUS, Refused(&["duplicate"]), |image| {
        instead(image, MANIFEST, |manifest| manifest.to_string().replacen('{', "{\"layers\":[],", 1).into_bytes());
    }),
    kind("schema version 1", AMBIGUOUS, Refused(&["schema version"]), |image| {
        image.edit_manifest(|manifest| manifest["schemaVersion"] = json!(1));
    }),
    kind("no schema version", AMBIGUOUS, Refused(&["schemaversion"]), |image| {
        image.edit_manifest(|manifest| {
            manifest.as_object_mut().expect("an object").remove("schemaVersion");
        });
    }),
    kind("an artifact that is no image", "media type confusion", Refused(&["media type"]), |image| {
        image.edit_manifest(|manifest| manifest["config"]["mediaType"] = json!("application/vnd.oci.empty.v1+json"));
    }),
    kind("layers that are encrypted", "media type confusion", Refused(&["media type"]), |image| {
        image.edit_manifest(|manifest| manifest["layers"][0]["mediaType"] = json!(format!("{LAYER}+gzip+encrypted")));
    }),
    kind("a media type with escapes", "terminal injection", Refused(&["media type"]), |image| {
        image.edit_manifest(|manifest| manifest["layers"][0]["mediaType"] = json!("x\n\u{1b}[2Jy"));
    }),
    kind("a layer that is larger than said", FORGED, Refused(&["bytes", "size"]), |image| {
        image.edit_manifest(|manifest| manifest["layers"][0]["size"] = json!(1));
    }),
    kind("a layer that is smaller than said", FORGED, Refused(&["bytes", "size"]), |image| {
        image.edit_manifest(|manifest| manifest["layers"][0]["size"] = json!(1_u64 << 40));
    }),
    kind("a negative size of a layer", FORGED, Refused(&["invalid", "size"]), |image| {
        image.edit_manifest(|manifest| manifest["layers"][0]["size"] = json!(-1));
    }),
    kind("a manifest that is larger than said", FORGED, Refused(&["bytes", "size"]), |image| {
        image.edit_index(|index| index["manifests"][0]["size"] = json!(2));
    }),
    kind("a layer with other bytes", FORGED, Refused(&["content of"]), |image| {
        with_blob(image, |_, path| {
            let mut bytes = std::fs::read(path).expect("a blob");
            bytes[4] ^= 1;
            std::fs::write(path, bytes).expect("a blob");
        });
    }),
    kind("a configuration with other bytes", FORGED, Refused(&["content of", "missing", "no file"]), |image| {
        image.edit_manifest(|manifest| manifest["config"]["digest"] = json!(digest(b"another")));
    }),
    kind("more layers than the configuration says", FORGED, Refused(&["layers"]), |image| {
        image.layer(Tarball::default());
        image.config["rootfs"]["diff_ids"] = json!([image.config["rootfs"]["diff_ids"][0]]);
    }),
    kind("fewer layers than the configuration says", FORGED, Refused(&["layers"]), |image| {
        image.layer(Tarball::default());
        image.edit_manifest(|manifest| {
            manifest["layers"].as_array_mut().expect("a list").pop();
        });
    }),
    kind("layers in another order than their digests", FORGED, Refused(&["content of"]), |image| {
        image.layer(Tarball::default());
        image.edit_manifest(|manifest| manifest["layers"].as_array_mut().expect("a list").reverse());
    }),
    kind("a digest with a path in it", PATHS, Refused(&["digest"]), |image| {
        let digest = format!("sha256:{}", image.climb("secret"));
        image.edit_manifest(move |manifest| manifest["layers"][0]["digest"] = json!(digest));
    }),
    kind("an algorithm with a path in it", PATHS, Refused(&["digest"]), |image| {
        let digest = format!("{}:{}", image.climb("folder"), "0".repeat(64));
        image.edit_manifest(move |manifest| manifest["config"]["digest"] = json!(digest));
    }),
    kind("a digest of an algorithm that is broken", PATHS, Refused(&["digest"]), |image| {
        image.edit_manifest(|manifest| manifest["layers"][0]["digest"] = json!(format!("md5:{}", "0".repeat(32))));
    }),
    kind("a blob that is a link out", PATHS, Refused(&["read", "no file", "not a regular"]), |image| {
        with_blob(image, |image, path| {
            std::fs::copy(path, image.canary.join("blob")).expect("a file can be copied");
            std::fs::remove_file(path).expect("a blob");
            symlink(image.outside("blob"), path).expect("a link");
        });
    }),
    kind("a blob that is a FIFO", PATHS, Refused(&["not a regular"]), |image| {
        with_blob(image, |_, path| {
            std::fs::remove_file(path).expect("a blob");
            rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, 0o666.into(), 0).expect("a FIFO");
        });
    }),
    kind("a blob that is a folder", PATHS, Refused(&["not a regular"]), |image| {
        with_blob(image, |_, path| {
            std::fs::remove_file(path).expect("a blob");
            std::fs::create_dir(path).expect("a folder");
        });
    }),
    kind("blobs that a link leads to", PATHS, Refused(&["read", "no file", "not a regular"]), |image| {
        with_blob(image, |image, path| {
            std::fs::rename(path, image.canary.join("blob")).expect("a blob can be moved");
            symlink(image.climb("blob"), path).expect("a link");
        });
    }),
    kind("an index in an index in an index and so on", BOUNDS, Refused(&["index", "nested"]), |image| nest(image, 20)),
    kind("an index in an index", BOUNDS, Harmless, |image| nest(image, 2)),
    kind("a manifest of 5 MiB", BOUNDS, Refused(&["bytes"]), |image| {
        image.edit_manifest(|manifest| manifest["annotations"] = json!({ "x": "x".repeat(5 << 20) }));
    }),
    kind("a configuration of 9 MiB", BOUNDS, Refused(&["bytes"]), |image| {
        image.config["history"] = json!([{ "comment": "x".repeat(9 << 20) }]);
    }),
    kind("a manifest of brackets", BOUNDS, Refused(&["recursion", "manifest"]), |image| {
        instead(image, MANIFEST, |manifest| {
            let deep = format!("{{\"x\":{}{},", "[".repeat(1_000_000), "]".repeat(1_000_000));
            manifest.to_string().replacen('{', &deep, 1).into_bytes()
        });
    }),
    kind("a manifest that is no text", BOUNDS, Refused(&["manifest"]), |image| {
        instead(image, MANIFEST, |_| b"\xff\xfe{\0\"\0".to_vec());
    }),
    kind("a manifest that is nothing", BOUNDS, Refused(&["manifest"]), |image| {
        instead(image, MANIFEST, |_| Vec::new());
    }),
    kind("a million annotations", BOUNDS, Harmless, |image| {
        image.edit_manifest(|manifest| {
            manifest["annotations"] = (0..100_000).map(|n| (n.to_string(), json!("x"))).collect();
        });
    }),
    kind("501 layers", BOUNDS, Refused(&["layers"]), |image| {
        image.layer(Tarball::default());
        let layer = image.config["rootfs"]["diff_ids"][1].as_str().expect("a digest").to_owned();
        let described = json!({ "mediaType": format!("{LAYER}+gzip"), "digest": digest(&gzip(&empty())),
            "size": gzip(&empty()).len() });
        (0..500).for_each(|_| image.described(described.clone(), &layer));
    }),
    kind("100 times the same layer", BOUNDS, Harmless, |image| {
        image.layer(Tarball::default());
        let layer = image.config["rootfs"]["diff_ids"][1].as_str().expect("a digest").to_owned();
        let described = json!({ "mediaType": format!("{LAYER}+gzip"), "digest": digest(&gzip(&empty())),
            "size": gzip(&empty()).len() });
        (0..99).for_each(|_| image.described(described.clone(), &layer));
    }),
    kind("no layers", BOUNDS, Refused(&["layers", "not found", "no such file"]), |image| {
        image.config["rootfs"]["diff_ids"] = json!([]);
        image.edit_manifest(|manifest| manifest["layers"] = json!([]));
    }),
    kind("two images with one name", AMBIGUOUS, Refused(&["several", "more than one", "images"]), |image| {
        let folder = image.folder().to_owned();
        image.edit_index(move |index| {
            let mut other = index["manifests"][0].clone();
            let config = br#"{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}"#;
            std::fs::write(blob(&folder, &digest(config)), config).expect("a blob");
            let manifest = json!({ "schemaVersion": 2, "mediaType": MANIFEST, "layers": [],
                "config": { "mediaType": CONFIG, "digest": digest(config), "size": config.len() } })
            .to_string();
            std::fs::write(blob(&folder, &digest(manifest.as_bytes())), &manifest).expect("a blob");
            other["digest"] = json!(digest(manifest.as_bytes()));
            other["size"] = json!(manifest.len());
            index["manifests"].as_array_mut().expect("a list").push(other);
        });
    }),
    kind("layers from elsewhere", "urls of layers (2020-15157)", Harmless, |image| {
        image.edit_manifest(|manifest| manifest["layers"][0]["urls"] = json!(["http://169.254.169.254/latest"]));
    }),
    kind("content in the descriptor", "data of descriptors", Harmless, |image| {
        image.edit_manifest(|manifest| {
            manifest["layers"][0]["data"] = json!("eHg=");
            manifest["config"]["data"] = json!("e30=");
        });
    }),
];
