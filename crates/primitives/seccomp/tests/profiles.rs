//! What profiles are read as, and what is wrong with wrong ones.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use serde_json::{Value, json};
use stockade_seccomp::architecture::Arch;
use stockade_seccomp::model::Action;
use stockade_seccomp::syscall::Syscall;
use stockade_seccomp::{Profile, ProfileError, Target};
use stockade_testkit::requires;

fn base() -> Value {
    json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": 1,
        "archMap": [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86", "SCMP_ARCH_X32"]}],
        "syscalls": [
            {"names": ["read", "write"], "action": "SCMP_ACT_ALLOW"},
            {"name": "socket", "action": "SCMP_ACT_ALLOW", "args": [{"index": 0, "value": 40, "op": "SCMP_CMP_NE"}]},
            {"names": ["bpf"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_BPF"], "minKernel": "4.8"}},
            {"names": ["clone"], "action": "SCMP_ACT_ALLOW", "excludes": {"caps": ["CAP_SYS_ADMIN"], "arches": ["s390x"]}},
        ],
    })
}

fn resolve(profile: &Value, capabilities: &[&str]) -> Result<Vec<usize>, ProfileError> {
    let target = Target { architecture: Arch::X86_64, kernel: (6, 1), capabilities };
    let filter = Profile::parse(profile.to_string().as_bytes())?.resolve(&target)?;
    Ok(filter.rules().iter().map(|rule| rule.entry).collect())
}

#[test]
fn entries_are_for_capabilities_kernels_and_architectures() {
    assert_eq!(resolve(&base(), &[]).unwrap(), [0, 1, 3]);
    assert_eq!(resolve(&base(), &["CAP_BPF", "CAP_SYS_ADMIN"]).unwrap(), [0, 1, 2]);
    let mut profile = base();
    profile["syscalls"][2]["includes"]["minKernel"] = json!("6.2");
    assert_eq!(resolve(&profile, &["CAP_BPF"]).unwrap(), [0, 1, 3]);
    profile["syscalls"][0]["includes"] = json!({"arches": ["arm64"]});
    assert_eq!(resolve(&profile, &["CAP_BPF"]).unwrap(), [1, 3]);
}

#[test]
fn architectures_are_those_of_the_own_kernel() {
    let target = Target { architecture: Arch::X86_64, kernel: (6, 1), capabilities: &[] };
    let filter = Profile::parse(base().to_string().as_bytes()).unwrap().resolve(&target).unwrap();
    assert_eq!(filter.architectures(), [Arch::X86_64, Arch::X86, Arch::X32]);
    let target = Target { architecture: Arch::Aarch64, ..target };
    let filter = Profile::parse(base().to_string().as_bytes()).unwrap().resolve(&target).unwrap();
    assert_eq!(filter.architectures(), [Arch::Aarch64]);
}

#[test]
fn wrong_profiles_name_the_place() {
    for (pointer, value, path) in [
        ("/defaultAction", json!("SCMP_ACT_DENY"), "defaultAction"),
        ("/defaultAction", json!("SCMP_ACT_ALLOW"), "defaultErrnoRet"),
        ("/defaultErrnoRet", json!(4096), "defaultErrnoRet"),
        ("/archMap/0/architecture", json!("SCMP_ARCH_VAX"), "archMap[0].architecture"),
        ("/archMap/0/subArchitectures/1", json!("SCMP_ARCH_M68K"), "archMap[0].subArchitectures[1]"),
        ("/syscalls/0/names", json!([]), "syscalls[0].names"),
        ("/syscalls/0/names/1", json!("writ"), "syscalls[0].names[1]"),
        ("/syscalls/1/action", json!("SCMP_ACT_NOTIFY"), "listenerPath"),
        ("/syscalls/1/args/0/op", json!("SCMP_CMP_X"), "syscalls[1].args[0].op"),
        ("/syscalls/1/args/0/index", json!(6), "syscalls[1].args[0].index"),
        ("/syscalls/2/includes/caps/0", json!("BPF"), "syscalls[2].includes.caps[0]"),
        ("/syscalls/2/includes/minKernel", json!("new"), "syscalls[2].includes.minKernel"),
        ("/syscalls/3/excludes/arches/0", json!("vax"), "syscalls[3].excludes.arches[0]"),
    ] {
        let mut profile = base();
        *profile.pointer_mut(pointer).unwrap() = value;
        let error = resolve(&profile, &[]).unwrap_err();
        assert!(matches!(&error, ProfileError::Invalid { path: at, .. } if at == path), "{pointer}: {error}");
    }
    let mut both = base();
    both["architectures"] = json!(["SCMP_ARCH_X86_64"]);
    assert!(resolve(&both, &[]).unwrap_err().to_string().starts_with("archMap: "));
    let mut misspelt = base();
    misspelt["syscalls"][0]["arg"] = json!([]);
    assert!(matches!(resolve(&misspelt, &[]), Err(ProfileError::Json(_))));
    let mut suggestion = base();
    suggestion["syscalls"][0]["names"][0] = json!("chmodd");
    assert!(resolve(&suggestion, &[]).unwrap_err().to_string().contains("did you mean \"chmod\"?"));
}

#[test]
fn the_old_singular_form_is_read() {
    let text = br#"{"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_X86_64","SCMP_ARCH_X86"],
        "syscalls":[{"name":"chmod","action":"SCMP_ACT_ERRNO","args":[]}]}"#;
    let target = Target { architecture: Arch::X86_64, kernel: (6, 1), capabilities: &[] };
    let filter = Profile::parse(text).unwrap().resolve(&target).unwrap();
    assert_eq!(filter.rules()[0].calls[0].name(), "chmod");
    assert_eq!(filter.rules()[0].action, Action::Errno(1));
    assert_eq!(filter.architectures(), [Arch::X86_64, Arch::X86]);
}

