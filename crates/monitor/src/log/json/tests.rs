//! The format, full disks, and rotation.

use std::num::{NonZeroU32, NonZeroU64};
use std::path::Path;

use super::*;
use crate::log::pieces::Part;
use serde_json::Value;

fn escaped(log: &[u8]) -> String {
    let mut text = Vec::new();
    escape(&mut text, log);
    String::from_utf8(text).unwrap()
}

#[test]
fn escapes_are_those_of_dockers_writer() {
    for (log, expected) in [
        (&b"plain \x7f ~"[..], "plain \x7f ~"),
        (b"a\"b\\c", r#"a\"b\\c"#),
        (b"\n\r\t\x08\x0c\0\x1b\x1f", r"\n\r\u0009\u0008\u000c\u0000\u001b\u001f"),
        (b"<a href=\"x\">&amp;</a>", r#"\u003ca href=\"x\"\u003e\u0026amp;\u003c/a\u003e"#),
        ("\u{2028}x\u{2029}".as_bytes(), r"\u2028x\u2029"),
        ("gr\u{fc}n \u{1f600}".as_bytes(), "gr\u{fc}n \u{1f600}"),
        (b"\xff", r"\ufffd"),
        // One for each byte, also of a sequence that was cut off.
        (b"\xe2\x82x", r"\ufffd\ufffdx"),
        (b"x\xf0\x9f\x98", r"x\ufffd\ufffd\ufffd"),
        // Overlong, a surrogate, and beyond the last character.
        (b"\xc0\x80", r"\ufffd\ufffd"),
        (b"\xed\xa0\x80", r"\ufffd\ufffd\ufffd"),
        (b"\xf4\x90\x80\x80", r"\ufffd\ufffd\ufffd\ufffd"),
        // A real U+FFFD is valid.
        ("\u{fffd}".as_bytes(), "\u{fffd}"),
    ] {
        assert_eq!(escaped(log), expected, "{log:?}");
    }
}

#[test]
fn times_are_rfc_3339_with_the_zeros_left_out_as_go_does() {
    let time = |nanoseconds| Timestamp::new(1_795_496_399, nanoseconds).unwrap().to_string();
    assert_eq!(time(123_456_789), "2026-11-24T04:59:59.123456789Z");
    assert_eq!(time(120_000_000), "2026-11-24T04:59:59.12Z");
    assert_eq!(time(0), "2026-11-24T04:59:59Z");
}

/// The log in `folder`.
fn open(folder: &Path, order: &JsonFile) -> JsonLog {
    JsonLog::open(order, &Folder::open(folder).unwrap()).unwrap()
}

fn unlimited() -> JsonFile {
    JsonFile::unlimited("log".into())
}

fn limited(max_size: u64, max_file: u32) -> JsonFile {
    JsonFile { max_size: NonZeroU64::new(max_size), max_file: NonZeroU32::new(max_file).unwrap(), ..unlimited() }
}

fn piece(bytes: &[u8]) -> Piece<'_> {
    Piece { stream: Stream::Output, bytes, time: Timestamp::UNIX_EPOCH, part: Part::Whole }
}

/// The texts of a file's entries, which must all be whole.
fn texts(path: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(path).unwrap();
    let parse = |line: &str| serde_json::from_str::<Value>(line).unwrap_or_else(|error| panic!("{line:?}: {error}"));
    assert!(text.is_empty() || text.ends_with('\n'), "{text:?}");
    text.lines().map(|line| parse(line)["log"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn an_entry_is_dockers() {
    let folder = tempfile::tempdir().unwrap();
    let attributes = [("b", "2\""), ("a", "1")].map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    let mut log = open(folder.path(), &JsonFile { attributes, ..unlimited() });
    log.push(piece(b"x\n")).unwrap();
    log.push(Piece { stream: Stream::Error, ..piece(b"y") }).unwrap();
    log.finish().unwrap();
    let text = std::fs::read_to_string(folder.path().join("log")).unwrap();
    let end = r#""attrs":{"a":"1","b":"2\""},"time":"1970-01-01T00:00:00Z"}"#;
    let expected =
        format!("{{\"log\":\"x\\n\",\"stream\":\"stdout\",{end}\n{{\"log\":\"y\",\"stream\":\"stderr\",{end}\n");
    assert_eq!(text, expected);
}

#[test]
fn a_link_or_a_pipe_is_no_log() {
    let folder = tempfile::tempdir().unwrap();
    let opened = Folder::open(folder.path()).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", folder.path().join("link")).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, folder.path().join("pipe"), rustix::fs::FileType::Fifo, 0o600.into(), 0)
        .unwrap();
    for name in ["link", "pipe", ".", ".."] {
        assert!(JsonLog::open(&JsonFile::unlimited(name.into()), &opened).is_err(), "{name}");
    }
}

#[test]
fn a_line_that_a_killed_monitor_left_half_written_is_the_only_one_lost() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("log"), "{\"log\":\"ha").unwrap();
    let mut log = open(folder.path(), &unlimited());
    log.push(piece(b"next\n")).unwrap();
    log.finish().unwrap();
    let text = std::fs::read_to_string(folder.path().join("log")).unwrap();
    assert!(text.starts_with("{\"log\":\"ha\n{\"log\":\"next\\n\""), "{text}");
}

/// A file that takes no more than so many bytes (`RLIMIT_FSIZE` would be the whole process').
struct Small(tempfile::TempDir);

impl Small {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let flags = rustix::mount::MountFlags::empty();
        rustix::mount::mount("tmpfs", folder.path(), "tmpfs", flags, Some(c"size=8k")).unwrap();
        Self(folder)
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        rustix::mount::unmount(self.0.path(), rustix::mount::UnmountFlags::DETACH).unwrap();
    }
}

#[test]
fn a_full_disk_leaves_whole_entries_and_a_gap_that_says_how_many_are_missing() {
    stockade_testkit::requires!(root);
    let small = Small::new();
    std::fs::write(small.0.path().join("filler"), [0; 4096]).unwrap();
    let mut log = open(small.0.path(), &unlimited());
    let line = |number: usize| format!("{number:04}{}\n", "x".repeat(1000));
    let mut failures = 0;
    for number in 0..10 {
        let pushed = log.push(piece(line(number).as_bytes())).map(drop);
        failures += usize::from(pushed.and(log.flush()).is_err());
    }
    // Three are in the page whole; one was begun; the others are lost.
    assert_eq!(failures, 7);
    assert_eq!(log.size, 4096);
    std::fs::remove_file(small.0.path().join("filler")).unwrap();
    log.push(piece(b"after\n")).unwrap();
    log.flush().unwrap();
    let found = texts(&small.0.path().join("log"));
    let gap = "stockade: 6 lines are missing here: No space left on device (os error 28)\n";
    assert_eq!(found, [&line(0), &line(1), &line(2), &line(3), gap, "after\n"]);
}

#[test]
fn what_was_lost_at_last_is_told_at_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = open(folder.path(), &unlimited());
    let real = std::mem::replace(&mut log.file, File::options().write(true).open("/dev/full").unwrap());
    for _ in 0..2 {
        log.push(piece(b"lost\n")).unwrap();
        assert_eq!(log.flush().unwrap_err().raw_os_error(), Some(28));
    }
    log.file = real;
    log.finish().unwrap();
    let found = texts(&folder.path().join("log"));
    assert_eq!(found, ["stockade: 2 lines are missing here: No space left on device (os error 28)\n"]);
    let text = std::fs::read_to_string(folder.path().join("log")).unwrap();
    assert!(text.contains(r#""attrs":{"stockade.lost":"2"}"#), "{text}");
    log.finish().unwrap();
    assert_eq!(texts(&folder.path().join("log")).len(), 1);
}

#[test]
fn files_are_rotated_and_none_is_larger_than_a_line_more_than_allowed() {
    for most in 1..5u32 {
        let folder = tempfile::tempdir().unwrap();
        let mut log = open(folder.path(), &limited(1000, most));
        let lines: Vec<String> = (0..200).map(|number| format!("line {number}\n")).collect();
        for (number, line) in lines.iter().enumerate() {
            log.push(piece(line.as_bytes())).unwrap();
            if number % 7 == 0 {
                log.flush().unwrap();
            }
        }
        log.finish().unwrap();
        let names = (1..most).rev().map(|number| format!("log.{number}")).chain(["log".to_owned()]);
        let mut found = Vec::new();
        for name in names {
            let path = folder.path().join(name);
            assert!(std::fs::metadata(&path).unwrap().len() < 1100);
            found.extend(texts(&path));
        }
        assert!(!folder.path().join(format!("log.{most}")).exists() && !folder.path().join("log.new").exists());
        // The newest, without a hole.
        assert_eq!(found, lines[lines.len() - found.len()..]);
        assert!(found.len() > 12 * (most as usize - 1), "{}", found.len());
    }
}

#[test]
fn a_rotation_that_was_cut_off_is_finished() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let entry = "{\"log\":\"old\\n\",\"stream\":\"stdout\",\"time\":\"1970-01-01T00:00:00Z\"}\n";
    // Killed between the link and the rename.
    std::fs::write(at("log"), entry).unwrap();
    std::fs::hard_link(at("log"), at("log.1")).unwrap();
    std::fs::write(at("log.new"), "left").unwrap();
    let mut log = open(folder.path(), &limited(10, 4));
    log.push(piece(b"new\n")).unwrap();
    log.flush().unwrap();
    assert_eq!((texts(&at("log")), texts(&at("log.1"))), (vec!["new\n".to_owned()], vec!["old\n".to_owned()]));
    // Killed between two renames: the hole is closed.
    std::fs::rename(at("log.1"), at("log.2")).unwrap();
    log.push(piece(b"newer\n")).unwrap();
    log.flush().unwrap();
    assert_eq!((texts(&at("log.1")), texts(&at("log.2"))), (vec!["new\n".to_owned()], vec!["old\n".to_owned()]));
}

#[test]
fn a_file_that_cannot_be_replaced_is_written_on() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = open(folder.path(), &limited(10, 2));
    std::fs::create_dir(folder.path().join("log.new")).unwrap();
    log.push(piece(b"one\n")).unwrap();
    assert!(log.push(piece(b"two\n")).is_err());
    log.flush().unwrap();
    assert_eq!(texts(&folder.path().join("log")), ["one\n", "two\n"]);
    std::fs::remove_dir(folder.path().join("log.new")).unwrap();
    log.push(piece(b"three\n")).unwrap();
    log.flush().unwrap();
    assert_eq!(texts(&folder.path().join("log")), ["three\n"]);
}
