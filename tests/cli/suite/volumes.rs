//! Volumes: what outlives a container, what goes with it, and what an image puts into them.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use stockade_testkit::layout::Layout;
use stockade_testkit::processes::kill;
use stockade_testkit::tarball::{Member, Tarball};
use stockade_testkit::{Call, Stockade, eventually, requires};

/// `cap_net_raw+ep` as the kernel stores it (`struct vfs_ns_cap_data`, version 2).
const CAPABLE: [u8; 20] = [1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// The busybox image with more layers, volumes at `volumes`, and content in `/srv/data`.
fn with_content(stockade: &Stockade, volumes: &[&str]) -> String {
    let canary = stockade.folder().join("canary");
    let mut layout = Layout::on_busybox(&stockade.folder().join("image"), &canary);
    layout.layer(Tarball::of([
        Member::directory("srv"),
        Member::directory("srv/data").mode(0o2750).owner(11, 12).mtime(981_173_106),
        Member::file("srv/data/one", "first").owner(13, 14).mode(0o4755).mtime(981_173_107),
        Member::link("srv/data/again", "srv/data/one"),
        Member::file("srv/data/hidden", "not to be seen"),
        Member::file("srv/data/capable", "").mode(0o755).xattr("security.capability", &CAPABLE),
        Member::directory("srv/data/sub").owner(15, 16).mode(0o1777),
        Member::device(b'3', "srv/data/null", 1, 3),
    ]));
    layout.layer(Tarball::of([
        Member::directory("srv/data").mode(0o2750).owner(11, 12).mtime(981_173_106),
        Member::file("srv/data/.wh.hidden", ""),
        Member::symlink("srv/data/link", "/etc/passwd"),
        Member::fifo("srv/data/pipe"),
    ]));
    let volumes: serde_json::Map<String, Value> = volumes.iter().map(|path| ((*path).to_owned(), json!({}))).collect();
    layout.config["config"]["Volumes"] = volumes.into();
    layout.config["config"]["Cmd"] = json!(["true"]);
    layout.finish()
}

/// `run FLAGS IMAGE sh -c SCRIPT`.
fn sh(stockade: &Stockade, image: &str, flags: &[&str], script: &str) -> Call {
    stockade.call(&["run", "--rm"]).args(flags).arg(image).args(["sh", "-c", script])
}

fn mounts(stockade: &Stockade, container: &str) -> Value {
    serde_json::from_str(&stockade.inspect(container, "{{json .Mounts}}")).unwrap()
}

#[test]
fn a_volume_outlives_its_containers_and_is_shared_by_them() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    stockade.sh(&["-v", "data:/a"], "echo one > /a/file; ls -a /a").ok();
    assert_eq!(stockade.sh(&["--mount", "source=data,target=/b"], "cat /b/file").ok().out(), "one");
    let reader = stockade.sh(&["-v", "data:/c:ro"], "cat /c/file; echo x > /c/file");
    assert!(reader.code() == 1 && reader.out() == "one" && reader.stderr.contains("Read-only"), "{reader:?}");
    let id = stockade.detached(&["-v", "data:/d", "-v", "data:/e"], &["sleep", "1000"]);
    stockade.sh(&["-v", "data:/a"], "echo two > /a/file").ok();
    let root = format!("/proc/{}/root", stockade.pid(&id));
    for place in ["d", "e"] {
        assert_eq!(std::fs::read_to_string(Path::new(&root).join(place).join("file")).unwrap(), "two\n");
    }
    assert_eq!(stockade.volumes(), ["data"]);
    assert_eq!(std::fs::read_to_string(stockade.volume("data").join("file")).unwrap(), "two\n");
}

