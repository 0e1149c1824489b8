//! Hosts: the domains of names, where their registries are, and who may send a client where.

use std::fmt;
use std::net::IpAddr;

use ureq::http::Uri;
use ureq::http::uri::Scheme;

/// The domain of Docker's registry in names.
const DOCKER: &str = "docker.io";
/// Where it is.
const DOCKER_API: &str = "registry-1.docker.io";
/// Under what its credentials are kept, by Docker and everybody since.
const DOCKER_CREDENTIALS: &str = "https://index.docker.io/v1/";

/// `HOST[:PORT]` as it stands in names: `docker.io`, `localhost:5000`, `[::1]:5000`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Host(String);

impl Host {
    /// The host of what a user calls a registry: with or without a scheme and a path, and Docker's by any of its names.
    pub(super) fn new(text: &str) -> Self {
        let bare = text.split_once("://").map_or(text, |(_, rest)| rest);
        let bare = bare.split_once('/').map_or(bare, |(host, _)| host);
        match bare {
            "index.docker.io" | DOCKER_API => Self(DOCKER.to_owned()),
            other => Self(other.to_owned()),
        }
    }

    /// The host that the registry answers at.
    pub(super) fn api(&self) -> &str {
        if self.is_docker() { DOCKER_API } else { &self.0 }
    }

    /// Under what Docker keeps credentials for it.
    pub(super) fn credentials_key(&self) -> &str {
        if self.is_docker() { DOCKER_CREDENTIALS } else { &self.0 }
    }

    pub(super) fn is_docker(&self) -> bool {
        self.0 == DOCKER
    }

    /// The words of the user.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Host {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// `[::1]:5000` and `localhost:5000` without the port and the brackets.
fn without_port(authority: &str) -> &str {
    if let Some(rest) = authority.strip_prefix('[') {
        return rest.split_once(']').map_or(rest, |(address, _)| address);
    }
    authority.split_once(':').map_or(authority, |(host, _)| host)
}

/// Whether the host, without a port, is this machine. The resolver never asks anybody about `localhost`.
fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Whether the host is at the network's edge: link-local addresses answer with what is meant for this machine alone, such as the
/// credentials of virtual machines.
fn is_link_local(host: &str) -> bool {
    host.parse::<IpAddr>().is_ok_and(|address| match address {
        IpAddr::V4(address) => address.is_link_local() || address.is_unspecified(),
        IpAddr::V6(address) => (address.segments()[0] & 0xffc0) == 0xfe80 || address.is_unspecified(),
    })
}

/// Scheme, host and port of a URL: what has a connection, trust and secrets of its own.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Origin {
    /// Whether TLS is spoken.
    pub(super) tls: bool,
    /// The host, without brackets, in lower case.
    pub(super) host: String,
    pub(super) port: u16,
}

impl Origin {
    /// The origin of `uri`; `None` if it has none that is HTTP's, or has a user's name in it.
    pub(super) fn of(uri: &Uri) -> Option<Self> {
        let tls = match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTPS => true,
            Some(scheme) if *scheme == Scheme::HTTP => false,
            _ => return None,
        };
        let authority = uri.authority().filter(|authority| !authority.as_str().contains('@'))?;
        let host = without_port(authority.as_str()).to_ascii_lowercase();
        let port = match authority.as_str().strip_prefix(authority.host())? {
            "" if tls => 443,
            "" => 80,
            port => port.strip_prefix(':')?.parse().ok()?,
        };
        Some(Self { tls, host, port }).filter(|origin| !origin.host.is_empty())
    }

    /// Whether it is this machine for sure: what is said to it is heard by nobody else.
    pub(super) fn is_loopback(&self) -> bool {
        is_loopback(&self.host)
    }

    /// Whether what `self` answers may send a client to `other`. Without TLS only where that is allowed at all (`insecure`); and
    /// nobody but this machine itself sends to this machine or to link-local addresses.
    pub(super) fn may_send_to(&self, other: &Self, insecure: bool) -> bool {
        let private = other.is_loopback() || is_link_local(&other.host);
        (other.tls || insecure) && (!private || self.is_loopback() || self.host == other.host)
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        if self.host.contains(':') {
            write!(formatter, "{scheme}://[{}]:{}", self.host, self.port)
        } else {
            write!(formatter, "{scheme}://{}:{}", self.host, self.port)
        }
    }
}

