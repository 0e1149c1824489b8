//! `push`: what is put into a registry has the same digests there, whoever looks, and goes there once.

use stockade_testkit::registry::{LOGIN, Registry};
use stockade_testkit::{Call, Finished, Stockade, programs, requires};

/// `stockade` with the busybox image under these names.
fn with_busybox(names: &[&str]) -> Stockade {
    let stockade = Stockade::with_image(names[0]);
    let archive = programs::images().join("busybox/docker.tar").display().to_string();
    stockade.ask(&["load", "-i", &archive]).ok();
    for name in names {
        stockade.ask(&["tag", "busybox", name]).ok();
    }
    stockade.ask(&["rmi", "busybox"]).ok();
    stockade
}

fn skopeo(arguments: &[&str]) -> Finished {
    let (user, password) = LOGIN;
    let login = format!("{user}:{password}");
    Call::new("skopeo").args(arguments).args(["--tls-verify=false", "--creds", &login]).run()
}

#[test]
fn what_is_pushed_is_there_with_the_same_digests() {
    requires!(root, stockade, busybox_packed, docker_registry, skopeo);
    let registry = Registry::plain();
    let name = |rest: &str| format!("{}/{rest}", registry.address());
    let stockade = with_busybox(&[&name("a/b:1"), &name("c"), &name("a/b:2")]);
    let digest = stockade.inspect(&name("a/b:1"), "{{.Descriptor.Digest}} size: {{.Descriptor.Size}}");
    let done = stockade.ask(&["push", &name("a/b:1")]).ok();
    assert!(done.stdout.starts_with(&format!("The push refers to repository [{}]\n", name("a/b"))), "{done:?}");
    for part in [": Preparing\n", ": Pushed\n", &format!("1: digest: {digest}\n")] {
        assert!(done.stdout.contains(part), "{part:?} {done:?}");
    }
    let theirs = skopeo(&["inspect", "--format", "{{.Digest}}", &format!("docker://{}", name("a/b:1"))]).ok();
    assert!(digest.starts_with(theirs.out()), "{digest} {theirs:?}");
    // The same once more: nothing is sent. In another repository of the registry: nothing either.
    let again = stockade.ask(&["image", "push", &name("a/b:1")]).ok();
    assert!(again.stdout.contains(": Layer already exists\n") && !again.stdout.contains("Pushed"), "{again:?}");
    let mounted = stockade.ask(&["push", &name("c")]).ok();
    assert!(mounted.stdout.starts_with("Using default tag: latest\n"), "{mounted:?}");
    assert!(mounted.stdout.contains(": Mounted from a/b\n"), "{mounted:?}");
    let quiet = stockade.ask(&["push", "-q", "--all-tags", &name("a/b")]).ok();
    assert_eq!(quiet.stdout, format!("{}\n{}\n", name("a/b:1"), name("a/b:2")));
    // Back again, as if for the first time.
    let id = stockade.inspect(&name("c"), "{{.Id}}");
    stockade.ask(&["rmi", "-f", &id]).ok();
    stockade.ask(&["pull", "-q", &name("a/b:2")]).ok();
    assert_eq!(stockade.inspect(&name("a/b:2"), "{{.Id}}"), id);
    let ran = stockade.ask(&["run", "--rm", &name("a/b:2"), "echo", "it runs"]).ok();
    assert_eq!(ran.out(), "it runs");
}

#[test]
fn what_was_pulled_is_pushed_elsewhere_with_the_same_digest() {
    requires!(root, stockade, busybox_packed, docker_registry, skopeo);
    let registry = Registry::plain();
    let oci = format!("oci:{}:latest", programs::images().join("busybox/oci").display());
    registry.put(&oci, "pulled/source:1");
    let stockade = Stockade::with_image("none");
    let (source, target) = (format!("{}/pulled/source:1", registry.address()), format!("{}/t:1", registry.address()));
    stockade.ask(&["pull", "-q", &source]).ok();
    stockade.ask(&["tag", &source, &target]).ok();
    stockade.ask(&["push", &target]).ok();
    let digest =
        |name: &str| skopeo(&["inspect", "--format", "{{.Digest}}", &format!("docker://{name}")]).ok().out().to_owned();
    assert_eq!(digest(&target), digest(&source));
}

#[test]
fn what_cannot_be_pushed() {
    requires!(root, stockade, busybox_packed, docker_registry, htpasswd, openssl);
    let registry = Registry::with_login();
    let name = format!("{}/a:1", registry.address());
    let stockade = with_busybox(&[&name, "127.0.0.1:1/a:1"]);
    let insecure = ["--insecure-registry", registry.address()];
    for (arguments, word) in [
        (&["push", "nope"][..], "An image does not exist locally with the tag: nope"),
        (&["push", "-a", "nope"], "An image does not exist locally with the tag: nope"),
        (&["push", "-a", &name], "tag can't be used with --all-tags"),
        (&["push", &format!("a@sha256:{}", "0".repeat(64))], "cannot push a digest reference"),
        (&["push", "A"], "lowercase"),
        (&["push", "--platform", "linux/s390x", &name], "linux/s390x"),
        (&["push", "127.0.0.1:1/a:1"], "127.0.0.1:1"),
        (&["push", &name], "log in by"),
    ] {
        stockade.ask(arguments).exits(1).refuses(&[word]);
    }
    let config = stockade.folder().join("docker");
    let call =
        |arguments: &[&str]| stockade.call(&insecure).args(arguments).env("DOCKER_CONFIG", config.to_str().unwrap());
    call(&["push", &name]).run().exits(1).refuses(&["log in by"]);
    let (user, password) = LOGIN;
    let login = call(&["login", "-u", user, "--password-stdin", registry.address()]).stdin(password.as_bytes()).run();
    drop(login.ok());
    let done = call(&["push", &name]).run().ok();
    assert!(done.stdout.contains(": Pushed\n"), "{done:?}");
}
