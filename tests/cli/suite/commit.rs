//! `commit` and `import`: images that are made here, and run again.

use std::fs::{File, create_dir, write};
use std::path::Path;

use serde_json::Value;
use stockade_testkit::{Call, Stockade, requires};

fn text(path: &Path) -> String {
    path.display().to_string()
}

/// The documents of the image `id`: its configuration, and its manifest.
fn documents(stockade: &Stockade, id: &str) -> (Value, Value) {
    let blob = |digest: &str| -> Value {
        let path = stockade.data().join("images/blobs/sha256").join(digest.trim_start_matches("sha256:"));
        serde_json::from_reader(File::open(path).unwrap()).unwrap()
    };
    let index: Value = serde_json::from_reader(File::open(stockade.data().join("images/index.json")).unwrap()).unwrap();
    let manifests = index["manifests"].as_array().unwrap().iter();
    let mut manifests = manifests.map(|entry| blob(entry["digest"].as_str().unwrap()));
    let manifest = manifests.find(|manifest| manifest["config"]["digest"] == id).unwrap();
    (blob(id), manifest)
}

#[test]
fn a_commit_is_an_image_that_runs() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    let script = "echo new > /new; rm /etc/group; rm -r /root; mkdir /root; touch /root/x; ln /new /twin; chown 5:6 /new; \
                  touch /t/x; touch /ready";
    for (flags, stays) in [(&["--tmpfs", "/t"][..], true), (&["--tmpfs", "/t", "--userns", "auto"][..], false)] {
        let end = if stays { "; exec sleep 1000" } else { "" };
        let id = stockade.detached(flags, &["sh", "-c", &format!("{script}{end}")]);
        let ready = || stockade.ask(&["cp", &format!("{id}:/ready"), "-"]).code() == 0;
        stockade_testkit::eventually("the container to be ready", std::time::Duration::from_secs(30), ready);
        let changes = ["-c", "ENV A=b", "--change", "CMD [\"cat\", \"/new\"]", "-c", "LABEL x=y", "-c", "EXPOSE 80"];
        let done = stockade.call(&["commit", "-a", "me", "-m", "why"]).args(changes).args([&id, "made:one"]).run().ok();
        let image = done.out().to_owned();
        assert!(image.starts_with("sha256:") && image.len() == 71, "{image}");
        if stays {
            // It goes on.
            stockade.ask(&["cp", &format!("{id}:/new"), "-"]).ok();
            stockade.ask(&["stop", "-t", "0", &id]).ok();
        }
        let (config, manifest) = documents(&stockade, &image);
        assert_eq!(config["author"], "me");
        assert_eq!(config["history"].as_array().unwrap().last().unwrap()["comment"], "why");
        assert_eq!(config["config"]["Labels"]["x"], "y");
        assert!(config["config"]["Env"].as_array().unwrap().iter().any(|variable| variable == "A=b"));
        assert!(!config["config"]["Env"].to_string().contains("HOSTNAME="));
        let layers = manifest["layers"].as_array().unwrap();
        assert_eq!(layers.len(), config["rootfs"]["diff_ids"].as_array().unwrap().len());
        let run = |command: &[&str]| stockade.call(&["run", "--rm", "made:one"]).args(command).run();
        assert_eq!(run(&[]).ok().out(), "new");
        let script = "test ! -e /etc/group && test -e /root/x && test -e /bin/busybox && stat -c '%u:%g %h' /new; test ! -e /t/x";
        assert_eq!(run(&["sh", "-c", script]).ok().out(), "5:6 2");
        // Once more from what is in the store now: its layers are kept, and one is added.
        let done = stockade.ask(&["create", "made:one", "true"]).ok();
        let child = stockade.know(done.out());
        let again = stockade.ask(&["commit", &child]).ok().out().to_owned();
        let (config, grown) = documents(&stockade, &again);
        assert!(config["config"]["ExposedPorts"]["80/tcp"].is_object(), "{config}");
        assert_eq!(grown["layers"].as_array().unwrap()[..layers.len()], layers[..]);
        assert_eq!(grown["layers"].as_array().unwrap().len(), layers.len() + 1);
    }
}

#[test]
fn other_tools_read_what_was_committed() {
    requires!(root, stockade, busybox_packed, skopeo, umoci);
    let stockade = Stockade::new();
    let id = stockade.detached(&[], &["sh", "-c", "echo new > /new; rm /etc/group"]);
    stockade.until(&id, "exited");
    stockade.ask(&["commit", &id, "made"]).ok();
    let (images, copy) = (stockade.data().join("images"), stockade.folder().join("copy"));
    let index: Value = serde_json::from_reader(File::open(images.join("index.json")).unwrap()).unwrap();
    assert_eq!(index["manifests"].as_array().unwrap().len(), 1);
    let from = format!("oci:{}", text(&images));
    Call::new("skopeo").args(["copy", &from, &format!("oci:{}:made", text(&copy))]).run().ok();
    let bundle = stockade.folder().join("bundle");
    Call::new("umoci").args(["unpack", "--image", &format!("{}:made", text(&copy)), &text(&bundle)]).run().ok();
    assert_eq!(std::fs::read_to_string(bundle.join("rootfs/new")).unwrap(), "new\n");
    assert!(!bundle.join("rootfs/etc/group").exists() && bundle.join("rootfs/bin/busybox").exists());
}

