//! Proxies of the environment, as Docker (Go's `ProxyFromEnvironment`) has them: `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY`, or the
//! same in lower case. This machine itself is never asked for by a proxy.

use std::net::IpAddr;

use ureq::{Proxy, ProxyProtocol};

use super::host::Origin;

/// The proxies.
#[derive(Debug, Default)]
pub(super) struct Proxies {
    http: Option<String>,
    https: Option<String>,
    without: Vec<Without>,
}

/// Why a proxy cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    /// Its address.
    #[error(
        "{0} is not the address of a proxy: http://HOST:PORT or https://HOST:PORT, with USER:PASSWORD@ if it wants that"
    )]
    Form(&'static str),
}

/// A host that is reached without a proxy.
#[derive(Debug, PartialEq, Eq)]
enum Without {
    All,
    /// A domain and all below it; with a dot in front, only what is below.
    Domain(String, Option<u16>),
    Address(IpAddr, Option<u16>),
    Network(IpAddr, u32),
}

impl Proxies {
    /// Those of `variable`, which is the environment.
    pub(super) fn new(variable: impl Fn(&str) -> Option<String>) -> Self {
        let either = |name: &str| {
            let lower = name.to_ascii_lowercase();
            [name, &lower].iter().find_map(|name| variable(name).filter(|value| !value.is_empty()))
        };
        let without = either("NO_PROXY").unwrap_or_default();
        let without = without.split(',').map(str::trim).filter_map(Without::read).collect();
        Self { http: either("HTTP_PROXY"), https: either("HTTPS_PROXY"), without }
    }

    /// The proxy for `origin`, if there is one for it.
    ///
    /// # Errors
    /// If there is one that is none.
    pub(super) fn of(&self, origin: &Origin) -> Result<Option<Proxy>, ProxyError> {
        let (text, name) = match origin.tls {
            true => (&self.https, "HTTPS_PROXY"),
            false => (&self.http, "HTTP_PROXY"),
        };
        let Some(text) = text else { return Ok(None) };
        if origin.is_loopback() || self.without.iter().any(|without| without.matches(origin)) {
            return Ok(None);
        }
        let proxy = Proxy::new(text).map_err(|_ignored| ProxyError::Form(name))?;
        // ureq panics at any other.
        match proxy.protocol() {
            ProxyProtocol::Http | ProxyProtocol::Https => Ok(Some(proxy)),
            _ => Err(ProxyError::Form(name)),
        }
    }
}

impl Without {
    fn read(text: &str) -> Option<Self> {
        let text = text.to_ascii_lowercase();
        if text.is_empty() {
            return None;
        }
        if text == "*" {
            return Some(Self::All);
        }
        if let Some((address, length)) = text.split_once('/')
            && let (Ok(address), Ok(length)) = (address.parse(), length.parse())
        {
            return Some(Self::Network(address, length));
        }
        if let Ok(address) = text.trim_matches(['[', ']']).parse() {
            return Some(Self::Address(address, None));
        }
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) => (host, Some(port.parse().ok()?)),
            None => (text.as_str(), None),
        };
        match host.trim_matches(['[', ']']).parse() {
            Ok(address) => Some(Self::Address(address, port)),
            Err(_) => Some(Self::Domain(host.strip_prefix('*').unwrap_or(host).to_owned(), port)),
        }
    }

    fn matches(&self, origin: &Origin) -> bool {
        let at = |port: &Option<u16>| port.is_none_or(|port| port == origin.port);
        let address: Option<IpAddr> = origin.host.parse().ok();
        match self {
            Self::All => true,
            Self::Domain(domain, port) => {
                let below = match domain.starts_with('.') {
                    true => origin.host.ends_with(domain),
                    false => origin.host == *domain || origin.host.ends_with(&format!(".{domain}")),
                };
                below && at(port)
            }
            Self::Address(wanted, port) => address == Some(*wanted) && at(port),
            Self::Network(network, length) => address.is_some_and(|address| within(address, *network, *length)),
        }
    }
}

/// Whether `address` is in the network.
fn within(address: IpAddr, network: IpAddr, length: u32) -> bool {
    let (one, other, width) = match (address, network) {
        (IpAddr::V4(one), IpAddr::V4(other)) => (u32::from(one).into(), u32::from(other).into(), 32),
        (IpAddr::V6(one), IpAddr::V6(other)) => (u128::from(one), u128::from(other), 128),
        _ => return false,
    };
    length <= width && (length == 0 || (one ^ other) >> (width - length) == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(url: &str) -> Origin {
        Origin::of(&url.parse().unwrap()).unwrap()
    }

    fn proxies(variables: &[(&str, &str)]) -> Proxies {
        Proxies::new(|name| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn each_scheme_has_its_own() {
        let both = proxies(&[("HTTP_PROXY", "http://a:1"), ("https_proxy", "b:2")]);
        assert_eq!(both.of(&origin("http://x")).unwrap().unwrap().host(), "a");
        let tls = both.of(&origin("https://x")).unwrap().unwrap();
        assert_eq!((tls.host(), tls.port()), ("b", 2));
        for local in ["http://localhost:5000", "https://127.0.0.1", "http://[::1]:1"] {
            assert!(both.of(&origin(local)).unwrap().is_none(), "{local}");
        }
        assert!(proxies(&[]).of(&origin("https://x")).unwrap().is_none());
        for wrong in ["socks5://a:1", "gopher://a", "http://"] {
            let error = proxies(&[("HTTPS_PROXY", wrong)]).of(&origin("https://x")).unwrap_err();
            assert!(error.to_string().contains("HTTPS_PROXY"), "{wrong}");
        }
    }

    #[test]
    fn some_hosts_are_reached_without() {
        let list = "example.com, .inner.org,*.star.net,10.0.0.0/8,192.0.2.1,host:81,[2001:db8::1],2001:db8:1::/48";
        let some = proxies(&[("HTTPS_PROXY", "http://a:1"), ("NO_PROXY", list)]);
        let direct = |url: &str| some.of(&origin(url)).unwrap().is_none();
        for url in [
            "https://example.com",
            "https://a.EXAMPLE.com:5000",
            "https://a.inner.org",
            "https://a.star.net",
            "https://10.255.0.1",
            "https://192.0.2.1:5",
            "https://host:81",
            "https://[2001:db8::1]:5",
            "https://[2001:db8:1::5]",
        ] {
            assert!(direct(url), "{url}");
        }
        for url in
            ["https://badexample.com", "https://inner.org", "https://11.0.0.1", "https://host", "https://[2001:db9::1]"]
        {
            assert!(!direct(url), "{url}");
        }
        assert!(
            proxies(&[("HTTPS_PROXY", "http://a:1"), ("NO_PROXY", "*")]).of(&origin("https://x")).unwrap().is_none()
        );
    }
}
