//! Servers that fail, and servers that mean no good.

use std::io::{Cursor, Read};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use stockade_images::registry::{
    Access, CredentialStore, Credentials, Patience, Registries, RegistryError, RegistryOptions, Repository, Version,
    WebError,
};
use stockade_images::{Digest, Name};

use crate::web::{Reply, Request, Then, Web};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

fn options() -> RegistryOptions {
    let patience = Patience {
        attempts: 4,
        first: Duration::from_millis(1),
        longest: Duration::from_secs(2),
        connect: Duration::from_secs(20),
        idle: Duration::from_secs(20),
    };
    RegistryOptions { patience, ..RegistryOptions::plain() }
}

fn repository(host: &str, options: RegistryOptions) -> Repository {
    let name = Name::parse(&format!("{host}/test/image")).unwrap();
    Repository::open(&Registries::new(options).unwrap(), &name, Access::Pull)
}

fn at(server: &Web) -> Repository {
    repository(&server.host(), options())
}

/// A megabyte in which no place looks like another.
fn content() -> Vec<u8> {
    (0..1_u32 << 18).flat_map(u32::to_be_bytes).collect()
}

fn read(repository: &Repository, content: &[u8], offset: u64) -> Result<Vec<u8>, RegistryError> {
    let mut reader = repository.blob(Digest::of(content), content.len() as u64, offset)?;
    let mut bytes = Vec::new();
    let read = reader.read_to_end(&mut bytes);
    read.map(|_| bytes).map_err(|error| *error.into_inner().unwrap().downcast().unwrap())
}

/// The part of `content` that a request asks for, of which `count` bytes are sent.
fn ranged(request: &Request, content: &[u8], count: usize) -> Reply {
    let Some(range) = request.header("range") else { return Reply::cut(200, &[], content, count.min(content.len())) };
    let first: usize = range.strip_prefix("bytes=").and_then(|range| range.strip_suffix('-')).unwrap().parse().unwrap();
    let part = &content[first..];
    let header = format!("bytes {first}-{}/{}", content.len() - 1, content.len());
    Reply::cut(206, &[("Content-Range", &header)], part, count.min(part.len()))
}

#[test]
fn blobs_go_on_where_the_connection_broke() {
    let whole = content();
    let sent = whole.clone();
    let server = Web::start(move |request| ranged(request, &sent, 100_000));
    assert!(read(&at(&server), &whole, 0).unwrap() == whole);
    assert!(read(&at(&server), &whole, 500_000).unwrap() == whole[500_000..]);
    let ranges: Vec<_> = server.requests().iter().filter_map(|one| one.header("range").map(str::to_owned)).collect();
    assert_eq!(ranges[..2], ["bytes=100000-", "bytes=200000-"]);
    // One that never gets anywhere is given up.
    let sent = whole.clone();
    let server = Web::start(move |request| ranged(request, &sent, usize::from(request.header("range").is_none()) * 9));
    assert!(matches!(read(&at(&server), &whole, 0), Err(RegistryError::Cut { .. })));
}

#[test]
fn registries_without_ranges_send_all_again() {
    let whole = content();
    let (sent, calls) = (whole.clone(), AtomicUsize::new(1));
    let server = Web::start(move |_| {
        let count = calls.fetch_add(1, Ordering::SeqCst) * 300_000;
        Reply::cut(200, &[], &sent, count.min(sent.len()))
    });
    assert!(read(&at(&server), &whole, 0).unwrap() == whole);
    assert!(read(&at(&server), &whole, 77).unwrap() == whole[77..]);
}

