//! A server of the tests' own, which says what a test wants it to say: also what is not HTTP.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// What came.
#[derive(Clone, Debug, Default)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// Path and query.
    pub(crate) target: String,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// How many came before it.
    pub(crate) number: usize,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    pub(crate) fn is(&self, method: &str, target: &str) -> bool {
        self.method == method && self.target == target
    }
}

/// What is answered; then the connection is closed.
pub(crate) struct Reply(pub(crate) Vec<u8>, pub(crate) Then);

/// What comes behind it.
pub(crate) enum Then {
    Close,
    /// These bytes again and again, until nobody reads them.
    Repeat(&'static [u8]),
    /// Nothing, until the client goes.
    Wait,
}

impl Reply {
    pub(crate) fn new(status: u16, headers: &[(&str, &str)], body: &[u8]) -> Self {
        Self::cut(status, headers, body, body.len())
    }

    /// Announces all of `body`, and sends `count` bytes of it.
    pub(crate) fn cut(status: u16, headers: &[(&str, &str)], body: &[u8], count: usize) -> Self {
        let mut bytes =
            format!("HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: {}\r\n", body.len()).into_bytes();
        for (name, value) in headers {
            bytes.extend(format!("{name}: {value}\r\n").into_bytes());
        }
        bytes.extend(b"\r\n");
        bytes.extend(&body[..count]);
        Self(bytes, Then::Close)
    }
}

/// The server. It ends when it is dropped.
pub(crate) struct Web {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<Request>>>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Web {
    /// Answers all but the question whether it is a registry by what `answer` says.
    pub(crate) fn start(answer: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (requests, over) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let (kept, ended) = (requests.clone(), over.clone());
        let answer = Arc::new(answer);
        let thread = std::thread::spawn(move || {
            let mut threads = Vec::new();
            for stream in listener.incoming() {
                if ended.load(Ordering::SeqCst) {
                    break;
                }
                let (answer, kept) = (answer.clone(), kept.clone());
                // Clients close when they want to: an error here is no finding.
                threads.push(std::thread::spawn(move || drop(serve(stream.unwrap(), answer.as_ref(), &kept))));
            }
            for thread in threads {
                assert!(thread.join().is_ok(), "what a test answers panicked");
            }
        });
        Self { address, requests, over, thread: Some(thread) }
    }

    pub(crate) fn host(&self) -> String {
        self.address.to_string()
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What came so far.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    /// How many came whose target begins so.
    pub(crate) fn count(&self, method: &str, target: &str) -> usize {
        self.requests().iter().filter(|request| request.method == method && request.target.starts_with(target)).count()
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        // It waits for somebody.
        drop(TcpStream::connect(self.address));
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(!matches!(ended, Some(Err(_))) || std::thread::panicking(), "the server panicked");
    }
}

fn serve(
    stream: TcpStream,
    answer: &(dyn Fn(&Request) -> Reply + Send + Sync),
    kept: &Mutex<Vec<Request>>,
) -> std::io::Result<()> {
    let mut first = [0];
    // TLS is not spoken here.
    if stream.peek(&mut first)? == 0 || first[0] == 0x16 {
        return Ok(());
    }
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut words = line.split_whitespace().map(str::to_owned);
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let mut request = Request { method, target, ..Request::default() };
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 || line.trim().is_empty() {
            break;
        }
        let (name, value) = line.split_once(':').unwrap_or_default();
        request.headers.push((name.trim().to_owned(), value.trim().to_owned()));
    }
    let length = request.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    (&mut reader).take(length).read_to_end(&mut request.body)?;
    let reply = {
        let mut kept = kept.lock().unwrap();
        request.number = kept.len();
        kept.push(request.clone());
        drop(kept);
        if request.is("GET", "/v2/") && request.header("authorization").is_none() {
            Reply::new(200, &[], b"{}")
        } else {
            answer(&request)
        }
    };
    let mut writer = stream;
    writer.write_all(&reply.0)?;
    match reply.1 {
        Then::Close => {}
        Then::Repeat(bytes) => while writer.write_all(bytes).is_ok() {},
        Then::Wait => {
            let mut rest = Vec::new();
            reader.read_to_end(&mut rest)?;
        }
    }
    writer.shutdown(std::net::Shutdown::Write)?;
    // What is still on its way here would make the kernel throw away what is on its way there.
    std::io::copy(&mut reader, &mut std::io::sink()).map(drop)
}
