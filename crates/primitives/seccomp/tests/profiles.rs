//! What profiles are read as, and what is wrong with wrong ones.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use serde_json::{Value, json};
use stockade_seccomp::architecture::Arch;
use stockade_seccomp::{Profile, ProfileError, Target};

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
fn damaged_profiles_are_errors_and_never_a_panic() {
    let text = base().to_string().into_bytes();
    let target = Target { architecture: Arch::X86_64, kernel: (6, 1), capabilities: &[] };
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut refused = 0;
    for _ in 0..20_000 {
        let mut damaged = text.clone();
        for _ in 0..3 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let at = (state >> 33) as usize % damaged.len();
            damaged[at] = (state >> 20) as u8;
        }
        refused += usize::from(Profile::parse(&damaged).and_then(|profile| profile.resolve(&target)).is_err());
    }
    assert!(refused > 10_000, "{refused}");
}
