//! The file and the helpers, with what Docker and skopeo write.

use std::os::unix::fs::PermissionsExt;

use super::*;

fn store() -> (tempfile::TempDir, CredentialStore) {
    let folder = tempfile::tempdir().unwrap();
    let store = CredentialStore::within(&folder.path().join("docker"));
    (folder, store)
}

fn password(user: &str, password: &str) -> Credentials {
    Credentials::Password { user: user.into(), password: password.into() }
}

fn written(store: &CredentialStore, text: &str) {
    std::fs::create_dir_all(store.path.parent().unwrap()).unwrap();
    std::fs::write(&store.path, text).unwrap();
}

#[test]
fn what_is_kept_is_found_and_forgotten() {
    let (_folder, store) = store();
    assert_eq!(store.find("a:5000").unwrap(), None);
    store.forget("a:5000").unwrap();
    assert!(!store.path.exists());
    assert_eq!(store.keep("a:5000", &password("me", "a:b c")).unwrap(), Kept::Plain(store.path.clone()));
    store.keep("docker.io", &password("hub", "x")).unwrap();
    assert_eq!(store.find("https://a:5000/v2/").unwrap(), Some(password("me", "a:b c")));
    assert_eq!(store.find("index.docker.io").unwrap(), Some(password("hub", "x")));
    assert_eq!(store.find("a").unwrap(), None);
    assert_eq!(store.path.metadata().unwrap().permissions().mode() & 0o7777, 0o600);
    assert_eq!(store.path.parent().unwrap().metadata().unwrap().permissions().mode() & 0o7777, 0o700);
    let text = std::fs::read_to_string(&store.path).unwrap();
    assert!(text.contains("https://index.docker.io/v1/") && !text.contains("a:b c"), "{text}");
    store.forget("a:5000").unwrap();
    assert_eq!(store.find("a:5000").unwrap(), None);
    assert_eq!(std::fs::read_dir(store.path.parent().unwrap()).unwrap().count(), 1);
}

#[test]
fn the_rest_of_the_file_stays() {
    let (folder, store) = store();
    written(
        &store,
        r#"{"psFormat": "x", "auths": {"http://a/v1/": {"auth": "dTpw", "email": "e"}, "b": {}}, "n": [1.5]}"#,
    );
    std::fs::set_permissions(&store.path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let target = folder.path().join("elsewhere.json");
    std::fs::rename(&store.path, &target).unwrap();
    std::os::unix::fs::symlink(&target, &store.path).unwrap();
    assert_eq!(store.find("a").unwrap(), Some(password("u", "p")));
    store.keep("a", &Credentials::IdentityToken("t".into())).unwrap();
    assert!(store.path.is_symlink());
    assert_eq!(target.metadata().unwrap().permissions().mode() & 0o7777, 0o600);
    let now: serde_json::Value = serde_json::from_slice(&std::fs::read(&target).unwrap()).unwrap();
    let expected = serde_json::json!({"psFormat": "x", "auths": {"a": {"identitytoken": "t"}, "b": {}}, "n": [1.5]});
    assert_eq!(now, expected);
    assert_eq!(store.find("a").unwrap(), Some(Credentials::IdentityToken("t".into())));
}

#[test]
fn files_that_are_not_dockers_are_refused_and_left() {
    let (_folder, store) = store();
    for text in [
        "[]",
        "{",
        "{\"auths\": 1}",
        "{\"credsStore\": 1}",
        "{\"credsStore\": \"../x\"}",
        "{\"credsStore\": \"no-such-helper\"}",
    ] {
        written(&store, text);
        assert!(store.keep("a", &password("u", "secret")).is_err(), "{text}");
        assert_eq!(std::fs::read_to_string(&store.path).unwrap(), text);
    }
    for auth in ["%%%", "dQ==", "/w=="] {
        written(&store, &format!("{{\"auths\": {{\"a\": {{\"auth\": \"{auth}\"}}}}}}"));
        let error = store.find("a").unwrap_err().to_string();
        assert!(error.contains("base64") && !error.contains(auth), "{error}");
    }
    assert!(!format!("{:?}", password("u", "secret")).contains("secret"));
}

#[test]
fn names_of_helpers_are_names() {
    for name in ["", "a/b", "../a", "a b", "a\n", "a;b"] {
        assert!(matches!(Helper::find(name), Err(CredentialsError::HelperName(_))), "{name}");
    }
    assert!(matches!(Helper::find("there-is-no-such"), Err(CredentialsError::NoHelper(_))));
}