#[test]
fn other_bytes_than_were_asked_for_are_not_taken() {
    let whole = content();
    for header in ["bytes 6-1048575/1048576", "bytes 5-1048574/1048575", "bytes */1048576", "5-9", ""] {
        let sent = whole.clone();
        let server = Web::start(move |_| Reply::new(206, &[("Content-Range", header)], &sent[5..]));
        assert!(matches!(read(&at(&server), &whole, 5), Err(RegistryError::Protocol { .. })), "{header}");
    }
    let sent = whole.clone();
    let server = Web::start(move |_| Reply::new(200, &[], &sent[1..]));
    assert!(matches!(read(&at(&server), &whole, 0), Err(RegistryError::Protocol { .. })));
    let sent = whole.clone();
    let server = Web::start(move |_| Reply::new(200, &[("Content-Encoding", "gzip")], &sent));
    assert!(matches!(read(&at(&server), &whole, 0), Err(RegistryError::Protocol { .. })));
    // No more than the size, however much comes.
    let server =
        Web::start(move |_| Reply(b"HTTP/1.1 200 X\r\nConnection: close\r\n\r\n".to_vec(), Then::Repeat(&[7; 4096])));
    assert!(read(&at(&server), &whole, 0).unwrap() == vec![7; whole.len()]);
}

/// What becomes of a manifest that is answered like this, however often.
fn manifest(reply: impl Fn() -> Reply + Send + Sync + 'static) -> Result<Vec<u8>, RegistryError> {
    let server = Web::start(move |_| reply());
    at(&server).manifest(&Version::Tag("latest")).map(|fetched| fetched.bytes)
}

#[test]
fn manifests_are_what_was_asked_for() {
    let typed = |body: &'static [u8]| move || Reply::new(200, &[("Content-Type", MANIFEST)], body);
    assert_eq!(manifest(typed(b"{}")).unwrap(), b"{}");
    let server = Web::start(typed_of(b"{}"));
    let wrong = at(&server).manifest(&Version::Digest(Digest::of(b"[]")));
    assert!(matches!(wrong, Err(RegistryError::Digest { .. })), "{wrong:?}");
    let lying = Digest::of(b"[]").to_string();
    let wrong =
        manifest(move || Reply::new(200, &[("Content-Type", MANIFEST), ("Docker-Content-Digest", &lying)], b"{}"));
    assert!(matches!(wrong, Err(RegistryError::Digest { .. })), "{wrong:?}");
    let old =
        || Reply::new(200, &[("Content-Type", "application/vnd.docker.distribution.manifest.v1+prettyjws")], b"{}");
    assert!(matches!(manifest(old), Err(RegistryError::Schema1 { .. })));
    let old = || Reply::new(200, &[("Content-Type", "application/json")], b"{\"schemaVersion\": 1}");
    assert!(matches!(manifest(old), Err(RegistryError::Schema1 { .. })));
    let page = || Reply::new(200, &[("Content-Type", "text/html")], b"<html>");
    assert!(matches!(manifest(page), Err(RegistryError::Protocol { .. })));
    let untyped = || Reply::new(200, &[], b"{\"mediaType\": \"application/vnd.oci.image.index.v1+json\"}");
    assert!(manifest(untyped).is_ok());
}

fn typed_of(body: &'static [u8]) -> impl Fn(&Request) -> Reply + Send + Sync {
    move |_| Reply::new(200, &[("Content-Type", MANIFEST)], body)
}

#[test]
fn answers_have_bounds() {
    let endless = manifest(|| {
        let head = format!("HTTP/1.1 200 X\r\nConnection: close\r\nContent-Type: {MANIFEST}\r\n\r\n");
        Reply(head.into_bytes(), Then::Repeat(&[b' '; 4096]))
    });
    assert!(matches!(endless, Err(RegistryError::Protocol { .. })), "{endless:?}");
    let announced = manifest(|| {
        let head = format!("HTTP/1.1 200 X\r\nContent-Length: 99999999\r\nContent-Type: {MANIFEST}\r\n\r\n");
        Reply(head.into_bytes(), Then::Wait)
    });
    assert!(matches!(announced, Err(RegistryError::Protocol { .. })), "{announced:?}");
    let headers =
        manifest(|| Reply(b"HTTP/1.1 200 X\r\n".to_vec(), Then::Repeat(b"A: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n")));
    assert!(matches!(headers, Err(RegistryError::Web { .. })), "{headers:?}");
    let header = manifest(|| Reply(b"HTTP/1.1 200 X\r\nA: ".to_vec(), Then::Repeat(&[b'a'; 4096])));
    assert!(matches!(header, Err(RegistryError::Web { .. })), "{header:?}");
    let nonsense = manifest(|| Reply(b"220 mail.example ESMTP\r\n".to_vec(), Then::Close));
    assert!(matches!(nonsense, Err(RegistryError::Web { .. })), "{nonsense:?}");
    let nothing = manifest(|| Reply(Vec::new(), Then::Close));
    assert!(matches!(nothing, Err(RegistryError::Web { .. })), "{nothing:?}");
    let refused =
        manifest(|| Reply(b"HTTP/1.1 403 X\r\nConnection: close\r\n\r\n".to_vec(), Then::Repeat(&[b'a'; 4096])));
    assert!(matches!(refused, Err(RegistryError::Denied { .. })), "{refused:?}");
}

