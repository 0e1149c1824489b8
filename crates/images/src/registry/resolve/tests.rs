//! The resolver against name servers of the tests' own, on loopback addresses.

use std::net::TcpListener;
use std::thread::JoinHandle;

use super::*;

fn lines(text: &str) -> impl Iterator<Item = String> {
    text.lines().map(without_comment).collect::<Vec<_>>().into_iter()
}

#[test]
fn files_are_read_as_the_c_library_reads_them() {
    let hosts =
        "127.0.0.1 localhost\n::1 both\n10.0.0.1\tA.example both # not this\n# 10.0.0.2 both\n10.0.0.1 both\nx both\n";
    let found: Vec<IpAddr> = vec!["10.0.0.1".parse().unwrap(), "::1".parse().unwrap()];
    assert_eq!(listed(&mut lines(hosts), "BOTH."), found);
    assert_eq!(listed(&mut lines(hosts), "a.example"), found[..1]);
    assert!(listed(&mut lines(hosts), "not").is_empty());
    let text = "; a\nnameserver 10.0.0.1\nnameserver fe80::1%eth0\nnameserver x\nsearch a.example b.example.\n\
                options ndots:2 timeout:1 attempts:9 rotate\nnameserver 10.0.0.2\nnameserver 10.0.0.3\n";
    let read = settings(&mut lines(text));
    let servers: Vec<IpAddr> = ["10.0.0.1", "fe80::1", "10.0.0.2"].iter().map(|text| text.parse().unwrap()).collect();
    assert_eq!((read.servers, read.search), (servers, vec!["a.example".to_owned(), "b.example".to_owned()]));
    assert_eq!((read.dots, read.timeout, read.attempts), (2, Duration::from_secs(1), 5));
    let none = settings(&mut lines(""));
    assert_eq!((none.servers, none.dots, none.attempts), (vec![Ipv4Addr::LOCALHOST.into()], 1, 2));
}

/// A name server that answers each question by what `answer` makes of the question's name and type, over UDP and TCP, and ends when
/// it is asked for `end.test`.
struct Server {
    folder: tempfile::TempDir,
    address: SocketAddr,
    threads: Vec<JoinHandle<()>>,
}

/// The flags, and the data of the records.
type Answer = (u16, Vec<Vec<u8>>);

impl Server {
    fn start(answer: impl Fn(&str, u16, bool) -> Answer + Clone + Send + 'static) -> Self {
        let (tcp, udp) = loop {
            let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
            // The same port may be taken by another test.
            if let Ok(udp) = UdpSocket::bind(tcp.local_addr().unwrap()) {
                break (tcp, udp);
            }
        };
        let address = tcp.local_addr().unwrap();
        let answer_tcp = answer.clone();
        let over_udp = std::thread::spawn(move || {
            let mut buffer = [0; 512];
            loop {
                let (length, peer) = udp.recv_from(&mut buffer).unwrap();
                let name = name(&buffer[..length]);
                if name == "end.test" {
                    return;
                }
                // Somebody else's answer comes first, and is not taken.
                udp.send_to(b"nonsense", peer).unwrap();
                udp.send_to(&reply(&buffer[..length], &answer(&name, kind(&buffer[..length]), false)), peer).unwrap();
            }
        });
        let over_tcp = std::thread::spawn(move || {
            loop {
                let (mut stream, _) = tcp.accept().unwrap();
                let mut length = [0; 2];
                stream.read_exact(&mut length).unwrap();
                let mut question = vec![0; usize::from(u16::from_be_bytes(length))];
                stream.read_exact(&mut question).unwrap();
                let name = name(&question);
                if name == "end.test" {
                    return;
                }
                let reply = reply(&question, &answer_tcp(&name, kind(&question), true));
                stream.write_all(&u16::try_from(reply.len()).unwrap().to_be_bytes()).unwrap();
                stream.write_all(&reply).unwrap();
            }
        });
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("hosts"), "10.9.9.9 listed.test\n").unwrap();
        let text = "nameserver 127.0.0.1\nsearch inner.test\noptions timeout:30 attempts:1\n";
        std::fs::write(folder.path().join("resolv.conf"), text).unwrap();
        Self { folder, address, threads: vec![over_udp, over_tcp] }
    }

    fn names(&self) -> Names {
        let file = |name: &str| self.folder.path().join(name);
        Names::new(file("hosts"), file("resolv.conf"), self.address.port())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let question = message::question(1, "end.test", Family::V4).unwrap();
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.send_to(&question, self.address).unwrap();
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.write_all(&u16::try_from(question.len()).unwrap().to_be_bytes()).unwrap();
        stream.write_all(&question).unwrap();
        for thread in self.threads.drain(..) {
            assert!(thread.join().is_ok() || std::thread::panicking());
        }
    }
}

