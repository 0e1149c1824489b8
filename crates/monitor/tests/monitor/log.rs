//! The log that Docker's tools read.

use std::os::unix::fs::PermissionsExt;

use stockade_monitor::order::{JsonFile, Log};
use stockade_testkit::requires;

use crate::scene::Scene;

#[test]
fn a_line_is_what_docker_would_have_written() {
    requires!(root, stake, busybox_image, limits);
    let script = r#"printf 'a<b>&"\\\t\001\033[0m\r\n'; printf '\377\342\202x \342\200\250\n'; printf 'gr\303\274n'"#;
    let mut live = Scene::sh(script).run();
    assert_eq!(live.exited(), 0);
    let text = live.text("log.json");
    let expected = [
        r#"{"log":"a\u003cb\u003e\u0026\"\\\u0009\u0001\u001b[0m\r\n","stream":"stdout","time":""#,
        r#"{"log":"\ufffd\ufffd\ufffdx \u2028\n","stream":"stdout","time":""#,
        "{\"log\":\"gr\u{fc}n\",\"stream\":\"stdout\",\"time\":\"",
    ];
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), expected.len(), "{text}");
    for (line, start) in lines.iter().zip(expected) {
        let rest = line.strip_prefix(start).unwrap_or_else(|| panic!("{line} does not start with {start}"));
        let time = rest.strip_suffix("\"}").unwrap();
        assert!(time.ends_with('Z') && time.parse::<jiff::Timestamp>().is_ok(), "{time}");
    }
    let mode = std::fs::metadata(live.folder.join("log.json")).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);
}

#[test]
fn a_log_that_is_there_is_continued() {
    requires!(root, stake, busybox_image, limits);
    let mut scene = Scene::sh("echo second");
    let path = scene.bundle.folder().join("old.json");
    let first = "{\"log\":\"first\\n\",\"stream\":\"stdout\",\"time\":\"2026-01-01T00:00:00Z\"}\n";
    std::fs::write(&path, first).unwrap();
    scene.order.log = Log::JsonFile(JsonFile::unlimited(path.clone()));
    let mut live = scene.run();
    assert_eq!(live.exited(), 0);
    let text = std::fs::read_to_string(path).unwrap();
    assert!(text.starts_with(first) && text.contains("second"), "{text}");
}

#[test]
fn no_log_is_no_file() {
    requires!(root, stake, busybox_image, limits);
    let mut scene = Scene::sh("echo nowhere");
    scene.order.log = Log::None;
    let mut live = scene.run();
    assert_eq!(live.exited(), 0);
    assert!(!live.folder.join("log.json").exists());
}

#[test]
fn a_full_disk_is_noted_and_the_container_goes_on() {
    requires!(root, stake, busybox_image, limits);
    let mut scene = Scene::sh("i=0; while [ $i -lt 3 ]; do seq 1 9999; i=$((i+1)); done; exit 9");
    // A file system of 4 KiB; the container's folder, where the trouble is noted, is elsewhere.
    let small = Small::new();
    scene.order.log = Log::JsonFile(JsonFile::unlimited(small.0.path().join("log")));
    let mut live = scene.launch();
    live.created();
    let client = live.attach();
    live.start();
    let heard = client.rest();
    assert_eq!((heard.output.len(), heard.code), (3 * 48_888, Some(9)));
    assert_eq!(live.end(), Some(0));
    let troubles = live.troubles();
    assert!(troubles.contains("output is lost to the log") && troubles.lines().count() == 1, "{troubles}");
    drop(small);
}

/// A folder with a file system of one page, until it is dropped.
struct Small(tempfile::TempDir);

impl Small {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let flags = rustix::mount::MountFlags::empty();
        rustix::mount::mount("tmpfs", folder.path(), "tmpfs", flags, Some(c"size=4k")).unwrap();
        Self(folder)
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        rustix::mount::unmount(self.0.path(), rustix::mount::UnmountFlags::DETACH).unwrap();
    }
}
