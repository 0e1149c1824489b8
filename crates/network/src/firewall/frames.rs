//! Who a container may claim to be: the table of frames.
//!
//! What an endpoint has stands in sets, so that a frame costs the same however many containers there are, and nearly every one a single look-up.

use std::borrow::Cow;
use std::net::Ipv6Addr;

use super::{Bridge, NAME, chain, led_to};
use crate::model::{Endpoint, Mac};
use crate::nft::{self, Elements, Family, Field, Is, Rule, Set, Table, Verdict};

/// The types of frames: IPv4, ARP and IPv6.
const IPV4: u16 = 0x0800;
const ARP: u16 = 0x0806;
const IPV6: u16 = 0x86dd;
/// The number of ICMPv6, and what it tells: routes, neighbours, redirects.
const ICMP6: u8 = 58;
const ROUTER_ADVERTISEMENT: u8 = 134;
const NEIGHBOUR_ADVERTISEMENT: u8 = 136;
const REDIRECT: u8 = 137;

/// The host's ends of containers' interfaces.
const PORTS: (&str, &[Field]) = ("ports", &[Field::CameBy]);
/// Their hardware addresses.
const MACS: (&str, &[Field]) = ("macs", &[Field::CameBy, Field::Sender]);
/// These with addresses that packets come from.
const SOURCES4: (&str, &[Field]) = ("sources4", &[Field::CameBy, Field::Sender, Field::Source4]);
const SOURCES6: (&str, &[Field]) = ("sources6", &[Field::CameBy, Field::Sender, Field::Source6]);
/// Who asks for neighbours, and answers: an address of its own, or none yet.
const ASKING: (&str, &[Field]) = ("asking", &[Field::CameBy, Field::ArpSender, Field::ArpSource]);
/// Where is said which addresses of IPv6 it may advertise. A set of these could be looked up as well, but not be loaded again as nft(8) lists it.
const ADVERTISING: (&str, &[Field]) = ("advertising", &[Field::CameBy]);

/// The table; empty without containers.
pub(super) fn frames(bridges: &[Bridge<'_>]) -> Table {
    let table = Table { family: Family::Bridge, name: NAME, comment: None, chains: Vec::new(), sets: Vec::new() };
    let endpoints: Vec<&Endpoint> = bridges.iter().flat_map(|bridge| bridge.endpoints).collect();
    if endpoints.is_empty() {
        return table;
    }
    let is_in = |(name, fields)| nft::within(Is::Equal, fields, name);
    // Nearly every frame, which none of the others is about: it is not asked them all.
    let four = [nft::frame(Is::Equal, IPV4), is_in(SOURCES4), nft::accept()].concat();
    let others = [is_in(PORTS), nft::go_to("port".into())].concat();
    let kept = [nft::kept_to_link(), is_in(PORTS), nft::drop_it()].concat();
    let mut chains = vec![
        chain("senders", "filter", 0, -300, vec![four, usual_six(), others]),
        chain("kept", "filter", 1, -300, vec![kept]),
        led_to(("port".into(), honest())),
    ];
    let mut sets = sets(&endpoints);
    let mut advertising = Vec::new();
    for end in endpoints {
        let Some(own) = six(end) else { continue };
        let name: Cow<'static, str> = format!("advertises-{}", end.id.as_str()).into();
        // The target of an advertisement (RFC 4861, 4.4).
        let targets = own.map(|address| nft::transport(8, Is::Other, &address.octets())).concat();
        chains.push(led_to((name.clone(), vec![[targets, nft::drop_it()].concat()])));
        advertising.push((nft::named(&end.host_interface), Verdict::Jump(name)));
    }
    let (name, fields) = ADVERTISING;
    sets.push(Set { name, fields, elements: Elements::Verdicts(advertising) });
    Table { chains, sets, ..table }
}

/// The addresses of IPv6 that a container has, if it has any: its own and that of its link.
fn six(endpoint: &Endpoint) -> Option<[Ipv6Addr; 2]> {
    endpoint.ipv6.map(|address| [address, link_local(endpoint.mac)])
}

/// What goes by IPv6, but for what it tells of itself, which is looked at.
fn usual_six() -> Rule {
    let other = [nft::frame(Is::Equal, IPV6), nft::protocol(Is::Other, ICMP6)];
    [other.concat(), nft::within(Is::Equal, SOURCES6.1, SOURCES6.0), nft::accept()].concat()
}

/// All that a container sends besides.
fn honest() -> Vec<Rule> {
    let within = |is, (name, fields)| nft::within(is, fields, name);
    let tells = |kind| {
        [nft::frame(Is::Equal, IPV6), nft::protocol(Is::Equal, ICMP6), nft::transport(0, Is::Equal, &[kind])].concat()
    };
    vec![
        [within(Is::Other, MACS), nft::drop_it()].concat(),
        [nft::frame(Is::Equal, ARP), within(Is::Equal, ASKING), nft::accept()].concat(),
        [tells(ROUTER_ADVERTISEMENT), nft::drop_it()].concat(),
        [tells(REDIRECT), nft::drop_it()].concat(),
        // A neighbour's advertisement of an address that is another's; sent from an address of its own, that passes the next rule.
        [tells(NEIGHBOUR_ADVERTISEMENT), nft::as_in(ADVERTISING.1, ADVERTISING.0)].concat(),
        [nft::frame(Is::Equal, IPV6), within(Is::Equal, SOURCES6), nft::accept()].concat(),
        // What is left has another's address, or is of another type, tags in front of others' packets among them (CVE-2021-27853): what is in
        // them is not looked at here, but by who gets them.
        nft::drop_it(),
    ]
}

/// What each container has.
fn sets(endpoints: &[&Endpoint]) -> Vec<Set> {
    let all = |(name, fields): (&'static str, &'static [Field]), values: &dyn Fn(&Endpoint) -> Vec<Vec<Vec<u8>>>| {
        let key = |end: &Endpoint, values: Vec<Vec<u8>>| {
            let parts = [nft::named(&end.host_interface)].into_iter().chain(values);
            parts.zip(fields).flat_map(|(value, field)| nft::part(&value, *field)).collect()
        };
        let keys = endpoints.iter().flat_map(|end| values(end).into_iter().map(|values| key(end, values)));
        Set { name, fields, elements: Elements::Keys(keys.collect()) }
    };
    let mac = |end: &Endpoint| end.mac.octets().to_vec();
    let four = |end: &Endpoint| end.ipv4.map(|address| address.octets().to_vec());
    vec![
        all(PORTS, &|_| vec![Vec::new()]),
        all(MACS, &|end| vec![vec![mac(end)]]),
        all(SOURCES4, &|end| four(end).map(|address| vec![mac(end), address]).into_iter().collect()),
        all(SOURCES6, &|end| {
            let own = six(end).map(|[address, link]| [address, link, Ipv6Addr::UNSPECIFIED]);
            own.into_iter().flatten().map(|one| vec![mac(end), one.octets().to_vec()]).collect()
        }),
        all(ASKING, &|end| {
            let own = four(end).map(|address| [address, vec![0; 4]]);
            own.into_iter().flatten().map(|one| vec![mac(end), one]).collect()
        }),
    ]
}

/// The address that an interface gives itself on its link (RFC 4291, appendix A), as its setting `addr_gen_mode` has it.
fn link_local(mac: Mac) -> Ipv6Addr {
    let [a, b, c, d, e, f] = mac.octets().map(u16::from);
    Ipv6Addr::new(0xfe80, 0, 0, 0, (a ^ 2) << 8 | b, c << 8 | 0xff, 0xfe00 | d, e << 8 | f)
}
