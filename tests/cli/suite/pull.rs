//! `pull`, and `run` of images that are not here: from a real registry, over connections that break, by processes that are
//! killed, on disks that are full.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::Signal;
use stockade_testkit::proxy::{Dice, Fault, Request};
use stockade_testkit::tarball::{Member, Tarball};
use stockade_testkit::{Call, Layout, Proxy, Pty, Registry, Stockade, eventually, requires};

/// How large the layers of [`large`] are, which do not compress.
const LARGE: usize = 600_000;

/// An image on busybox with some large layers, as skopeo calls it.
fn large(stockade: &Stockade, layers: usize) -> String {
    let folder = stockade.folder().join("large");
    let mut layout = Layout::on_busybox(&folder, stockade.folder());
    let mut dice = Dice::new(7);
    for number in 0..layers {
        layout.layer(Tarball::of([Member::file(format!("large{number}"), dice.bytes(LARGE))]));
    }
    layout.finish()
}

fn busybox() -> String {
    format!("oci:{}:latest", stockade_testkit::programs::images().join("busybox/oci").display())
}

/// The blobs that are whole, each of which must be what its name says.
fn blobs(stockade: &Stockade) -> Vec<PathBuf> {
    let folder = stockade.data().join("images/blobs/sha256");
    let all: Vec<PathBuf> =
        std::fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path()).collect();
    for path in &all {
        let found = stockade_testkit::layout::digest(&std::fs::read(path).unwrap());
        assert_eq!(found, format!("sha256:{}", path.file_name().unwrap().to_str().unwrap()));
    }
    all
}

/// What is there of blobs.
fn partial(data: &Path) -> Vec<(String, u64)> {
    let entries = std::fs::read_dir(data.join("images/ingest")).into_iter().flatten().flatten();
    let of = |entry: std::fs::DirEntry| Some((entry.file_name().into_string().ok()?, entry.metadata().ok()?.len()));
    entries.filter_map(of).collect()
}

/// Runs a container of the large image that reads all of it.
#[track_caller]
fn assert_runs(stockade: &Stockade, name: &str, layers: usize) {
    let done = stockade.ask(&["run", "--rm", "--pull", "never", name, "sh", "-c", "cat /large* | wc -c"]).ok();
    assert_eq!(done.out(), (layers * LARGE).to_string());
    stockade.ask(&["system", "check"]).ok();
    assert_eq!(partial(&stockade.data()), []);
}

#[test]
fn an_image_is_pulled_once_and_runs_by_every_name() {
    requires!(root, stockade, busybox_packed, docker_registry, skopeo);
    let (stockade, registry) = (Stockade::new(), Registry::plain());
    let name = registry.put(&busybox(), "group/busybox:1.0");
    let done = stockade.ask(&["pull", &name]).ok();
    let digest = done.stdout.split_once("Digest: ").unwrap().1.lines().next().unwrap().to_owned();
    assert!(done.stdout.starts_with("1.0: Pulling from group/busybox\n"), "{done:?}");
    assert!(done.stdout.contains(": Pull complete\n"), "{done:?}");
    let end = format!("Digest: {digest}\nStatus: Downloaded newer image for {name}\n{name}\n");
    assert!(done.stdout.ends_with(&end), "{done:?}");
    let again = stockade.ask(&["pull", &name]).ok();
    assert!(again.stdout.contains(": Already exists\n"), "{again:?}");
    assert!(again.stdout.contains(&format!("Status: Image is up to date for {name}\n")), "{again:?}");
    assert_eq!(stockade.ask(&["pull", "-q", &name]).ok().stdout, format!("{name}\n"));
    let repository = name.strip_suffix(":1.0").unwrap();
    let pinned = format!("{repository}@{digest}");
    let id = stockade.ask(&["create", &name]).ok().out().to_owned();
    let image = stockade.inspect(&id, "{{.Image}}");
    assert_eq!(stockade.inspect(&id, "{{.Config.Image}}"), name);
    stockade.ask(&["rm", &id]).ok();
    for text in [&name, &pinned, &image, &image["sha256:".len()..], &image["sha256:".len()..][..12]] {
        let done = stockade.ask(&["run", "--rm", "--pull", "never", text, "echo", "hi"]).ok();
        assert_eq!((done.stdout.as_str(), done.stderr.as_str()), ("hi\n", ""), "{text}");
    }
    // Without a tag latest is meant, which is not there.
    let done = stockade.ask(&["pull", repository]).exits(1);
    assert_eq!(done.stdout, "Using default tag: latest\n");
    assert!(done.stderr.contains("does not have it"), "{done:?}");
    assert_eq!(blobs(&stockade).len(), 3);
}