#[test]
fn inspect_shows_volumes_as_docker_does() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    let flags = ["-v", "data:/a", "-v", "data:/b:ro", "-v", "/own", "--mount", "type=volume,target=/c,readonly"];
    let id = stockade.detached(&flags, &["sleep", "1000"]);
    let found = mounts(&stockade, &id);
    let source = stockade.volume("data").display().to_string();
    assert_eq!(
        found[0],
        json!({ "Type": "volume", "Name": "data", "Source": source, "Destination": "/a", "Driver": "local", "Mode": "z",
                "RW": true, "Propagation": "" })
    );
    assert_eq!((&found[1]["Mode"], &found[1]["RW"]), (&json!("ro"), &json!(false)));
    assert_eq!((&found[2]["Mode"], &found[2]["Name"].as_str().unwrap().len()), (&json!(""), &64));
    assert_eq!((&found[3]["Mode"], &found[3]["RW"]), (&json!("z"), &json!(false)));
    assert_eq!(stockade.inspect(&id, "{{json .HostConfig.Binds}}"), r#"["data:/a","data:/b:ro"]"#);
    assert_eq!(stockade.inspect(&id, "{{json .Config.Volumes}}"), r#"{"/own":{}}"#);
}

#[test]
fn volumes_without_a_name_go_with_their_container_if_asked() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    let image = with_content(&stockade, &["/srv/data", "/other"]);
    sh(&stockade, &image, &["-v", "/own", "-v", "data:/named"], "touch /own/x /other/y /srv/data/z").run().ok();
    assert_eq!(stockade.volumes(), ["data"], "--rm takes them along");
    let make = || {
        let id = stockade.call(&["create", "-v", "/own", "-v", "data:/named", &image]).run().ok();
        stockade.know(id.out())
    };
    let id = make();
    assert_eq!(stockade.volumes().len(), 4);
    stockade.ask(&["rm", "-v", &id]).ok();
    assert_eq!(stockade.volumes(), ["data"]);
    let kept = make();
    stockade.ask(&["rm", &kept]).ok();
    assert_eq!(stockade.volumes().len(), 4, "rm without -v keeps them");
    // One that another container has stays.
    let id = make();
    let name = mounts(&stockade, &id)[0]["Name"].as_str().unwrap().to_owned();
    let other = stockade.detached(&["-v", &format!("{name}:/x")], &["sleep", "1000"]);
    stockade.ask(&["rm", "-v", &id]).ok();
    assert!(stockade.volumes().contains(&name));
    stockade.ask(&["rm", "-fv", &other]).ok();
    assert!(stockade.volumes().contains(&name), "it was no volume of that container's own");
}

#[test]
fn something_else_where_the_image_wants_a_volume() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    let image = with_content(&stockade, &["/srv/data"]);
    let host = stockade.folder().join("host");
    std::fs::create_dir(&host).unwrap();
    let bind = format!("{}:/srv/data", host.display());
    for flags in [["-v", "data:/srv/data/"], ["-v", &bind], ["--tmpfs", "/srv/data"]] {
        let id = stockade.call(&["create"]).args(flags).arg(&image).run().ok();
        let id = stockade.know(id.out());
        assert!(stockade.volumes().iter().all(|name| name == "data"), "{flags:?}");
        stockade.ask(&["rm", &id]).ok();
    }
}