#[test]
fn a_server_that_says_nothing_is_not_waited_for() {
    let server = Web::start(|_| Reply(b"HTTP/1.1 200 X\r\n".to_vec(), Then::Wait));
    let mut options = options();
    options.patience.idle = Duration::from_millis(500);
    let error = repository(&server.host(), options).manifest(&Version::Tag("a")).unwrap_err();
    assert!(matches!(error, RegistryError::Web { .. }), "{error:?}");
}

#[test]
fn what_a_registry_says_is_short_and_has_no_control_characters() {
    let said = manifest(|| {
        let body = b"{\"errors\": [{\"code\": \"DENIED\", \"message\": \"no \\u001b[31m\\nstockade: fine\"}, {\"code\": \"X\"}]}";
        Reply::new(403, &[], body)
    });
    let text = said.unwrap_err().to_string();
    assert!(text.contains("DENIED: no \\u{1b}[31m\\nstockade: fine; X"), "{text}");
    assert!(!text.contains(['\u{1b}', '\n']), "{text}");
    let long = manifest(|| Reply::new(400, &[("Content-Type", "text/plain")], &[b'x'; 100_000]));
    assert!(long.unwrap_err().to_string().len() < 500);
    let page = manifest(|| Reply::new(400, &[("Content-Type", "text/html")], b"<html>secret</html>"));
    assert!(!page.unwrap_err().to_string().contains("html"));
}

#[test]
fn what_passes_is_tried_again() {
    for (status, headers) in [(503, &[][..]), (500, &[]), (429, &[("Retry-After", "0")])] {
        let calls = AtomicUsize::new(0);
        let server = Web::start(move |_| match calls.fetch_add(1, Ordering::SeqCst) {
            0..3 => Reply::new(status, headers, b""),
            _ => Reply::new(200, &[("Content-Type", MANIFEST)], b"{}"),
        });
        assert!(at(&server).manifest(&Version::Tag("a")).is_ok(), "{status}");
    }
    let server = Web::start(|_| Reply::new(503, &[], b""));
    assert!(matches!(at(&server).manifest(&Version::Tag("a")), Err(RegistryError::Status { status: 503, .. })));
    assert_eq!(server.count("GET", "/v2/test"), 4);
    for status in [400, 404, 403, 501] {
        let server = Web::start(move |_| Reply::new(status, &[], b""));
        assert!(at(&server).manifest(&Version::Tag("a")).is_err());
        assert_eq!(server.count("GET", "/v2/test"), 1, "{status}");
    }
}

#[test]
fn limits_are_explained() {
    let server = Web::start(|_| {
        let body =
            b"{\"errors\": [{\"code\": \"TOOMANYREQUESTS\", \"message\": \"You have reached your pull rate limit.\"}]}";
        Reply::new(429, &[("Retry-After", "21600")], body)
    });
    let error = at(&server).manifest(&Version::Tag("a")).unwrap_err();
    assert!(matches!(error, RegistryError::Limited { wait: Some(_), .. }), "{error:?}");
    let text = error.to_string();
    for word in ["pull rate limit", "21600 seconds", "stockade login"] {
        assert!(text.contains(word), "{text}");
    }
    assert_eq!(server.count("GET", "/v2/test"), 1);
}

