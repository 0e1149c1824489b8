//! Debian's docker-registry, with images that skopeo puts there and looks at.

use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};

use stockade_images::registry::{
    Access, CredentialStore, Credentials, Registries, RegistryError, RegistryOptions, Repository, Version, login,
};
use stockade_images::{Digest, Name};
use stockade_testkit::registry::{LOGIN, Registry};
use stockade_testkit::{Call, programs, requires};

/// The busybox image at `registry`; its name.
fn put(registry: &Registry) -> Name {
    let layout = programs::images().join("busybox/oci");
    Name::parse(&registry.put(&format!("oci:{}:latest", layout.display()), "test/busybox:latest")).unwrap()
}

/// A folder of certificates in which `registry` is believed.
fn certificates(folder: &Path, registry: &Registry) -> PathBuf {
    let own = folder.join(registry.address());
    std::fs::create_dir_all(&own).unwrap();
    std::fs::copy(registry.ca(), own.join("ca.crt")).unwrap();
    folder.to_owned()
}

fn registries(options: RegistryOptions) -> Registries {
    Registries::new(options).unwrap()
}

/// Fetches all of an image and compares it with the digests in it; the manifest's digest.
fn fetch(repository: &Repository, version: &Version<'_>) -> Result<Digest, RegistryError> {
    let fetched = repository.manifest(version)?;
    let resolved = repository.resolve(version)?.expect("docker-registry says the digest");
    assert_eq!((resolved.digest, resolved.size), (fetched.digest, fetched.bytes.len() as u64));
    assert_eq!(resolved.media_type, fetched.media_type);
    let document: serde_json::Value = serde_json::from_slice(&fetched.bytes).unwrap();
    let layers = document["layers"].as_array().unwrap();
    for descriptor in layers.iter().chain([&document["config"]]) {
        let digest: Digest = descriptor["digest"].as_str().unwrap().parse().unwrap();
        let size = descriptor["size"].as_u64().unwrap();
        assert_eq!(repository.has_blob(digest)?, Some(size));
        let mut whole = Vec::new();
        repository.blob(digest, size, 0)?.read_to_end(&mut whole).unwrap();
        assert_eq!(Digest::of(&whole), digest);
        let mut rest = Vec::new();
        repository.blob(digest, size, size / 2)?.read_to_end(&mut rest).unwrap();
        assert!(rest == whole[whole.len() / 2..]);
        let mut nothing = Vec::new();
        repository.blob(digest, size, size)?.read_to_end(&mut nothing).unwrap();
        assert!(nothing.is_empty());
    }
    Ok(fetched.digest)
}

#[test]
fn images_are_fetched_without_tls() {
    requires!(docker_registry, skopeo, busybox_packed);
    let registry = Registry::plain();
    let name = put(&registry);
    let repository = Repository::open(&registries(RegistryOptions::plain()), &name, Access::Pull);
    let digest = fetch(&repository, &Version::of(&name)).unwrap();
    assert_eq!(fetch(&repository, &Version::Digest(digest)).unwrap(), digest);
    for version in [Version::Tag("missing"), Version::Digest(Digest::of(b"missing"))] {
        assert!(matches!(repository.manifest(&version), Err(RegistryError::Missing { .. })), "{version}");
    }
    let missing = repository.blob(Digest::of(b"missing"), 7, 0).err().unwrap();
    assert!(matches!(missing, RegistryError::Missing { .. }), "{missing}");
    assert_eq!(repository.has_blob(Digest::of(b"missing")).unwrap(), None);
    let wrong = repository.blob(digest, 7, 0);
    assert!(wrong.is_err());
}

#[test]
fn images_are_fetched_over_tls() {
    requires!(docker_registry, skopeo, openssl, busybox_packed);
    let registry = Registry::with_tls();
    let name = put(&registry);
    let folder = tempfile::tempdir().unwrap();
    let options = |certificates: Vec<PathBuf>| RegistryOptions { certificates, ..RegistryOptions::plain() };
    let believed = registries(options(vec![certificates(folder.path(), &registry)]));
    fetch(&Repository::open(&believed, &name, Access::Pull), &Version::of(&name)).unwrap();
    // This machine may show any certificate, unless an authority is named for it.
    fetch(&Repository::open(&registries(options(vec![])), &name, Access::Pull), &Version::of(&name)).unwrap();
    let other = tempfile::tempdir().unwrap();
    let own = other.path().join(registry.address());
    std::fs::create_dir_all(&own).unwrap();
    let call = Call::new("openssl").args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=other"]);
    call.args(["-days", "2", "-keyout", "ca.pem", "-out", "ca.crt"]).within(&own).run().ok();
    let refusing = registries(options(vec![other.path().to_owned()]));
    let error = Repository::open(&refusing, &name, Access::Pull).manifest(&Version::of(&name)).unwrap_err();
    assert!(matches!(&error, RegistryError::Web { .. }) && !error.is_passing(), "{error:?}");
}