#[test]
fn an_empty_volume_gets_what_the_image_has() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    let image = with_content(&stockade, &[]);
    let look =
        "cd /srv/data; stat -c '%n %a %u %g %h %F %Y' one again; stat -c '%n %a %u %g' . sub; readlink link; ls -A";
    let expected = sh(&stockade, &image, &[], look).run().ok().stdout;
    let filled = sh(&stockade, &image, &["-v", "data:/srv/data:ro"], look).run().ok().stdout;
    let changed = std::fs::metadata(stockade.volume("data")).unwrap().mtime();
    assert_eq!(changed, 981_173_106);
    let mut value = [0; 32];
    let length = rustix::fs::getxattr(stockade.volume("data").join("capable"), "security.capability", &mut value[..]);
    assert_eq!(value[..length.unwrap()], CAPABLE);
    assert_eq!(filled, expected.replace("null\n", ""), "all but device nodes");
    assert!(!filled.contains("hidden") && filled.contains("one 4755 13 14 2 regular file 981173107"), "{filled}");
    // Only once, and only if it is empty.
    sh(&stockade, &image, &["-v", "data:/srv/data"], "rm /srv/data/one").run().ok();
    sh(&stockade, &image, &["-v", "data:/srv/data"], "test ! -e /srv/data/one").run().ok();
    for flags in [["-v", "none:/srv/data:nocopy"], ["--mount", "source=none,target=/srv/data,volume-nocopy"]] {
        let done = sh(&stockade, &image, &flags, "ls -A /srv/data; stat -c '%a %u' /srv/data").run().ok();
        assert_eq!(done.out(), "755 0", "{flags:?}");
    }
    // An empty folder of the image's gives its owner and mode, and a missing one nothing.
    sh(&stockade, &image, &["-v", "sub:/srv/data/sub"], "test $(stat -c %a%u /srv/data/sub) = 177715").run().ok();
    sh(&stockade, &image, &["-v", "new:/not/there"], "test $(stat -c %a%u /not/there) = 7550").run().ok();
    // What is in use is filled where it is: a container that has it sees what comes.
    let id = stockade.call(&["run", "-d", "-v", "late:/not/there", &image, "sleep", "1000"]).run().ok();
    let id = stockade.know(id.out());
    sh(&stockade, &image, &["-v", "late:/srv/data"], "true").run().ok();
    let seen = format!("/proc/{}/root/not/there/one", stockade.pid(&id));
    assert_eq!(std::fs::read_to_string(seen).unwrap(), "first");
}

#[test]
fn many_first_uses_at_once_fill_it_once() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    let image = with_content(&stockade, &[]);
    sh(&stockade, &image, &[], "true").run().ok();
    let flags = ["-v", "b-data:/srv/data", "-v", "a-data:/srv/data/sub", "-v", "c-data:/etc"];
    let script = "test \"$(cat /srv/data/one)\" = first && test -d /srv/data/sub && test -s /etc/passwd && echo mine >> /srv/data/mine";
    let all: Vec<_> = (0..8).map(|_| sh(&stockade, &image, &flags, script).start()).collect();
    all.into_iter().for_each(|one| {
        one.wait().ok();
    });
    assert_eq!(std::fs::read_to_string(stockade.volume("b-data").join("mine")).unwrap(), "mine\n".repeat(8));
    assert_eq!(stockade.volumes(), ["a-data", "b-data", "c-data"]);
}

