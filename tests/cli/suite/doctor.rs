//! `doctor` for root: what it tries, it tries where nobody sees it.

use stockade_testkit::{Call, programs, requires};

/// What is said about id-mapped mounts by a doctor with this data folder, in a mount namespace that `script` has changed.
fn shown(script: &str, data: &str) -> serde_json::Value {
    let stockade = programs::built("stockade");
    let script = format!(
        "{script}; '{}' --data-root {data} doctor --format json; cat /proc/self/mountinfo >&2",
        stockade.display()
    );
    let said = Call::new("unshare").args(["-m", "sh", "-c", &script]).run();
    assert!(!said.stderr.contains("idmapped"), "{said:?}");
    let all = said.json();
    let found = all.as_array().unwrap().iter().find(|one| one["about"] == "id-mapped mounts");
    found.unwrap_or_else(|| panic!("{all}")).clone()
}

#[test]
fn owners_are_shown_as_others_where_the_file_system_can() {
    requires!(root, stockade, user_namespaces, unshare);
    let place = tempfile::tempdir().unwrap();
    let data = place.path().join("not/there").display().to_string();
    let here = shown("true", &data);
    assert_eq!(here["rank"], "good", "{here}");
    assert!(here["found"].as_str().unwrap().starts_with(&format!("{}:", place.path().display())), "{here}");
    assert!(!place.path().join("not").exists());
    // A file system without owners of its own to show.
    let there = shown("mount -t ramfs none /mnt", "/mnt/data");
    assert_eq!(there["rank"], "weaker", "{there}");
    assert!(there["mend"].as_str().unwrap().contains("--data-root"), "{there}");
    assert!(there["found"].as_str().unwrap().starts_with("/mnt:"), "{there}");
}
