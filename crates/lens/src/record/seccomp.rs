//! The system call filter of a record, in Docker's format.
//!
//! It is a list of what is allowed. A call that the filter of the recorded run allows under conditions keeps those, unless the values that were
//! seen say more; what that filter answers with another error than the usual one (`clone3(2)`: `ENOSYS`, on which the C library falls back)
//! keeps that answer.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::calls::{ALWAYS, MOST_VALUES, arguments};
use super::facts::{Record, Walls};

/// `EPERM` and `ENOSYS`.
const EPERM: u32 = 1;
const ENOSYS: u32 = 38;

/// A profile.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Profile {
    default_action: &'static str,
    default_errno_ret: u32,
    architectures: Vec<&'static str>,
    syscalls: Vec<Rule>,
}

/// A rule, as profiles and OCI's section have it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Rule {
    names: Vec<String>,
    action: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    errno_ret: Option<u32>,
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    args: Vec<Argument>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    comment: Option<String>,
}

/// A condition.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Argument {
    index: u8,
    value: u64,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    value_two: Option<u64>,
    op: String,
}

/// The filter of the recorded run, as far as it matters.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Section {
    default_action: String,
    #[serde(default)]
    default_errno_ret: Option<u32>,
    #[serde(default)]
    syscalls: Vec<Rule>,
}

const ALLOW: &str = "SCMP_ACT_ALLOW";
const ERRNO: &str = "SCMP_ACT_ERRNO";

/// The profile, which allows what was seen; whether the program can be given more by what it executes (`no_new_privs` is not set), so that the
/// runtime needs a call more, `may_gain` says.
///
/// # Errors
/// If the filter that the record says it was made under is none.
pub fn seccomp(record: &Record, may_gain: bool) -> Result<Value, serde_json::Error> {
    let base = base(&record.walls)?;
    let mut names: BTreeMap<&str, Option<String>> =
        ALWAYS.iter().map(|(name, why)| (*name, Some((*why).into()))).collect();
    if may_gain {
        names.insert("capset", Some("the runtime gives up what loading the filter took".into()));
    }
    names.extend(record.seen.calls.keys().map(|name| (name.as_str(), None)));
    let mut plain = Vec::new();
    let mut reasons: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut narrowed = Vec::new();
    for (name, why) in &names {
        let rules = rules(record, base.as_ref(), name);
        match (rules.is_empty(), why) {
            (true, None) => plain.push((*name).to_owned()),
            (true, Some(why)) => reasons.entry(why.clone()).or_default().push((*name).to_owned()),
            (false, _) => narrowed.extend(rules),
        }
    }
    // An entry without a name is an error in a profile.
    let mut syscalls: Vec<Rule> = Some(plain)
        .filter(|names| !names.is_empty())
        .map(|names| allow(names, "made by its programs"))
        .into_iter()
        .collect();
    syscalls.extend(reasons.into_iter().map(|(why, names)| allow(names, &why)));
    syscalls.extend(narrowed);
    syscalls.extend(refused(base.as_ref(), &names.keys().copied().collect()));
    let default = base.as_ref().filter(|base| base.default_action == ERRNO).and_then(|base| base.default_errno_ret);
    let mut architectures = vec!["SCMP_ARCH_X86_64"];
    if record.seen.compatible {
        architectures.push("SCMP_ARCH_X86");
    }
    serde_json::to_value(Profile {
        default_action: ERRNO,
        default_errno_ret: default.unwrap_or(EPERM),
        architectures,
        syscalls,
    })
}

fn base(walls: &Walls) -> Result<Option<Section>, serde_json::Error> {
    walls.seccomp.clone().map(serde_json::from_value).transpose()
}

fn allow(names: Vec<String>, why: &str) -> Rule {
    Rule { names, action: ALLOW.to_owned(), errno_ret: None, args: Vec::new(), comment: Some(why.to_owned()) }
}

