//! `/etc/hosts` and `/etc/resolv.conf` of containers. Pure, but for reading the host's.

use std::net::{IpAddr, SocketAddr};

use super::ask::NameServers;

/// Where a container on networks with names asks.
pub(crate) const INSIDE: std::net::Ipv4Addr = std::net::Ipv4Addr::new(127, 0, 0, 11);
/// The port of name servers.
pub(crate) const PORT: u16 = 53;
/// The most name servers that a resolver asks (`MAXNS` of `resolv.h`).
const MOST: usize = 3;

/// What `/etc/hosts` of a container with a network of its own begins with.
const HOSTS: &str = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nfe00::\tip6-localnet\n\
                     ff00::\tip6-mcastprefix\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n";

/// `/etc/hosts`: what was added, and the container's own addresses.
pub(crate) fn hosts(added: &[(String, IpAddr)], own: &[IpAddr], hostname: &str) -> String {
    let mut text = HOSTS.to_owned();
    text.extend(added.iter().map(|(name, address)| format!("{address}\t{name}\n")));
    let own = own.iter().filter(|_| !hostname.is_empty());
    text.extend(own.map(|address| format!("{address}\t{hostname}\n")));
    text
}

/// What a `resolv.conf` says (`resolv.conf(5)`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ResolvConf {
    /// With the name or number of an interface behind a link-local address, which is kept apart.
    pub(crate) servers: Vec<IpAddr>,
    pub(crate) search: Vec<String>,
    pub(crate) options: Vec<String>,
}

impl ResolvConf {
    /// Reads it. What is no address of a server is left out, as the C library does.
    pub(crate) fn parse(text: &str) -> Self {
        let mut read = Self::default();
        for line in text.lines() {
            let mut words = line.split_whitespace();
            let rest = |words: std::str::SplitWhitespace<'_>| words.map(str::to_owned).collect::<Vec<_>>();
            match words.next() {
                Some("nameserver") => read.servers.extend(words.next().and_then(|word| word.parse::<IpAddr>().ok())),
                Some("search" | "domain") => read.search = rest(words),
                Some("options") => read.options.extend(rest(words)),
                _ => {}
            }
        }
        read.servers.truncate(MOST);
        read
    }

    /// The host's, or what systemd knows behind its own server on the loopback, which containers cannot reach.
    pub(crate) fn of_host() -> Self {
        let read = |path: &str| std::fs::read_to_string(path).ok().map(|text| Self::parse(&text));
        let host = read("/etc/resolv.conf").unwrap_or_default();
        let stub = host.servers == [IpAddr::from([127, 0, 0, 53])];
        match read("/run/systemd/resolve/resolv.conf").filter(|real| stub && !real.servers.is_empty()) {
            Some(real) => Self { servers: real.servers, ..host },
            None => host,
        }
    }

    /// With what was asked for in place of the host's.
    pub(crate) fn with(self, asked: &NameServers) -> Self {
        let instead = |own: Vec<String>, asked: &[String]| if asked.is_empty() { own } else { asked.to_vec() };
        let search = instead(self.search, &asked.search);
        Self {
            servers: if asked.servers.is_empty() { self.servers } else { asked.servers.clone() },
            search: if search == ["."] { Vec::new() } else { search },
            options: instead(self.options, &asked.options),
        }
    }

    /// Whether a container would reach none of them by itself.
    pub(crate) fn is_on_loopback(&self) -> bool {
        !self.servers.is_empty() && self.servers.iter().all(IpAddr::is_loopback)
    }

    /// With the server inside of the container in place of these, which that one asks.
    pub(crate) fn inside(&self) -> Self {
        let mut options = self.options.clone();
        if !options.iter().any(|option| option.starts_with("ndots:")) {
            options.push("ndots:0".to_owned());
        }
        Self { servers: vec![INSIDE.into()], search: self.search.clone(), options }
    }

    /// Where they listen.
    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        self.servers.iter().map(|server| SocketAddr::new(*server, PORT)).collect()
    }

    /// The file; without servers on a loopback of another network namespace.
    pub(crate) fn text(&self) -> String {
        let mut text = "# Written by Stockade when the container started.\n".to_owned();
        let reachable = |server: &&IpAddr| !server.is_loopback() || **server == IpAddr::from(INSIDE);
        text.extend(self.servers.iter().filter(reachable).map(|server| format!("nameserver {server}\n")));
        for (word, values) in [("search", &self.search), ("options", &self.options)] {
            if !values.is_empty() {
                text += &format!("{word} {}\n", values.join(" "));
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resolv_conf_is_read_and_written() {
        let text =
            "# c\nnameserver 10.0.0.1\nnameserver fe80::1%eth0\nnameserver 127.0.0.53\nsearch a.b c\noptions edns0\n";
        let read = ResolvConf::parse(text);
        assert_eq!(read.servers.len(), 2);
        let written = read.clone().with(&NameServers::default()).text();
        assert!(written.ends_with("nameserver 10.0.0.1\nsearch a.b c\noptions edns0\n"), "{written}");
        let inside = read.inside().text();
        assert!(inside.ends_with("nameserver 127.0.0.11\nsearch a.b c\noptions edns0 ndots:0\n"), "{inside}");
        let asked = NameServers {
            servers: vec!["192.0.2.1".parse().unwrap()],
            search: vec![".".into()],
            options: vec!["ndots:3".into()],
        };
        let with = read.with(&asked);
        assert!(with.text().ends_with("\nnameserver 192.0.2.1\noptions ndots:3\n"), "{}", with.text());
        assert!(with.inside().text().ends_with("options ndots:3\n"));
        assert!(ResolvConf::parse("nameserver 127.0.0.1").is_on_loopback() && !with.is_on_loopback());
        assert!(!ResolvConf::default().is_on_loopback());
    }

    #[test]
    fn hosts_have_what_was_added_and_the_container() {
        let added = [("db".to_owned(), "192.0.2.7".parse().unwrap())];
        let text = hosts(&added, &["172.17.0.2".parse().unwrap()], "box");
        assert!(text.starts_with("127.0.0.1\tlocalhost\n"));
        assert!(text.ends_with("192.0.2.7\tdb\n172.17.0.2\tbox\n"), "{text}");
    }
}
