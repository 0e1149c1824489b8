//! Policies as text, and plans that were made weaker.

use std::os::unix::fs::PermissionsExt;

use stockade_spec::{Capabilities, Cpu, Linux, Memory, NamespaceType, Pids, Process, Resources};

use super::*;

const STRICT: &str = r#"
version = 1
[required]
memory = "1g"
pids-limit = 100
cpus = "1.5"
read-only = true
no-new-privileges = true
user-namespace = true
non-root = true
seccomp = ["builtin"]
apparmor = ["stockade-default"]
runtimes = ["stake", "/usr/bin/runc"]
images = ["registry.example/*", "debian:12@sha256:aa"]
[forbidden]
privileged = true
capabilities = ["SYS_ADMIN", "cap_net_raw"]
host-namespaces = ["pid", "network"]
joined-namespaces = ["pid"]
mounts = ["/etc"]
writable-mounts = ["/srv"]
devices = true
images = ["*:latest"]
"#;

fn walled() -> (Process, Linux) {
    let mut process = Process { no_new_privileges: true, ..Process::default() };
    process.user.uid = 7;
    process.apparmor_profile = "stockade-default".to_owned();
    process.capabilities = Some(Capabilities { bounding: vec!["CAP_CHOWN".to_owned()], ..Capabilities::default() });
    let linux = Linux {
        masked_paths: vec!["/proc/kcore".into()],
        readonly_paths: vec!["/proc/sys".into()],
        seccomp: Some(serde_json::value::to_raw_value(&7).unwrap()),
        resources: Some(Resources {
            devices: crate::defaults::device_rules().collect(),
            memory: Some(Memory { limit: Some(1 << 30), ..Memory::default() }),
            pids: Some(Pids { limit: Some(100) }),
            cpu: Some(Cpu { quota: Some(150_000), period: Some(100_000), ..Cpu::default() }),
            ..Resources::default()
        }),
        ..Linux::default()
    };
    (process, linux)
}

