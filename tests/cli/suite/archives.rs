//! `save` and `load`: what other tools write is read, what is written they read, with the same digests; and of an archive that is
//! not what it says nothing is left.

use std::path::PathBuf;

use stockade_testkit::hostile::{CLASSES, Expected, Layout};
use stockade_testkit::{Call, Finished, Pty, Stockade, programs, requires};

fn image(name: &str) -> String {
    programs::images().join("busybox").join(name).display().to_string()
}

/// `stockade` with the busybox image under this name.
fn with_busybox(name: &str) -> Stockade {
    let stockade = Stockade::with_image(name);
    stockade.ask(&["load", "-i", &image("docker.tar")]).ok();
    stockade.ask(&["tag", "busybox", name]).ok();
    stockade.ask(&["rmi", "busybox:latest"]).ok();
    stockade
}

/// A command of ours that reads the file `archive` from a pipe.
fn piped(stockade: &Stockade, arguments: &[&str], archive: &str) -> Finished {
    let call = Call::new("sh").args(["-c", "cat \"$0\" | \"$@\"", archive]);
    call.args(stockade.command_line()).args(arguments).run()
}

/// The only line of `images` in this form.
#[track_caller]
fn only(stockade: &Stockade, format: &str) -> String {
    let all = stockade.ask(&["images", "--no-trunc", "--format", format]).ok();
    assert_eq!(all.out().lines().count(), 1, "{all:?}");
    all.out().to_owned()
}

/// Asserts that the store has no image, no blob and no layer, nor a part of one.
#[track_caller]
fn assert_empty(stockade: &Stockade, what: &str) {
    assert_eq!(stockade.ask(&["images", "-aq"]).ok().out(), "", "{what}");
    for folder in ["images/blobs/sha256", "images/ingest", "layers/sha256", "layers/unpacking"] {
        let path = stockade.data().join(folder);
        let left: Vec<PathBuf> =
            std::fs::read_dir(&path).into_iter().flatten().flatten().map(|one| one.path()).collect();
        assert!(left.is_empty(), "{what} left {left:?}");
    }
}

#[test]
fn what_is_saved_other_tools_read_with_the_same_digests() {
    requires!(root, stockade, busybox_packed, skopeo, umoci, podman);
    let stockade = with_busybox("127.0.0.1:5000/a/b:1");
    let archive = stockade.folder().join("saved.tar");
    let path = archive.to_str().unwrap();
    stockade.ask(&["save", "-o", path, stockade.image()]).ok();
    let again = stockade.folder().join("again.tar");
    let call = Call::new("sh").args(["-c", "exec \"$@\" > \"$0\""]).arg(&again).args(stockade.command_line());
    call.args(["save", "127.0.0.1:5000/a/b"]).run().ok();
    assert!(std::fs::read(&again).unwrap() == std::fs::read(&archive).unwrap(), "the repository is its one tag");
    let (id, digest) = (
        only(&stockade, "{{.ID}}"),
        stockade.ask(&["inspect", "-f", "{{.Descriptor.Digest}}", stockade.image()]).ok().out().to_owned(),
    );
    // As a layout: the very manifest.
    let shown =
        Call::new("skopeo").args(["inspect", "--format", "{{.Digest}}"]).arg(format!("oci-archive:{path}")).run();
    assert_eq!(shown.ok().out(), digest);
    // Not in the folder of the engine, where names like these are taken for what is left of containers.
    let place = tempfile::tempdir().unwrap();
    let folder = place.path();
    let copy = |to: &str| {
        let source = format!("docker-archive:{path}:127.0.0.1:5000/a/b:1");
        Call::new("skopeo").args(["--insecure-policy", "copy", "--quiet", &source, to]).run().ok();
    };
    copy(&format!("dir:{}", folder.join("dir").display()));
    assert!(folder.join("dir").join(&id["sha256:".len()..]).is_file(), "the configuration is the same");
    // umoci knows nothing but layouts.
    let layout = folder.join("layout");
    std::fs::create_dir(&layout).unwrap();
    Call::new("tar").args(["xf", path, "-C"]).arg(&layout).run().ok();
    let stat = Call::new("umoci").args(["stat", "--image"]).arg(format!("{}:1", layout.display())).run().ok();
    assert!(stat.stdout.contains("HISTORY") || stat.stdout.contains("umoci"), "{stat:?}");
    let podman = |arguments: &[&str]| {
        let (root, run) = (folder.join("podman"), folder.join("podman-run"));
        let roots = [format!("--root={}", root.display()), format!("--runroot={}", run.display())];
        Call::new("podman").args(roots).args(["--storage-driver=vfs"]).args(arguments).run().ok()
    };
    podman(&["load", "-i", path]);
    let theirs = podman(&["image", "inspect", "--format", "{{.Id}}", "127.0.0.1:5000/a/b:1"]);
    assert_eq!(format!("sha256:{}", theirs.out()), id);
}

