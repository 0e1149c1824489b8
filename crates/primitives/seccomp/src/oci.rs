//! From a filter to OCI's `linux.seccomp`, which any runtime takes.

use serde::Serialize;

use crate::architecture::Arch;
use crate::model::{Condition, Filter, Flags, Operator, Rule};
use crate::syscall::Syscall;

/// OCI's `linux.seccomp`, to be serialized.
///
/// [`crate::Profile::parse_oci`] and resolving give the filter again that it was made of, rule by rule, so that the same
/// program is compiled from both. Nothing is merged or left out: runc and crun read the same rules.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Section<'a> {
    default_action: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    default_errno_ret: Option<u16>,
    architectures: Vec<&'static str>,
    /// Absent is not empty: without the key a runtime sets its default flag.
    #[serde(skip_serializing_if = "Option::is_none")]
    flags: Option<Vec<&'static str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    listener_path: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    listener_metadata: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    syscalls: Vec<Entry>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    names: Vec<&'static str>,
    action: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    errno_ret: Option<u16>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    args: Vec<Argument>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Argument {
    index: u8,
    value: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    value_two: Option<u64>,
    op: &'static str,
}

impl Filter {
    /// This filter as OCI's `linux.seccomp`.
    #[must_use]
    pub fn to_oci(&self) -> Section<'_> {
        let listener = self.listener();
        Section {
            default_action: self.default_action().oci_name(),
            default_errno_ret: self.default_action().datum(),
            architectures: self.architectures().iter().map(|arch: &Arch| arch.oci_name()).collect(),
            flags: (self.flags() != Flags::default()).then(|| self.flags().oci_names().collect()),
            listener_path: listener.map(|listener| listener.path.as_str()),
            listener_metadata: listener.map(|listener| listener.metadata.as_str()).filter(|text| !text.is_empty()),
            syscalls: self.rules().iter().map(Entry::from).collect(),
        }
    }
}

impl From<&Rule> for Entry {
    fn from(rule: &Rule) -> Self {
        Self {
            names: rule.calls.iter().map(|call: &Syscall| call.name()).collect(),
            action: rule.action.oci_name(),
            errno_ret: rule.action.datum(),
            args: rule.conditions.iter().map(Argument::from).collect(),
        }
    }
}

impl From<&Condition> for Argument {
    fn from(condition: &Condition) -> Self {
        Self {
            index: condition.argument,
            value: condition.value,
            // Of MASKED_EQ alone, and there always: runc takes an absent one for 0.
            value_two: (condition.operator == Operator::MaskedEqual).then_some(condition.second),
            op: condition.operator.oci_name(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{Random, filter};
    use crate::{Profile, Target};

    /// Read again as a runtime reads it.
    fn again(filter: &Filter) -> Filter {
        let text = serde_json::to_vec(&filter.to_oci()).unwrap();
        let target = Target { architecture: filter.architectures()[0], kernel: (0, 0), capabilities: &[] };
        let profile = Profile::parse_oci(&text).unwrap();
        profile.resolve(&target).unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&text)))
    }

    #[test]
    fn any_filter_is_the_same_after_oci() {
        for seed in 1..=500 {
            let filter = filter(&mut Random::new(seed));
            let again = again(&filter);
            assert_eq!(again, filter);
            assert_eq!(crate::Compiled::new(&again).unwrap(), crate::Compiled::new(&filter).unwrap());
        }
    }

    /// Rules with two conditions on one argument become several, and only their entries' numbers change.
    #[test]
    fn profiles_compile_to_the_same_program_through_oci() {
        let twice: &[u8] = br#"{"defaultAction": "SCMP_ACT_ERRNO", "flags": [], "syscalls": [
            {"names": ["read"], "action": "SCMP_ACT_ALLOW"},
            {"names": ["socket", "lseek"], "action": "SCMP_ACT_TRACE", "errnoRet": 7, "args": [
                {"index": 1, "value": 1, "op": "SCMP_CMP_GT"}, {"index": 1, "value": 18446744073709551615, "op": "SCMP_CMP_NE"},
                {"index": 2, "value": 255, "valueTwo": 3, "op": "SCMP_CMP_MASKED_EQ"}]},
            {"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY"}], "listenerPath": "/run/agent"}"#;
        for profile in [Profile::builtin().unwrap(), Profile::parse(twice).unwrap()] {
            for architecture in Arch::all() {
                for capabilities in [&[][..], &["CAP_SYS_ADMIN"], &["CAP_BPF", "CAP_SYS_CHROOT", "CAP_SYSLOG"]] {
                    let target = Target { architecture, kernel: (6, 1), capabilities };
                    let filter = profile.resolve(&target).unwrap();
                    let again = again(&filter);
                    assert_eq!(crate::Compiled::new(&again).unwrap(), crate::Compiled::new(&filter).unwrap());
                    assert_eq!(again.flags(), filter.flags());
                }
            }
        }
    }
}
