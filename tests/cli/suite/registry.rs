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

/// The digest of the manifest that `registry` has under that name, by skopeo.
fn digest(image: &str) -> String {
    tool(&["skopeo", "inspect", "--tls-verify=false", "--format", "{{.Digest}}", &format!("docker://{image}")])
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

#[test]
fn what_is_committed_and_pushed_is_what_others_pull() {
    requires!(root, stockade, busybox_packed, docker_registry, skopeo, umoci, podman);
    let (registry, stockade) = (Registry::plain(), Stockade::new());
    let source = generated::kinds(&stockade.folder().join("image"));
    let image = registry.put(&source, "kinds:1");
    stockade.ask(&["pull", "-q", &image]).ok();
    let script = "cd /kinds; rm dropped file 2>/dev/null; mkdir made; echo new > made/file; chmod 4711 made/file; \
                  ln made/file made/hard; ln -s file made/link; mkfifo made/fifo; rm -r hidden; mkdir hidden; chown 12:34 noise";
    let run = ["run", "--name", "changed", "--userns", "host", "--pull", "never", &image, "sh", "-c", script];
    stockade.ask(&run).ok();
    stockade.know(&stockade.ids()[0]);
    let pushed = format!("{}/changed:1", registry.address());
    stockade.ask(&["commit", "changed", &pushed]).ok();
    let ours = in_container(&stockade, &pushed, "kinds");
    stockade.ask(&["push", &pushed]).ok();
    // By skopeo and umoci.
    let theirs = facts(&by_umoci(&stockade.folder().join("theirs"), &pushed).join("kinds")).unwrap();
    assert_same("pushed and unpacked by umoci", &ours, &theirs);
    // By ourselves, into another store.
    let other = Stockade::new();
    let answer = other.ask(&["pull", &pushed]).ok();
    assert!(answer.stdout.contains(&digest(&pushed)), "{answer:?}");
    assert_same("pulled back", &ours, &in_container(&other, &pushed, "kinds"));
    // By another engine, from a file.
    let archive = stockade.folder().join("saved.tar").display().to_string();
    stockade.ask(&["save", "-o", &archive, &pushed]).ok();
    // So deep that its folders are not taken for containers of ours.
    let at = |name: &str| stockade.folder().join("other/engine/of/podman").join(name).display().to_string();
    let (root, run) = (at("root"), stockade.folder().join("r").display().to_string());
    let podman = |line: &[&str]| {
        tool(&[&["podman", "--root", &root, "--runroot", &run, "--storage-driver", "vfs"], line].concat())
    };
    podman(&["load", "-q", "-i", &archive]);
    assert_eq!(podman(&["image", "inspect", "--format", "{{.Id}}", &pushed]), id(&stockade, &pushed));
    let mounted = PathBuf::from(podman(&["image", "mount", &pushed]));
    // Podman knows no time before 1970 and no second name of a link.
    let mut loaded = facts(&mounted.join("kinds")).unwrap();
    let mut expected = ours.clone();
    for name in ["before", "link", "hard-to-link"] {
        assert!(loaded.remove(Path::new(name)).is_some() && expected.remove(Path::new(name)).is_some(), "{name}");
    }
    assert_same("saved and loaded by podman", &expected, &loaded);
    podman(&["image", "unmount", &pushed]);
    // And back from what podman saves.
    let back = stockade.folder().join("back.tar").display().to_string();
    podman(&["save", "-q", "--format", "oci-archive", "-o", &back, &pushed]);
    let third = Stockade::new();
    third.ask(&["load", "-i", &back]).ok();
    assert_same("saved by podman", &ours, &in_container(&third, &pushed, "kinds"));
}

/// The image's id without its algorithm.
fn id(stockade: &Stockade, image: &str) -> String {
    let id = stockade.ask(&["image", "inspect", "--format", "{{.Id}}", image]).ok();
    id.out().trim_start_matches("sha256:").to_owned()
}
