//! `linux.netDevices`: interfaces of the host that the container gets for its own.

use std::collections::BTreeMap;

use stockade_spec::{NamespaceType, NetDevice};

use super::PlanError;
use super::namespaces::Own;

/// Plans the hand-over: name outside, name inside.
pub(super) fn plan(devices: &BTreeMap<String, NetDevice>, own: &Own) -> Result<Vec<(String, String)>, PlanError> {
    let mut planned: Vec<(String, String)> = Vec::new();
    for (outside, device) in devices {
        let path = format!("linux.netDevices[{outside:?}]");
        check(&path, outside)?;
        if !own.has(NamespaceType::Network) {
            let why = "the interface would stay the host's; it needs a network namespace of the container's own";
            return Err(PlanError::conflict(path, outside, "linux.namespaces", why));
        }
        let (name_path, inside) = (format!("{path}.name"), &device.name);
        let inside = if inside.is_empty() { outside } else { inside };
        check(&name_path, inside)?;
        if planned.iter().any(|(_, other)| other == inside) {
            return Err(PlanError::conflict(name_path, inside, "linux.netDevices", "two interfaces of one name"));
        }
        planned.push((outside.clone(), inside.clone()));
    }
    Ok(planned)
}

/// A name that the kernel takes (`dev_valid_name`).
fn check(path: &str, name: &str) -> Result<(), PlanError> {
    let bad = |byte: u8| byte.is_ascii_whitespace() || matches!(byte, 0 | 0x0b | b'/' | b':');
    if matches!(name, "" | "." | "..") || name.len() > 15 || name.bytes().any(bad) {
        let allowed = "an interface name: 1 to 15 bytes without blanks, / and :, not . or ..";
        return Err(PlanError::invalid(path, name, allowed));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan_some(devices: &[(&str, &str)], own: &Own) -> Result<Vec<(String, String)>, PlanError> {
        let device = |(outside, name): &(&str, &str)| ((*outside).to_owned(), NetDevice { name: (*name).to_owned() });
        plan(&devices.iter().map(device).collect(), own)
    }

    #[test]
    fn names_are_the_kernels() {
        let own = Own::of(&[NamespaceType::Network]);
        let planned = plan_some(&[("eth1", ""), ("eth2", "lan")], &own).unwrap();
        assert_eq!(planned, [("eth1".to_owned(), "eth1".to_owned()), ("eth2".to_owned(), "lan".to_owned())]);
        for wrong in [("a/b", ""), (".", ""), ("e", ".."), ("e", "sixteen-letters-"), ("e", "a b"), ("e", "a:b")] {
            assert!(plan_some(&[wrong], &own).unwrap_err().path().starts_with("linux.netDevices["), "{wrong:?}");
        }
        assert!(plan_some(&[("a", "x"), ("b", "x")], &own).is_err());
        assert!(plan_some(&[("a", "")], &Own::of(&[])).is_err());
    }
}
