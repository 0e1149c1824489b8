//! Device nodes: `devices.allow` and `devices.deny` on v1, an eBPF program on v2.
//!
//! A v1 group knows a default and exceptions to it. The rules are brought into that form here; rules that cut a hole
//! into a wider exception have no such form and are refused, where writing them would silently allow what they deny.

use std::collections::BTreeMap;

use crate::controller::Controllers;
use crate::layout::Version;
use crate::model::{Access, DeviceKind, DeviceRule, DeviceRules};
use crate::plan::{Draft, PlanError};
use crate::write::{Expect, Write};

/// Plans the rules.
pub(super) fn write(draft: &mut Draft<'_>, rules: Option<&DeviceRules>) -> Result<(), PlanError> {
    let Some(rules) = rules else { return Ok(()) };
    match draft.version(Controllers::DEVICES, "a device rule") {
        Ok(Version::V1) => write_v1(draft, rules),
        _ if draft.has_unified() => {
            draft.device_program(rules.clone());
            Ok(())
        }
        Ok(Version::V2) => Ok(()),
        Err(error) => Err(error),
    }
}

/// What rules come to where they have the form of a v1 group.
pub(crate) enum Allowed {
    /// Everything.
    All,
    /// These devices and no others.
    Only(Vec<(Key, Access)>),
    /// Neither.
    Holes,
}

/// What `rules` come to.
pub(crate) fn allowed(rules: &DeviceRules) -> Allowed {
    match Exceptions::of(rules) {
        Ok(Exceptions { allow: false, access }) => Allowed::Only(access.into_iter().collect()),
        Ok(Exceptions { allow: true, access }) if access.is_empty() => Allowed::All,
        Ok(_) | Err(_) => Allowed::Holes,
    }
}

/// Devices by kind and numbers, `None` standing for all numbers.
pub(crate) type Key = (DeviceKind, Option<u32>, Option<u32>);

/// A default and exceptions to it.
struct Exceptions {
    allow: bool,
    access: BTreeMap<Key, Access>,
}

impl Exceptions {
    /// The form of `rules`, nothing being allowed at first.
    fn of(rules: &DeviceRules) -> Result<Self, PlanError> {
        let mut state = Self { allow: false, access: BTreeMap::new() };
        for rule in rules.rules() {
            if rule.is_total() {
                state = Self { allow: rule.allow, access: BTreeMap::new() };
                continue;
            }
            let kinds: &[DeviceKind] = match rule.kind {
                DeviceKind::All => &[DeviceKind::Block, DeviceKind::Character],
                _ => std::slice::from_ref(&rule.kind),
            };
            for kind in kinds {
                state.take(rule, (*kind, rule.major, rule.minor))?;
            }
        }
        Ok(state)
    }

    /// Adds or takes away exceptions for one rule about one kind of device.
    fn take(&mut self, rule: &DeviceRule, key: Key) -> Result<(), PlanError> {
        if rule.allow != self.allow {
            *self.access.entry(key).or_insert(Access::empty()) |= rule.access;
            return Ok(());
        }
        for (other, access) in &mut self.access {
            if !access.intersects(rule.access) || !overlap(key, *other) {
                continue;
            }
            if !covers(key, *other) {
                let asked = format!("the device rule {}", describe(rule.allow, key, rule.access)).into();
                let why = "cgroup v1 can not take a part out of a wider rule before it";
                return Err(PlanError::Inexpressible { asked, why });
            }
            *access -= rule.access;
        }
        self.access.retain(|_, access| !access.is_empty());
        Ok(())
    }
}

/// Whether some device is meant by both.
fn overlap(one: Key, other: Key) -> bool {
    let same = |a: Option<u32>, b: Option<u32>| a.is_none() || b.is_none() || a == b;
    one.0 == other.0 && same(one.1, other.1) && same(one.2, other.2)
}

/// Whether every device of `inner` is meant by `outer`.
fn covers(outer: Key, inner: Key) -> bool {
    let wide = |a: Option<u32>, b: Option<u32>| a.is_none() || a == b;
    outer.0 == inner.0 && wide(outer.1, inner.1) && wide(outer.2, inner.2)
}

/// A device and access as `devices.list` writes them.
fn entry((kind, major, minor): Key, access: Access) -> String {
    let kind = if kind == DeviceKind::Block { 'b' } else { 'c' };
    let number = |number: Option<u32>| number.map_or_else(|| "*".to_owned(), |number| number.to_string());
    format!("{kind} {}:{} {access}", number(major), number(minor))
}

/// A rule for a message.
fn describe(allow: bool, key: Key, access: Access) -> String {
    format!("{} {}", if allow { "allow" } else { "deny" }, entry(key, access))
}

/// cgroup v1: the default first, then the exceptions. What is read back is the list of what is allowed, which shows
/// all devices where the default is to allow; so exceptions are compared only where the default is to deny.
fn write_v1(draft: &mut Draft<'_>, rules: &DeviceRules) -> Result<(), PlanError> {
    let state = Exceptions::of(rules)?;
    let (default, exception) =
        if state.allow { ("devices.allow", "devices.deny") } else { ("devices.deny", "devices.allow") };
    draft.write(Controllers::DEVICES, Write::new(default, "a").expecting(Expect::Unchecked));
    let lines: Vec<String> = state.access.iter().map(|(key, access)| entry(*key, *access)).collect();
    for line in &lines {
        draft.write(Controllers::DEVICES, Write::new(exception, line).expecting(Expect::Unchecked));
    }
    let expected = if state.allow { vec!["a *:* rwm".to_owned()] } else { lines };
    // Only read: an empty value is never written.
    draft.write(Controllers::DEVICES, Write::new("devices.list", "").expecting(Expect::Lines(expected)));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rule() -> impl Strategy<Value = DeviceRule> {
        let kind = prop_oneof![Just(DeviceKind::All), Just(DeviceKind::Block), Just(DeviceKind::Character)];
        (any::<bool>(), kind, prop::option::of(0..3u32), prop::option::of(0..3u32), 1..8u16).prop_map(
            |(allow, kind, major, minor, access)| DeviceRule {
                allow,
                kind,
                major,
                minor,
                access: Access::from_bits_truncate(access),
            },
        )
    }

    proptest! {
        // The v1 form, judged as the kernel does, allows exactly what the rules mean.
        #[test]
        fn the_v1_form_means_the_same(rules in prop::collection::vec(rule(), 0..8)) {
            let rules = DeviceRules::new(rules).unwrap();
            let Ok(state) = Exceptions::of(&rules) else { return Ok(()) };
            for kind in [DeviceKind::Block, DeviceKind::Character] {
                for (major, minor, bit) in (0..4).flat_map(|a| (0..4).flat_map(move |b| (0..3).map(move |c| (a, b, c)))) {
                    let access = Access::from_bits_truncate(1 << bit);
                    let excepted = state.access.iter().any(|(key, allowed)| {
                        covers(*key, (kind, Some(major), Some(minor))) && allowed.contains(access)
                    });
                    prop_assert_eq!(excepted != state.allow, rules.allows(kind, major, minor, access));
                }
            }
        }
    }

    #[test]
    fn a_hole_is_refused() {
        let access = Access::all();
        let all = DeviceRule { allow: true, kind: DeviceKind::Character, major: Some(1), minor: None, access };
        let hole = DeviceRule { allow: false, minor: Some(3), ..all };
        assert!(Exceptions::of(&DeviceRules::new(vec![all, hole]).unwrap()).is_err());
    }
}
