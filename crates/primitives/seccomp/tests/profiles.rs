//! What profiles are read as, and what is wrong with wrong ones.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use serde_json::{Value, json};
use stockade_seccomp::architecture::Arch;
use stockade_seccomp::model::Action;
use stockade_seccomp::syscall::Syscall;
use stockade_seccomp::{Profile, ProfileError, Target};
use stockade_testkit::requires;

mod base;
use base::base;

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
