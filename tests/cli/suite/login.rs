//! `login` and `logout`, at a registry that wants a name and a password, with the file and with a credential helper.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use serde_json::Value;
use stockade_testkit::registry::{LOGIN, Registry};
use stockade_testkit::{Call, Pty, Stockade, programs, requires};

/// `stockade` with a home of its own.
fn call(stockade: &Stockade, arguments: &[&str]) -> Call {
    stockade.call(arguments).env("DOCKER_CONFIG", docker(stockade))
}

fn docker(stockade: &Stockade) -> PathBuf {
    stockade.folder().join("docker")
}

fn config(stockade: &Stockade) -> Value {
    serde_json::from_slice(&std::fs::read(docker(stockade).join("config.json")).unwrap()).unwrap()
}

#[test]
fn a_password_is_tried_before_it_is_kept() {
    requires!(root, stockade, docker_registry, openssl, htpasswd);
    let stockade = Stockade::new();
    let registry = Registry::with_login();
    let (user, password) = LOGIN;
    let server = registry.address();
    let done = call(&stockade, &["login", "-u", user, "--password-stdin", server]).stdin(b"wrong\n").run();
    done.exits(1).refuses(&["does not take this name and password", server]);
    assert!(!docker(&stockade).exists());
    let given = format!("{password}\r\n");
    let done = call(&stockade, &["login", "-u", user, "--password-stdin", server]).stdin(given.as_bytes()).run().ok();
    assert_eq!(done.out(), "Login Succeeded");
    assert!(done.stderr.contains("stored unencrypted"), "{done:?}");
    let file = docker(&stockade).join("config.json");
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o7777, 0o600);
    assert!(config(&stockade)["auths"][server]["auth"].is_string());
    let done = call(&stockade, &["login", server]).run().ok();
    assert_eq!(done.out(), "Authenticating with existing credentials...\nLogin Succeeded");
    let done = call(&stockade, &["login", "-u", user, "-p", password, server]).run().ok();
    assert!(done.stderr.contains("--password-stdin"), "{done:?}");
    let done = call(&stockade, &["logout", server]).run().ok();
    assert_eq!(done.out(), format!("Removing login credentials for {server}"));
    assert_eq!(config(&stockade)["auths"], serde_json::json!({}));
    call(&stockade, &["login", server]).run().exits(1).refuses(&["non TTY", "--password-stdin"]);
    let done = call(&stockade, &["logout"]).run().ok();
    assert_eq!(done.out(), "Removing login credentials for https://index.docker.io/v1/");
    stockade.assert_gone();
}

#[test]
fn images_that_are_not_for_everybody() {
    requires!(root, stockade, docker_registry, openssl, htpasswd, skopeo, busybox_packed);
    let stockade = Stockade::new();
    let registry = Registry::with_login();
    let layout = programs::images().join("busybox/oci");
    let name = registry.put(&format!("oci:{}:latest", layout.display()), "private/busybox:1");
    let login = format!("stockade login {}", registry.address());
    call(&stockade, &["pull", &name]).run().exits(1).refuses(&["denies it", &login]);
    let (user, password) = LOGIN;
    let done = call(&stockade, &["login", "-u", user, "--password-stdin", registry.address()]);
    done.stdin(password.as_bytes()).run().ok();
    let done = call(&stockade, &["run", "--rm", &name, "echo", "hello"]).run().ok();
    assert_eq!(done.out(), "hello");
    stockade.assert_gone();
}

#[test]
fn what_is_typed_is_not_shown() {
    requires!(root, stockade, docker_registry, openssl, htpasswd);
    let stockade = Stockade::new();
    let registry = Registry::with_login();
    let (user, password) = LOGIN;
    let variable = format!("DOCKER_CONFIG={}", docker(&stockade).display());
    let mut line = vec!["env".to_owned(), variable];
    line.extend(stockade.command_line());
    line.extend(["login".to_owned(), registry.address().to_owned()]);
    let mut pty = Pty::start(&line);
    pty.expect("Username: ");
    pty.send(&format!("x\u{7f}{user}\r"));
    pty.expect("Password: ");
    pty.send(&format!("{password}\r"));
    let (status, shown) = pty.wait();
    assert!(status.success() && shown.contains("Login Succeeded") && !shown.contains("pass:word"), "{shown}");
    let mut pty = Pty::start(&[&line[..], &["-u".to_owned(), user.to_owned()]].concat());
    pty.expect("Password: ");
    pty.send("half\u{3}");
    assert_eq!(pty.wait().0.code(), Some(130));
    stockade.assert_gone();
}