#[test]
fn the_commands_say_what_dockers_say() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    let ask = |words: &[&str]| stockade.ask(&[&["volume"], words].concat());
    assert_eq!(ask(&["ls"]).ok().out().split_whitespace().collect::<Vec<_>>(), ["DRIVER", "VOLUME", "NAME"]);
    assert_eq!(ask(&["create", "--label", "a=b", "data"]).ok().out(), "data");
    assert_eq!(ask(&["create", "data"]).ok().out(), "data", "the same again");
    let anonymous = ask(&["create"]).ok().out().to_owned();
    assert_eq!(anonymous.len(), 64);
    let mut inspected = ask(&["inspect", "data"]).ok().json();
    assert!(inspected[0]["CreatedAt"].as_str().unwrap().starts_with("20"));
    inspected[0]["CreatedAt"] = json!("");
    let mountpoint = stockade.volume("data").display().to_string();
    assert_eq!(
        inspected,
        json!([{ "CreatedAt": "", "Driver": "local", "Labels": { "a": "b" }, "Mountpoint": mountpoint, "Name": "data",
                 "Options": null, "Scope": "local" }])
    );
    assert_eq!(ask(&["inspect", "-f", "{{.Name}} {{index .Labels \"a\"}}", "data"]).ok().out(), "data b");
    assert_eq!(ask(&["ls", "-q", "-f", "label=a"]).ok().out(), "data");
    assert_eq!(
        ask(&["ls", "--format", "{{.Driver}} {{.Mountpoint}}", "-f", "name=dat"]).ok().out(),
        format!("local {mountpoint}")
    );
    let id = stockade.detached(&["-v", "data:/x"], &["true"]);
    stockade.until(&id, "exited");
    assert_eq!(ask(&["ls", "-q", "-f", "dangling=true"]).ok().out(), anonymous);
    let refused = ask(&["rm", "data"]).exits(1);
    assert!(refused.stderr.contains(&format!("remove data: volume is in use - [{id}]")), "{refused:?}");
    ask(&["rm", "-f", "data"]).exits(1).refuses(&["in use"]);
    let missing = ask(&["inspect", "nobody", "data"]).exits(1);
    assert!(missing.stderr.contains("no such volume: nobody") && missing.json()[0]["Name"] == "data", "{missing:?}");
    assert_eq!(ask(&["inspect", "nobody"]).exits(1).out(), "[]");
    assert_eq!(stockade.ask(&["inspect", "data"]).ok().json()[0]["Mountpoint"].as_str(), Some(mountpoint.as_str()));
    assert_eq!(stockade.ask(&["inspect", "--type", "volume", "-f", "{{.Scope}}", "data"]).ok().out(), "local");
    stockade.ask(&["inspect", "--type", "container", "data"]).exits(1).refuses(&["no such container: data"]);
    ask(&["rm", "nobody"]).exits(1).refuses(&["no such volume: nobody"]);
    assert_eq!(ask(&["rm", "-f", "nobody"]).ok().out(), "nobody");
    for name in ["../x", "..", ".", "a/b", "/etc", "-x", ""] {
        ask(&["create", "--", name]).exits(125).refuses(&["volume name"]);
        ask(&["rm", "--", name]).exits(125).refuses(&["volume name"]);
        ask(&["inspect", "--", name]).exits(1).refuses(&["no such volume"]);
    }
    ask(&["create", "-o", "type=nfs", "-o", "o=addr=1.2.3.4", "-o", "device=:/x", "far"]).exits(1).refuses(&["nfs"]);
    ask(&["create", "-d", "sshfs", "far"]).exits(125).refuses(&["local is the only driver"]);
    stockade.ask(&["rm", &id]).ok();
    assert_eq!(ask(&["rm", "data"]).ok().out(), "data");
    assert_eq!(stockade.volumes(), [anonymous]);
}

#[test]
fn prune_takes_what_no_container_has() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    let prune = |words: &[&str]| stockade.call(&["volume", "prune"]).args(words);
    assert_eq!(prune(&["-f"]).run().ok().out(), "Total reclaimed space: 0B");
    let anonymous = stockade.ask(&["volume", "create"]).ok().out().to_owned();
    std::fs::write(stockade.volume(&anonymous).join("file"), [0; 1500]).unwrap();
    for (name, label) in [("used", "a"), ("data", "b"), ("kept", "keep")] {
        stockade.ask(&["volume", "create", "--label", label, name]).ok();
    }
    let id = stockade.detached(&["-v", "used:/x", "-v", "/own"], &["true"]);
    stockade.until(&id, "exited");
    let asked = prune(&[]).stdin(b"n\n").run().exits(1);
    assert!(
        asked.stdout.contains("anonymous local volumes not used") && asked.stderr.contains("cancelled"),
        "{asked:?}"
    );
    let done = prune(&[]).stdin(b"y\n").run().ok();
    assert!(
        done.stdout.ends_with(&format!("Deleted Volumes:\n{anonymous}\n\nTotal reclaimed space: 1.5kB\n")),
        "{done:?}"
    );
    let done = prune(&["-af", "--filter", "label!=keep"]).run().ok();
    assert_eq!(done.stdout, "Deleted Volumes:\ndata\n\nTotal reclaimed space: 0B\n");
    let mut left = stockade.volumes();
    left.retain(|name| name.len() < 64);
    assert_eq!((left, stockade.volumes().len()), (vec!["kept".to_owned(), "used".to_owned()], 3));
}

