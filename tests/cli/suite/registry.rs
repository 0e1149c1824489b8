//! To a registry and back: the same digests and the same files, whoever pulled, pushed, saved or loaded them.

use std::path::PathBuf;
use std::time::Duration;

use stockade_testkit::tree::{Facts, differences, facts};
use stockade_testkit::{Call, Stockade, generated, requires};

/// A call of another tool that may take its time, and succeeds.
#[track_caller]
fn tool(line: &[&str]) -> String {
    let (program, rest) = line.split_first().unwrap();
    Call::new(program).args(rest).limit(Duration::from_secs(300)).run().ok().out().to_owned()
}

/// The files of a container of `image` below `folder`, looked at while it runs.
fn in_container(stockade: &Stockade, image: &str, folder: &str) -> Facts {
    let flags = ["run", "-d", "--userns", "host", image, "sleep", "1000"];
    let id = stockade.know(stockade.ask(&flags).ok().out());
    let root = PathBuf::from(format!("/proc/{}/root", stockade.pid(&id)));
    let found = facts(&root.join(folder)).unwrap();
    stockade.ask(&["rm", "-f", &id]).ok();
    found
}

#[track_caller]
fn assert_same(what: &str, left: &Facts, right: &Facts) {
    assert!(left.len() > 3, "{what}: only {left:?}");
    let different = differences(left, right);
    assert!(different.is_empty(), "{what}:\n{}", different.join("\n"));
}

#[test]
fn every_kind_of_file_of_a_layout_is_as_umoci_makes_it() {
    requires!(root, stockade, busybox_packed, umoci);
    let stockade = Stockade::new();
    let kinds = generated::kinds(&stockade.folder().join("kinds"));
    let layers = generated::layers(&stockade.folder().join("layers"), 100);
    for (source, name) in [(kinds, "kinds"), (layers, "layers")] {
        let bundle = stockade.folder().join("theirs").join(name);
        std::fs::create_dir_all(bundle.parent().unwrap()).unwrap();
        let layout = source.strip_prefix("oci:").unwrap();
        tool(&["umoci", "unpack", "--image", layout, bundle.to_str().unwrap()]);
        let theirs = facts(&bundle.join("rootfs").join(name)).unwrap();
        assert_same(name, &theirs, &in_container(&stockade, &source, name));
    }
}