/// `rule value` of what is wrong with the plan after `change`.
fn wrong(policy: &str, change: impl FnOnce(&mut Process, &mut Linux, &mut Plan<'_>)) -> Vec<String> {
    let (process, linux) = walled();
    let (mut new_process, mut new_linux) = (process.clone(), linux.clone());
    let mut plan = Plan {
        image: "registry.example/a:1",
        image_id: Some("sha256:bb"),
        runtime: OWN_RUNTIME.into(),
        process: &process,
        linux: &linux,
        read_only: true,
        hosts: Vec::new(),
        joined: Vec::new(),
        bound: Vec::new(),
        filters: vec!["7".to_owned()],
    };
    change(&mut new_process, &mut new_linux, &mut plan);
    let plan = Plan { process: &new_process, linux: &new_linux, ..plan };
    let found = Organisation::parse(policy).unwrap().judge(&plan, "2026-11-30");
    found.into_iter().map(|one| format!("{} {}", one.rule, one.value).trim().to_owned()).collect()
}

#[test]
fn a_plan_with_all_walls_is_allowed() {
    assert_eq!(wrong(STRICT, |_, _, _| {}), Vec::<String>::new());
}

#[test]
fn each_wall_that_is_missing_is_named_and_nothing_else() {
    type Change = fn(&mut Process, &mut Linux, &mut Plan<'_>);
    let all: &[(&str, Change)] = &[
        ("required.memory", |_, l, _| l.resources.as_mut().unwrap().memory = None),
        ("required.memory", |_, l, _| l.resources.as_mut().unwrap().memory.as_mut().unwrap().limit = Some(-1)),
        ("required.pids-limit", |_, l, _| l.resources.as_mut().unwrap().pids = Some(Pids { limit: Some(101) })),
        ("required.cpus", |_, l, _| l.resources.as_mut().unwrap().cpu.as_mut().unwrap().quota = Some(150_001)),
        ("required.cpus", |_, l, _| l.resources.as_mut().unwrap().cpu.as_mut().unwrap().period = Some(50_000)),
        ("required.read-only", |_, _, plan| plan.read_only = false),
        ("required.no-new-privileges", |p, _, _| p.no_new_privileges = false),
        ("required.user-namespace", |_, _, plan| plan.hosts = vec![NamespaceType::User]),
        ("required.non-root", |p, _, _| p.user.uid = 0),
        ("required.seccomp", |_, l, _| l.seccomp = None),
        ("required.seccomp", |_, l, _| l.seccomp = Some(serde_json::value::to_raw_value(&8).unwrap())),
        ("required.apparmor", |p, _, _| p.apparmor_profile.clear()),
        ("required.images", |_, _, plan| plan.image = "evil.example/registry.example/a:1"),
        ("required.images", |_, _, plan| plan.image = "debian:12@sha256:ab"),
        ("required.runtimes", |_, _, plan| plan.runtime = "/home/user/stake".into()),
        ("forbidden.images", |_, _, plan| plan.image = "registry.example/a:latest"),
        ("forbidden.capabilities CAP_NET_RAW", |p, _, _| {
            p.capabilities.as_mut().unwrap().ambient.push("CAP_NET_RAW".to_owned());
        }),
        ("forbidden.host-namespaces network", |_, _, plan| plan.hosts = vec![NamespaceType::Network]),
        ("forbidden.joined-namespaces pid", |_, _, plan| plan.joined = vec![NamespaceType::Pid]),
        ("forbidden.mounts /etc/ssl", |_, _, plan| plan.bound = vec![bound("/etc/ssl", false)]),
        ("forbidden.mounts /etc", |_, _, plan| plan.bound = vec![bound("/etc", false), bound("/etcetera", true)]),
        ("forbidden.mounts /", |_, _, plan| plan.bound = vec![bound("/", false), bound("/srv", false)]),
        ("forbidden.writable-mounts /srv/a", |_, _, plan| plan.bound = vec![bound("/srv/a", true)]),
        ("forbidden.devices", |_, _, plan| plan.bound = vec![bound("/dev/kvm", true), bound("/dev/shm", true)]),
        ("forbidden.devices", |_, l, _| {
            let mut rule = crate::defaults::device_rules().next().unwrap();
            (rule.allow, rule.major, rule.minor) = (true, Some(10), Some(232));
            l.resources.as_mut().unwrap().devices.push(rule);
        }),
        ("forbidden.privileged", |_, l, _| l.masked_paths.clear()),
    ];
    for (expected, change) in all {
        assert_eq!(wrong(STRICT, change), [*expected]);
    }
}

fn bound(source: &str, writable: bool) -> Bound {
    Bound { source: source.into(), writable }
}

#[test]
fn all_capabilities_by_whatever_name_are_found() {
    let found = wrong(STRICT, |p, _, _| p.capabilities.as_mut().unwrap().bounding = vec!["ALL".to_owned()]);
    assert_eq!(
        found,
        ["forbidden.capabilities CAP_NET_RAW", "forbidden.capabilities CAP_SYS_ADMIN", "forbidden.privileged"]
    );
    let found = wrong(STRICT, |p, _, _| p.capabilities.as_mut().unwrap().bounding = vec!["CAP_NO_SUCH".to_owned()]);
    assert_eq!(found.len(), 3, "what is not known counts as all");
}

#[test]
fn an_exception_counts_for_its_images_its_values_and_until_its_day() {
    let with = |values: &str, images: &str, until: &str| {
        let exception = format!(
            "{STRICT}\n[[exception]]\nrule = \"forbidden.capabilities\"\nvalues = {values}\nimages = {images}\n\
             owner = \"ops\"\nreason = \"ping\"\nuntil = {until}\n"
        );
        wrong(&exception, |p, _, _| p.capabilities.as_mut().unwrap().bounding.push("CAP_NET_RAW".to_owned()))
    };
    let all = "[\"*\"]";
    assert_eq!(with("[\"net_raw\"]", all, "2026-11-30"), Vec::<String>::new());
    assert_eq!(with("[\"CAP_NET_RAW\"]", "[\"sha256:bb\"]", "2027-01-01"), Vec::<String>::new());
    assert_eq!(with("[\"CAP_NET_RAW\"]", all, "2026-11-29").len(), 1);
    assert_eq!(with("[\"CAP_SYS_ADMIN\"]", all, "2027-01-01").len(), 1);
    assert_eq!(with("[\"CAP_NET_RAW\"]", "[\"other/*\"]", "2027-01-01").len(), 1);
}

#[test]
fn what_is_unknown_or_incomplete_is_an_error() {
    let exception = |change: (&str, &str)| {
        let whole = "version = 1\n[[exception]]\nrule = \"required.non-root\"\nimages = [\"*\"]\nowner = \"a\"\nreason = \"b\"\nuntil = 2027-01-01\n";
        assert!(Organisation::parse(whole).is_ok() && whole.contains(change.0), "{change:?}");
        whole.replace(change.0, change.1)
    };
    let wrong = [
        String::new(),
        "version = 2".to_owned(),
        "version = 1\nsomething = 1".to_owned(),
        "version = 1\n[forbidden]\ncapability = [\"SYS_ADMIN\"]".to_owned(),
        "version = 1\n[forbidden]\ncapabilities = [\"SYS_ADMN\"]".to_owned(),
        "version = 1\n[forbidden]\ncapabilities = \"SYS_ADMIN\"".to_owned(),
        "version = 1\n[forbidden]\nhost-namespaces = [\"net\"]".to_owned(),
        "version = 1\n[forbidden]\nmounts = [\"etc\"]".to_owned(),
        "version = 1\n[forbidden]\nmounts = [\"/srv/../etc\"]".to_owned(),
        "version = 1\n[required]\nmemory = \"lots\"".to_owned(),
        "version = 1\n[required]\nmemory = \"1k\"".to_owned(),
        "version = 1\n[required]\npids-limit = 0".to_owned(),
        "version = 1\n[required]\nruntimes = [\"runc\"]".to_owned(),
        "version = 1\n[required]\nseccomp = [\"../x\"]".to_owned(),
        "version = 1\n[defaults]\nseccomp = \"unconfined.json\"".to_owned(),
        "version = 1\nversion = 1".to_owned(),
        exception(("required.non-root", "required.nonroot")),
        exception(("required.non-root", "forbidden.capabilities")),
        exception(("owner = \"a\"\n", "")),
        exception(("owner = \"a\"", "owner = \" \"")),
        exception(("until = 2027-01-01\n", "")),
        exception(("2027-01-01", "\"never\"")),
        exception(("2027-01-01", "2027-01-01T00:00:00Z")),
        exception(("images = [\"*\"]", "images = []")),
        exception(("reason", "because")),
    ];
    for text in wrong {
        assert!(Organisation::parse(&text).is_err(), "{text}");
    }
}

#[test]
fn a_file_that_cannot_be_trusted_is_an_error_and_one_that_is_not_there_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("policy.toml");
    assert!(Organisation::load_from(&path).unwrap().is_none());
    assert!(Organisation::load_from(folder.path()).is_err());
    assert!(Organisation::load_from(&path.join("x")).is_ok_and(|found| found.is_none()));
    std::fs::write(&path, "version = 1").unwrap();
    assert!(matches!(Organisation::load_from(&path.join("x")), Err(OrganisationError::Read { .. })));
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o664)).unwrap();
    assert!(matches!(Organisation::load_from(&path), Err(OrganisationError::Writable(_))));
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).unwrap();
    let trusted = rustix::process::geteuid().is_root();
    assert_eq!(Organisation::load_from(&path).is_ok(), trusted);
}

