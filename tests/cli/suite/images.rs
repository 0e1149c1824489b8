//! The forms of images, and the image that is this machine.

use stockade_testkit::stockade::reference;
use stockade_testkit::{Stockade, requires};

#[test]
fn every_form_of_an_image_is_the_same_container() {
    requires!(root, stockade, busybox_packed);
    for form in ["rootfs", "oci", "oci-archive", "docker-archive"] {
        let stockade = Stockade::with_image(&reference(form));
        let script = "cat /etc/passwd; stat -c '%a %u' /tmp /etc/group; ls -a / | sort";
        let done = stockade.sh(&["--pids-limit", "20", "--cap-drop", "ALL", "--read-only"], script).ok();
        assert!(done.stdout.contains("user:x:1000:1000"), "{form}: {done:?}");
        assert!(done.stdout.contains("1777 0\n644 0\n"), "{form}: {done:?}");
        // What the image asks for: its configuration is read, but a bare folder has none.
        let path = stockade.sh(&[], "echo $PATH").ok();
        let expected = if form == "rootfs" {
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        } else {
            "/bin:/usr/bin"
        };
        assert_eq!(path.out(), expected, "{form}");
        stockade.sh(&["-u", "user"], "exit $(id -u | tail -c 4)").exits(0);
        let again = stockade.sh(&[], "echo once more").ok();
        assert_eq!(again.out(), "once more", "{form}");
        stockade.assert_gone();
    }
}

#[test]
fn the_host_is_an_image_without_its_secrets() {
    requires!(root, stockade);
    let secret = std::path::Path::new("/root/.stockade-test-secret");
    std::fs::write(secret, "secret").unwrap();
    let stockade = Stockade::with_image("host");
    let script =
        "ls -A /root /home /var /tmp /srv /mnt /run 2>/dev/null; cat /etc/shadow /etc/ssh/* 2>/dev/null; env; echo end";
    let done = stockade.run_call(&[], &["sh", "-c", script]).env("STOCKADE_TEST_SECRET", "secret").run();
    std::fs::remove_file(secret).unwrap();
    let done = done.ok();
    assert!(done.stdout.ends_with("end\n"), "{done:?}");
    assert!(!done.stdout.contains("secret"), "{done:?}");
    for line in done.stdout.lines() {
        assert!(!line.contains("$6$") && !line.contains("$y$") && !line.contains("PRIVATE KEY"), "{line}");
    }
    // Its programs are there and cannot be changed.
    stockade.run(&[], &["sh", "-c", "ls / >/dev/null && test -x /bin/sh"]).ok();
    let done = stockade.run(&[], &["sh", "-c", "echo x > /usr/bin/stockade-test"]);
    assert!(done.code() != 0 && done.stderr.contains("Read-only"), "{done:?}");
    let done = stockade.run(&["--privileged"], &["sh", "-c", "echo x > /usr/bin/stockade-test"]);
    assert!(done.code() != 0, "{done:?}");
    assert!(!std::path::Path::new("/usr/bin/stockade-test").exists());
}

#[test]
fn what_is_no_image() {
    requires!(root, stockade);
    let stockade = Stockade::new();
    for (image, word) in [
        ("alpine", "No such image: alpine:latest"),
        ("docker.io/library/alpine:3", "No such image: alpine:3"),
        ("oci:/no/such/folder", "/no/such/folder"),
        ("oci-archive:/no/such/file", "/no/such/file"),
        ("docker-archive:/no/such/file", "/no/such/file"),
        ("rootfs:/no/such/folder", "/no/such/folder"),
        ("rootfs:/etc/passwd", "/etc/passwd"),
        ("oci-archive:/etc/passwd", "/etc/passwd"),
        ("host:latest", "host"),
        ("", "empty"),
    ] {
        stockade.ask(&["run", "--rm", "--pull", "never", image, "true"]).exits(125).refuses(&[word]);
    }
    stockade.assert_gone();
}
