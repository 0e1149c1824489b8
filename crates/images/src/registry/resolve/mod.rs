//! From a host's name to its addresses.
//!
//! Ours, because the C library's `getaddrinfo` loads the host's name service modules into a program that is linked statically,
//! where they crash or are missing. It reads `/etc/hosts` and asks the servers of `/etc/resolv.conf`, as the `files` and `dns` of
//! `/etc/nsswitch.conf` do; other sources (mDNS, LDAP) are not asked.

mod message;

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use message::{Family, Reply};
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

use super::host::Origin;

/// The most bytes of a file that are read.
const LARGEST_FILE: u64 = 16 << 20;
/// The most servers that are asked, as in the C library.
const MOST_SERVERS: usize = 3;
/// The most domains that are searched.
const MOST_DOMAINS: usize = 6;
/// The largest message over UDP without extensions (RFC 1035, section 4.2.1), with room for servers that do not keep to it.
const LARGEST_DATAGRAM: usize = 4096;
/// How long an answer is used again.
const FRESH: Duration = Duration::from_secs(30);
/// The most addresses that are tried: ureq's bound.
const MOST_ADDRESSES: usize = 16;

/// Why a name has no address.
#[derive(Debug, thiserror::Error)]
pub(super) enum ResolveError {
    /// Not a name that a server could be asked for.
    #[error("`{}` is not the name of a host", .0.escape_debug())]
    NoName(String),
    /// The servers say that it does not exist.
    #[error("there is no host {0}")]
    NoSuchHost(String),
    /// No server answers.
    #[error("ask for the address of {host}: no name server of {file} answers (the last: {last})")]
    Silent {
        /// The name.
        host: String,
        /// The file of servers.
        file: PathBuf,
        /// What the last one did.
        last: String,
    },
    /// A file.
    #[error("read {0}")]
    Read(PathBuf, #[source] io::Error),
}

/// The resolver of this machine.
#[derive(Debug)]
struct Names {
    hosts: PathBuf,
    servers: PathBuf,
    /// 53, but in tests.
    port: u16,
    found: Mutex<HashMap<String, (Instant, Vec<IpAddr>)>>,
}

impl Default for Names {
    fn default() -> Self {
        Self::new("/etc/hosts".into(), "/etc/resolv.conf".into(), 53)
    }
}

/// `resolv.conf(5)`.
#[derive(Debug, PartialEq, Eq)]
struct Settings {
    servers: Vec<IpAddr>,
    search: Vec<String>,
    dots: usize,
    timeout: Duration,
    attempts: u32,
}

impl Names {
    fn new(hosts: PathBuf, servers: PathBuf, port: u16) -> Self {
        Self { hosts, servers, port, found: Mutex::default() }
    }

    /// The addresses of `host`, at least one: those of version 4 first, since machines without a route for version 6 are many.
    ///
    /// # Errors
    /// See [`ResolveError`].
    fn lookup(&self, host: &str) -> Result<Vec<IpAddr>, ResolveError> {
        if let Ok(address) = host.parse() {
            return Ok(vec![address]);
        }
        // RFC 6761, section 6.3: never anybody else.
        if host == "localhost" || host.ends_with(".localhost") {
            return Ok(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]);
        }
        let known = self.found.lock().unwrap_or_else(PoisonError::into_inner).get(host).cloned();
        if let Some((when, addresses)) = known
            && when.elapsed() < FRESH
        {
            return Ok(addresses);
        }
        let listed = read(&self.hosts, |lines| listed(lines, host))?;
        let addresses = if listed.is_empty() { self.ask(host)? } else { listed };
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        found.insert(host.to_owned(), (Instant::now(), addresses.clone()));
        Ok(addresses)
    }

