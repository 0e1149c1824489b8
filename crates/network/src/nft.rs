//! The bytes of nf_tables (`linux/netfilter/nf_tables.h`): tables, chains, sets and rules, sent as one transaction.
//!
//! A table is replaced as a whole: it is made if it is not there, deleted, and made with what it is to have. The kernel does all of that at one
//! instant, or nothing of it.

mod expression;

use std::borrow::Cow;

use stockade_kernel::netlink::message::{Attributes, Builder};

pub(crate) use expression::*;

const SUBSYSTEM: u16 = 10 << 8;
const BATCH_BEGIN: u16 = 16;
const BATCH_END: u16 = 17;
const NEW_TABLE: u16 = SUBSYSTEM;
const GET_TABLE: u16 = SUBSYSTEM | 1;
const DELETE_TABLE: u16 = SUBSYSTEM | 2;
const NEW_CHAIN: u16 = SUBSYSTEM | 3;
const NEW_RULE: u16 = SUBSYSTEM | 6;
const NEW_SET: u16 = SUBSYSTEM | 9;
const NEW_ELEMENT: u16 = SUBSYSTEM | 12;
/// `NLM_F_REQUEST`.
const PLAIN: u16 = 1;
/// The same with `NLM_F_CREATE`.
const CREATE: u16 = 0x401;
/// The same with `NLM_F_APPEND`.
const APPEND: u16 = 0xc01;
/// `NLM_F_ACK`.
const ACKNOWLEDGE: u16 = 4;
/// `NFTA_TABLE_USERDATA` (Linux 5.9).
pub(crate) const TABLE_USERDATA: u16 = 6;
/// How many elements go into one message, whose attributes hold 64 KiB at most.
const ELEMENTS: usize = 256;

/// What a table is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    /// `inet`: IPv4 and IPv6.
    Inet,
    /// `ip`: IPv4.
    Ipv4,
    /// `bridge`: frames.
    Bridge,
}

impl Family {
    fn number(self) -> u8 {
        match self {
            Self::Inet => 1,
            Self::Ipv4 => 2,
            Self::Bridge => 7,
        }
    }
}

/// Where a chain is called.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hook {
    /// `filter` or `nat`.
    pub(crate) kind: &'static str,
    /// `NF_INET_*`: 0 before routing, 1 in, 2 through, 3 out, 4 after routing.
    pub(crate) number: u32,
    pub(crate) priority: i32,
}

/// A chain with its rules. Without a hook it is what others lead to.
#[derive(Clone, Debug)]
pub(crate) struct Chain {
    pub(crate) name: Cow<'static, str>,
    pub(crate) hook: Option<Hook>,
    pub(crate) rules: Vec<Rule>,
}

/// What is looked up at once, however much is in it.
#[derive(Clone, Debug)]
pub(crate) struct Set {
    pub(crate) name: &'static str,
    /// What keys are made of.
    pub(crate) fields: &'static [Field],
    pub(crate) elements: Elements,
}

/// What is in a set.
#[derive(Clone, Debug)]
pub(crate) enum Elements {
    /// Keys ([`within`]).
    Keys(Vec<Vec<u8>>),
    /// Keys with what becomes of the packet ([`as_in`]).
    Verdicts(Vec<(Vec<u8>, Verdict)>),
}

/// A table with its chains.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    pub(crate) family: Family,
    pub(crate) name: &'static str,
    /// What stands beside it, in nft's form.
    pub(crate) comment: Option<Vec<u8>>,
    pub(crate) chains: Vec<Chain>,
    pub(crate) sets: Vec<Set>,
}

/// Asks for the table `inet NAME`.
pub(crate) fn look_up(name: &str) -> Builder {
    Builder::new(GET_TABLE, PLAIN | ACKNOWLEDGE, &head(Family::Inet.number(), 0)).string(1, name)
}

/// `struct nfgenmsg`.
fn head(family: u8, resource: u16) -> [u8; 4] {
    let [high, low] = resource.to_be_bytes();
    [family, 0, high, low]
}

