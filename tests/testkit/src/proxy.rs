//! A proxy between us and a registry that breaks what it passes on, by a plan, and counts what it passed on.
//!
//! It speaks as much HTTP as that takes: every request goes to the registry over a connection of its own, which ends with
//! the answer.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// What happens to one answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// The connection ends before an answer.
    Refuse,
    /// The connection ends after that many bytes of the body.
    Cut(u64),
    /// The body has only that many bytes, and so says its length.
    Truncate(u64),
    /// The byte of the body at this place is another one.
    Corrupt(u64),
    /// The answer comes that much later.
    Delay(Duration),
    /// This status in place of an answer; `Retry-After` says one second.
    Status(u16),
}

/// A request as the plan sees it.
#[derive(Clone, Debug)]
pub struct Request {
    /// `GET` and so on.
    pub method: String,
    /// From the first slash on.
    pub path: String,
    /// Where the range starts that is asked for, 0 without one.
    pub start: u64,
    /// How many requests there were before.
    pub number: usize,
}

impl Request {
    /// The digest of the blob that is asked for.
    #[must_use]
    pub fn blob(&self) -> Option<&str> {
        if self.method == "GET" { self.path.rsplit_once("/blobs/").map(|(_, digest)| digest) } else { None }
    }
}

/// One answer that was passed on.
#[derive(Clone, Debug)]
pub struct Served {
    /// To what.
    pub request: Request,
    /// What was done to it.
    pub fault: Fault,
    /// The bytes of its body that went to the client's side.
    pub bytes: u64,
}

/// What is to happen to the answer of each request.
type Plan = Box<dyn Fn(&Request) -> Fault + Send + Sync>;

struct Shared {
    registry: SocketAddr,
    plan: Plan,
    served: Mutex<Vec<Served>>,
    count: Mutex<usize>,
    ended: AtomicBool,
}

/// The proxy, which ends with the test.
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    listening: Option<JoinHandle<()>>,
}

impl Proxy {
    /// Stands before `registry`, an address as [`crate::Registry::address`] gives it, on a port of its own.
    ///
    /// # Panics
    /// If it cannot listen.
    #[must_use]
    pub fn before(registry: &str, plan: impl Fn(&Request) -> Fault + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port of the loopback is free");
        let address = listener.local_addr().expect("a listener has an address");
        let registry = registry.parse().expect("an address");
        let shared = Arc::new(Shared {
            registry,
            plan: Box::new(plan),
            served: Mutex::default(),
            count: Mutex::default(),
            ended: AtomicBool::new(false),
        });
        let of_thread = shared.clone();
        let listening = std::thread::spawn(move || {
            for client in listener.incoming() {
                if of_thread.ended.load(Ordering::SeqCst) {
                    break;
                }
                let (Ok(client), shared) = (client, of_thread.clone()) else { continue };
                // What breaks here is what clients have to live with.
                std::thread::spawn(move || shared.talk(&client).unwrap_or_default());
            }
        });
        Self { address, shared, listening: Some(listening) }
    }

    /// `127.0.0.1:PORT`.
    #[must_use]
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// Everything that was passed on so far.
    ///
    /// # Panics
    /// Never: nobody panics with the list in hand.
    #[must_use]
    pub fn served(&self) -> Vec<Served> {
        self.shared.served.lock().expect("nobody panics with it").clone()
    }

    /// How many requests there were: the next one has this number.
    ///
    /// # Panics
    /// As [`Self::served`].
    #[must_use]
    pub fn asked(&self) -> usize {
        *self.shared.count.lock().expect("nobody panics with it")
    }

    /// How many bytes of each blob went through.
    #[must_use]
    pub fn blob_bytes(&self) -> BTreeMap<String, u64> {
        let mut sums = BTreeMap::new();
        for one in self.served() {
            if let Some(digest) = one.request.blob() {
                *sums.entry(digest.to_owned()).or_default() += one.bytes;
            }
        }
        sums
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        // Wakes the listener, which then looks at that.
        drop(TcpStream::connect(self.address));
        let ended = self.listening.take().map(JoinHandle::join);
        assert!(!matches!(ended, Some(Err(_))) || std::thread::panicking(), "the proxy panicked");
    }
}