#[test]
fn who_asks_is_shown_where_that_is_wanted() {
    requires!(docker_registry, skopeo, openssl, htpasswd, busybox_packed);
    let registry = Registry::with_login();
    let name = put(&registry);
    let folder = tempfile::tempdir().unwrap();
    let certificates = certificates(&folder.path().join("certs.d"), &registry);
    let store = CredentialStore::within(&folder.path().join("docker"));
    let options = RegistryOptions { certificates: vec![certificates], ..RegistryOptions::plain() };
    let anonymous = registries(options.clone());
    let error = Repository::open(&anonymous, &name, Access::Pull).manifest(&Version::of(&name)).unwrap_err();
    assert!(matches!(error, RegistryError::Denied { .. }), "{error:?}");
    assert!(error.to_string().contains(&format!("stockade login {}", registry.address())), "{error}");
    let (user, password) = LOGIN;
    let right = Credentials::Password { user: user.into(), password: password.into() };
    let wrong = Credentials::Password { user: user.into(), password: "wrong".into() };
    assert!(matches!(login(&anonymous, registry.address(), &wrong), Err(RegistryError::Login { .. })));
    login(&anonymous, registry.address(), &right).unwrap();
    store.keep(registry.address(), &right).unwrap();
    let known = registries(RegistryOptions { credentials: Some(store), ..options });
    fetch(&Repository::open(&known, &name, Access::Pull), &Version::of(&name)).unwrap();
    // skopeo reads the same file.
    let call = Call::new("skopeo").args(["inspect", "--raw", "--tls-verify=false", "--authfile"]);
    call.arg(folder.path().join("docker/config.json")).arg(format!("docker://{name}")).run().ok();
}

#[test]
fn what_is_pushed_is_what_skopeo_finds() {
    requires!(docker_registry, skopeo, openssl, htpasswd, busybox_packed);
    let registry = Registry::with_login();
    let name = put(&registry);
    let folder = tempfile::tempdir().unwrap();
    let store = CredentialStore::within(folder.path());
    let (user, password) = LOGIN;
    let credentials = Credentials::Password { user: user.into(), password: password.into() };
    store.keep(registry.address(), &credentials).unwrap();
    let known = registries(RegistryOptions { credentials: Some(store), ..RegistryOptions::plain() });
    let from = Repository::open(&known, &name, Access::Pull);
    let target = Name::parse(&format!("{}/other/place", registry.address())).unwrap();
    let to = Repository::open(&known, &target, Access::Push);
    let fetched = from.manifest(&Version::of(&name)).unwrap();
    let document: serde_json::Value = serde_json::from_slice(&fetched.bytes).unwrap();
    let config: Digest = document["config"]["digest"].as_str().unwrap().parse().unwrap();
    assert_eq!(to.has_blob(config).unwrap(), None);
    for layer in document["layers"].as_array().unwrap() {
        let digest = layer["digest"].as_str().unwrap().parse().unwrap();
        assert!(to.mount_blob(digest, &name).unwrap());
        assert_eq!(to.has_blob(digest).unwrap(), layer["size"].as_u64());
    }
    assert!(!to.mount_blob(Digest::of(b"nowhere"), &name).unwrap());
    let size = document["config"]["size"].as_u64().unwrap();
    let mut content = Vec::new();
    from.blob(config, size, 0).unwrap().read_to_end(&mut content).unwrap();
    // What the registry would not find right must not be there.
    assert!(to.upload_blob(Digest::of(b"another"), size, &mut Cursor::new(&content)).is_err());
    assert!(matches!(to.upload_blob(config, size + 1, &mut Cursor::new(&content)), Err(RegistryError::Source { .. })));
    to.upload_blob(config, size, &mut Cursor::new(&content)).unwrap();
    let pushed = to.put_manifest(&Version::Tag("v1"), &fetched.media_type, &fetched.bytes).unwrap();
    assert_eq!(pushed, fetched.digest);
    let call = Call::new("skopeo").args(["inspect", "--raw", "--tls-verify=false", "--creds"]);
    let done = call.arg(format!("{user}:{password}")).arg(format!("docker://{target}:v1")).run().ok();
    assert_eq!(done.stdout.as_bytes(), fetched.bytes);
}

#[test]
fn mirrors_are_asked_first_and_the_origin_when_they_fail() {
    requires!(docker_registry, skopeo, busybox_packed);
    let registry = Registry::plain();
    let layout = programs::images().join("busybox/oci");
    registry.put(&format!("oci:{}:latest", layout.display()), "library/busybox:latest");
    let name = Name::parse("busybox").unwrap();
    let mirrors = vec![format!("http://{}", registry.address())];
    let mirrored = registries(RegistryOptions { mirrors, ..RegistryOptions::plain() });
    let repository = Repository::open(&mirrored, &name, Access::Pull);
    assert!(repository.has_mirrors() && !repository.origin().has_mirrors());
    let fetched = repository.manifest(&Version::of(&name)).unwrap();
    let document: serde_json::Value = serde_json::from_slice(&fetched.bytes).unwrap();
    let digest = document["config"]["digest"].as_str().unwrap().parse().unwrap();
    let size = document["config"]["size"].as_u64().unwrap();
    let mut content = Vec::new();
    repository.blob(digest, size, 0).unwrap().read_to_end(&mut content).unwrap();
    assert_eq!(Digest::of(&content), digest);
}
