//! Layers are whole or not there: shared work, wrong digests, and processes killed at any instant.

use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use stockade_testkit::requires;

use super::*;
use crate::tests::Pack;

const FILES: usize = 300;

fn archive() -> Vec<u8> {
    let content = "content ".repeat(500);
    let pack =
        (0..FILES).fold(Pack::default(), |pack, number| pack.file(&format!("d{}/{number}", number % 7), &content));
    pack.file("last", "here").finish()
}

/// A data directory in memory, where writing through to the disk does not wait for all that others write.
fn place() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_none| tempfile::tempdir()).unwrap()
}

fn count(path: &Path) -> usize {
    std::fs::read_dir(path).unwrap().count()
}

/// Whether the layer is as it should be.
fn assert_whole(layer: &Path) {
    let files: usize = (0..7).map(|number| count(&layer.join(format!("d{number}")))).sum();
    assert_eq!((files, count(layer)), (FILES, 8));
    assert_eq!(std::fs::read_to_string(layer.join("last")).unwrap(), "here");
}

#[test]
fn a_layer_is_unpacked_once_and_private() {
    requires!(root, unpacker);
    let data = place();
    let layers = Layers::open(data.path(), &stockade_testkit::programs::folder()).unwrap();
    let archive = archive();
    let diff_id = Digest::of(&archive);
    assert_eq!(layers.find(&diff_id), None);
    let layer = layers.ensure(&diff_id, Compression::None, archive.as_slice()).unwrap();
    assert_whole(&layer);
    assert_eq!(layers.find(&diff_id), Some(layer.clone()));
    // What is there is not read again, not even the archive.
    assert_eq!(layers.ensure(&diff_id, Compression::None, &b"not read"[..]).unwrap(), layer);
    assert_eq!(Layers::open(data.path(), &stockade_testkit::programs::folder()).unwrap().find(&diff_id), Some(layer));
    for folder in ["layers", "layers/sha256", "layers/unpacking", "layers/pending"] {
        let mode = data.path().join(folder).metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o700, "{folder}");
    }
}

#[test]
fn every_byte_counts() {
    requires!(root, unpacker);
    let data = place();
    let layers = Layers::open(data.path(), &stockade_testkit::programs::folder()).unwrap();
    let archive = archive();
    let diff_id = Digest::of(&archive);
    let refused = |bytes: &[u8]| {
        let error = layers.ensure(&diff_id, Compression::None, bytes).unwrap_err();
        assert_eq!(count(&data.path().join("layers/sha256")) + count(&data.path().join("layers/unpacking")), 0);
        error
    };
    let with_tail = [&archive[..], b"x"].concat();
    assert!(matches!(refused(&with_tail), EnsureError::Digest { .. }), "a byte behind the archive's end");
    assert!(matches!(refused(&archive[..archive.len() - 1]), EnsureError::Unpack { .. } | EnsureError::Digest { .. }));
    let mut changed = archive.clone();
    changed[600] ^= 1;
    assert!(matches!(refused(&changed), EnsureError::Digest { .. }), "a byte of a file");
    assert!(matches!(refused(b"no archive"), EnsureError::Unpack { .. }));
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _buffer: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("the disk is on fire"))
        }
    }
    let error = layers.ensure(&diff_id, Compression::None, archive[..5000].chain(Broken)).unwrap_err();
    assert!(matches!(error, EnsureError::Blob { .. }), "{error:?}");
    // Bytes behind the end of the archive are no error where they are part of the digest.
    layers.ensure(&Digest::of(&with_tail), Compression::None, with_tail.as_slice()).unwrap();
}

#[test]
fn those_who_want_the_same_layer_share_the_work() {
    requires!(root, unpacker);
    let data = place();
    let archive = archive();
    let diff_id = Digest::of(&archive);
    let reads = AtomicUsize::new(0);
    struct Counted<'a>(&'a [u8], &'a AtomicUsize);
    impl Read for Counted<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.1.fetch_add(1, Ordering::Relaxed);
            self.0.read(buffer)
        }
    }
    let alone = {
        let data = place();
        let layers = Layers::open(data.path(), &stockade_testkit::programs::folder()).unwrap();
        layers.ensure(&diff_id, Compression::None, Counted(&archive, &reads)).unwrap();
        reads.swap(0, Ordering::Relaxed)
    };
    std::thread::scope(|scope| {
        for _ in 0..6 {
            // Each opens the store for itself, as processes do, and sweeps it while the others work.
            scope.spawn(|| {
                let layers = Layers::open(data.path(), &stockade_testkit::programs::folder()).unwrap();
                assert_whole(&layers.ensure(&diff_id, Compression::None, Counted(&archive, &reads)).unwrap());
            });
        }
    });
    assert_eq!(reads.load(Ordering::Relaxed), alone, "the archive was read once");
    assert_eq!(count(&data.path().join("layers/unpacking")), 0);
}