/// A store with a password for `host`.
fn store(folder: &tempfile::TempDir, host: &str) -> CredentialStore {
    let store = CredentialStore::within(folder.path());
    store.keep(host, &Credentials::Password { user: "me".into(), password: "secret".into() }).unwrap();
    store
}

const BASIC: &str = "Basic bWU6c2VjcmV0";

#[test]
fn secrets_do_not_follow_redirections() {
    let whole = content();
    let sent = whole.clone();
    let other = Web::start(move |request| match request.header("authorization") {
        None => Reply::new(200, &[], &sent),
        Some(_) => Reply::new(400, &[], b""),
    });
    let target = format!("{}/blob", other.url());
    let server = Web::start(move |request| match request.header("authorization") {
        Some(BASIC) if request.target.contains("/blobs/") => Reply::new(307, &[("Location", &target)], b""),
        Some(BASIC) => Reply::new(302, &[("Location", "/elsewhere")], b""),
        _ => Reply::new(401, &[("WWW-Authenticate", "Basic realm=\"x\"")], b""),
    });
    let folder = tempfile::tempdir().unwrap();
    let credentials = Some(store(&folder, &server.host()));
    let repository = repository(&server.host(), RegistryOptions { credentials, ..options() });
    assert!(read(&repository, &whole, 0).unwrap() == whole);
    assert_eq!(other.requests().len(), 1);
    // Within one origin they do.
    assert!(matches!(repository.manifest(&Version::Tag("a")), Err(RegistryError::Web { .. })));
    assert!(
        server.requests().iter().any(|one| one.target == "/elsewhere" && one.header("authorization") == Some(BASIC))
    );
}

#[test]
fn nobody_else_is_shown_anything() {
    // Another host asks for a name and a password.
    let other = Web::start(|_| Reply::new(401, &[("WWW-Authenticate", "Basic realm=\"x\"")], b""));
    let target = format!("{}/", other.url());
    let server = Web::start(move |_| Reply::new(302, &[("Location", &target)], b""));
    let folder = tempfile::tempdir().unwrap();
    let credentials = Some(store(&folder, &server.host()));
    let repository = repository(&server.host(), RegistryOptions { credentials, ..options() });
    let error = repository.manifest(&Version::Tag("a")).unwrap_err();
    assert!(matches!(error, RegistryError::Denied { .. }), "{error:?}");
    assert!(other.requests().iter().all(|request| request.header("authorization").is_none()));
}

#[test]
fn redirections_lead_nowhere_else() {
    for location in
        ["ftp://a/", "file:///etc/passwd", "http://192.0.2.1/", "https://user@a/", "http://169.254.169.254/", "//"]
    {
        let server = Web::start(move |_| Reply::new(302, &[("Location", location)], b""));
        let error = at(&server).manifest(&Version::Tag("a")).unwrap_err();
        let RegistryError::Web { source, .. } = &error else { panic!("{location}: {error:?}") };
        assert!(matches!(**source, WebError::Sent { .. }), "{location}: {error:?}");
    }
    let server = Web::start(|request| Reply::new(302, &[("Location", &format!("{}x", request.target))], b""));
    let error = at(&server).manifest(&Version::Tag("a")).unwrap_err();
    assert!(matches!(&error, RegistryError::Web { source, .. } if matches!(**source, WebError::Redirections(_))));
    assert!(server.requests().len() < 16);
}

/// A registry that wants a token of `realm`, and the manifest for whoever has `token`.
fn guarded(realm: String, token: impl Fn() -> String + Send + Sync + 'static) -> Web {
    Web::start(move |request| {
        if request.header("authorization") == Some(&format!("Bearer {}", token())) {
            return Reply::new(200, &[("Content-Type", MANIFEST)], b"{}");
        }
        let challenge =
            format!("Bearer realm=\"{realm}\",service=\"the service\",scope=\"repository:test/image:pull\"");
        Reply::new(401, &[("WWW-Authenticate", &challenge)], b"")
    })
}

