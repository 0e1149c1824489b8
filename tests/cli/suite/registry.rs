//! To a registry and back: the same digests and the same files, whoever pulled, pushed, saved or loaded them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use stockade_testkit::tree::{Facts, differences, facts};
use stockade_testkit::{Call, Registry, Stockade, generated, requires};

/// A call of another tool that may take its time, and succeeds.
#[track_caller]
fn tool(line: &[&str]) -> String {
    let (program, rest) = line.split_first().unwrap();
    Call::new(program).args(rest).limit(Duration::from_secs(300)).run().ok().out().to_owned()
}

/// What skopeo and umoci make of an image of `registry`: the folder of its files.
fn by_umoci(place: &Path, image: &str) -> PathBuf {
    std::fs::create_dir_all(place).unwrap();
    let layout = format!("{}:latest", place.join("oci").display());
    let (source, target) = (format!("docker://{image}"), format!("oci:{layout}"));
    tool(&["skopeo", "--insecure-policy", "copy", "-q", "--src-tls-verify=false", &source, &target]);
    tool(&["umoci", "unpack", "--image", &layout, place.join("bundle").to_str().unwrap()]);
    place.join("bundle/rootfs")
}

/// The files of a container of `image` below `folder`, looked at while it runs.
fn in_container(stockade: &Stockade, image: &str, folder: &str) -> Facts {
    let flags = ["run", "-d", "--userns", "host", image, "sleep", "1000"];
    let id = stockade.know(stockade.ask(&flags).ok().out());
    let root = PathBuf::from(format!("/proc/{}/root", stockade.pid(&id)));
    let found = facts(&root.join(folder)).unwrap();
    stockade.ask(&["rm", "-f", &id]).ok();
    found
}

#[track_caller]
fn assert_same(what: &str, left: &Facts, right: &Facts) {
    assert!(left.len() > 3, "{what}: only {left:?}");
    let different = differences(left, right);
    assert!(different.is_empty(), "{what}:\n{}", different.join("\n"));
}

#[test]
fn every_kind_of_file_of_a_layout_is_as_umoci_makes_it() {
    requires!(root, stockade, busybox_packed, umoci);
    let stockade = Stockade::new();
    let kinds = generated::kinds(&stockade.folder().join("kinds"));
    let layers = generated::layers(&stockade.folder().join("layers"), 100);
    for (source, name) in [(kinds, "kinds"), (layers, "layers")] {
        let bundle = stockade.folder().join("theirs").join(name);
        std::fs::create_dir_all(bundle.parent().unwrap()).unwrap();
        let layout = source.strip_prefix("oci:").unwrap();
        tool(&["umoci", "unpack", "--image", layout, bundle.to_str().unwrap()]);
        let theirs = facts(&bundle.join("rootfs").join(name)).unwrap();
        assert_same(name, &theirs, &in_container(&stockade, &source, name));
    }
}

#[test]
fn every_kind_of_file_is_as_umoci_makes_it() {
    requires!(root, stockade, busybox_packed, docker_registry, skopeo, umoci);
    let (registry, stockade) = (Registry::plain(), Stockade::new());
    let source = generated::kinds(&stockade.folder().join("image"));
    let image = registry.put(&source, "kinds:1");
    stockade.ask(&["pull", &image]).ok();
    let theirs = facts(&by_umoci(&stockade.folder().join("theirs"), &image).join("kinds")).unwrap();
    assert_same("kinds", &theirs, &in_container(&stockade, &image, "kinds"));
}

#[test]
fn many_layers_and_many_files_are_as_umoci_makes_them() {
    requires!(root, stockade, busybox_packed, docker_registry, skopeo, umoci);
    let (registry, stockade) = (Registry::plain(), Stockade::new());
    let layers = generated::layers(&stockade.folder().join("layers"), 20);
    let files = generated::files(&stockade.folder().join("files"), 5_000);
    for (source, name) in [(layers, "layers"), (files, "files")] {
        let image = registry.put(&source, &format!("{name}:1"));
        stockade.call(&["pull", &image]).limit(Duration::from_secs(300)).run().ok();
        let theirs = facts(&by_umoci(&stockade.folder().join("theirs").join(name), &image).join(name)).unwrap();
        assert_same(name, &theirs, &in_container(&stockade, &image, name));
    }
}
