//! Whatever a profile is changed into, it is an error or a profile, and never a panic.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use serde_json::{Value, json};
use stockade_seccomp::architecture::Arch;
use stockade_seccomp::{Profile, ProfileError, Target};

mod base;
use base::base;

/// What stands anywhere in a profile, and what must not.
fn foreign() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        prop_oneof![any::<u64>(), 0u64..70, Just(4096), Just(u64::from(u32::MAX)), Just(u64::MAX)]
            .prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,80}".prop_map(Value::from),
        prop::sample::select(vec![
            "SCMP_ACT_ALLOW",
            "SCMP_ACT_NOTIFY",
            "SCMP_ACT_TRACE",
            "SCMP_ARCH_X86",
            "SCMP_ARCH_MIPS",
            "SCMP_CMP_LT",
            "SCMP_CMP_MASKED_EQ",
            "read",
            "socket",
            "CAP_SYS_ADMIN",
            "4.8",
            "9999999999.1",
            "EPERM",
            "",
            "SECCOMP_FILTER_FLAG_TSYNC",
        ])
        .prop_map(Value::from),
        Just(json!([])),
        Just(json!({})),
        Just(json!([{}])),
        Just(json!({"caps": ["CAP_BPF"], "arches": ["amd64"], "minKernel": "4"})),
        Just(json!([{"index": 1, "value": 2, "op": "SCMP_CMP_GE"}, {"index": 1, "value": 2, "op": "SCMP_CMP_LE"}])),
    ]
}

/// All places in a value.
fn places(value: &Value, at: &str, found: &mut Vec<String>) {
    found.push(at.to_owned());
    match value {
        Value::Object(members) => {
            members.iter().for_each(|(key, member)| places(member, &format!("{at}/{key}"), found))
        }
        Value::Array(items) => items.iter().enumerate().for_each(|(i, item)| places(item, &format!("{at}/{i}"), found)),
        _ => {}
    }
}

/// One change to a value at some place.
#[derive(Clone, Debug)]
enum Change {
    /// Something else there, or with a key in it.
    Foreign(Value, Option<&'static str>),
    /// What stands elsewhere under the same key.
    Exchanged(prop::sample::Index),
    /// Another number, if it is one.
    Number(u64),
}

impl Change {
    fn any() -> impl Strategy<Value = Change> {
        let keys = prop::sample::select(vec![
            "args",
            "errno",
            "errnoRet",
            "name",
            "names",
            "includes",
            "excludes",
            "comment",
            "action",
            "flags",
            "listenerPath",
            "listenerMetadata",
            "architectures",
            "valueTwo",
            "other",
        ]);
        prop_oneof![
            (foreign(), prop::option::of(keys)).prop_map(|(value, key)| Change::Foreign(value, key)),
            any::<prop::sample::Index>().prop_map(Change::Exchanged),
            prop_oneof![0u64..8, any::<u64>()].prop_map(Change::Number),
        ]
    }

    fn make(self, profile: &mut Value, place: prop::sample::Index) {
        let mut found = Vec::new();
        places(profile, "", &mut found);
        let place = place.get::<String>(&found);
        let key = |path: &str| path.rsplit('/').find(|part| part.parse::<usize>().is_err()).map(str::to_owned);
        let alike: Vec<_> = found.iter().filter(|path| key(path) == key(place)).collect();
        let instead = match &self {
            Change::Exchanged(which) => profile.pointer(which.get::<&String>(&alike)).cloned(),
            _ => None,
        };
        let target = profile.pointer_mut(place).unwrap();
        match (self, target) {
            (Change::Foreign(value, Some(key)), Value::Object(members)) => drop(members.insert(key.to_owned(), value)),
            (Change::Foreign(value, _), target) => *target = value,
            (Change::Exchanged(_), target) => *target = instead.unwrap(),
            (Change::Number(number), target) if target.is_number() => *target = number.into(),
            (Change::Number(_), _) => {}
        }
    }
}

/// A profile with some changes.
fn mutated() -> impl Strategy<Value = Value> {
    prop::collection::vec((any::<prop::sample::Index>(), Change::any()), 1..4).prop_map(|changes| {
        let mut profile = base();
        for (place, change) in changes {
            change.make(&mut profile, place);
        }
        profile
    })
}

/// Reads, resolves and compiles; whether it got that far.
fn survives(text: &[u8], architecture: Arch, capabilities: &[&str]) -> bool {
    let target = Target { architecture, kernel: (6, 1), capabilities };
    let Ok(filter) = Profile::parse(text).and_then(|profile| profile.resolve(&target)) else { return false };
    let program = stockade_seccomp::compile::compile(&filter).unwrap();
    let section = serde_json::to_vec(&filter.to_oci()).unwrap();
    let again = Profile::parse_oci(&section).unwrap().resolve(&target).unwrap();
    assert_eq!(stockade_seccomp::compile::compile(&again).unwrap(), program);
    true
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_changed_profile_is_an_error_or_a_profile(profile in mutated(), arch in 0..18usize, admin in any::<bool>()) {
        let capabilities: &[&str] = if admin { &["CAP_SYS_ADMIN"] } else { &[] };
        survives(profile.to_string().as_bytes(), Arch::all().nth(arch).unwrap(), capabilities);
    }

    #[test]
    fn damaged_text_is_an_error_or_a_profile(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
                                             cut in any::<prop::sample::Index>()) {
        let mut text = base().to_string().into_bytes();
        for (place, byte) in changes {
            let at = place.index(text.len());
            text[at] = byte;
        }
        survives(&text, Arch::X86_64, &[]);
        survives(&text[..cut.index(text.len())], Arch::X86_64, &[]);
    }
}

/// The strategies above do reach both ends.
#[test]
fn changed_profiles_are_of_both_kinds() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let results: Vec<bool> = (0..400)
        .map(|_| mutated().new_tree(&mut runner).unwrap().current())
        .map(|profile| survives(profile.to_string().as_bytes(), Arch::X86_64, &[]))
        .collect();
    let good = results.iter().filter(|good| **good).count();
    assert!((40..360).contains(&good), "{good} of 400 are profiles");
}

#[test]
fn deep_and_large_text_is_an_error() {
    for text in ["[".repeat(100_000), format!("{{\"syscalls\": {}", "[".repeat(100_000)), "9".repeat(1 << 20)] {
        assert!(matches!(Profile::parse(text.as_bytes()), Err(ProfileError::Json(_))));
    }
}
