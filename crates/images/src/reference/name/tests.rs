//! The vectors are those of Docker's own tests (distribution/reference, `normalize_test.go`, `reference_test.go`).

use super::*;
use proptest::prelude::*;

const HEX: &str = "1a3f5e7d9c1b3a5f7e9d1c3b5a7f9e1d3c5b7a9f1e3d5d7c9b1a3f5e7d9c1b3a";
const DIGEST: &str = "sha256:86e0e091d0da6bde2456dbb48306f3956bbeb2eae1b5b9a43045843f69fe4aaa";

#[test]
fn what_docker_takes_is_taken_and_normalised() {
    let with_domain = format!("docker.io/{HEX}");
    let long = format!("a.b/{}a", "a/".repeat(127));
    for (text, domain, path, familiar) in [
        ("docker/docker", "docker.io", "docker/docker", "docker/docker"),
        ("library/debian", "docker.io", "library/debian", "debian"),
        ("debian", "docker.io", "library/debian", "debian"),
        ("docker.io/docker/docker", "docker.io", "docker/docker", "docker/docker"),
        ("docker.io/library/debian", "docker.io", "library/debian", "debian"),
        ("docker.io/debian", "docker.io", "library/debian", "debian"),
        ("index.docker.io/docker/docker", "docker.io", "docker/docker", "docker/docker"),
        ("index.docker.io/library/debian", "docker.io", "library/debian", "debian"),
        ("index.docker.io/debian", "docker.io", "library/debian", "debian"),
        ("127.0.0.1:5000/docker/docker", "127.0.0.1:5000", "docker/docker", "127.0.0.1:5000/docker/docker"),
        ("127.0.0.1:5000/library/debian", "127.0.0.1:5000", "library/debian", "127.0.0.1:5000/library/debian"),
        ("127.0.0.1:5000/debian", "127.0.0.1:5000", "debian", "127.0.0.1:5000/debian"),
        ("192.168.0.1", "docker.io", "library/192.168.0.1", "192.168.0.1"),
        ("192.168.0.1:8/debian", "192.168.0.1:8", "debian", "192.168.0.1:8/debian"),
        ("[fc00::1]:5000/docker", "[fc00::1]:5000", "docker", "[fc00::1]:5000/docker"),
        ("[2001:db8::1]/repo", "[2001:db8::1]", "repo", "[2001:db8::1]/repo"),
        ("[::1]:5000/a/b", "[::1]:5000", "a/b", "[::1]:5000/a/b"),
        (&with_domain, "docker.io", &format!("library/{HEX}"), &format!("docker.io/library/{HEX}")),
        ("Docker/docker", "Docker", "docker", "Docker/docker"),
        ("DOCKER/docker", "DOCKER", "docker", "DOCKER/docker"),
        ("localhost/a", "localhost", "a", "localhost/a"),
        ("localhost", "docker.io", "library/localhost", "localhost"),
        ("host:5000/a/b", "host:5000", "a/b", "host:5000/a/b"),
        ("docker-rules/docker", "docker.io", "docker-rules/docker", "docker-rules/docker"),
        ("docker---rules/docker", "docker.io", "docker---rules/docker", "docker---rules/docker"),
        ("dock__er/docker", "docker.io", "dock__er/docker", "dock__er/docker"),
        ("d/docker", "docker.io", "d/docker", "d/docker"),
        ("other/library", "docker.io", "other/library", "other/library"),
        ("library/foo/bar", "docker.io", "library/foo/bar", "library/foo/bar"),
        ("test_com/foo", "docker.io", "test_com/foo", "test_com/foo"),
        ("xn--n3h.com:18080/foo", "xn--n3h.com:18080", "foo", "xn--n3h.com:18080/foo"),
        ("sub-dom1.foo.com/bar/baz/quux", "sub-dom1.foo.com", "bar/baz/quux", "sub-dom1.foo.com/bar/baz/quux"),
        (&long, "a.b", &long[4..], &long),
        (&HEX[..63], "docker.io", &format!("library/{}", &HEX[..63]), &HEX[..63]),
        ("docker.io/localhost/a", "docker.io", "localhost/a", "docker.io/localhost/a"),
        ("docker.io/a.b/c", "docker.io", "a.b/c", "docker.io/a.b/c"),
    ] {
        let name = Name::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!((name.domain(), name.path()), (domain, path), "{text}");
        assert_eq!(name.to_string(), format!("{domain}/{path}"), "{text}");
        assert_eq!(name.familiar(), familiar, "{text}");
        assert_eq!((name.tag(), name.digest()), (None, None), "{text}");
    }
}

