//! Capabilities that a call asked for in vain, as the kernel told them.

use stockade_capabilities::Capability;

use super::ways::{Flags, Where, needed};
use super::{Attempt, Certainty, Checked, Denial, EACCES, EPERM, Wall, Walls, denial};
use crate::explain::short;
use crate::exposure;

/// Judges by what the kernel asked for during the call, or, where it does not tell, by what such a call asks for. A process that gave its
/// capabilities up, or is not root, is denied by ordinary permissions, and not by what the container was given.
pub(super) fn judge(walls: &Walls, attempt: &Attempt) -> Option<Denial> {
    if !matches!(attempt.errno, EPERM | EACCES) || !attempt.is_root.unwrap_or(walls.is_root) {
        return None;
    }
    let (all, certainty) = match &attempt.checked {
        Some(checked) => (checked.clone(), Certainty::Known),
        None => (inferred(attempt), Certainty::Inferred),
    };
    // Who is denied what its container has is not its root, or gave it up: ordinary permissions say no to that one.
    if all.iter().any(|checked| fruitless(walls, checked)) {
        return None;
    }
    // Where one of several will do, they are asked for one after the other: the one that gives least is named.
    let least = |checked: &&Checked| exposure::of_capability(checked.capability).points;
    let checked = all.iter().min_by_key(least)?;
    let (capability, name) = (checked.capability, short(checked.capability));
    let has = walls.bounding.contains(capability);
    let hosts = checked.of_host && walls.own_users;
    let wall = if hosts { Wall::UserNamespace } else { Wall::Capability };
    // Of a process that is not there any more it is not known whether it was root.
    let certainty = if attempt.is_root.is_none() { Certainty::Inferred } else { certainty };
    let mut denial = denial(attempt, wall, certainty);
    denial.because.push(match (has, hosts) {
        (true, _) => {
            format!("it asks for CAP_{name} of the host, and the container has it in its own user namespace only")
        }
        (false, true) => format!(
            "it asks for CAP_{name} of the host, which the container has not, and only the host's users can have"
        ),
        (false, false) => format!("it asks for CAP_{name}, which the container has not"),
    });
    let flags = if has { Flags::default() } else { Flags::default().capability(capability) };
    let place = if checked.of_host { Where::Host } else { Where::Own };
    denial.ways.push(flags.on(place, walls.own_users).way());
    Some(denial)
}

/// A request whose answer is a message and not the call's error, as those for interfaces and routes are (`rtnetlink(7)`): known by what it
/// asked for in vain only.
pub(crate) fn request(walls: &Walls, checked: &[Checked]) -> Option<Denial> {
    let capability = Capability::NET_ADMIN;
    let asked = checked.iter().find(|checked| checked.capability == capability)?;
    if walls.bounding.contains(capability) || asked.of_host && walls.own_users || !walls.is_root {
        return None;
    }
    Some(Denial {
        tried: "a request about its network".to_owned(),
        ended: "was answered with EPERM (Operation not permitted)".to_owned(),
        wall: Wall::Capability,
        certainty: Certainty::Inferred,
        because: vec!["it asks for CAP_NET_ADMIN, which the container has not".to_owned()],
        ways: vec![Flags::default().capability(capability).way()],
    })
}

/// What such a call asks for.
fn inferred(attempt: &Attempt) -> Vec<Checked> {
    let needs = (attempt.errno == EPERM).then(|| needed(attempt.name(), attempt.arguments[0])).flatten();
    needs.map(|(capability, place)| Checked { capability, of_host: place == Where::Host }).into_iter().collect()
}

/// Whether the container has the capability, in the namespace in which it was asked for: so the process had given it up.
fn fruitless(walls: &Walls, checked: &Checked) -> bool {
    walls.bounding.contains(checked.capability) && !(checked.of_host && walls.own_users)
}