#[test]
fn a_part_of_a_volume() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    stockade.sh(&["-v", "data:/data"], "mkdir -p /data/a/b; echo deep > /data/a/b/file; ln -s a/b /data/link").ok();
    for (part, look) in [("a/b", "/part/file"), ("link", "/part/file"), ("a/b/file", "/part")] {
        let mount = format!("type=volume,source=data,target=/part,volume-subpath={part}");
        let done = stockade.sh(&["--mount", &mount], &format!("cat {look}")).ok();
        assert_eq!(done.out(), "deep", "{part}");
    }
    let read_only = "type=volume,source=data,target=/part,volume-subpath=a,readonly";
    let done = stockade.sh(&["--mount", read_only], "ls /part; touch /part/x").exits(1);
    assert!(done.out() == "b" && done.stderr.contains("Read-only"), "{done:?}");
    let missing = "type=volume,source=data,target=/part,volume-subpath=none";
    stockade.sh(&["--mount", missing], "true").exits(125).refuses(&["\"none\" of the volume data"]);
    // It is found anew at each start.
    let mount = "type=volume,source=data,target=/part,volume-subpath=a/b";
    let id = stockade.detached(&["--mount", mount], &["cat", "/part/file"]);
    stockade.ask(&["wait", &id]).ok();
    stockade.sh(&["-v", "data:/data"], "mv /data/a/b /data/a/old; mkdir /data/a/b; echo new > /data/a/b/file").ok();
    stockade.ask(&["start", &id]).ok();
    stockade.ask(&["wait", &id]).ok();
    assert_eq!(stockade.ask(&["logs", &id]).ok().out(), "deep\nnew");
}

#[test]
fn a_volume_that_is_a_folder_of_the_host() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    let host = stockade.folder().join("host");
    std::fs::create_dir(&host).unwrap();
    let device = format!("device={}", host.display());
    stockade.ask(&["volume", "create", "-o", "type=none", "-o", "o=bind", "-o", &device, "mine"]).ok();
    stockade.sh(&["-v", "mine:/etc"], "echo here > /etc/file").ok();
    assert_eq!(std::fs::read_to_string(host.join("file")).unwrap(), "here\n");
    stockade.ask(&["volume", "rm", "mine"]).ok();
    assert!(host.join("file").exists(), "it is the host's");
    let options = format!("volume-opt=type=none,\"volume-opt=o=bind,ro\",volume-opt={device}");
    let done = stockade.sh(&["--mount", &format!("source=again,target=/x,{options}")], "cat /x/file; touch /x/y");
    assert!(done.out() == "here" && done.stderr.contains("Read-only"), "{done:?}");
}

#[test]
fn a_volume_that_is_gone_is_told() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    let id = stockade.ask(&["create", "-v", "data:/x", stockade.image(), "true"]).ok().out().to_owned();
    let id = stockade.know(&id);
    std::fs::remove_dir_all(stockade.data().join("volumes/data")).unwrap();
    stockade.ask(&["start", &id]).exits(1).refuses(&["no such volume: data"]);
}

#[test]
fn a_container_with_ids_of_its_own_sees_them_in_volumes() {
    requires!(root, stockade, busybox_packed, unshare, user_namespaces);
    let stockade = Stockade::new();
    let image = with_content(&stockade, &["/srv/data"]);
    let ranges = stockade.folder().join("ranges");
    std::fs::write(&ranges, "stockade:200000:65536\n").unwrap();
    let line = stockade.command_line().iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" ");
    // The files of the host that give the ranges, in a mount namespace that ends with the command.
    let private = |flags: &str, script: &str| {
        let script = format!(
            "mount --bind {0} /etc/subuid && mount --bind {0} /etc/subgid && {line} run --rm --userns=private {flags} '{image}' sh -c '{script}'",
            ranges.display(),
        );
        Call::new("unshare").args(["-m", "sh", "-c", &script]).run()
    };
    let look = "stat -c %u:%g /srv/data /srv/data/one /srv/data/sub; cat /srv/data/one; echo mine > /srv/data/mine; chown 7 /srv/data/mine";
    let done = private("-v data:/srv/data", look).ok();
    assert_eq!(done.out(), "11:12\n13:14\n15:16\nfirst", "{done:?}");
    // On the disk there are the ids that the image has, and those that were meant.
    let owner = |name: &str| std::fs::metadata(stockade.volume("data").join(name)).unwrap().uid();
    assert_eq!([owner("."), owner("one"), owner("sub"), owner("mine")], [11, 13, 15, 7]);
    sh(&stockade, &image, &["-v", "data:/x"], "test $(stat -c %u /x/mine) = 7").run().ok();
    let part = "--mount source=data,target=/part,volume-subpath=sub";
    assert_eq!(private(part, "stat -c %u /part; touch /part/x").ok().out(), "15");
    assert_eq!(owner("sub/x"), 0);
}

