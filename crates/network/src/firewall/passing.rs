//! What reaches the host's own services, and what is forwarded.

use super::{Bridge, Others, led_to};
use crate::model::Isolation;
use crate::nft::{self, Chain, Elements, Field, Is, Rule, Set, Verdict};

/// Numbers of protocols: ICMP and ICMPv6.
const ICMP: [u8; 2] = [1, 58];
/// Bits of a connection's state.
const INVALID: u32 = 1;
const KNOWN: u32 = 2 | 4;
/// Bridges whose containers do not reach the host's services.
const GUESTS: &str = "guests";
/// What comes from a bridge, and what goes to one.
const LEAVING: &str = "leaving";
const ENTERING: &str = "entering";
/// Bridges whose containers reach the outside.
const OUTWARD: &str = "outward";
const BY: &[Field] = &[Field::CameBy];
const TO: &[Field] = &[Field::LeavesBy];

/// A chain of the kernel's with the chains and sets that it leads to.
pub(super) type Led = (Vec<Rule>, Vec<Chain>, Vec<Set>);

/// Of the host's services a container reaches none: it is answered, and can be told of errors.
pub(super) fn into_host(bridges: &[Bridge<'_>]) -> Led {
    let guests: Vec<_> = bridges.iter().filter(|bridge| !bridge.options.host_access).collect();
    if guests.is_empty() {
        return Led::default();
    }
    let mut rules = vec![[nft::state(KNOWN), nft::accept()].concat()];
    rules.extend(ICMP.map(|number| [nft::protocol(Is::Equal, number), nft::accept()].concat()));
    rules.push(nft::drop_it());
    let verdict = |bridge: &&Bridge<'_>| (nft::named(&bridge.network.interface), Verdict::Goto("guest".into()));
    let elements = Elements::Verdicts(guests.iter().map(verdict).collect());
    let set = Set { name: GUESTS, fields: BY, elements };
    (vec![nft::as_in(BY, GUESTS)], vec![led_to(("guest".into(), rules))], vec![set])
}

/// What is forwarded. What leaves a bridge is judged before what enters one: what another network takes in, such as its published ports, would else
/// end the way of a packet from an internal one before it is dropped.
pub(super) fn through(bridges: &[Bridge<'_>], others: Others) -> Led {
    let mut rules = vec![nft::as_in(BY, LEAVING), nft::as_in(TO, ENTERING)];
    let mut chains = vec![led_to(("valid".into(), vec![[nft::state(INVALID), nft::drop_it()].concat()]))];
    let (mut leaving, mut entering, mut outward) = (Vec::new(), Vec::new(), Vec::new());
    for bridge in bridges {
        let interface = || nft::named(&bridge.network.interface);
        let open = bridge.options.isolation == Isolation::Open;
        let (from, to) = match (bridge.network.internal, open) {
            (true, false) => (Verdict::Drop, Verdict::Drop),
            (true, true) => {
                let among = bridge.chain("among");
                chains.push(led_to((among.clone(), within_internal(bridge))));
                (Verdict::Goto(among), Verdict::Drop)
            }
            (false, _) => {
                let into = bridge.chain("into");
                chains.push(led_to((into.clone(), within_or_led(bridge, open))));
                outward.push(interface());
                (Verdict::Jump("valid".into()), Verdict::Goto(into))
            }
        };
        leaving.push((interface(), from));
        entering.push((interface(), to));
    }
    let mut sets = vec![
        Set { name: LEAVING, fields: BY, elements: Elements::Verdicts(leaving) },
        Set { name: ENTERING, fields: TO, elements: Elements::Verdicts(entering) },
    ];
    match others {
        Others::Drop => {
            sets.push(Set { name: OUTWARD, fields: BY, elements: Elements::Keys(outward) });
            rules.push([nft::within(Is::Equal, BY, OUTWARD), nft::accept()].concat());
            rules.push(nft::drop_it());
        }
        Others::AsBefore => {}
    }
    (rules, chains, sets)
}

/// From an internal network: what its containers say to each other.
fn within_internal(bridge: &Bridge<'_>) -> Vec<Rule> {
    let invalid = [nft::state(INVALID), nft::drop_it()].concat();
    vec![invalid, [bridge.to(), nft::accept()].concat(), nft::drop_it()]
}

/// Into another network: what belongs to a connection, what a published port led there, and what its containers say to each other.
fn within_or_led(bridge: &Bridge<'_>, open: bool) -> Vec<Rule> {
    let mut rules = vec![
        [nft::state(KNOWN), nft::accept()].concat(),
        [nft::state(INVALID), nft::drop_it()].concat(),
        [nft::published(), nft::accept()].concat(),
    ];
    if open {
        rules.push([bridge.from(), nft::accept()].concat());
    }
    rules.push(nft::drop_it());
    rules
}
