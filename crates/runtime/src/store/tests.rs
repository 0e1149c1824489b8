//! Records survive, ids are taken once, and what is damaged is named.
use super::*;
use stockade_kernel::clock::now;

fn id(text: &str) -> ContainerId {
    text.parse().unwrap()
}

fn record(id: &ContainerId) -> Record {
    Record {
        id: id.clone(),
        bundle: "/b".into(),
        rootfs: "/b/rootfs".into(),
        created: now(),
        owner: 0,
        annotations: Default::default(),
        places: Vec::new(),
        made: Vec::new(),
        unit: None,
        process: Some(ProcessRecord { pid: 7, start_time: 8 }),
    }
}

fn store() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("a/root")).unwrap();
    (folder, store)
}

#[test]
fn ids_are_names() {
    for bad in ["", ".", "..", ".x", "a/b", "a b", "ü", "a\n", &"x".repeat(256)] {
        assert!(bad.parse::<ContainerId>().is_err(), "{bad:?}");
    }
    for good in ["a", "A_b-c.d+e", "0", &"x".repeat(255)] {
        assert_eq!(good.parse::<ContainerId>().unwrap().as_str(), good);
    }
}

#[test]
fn an_id_is_taken_once_and_records_are_read_back() {
    let (_folder, store) = store();
    let one = id("one");
    let mut entry = store.reserve(&one).unwrap();
    assert!(matches!(store.reserve(&one), Err(StoreError::Exists(_))));
    assert!(store.read(&one).unwrap().is_none());
    entry.save(record(&one)).unwrap();
    entry.save_config(b"{}").unwrap();
    assert_eq!(entry.config().unwrap(), b"{}");
    assert_eq!(store.read(&one).unwrap().as_ref(), entry.record());
    assert_eq!(store.ids().unwrap(), std::slice::from_ref(&one));
    entry.remove().unwrap();
    assert!(matches!(store.find(&one), Err(StoreError::Missing(_))));
    assert!(store.ids().unwrap().is_empty());
}

#[test]
fn a_command_waits_for_another_and_sees_that_it_removed_the_container() {
    let (_folder, store) = store();
    let one = id("one");
    let entry = store.reserve(&one).unwrap();
    std::thread::scope(|scope| {
        let other = scope.spawn(|| store.find(&one).map(|_| ()));
        std::thread::sleep(std::time::Duration::from_millis(50));
        assert!(!other.is_finished());
        entry.remove().unwrap();
        assert!(matches!(other.join().unwrap(), Err(StoreError::Missing(_))));
    });
}

#[test]
fn only_one_of_many_gets_an_id() {
    let (_folder, store) = store();
    let one = id("one");
    let taken = std::thread::scope(|scope| {
        let tries: Vec<_> = (0..8).map(|_| scope.spawn(|| store.reserve(&one).is_ok())).collect();
        tries.into_iter().filter(|_| true).map(|attempt| attempt.join().unwrap()).filter(|taken| *taken).count()
    });
    assert_eq!(taken, 1);
}

#[test]
fn damaged_records_are_told_and_can_be_removed() {
    let (folder, store) = store();
    let one = id("one");
    drop(store.reserve(&one).unwrap());
    let file = folder.path().join("a/root/one/state.json");
    for text in ["", "{", "[]", "{\"id\":\"../x\"}", "{\"surprise\":1}"] {
        std::fs::write(&file, text).unwrap();
        let error = store.find(&one).unwrap_err();
        assert!(matches!(error, StoreError::Damaged { .. }) && error.to_string().contains("state.json"), "{error}");
    }
    store.find_damaged(&one).unwrap().remove().unwrap();
    assert!(store.ids().unwrap().is_empty());
}

#[test]
fn a_root_folder_in_which_others_can_write_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
    assert!(matches!(Store::open(folder.path()), Err(StoreError::Root { .. })));
}