/// A credential helper that keeps what it is given in a file, in `folder`.
fn helper(folder: &Path) {
    let file = folder.join("kept").display().to_string();
    let script = format!(
        "#!/bin/sh\nset -e\ncase $1 in\nstore) cat > {file};;\nerase) cat > {file}.erased; rm -f {file};;\n\
         get) read server || true\n  if test -f {file}; then cat {file}; else echo credentials not found in native keychain; exit 1; fi;;\n\
         esac\n"
    );
    let path = folder.join("docker-credential-test");
    std::fs::write(&path, script).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn a_helper_keeps_what_it_is_named_for() {
    requires!(root, stockade, docker_registry, openssl, htpasswd);
    let stockade = Stockade::new();
    let registry = Registry::with_login();
    let (user, password) = LOGIN;
    let server = registry.address();
    let folder = stockade.folder().to_owned();
    helper(&folder);
    std::fs::create_dir(docker(&stockade)).unwrap();
    std::fs::write(docker(&stockade).join("config.json"), r#"{"credsStore": "test", "other": 1}"#).unwrap();
    let path = format!("{}:/usr/bin:/bin", folder.display());
    let with = |arguments: &[&str]| call(&stockade, arguments).env("PATH", &path);
    let done = with(&["login", "-u", user, "--password-stdin", server]).stdin(password.as_bytes()).run().ok();
    assert!(!done.stderr.contains("unencrypted"), "{done:?}");
    let kept: Value = serde_json::from_slice(&std::fs::read(folder.join("kept")).unwrap()).unwrap();
    assert_eq!(kept, serde_json::json!({"ServerURL": server, "Username": user, "Secret": password}));
    let expected = serde_json::json!({"credsStore": "test", "other": 1, "auths": {server: {}}});
    assert_eq!(config(&stockade), expected);
    assert!(with(&["login", server]).run().ok().out().ends_with("Login Succeeded"));
    with(&["logout", server]).run().ok();
    assert_eq!(std::fs::read_to_string(folder.join("kept.erased")).unwrap(), server);
    assert!(!folder.join("kept").exists());
    with(&["logout", server]).run().ok();
    let relative = call(&stockade, &["logout", server]).within(&folder).env("PATH", "::.:/usr/bin");
    relative.run().exits(1).refuses(&["docker-credential-test", "PATH"]);
    stockade.assert_gone();
}

#[test]
fn names_are_found_where_the_machine_lists_them() {
    requires!(root, stockade, docker_registry, unshare);
    let stockade = Stockade::new();
    let registry = Registry::plain();
    let port = registry.address().rsplit_once(':').unwrap().1.to_owned();
    let hosts = stockade.folder().join("hosts");
    std::fs::write(&hosts, "127.0.0.1 registry.stockade-test\n").unwrap();
    let servers = stockade.folder().join("resolv.conf");
    // Nobody is there.
    std::fs::write(&servers, "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n").unwrap();
    let shown = (hosts.display(), servers.display());
    let script =
        format!("mount --bind {} /etc/hosts && mount --bind {} /etc/resolv.conf && exec \"$@\"", shown.0, shown.1);
    let login = |host: &str| {
        let call = Call::new("unshare").args(["-m", "sh", "-ec", &script, "sh"]).args(stockade.command_line());
        let server = format!("{host}:{port}");
        let call = call.args(["--insecure-registry", &server, "login", "-u", "a", "--password-stdin", &server]);
        call.env("DOCKER_CONFIG", docker(&stockade)).stdin(b"b").run()
    };
    login("registry.stockade-test").ok();
    login("other.stockade-test").exits(1).refuses(&["other.stockade-test", "no name server"]);
    stockade.assert_gone();
}

/// A proxy that connects everybody to one server, whatever he asks for, and remembers what that was.
struct Proxy {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Proxy {
    fn start(server: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (asked, over) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let (kept, ended, server) = (asked.clone(), over.clone(), server.to_owned());
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if ended.load(Ordering::SeqCst) {
                    return;
                }
                // One after the other is enough, and a client that goes away is no finding.
                drop(forward(&stream.unwrap(), &server, &kept));
            }
        });
        Self { address, asked, over, thread: Some(thread) }
    }
}