impl Shared {
    /// Serves one connection of a client, which ends with the first answer.
    fn talk(&self, client: &TcpStream) -> io::Result<()> {
        let Some((head, early)) = head(client)? else { return Ok(()) };
        let request = self.request(&head)?;
        let fault = (self.plan)(&request);
        let result = self.answer(client, &head, &early, &request, fault);
        // Whatever the client still sends is not wanted.
        client.shutdown(Shutdown::Both).or(Ok(())).and(result)
    }

    fn request(&self, head: &str) -> io::Result<Request> {
        let mut words = head.split(' ');
        let (Some(method), Some(path)) = (words.next(), words.next()) else {
            return Err(io::ErrorKind::InvalidData.into());
        };
        let start =
            field(head, "range").and_then(|range| range.strip_prefix("bytes=")?.split('-').next()?.parse().ok());
        let mut count = self.count.lock().expect("nobody panics with it");
        let number = *count;
        *count += 1;
        Ok(Request { method: method.to_owned(), path: path.to_owned(), start: start.unwrap_or(0), number })
    }

    fn answer(
        &self,
        mut client: &TcpStream,
        head: &str,
        early: &[u8],
        request: &Request,
        fault: Fault,
    ) -> io::Result<()> {
        match fault {
            Fault::Refuse => {
                self.note(request, fault, 0);
                return Ok(());
            }
            Fault::Delay(time) => std::thread::sleep(time),
            Fault::Status(code) => {
                self.note(request, fault, 0);
                let text = "{\"errors\":[{\"code\":\"TOOMANYREQUESTS\",\"message\":\"a fault of the tests\"}]}";
                return write!(
                    client,
                    "HTTP/1.1 {code} Fault\r\nRetry-After: 1\r\nContent-Type: application/json\r\n\
                     Content-Length: {}\r\nConnection: close\r\n\r\n{text}",
                    text.len()
                );
            }
            _ => {}
        }
        let registry = TcpStream::connect(self.registry)?;
        let mut asked = format!("{}\r\nConnection: close\r\n\r\n", without(head, "connection")).into_bytes();
        asked.extend_from_slice(early);
        (&registry).write_all(&asked)?;
        let (mut from, to) = (client.try_clone()?, registry.try_clone()?);
        // The body of the request goes its way beside; it ends when the client's side is shut down.
        let upload = std::thread::spawn(move || io::copy(&mut from, &mut &to).map(drop).unwrap_or_default());
        let result = self.relay(client, &registry, request, fault);
        client.shutdown(Shutdown::Both).or(registry.shutdown(Shutdown::Both)).unwrap_or_default();
        upload.join().map_err(|_panic| io::ErrorKind::Other)?;
        result
    }