/// `location` as an answer to a request for `base` means it (RFC 3986, section 5). `None` if it is no URL of HTTP.
pub(super) fn join(base: &Uri, location: &str) -> Option<Uri> {
    let (scheme, authority) = (base.scheme_str()?, base.authority()?.as_str());
    let location = location.split_once('#').map_or(location, |(before, _)| before);
    let absolute = if location.contains("://") && !location.starts_with(['/', '?']) {
        location.to_owned()
    } else if let Some(rest) = location.strip_prefix("//") {
        format!("{scheme}://{rest}")
    } else if location.starts_with('/') {
        format!("{scheme}://{authority}{location}")
    } else if location.starts_with('?') {
        format!("{scheme}://{authority}{}{location}", base.path())
    } else {
        let folder = base.path().rsplit_once('/').map_or("", |(folder, _)| folder);
        format!("{scheme}://{authority}{folder}/{location}")
    };
    let uri: Uri = absolute.parse().ok()?;
    Origin::of(&uri).map(|_| uri)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(url: &str) -> Option<Origin> {
        Origin::of(&url.parse().unwrap())
    }

    #[test]
    fn docker_has_many_names() {
        for text in
            ["docker.io", "index.docker.io", "https://index.docker.io/v1/", "registry-1.docker.io", "docker.io/"]
        {
            let host = Host::new(text);
            assert_eq!((host.as_str(), host.api()), ("docker.io", "registry-1.docker.io"));
            assert_eq!(host.credentials_key(), "https://index.docker.io/v1/");
        }
        let host = Host::new("https://registry.example:5000/v2/");
        assert_eq!((host.as_str(), host.api()), ("registry.example:5000", "registry.example:5000"));
    }

    #[test]
    fn this_machine_is_told_apart() {
        for text in ["localhost", "localhost:5000", "127.0.0.1", "127.9.9.9:1", "[::1]", "[::1]:5000"] {
            assert!(origin(&format!("http://{text}/")).unwrap().is_loopback(), "{text}");
        }
        for text in
            ["localhost.example", "127.0.0.1.example:80", "128.0.0.1", "[::2]:1", "[fe80::1]", "example", "0.0.0.0"]
        {
            assert!(!origin(&format!("http://{text}/")).unwrap().is_loopback(), "{text}");
        }
    }

    #[test]
    fn nobody_is_sent_where_he_must_not_go() {
        let allowed =
            |from: &str, to: &str, insecure: bool| origin(from).unwrap().may_send_to(&origin(to).unwrap(), insecure);
        assert!(allowed("https://a", "https://cdn.example", false));
        assert!(allowed("http://localhost:1", "http://127.0.0.1:2", true));
        assert!(!allowed("https://a", "http://cdn.example", false));
        assert!(!allowed("https://a", "https://127.0.0.1:8443", true));
        assert!(!allowed("https://a", "https://localhost", true));
        assert!(!allowed("https://a", "http://169.254.169.254/latest", true));
        assert!(!allowed("https://a", "https://[fe80::1]/", true));
        assert!(!allowed("https://a", "https://0.0.0.0/", true));
        for url in ["https://user@a/", "https://user:pw@a/", "ftp://a/", "/path", "https://a:99999/"] {
            assert_eq!(url.parse::<Uri>().ok().and_then(|uri| Origin::of(&uri)), None, "{url}");
        }
    }

    #[test]
    fn locations_are_joined() {
        let base: Uri = "https://a:1/v2/x/blobs/uploads/?q=1".parse().unwrap();
        for (location, whole) in [
            ("https://b/c?d", Some("https://b/c?d")),
            ("http://b", Some("http://b/")),
            ("//b/c", Some("https://b/c")),
            ("/c?d=e://f", Some("https://a:1/c?d=e://f")),
            ("c", Some("https://a:1/v2/x/blobs/uploads/c")),
            ("?x", Some("https://a:1/v2/x/blobs/uploads/?x")),
            ("/c#d", Some("https://a:1/c")),
            ("ftp://b", None),
            ("https://", None),
            ("https://b c", None),
            ("file:///etc/passwd", None),
        ] {
            assert_eq!(join(&base, location).map(|uri| uri.to_string()).as_deref(), whole, "{location}");
        }
    }
}