#[test]
fn defaults_fill_in_what_nobody_asked_for() {
    let text = "version = 1\n[defaults]\nmemory = \"64m\"\npids-limit = 9\ncpus = \"2\"\nread-only = true\n\
                no-new-privileges = true\ncap-drop = [\"NET_RAW\"]\nseccomp = \"web\"\n";
    let policy = Organisation::parse(text).unwrap();
    let mut options = Options::default();
    policy.fill(&mut options);
    policy.fill_limits(&mut options);
    assert_eq!((options.resources.memory, options.resources.pids_limit), (Some(64 << 20), Some(9)));
    assert!(options.read_only && options.security.no_new_privileges && options.resources.cpus.is_some());
    assert_eq!(options.cap_drop, ["NET_RAW"]);
    assert_eq!(options.security.seccomp, Some(Seccomp::File("/etc/stockade/seccomp/web.json".into())));
    let mut asked = Options::default();
    asked.resources.memory = Some(1 << 30);
    asked.security.seccomp = Some(Seccomp::Builtin);
    policy.fill(&mut asked);
    policy.fill_limits(&mut asked);
    assert_eq!((asked.resources.memory, asked.security.seccomp), (Some(1 << 30), Some(Seccomp::Builtin)));
}

#[test]
fn a_star_is_any_text() {
    let cases = [
        ("a", "a", true),
        ("a", "ab", false),
        ("*", "", true),
        ("a*", "abc", true),
        ("*c", "abc", true),
        ("a*b*c", "axbybc", true),
        ("a*a", "a", false),
        ("a*bc*c", "abc", false),
    ];
    for (pattern, text, expected) in cases {
        assert_eq!(rules::matches(pattern, text), expected, "{pattern} {text}");
    }
}
