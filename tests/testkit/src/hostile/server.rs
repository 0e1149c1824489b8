//! A registry that hands out whatever is in a layout, also what no honest registry would have taken.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use crate::layout::{INDEX, MANIFEST, blob};

/// The registry of one layout: every name and every tag there are its index.
pub struct Server {
    address: SocketAddr,
    ended: Arc<AtomicBool>,
    listening: Option<JoinHandle<()>>,
}

impl Server {
    /// Serves the layout in `folder` as it is at the time of each request.
    ///
    /// # Panics
    /// If it cannot listen.
    #[must_use]
    pub fn of(folder: &Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port of the loopback is free");
        let address = listener.local_addr().expect("a listener has an address");
        let ended = Arc::new(AtomicBool::new(false));
        let (folder, of_thread) = (folder.to_owned(), ended.clone());
        let listening = std::thread::spawn(move || {
            for client in listener.incoming() {
                if of_thread.load(Ordering::SeqCst) {
                    break;
                }
                let (Ok(client), folder) = (client, folder.clone()) else { continue };
                // A client that goes away is its own affair.
                std::thread::spawn(move || talk(&client, &folder).unwrap_or_default());
            }
        });
        Self { address, ended, listening: Some(listening) }
    }

    /// `127.0.0.1:PORT`.
    #[must_use]
    pub fn address(&self) -> String {
        self.address.to_string()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(self.address));
        let ended = self.listening.take().map(JoinHandle::join);
        assert!(!matches!(ended, Some(Err(_))) || std::thread::panicking(), "the server panicked");
    }
}

/// Answers one request.
fn talk(mut client: &TcpStream, folder: &Path) -> io::Result<()> {
    let mut head = Vec::new();
    let mut buffer = [0; 4096];
    while !head.windows(4).any(|four| four == b"\r\n\r\n") {
        match client.read(&mut buffer)? {
            0 => return Ok(()),
            // A client that tries TLS first would wait for long.
            _ if !buffer[0].is_ascii_alphabetic() && head.is_empty() => return Ok(()),
            count => head.extend_from_slice(&buffer[..count]),
        }
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let mut words = head.split(' ');
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let found = if path == "/v2/" { Some(("application/json", b"{}".to_vec())) } else { content(folder, path) };
    let (status, kind, content) = match found {
        Some((kind, content)) => ("200 OK", kind, content),
        None => ("404 Not Found", "application/json", b"{\"errors\":[{\"code\":\"BLOB_UNKNOWN\"}]}".to_vec()),
    };
    let length = content.len();
    write!(
        client,
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    )?;
    if method == "HEAD" { Ok(()) } else { client.write_all(&content) }
}

/// What is at `path`, with its media type.
fn content(folder: &Path, path: &str) -> Option<(&'static str, Vec<u8>)> {
    let (rest, last) = path.rsplit_once('/')?;
    if rest.ends_with("/manifests") && !last.contains(':') {
        return Some((INDEX, read(folder.join("index.json"))?));
    }
    let hex = last.strip_prefix("sha256:")?;
    let content = read(blob(folder, last)).filter(|_| hex.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
    if rest.ends_with("/blobs") {
        return Some(("application/octet-stream", content));
    }
    let is_index =
        serde_json::from_slice(&content).is_ok_and(|json: serde_json::Value| json.get("manifests").is_some());
    Some((if is_index { INDEX } else { MANIFEST }, content))
}

/// A regular file.
fn read(path: PathBuf) -> Option<Vec<u8>> {
    let regular = path.symlink_metadata().is_ok_and(|data| data.is_file());
    if regular { std::fs::read(path).ok() } else { None }
}
