//! Who is who, against plain and hostile user and group files.

use std::fs::{create_dir, write};
use std::os::fd::AsFd;
use std::os::unix::fs::symlink;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1001::/home/user:/bin/sh\n1000:x:0:0::/root:/bin/sh\n\
                      bad:x:minus:0::/:\nbad2:x::\nshort:x:7:8\nhuge:x:4294967295:0::/:\n  spaced:x:9:9::/s:\n#c:x:0:0\n";
const GROUP: &str =
    "root:x:0:\nstaff:x:50:user,short\n50:x:0:\nmore:x:60:short,user\nown:x:1001:user\nbad:x:x:user\nshort:x:8\n";

fn image(passwd: &str, group: &str) -> TempDir {
    let root = tempfile::tempdir().unwrap();
    create_dir(root.path().join("etc")).unwrap();
    write(root.path().join("etc/passwd"), passwd).unwrap();
    write(root.path().join("etc/group"), group).unwrap();
    root
}

fn resolved(root: &TempDir, spec: &str) -> Result<User, UserError> {
    resolve_user(std::fs::File::open(root.path()).unwrap().as_fd(), spec)
}

fn user(uid: u32, gid: u32, additional: &[u32], home: &str) -> User {
    User { uid, gid, additional_gids: additional.to_vec(), home: home.to_owned() }
}

#[test]
fn every_form_as_docker_reads_it() {
    let root = image(PASSWD, GROUP);
    for (spec, expected) in [
        ("", user(0, 0, &[0], "/root")),
        ("root", user(0, 0, &[0], "/root")),
        ("0", user(0, 0, &[0], "/root")),
        ("user", user(1000, 1001, &[1001, 50, 60], "/home/user")),
        ("user:", user(1000, 1001, &[1001, 50, 60], "/home/user")),
        ("user:staff", user(1000, 50, &[50], "/home/user")),
        ("user:7777", user(1000, 7777, &[7777], "/home/user")),
        (":5", user(0, 5, &[5], "/root")),
        ("01", user(1, 0, &[0], "/")),
        ("1:1", user(1, 1, &[1], "/")),
        ("short", user(7, 8, &[8, 50, 60], "/")),
        ("spaced", user(9, 9, &[9], "/s")),
        ("2147483647:2147483647", user(i32::MAX as u32, i32::MAX as u32, &[i32::MAX as u32], "/")),
    ] {
        assert_eq!(resolved(&root, spec).unwrap(), expected, "{spec}");
    }
}

#[test]
fn cve_2016_3697_a_number_is_never_a_name() {
    let root = image(PASSWD, GROUP);
    assert_eq!(resolved(&root, "1000").unwrap().uid, 1000);
    assert_eq!(resolved(&root, "user:50").unwrap().gid, 50);
    let only_hostile = image("1000:x:0:0::/root:/bin/sh\n", "50:x:0:\n");
    assert_eq!(resolved(&only_hostile, "1000:50").unwrap(), user(1000, 50, &[50], "/"));
}

#[test]
fn cve_2024_40635_and_2026_30892_no_number_wraps() {
    let root = image(PASSWD, GROUP);
    for spec in ["2147483648", "4294967295", "4294967296", "99999999999999999999", "0:2147483648", "0:4294967296"] {
        assert!(matches!(resolved(&root, spec), Err(UserError::Range(_))), "{spec}");
    }
    for spec in ["-1", "+1", "0x0", "bad", "bad2", "huge", " root", "ROOT", "1 "] {
        assert!(matches!(resolved(&root, spec), Err(UserError::UnknownUser(_))), "{spec}");
    }
    assert!(matches!(resolved(&root, "0:bad"), Err(UserError::UnknownGroup(_))));
    assert!(matches!(resolved(&root, "0:-1"), Err(UserError::UnknownGroup(_))));
    assert!(matches!(resolved(&root, "a:b:c"), Err(UserError::Malformed(_))));
    assert!(matches!(resolved(&root, "root\0"), Err(UserError::Malformed(_))));
}

#[test]
fn an_image_without_files_knows_numbers_only() {
    let root = tempfile::tempdir().unwrap();
    assert_eq!(resolved(&root, "").unwrap(), user(0, 0, &[0], "/"));
    assert_eq!(resolved(&root, "12:34").unwrap(), user(12, 34, &[34], "/"));
    assert!(matches!(resolved(&root, "root"), Err(UserError::UnknownUser(_))));
    write(root.path().join("etc"), "a file").unwrap();
    assert_eq!(resolved(&root, "5").unwrap(), user(5, 0, &[0], "/"));
}

#[test]
fn cve_2022_31030_a_huge_file_is_not_read() {
    let root = image("", GROUP);
    let passwd = std::fs::File::create(root.path().join("etc/passwd")).unwrap();
    passwd.set_len(1 << 40).unwrap();
    assert!(matches!(resolved(&root, "user"), Err(UserError::TooLarge("/etc/passwd"))));
    let root = image(PASSWD, "");
    std::fs::File::create(root.path().join("etc/group")).unwrap().set_len(1 << 40).unwrap();
    assert!(matches!(resolved(&root, "user"), Err(UserError::TooLarge("/etc/group"))));
}

#[test]
fn cve_2024_9676_what_is_not_a_file_is_refused() {
    let root = image(PASSWD, GROUP);
    let path = root.path().join("etc/passwd");
    std::fs::remove_file(&path).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, &path, FileType::Fifo, Mode::from_raw_mode(0o644), 0).unwrap();
    assert!(matches!(resolved(&root, "user"), Err(UserError::NotAFile(_))));
    std::fs::remove_file(&path).unwrap();
    symlink("/dev/zero", &path).unwrap();
    assert_eq!(resolved(&root, "5").unwrap().uid, 5, "the link leads to nothing inside the image");
    std::fs::remove_file(&path).unwrap();
    create_dir(&path).unwrap();
    assert!(matches!(resolved(&root, "user"), Err(UserError::NotAFile(_))));
}

#[test]
fn links_stay_in_the_image() {
    let root = image(PASSWD, GROUP);
    let outside = tempfile::tempdir().unwrap();
    write(outside.path().join("passwd"), "victim:x:77:77::/:\n").unwrap();
    let path = root.path().join("etc/passwd");
    std::fs::remove_file(&path).unwrap();
    symlink(outside.path().join("passwd"), &path).unwrap();
    assert!(matches!(resolved(&root, "victim"), Err(UserError::UnknownUser(_))));
    std::fs::remove_file(&path).unwrap();
    symlink("../../../../../usr/lib/passwd", &path).unwrap();
    std::fs::create_dir_all(root.path().join("usr/lib")).unwrap();
    write(root.path().join("usr/lib/passwd"), "inner:x:5:5::/i:\n").unwrap();
    assert_eq!(resolved(&root, "inner").unwrap(), user(5, 5, &[5], "/i"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn any_files_and_any_name(passwd in "([a-z0-9:,#\\n\\x00é-]{0,12}\n){0,6}", group in "([a-z0-9:,\n]{0,12}\n){0,6}",
                              spec in "[a-z0-9:+-]{0,6}") {
        let root = image(&passwd, &group);
        if let Ok(user) = resolved(&root, &spec) {
            prop_assert!(user.uid <= LARGEST_ID && user.gid <= LARGEST_ID);
            prop_assert_eq!(user.additional_gids[0], user.gid);
            let digits = spec.split(':').next().unwrap_or_default();
            if let Ok(uid) = digits.parse::<u32>() && !digits.starts_with('+') {
                prop_assert_eq!(user.uid, uid);
            }
        }
    }
}