#[test]
fn one_who_fails_does_not_fail_those_who_wait() {
    requires!(root, unpacker);
    let data = place();
    let archive = archive();
    let diff_id = Digest::of(&archive);
    std::thread::scope(|scope| {
        for number in 0..8 {
            let (archive, path) = (&archive, data.path());
            scope.spawn(move || {
                let layers = Layers::open(path, &stockade_testkit::programs::folder()).unwrap();
                let length = if number % 2 == 0 { archive.len() } else { archive.len() / 2 };
                let outcome = layers.ensure(&diff_id, Compression::None, &archive[..length]);
                assert!(number % 2 == 1 || outcome.is_ok(), "{outcome:?}");
            });
        }
    });
    assert_whole(&Layers::open(data.path(), &stockade_testkit::programs::folder()).unwrap().find(&diff_id).unwrap());
    assert_eq!(count(&data.path().join("layers/unpacking")), 0);
}

/// The variable by which a test tells its own program to be the process that is killed.
const VICTIM: &str = "STOCKADE_TEST_KILLED_IN";

#[test]
fn a_kill_at_any_instant_leaves_a_sound_store() {
    requires!(root, unpacker);
    let archive = archive();
    let diff_id = Digest::of(&archive);
    if let Some(data) = std::env::var_os(VICTIM) {
        Layers::open(data.as_ref(), &stockade_testkit::programs::folder())
            .unwrap()
            .ensure(&diff_id, Compression::None, archive.as_slice())
            .unwrap();
        return;
    }
    let run = |data: &Path| {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "layers::tests::a_kill_at_any_instant_leaves_a_sound_store"]).env(VICTIM, data);
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    };
    let whole = {
        let data = place();
        let start = Instant::now();
        assert!(run(data.path()).wait().unwrap().success());
        start.elapsed()
    };
    let mut halfway = 0;
    for step in 0..30 {
        let data = place();
        let mut victim = run(data.path());
        std::thread::sleep(whole * step / 30);
        victim.kill().unwrap();
        victim.wait().unwrap();
        let unpacking = data.path().join("layers/unpacking");
        halfway += usize::from(unpacking.is_dir() && count(&unpacking) > 0);
        // Whoever was killed between making a process and that one's program has it hold the lock until it ends, which is soon.
        let end = Instant::now() + std::time::Duration::from_secs(60);
        let layers = loop {
            let layers = Layers::open(data.path(), &stockade_testkit::programs::folder()).unwrap();
            if count(&unpacking) == 0 {
                break layers;
            }
            assert!(Instant::now() < end, "what was left is removed");
        };
        if let Some(layer) = layers.find(&diff_id) {
            assert_whole(&layer);
        }
        assert_whole(&layers.ensure(&diff_id, Compression::None, archive.as_slice()).unwrap());
        assert_eq!(count(&unpacking), 0);
    }
    eprintln!("{halfway} of 30 were killed at work");
}

#[test]
fn layers_become_usable_together_and_not_after_a_crash_of_the_machine() {
    requires!(root, unpacker);
    let data = place();
    let open = || Layers::open(data.path(), &stockade_testkit::programs::folder()).unwrap();
    let archives = ["one", "two"].map(|text| Pack::default().file("file", text).finish());
    let diff_ids = archives.each_ref().map(|archive| Digest::of(archive));
    let layers = open();
    let unpack = |number: usize| {
        let archive: &[u8] = &archives[number];
        layers.unpack(&diff_ids[number], Compression::None, archive).unwrap();
    };
    [0, 1].into_iter().for_each(unpack);
    assert_eq!(diff_ids.map(|diff_id| layers.find(&diff_id)), [None, None]);
    let mut listed = layers.list().unwrap();
    listed.sort();
    let mut expected = diff_ids.to_vec();
    expected.sort();
    assert_eq!(listed, expected, "what is pending is garbage too, if nobody needs it");
    // Another command of the same start of the machine has them too, and does not read the blob.
    open().unpack(&diff_ids[0], Compression::None, &b"not read"[..]).unwrap();
    open().commit(&[diff_ids[0], diff_ids[1], diff_ids[0]]).unwrap();
    for (diff_id, text) in diff_ids.iter().zip(["one", "two"]) {
        assert_eq!(std::fs::read_to_string(layers.find(diff_id).unwrap().join("file")).unwrap(), text);
        layers.remove(diff_id).unwrap();
    }
    assert!(layers.commit(&diff_ids).is_err(), "none of them was unpacked");
    // As if they were of an earlier start.
    unpack(0);
    let pending = data.path().join("layers/pending");
    let boot = std::fs::read_dir(&pending).unwrap().next().unwrap().unwrap().path();
    std::fs::rename(&boot, pending.join("earlier")).unwrap();
    let layers = open();
    assert_eq!((layers.list().unwrap(), count(&pending)), (Vec::new(), 1));
    assert!(layers.commit(&diff_ids[..1]).is_err());
    layers.ensure(&diff_ids[0], Compression::None, archives[0].as_slice()).unwrap();
    layers.remove(&diff_ids[0]).unwrap();
    assert_eq!(layers.list().unwrap(), []);
}
