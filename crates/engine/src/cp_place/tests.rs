//! Docker's rules for paths of `cp`.

use std::fs::{create_dir_all, write};
use std::os::unix::fs::symlink;

use super::*;

fn given(text: &str) -> Given {
    Given::read(text.as_ref(), Path::new("/"))
}

#[test]
fn the_end_of_a_path_says_what_is_meant() {
    for (text, name, contents, directory) in [
        ("a/b", Some("b"), false, false),
        ("/a/b/", Some("b"), false, true),
        ("/a/b/.", Some("b"), true, true),
        (".", None, true, true),
        ("/", None, true, true),
        ("", None, true, true),
        ("a/..", None, true, true),
        ("a/b/..", Some("a"), false, true),
    ] {
        let read = given(text);
        let name = name.map(OsString::from);
        assert_eq!((read.name, read.contents, read.directory), (name, contents, directory), "{text}");
    }
    let here = Given::read(".".as_ref(), Path::new("/work/here"));
    assert_eq!((here.name, here.contents), (Some("here".into()), true));
}

/// Where something goes: the directory's path in the root, and the name.
fn goes(root: &Path, to: &str, name: Option<&str>, is_directory: bool) -> Result<String, PlaceError> {
    let fd = rustix::fs::open(root, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).unwrap();
    let copied = Copied { name: name.map(OsString::from), is_directory };
    let found = target(fd.as_fd(), &given(to), &copied)?;
    let place = resolve::describe(&found.directory);
    let place = place.strip_prefix(root.to_str().unwrap()).unwrap();
    Ok(format!("{place} {}", found.name.unwrap_or_default().display()))
}

#[test]
fn the_table_of_docker_cp() {
    let place = tempfile::tempdir().unwrap();
    let root = place.path();
    create_dir_all(root.join("dir/sub")).unwrap();
    write(root.join("file"), "").unwrap();
    symlink("/dir", root.join("link")).unwrap();
    symlink("../../../new", root.join("dir/dangling")).unwrap();
    symlink("file", root.join("to-file")).unwrap();
    symlink("loop", root.join("loop")).unwrap();
    let goes = |to, name, is_directory| goes(root, to, name, is_directory);
    let file = |to| goes(to, Some("src"), false);
    let dir = |to| goes(to, Some("src"), true);
    let contents = |to| goes(to, None, true);
    // A file.
    assert_eq!(file("/new").unwrap(), " new");
    assert!(matches!(file("/new/"), Err(PlaceError::NoDirectory(_))));
    assert!(matches!(file("/no/new"), Err(PlaceError::NoDirectory(_))));
    assert_eq!(file("/file").unwrap(), " file");
    assert!(matches!(file("/file/"), Err(PlaceError::NotDirectory(_))));
    assert_eq!(file("/dir").unwrap(), "/dir src");
    assert_eq!(file("/link/").unwrap(), "/dir src");
    assert_eq!(file("/to-file").unwrap(), " file");
    assert_eq!(file("dir/dangling").unwrap(), " new");
    assert!(file("/loop").is_err());
    // A directory.
    assert_eq!(dir("/new").unwrap(), " new");
    assert_eq!(dir("/new/").unwrap(), " new");
    assert!(matches!(dir("/file"), Err(PlaceError::DirectoryToFile(_))));
    assert_eq!(dir("/dir/.").unwrap(), "/dir src");
    // What is in it.
    assert_eq!(contents("/dir").unwrap(), "/dir ");
    assert_eq!(contents("/new").unwrap(), " new");
    assert_eq!(contents("/").unwrap(), " ");
}
