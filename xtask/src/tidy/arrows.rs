//! Which package may depend on which.

use serde_json::Value;

/// A package and those of ours that it may use; what is not listed uses none. Development dependencies are free, save
/// that no room may use another room even there.
const ARROWS: &[(&str, &[&str])] = &[
    ("stockade-apparmor", &["stockade-kernel"]),
    ("stockade-capabilities", &["stockade-kernel"]),
    ("stockade-cgroups", &["stockade-kernel"]),
    ("stockade-namespaces", &["stockade-kernel"]),
    ("stockade-seccomp", &["stockade-kernel"]),
    ("stockade-monitor", &["stockade-kernel"]),
    ("stockade-network", &["stockade-kernel"]),
    ("stockade-dns", &["stockade-capabilities", "stockade-kernel", "stockade-seccomp"]),
    ("stockade-storage", &["stockade-kernel"]),
    ("stockade-unpack", &["stockade-capabilities", "stockade-kernel", "stockade-seccomp", "stockade-storage"]),
    ("stockade-images", &["stockade-kernel", "stockade-storage"]),
    ("stockade-policy", &["stockade-apparmor", "stockade-capabilities", "stockade-seccomp", "stockade-spec"]),
    (
        "stockade-runtime",
        &[
            "stockade-apparmor",
            "stockade-capabilities",
            "stockade-cgroups",
            "stockade-kernel",
            "stockade-namespaces",
            "stockade-seccomp",
            "stockade-spec",
        ],
    ),
    (
        "stockade-engine",
        &[
            "stockade-images",
            "stockade-kernel",
            "stockade-monitor",
            "stockade-namespaces",
            "stockade-network",
            "stockade-policy",
            "stockade-spec",
            "stockade-storage",
        ],
    ),
    (
        "stockade-lens",
        &[
            "stockade-apparmor",
            "stockade-capabilities",
            "stockade-cgroups",
            "stockade-kernel",
            "stockade-namespaces",
            "stockade-policy",
            "stockade-seccomp",
            "stockade-spec",
        ],
    ),
    ("stockade-cli", &["stockade-engine", "stockade-kernel", "stockade-lens"]),
    (
        "stockade-bench",
        &["stockade-capabilities", "stockade-kernel", "stockade-runtime", "stockade-seccomp", "stockade-spec"],
    ),
    ("stockade-inside", &["stockade-kernel"]),
    ("stockade-test-cli", &["stockade-testkit"]),
    ("stockade-test-engines", &["stockade-testkit"]),
    ("stockade-test-network", &["stockade-testkit"]),
    ("stockade-test-runtime", &["stockade-testkit"]),
    ("stockade-test-security", &["stockade-testkit"]),
    ("xtask", &["stockade-testkit"]),
];

/// The rooms, which never use one another.
const ROOMS: &[&str] =
    &["stockade-apparmor", "stockade-capabilities", "stockade-cgroups", "stockade-namespaces", "stockade-seccomp"];

/// What contradicts the arrows.
pub(crate) fn check(metadata: &Value) -> Vec<String> {
    let packages = metadata["packages"].as_array().map(Vec::as_slice).unwrap_or_default();
    let names: Vec<&str> = packages.iter().filter_map(|package| package["name"].as_str()).collect();
    let mut findings = Vec::new();
    for package in packages {
        let name = package["name"].as_str().unwrap_or_default();
        if name != "xtask" && !name.starts_with("stockade-") {
            findings.push(format!("package {name}: lacks the prefix stockade-"));
        }
        for dependency in package["dependencies"].as_array().map(Vec::as_slice).unwrap_or_default() {
            let used = dependency["name"].as_str().unwrap_or_default();
            let normal = dependency["kind"].is_null();
            if names.contains(&used) && !allowed(name, used, normal) {
                findings.push(format!("package {name}: must not use {used}"));
            }
        }
    }
    findings
}

fn allowed(user: &str, used: &str, normal: bool) -> bool {
    if !normal {
        return !(ROOMS.contains(&user) && ROOMS.contains(&used));
    }
    ARROWS.iter().any(|(name, may)| *name == user && may.contains(&used))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_forbidden_arrow_and_a_bare_name_are_found() {
        let uses = |name: &str| json!([{ "name": name, "kind": null }]);
        let packages = json!({ "packages": [
            { "name": "stockade-engine", "dependencies": uses("stockade-runtime") },
            { "name": "stockade-runtime", "dependencies": uses("stockade-spec") },
            { "name": "stockade-spec", "dependencies": [] },
            { "name": "bare", "dependencies": [] },
        ]});
        let findings = check(&packages);
        assert_eq!(findings.len(), 2, "{findings:?}");
        assert!(findings[0].contains("stockade-engine: must not use stockade-runtime"));
        assert!(findings[1].contains("bare"));
    }

    #[test]
    fn a_room_does_not_even_test_with_another() {
        assert!(!allowed("stockade-cgroups", "stockade-seccomp", false));
        assert!(allowed("stockade-cgroups", "stockade-testkit", false));
    }
}
