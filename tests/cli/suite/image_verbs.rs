//! The images that are kept: lists, names, removal by Docker's rules, and what becomes of their content.

use stockade_testkit::{Stockade, programs, requires};

fn image(name: &str) -> String {
    programs::images().join("busybox").join(name).display().to_string()
}

/// `stockade` with the busybox image as `busybox:latest`, which containers are made from by the archive that it is from: the
/// image is the same.
fn with_busybox() -> Stockade {
    let stockade = Stockade::with_image(&format!("docker-archive:{}", image("docker.tar")));
    let loaded = stockade.ask(&["load", "-i", &image("docker.tar")]).ok();
    assert_eq!(loaded.out(), "Loaded image: busybox:latest");
    stockade
}

fn lines(stockade: &Stockade, arguments: &[&str]) -> Vec<String> {
    stockade.ask(arguments).ok().out().lines().map(str::to_owned).collect()
}

/// How many folders of layers there are.
fn layers(stockade: &Stockade) -> usize {
    std::fs::read_dir(stockade.data().join("layers/sha256")).unwrap().count()
}

#[test]
fn images_are_listed_named_and_inspected() {
    requires!(root, stockade, busybox_packed);
    let stockade = with_busybox();
    let id = stockade.ask(&["images", "-q", "--no-trunc"]).ok().out().to_owned();
    let short = &id["sha256:".len()..][..12];
    for target in ["busybox:1", "a/b", "localhost:5000/c:2"] {
        stockade.ask(&["tag", short, target]).ok();
    }
    let table = lines(&stockade, &["images"]);
    let words: Vec<&str> = table[0].split_whitespace().collect();
    assert_eq!(words, ["REPOSITORY", "TAG", "IMAGE", "ID", "CREATED", "SIZE"]);
    let mut names = lines(&stockade, &["image", "ls", "--format", "{{.Repository}}:{{.Tag}}"]);
    names.sort();
    assert_eq!(names, ["a/b:latest", "busybox:1", "busybox:latest", "localhost:5000/c:2"]);
    assert!(table[1..].iter().all(|line| line.contains(short)), "{table:?}");
    for (arguments, count) in [
        (&["busybox"][..], 2),
        (&["busybox:1"], 1),
        (&["*"], 2),
        (&["*/*"], 2),
        (&["localhost:5000/?"], 1),
        (&["nope"], 0),
        (&["--filter", "reference=bus*:l*"], 1),
        (&["--filter", "reference=nope"], 0),
        (&["--filter", "dangling=true"], 0),
        (&["--filter", "dangling=false"], 4),
        (&["--filter", "before=busybox"], 0),
        (&["--filter", "until=1s"], 4),
        (&["--filter", "until=100000h"], 0),
        (&["--filter", "label=x"], 0),
    ] {
        assert_eq!(lines(&stockade, &[&["images", "-q"], arguments].concat()).len(), count, "{arguments:?}");
    }
    let json: serde_json::Value =
        serde_json::from_str(&lines(&stockade, &["images", "--format", "json", "a/b"])[0]).unwrap();
    assert_eq!((json["Repository"].as_str(), json["ID"].as_str()), (Some("a/b"), Some(short)));
    // By every name, and by itself where no container has the name.
    for name in [short, &id, "a/b", "docker.io/a/b:latest", "localhost:5000/c:2"] {
        for command in [&["inspect"][..], &["inspect", "--type", "image"], &["image", "inspect"]] {
            let one = stockade.ask(&[command, &["-f", "{{.Id}} {{.Os}} {{len .RootFS.Layers}}", name]].concat());
            assert_eq!(one.ok().out(), format!("{id} linux 1"), "{command:?} {name}");
        }
    }
    stockade.ask(&["inspect", "--type", "container", short]).exits(1).refuses(&["no such container"]);
    stockade.ask(&["inspect", "nope"]).exits(1).refuses(&["no such object: nope"]);
    stockade.ask(&["image", "inspect", "nope"]).exits(1).refuses(&["no such image: nope"]);
    let history = lines(&stockade, &["history", "--format", "{{.ID}} {{.Size}} {{.CreatedBy}}", "-H=false", "busybox"]);
    assert!(history[0].starts_with(short) && history.last().unwrap().starts_with("<missing> "), "{history:?}");
    assert!(history.iter().any(|line| line.split(' ').nth(1).unwrap().parse::<u64>().unwrap() > 1000), "{history:?}");
    for (arguments, code, word) in [
        (&["tag", "nope", "a"][..], 1, "no such image: nope"),
        (&["tag", "busybox", "A"], 1, "lowercase"),
        (&["tag", "busybox", &format!("a@{id}")], 1, "digest"),
        (&["images", "--filter", "nope=x"], 125, "unknown key"),
        (&["images", "--filter", "since=nope"], 1, "no such image: nope"),
        (&["images", "--format", "{{.Nope}}"], 125, "there is no field"),
        (&["history", "nope"], 1, "no such image: nope"),
    ] {
        stockade.ask(arguments).exits(code).refuses(&[word]);
    }
}