#[test]
fn podmans_own_profile_is_read() {
    requires!(podman);
    let text = std::fs::read("/usr/share/containers/seccomp.json").unwrap();
    let profile = Profile::parse(&text).unwrap();
    for architecture in Arch::all() {
        for capabilities in [&[][..], &["CAP_SYS_ADMIN", "CAP_AUDIT_WRITE"]] {
            let filter = profile.resolve(&Target { architecture, kernel: (6, 1), capabilities }).unwrap();
            stockade_seccomp::compile::compile(&filter).unwrap();
            assert_eq!(filter.default_action(), Action::Errno(38));
            let Some(bpf) = Syscall::from_name("bpf").unwrap().number(architecture) else { continue };
            let expected = if capabilities.is_empty() { Action::Errno(1) } else { Action::Allow };
            assert_eq!(filter.decide(architecture.audit(), bpf, &[0; 6]).action, expected, "{architecture}");
        }
    }
}

#[test]
fn errnos_may_be_named_as_podman_does() {
    let with = |errno: Value| {
        let mut profile = base();
        profile["syscalls"][2]["action"] = json!("SCMP_ACT_ERRNO");
        for (key, value) in errno.as_object().unwrap() {
            profile["syscalls"][2][key] = value.clone();
        }
        let target = Target { architecture: Arch::X86_64, kernel: (6, 1), capabilities: &["CAP_BPF"] };
        let filter = Profile::parse(profile.to_string().as_bytes()).unwrap().resolve(&target);
        filter.map(|filter| filter.rules()[2].action).map_err(|error| error.to_string())
    };
    assert_eq!(with(json!({"errno": "EINVAL"})), Ok(Action::Errno(22)));
    assert_eq!(with(json!({"errno": "ENOSYS", "errnoRet": 38})), Ok(Action::Errno(38)));
    assert_eq!(with(json!({"errno": ""})), Ok(Action::Errno(1)));
    let contradicting = with(json!({"errno": "EPERM", "errnoRet": 38})).unwrap_err();
    assert_eq!(contradicting, "syscalls[2].errno: EPERM is 1 and contradicts syscalls[2].errnoRet, 38");
    let unknown = with(json!({"errno": "EWHAT"})).unwrap_err();
    assert_eq!(unknown, "syscalls[2].errno: unknown errno \"EWHAT\": give its number as errnoRet");
}

/// An engine newer than the runtime names newer calls: the filter may only get stricter by leaving them out.
#[test]
fn a_runtime_leaves_unknown_calls_out_where_that_is_stricter() {
    let resolve = |default: &str, action: &str| {
        let section = json!({"defaultAction": default, "syscalls": [
            {"names": ["read", "a_call_of_next_year"], "action": action}, {"names": ["another"], "action": action}]});
        let target = Target { architecture: Arch::X86_64, kernel: (6, 1), capabilities: &[] };
        let filter = Profile::parse_oci(section.to_string().as_bytes()).unwrap().resolve(&target);
        filter.map(|filter| filter.rules().iter().map(|rule| rule.calls.len()).collect::<Vec<_>>())
    };
    assert_eq!(resolve("SCMP_ACT_ERRNO", "SCMP_ACT_ALLOW").unwrap(), [1]);
    for (default, action) in [
        ("SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO"),
        ("SCMP_ACT_ALLOW", "SCMP_ACT_LOG"),
        ("SCMP_ACT_ERRNO", "SCMP_ACT_KILL_PROCESS"),
    ] {
        let error = resolve(default, action).unwrap_err().to_string();
        assert!(error.starts_with("syscalls[0].names[1]: unknown system call"), "{error}");
    }
    for (section, key) in [
        (json!({"defaultAction": "SCMP_ACT_ALLOW", "archMap": []}), "archMap"),
        (json!({"defaultAction": "SCMP_ACT_ERRNO", "defaultErrno": "EPERM"}), "defaultErrno"),
        (
            json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
            {"names": ["read"], "action": "SCMP_ACT_ERRNO", "errno": "EPERM"}]}),
            "syscalls[0].errno",
        ),
    ] {
        let error = Profile::parse_oci(section.to_string().as_bytes()).unwrap_err().to_string();
        assert!(error.starts_with(&format!("{key}: ")), "{error}");
    }
}

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
