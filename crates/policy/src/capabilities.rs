//! `--cap-add` and `--cap-drop`: which capabilities a container has.

use stockade_capabilities::{CapSet, Capability};
use stockade_spec::Capabilities;

use crate::defaults;
use crate::error::PolicyError;
use crate::options::{Machine, Options};

/// The bounding set of the container, and what of the wanted is not to be had here.
///
/// Docker's rules: `ALL` added is everything but what is dropped; `ALL` dropped is only what is added; else the default, less the
/// dropped, plus the added. Unlike Docker's, `--privileged` still drops what `--cap-drop` says.
///
/// # Errors
/// An unknown name, or one added by name that this process cannot give.
pub(crate) fn choose(options: &Options, machine: &Machine) -> Result<(CapSet, CapSet), PolicyError> {
    let all = CapSet::up_to(machine.last_cap);
    let split = |names: &[String]| -> Result<(CapSet, bool), PolicyError> {
        let is_all = |name: &&str| ["ALL", "CAP_ALL"].iter().any(|all| name.eq_ignore_ascii_case(all));
        let whole = names.iter().map(String::as_str).any(|name| is_all(&name));
        let single = CapSet::parse(names.iter().map(String::as_str).filter(|name| !is_all(name)), all)?;
        Ok((single, whole))
    };
    let (added, add_all) = split(&options.cap_add)?;
    let (dropped, drop_all) = split(&options.cap_drop)?;
    let unavailable = added - machine.capabilities;
    if !unavailable.is_empty() {
        return Err(PolicyError::CapabilityUnavailable(unavailable));
    }
    let default: CapSet = defaults::CAPABILITIES.iter().map(|entry| entry.value).collect();
    let wanted = if options.privileged && !drop_all || add_all {
        all - dropped
    } else if drop_all {
        added
    } else {
        (default - dropped) | added
    };
    Ok((wanted & machine.capabilities, wanted - machine.capabilities))
}

/// The five sets in OCI's words: nothing inheritable or ambient (CVE-2022-29162, CVE-2016-8867), and for users other than root
/// nothing permitted or effective.
#[must_use]
pub fn sets(bounding: CapSet, uid: u32) -> Capabilities {
    let names = |set: CapSet| set.iter().map(|capability: Capability| capability.to_string()).collect::<Vec<_>>();
    let held = if uid == 0 { names(bounding) } else { Vec::new() };
    Capabilities { bounding: names(bounding), effective: held.clone(), permitted: held, ..Capabilities::default() }
}