#[test]
fn a_name_is_taken_from_who_had_it_and_what_has_none_is_dangling() {
    requires!(root, stockade, busybox_packed);
    let stockade = with_busybox();
    stockade.ask(&["load", "-i", &image("oci-zstd.tar")]).ok();
    let all = lines(&stockade, &["images", "-q", "--no-trunc"]);
    let unnamed = lines(&stockade, &["images", "-q", "--filter", "dangling=true"]);
    if all.len() == 1 {
        // The same configuration: the same image.
        assert_eq!(unnamed.len(), 0);
        return;
    }
    assert_eq!((all.len(), unnamed.len()), (2, 1), "{all:?}");
    stockade.ask(&["tag", &unnamed[0], "busybox:latest"]).ok();
    let dangling = lines(&stockade, &["images", "-q", "-f", "dangling=true"]);
    assert!(dangling.len() == 1 && dangling != unnamed, "{dangling:?}");
    let pruned = stockade.ask(&["image", "prune", "-f"]).ok();
    assert!(
        pruned.stdout.contains("deleted: sha256:") && pruned.stdout.contains("Total reclaimed space: "),
        "{pruned:?}"
    );
    assert_eq!(lines(&stockade, &["images", "-q"]), unnamed);
}

#[test]
fn what_containers_need_is_not_removed() {
    requires!(root, stockade, busybox_packed);
    let stockade = with_busybox();
    let id = stockade.ask(&["images", "-q"]).ok().out().to_owned();
    let running = stockade.detached(&[], &["sleep", "1000"]);
    let refused = stockade.ask(&["rmi", "busybox"]).exits(1);
    let expected = format!(
        "stockade: conflict: unable to remove repository reference \"busybox:latest\" (must force) - container {} is using \
         its referenced image {id}\n",
        &running[..12]
    );
    assert_eq!(refused.stderr, expected);
    stockade
        .ask(&["rmi", "-f", &id])
        .exits(1)
        .refuses(&["(cannot be forced) - image is being used by running container"]);
    stockade.ask(&["stop", "-t", "0", &running]).ok();
    stockade.ask(&["rmi", &id]).exits(1).refuses(&["(must be forced) - image is being used by stopped container"]);
    stockade.ask(&["tag", "busybox", "other:1"]).ok();
    assert_eq!(stockade.ask(&["rmi", "busybox"]).ok().stdout, "Untagged: busybox:latest\n");
    let forced = stockade.ask(&["rmi", "-f", "other:1"]).ok();
    assert!(forced.stdout.starts_with(&format!("Untagged: other:1\nDeleted: sha256:{id}")), "{forced:?}");
    assert_eq!(stockade.ask(&["images", "-q"]).ok().out(), "");
    // The image is gone, and the container has its layers until it goes, too.
    assert_eq!(layers(&stockade), 1);
    stockade.ask(&["image", "prune", "-af"]).ok();
    stockade.ask(&["start", &running]).ok();
    stockade.until(&running, "running");
    stockade.ask(&["rm", "-f", &running]).ok();
    stockade.ask(&["image", "prune", "-f"]).ok();
    assert_eq!(layers(&stockade), 0);
    stockade.assert_gone();
}

#[test]
fn several_are_removed_past_errors_and_by_force_without_one() {
    requires!(root, stockade, busybox_packed);
    let stockade = with_busybox();
    let id = stockade.ask(&["images", "-q"]).ok().out().to_owned();
    stockade.ask(&["tag", "busybox", "b:2"]).ok();
    stockade.ask(&["rmi", &id]).exits(1).refuses(&["(must be forced) - image is referenced in multiple repositories"]);
    let done = stockade.ask(&["rmi", "nope", "b:2", "nope2"]).exits(1);
    assert_eq!(done.stdout, "Untagged: b:2\n");
    assert_eq!(done.stderr, "stockade: No such image: nope\nstockade: No such image: nope2\n");
    stockade.ask(&["rmi", "-f", "nope"]).ok();
    stockade.ask(&["tag", "busybox", "b:2"]).ok();
    let done = stockade.ask(&["rmi", "--force", &id]).ok();
    assert_eq!(done.stdout.lines().filter(|line| line.starts_with("Untagged: ")).count(), 2, "{done:?}");
    assert_eq!(stockade.ask(&["images", "-q"]).ok().out(), "");
    assert_eq!(layers(&stockade), 0);
}