/// The name that is asked for.
fn name(question: &[u8]) -> String {
    let mut labels = Vec::new();
    let mut rest = &question[12..];
    while rest[0] != 0 {
        let (label, after) = rest[1..].split_at(usize::from(rest[0]));
        labels.push(String::from_utf8(label.to_vec()).unwrap());
        rest = after;
    }
    labels.join(".")
}

/// The type that is asked for.
fn kind(question: &[u8]) -> u16 {
    u16::from_be_bytes([question[question.len() - 4], question[question.len() - 3]])
}

fn reply(question: &[u8], (flags, records): &Answer) -> Vec<u8> {
    let mut bytes = question.to_vec();
    bytes[2..4].copy_from_slice(&flags.to_be_bytes());
    bytes[7] = u8::try_from(records.len()).unwrap();
    for data in records {
        bytes.extend([0xc0, 12]);
        bytes.extend(kind(question).to_be_bytes());
        bytes.extend([0, 1, 0, 0, 0, 9]);
        bytes.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
        bytes.extend(data);
    }
    bytes
}

const FOUND: u16 = 0x8180;
const NO_SUCH_NAME: u16 = 0x8183;
const REFUSED: u16 = 0x8185;
const TRUNCATED: u16 = 0x8380;

#[test]
fn servers_are_asked() {
    let server = Server::start(|name, kind, tcp| match (name, kind) {
        ("a.test", 1) => (FOUND, vec![vec![10, 0, 0, 1], vec![10, 0, 0, 2]]),
        ("a.test", _) => (FOUND, vec![vec![1; 16]]),
        ("short.inner.test", 1) => (FOUND, vec![vec![10, 0, 0, 3]]),
        ("only6.test", 28) => (FOUND, vec![vec![2; 16]]),
        ("only6.test" | "short.inner.test", _) => (FOUND, vec![]),
        ("long.test", 1) if tcp => (FOUND, vec![vec![10, 0, 0, 4]]),
        ("long.test", _) => (TRUNCATED, vec![]),
        ("refused.test", _) => (REFUSED, vec![]),
        _ => (NO_SUCH_NAME, vec![]),
    });
    let names = server.names();
    let found =
        |host: &str| -> Vec<String> { names.lookup(host).unwrap().iter().map(|address| address.to_string()).collect() };
    assert_eq!(found("a.test"), ["10.0.0.1", "10.0.0.2", "101:101:101:101:101:101:101:101"]);
    assert_eq!(found("short"), ["10.0.0.3"]);
    assert_eq!(found("only6.test"), ["202:202:202:202:202:202:202:202"]);
    assert_eq!(found("long.test"), ["10.0.0.4"]);
    assert_eq!(found("listed.test"), ["10.9.9.9"]);
    assert_eq!(found("192.0.2.1"), ["192.0.2.1"]);
    assert_eq!(found("a.localhost"), ["127.0.0.1", "::1"]);
    let error = |host: &str| names.lookup(host).unwrap_err();
    assert!(matches!(error("missing.test"), ResolveError::NoSuchHost(_)));
    assert!(matches!(error("not a name"), ResolveError::NoName(_)));
    let refused = error("refused.test");
    assert!(matches!(&refused, ResolveError::Silent { last, .. } if last.contains("code 5")), "{refused}");
}

#[test]
fn a_server_that_is_not_there_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let closed = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let file = folder.path().join("resolv.conf");
    std::fs::write(&file, "nameserver 127.0.0.1\noptions timeout:1 attempts:1").unwrap();
    let names = Names::new(folder.path().join("hosts"), file, closed);
    let error = names.lookup("a.test").unwrap_err();
    assert!(matches!(error, ResolveError::Silent { .. }), "{error}");
}