#[test]
fn what_other_tools_saved_is_loaded_plain_and_compressed_from_files_and_pipes() {
    requires!(root, stockade, busybox_packed, podman, skopeo, zstd);
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).display().to_string();
    let (root, run) = (file("podman"), file("podman-run"));
    let podman = |arguments: &[&str]| {
        let roots = ["--root", &root, "--runroot", &run, "--storage-driver=vfs"];
        Call::new("podman").args(roots).args(arguments).run().ok()
    };
    podman(&["load", "-i", &image("docker.tar")]);
    let id = podman(&["images", "-q", "--no-trunc"]).out().to_owned();
    podman(&["tag", &id, "localhost:5000/x/y:2"]);
    podman(&["save", "-q", "-o", &file("docker.tar"), "localhost:5000/x/y:2"]);
    podman(&["save", "-q", "--format", "oci-archive", "-o", &file("oci.tar"), "localhost:5000/x/y:2"]);
    let (from, to) = (
        format!("oci-archive:{}", image("oci-zstd.tar")),
        format!("oci-archive:{}:localhost:5000/x/y:2", file("zstd-layers.tar")),
    );
    Call::new("skopeo").args(["--insecure-policy", "copy", "-q", &from, &to]).run().ok();
    for name in ["docker.tar", "oci.tar"] {
        Call::new("gzip").args(["-k", &file(name)]).run().ok();
        Call::new("zstd").args(["-q", &file(name)]).run().ok();
    }
    for name in
        ["docker.tar", "docker.tar.gz", "docker.tar.zst", "oci.tar", "oci.tar.gz", "oci.tar.zst", "zstd-layers.tar"]
    {
        let stockade = Stockade::with_image("localhost:5000/x/y:2");
        let bytes = std::fs::read(file(name)).unwrap();
        for way in ["file", "stdin", "pipe"] {
            let done = match way {
                "file" => stockade.ask(&["load", "-q", "-i", &file(name)]),
                "stdin" => stockade.call(&["load"]).stdin(&bytes).run(),
                _ => piped(&stockade, &["load"], &file(name)),
            };
            assert_eq!(done.ok().out(), "Loaded image: localhost:5000/x/y:2", "{name} by {way}");
            assert_eq!(only(&stockade, "{{.Repository}}:{{.Tag}}"), "localhost:5000/x/y:2");
            let ours = only(&stockade, "{{.ID}}");
            // In its OCI archives podman writes the configuration anew.
            assert!(!name.starts_with("docker") || ours == id, "{name} by {way}: {ours} {id}");
            stockade.ask(&["rmi", "localhost:5000/x/y:2"]).ok();
            assert_empty(&stockade, name);
        }
    }
    podman(&["rmi", "-a", "-f"]);
}

#[test]
fn an_archive_of_our_own_is_the_same_image_again() {
    requires!(root, stockade, busybox_packed);
    let stockade = with_busybox("a:1");
    stockade.ask(&["tag", "a:1", "b:2"]).ok();
    let before = stockade.ask(&["image", "inspect", "a:1"]).ok().json();
    let archive = stockade.folder().join("all.tar");
    let path = archive.to_str().unwrap();
    stockade.ask(&["save", "-o", path, "a:1", "b:2", "a"]).ok();
    // Whoever replaces an archive has the old one or the new one.
    stockade.ask(&["save", "-o", path, "a:1", "b:2", "nope"]).exits(1).refuses(&["no such image: nope"]);
    stockade.ask(&["rmi", "a:1", "b:2"]).ok();
    assert_empty(&stockade, "rmi");
    let loaded = stockade.ask(&["load", "--input", path]).ok();
    assert_eq!(loaded.stdout, "Loaded image: a:1\nLoaded image: b:2\n");
    assert_eq!(stockade.ask(&["image", "inspect", "a:1"]).ok().json(), before);
    let id = only_id(&stockade);
    stockade.ask(&["save", "-o", path, &id]).ok();
    stockade.ask(&["rmi", "-f", &id]).ok();
    let unnamed = stockade.ask(&["load", "-i", path]).ok();
    assert!(unnamed.out().starts_with("Loaded image ID: sha256:") && unnamed.out().contains(&id), "{unnamed:?}");
    assert_eq!(only(&stockade, "{{.Repository}} {{.Tag}}"), "<none> <none>");
    let names: Vec<String> = std::fs::read_dir(stockade.folder())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with(".all"))
        .collect();
    assert!(names.is_empty(), "{names:?}");
}