#[test]
fn prunes_ask_first() {
    requires!(root, stockade, busybox_packed);
    let stockade = with_busybox();
    for (arguments, warning) in [
        (&["image", "prune"][..], "remove all dangling images"),
        (&["image", "prune", "-a"], "images without at least one container"),
        (&["container", "prune"], "remove all stopped containers"),
        (&["system", "prune"], "  - all dangling images"),
        (&["system", "prune", "-a", "--volumes"], "  - all images without at least one container"),
    ] {
        for answer in ["", "n\n", "yes\n", "\n"] {
            let done = stockade.call(arguments).stdin(answer.as_bytes()).run().exits(1);
            assert!(done.stdout.starts_with("WARNING! ") && done.stdout.contains(warning), "{done:?}");
            assert!(done.stdout.ends_with("Are you sure you want to continue? [y/N] "), "{done:?}");
            assert!(done.stderr.contains("prune has been cancelled"), "{done:?}");
        }
    }
    assert_eq!(lines(&stockade, &["images", "-q"]).len(), 1);
    let done = stockade.call(&["image", "prune", "-a"]).stdin(b"y\n").run().ok();
    assert!(done.stdout.contains("Deleted Images:\nuntagged: busybox:latest\ndeleted: sha256:"), "{done:?}");
    assert_eq!(lines(&stockade, &["images", "-q"]).len(), 0);
}

#[test]
fn what_is_used_is_counted_and_what_is_not_goes() {
    requires!(root, stockade, busybox_packed);
    let stockade = with_busybox();
    let stopped = stockade.ask(&["create", "-l", "keep=no", stockade.image(), "true"]).ok().out().to_owned();
    let stopped = stockade.know(&stopped);
    let writer = stockade.detached(&[], &["sh", "-c", "dd if=/dev/zero of=/tmp/x bs=1M count=3; exec sleep 1000"]);
    stockade_testkit::eventually("the container to have written", std::time::Duration::from_secs(30), || {
        let sizes = lines(&stockade, &["system", "df", "-v", "--format", "{{range .Containers}}{{.Size}} {{end}}"]);
        sizes[0].contains("3.1")
    });
    let rows = lines(&stockade, &["system", "df", "--format", "{{.Type}} {{.TotalCount}} {{.Active}}"]);
    assert_eq!(rows, ["Images 1 1", "Containers 2 1", "Local Volumes 0 0", "Build Cache 0 0"]);
    let table = lines(&stockade, &["system", "df"]);
    assert_eq!(table[0].split_whitespace().collect::<Vec<_>>(), ["TYPE", "TOTAL", "ACTIVE", "SIZE", "RECLAIMABLE"]);
    let verbose = stockade.ask(&["system", "df", "-v"]).ok();
    for part in
        ["Images space usage:", "Containers space usage:", "Local Volumes space usage:", "Build cache usage: 0B"]
    {
        assert!(verbose.stdout.contains(part), "{verbose:?}");
    }
    // Nothing but the filter keeps it.
    stockade.ask(&["container", "prune", "-f", "--filter", "label!=keep"]).ok();
    stockade.ask(&["container", "prune", "-f", "--filter", "until=24h"]).ok();
    assert_eq!(stockade.ids().len(), 2);
    let done = stockade.ask(&["system", "prune", "-af"]).ok();
    assert!(done.stdout.starts_with(&format!("Deleted Containers:\n{stopped}\n\n")), "{done:?}");
    assert!(done.stdout.lines().last().unwrap().starts_with("Total reclaimed space: "), "{done:?}");
    assert_eq!(stockade.ids(), std::slice::from_ref(&writer));
    assert_eq!(lines(&stockade, &["images", "-q"]).len(), 1, "its image is in use");
    stockade.ask(&["rm", "-f", &writer]).ok();
    let done = stockade.ask(&["system", "prune", "--all", "--force"]).ok();
    assert!(done.stdout.contains("untagged: busybox:latest"), "{done:?}");
    assert!(!done.stdout.ends_with("Total reclaimed space: 0B\n"), "{done:?}");
    assert_eq!(lines(&stockade, &["images", "-q"]).len(), 0);
    assert_eq!(layers(&stockade), 0);
}