#[test]
fn tokens_are_got_once_and_again_when_they_are_over() {
    let tokens = Web::start(|request| {
        let body = format!("{{\"token\": \"t{}\", \"expires_in\": 300}}", request.number);
        Reply::new(200, &[], body.as_bytes())
    });
    let valid = Arc::new(AtomicUsize::new(0));
    let shared = valid.clone();
    let server = guarded(format!("{}/token?x=y", tokens.url()), move || format!("t{}", shared.load(Ordering::SeqCst)));
    let folder = tempfile::tempdir().unwrap();
    let credentials = Some(store(&folder, &server.host()));
    let repository = repository(&server.host(), RegistryOptions { credentials, ..options() });
    for _ in 0..3 {
        repository.manifest(&Version::Tag("a")).unwrap();
    }
    assert_eq!(tokens.requests().len(), 1);
    let first = &tokens.requests()[0];
    assert_eq!(first.header("authorization"), Some(BASIC));
    let expected =
        "/token?x=y&service=the%20service&scope=repository%3Atest%2Fimage%3Apull&account=me&client_id=stockade";
    assert_eq!(first.target, expected);
    // The registry does not take it any more, whatever was said of its time.
    valid.store(1, Ordering::SeqCst);
    repository.manifest(&Version::Tag("a")).unwrap();
    assert_eq!(tokens.requests().len(), 2);
    assert!(server.requests().iter().all(|request| request.header("authorization") != Some(BASIC)));
}

#[test]
fn identity_tokens_are_shown_to_the_token_server() {
    let tokens = Web::start(|_| Reply::new(200, &[], b"{\"access_token\": \"granted\"}"));
    let server = guarded(format!("{}/token", tokens.url()), || "granted".to_owned());
    let folder = tempfile::tempdir().unwrap();
    let store = CredentialStore::within(folder.path());
    store.keep(&server.host(), &Credentials::IdentityToken("identity".into())).unwrap();
    let repository = repository(&server.host(), RegistryOptions { credentials: Some(store), ..options() });
    repository.manifest(&Version::Tag("a")).unwrap();
    let asked = &tokens.requests()[0];
    assert!(asked.is("POST", "/token"));
    let body = String::from_utf8_lossy(&asked.body).into_owned();
    assert!(body.contains("grant_type=refresh_token") && body.contains("refresh_token=identity"), "{body}");
}

#[test]
fn token_servers_that_are_none() {
    for realm in ["http://192.0.2.1/token", "ftp://a/", "/token", "http://user@127.0.0.1/", "http://169.254.169.254/"] {
        let server = guarded(realm.to_owned(), String::new);
        let folder = tempfile::tempdir().unwrap();
        let credentials = Some(store(&folder, &server.host()));
        let repository = repository(&server.host(), RegistryOptions { credentials, ..options() });
        let error = repository.manifest(&Version::Tag("a")).unwrap_err();
        assert!(matches!(error, RegistryError::Protocol { .. }), "{realm}: {error:?}");
    }
    for (status, body) in [(200, &b"{}"[..]), (200, b"[]"), (200, b"{\"token\": \"a\\nb\"}"), (200, b""), (403, b"no")]
    {
        let tokens = Web::start(move |_| Reply::new(status, &[], body));
        let server = guarded(tokens.url(), String::new);
        let error = at(&server).manifest(&Version::Tag("a")).unwrap_err();
        let right = matches!(error, RegistryError::Protocol { .. } | RegistryError::Denied { .. });
        assert!(right, "{error:?}");
    }
    let tokens =
        Web::start(|_| Reply(b"HTTP/1.1 200 X\r\nConnection: close\r\n\r\n{".to_vec(), Then::Repeat(b"\"a\": 1,")));
    let server = guarded(tokens.url(), String::new);
    assert!(matches!(at(&server).manifest(&Version::Tag("a")), Err(RegistryError::Protocol { .. })));
}