#[test]
fn run_pulls_what_is_missing_as_it_is_told_to() {
    requires!(root, stockade, busybox_packed, docker_registry, skopeo);
    let (stockade, registry) = (Stockade::new(), Registry::plain());
    let name = registry.put(&busybox(), "busybox:latest");
    let short = name.strip_suffix(":latest").unwrap();
    let done = stockade.ask(&["run", "--rm", "--pull", "never", short, "true"]).exits(125);
    assert_eq!(done.stderr, format!("stockade: No such image: {name}\n"));
    // What the container says is not mixed with what is said of the pull.
    let done = stockade.ask(&["run", "--rm", short, "echo", "hi"]).ok();
    assert_eq!(done.stdout, "hi\n");
    assert!(done.stderr.starts_with(&format!("Unable to find image '{name}' locally\n")), "{done:?}");
    assert!(done.stderr.ends_with(&format!("Status: Downloaded newer image for {name}\n")), "{done:?}");
    assert_eq!(stockade.ask(&["run", "--rm", short, "echo", "hi"]).ok().stderr, "");
    let done = stockade.ask(&["run", "--rm", "--pull", "always", short, "echo", "hi"]).ok();
    assert!(done.stderr.contains("Image is up to date"), "{done:?}");
    let done = stockade.ask(&["create", "-q", "--pull", "always", short]).ok();
    assert_eq!((done.out().len(), done.stderr.as_str()), (64, ""), "{done:?}");
    stockade.ask(&["rm", done.out()]).ok();
    // An image for another platform is none.
    let done = stockade.ask(&["run", "--rm", "--pull", "never", "--platform", "linux/s390x", short, "true"]);
    done.exits(125).refuses(&["No such image"]);
    let done = stockade.ask(&["run", "--rm", "--platform", "linux/s390x", short, "true"]).exits(125);
    assert!(done.stderr.contains("not for linux/s390x"), "{done:?}");
    // What cannot be had is said once.
    let done = stockade.ask(&["run", "--rm", &format!("{}/none", registry.address()), "true"]).exits(125);
    assert_eq!(done.stderr.lines().filter(|line| line.starts_with("stockade: ")).count(), 1, "{done:?}");
    stockade.ask(&["create", &format!("{}/none", registry.address())]).exits(1).either_way();
    stockade.assert_gone();
}

/// The digests of the layers of the layout in `folder`.
fn layers(folder: &Path) -> Vec<String> {
    let read = |path: PathBuf| -> serde_json::Value { serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap() };
    let index = read(folder.join("index.json"));
    let manifest = index["manifests"][0]["digest"].as_str().unwrap().to_owned();
    let manifest = read(stockade_testkit::layout::blob(folder, &manifest));
    manifest["layers"].as_array().unwrap().iter().map(|layer| layer["digest"].as_str().unwrap().to_owned()).collect()
}

/// A plan that answers requests for layers with some bytes of them first, and then not, until `go` is there.
fn stalling(part: u64, layers: Vec<String>, go: PathBuf) -> impl Fn(&Request) -> Fault + Send + Sync {
    move |request| match request.blob().filter(|blob| layers.iter().any(|layer| layer == blob)) {
        Some(_) if go.exists() => Fault::None,
        Some(_) if request.start == 0 => Fault::Cut(part),
        Some(_) => Fault::Delay(Duration::from_secs(600)),
        None => Fault::None,
    }
}

#[test]
fn whoever_is_killed_the_next_pull_goes_on_within_the_blob() {
    requires!(root, stockade, busybox_packed, docker_registry, skopeo);
    let registry = Registry::plain();
    for (signal, part) in [(Signal::KILL, 1), (Signal::INT, 100_000), (Signal::KILL, 400_000)] {
        let stockade = Stockade::new();
        let image = large(&stockade, 2);
        registry.put(&image, "large:latest");
        let go = stockade.folder().join("go");
        let proxy =
            Proxy::before(registry.address(), stalling(part, layers(&stockade.folder().join("large")), go.clone()));
        let name = format!("{}/large", proxy.address());
        let running = stockade.call(&["pull", &name]).start();
        // Three layers come at once, and stand still.
        eventually("three partial blobs", Duration::from_secs(60), || {
            let there = partial(&stockade.data());
            there.len() == 3 && there.iter().all(|(_, size)| *size == part)
        });
        running.signal(signal);
        assert_ne!(running.wait().code(), 0);
        stockade.ask(&["run", "--rm", "--pull", "never", &name, "true"]).exits(125).either_way();
        blobs(&stockade);
        std::fs::write(&go, "").unwrap();
        stockade.ask(&["pull", &name]).ok();
        assert_runs(&stockade, &name, 2);
        let starts: Vec<u64> = proxy
            .served()
            .iter()
            .filter(|one| one.fault == Fault::None && one.request.blob().is_some())
            .map(|one| one.request.start)
            .collect();
        assert_eq!(starts.iter().filter(|start| **start == part).count(), 3, "{starts:?}");
    }
}