    /// Asks the servers: the name as it is, and in the domains that are searched.
    fn ask(&self, host: &str) -> Result<Vec<IpAddr>, ResolveError> {
        let settings = read(&self.servers, settings)?;
        let within = settings.search.iter().map(|domain| format!("{host}.{domain}"));
        let mut names: Vec<String> = if host.ends_with('.') { Vec::new() } else { within.collect() };
        let itself = if host.matches('.').count() >= settings.dots { 0 } else { names.len() };
        names.insert(itself, host.to_owned());
        if names.iter().all(|name| message::question(0, name, Family::V4).is_none()) {
            return Err(ResolveError::NoName(host.to_owned()));
        }
        let mut silent = None;
        for name in names {
            match self.ask_all(&settings, &name) {
                Ok(addresses) if addresses.is_empty() => {}
                Ok(addresses) => return Ok(addresses),
                Err(last) => silent = Some(last),
            }
        }
        match silent {
            None => Err(ResolveError::NoSuchHost(host.to_owned())),
            Some(last) => Err(ResolveError::Silent { host: host.to_owned(), file: self.servers.clone(), last }),
        }
    }

    /// Asks one server after the other until one knows; no address if one says that there is none.
    fn ask_all(&self, settings: &Settings, name: &str) -> Result<Vec<IpAddr>, String> {
        let mut last = "none is named".to_owned();
        for _ in 0..settings.attempts {
            for server in &settings.servers {
                let server = SocketAddr::new(*server, self.port);
                match both(server, name, settings.timeout) {
                    Ok(addresses) => return Ok(addresses),
                    Err(error) => last = format!("{}: {error}", server.ip()),
                }
            }
        }
        Err(last)
    }
}

/// The addresses of both families.
fn both(server: SocketAddr, name: &str, timeout: Duration) -> io::Result<Vec<IpAddr>> {
    let fourth = one(server, name, Family::V4, timeout)?;
    // A server that cannot speak of version 6 is no reason to be without version 4.
    match one(server, name, Family::V6, timeout) {
        Ok(sixth) => Ok(fourth.into_iter().chain(sixth).collect()),
        Err(_) if !fourth.is_empty() => Ok(fourth),
        Err(error) => Err(error),
    }
}

/// Asks one server for the addresses of one family.
fn one(server: SocketAddr, name: &str, family: Family, timeout: Duration) -> io::Result<Vec<IpAddr>> {
    let id = random()?;
    let Some(question) = message::question(id, name, family) else { return Ok(Vec::new()) };
    let reply = match over_udp(server, &question, timeout, |bytes| message::reply(bytes, id, name, family))? {
        Reply::Truncated => {
            let bytes = over_tcp(server, &question, timeout)?;
            let reply = message::reply(&bytes, id, name, family);
            reply.ok_or_else(|| io::Error::other("what it sent over TCP is no answer"))?
        }
        reply => reply,
    };
    match reply {
        Reply::Addresses(addresses) => Ok(addresses),
        Reply::NoSuchName => Ok(Vec::new()),
        Reply::Truncated => Err(io::Error::other("its answer is cut off even over TCP")),
        Reply::Failed(code) => Err(io::Error::other(format!("it answered with code {code}"))),
    }
}

/// Sends a datagram and waits for the one that `accept` takes. The socket is connected, so that others' datagrams are not heard, and
/// the kernel chooses its port, so that they cannot be guessed.
fn over_udp(
    server: SocketAddr,
    question: &[u8],
    timeout: Duration,
    accept: impl Fn(&[u8]) -> Option<Reply>,
) -> io::Result<Reply> {
    let any: IpAddr = if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(server)?;
    socket.send(question)?;
    let end = Instant::now() + timeout;
    let mut buffer = [0; LARGEST_DATAGRAM];
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::Error::from(io::ErrorKind::TimedOut));
        }
        socket.set_read_timeout(Some(left))?;
        match socket.recv(&mut buffer) {
            Ok(length) => {
                if let Some(reply) = accept(&buffer[..length]) {
                    return Ok(reply);
                }
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            Err(error) => return Err(error),
        }
    }
}

/// The same over TCP (RFC 7766).
fn over_tcp(server: SocketAddr, question: &[u8], timeout: Duration) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(&server, timeout)?;
    stream.set_read_timeout(Some(timeout))?;
    stream.set_write_timeout(Some(timeout))?;
    let length = u16::try_from(question.len()).map_err(io::Error::other)?;
    let mut framed = length.to_be_bytes().to_vec();
    framed.extend(question);
    stream.write_all(&framed)?;
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut bytes = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// A number that nobody can guess.
fn random() -> io::Result<u16> {
    let mut bytes = [0; 2];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())?;
    Ok(u16::from_be_bytes(bytes))
}