/// The rules of a call that is not allowed whatever its arguments are; none if it is.
fn rules(record: &Record, base: Option<&Section>, name: &str) -> Vec<Rule> {
    let of_base: Vec<&Rule> =
        base.iter().flat_map(|base| &base.syscalls).filter(|rule| rule.names.iter().any(|one| one == name)).collect();
    let compared = arguments(name);
    let values = record.seen.calls.get(name).map(|call| &call.values).filter(|values| !values.is_empty());
    // A condition on an argument that is not compared must not be lost by the comparing of others.
    let is_open = of_base.iter().all(|rule| {
        rule.action == ALLOW
            && rule.args.iter().all(|argument| compared.iter().any(|(index, _)| *index == argument.index))
    });
    match values {
        Some(values) if is_open && values.len() <= MOST_VALUES => {
            values.iter().map(|values| equal(name, compared, values)).collect()
        }
        _ if of_base.iter().any(|rule| rule.action != ALLOW) || of_base.iter().all(|rule| !rule.args.is_empty()) => {
            of_base
                .into_iter()
                .map(|rule| Rule { names: vec![name.to_owned()], comment: None, ..rule.clone() })
                .collect()
        }
        _ => Vec::new(),
    }
}

/// Allows a call with these values.
fn equal(name: &str, compared: &[(u8, u32)], values: &[u64]) -> Rule {
    let args = compared.iter().zip(values).map(|((index, _), value)| Argument {
        index: *index,
        value: *value,
        value_two: None,
        op: "SCMP_CMP_EQ".to_owned(),
    });
    Rule {
        names: vec![name.to_owned()],
        action: ALLOW.to_owned(),
        errno_ret: None,
        args: args.collect(),
        comment: None,
    }
}