fn only_id(stockade: &Stockade) -> String {
    let ids = stockade.ask(&["images", "-q"]).ok().out().lines().map(str::to_owned).collect::<Vec<_>>();
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    ids[0].clone()
}

#[test]
fn what_cannot_be_saved_or_loaded() {
    requires!(root, stockade, busybox_packed, setsid);
    let stockade = with_busybox("a:1");
    let folder = stockade.folder().display().to_string();
    for (arguments, code, word) in [
        (&["save", "nope"][..], 1, "no such image: nope"),
        (&["save"], 1, "requires at least 1 argument"),
        (&["save", "-o", "/dev/null", "a:1"], 1, "not a regular file"),
        (&["save", "-o", &folder, "a:1"], 1, "not a regular file"),
        (&["save", "-o", "/no/such/folder/x", "a:1"], 1, "/no/such/folder/x"),
        (&["save", "--platform", "linux/s390x", "a:1"], 1, "linux/s390x"),
        (&["save", "--platform", "a b", "a:1"], 125, "platform"),
        (&["load", "-i", "/no/such/file"], 1, "/no/such/file"),
        (&["load", "-i", "/etc/passwd"], 1, "archive"),
        (&["load", "-i", &folder], 1, "archive"),
        (&["load"], 1, "archive"),
        (&["load", "-i", &image("docker.tar"), "--platform", "linux/s390x"], 1, "linux/s390x"),
    ] {
        stockade.ask(arguments).exits(code).refuses(&[word]);
    }
    assert_eq!(only(&stockade, "{{.Repository}}"), "a");
    let line = [stockade.command_line(), vec!["save".to_owned(), "a:1".to_owned()]].concat();
    let (status, said) = Pty::start(&line).wait();
    assert_eq!(status.code(), Some(1));
    assert!(said.contains("cowardly refusing to save to a terminal"), "{said}");
}

#[test]
fn of_a_hostile_archive_nothing_is_left() {
    requires!(root, stockade, busybox_packed);
    let place = tempfile::tempdir().unwrap();
    let canary = place.path().join("canary");
    std::fs::create_dir(&canary).unwrap();
    std::fs::write(canary.join("file"), "untouched").unwrap();
    let mut refused = 0;
    for (number, kind) in CLASSES.iter().flat_map(|(_, kinds)| kinds.iter()).enumerate() {
        let Expected::NotUnpacked(words) = kind.expected else { continue };
        refused += 1;
        let folder = place.path().join(number.to_string());
        let mut layout = Layout::on_busybox(&folder, &canary);
        (kind.make)(&mut layout);
        layout.finish();
        let archive = place.path().join("archive.tar").display().to_string();
        Call::new("tar").args(["--sort=name", "-cf", &archive, "-C"]).arg(&folder).arg(".").run().ok();
        let stockade = Stockade::with_image("latest");
        let done = stockade.ask(&["load", "-i", &archive]);
        assert_eq!(done.code(), 1, "{}: {done:?}", kind.name);
        drop(done.refuses(words));
        if number % 8 == 0 {
            drop(piped(&stockade, &["load"], &archive).exits(1).refuses(words));
        }
        assert_empty(&stockade, kind.name);
        std::fs::remove_dir_all(&folder).unwrap();
    }
    assert!(refused > 20, "{refused}");
    assert_eq!(std::fs::read_to_string(canary.join("file")).unwrap(), "untouched");
    assert_eq!(std::fs::read_dir(&canary).unwrap().count(), 1);
}

#[test]
fn an_archive_that_ends_early_leaves_nothing() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::with_image("busybox");
    for name in ["docker.tar", "oci.tar", "docker-layout.tar"] {
        let bytes = std::fs::read(image(name)).unwrap();
        for part in 1..8 {
            let cut = bytes.len() * part / 8 - 200;
            let file = stockade.folder().join("cut.tar").display().to_string();
            std::fs::write(&file, &bytes[..cut]).unwrap();
            piped(&stockade, &["load"], &file).exits(1).either_way();
            stockade.ask(&["load", "-i", &file]).exits(1).either_way();
            assert_empty(&stockade, &format!("{name} cut at {cut}"));
        }
    }
}