#[test]
fn containers_with_different_ids_share_a_volume() {
    requires!(root, stockade, busybox_packed, user_namespaces);
    let stockade = Stockade::new();
    let image = with_content(&stockade, &["/other"]);
    let auto = ["--userns", "auto", "-v", "data:/srv/data"];
    let done =
        sh(&stockade, &image, &auto, "stat -c %u /srv/data/one; echo 1 > /srv/data/mine; chown 7:8 /srv/data/mine");
    assert_eq!(done.run().ok().out(), "13");
    let done = sh(&stockade, &image, &auto, "stat -c %u:%g /srv/data/mine; echo 2 >> /srv/data/mine; touch /other/x");
    assert_eq!(done.run().ok().out(), "7:8");
    let done = sh(&stockade, &image, &["-v", "data:/x"], "stat -c %u:%g /x/mine; cat /x/mine").run().ok();
    assert_eq!(done.out(), "7:8\n1\n2");
    let part = ["--userns", "auto", "--mount", "source=data,target=/part,volume-subpath=sub"];
    sh(&stockade, &image, &part, "test $(stat -c %u /part) = 15 && touch /part/x").run().ok();
    let stored = std::fs::metadata(stockade.volume("data").join("sub/x")).unwrap();
    assert_eq!((stored.uid(), stored.gid()), (0, 0), "nothing is stored under ids that are one container's");
    assert_eq!(stockade.volumes(), ["data"]);
}

#[test]
fn no_volume_is_taken_from_a_container_that_is_being_made() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    stockade.sh(&[], "true").ok();
    let image = stockade.image();
    for _ in 0..8 {
        let made: Vec<_> =
            (0..2).map(|_| stockade.call(&["create", "-v", "data:/x", "-v", "/own", image, "true"]).start()).collect();
        let removals = [["volume", "rm", "data"], ["volume", "prune", "-af"], ["volume", "rm", "data"]];
        let removals: Vec<_> = removals.iter().map(|words| stockade.call(words).start()).collect();
        removals.into_iter().for_each(|one| one.wait().either_way());
        for one in made {
            let id = stockade.know(one.wait().ok().out());
            stockade.ask(&["start", &id]).ok();
            assert_eq!(stockade.ask(&["wait", &id]).ok().out(), "0");
            stockade.ask(&["rm", "-v", &id]).ok();
        }
        stockade.ask(&["volume", "prune", "-af"]).ok();
        assert_eq!(stockade.volumes(), Vec::<String>::new());
    }
}

#[test]
fn a_removal_that_is_killed_leaves_volumes_that_are_sound() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    stockade.sh(&[], "true").ok();
    let unfinished = stockade.data().join("volumes/.unfinished");
    for round in 0..16u64 {
        let script = "cd /data; mkdir a b c; for i in $(seq 200); do touch a/$i b/$i c/$i; done";
        stockade.sh(&["-v", "data:/data"], script).ok();
        let own = stockade.detached(&["-v", "/own"], &["sleep", "1000"]);
        let name = mounts(&stockade, &own)[0]["Name"].as_str().unwrap().to_owned();
        let removals = [vec!["volume", "rm", "data"], vec!["rm", "-fv", own.as_str()]];
        let removals: Vec<_> = removals.iter().map(|words| stockade.call(words).start()).collect();
        std::thread::sleep(Duration::from_micros(1000 * round));
        for one in removals {
            kill(one.pid());
            one.wait().either_way();
        }
        // The container is there with its volume, or both are gone.
        let (ids, volumes) = (stockade.ids(), stockade.volumes());
        assert!(!ids.contains(&own) || volumes.contains(&name), "round {round}");
        assert!(ids.contains(&own) || !volumes.contains(&name), "round {round}");
        if ids.contains(&own) {
            stockade.ask(&["rm", "-fv", &own]).ok();
        }
        // So is the volume with a name, whole, or it is gone.
        if volumes.contains(&"data".to_owned()) {
            let done = stockade.sh(&["-v", "data:/data"], "ls /data/a /data/b /data/c | wc -l").ok();
            assert_eq!(done.out(), "605", "round {round}");
            stockade.ask(&["volume", "rm", "data"]).ok();
        }
        assert_eq!(stockade.volumes(), Vec::<String>::new(), "round {round}");
        assert_eq!(std::fs::read_dir(&unfinished).unwrap().count(), 0, "round {round}");
    }
    stockade.assert_gone();
}