#[test]
fn what_cannot_be_committed() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    let done = stockade.ask(&["create", "host", "true"]).ok();
    let host = stockade.know(done.out());
    stockade.ask(&["commit", &host]).exits(1).refuses(&["host", "cp"]);
    let done = stockade.ask(&["create", stockade.image(), "true"]).ok();
    let id = stockade.know(done.out());
    stockade.ask(&["commit", "-c", "RUN x", &id]).exits(125).refuses(&["RUN", "change command"]);
    stockade.ask(&["commit", "-c", "VOLUME relative", &id]).exits(1).either_way();
    stockade.ask(&["commit", &id, "UPPER"]).exits(1).either_way();
    stockade.ask(&["commit", "nobody"]).exits(1).refuses(&["no such container"]);
    // A file that would be read as a whiteout.
    let id = stockade.detached(&[], &["touch", "/.wh.bin"]);
    stockade.until(&id, "exited");
    stockade.ask(&["commit", &id]).exits(1).refuses(&["whiteout"]);
}

/// Whoever is killed during a commit, the container does not stand still for ever.
#[test]
fn a_container_goes_on_after_a_killed_commit() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    let script =
        "dd if=/dev/zero of=/big bs=1M count=64 2>/dev/null; touch /ready; while :; do date +%s%N > /now; done";
    let id = stockade.detached(&[], &["sh", "-c", script]);
    let ready = || stockade.ask(&["cp", &format!("{id}:/ready"), "-"]).code() == 0;
    stockade_testkit::eventually("the container to be ready", std::time::Duration::from_secs(60), ready);
    let now = || stockade.ask(&["cp", &format!("{id}:/now"), "-"]).stdout;
    for round in 0..5 {
        let commit = stockade.call(&["commit", &id]).start();
        // At whatever instant: while it is paused, before, or after.
        std::thread::sleep(std::time::Duration::from_millis(60 * round));
        commit.signal(rustix::process::Signal::KILL);
        commit.wait().either_way();
        let before = now();
        stockade_testkit::eventually("the container to go on", std::time::Duration::from_secs(30), || now() != before);
    }
}

#[test]
fn an_import_is_an_image_of_one_layer() {
    requires!(root, stockade, busybox_packed, zstd);
    let stockade = Stockade::new();
    let done = stockade.ask(&["create", stockade.image(), "true"]).ok();
    let id = stockade.know(done.out());
    let path = |name: &str| stockade.folder().join(name);
    stockade.ask(&["export", "-o", &text(&path("a.tar")), &id]).ok();
    Call::new("gzip").args(["-k", &text(&path("a.tar"))]).run().ok();
    Call::new("zstd").args(["-q", &text(&path("a.tar"))]).run().ok();
    let mut diff_ids = Vec::new();
    for (file, name) in [("a.tar", "made:plain"), ("a.tar.gz", "made:gzip"), ("a.tar.zst", "made:zstd")] {
        let line = ["import", "-c", "CMD echo $0 imported", "-m", "why", &text(&path(file)), name];
        let image = stockade.ask(&line).ok().out().to_owned();
        let (config, _) = documents(&stockade, &image);
        assert_eq!(config["history"][0]["comment"], "why");
        diff_ids.push(config["rootfs"]["diff_ids"].clone());
        let done = stockade.call(&["run", "--rm", name]).run().ok();
        assert!(done.out().ends_with("imported"), "{done:?}");
        stockade.call(&["run", "--rm", name, "test", "-e", "/etc/passwd"]).run().ok();
    }
    assert!(diff_ids.iter().all(|ids| *ids == diff_ids[0]), "the layer is the same however it came");
    let script = r#""$@" import - piped < "$0" && "$@" run --rm piped echo works"#;
    let line = stockade.command_line();
    let done = Call::new("sh").args(["-c", script, &text(&path("a.tar"))]).args(&line).run().ok();
    assert!(done.out().ends_with("works"), "{done:?}");
    // Another machine's, and what is no image.
    stockade.ask(&["import", "--platform", "linux/riscv64", &text(&path("a.tar")), "other"]).ok();
    stockade.ask(&["run", "--rm", "other", "true"]).exits(125).either_way();
    stockade.ask(&["import", "https://example.com/a.tar"]).exits(1).refuses(&["curl"]);
    write(path("garbage"), "x".repeat(2000)).unwrap();
    stockade.ask(&["import", &text(&path("garbage")), "garbage"]).exits(1).either_way();
    create_dir(path("evil")).unwrap();
    let evil = "cd \"$0\"; echo x > file; tar -Pcf ../evil.tar --transform 's,^,../../,' file";
    Call::new("sh").args(["-c", evil, &text(&path("evil"))]).run().ok();
    stockade.ask(&["import", &text(&path("evil.tar")), "evil"]).exits(1).either_way();
    stockade.ask(&["run", "--rm", "evil", "true"]).exits(125).either_way();
}
