//! Who a container may claim to be: the table of frames.
//!
//! What an endpoint has stands in sets, so that a frame costs the same however many containers there are, and nearly every one a single look-up.

use std::borrow::Cow;
use std::net::Ipv6Addr;

use super::{Bridge, NAME, chain, led_to};
use crate::model::{Endpoint, Mac};
use crate::nft::{self, Chain, Elements, Family, Field, Is, Rule, Set, Table, Verdict};

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
const PORTS: Kind = ("ports", &[Field::CameBy]);
/// Their hardware addresses.
const MACS: Kind = ("macs", &[Field::CameBy, Field::Sender]);
/// These with addresses that packets come from.
const SOURCES4: Kind = ("sources4", &[Field::CameBy, Field::Sender, Field::Source4]);
const SOURCES6: Kind = ("sources6", &[Field::CameBy, Field::Sender, Field::Source6]);
/// Who asks for neighbours, and answers: an address of its own, or none yet.
const ASKING: Kind = ("asking", &[Field::CameBy, Field::ArpSender, Field::ArpSource]);
/// Where is said which addresses of IPv6 it may advertise. A set of these could be looked up as well, but not be loaded again as nft(8) lists it.
const ADVERTISING: Kind = ("advertising", &[Field::CameBy]);

/// The table; empty without containers.
pub(super) fn frames(bridges: &[Bridge<'_>]) -> Table {
    let table = Table { family: Family::Bridge, name: NAME, comment: None, chains: Vec::new(), sets: Vec::new() };
    let endpoints: Vec<&Endpoint> = bridges.iter().flat_map(|bridge| bridge.endpoints).collect();
    if endpoints.is_empty() {
        return table;
    }
    // Nearly every frame, which none of the others is about: it is not asked them all.
    let mut senders = vec![[nft::frame(Is::Equal, IPV4), within(Is::Equal, SOURCES4), nft::accept()].concat()];
    let mut honest = honest();
    let mut sets = sets(&endpoints);
    let mut chains = Vec::new();
    if endpoints.iter().any(|end| end.ipv6.is_some()) {
        // But for what is told of addresses and routes, which is looked at.
        let other = [nft::frame(Is::Equal, IPV6), nft::protocol(Is::Other, ICMP6)].concat();
        senders.push([other, within(Is::Equal, SOURCES6), nft::accept()].concat());
        honest.extend(honest_six());
        let (targets, advertising) = advertising(&endpoints);
        chains = targets;
        sets.extend([sources6(&endpoints), advertising]);
    }
    // What is left has another's address, or is of another type, tags in front of others' packets among them (CVE-2021-27853): what is in them
    // is not looked at here, but by who gets them.
    honest.push(nft::drop_it());
    senders.push([within(Is::Equal, PORTS), nft::go_to("port".into())].concat());
    let kept = [nft::kept_to_link(), within(Is::Equal, PORTS), nft::drop_it()].concat();
    chains.extend([
        chain("senders", "filter", 0, -300, senders),
        chain("kept", "filter", 1, -300, vec![kept]),
        led_to(("port".into(), honest)),
    ]);
    Table { chains, sets, ..table }
}

/// A set's name, and of what its keys are made.
type Kind = (&'static str, &'static [Field]);

fn within(is: Is, (name, fields): Kind) -> Rule {
    nft::within(is, fields, name)
}

/// Which addresses each container may say to have, if it has any of IPv6: the target of an advertisement (RFC 4861, 4.4).
fn advertising(endpoints: &[&Endpoint]) -> (Vec<Chain>, Set) {
    let (mut chains, mut verdicts) = (Vec::new(), Vec::new());
    for end in endpoints {
        let Some(own) = six(end) else { continue };
        let name: Cow<'static, str> = format!("advertises-{}", end.id.as_str()).into();
        let targets = own.map(|address| nft::transport(8, Is::Other, &address.octets())).concat();
        chains.push(led_to((name.clone(), vec![[targets, nft::drop_it()].concat()])));
        verdicts.push((nft::named(&end.host_interface), Verdict::Jump(name)));
    }
    let (name, fields) = ADVERTISING;
    (chains, Set { name, fields, elements: Elements::Verdicts(verdicts) })
}

/// The addresses of IPv6 that a container has, if it has any: its own and that of its link.
fn six(endpoint: &Endpoint) -> Option<[Ipv6Addr; 2]> {
    endpoint.ipv6.map(|address| [address, link_local(endpoint.mac)])
}

/// What a container sends besides: from its own hardware address, and asking for neighbours.
fn honest() -> Vec<Rule> {
    vec![
        [within(Is::Other, MACS), nft::drop_it()].concat(),
        [nft::frame(Is::Equal, ARP), within(Is::Equal, ASKING), nft::accept()].concat(),
    ]
}

/// The same of IPv6: no routes, and no other's addresses.
fn honest_six() -> Vec<Rule> {
    let tells = |kind| {
        [nft::frame(Is::Equal, IPV6), nft::protocol(Is::Equal, ICMP6), nft::transport(0, Is::Equal, &[kind])].concat()
    };
    vec![
        [tells(ROUTER_ADVERTISEMENT), nft::drop_it()].concat(),
        [tells(REDIRECT), nft::drop_it()].concat(),
        // A neighbour's advertisement of an address that is another's; sent from an address of its own, that passes the next rule.
        [tells(NEIGHBOUR_ADVERTISEMENT), nft::as_in(ADVERTISING.1, ADVERTISING.0)].concat(),
        [nft::frame(Is::Equal, IPV6), within(Is::Equal, SOURCES6), nft::accept()].concat(),
    ]
}

/// What containers have, of each what `values` says, behind the name of its interface.
fn set((name, fields): Kind, endpoints: &[&Endpoint], values: impl Fn(&Endpoint) -> Vec<Vec<Vec<u8>>>) -> Set {
    let key = |end: &Endpoint, values: Vec<Vec<u8>>| {
        let parts = [nft::named(&end.host_interface)].into_iter().chain(values);
        parts.zip(fields).flat_map(|(value, field)| nft::part(&value, *field)).collect()
    };
    let keys = endpoints.iter().flat_map(|end| values(end).into_iter().map(|values| key(end, values)));
    Set { name, fields, elements: Elements::Keys(keys.collect()) }
}

fn sets(endpoints: &[&Endpoint]) -> Vec<Set> {
    let mac = |end: &Endpoint| end.mac.octets().to_vec();
    let four = |end: &Endpoint| end.ipv4.map(|address| address.octets().to_vec());
    vec![
        set(PORTS, endpoints, |_| vec![Vec::new()]),
        set(MACS, endpoints, |end| vec![vec![mac(end)]]),
        set(SOURCES4, endpoints, |end| four(end).map(|address| vec![mac(end), address]).into_iter().collect()),
        set(ASKING, endpoints, |end| {
            let own = four(end).map(|address| [address, vec![0; 4]]);
            own.into_iter().flatten().map(|one| vec![mac(end), one]).collect()
        }),
    ]
}

fn sources6(endpoints: &[&Endpoint]) -> Set {
    set(SOURCES6, endpoints, |end| {
        let own = six(end).map(|[address, link]| [address, link, Ipv6Addr::UNSPECIFIED]);
        let mac = end.mac.octets().to_vec();
        own.into_iter().flatten().map(|one| vec![mac.clone(), one.octets().to_vec()]).collect()
    })
}

/// The address that an interface gives itself on its link (RFC 4291, appendix A), as its setting `addr_gen_mode` has it.
fn link_local(mac: Mac) -> Ipv6Addr {
    let [a, b, c, d, e, f] = mac.octets().map(u16::from);
    Ipv6Addr::new(0xfe80, 0, 0, 0, (a ^ 2) << 8 | b, c << 8 | 0xff, 0xfe00 | d, e << 8 | f)
}