#[test]
fn a_damaged_container_keeps_volumes_until_it_is_removed_by_force() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    let id = stockade.detached(&["-v", "data:/x", "-v", "/own"], &["true"]);
    stockade.until(&id, "exited");
    std::fs::write(stockade.data().join("containers").join(&id).join("record.json"), "{").unwrap();
    stockade.ask(&["volume", "rm", "data"]).exits(1).refuses(&["cannot tell which volumes are in use"]);
    stockade.ask(&["volume", "prune", "-af"]).exits(1).refuses(&["rm --force"]);
    stockade.ask(&["rm", "-fv", &id]).ok();
    assert_eq!(stockade.volumes(), ["data"]);
    stockade.ask(&["volume", "rm", "data"]).ok();
}

#[test]
fn a_command_that_is_killed_leaves_volumes_that_are_sound() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    let image = with_content(&stockade, &["/other"]);
    sh(&stockade, &image, &[], "true").run().ok();
    let begin = std::time::Instant::now();
    sh(&stockade, &image, &["-v", "first:/srv/data"], "true").run().ok();
    let usual = u64::try_from(begin.elapsed().as_micros()).unwrap();
    for round in 0..24u64 {
        let name = format!("data-{round}");
        let flags = ["-d", "-v", &format!("{name}:/srv/data"), "-v", "/own"];
        let running = stockade.call(&["run"]).args(flags).args([&image, "sleep", "1000"]).start();
        std::thread::sleep(Duration::from_micros(usual * round / 20));
        kill(running.pid());
        running.wait().either_way();
        for id in stockade.ids() {
            stockade.know(&id);
            stockade.ask(&["rm", "-fv", &id]).ok();
        }
        // The child that copies ends with its parent, and a command that comes before it has ended leaves what is left to the next.
        eventually("nothing to be left of the container", Duration::from_secs(20), || {
            stockade.volumes().iter().all(|one| one.len() < 64)
                && std::fs::read_dir(stockade.data().join("unfinished")).unwrap().count() == 0
        });
        // What has a name is there or not, and whole for the next.
        let flags = ["-v", &format!("{name}:/srv/data")];
        let seen = sh(&stockade, &image, &flags, "cd /srv/data; cat one again; readlink link; ls").run().ok();
        assert_eq!(
            seen.out().split_whitespace().collect::<Vec<_>>().join(" "),
            "firstfirst/etc/passwd again capable link one pipe sub",
            "{round}"
        );
        let volume = stockade.data().join("volumes").join(&name);
        assert_eq!(std::fs::read_dir(&volume).unwrap().count(), 2, "{round}");
    }
    let unfinished = stockade.data().join("volumes/.unfinished");
    assert_eq!(std::fs::read_dir(unfinished).unwrap().count(), 0);
    stockade.assert_gone();
}

#[test]
fn nobody_else_walks_into_volumes() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    stockade.sh(&["-v", "data:/x"], "true").ok();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode(&stockade.volume("data")), 0o755);
    for path in ["volumes", "volumes/data", "volumes/.unfinished"] {
        assert_eq!(mode(&stockade.data().join(path)), 0o700, "{path}");
    }
    assert_eq!(mode(&stockade.data().join("volumes/data/volume.json")), 0o600);
}