#[test]
fn a_mirror_that_lies_or_fails_is_left_for_the_next() {
    let whole = content();
    let digest = Digest::of(b"{}");
    let lying = Web::start(typed_of(b"{ }"));
    let sent = whole.clone();
    // It breaks off in the middle of a blob, and then has nothing.
    let half = Web::start(move |request| match request.header("range") {
        None if request.target.contains("/blobs/") => Reply::cut(200, &[], &sent, 500_000),
        _ => Reply::new(404, &[], b""),
    });
    let sent = whole.clone();
    let good = Web::start(move |request| match request.target.contains("/blobs/") {
        true => ranged(request, &sent, usize::MAX),
        false => Reply::new(200, &[("Content-Type", MANIFEST)], b"{}"),
    });
    let mirrors = vec![lying.url(), half.url(), good.url()];
    let mirrored = Registries::new(RegistryOptions { mirrors, ..options() }).unwrap();
    let repository = Repository::open(&mirrored, &Name::parse("test/image").unwrap(), Access::Pull);
    assert_eq!(repository.manifest(&Version::Digest(digest)).unwrap().digest, digest);
    let mirrors = vec![half.url(), good.url()];
    let mirrored = Registries::new(RegistryOptions { mirrors, ..options() }).unwrap();
    let repository = Repository::open(&mirrored, &Name::parse("test/image").unwrap(), Access::Pull);
    assert!(read(&repository, &whole, 0).unwrap() == whole);
    assert_eq!(good.requests().last().unwrap().header("range"), Some("bytes=500000-"));
}

/// What a registry was sent by PATCH and PUT, where the first PUT is forgotten but for its first `kept` bytes.
fn receiving(kept: usize) -> (Web, Arc<Mutex<Vec<u8>>>) {
    let received = Arc::new(Mutex::new(Vec::new()));
    let shared = received.clone();
    let puts = AtomicUsize::new(0);
    let server = Web::start(move |request| {
        let mut received = shared.lock().unwrap();
        match request.method.as_str() {
            "POST" => Reply::new(202, &[("Location", "/upload/1?state=a")], b""),
            "PUT" if puts.fetch_add(1, Ordering::SeqCst) == 0 => {
                received.extend(&request.body[..kept]);
                Reply(Vec::new(), Then::Close)
            }
            "GET" if kept > 0 => {
                Reply::new(204, &[("Range", &format!("0-{}", received.len() - 1)), ("Location", "2?state=b")], b"")
            }
            "PATCH" => {
                let range = request.header("content-range").unwrap_or_default();
                assert_eq!(range, format!("{}-{}", received.len(), received.len() + request.body.len() - 1));
                received.extend(&request.body);
                Reply::new(202, &[("Location", "/upload/3")], b"")
            }
            "PUT" => {
                assert!(request.target.contains("digest=sha256%3A"), "{}", request.target);
                received.extend(&request.body);
                Reply::new(201, &[], b"")
            }
            _ => Reply::new(404, &[], b""),
        }
    });
    (server, received)
}

#[test]
fn uploads_go_on_where_the_connection_broke() {
    let whole = content();
    for kept in [0, 1000] {
        let (server, received) = receiving(kept);
        let name = Name::parse(&format!("{}/test/image", server.host())).unwrap();
        let repository = Repository::open(&Registries::new(options()).unwrap(), &name, Access::Push);
        repository.upload_blob(Digest::of(&whole), whole.len() as u64, &mut Cursor::new(&whole)).unwrap();
        assert!(*received.lock().unwrap() == whole, "{kept}");
        assert_eq!(server.count("PATCH", "/upload/2"), usize::from(kept > 0));
    }
}

#[test]
fn uploads_lead_nowhere_else() {
    for location in ["ftp://a/", "http://192.0.2.1/", "", "https://user@a/"] {
        let server = Web::start(move |_| Reply::new(202, &[("Location", location)], b""));
        let name = Name::parse(&format!("{}/test/image", server.host())).unwrap();
        let repository = Repository::open(&Registries::new(options()).unwrap(), &name, Access::Push);
        let error = repository.upload_blob(Digest::of(b"a"), 1, &mut Cursor::new(b"a")).unwrap_err();
        assert!(matches!(error, RegistryError::Protocol { .. }), "{location}: {error:?}");
    }
}