#[test]
fn two_that_pull_the_same_share_the_work() {
    requires!(root, stockade, busybox_packed, docker_registry, skopeo);
    let (stockade, registry) = (Stockade::new(), Registry::plain());
    let image = large(&stockade, 4);
    registry.put(&image, "large:latest");
    let proxy = Proxy::before(registry.address(), |_request| Fault::None);
    let name = format!("{}/large", proxy.address());
    let all: Vec<_> = (0..3).map(|_| stockade.call(&["pull", &name]).limit(Duration::from_secs(120)).start()).collect();
    for one in all {
        one.wait().ok();
    }
    assert_runs(&stockade, &name, 4);
    let sizes: Vec<u64> = blobs(&stockade).iter().map(|path| path.metadata().unwrap().len()).collect();
    for (digest, bytes) in proxy.blob_bytes() {
        assert!(bytes < 10_000 || sizes.contains(&bytes), "{bytes} bytes of {digest} came");
    }
}

#[test]
fn what_comes_damaged_is_refused_and_leaves_nothing() {
    requires!(root, stockade, busybox_packed, docker_registry, skopeo);
    let (stockade, registry) = (Stockade::new(), Registry::plain());
    let image = large(&stockade, 3);
    let honest = registry.put(&image, "large:latest");
    for place in [0, 3, 300_000] {
        let proxy = Proxy::before(registry.address(), move |request| match request.blob() {
            Some(_) => Fault::Corrupt(place),
            None => Fault::None,
        });
        let name = format!("{}/large", proxy.address());
        let done = stockade.ask(&["pull", &name]).exits(1);
        assert!(done.stderr.contains("sha256:"), "{done:?}");
        blobs(&stockade);
        stockade.ask(&["run", "--rm", "--pull", "never", &name, "true"]).exits(125).either_way();
    }
    stockade.ask(&["pull", &honest]).ok();
    assert_runs(&stockade, &honest, 3);
}

/// A script with `pull` as `$PULL`, in a mount namespace where the data folder is what the script makes of it.
fn elsewhere(stockade: &Stockade, name: &str, script: &str) -> stockade_testkit::Finished {
    let line = stockade.command_line().iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" ");
    std::fs::create_dir_all(stockade.data()).unwrap();
    std::fs::set_permissions(stockade.data(), std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    let script = format!("DATA='{}'; pull() {{ {line} pull -q '{name}'; }}; {script}", stockade.data().display());
    Call::new("unshare").args(["-m", "sh", "-c", &script]).limit(Duration::from_secs(120)).run()
}

#[test]
fn a_full_disk_is_an_error_and_the_next_pull_goes_on() {
    requires!(root, stockade, busybox_packed, docker_registry, skopeo, unshare);
    let (stockade, registry) = (Stockade::new(), Registry::plain());
    let image = large(&stockade, 4);
    let name = registry.put(&image, "large:latest");
    let script = "mount -t tmpfs -o size=3m,mode=700 none $DATA && pull; echo first $?; \
                  grep -c large $DATA/images/index.json; mount -o remount,size=64m $DATA && pull; echo second $?";
    let done = elsewhere(&stockade, &name, script);
    assert_eq!(done.stdout, format!("first 1\n0\n{name}\nsecond 0\n"), "{done:?}");
    assert!(done.stderr.contains("No space left on device"), "{done:?}");
}

#[test]
fn a_read_only_disk_is_one_clear_error() {
    requires!(root, stockade, busybox_packed, docker_registry, skopeo, unshare);
    let (stockade, registry) = (Stockade::new(), Registry::plain());
    let name = registry.put(&busybox(), "busybox:latest");
    stockade.ask(&["ps"]).ok();
    let done = elsewhere(&stockade, &name, "mount --bind $DATA $DATA && mount -o remount,bind,ro $DATA && pull");
    assert!(done.code() != 0 && done.stderr.lines().count() == 1, "{done:?}");
    assert!(done.stderr.contains("Read-only file system"), "{done:?}");
}