/// What the recorded run's filter answered with an error of its own, and that a program may rely on.
fn refused(base: Option<&Section>, allowed: &BTreeSet<&str>) -> Vec<Rule> {
    let mut refused: Vec<Rule> = Vec::new();
    for rule in base.iter().flat_map(|base| &base.syscalls).filter(|rule| rule.action == ERRNO) {
        let names: Vec<String> = rule.names.iter().filter(|name| !allowed.contains(name.as_str())).cloned().collect();
        if !names.is_empty() {
            refused.push(Rule { names, ..rule.clone() });
        }
    }
    let has_clone3 =
        allowed.contains("clone3") || refused.iter().any(|rule| rule.names.iter().any(|name| name == "clone3"));
    if !has_clone3 {
        let why = "the C library falls back on clone, whose flags a filter can see";
        refused.push(Rule {
            names: vec!["clone3".to_owned()],
            action: ERRNO.to_owned(),
            errno_ret: Some(ENOSYS),
            args: Vec::new(),
            comment: Some(why.to_owned()),
        });
    }
    refused
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use stockade_seccomp::architecture::Arch;
    use stockade_seccomp::model::{Action, Filter};
    use stockade_seccomp::syscall::Syscall;
    use stockade_seccomp::{Profile, Target};

    use super::*;
    use crate::record::facts::{Call, Request, Seen, VERSION};

    fn record(calls: &[(&str, &[&[u64]])], seccomp: Option<Value>) -> Record {
        let calls = calls.iter().map(|(name, values)| {
            let values = values.iter().map(|values| values.to_vec()).collect();
            ((*name).to_owned(), Call { startup: true, steady: false, values })
        });
        Record {
            version: VERSION,
            runs: 1,
            asked: Request::default(),
            walls: Walls { seccomp, ..Walls::default() },
            seen: Seen { calls: calls.collect(), ..Seen::default() },
            changed: BTreeSet::new(),
        }
    }

    fn filter(record: &Record) -> Filter {
        let text = serde_json::to_vec(&seccomp(record, false).unwrap()).unwrap();
        let target = Target { architecture: Arch::X86_64, kernel: (6, 1), capabilities: &[] };
        Profile::parse(&text).and_then(|profile| profile.resolve(&target)).unwrap()
    }

    fn decide(filter: &Filter, name: &str, arguments: &[u64]) -> Action {
        let number = Syscall::from_name(name).unwrap().number(Arch::X86_64).unwrap();
        let mut all = [0; 6];
        all[..arguments.len()].copy_from_slice(arguments);
        filter.decide(Arch::X86_64.audit(), number, &all).action
    }

    fn default() -> Value {
        let target = Target { architecture: Arch::X86_64, kernel: (6, 1), capabilities: &["CAP_CHOWN"] };
        let filter = Profile::builtin().unwrap().resolve(&target).unwrap();
        serde_json::to_value(filter.to_oci()).unwrap()
    }

    #[test]
    fn what_was_seen_is_allowed_and_nothing_else() {
        let record =
            record(&[("read", &[]), ("socket", &[&[1, 0x80001], &[2, 1]]), ("personality", &[])], Some(default()));
        let filter = filter(&record);
        let allowed = |name, arguments: &[u64]| decide(&filter, name, arguments).permits();
        assert!(allowed("read", &[]) && allowed("socket", &[2, 1]) && allowed("socket", &[1, 0x80001]));
        assert!(!allowed("socket", &[2, 3]) && !allowed("socket", &[2, 0x80001]) && !allowed("write", &[]));
        // Compared as the kernel reads it.
        assert!(!allowed("socket", &[0x1_0000_0028, 1]) && allowed("socket", &[0x1_0000_0002, 1]));
        // What the default allows on conditions keeps them.
        assert!(allowed("personality", &[8]) && !allowed("personality", &[0x40000]));
        assert_eq!(decide(&filter, "clone3", &[]), Action::Errno(38));
        for (name, _) in ALWAYS {
            assert!(allowed(name, &[]), "{name}");
        }
    }

    #[test]
    fn it_allows_nothing_that_was_not_allowed_before() {
        let all: Vec<&str> =
            Syscall::all().filter(|call| call.number(Arch::X86_64).is_some()).map(Syscall::name).collect();
        let base = default();
        let before: Section = serde_json::from_value(base.clone()).unwrap();
        let passed = |name: &&str| -> bool {
            before.syscalls.iter().any(|rule| rule.action == ALLOW && rule.names.iter().any(|one| one == name))
        };
        let calls: Vec<(&str, &[&[u64]])> = all.iter().copied().filter(passed).map(|name| (name, &[][..])).collect();
        assert!(calls.len() > 250);
        let made = filter(&record(&calls, Some(base.clone())));
        let target = Target { architecture: Arch::X86_64, kernel: (6, 1), capabilities: &[] };
        let text = serde_json::to_vec(&base).unwrap();
        let before = Profile::parse_oci(&text).unwrap().resolve(&target).unwrap();
        for name in all {
            for first in [0, 1, 8, 38, 40, 0x10000, 0x0002_0000, 0x0040_0000, 0x1000_0000, 0x7e02_0000, u64::MAX] {
                let (made, before) = (decide(&made, name, &[first, 3]), decide(&before, name, &[first, 3]));
                assert_eq!(made.permits(), before.permits(), "{name}({first:#x})");
            }
        }
    }

    #[test]
    fn many_values_are_not_told_apart_and_keep_the_conditions_there_were() {
        let flags: Vec<Vec<u64>> = (0..=MOST_VALUES as u64).map(|number| vec![number]).collect();
        let flags: Vec<&[u64]> = flags.iter().map(Vec::as_slice).collect();
        let made = filter(&record(&[("clone", &flags)], Some(default())));
        assert!(decide(&made, "clone", &[17]).permits() && !decide(&made, "clone", &[0x1000_0000]).permits());
        let open = filter(&record(&[("clone", &flags)], None));
        assert!(decide(&open, "clone", &[0x1000_0000]).permits());
        let without = filter(&record(&[("clone", &[&[17]])], None));
        assert!(decide(&without, "clone", &[17]).permits() && !decide(&without, "clone", &[18]).permits());
    }

    #[test]
    fn answers_of_the_filter_that_was_there_stay() {
        let base = json!({"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 38, "syscalls": [
            {"names": ["read", "keyctl", "getpid"], "action": "SCMP_ACT_ALLOW"},
            {"names": ["mount", "bpf"], "action": "SCMP_ACT_ERRNO", "errnoRet": 13}]});
        let made = filter(&record(&[("read", &[])], Some(base)));
        assert_eq!(decide(&made, "getpid", &[]), Action::Errno(38));
        assert_eq!(decide(&made, "mount", &[]), Action::Errno(13));
    }
}