/// What `of` makes of the lines of a file without their comments; a file that is not there has none.
fn read<T>(path: &Path, of: impl FnOnce(&mut dyn Iterator<Item = String>) -> T) -> Result<T, ResolveError> {
    let file = match File::open(path) {
        Ok(file) => Some(file),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(ResolveError::Read(path.to_owned(), error)),
    };
    let lines = file.into_iter().flat_map(|file| BufReader::new(file.take(LARGEST_FILE)).split(b'\n'));
    let mut failed = None;
    let lines = lines.map_while(|line| line.map_err(|error| failed = Some(error)).ok());
    let mut lines = lines.map(|line| without_comment(&String::from_utf8_lossy(&line)));
    let made = of(&mut lines);
    drop(lines);
    failed.map_or(Ok(made), |error| Err(ResolveError::Read(path.to_owned(), error)))
}

fn without_comment(line: &str) -> String {
    line.split(['#', ';']).next().unwrap_or_default().trim().to_owned()
}

/// The addresses that `/etc/hosts` lists for `host`, version 4 first.
fn listed(lines: &mut dyn Iterator<Item = String>, host: &str) -> Vec<IpAddr> {
    let host = host.strip_suffix('.').unwrap_or(host);
    let mut found: Vec<IpAddr> = Vec::new();
    for line in lines {
        let mut words = line.split_ascii_whitespace();
        let address = words.next().and_then(|word| word.parse::<IpAddr>().ok());
        if let Some(address) = address
            && words.any(|word| word.eq_ignore_ascii_case(host))
            && !found.contains(&address)
            && found.len() < MOST_ADDRESSES
        {
            found.push(address);
        }
    }
    found.sort_by_key(IpAddr::is_ipv6);
    found
}

/// `resolv.conf(5)`; without a server, the one on this machine.
fn settings(lines: &mut dyn Iterator<Item = String>) -> Settings {
    let mut settings =
        Settings { servers: Vec::new(), search: Vec::new(), dots: 1, timeout: Duration::from_secs(5), attempts: 2 };
    for line in lines {
        let mut words = line.split_ascii_whitespace();
        match words.next() {
            Some("nameserver") => {
                let address = words.next().map(|word| word.split_once('%').map_or(word, |(address, _)| address));
                let address: Option<IpAddr> = address.and_then(|word| word.parse().ok());
                settings.servers.extend(address);
                settings.servers.truncate(MOST_SERVERS);
            }
            Some("domain" | "search") => {
                let domains = words.map(|word| word.trim_matches('.').to_owned()).filter(|word| !word.is_empty());
                settings.search = domains.take(MOST_DOMAINS).collect();
            }
            Some("options") => {
                for (name, value) in words.filter_map(|word| word.split_once(':')) {
                    let Ok(value) = value.parse::<u32>() else { continue };
                    match name {
                        "ndots" => settings.dots = value.min(15) as usize,
                        "timeout" => settings.timeout = Duration::from_secs(value.clamp(1, 30).into()),
                        "attempts" => settings.attempts = value.clamp(1, 5),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    if settings.servers.is_empty() {
        settings.servers.push(Ipv4Addr::LOCALHOST.into());
    }
    settings
}

/// The resolver of every connection.
#[derive(Clone, Debug, Default)]
pub(super) struct Shared(Arc<Names>);

impl Resolver for Shared {
    fn resolve(&self, uri: &Uri, _: &Config, _: NextTimeout) -> Result<ResolvedSocketAddrs, ureq::Error> {
        // A proxy's address may have a password in it, which no origin has.
        let bare = uri.authority().map(|authority| authority.as_str().rsplit('@').next().unwrap_or_default());
        let bare = bare.and_then(|bare| format!("{}://{bare}/", uri.scheme_str()?).parse::<Uri>().ok());
        let origin = bare.as_ref().and_then(Origin::of).ok_or(ureq::Error::HostNotFound)?;
        let addresses = self.0.lookup(&origin.host).map_err(|error| ureq::Error::Other(Box::new(error)))?;
        let mut resolved = self.empty();
        for address in addresses.into_iter().take(MOST_ADDRESSES) {
            resolved.push(SocketAddr::new(address, origin.port));
        }
        Ok(resolved)
    }
}

#[cfg(test)]
mod tests;