#[test]
fn a_terminal_shows_a_line_for_each_layer() {
    requires!(root, stockade, busybox_packed, docker_registry, skopeo);
    let (stockade, registry) = (Stockade::new(), Registry::plain());
    let image = large(&stockade, 2);
    let name = registry.put(&image, "large:latest");
    let line =
        |arguments: &[&str]| [stockade.command_line(), arguments.iter().map(ToString::to_string).collect()].concat();
    let mut pty = Pty::start(&line(&["pull", &name]));
    let (status, seen) = pty.wait();
    assert!(status.success(), "{seen:?}");
    assert_eq!(seen.matches(": Pulling fs layer").count(), 3, "{seen:?}");
    assert!(seen.contains("Downloading [=="), "{seen:?}");
    assert_eq!(seen.matches(": Pull complete").count(), 3, "{seen:?}");
    // A terminal with fewer lines than layers gets plain lines.
    let mut small = Pty::start(&line(&["pull", &name]));
    small.resize(4, 80);
    let (status, seen) = small.wait();
    assert!(status.success() && seen.contains("Already exists"), "{seen:?}");
}

#[test]
fn system_check_finds_what_is_damaged_and_the_next_pull_mends_it() {
    requires!(root, stockade, busybox_packed, docker_registry, skopeo);
    let (stockade, registry) = (Stockade::new(), Registry::plain());
    let image = large(&stockade, 2);
    let name = registry.put(&image, "large:latest");
    stockade.ask(&["pull", "-q", &name]).ok();
    assert_eq!(stockade.ask(&["system", "check"]).ok().stdout, "");
    let largest = blobs(&stockade).into_iter().max_by_key(|path| path.metadata().unwrap().len()).unwrap();
    let mut bytes = std::fs::read(&largest).unwrap();
    bytes[1000] ^= 1;
    std::fs::write(&largest, bytes).unwrap();
    let hex = largest.file_name().unwrap().to_str().unwrap().to_owned();
    let done = stockade.ask(&["system", "check"]).exits(1);
    assert!(done.stdout.contains(&format!("blob sha256:{hex} has the content of")), "{done:?}");
    stockade.ask(&["system", "check", "--repair"]).exits(1).either_way();
    assert_eq!(stockade.ask(&["system", "check"]).ok().stdout, "");
    stockade.ask(&["pull", "-q", &name]).ok();
    assert_runs(&stockade, &name, 2);
    // A layer that a container stands on is told and stays.
    let id = stockade.ask(&["create", &name, "true"]).ok().out().to_owned();
    let lower = std::fs::read_dir(stockade.data().join("layers/sha256")).unwrap().map(|entry| entry.unwrap().path());
    let file = lower.map(|layer| layer.join("large0")).find(|path| path.exists()).unwrap();
    std::fs::write(&file, "x").unwrap();
    let done = stockade.ask(&["system", "check", "--repair"]).exits(1);
    assert!(done.stdout.contains("on which containers stand") && file.exists(), "{done:?}");
    stockade.ask(&["rm", &id]).ok();
    stockade.ask(&["system", "check", "--repair"]).exits(1).either_way();
    stockade.ask(&["pull", "-q", &name]).ok();
    assert_runs(&stockade, &name, 2);
}

#[test]
fn what_a_container_is_being_made_of_is_no_garbage() {
    requires!(root, stockade, busybox_packed, docker_registry, skopeo);
    let (stockade, registry) = (Stockade::new(), Registry::plain());
    let name = registry.put(&busybox(), "busybox:latest");
    for _ in 0..12 {
        let create = stockade.call(&["create", "-q", &name, "true"]).start();
        let others = [&["rmi", "-f", &name][..], &["image", "prune", "-af"]].map(|words| stockade.call(words).start());
        let create = create.wait();
        others.into_iter().for_each(|other| other.wait().either_way());
        if create.code() == 0 {
            let id = stockade.know(create.out());
            // Its layers are there whoever removed the image.
            stockade.ask(&["start", "-a", &id]).ok();
            stockade.ask(&["rm", &id]).ok();
        } else {
            // It was removed between the pull and the lookup: nothing else may go wrong.
            assert!(create.stderr.contains("No such image"), "{create:?}");
        }
    }
    // Undisturbed it goes well.
    let id = stockade.ask(&["create", "-q", &name, "true"]).ok().out().to_owned();
    stockade.ask(&["rm", &id]).ok();
    stockade.ask(&["system", "check"]).ok();
}