    /// Passes the answer on with its fault.
    fn relay(&self, mut client: &TcpStream, registry: &TcpStream, request: &Request, fault: Fault) -> io::Result<()> {
        let Some((head, mut chunk)) = head(registry)? else { return Ok(()) };
        let head = match fault {
            Fault::Truncate(most) if field(&head, "content-length").is_some() => {
                let length = field(&head, "content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
                format!("{}\r\nContent-Length: {}", without(&head, "content-length"), most.min(length))
            }
            _ => head,
        };
        // Written down before it is sent: who has it all may ask at once.
        let place = self.note(request, fault, 0);
        client.write_all(format!("{head}\r\n\r\n").as_bytes())?;
        let (mut sent, mut result) = (0, Ok(()));
        let most = match fault {
            Fault::Cut(most) | Fault::Truncate(most) => most,
            _ => u64::MAX,
        };
        loop {
            let allowed = usize::try_from(most - sent).unwrap_or(usize::MAX).min(chunk.len());
            let part = &mut chunk[..allowed];
            if let Fault::Corrupt(place) = fault
                && let Some(byte) = place.checked_sub(sent).and_then(|place| part.get_mut(usize::try_from(place).ok()?))
            {
                *byte ^= 0x20;
            }
            sent += allowed as u64;
            self.served.lock().expect("nobody panics with it")[place].bytes = sent;
            result = result.and(client.write_all(part));
            chunk.resize(16 << 10, 0);
            if sent == most || result.is_err() {
                break;
            }
            let mut from = registry;
            match from.read(&mut chunk)? {
                0 => break,
                count => chunk.truncate(count),
            }
        }
        result
    }

    /// Writes down what is served; its place in the list.
    fn note(&self, request: &Request, fault: Fault, bytes: u64) -> usize {
        let mut all = self.served.lock().expect("nobody panics with it");
        all.push(Served { request: request.clone(), fault, bytes });
        all.len() - 1
    }
}

/// The head of a message without the empty line, and what came after it already; `None` if there is no message.
fn head(mut from: &TcpStream) -> io::Result<Option<(String, Vec<u8>)>> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let rest = bytes.split_off(end + 4);
            bytes.truncate(end);
            return Ok(Some((String::from_utf8_lossy(&bytes).into_owned(), rest)));
        }
        match from.read(&mut buffer)? {
            0 => return Ok(None),
            // A client that tries TLS first would wait for long.
            _ if !buffer[0].is_ascii_alphabetic() && bytes.is_empty() => return Ok(None),
            count => bytes.extend_from_slice(&buffer[..count]),
        }
    }
}

/// A field of a head.
fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let fields = head.split("\r\n").skip(1).filter_map(|line| line.split_once(':'));
    fields.into_iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}

/// A head without a field.
fn without(head: &str, name: &str) -> String {
    let is = |line: &&str| !line.split_once(':').is_some_and(|(key, _)| key.eq_ignore_ascii_case(name));
    head.split("\r\n").filter(is).collect::<Vec<_>>().join("\r\n")
}

/// Numbers that look random and are the same for every run with the same seed.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// From a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// The next number below `most`, which is not 0.
    pub fn below(&mut self, most: u64) -> u64 {
        // Xorshift*, of Vigna.
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16) % most
    }

    /// That many bytes that do not compress.
    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.below(256) as u8).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Call, Registry};

    #[test]
    fn faults_are_those_of_the_plan() {
        crate::requires!(docker_registry, skopeo, curl, busybox_packed);
        let registry = Registry::plain();
        let folder = crate::programs::images().join("busybox/oci");
        registry.put(&format!("oci:{}:latest", folder.display()), "busybox:latest");
        let plan = |request: &Request| match request.number {
            0 => Fault::Cut(10),
            1 => Fault::Truncate(10),
            2 => Fault::Corrupt(3),
            3 => Fault::Status(429),
            4 => Fault::Refuse,
            _ => Fault::None,
        };
        let proxy = Proxy::before(registry.address(), plan);
        let url = format!("http://{}/v2/busybox/manifests/latest", proxy.address());
        let get = || {
            Call::new("curl")
                .args(["-sSf", "-H", "Accept: */*", "-H"])
                .arg(format!("Accept: {}", crate::layout::MANIFEST))
                .arg(&url)
                .run()
        };
        assert_eq!(get().code(), 18);
        assert_eq!(get().ok().stdout.len(), 10);
        let corrupt = get().ok().stdout;
        assert!(get().stderr.contains("429"));
        assert_eq!(get().code(), 52);
        let right = get().ok().stdout;
        assert_ne!(right, corrupt);
        assert_eq!(right.len(), corrupt.len());
        let bytes: Vec<u64> = proxy.served().iter().map(|one| one.bytes).collect();
        assert_eq!(bytes, [10, 10, corrupt.len() as u64, 0, 0, right.len() as u64]);
        // Also what is sent goes through.
        let again = Proxy::before(registry.address(), |_| Fault::None);
        let target = format!("docker://{}/again:1", again.address());
        let source = format!("oci:{}:latest", folder.display());
        Call::new("skopeo").args(["--insecure-policy", "copy", "--dest-tls-verify=false", &source, &target]).run().ok();
        assert!(registry.storage().join("docker/registry/v2/repositories/again").is_dir());
    }
}
