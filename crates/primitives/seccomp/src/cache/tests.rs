//! What is kept is what was compiled, and what is damaged is not used.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;

const SECTION: &[u8] = br#"{"defaultAction": "SCMP_ACT_ALLOW", "flags": ["SECCOMP_FILTER_FLAG_LOG"],
    "listenerPath": "/run/agent", "listenerMetadata": "m", "syscalls": [
    {"names": ["chmod"], "action": "SCMP_ACT_ERRNO", "errnoRet": 13}, {"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY"}]}"#;

fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("stockade-seccomp-{}-{name}", std::process::id()));
    fs::create_dir(&folder).unwrap();
    folder
}

#[test]
fn a_kept_filter_is_the_compiled_one() {
    let folder = folder("kept");
    let cache = folder.join("cache");
    let compiled = load_or_compile(SECTION, Some(&cache)).unwrap();
    assert_eq!(compiled.listener_path(), Some(Path::new("/run/agent")));
    let file = cache.join(name(SECTION));
    assert_eq!(read(&file).unwrap(), compiled);
    assert_eq!(fs::metadata(&cache).unwrap().mode() & 0o7777, 0o700);
    assert_eq!(fs::read_dir(&cache).unwrap().count(), 1);
    assert_eq!(load_or_compile(SECTION, Some(&cache)).unwrap(), compiled);
    assert_eq!(load_or_compile(SECTION, None).unwrap(), compiled);
    fs::remove_dir_all(folder).unwrap();
}

/// Whoever can write a digest can write any body: of those that say no filter, or more than one, none is taken.
#[test]
fn a_body_is_read_whole_or_not_at_all() {
    let compiled = load_or_compile(SECTION, None).unwrap();
    let without = load_or_compile(br#"{"defaultAction": "SCMP_ACT_ALLOW"}"#, None).unwrap();
    assert_eq!((without.listener_path(), without.listener_metadata()), (None, None));
    for filter in [&compiled, &without] {
        assert_eq!(from_body(&to_body(filter)).as_ref(), Some(filter));
    }
    let whole = to_body(&compiled);
    let texts = 2 + 4 + "/run/agent".len() + 4 + "m".len();
    for length in (0..whole.len()).filter(|length| *length < texts || !(length - texts).is_multiple_of(8)) {
        assert_eq!(from_body(&whole[..length]), None, "cut to {length}");
    }
    for (index, byte) in [(0, 0xff), (1, 2), (2, 0xff), (4, 1)] {
        let mut wrong = whole.clone();
        wrong[index] = byte;
        assert_eq!(from_body(&wrong), None, "byte {index}");
    }
}

#[test]
fn a_damaged_or_foreign_file_is_compiled_anew() {
    let folder = folder("damaged");
    let compiled = load_or_compile(SECTION, Some(&folder)).unwrap();
    let file = folder.join(name(SECTION));
    let whole = fs::read(&file).unwrap();
    for index in (0..whole.len()).step_by(7) {
        let mut damaged = whole.clone();
        damaged[index] ^= 1;
        fs::write(&file, &damaged).unwrap();
        assert_eq!(read(&file), None, "byte {index}");
    }
    for length in [0, 5, MAGIC.len(), MAGIC.len() + DIGEST, whole.len() - 1] {
        fs::write(&file, &whole[..length]).unwrap();
        assert_eq!(load_or_compile(SECTION, Some(&folder)).unwrap(), compiled, "cut to {length}");
        assert_eq!(fs::read(&file).unwrap(), whole, "it is replaced");
    }
    fs::remove_file(&file).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", &file).unwrap();
    assert_eq!(load_or_compile(SECTION, Some(&folder)).unwrap(), compiled);
    fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o622)).unwrap();
    assert_eq!(read(&file), None, "others can write it");
    fs::remove_dir_all(folder).unwrap();
}