/// The transaction that makes these tables what they are to be.
pub(crate) fn transaction(tables: &[Table]) -> Vec<Builder> {
    let mut all = vec![Builder::new(BATCH_BEGIN, PLAIN, &head(0, 10))];
    for (at, table) in tables.iter().enumerate() {
        let family = table.family.number();
        let named = |kind, flags| Builder::new(kind, flags, &head(family, 0)).string(1, table.name);
        let made = match &table.comment {
            Some(comment) => named(NEW_TABLE, CREATE).attribute(TABLE_USERDATA, comment),
            None => named(NEW_TABLE, CREATE),
        };
        all.extend([named(NEW_TABLE, CREATE), named(DELETE_TABLE, PLAIN), made]);
        for chain in &table.chains {
            let new = named(NEW_CHAIN, CREATE).string(3, &chain.name);
            all.push(match chain.hook {
                Some(Hook { kind, number, priority }) => {
                    let hook =
                        Attributes::new().attribute(1, &number.to_be_bytes()).attribute(2, &priority.to_be_bytes());
                    new.nested(4, &hook).string(7, kind)
                }
                None => new,
            });
        }
        for (set, id) in table.sets.iter().zip(1..) {
            all.push(defined(named(NEW_SET, CREATE), set, id));
            for elements in set.elements.written().chunks(ELEMENTS) {
                let list = elements.iter().fold(Attributes::new(), |list, one| list.nested(1, one));
                all.push(named(NEW_ELEMENT, CREATE).string(2, set.name).nested(3, &list));
            }
        }
        for chain in &table.chains {
            for rule in &chain.rules {
                let list =
                    rule.iter().fold(Attributes::new(), |list, expression| list.nested(1, &expression.written()));
                all.push(named(NEW_RULE, APPEND).string(2, &chain.name).nested(4, &list));
            }
        }
        if at + 1 == tables.len() {
            // The last message is one whose success is told.
            all.push(named(NEW_TABLE, CREATE | ACKNOWLEDGE));
        }
    }
    all.push(Builder::new(BATCH_END, PLAIN, &head(0, 10)));
    all
}

/// A set without its elements.
fn defined(new: Builder, set: &Set, id: u32) -> Builder {
    // What nft(8) reads of it: the types of the fields, six bits each.
    let kind = set.fields.iter().fold(0, |kind: u32, field| kind << 6 | field.kind());
    let length: u32 = set.fields.iter().map(|field| field.padded()).sum();
    // NFT_SET_CONSTANT, and NFT_SET_MAP; NFT_DATA_VERDICT.
    let (flags, size, verdicts): (u32, _, _) = match &set.elements {
        Elements::Keys(all) => (2, all.len(), None),
        Elements::Verdicts(all) => (2 | 8, all.len(), Some(0xffff_ff00_u32)),
    };
    let new = new.string(2, set.name).attribute(3, &flags.to_be_bytes());
    let new = new.attribute(4, &kind.to_be_bytes()).attribute(5, &length.to_be_bytes());
    let new = match verdicts {
        Some(data) => new.attribute(6, &data.to_be_bytes()).attribute(7, &0u32.to_be_bytes()),
        None => new,
    };
    // Of known size, so that the kernel takes the table of hashes that does not grow.
    let size = Attributes::new().attribute(1, &(size.max(1) as u32).to_be_bytes());
    let new = new.nested(9, &size).attribute(10, &id.to_be_bytes());
    match set.fields {
        // Names of interfaces are of the machine's order to nft(8), which shows them by it (NFTNL_UDATA_SET_KEYBYTEORDER).
        [Field::CameBy | Field::LeavesBy] => new.attribute(13, &[&[0, 4][..], &1u32.to_ne_bytes()].concat()),
        _ => new,
    }
}

impl Elements {
    fn written(&self) -> Vec<Attributes> {
        let key = |key: &Vec<u8>| Attributes::new().nested(1, &Attributes::new().attribute(1, key));
        match self {
            Self::Keys(all) => all.iter().map(key).collect(),
            Self::Verdicts(all) => {
                let with = |(one, verdict): &(Vec<u8>, Verdict)| {
                    key(one).nested(2, &Attributes::new().nested(2, &verdict.written()))
                };
                all.iter().map(with).collect()
            }
        }
    }
}