fn forward(mut client: &TcpStream, server: &str, asked: &Mutex<Vec<String>>) -> std::io::Result<()> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && client.read(&mut byte)? == 1 {
        head.push(byte[0]);
    }
    asked.lock().unwrap().push(String::from_utf8_lossy(&head).into_owned());
    let server = TcpStream::connect(server)?;
    client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")?;
    let pump = |from: &TcpStream, to: &TcpStream| {
        let copied = std::io::copy(&mut { from }, &mut { to });
        copied.and_then(|_| to.shutdown(Shutdown::Write))
    };
    std::thread::scope(|scope| {
        scope.spawn(|| drop(pump(client, &server)));
        pump(&server, client)
    })
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        // It waits for somebody.
        drop(TcpStream::connect(self.address));
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(!matches!(ended, Some(Err(_))) || std::thread::panicking(), "the proxy panicked");
    }
}

#[test]
fn proxies_of_the_environment_are_asked() {
    requires!(root, stockade, docker_registry, openssl, htpasswd);
    let stockade = Stockade::new();
    let registry = Registry::with_login();
    let proxy = Proxy::start(registry.address());
    let (user, password) = LOGIN;
    // No server of names knows it, and nobody but the proxy is asked for it.
    let server = "registry.stockade-test";
    let login = |variable: &str, value: &str| {
        let call = call(&stockade, &["--insecure-registry", server, "login", "-u", user, "--password-stdin", server]);
        call.env(variable, value).stdin(password.as_bytes()).run()
    };
    login("HTTPS_PROXY", &format!("http://me:secret@{}", proxy.address)).ok();
    let asked = proxy.asked.lock().unwrap().clone();
    assert!(asked[0].starts_with("CONNECT registry.stockade-test:443 HTTP/1.1\r\n"), "{asked:?}");
    assert!(asked[0].to_lowercase().contains("proxy-authorization: basic bwu6c2vjcmv0"), "{asked:?}");
    login("https_proxy", "socks5://127.0.0.1:1").exits(1).refuses(&["HTTPS_PROXY", "proxy"]);
    // This machine is not asked for by a proxy.
    let before = proxy.asked.lock().unwrap().len();
    let call = call(&stockade, &["login", "-u", user, "--password-stdin", registry.address()]);
    call.env("HTTPS_PROXY", format!("http://{}", proxy.address)).stdin(password.as_bytes()).run().ok();
    assert_eq!(proxy.asked.lock().unwrap().len(), before);
    stockade.assert_gone();
}

#[test]
fn registries_that_are_none() {
    requires!(root, stockade);
    let stockade = Stockade::new();
    for (arguments, code, word) in [
        (&["--insecure-registry", "http://a", "login", "-u", "a", "-p", "b", "a"][..], 125, "http://a"),
        (&["--registry-mirror", "ftp://a", "login", "-u", "a", "-p", "b", "a"], 125, "ftp://a"),
        (&["login", "-u", "a", "-p", "b", "--password-stdin", "a"], 1, "mutually exclusive"),
        (&["login", "--password-stdin", "a"], 1, "--username"),
        (&["login", "-u", "a:b", "-p", "c", "127.0.0.1:1"], 1, "colon"),
        (&["login", "-u", "a", "-p", "b", "127.0.0.1:1"], 1, "127.0.0.1:1"),
        (&["login", "-u", "a", "-p", "b", "no host"], 1, "no host"),
    ] {
        call(&stockade, arguments).run().exits(code).refuses(&[word]);
    }
    stockade.assert_gone();
}
