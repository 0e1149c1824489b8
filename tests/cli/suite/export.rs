//! `export` and `diff`: what a container is, and what it changed.

use std::fs::{create_dir, read_to_string, write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use stockade_testkit::{Call, Pty, Stockade, requires, tree};

fn text(path: &Path) -> String {
    path.display().to_string()
}

#[test]
fn an_export_is_the_whole_root_without_mounts() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    let path = |name: &str| stockade.folder().join(name);
    create_dir(path("volume")).unwrap();
    write(path("volume/file"), "of the host").unwrap();
    let volume = format!("{}:/volume", text(&path("volume")));
    let script =
        "echo new > /new; ln /new /twin; ln -s new /link; rm /etc/group; mkfifo /fifo; touch /volume/x; touch /ready";
    let flags = ["-v", &volume, "--tmpfs", "/t"];
    let running = stockade.detached(&flags, &["sh", "-c", &format!("{script}; touch /t/x; exec sleep 1000")]);
    let stopped = stockade.detached(&flags, &["sh", "-c", script]);
    stockade.until(&stopped, "exited");
    let ready = || stockade.ask(&["cp", &format!("{running}:/t/x"), "-"]).code() == 0;
    stockade_testkit::eventually("the container to be ready", std::time::Duration::from_secs(30), ready);
    for (number, id) in [&running, &stopped].into_iter().enumerate() {
        let (archive, out) = (path(&format!("{number}.tar")), path(&format!("out-{number}")));
        stockade.ask(&["export", "--output", &text(&archive), id]).ok();
        create_dir(&out).unwrap();
        Call::new("tar").args(["-xpf", &text(&archive), "-C", &text(&out)]).run().ok();
        assert_eq!(read_to_string(out.join("new")).unwrap(), "new\n");
        assert_eq!(out.join("twin").metadata().unwrap().nlink(), 2);
        assert!(out.join("link").is_symlink() && !out.join("etc/group").exists());
        for empty in ["volume", "t", "proc"] {
            assert_eq!(std::fs::read_dir(out.join(empty)).unwrap().count(), 0, "{empty}");
        }
        // What the image has is as it was.
        let (image, now) = (stockade_testkit::programs::image("busybox"), tree::facts(&out).unwrap());
        let before = tree::facts(&image).unwrap();
        // The image's archive has whole seconds.
        let timeless = |facts: &tree::Facts, name: &str| {
            let fact = facts[Path::new(name)].clone();
            fact.split(" changed ")
                .flat_map(|part| part.split_once(' '))
                .map(|(_, rest)| rest.to_owned())
                .collect::<String>()
        };
        for name in ["bin/busybox", "etc/passwd", "bin"] {
            assert_eq!(timeless(&before, name), timeless(&now, name), "{name}");
        }
        let to_stdout = r#""$@" export "$ID" | cmp - "$0""#;
        let line = stockade.command_line();
        Call::new("sh").args(["-c", to_stdout, &text(&archive)]).args(&line).env("ID", id).run().ok();
    }
    // A file appears whole or not at all.
    stockade.ask(&["export", "-o", &text(&path("none")), "nobody"]).exits(1).refuses(&["no such container"]);
    assert!(!path("none").exists());
}

#[test]
fn an_export_does_not_go_to_a_terminal() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    let done = stockade.ask(&["create", stockade.image(), "true"]).ok();
    let id = stockade.know(done.out());
    let mut line = stockade.command_line();
    line.extend(["export".to_owned(), id]);
    let (status, said) = Pty::start(&line).wait();
    assert_eq!(status.code(), Some(1));
    assert!(said.contains("refusing to save to a terminal"), "{said}");
}

#[test]
fn a_diff_tells_what_docker_tells() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    let quiet = stockade.detached(&[], &["true"]);
    stockade.until(&quiet, "exited");
    assert_eq!(stockade.ask(&["diff", &quiet]).ok().stdout, "");
    let done = stockade.ask(&["create", stockade.image(), "true"]).ok();
    let never_started = stockade.know(done.out());
    assert_eq!(stockade.ask(&["diff", &never_started]).ok().stdout, "");
    let script = "echo x >> /etc/passwd; rm /etc/group; mkdir -p /new/sub; touch /new/sub/file; chmod 700 /tmp; \
                  rm -r /root; mkdir /root; touch \"$(printf '/esc\\033[31m')\"";
    for (flags, end) in [(&[][..], ""), (&["--userns", "auto"][..], "; exec sleep 1000")] {
        let id = stockade.detached(flags, &["sh", "-c", &format!("{script}; touch /tmp/z{end}")]);
        let expected = "A /esc\\u{1b}[31m\nC /etc\nD /etc/group\nC /etc/passwd\nA /new\nA /new/sub\nA /new/sub/file\nC /root\nC /tmp\nA /tmp/z\n";
        let told = || stockade.ask(&["diff", &id]).ok().stdout;
        stockade_testkit::eventually("the last change", std::time::Duration::from_secs(30), || {
            told().contains("/tmp/z")
        });
        assert_eq!(told(), expected);
    }
}