#[test]
fn tags_and_digests_are_told_apart() {
    let both = format!("busybox:latest@{DIGEST}");
    let only = format!("test:5000/repo@{DIGEST}");
    let ported = format!("[2001:db8::1]:5000/repo:tag@{DIGEST}");
    let tag = "_".repeat(128);
    let longest = format!("a:{tag}");
    let digest = Some(DIGEST);
    for (text, full, tag, digest) in [
        ("redis:latest", "docker.io/library/redis:latest", Some("latest"), None),
        ("test.com:5000", "docker.io/library/test.com:5000", Some("5000"), None),
        ("192.168.0.1:80", "docker.io/library/192.168.0.1:80", Some("80"), None),
        ("foo_bar.com:8080", "docker.io/library/foo_bar.com:8080", Some("8080"), None),
        ("foo/foo_bar.com:8080", "docker.io/foo/foo_bar.com:8080", Some("8080"), None),
        ("lowercase:Uppercase", "docker.io/library/lowercase:Uppercase", Some("Uppercase"), None),
        ("192.168.1.1:5000/repo:5050", "192.168.1.1:5000/repo:5050", Some("5050"), None),
        ("b.gcr.io/test.example.com/my-app:v1", "b.gcr.io/test.example.com/my-app:v1", Some("v1"), None),
        (&longest, &format!("docker.io/library/{longest}"), Some(tag.as_str()), None),
        (&both, &format!("docker.io/library/{both}"), Some("latest"), digest),
        (&only, &only, None, digest),
        (&ported, &ported, Some("tag"), digest),
    ] {
        let name = Name::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!((name.to_string().as_str(), name.tag()), (full, tag), "{text}");
        assert_eq!(name.digest().map(|digest| digest.to_string()).as_deref(), digest, "{text}");
    }
    assert_eq!(Name::parse(&both).unwrap().familiar(), both);
}

#[test]
fn what_docker_refuses_is_refused() {
    let long = "this_is_not_a_valid_namespace_because_its_lenth_is_greater_than_255_".repeat(4);
    let tag = format!("a:{}", "a".repeat(129));
    let deep = format!("a.b/{}a:tag", "a/".repeat(128));
    let domain = format!("{}.b/c", "a".repeat(260));
    for text in [
        "",
        ":justtag",
        "https://github.com/docker/docker",
        "-docker",
        "-docker/docker",
        "-docker.io/docker/docker",
        "docker///docker",
        "docker.io/docker///docker",
        "[fc00::1]",
        "[fc00::1]:5000",
        "[2001:db8::1]:tag",
        "fc00::1:5000/debian",
        "[fe80::1%eth0]:5000/debian",
        "[fe80::1%@invalidzone]:5000/repo",
        "[2001:db8:3:4::192.0.2.33]:5000/debian",
        "docker-/docker",
        "-docker-/docker",
        "____/____",
        "_docker/_docker",
        "dock..er/docker",
        "dock_.er/docker",
        "dock-.er/docker",
        "dock___er",
        "docker/",
        "/docker",
        "aa/asdf$$^/aa",
        // Docker takes this one and leaves it without a domain.
        "foo_bar.com/baz",
        "a:5000/",
        "a:/b",
        "a:b/c",
        "a:1:2",
        "a@b@c",
        "a b",
        "a\n",
        "\u{212a}elvin",
        "a:",
        "a:-b",
        "a:.b",
        "a:b@",
        "a@",
        "a:\u{661}",
        "docker://alpine",
        "/srv/root",
        &format!("{long}/docker"),
        &tag,
        &deep,
        &domain,
        "repo@sha256:ffffffffffffffffffffffffffffffffff",
        &format!("a@sha512:{}", "f".repeat(128)),
        &format!("a@{}", DIGEST.to_uppercase()),
        &format!("@{DIGEST}"),
    ] {
        assert!(Name::parse(text).is_err(), "{text}");
    }
    assert_eq!(Name::parse(HEX), Err(NameError::Identifier(HEX.into())));
    for text in ["docker/Docker", "docker.io/docker/Docker", "Host", "Uppercase:tag", "test:5000/Uppercase/lowercase:t"]
    {
        assert!(matches!(Name::parse(text), Err(NameError::Uppercase(_))), "{text}");
    }
}

#[test]
fn latest_is_meant_where_nothing_is_said() {
    let full = |text: &str| Name::parse(text).unwrap().tag_or_latest().to_string();
    assert_eq!(full("a"), "docker.io/library/a:latest");
    assert_eq!(full("a:1"), "docker.io/library/a:1");
    assert_eq!(full(&format!("a@{DIGEST}")), format!("docker.io/library/a@{DIGEST}"));
    assert_eq!(Name::parse(&format!("x/a:1@{DIGEST}")).unwrap().repository().to_string(), "docker.io/x/a");
}

proptest! {
    #[test]
    fn both_forms_read_back(
        text in "([a-zA-Z.:]{0,4}/|localhost/|index.docker.io/|docker.io/|library/|\\[[0-9a-f:]{1,5}\\](:[0-9]{1,3})?/)?\
                 [a-zA-Z0-9._/-]{0,8}(:[a-zA-Z0-9_.-]{0,4})?(@sha256:[0-9a-f]{63,64})?"
    ) {
        if let Ok(name) = Name::parse(&text) {
            prop_assert_eq!(Name::parse(&name.to_string()), Ok(name.clone()));
            prop_assert_eq!(Name::parse(&name.familiar()), Ok(name.clone()));
            prop_assert!(text.ends_with(name.tag().unwrap_or_default()) || name.digest().is_some());
        }
    }

    #[test]
    fn nothing_panics(text in "\\PC{0,60}") {
        if let Ok(name) = Name::parse(&text) {
            prop_assert!(name.to_string().is_ascii());
        }
    }
}
