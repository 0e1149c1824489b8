//! The kernel's version and modules, control groups, ids, programs, and the processor's mitigations.

use std::io;
use std::os::unix::fs::MetadataExt;

use rustix::fs::Access;
use stockade_capabilities::file::has_any;

use super::settings::value;
use super::{Patient, Rank, Symptom};

/// The first kernel that has all that a container is made with (`clone3`, `openat2`, `close_range` with close-on-exec).
const LEAST: (u32, u32) = (5, 11);
/// The first whose overlayfs takes layers that show other ids; whether they can is tried ([`super::shown`]).
const ID_MAPPED: (u32, u32) = (5, 19);
/// Ids that the files of an image usually have.
const ENOUGH: u64 = 65536;

/// Looks at all of it.
pub(super) fn examine(patient: &Patient) -> Vec<Symptom> {
    let mut all = vec![kernel(patient), modules(patient), overlay(patient), groups(patient)];
    all.extend(user_namespaces(patient));
    if !patient.is_root() {
        all.extend(ids(patient));
        all.push(pasta(patient));
    }
    all.extend(mitigations(patient));
    all
}

/// The kernel's version.
fn kernel(patient: &Patient) -> Symptom {
    let release = &patient.release;
    let mut numbers = release.split(['.', '-', '+']).map(|part| part.parse::<u32>().ok());
    let (Some(Some(major)), Some(Some(minor))) = (numbers.next(), numbers.next()) else {
        return Symptom::unknown("kernel", &io::Error::other(format!("{release} is no version")));
    };
    let mend = "install a newer kernel";
    match (major, minor) {
        version if version < LEAST => {
            Symptom::bad(Rank::Blocks, "kernel", release, "containers need Linux 5.11 at least", mend)
        }
        version if version < ID_MAPPED => {
            let because =
                "containers of root share the host's user ids: layers are shown with other ids from Linux 5.19 on";
            Symptom::bad(Rank::Weaker, "kernel", release, because, mend)
        }
        _ => Symptom::good("kernel", release),
    }
}

/// The security modules.
fn modules(patient: &Patient) -> Symptom {
    let about = "security modules";
    let because = "containers have no AppArmor profile, the second wall in front of /proc and /sys and of mounts";
    match patient.read("/sys/kernel/security/lsm") {
        Err(error) => Symptom::unknown(about, &error),
        Ok(Some(list)) if list.split(',').any(|name| name == "apparmor") => match patient.program("apparmor_parser") {
            Some(_) => Symptom::good(about, list),
            None => {
                let because = "containers have no AppArmor profile, because nothing is there that loads one";
                Symptom::bad(
                    Rank::Weaker,
                    about,
                    "apparmor, without apparmor_parser",
                    because,
                    "sudo apt install apparmor",
                )
            }
        },
        Ok(Some(list)) => {
            let mend = "boot with the kernel parameters apparmor=1 security=apparmor, of a kernel that has AppArmor";
            Symptom::bad(Rank::Weaker, about, list, because, mend)
        }
        Ok(None) if patient.path("/sys/module/apparmor/parameters/enabled").exists() => {
            Symptom::good(about, "apparmor (securityfs is not mounted here)")
        }
        Ok(None) => {
            let mend = "sudo mount -t securityfs securityfs /sys/kernel/security, or boot a kernel with AppArmor";
            Symptom::bad(Rank::Weaker, about, "none are told", because, mend)
        }
    }
}

/// What root file systems are made with.
fn overlay(patient: &Patient) -> Symptom {
    let about = "overlayfs";
    match patient.read("/proc/filesystems") {
        Err(error) => Symptom::unknown(about, &error),
        Ok(list) if list.iter().flat_map(|list| list.lines()).any(|line| line.trim_end().ends_with("\toverlay")) => {
            Symptom::good(about, "there")
        }
        Ok(_) if !patient.is_root() && patient.program("fuse-overlayfs").is_some() => {
            Symptom::good(about, "not loaded; fuse-overlayfs takes its place")
        }
        Ok(_) => {
            let because = "containers have no root file system without it, unless the kernel can load the module";
            Symptom::bad(Rank::Weaker, about, "not loaded", because, "sudo modprobe overlay")
        }
    }
}

/// The control groups.
fn groups(patient: &Patient) -> Symptom {
    let about = "control groups";
    let unified = patient.path("/sys/fs/cgroup/cgroup.controllers").exists();
    let there = patient.path("/sys/fs/cgroup").read_dir().is_ok_and(|mut entries| entries.next().is_some());
    let found = if unified { "version 2" } else { "version 1" };
    match (there, patient.is_root()) {
        (false, true) => {
            let mend = "sudo mount -t cgroup2 cgroup2 /sys/fs/cgroup";
            Symptom::bad(Rank::Blocks, about, "none are mounted", "containers of root are made in control groups", mend)
        }
        (true, true) if unified => Symptom::good(about, found),
        (true, true) => {
            let because = "the pressure of memory, processors and disks is not told, and a container is not killed as a whole at once";
            let mend = "boot with the kernel parameters systemd.unified_cgroup_hierarchy=1 cgroup_no_v1=all";
            Symptom::bad(Rank::Weaker, about, found, because, mend)
        }
        (_, false) => users_groups(patient, about, found, unified),
    }
}

/// The control groups that a user other than root may make.
fn users_groups(patient: &Patient, about: &'static str, found: &str, unified: bool) -> Symptom {
    let by_systemd = "systemd-run --user --scope --property=Delegate=yes stockade ...";
    match delegated(patient, unified) {
        Some(controllers) if ["cpu", "memory", "pids"].iter().all(|one| controllers.iter().any(|has| has == one)) => {
            Symptom::good(about, format!("{found}, delegated with {}", controllers.join(" ")))
        }
        Some(controllers) => {
            let because =
                "containers of a user other than root can be paused, and have limits only of what is delegated";
            let with = if controllers.is_empty() { "no controller".to_owned() } else { controllers.join(" ") };
            let mend =
                "sudo systemctl set-property user@.service Delegate='cpu cpuset io memory pids', and log in again";
            Symptom::bad(Rank::Weaker, about, format!("{found}, delegated with {with}"), because, mend)
        }
        None => {
            let because = "containers of a user other than root have no limits of memory, processors and processes, and cannot be paused";
            let systemd = patient.path(&format!("/run/user/{}/systemd/private", patient.uid)).exists();
            let mend = if unified && systemd { by_systemd } else { "run containers that need limits as root" };
            Symptom::bad(Rank::Weaker, about, format!("{found}, for root to make"), because, mend)
        }
    }
}

/// The controllers of the caller's cgroup2 group, if it was delegated: the folder and the two files by which groups are made below it and processes put there
/// are the user's (`cgroups(7)`, "Delegation").
fn delegated(patient: &Patient, unified: bool) -> Option<Vec<String>> {
    let groups = patient.read("/proc/self/cgroup").ok()??;
    let group = groups.lines().find_map(|line| line.strip_prefix("0::"))?;
    let top = if unified { "/sys/fs/cgroup" } else { "/sys/fs/cgroup/unified" };
    let folder = format!("{top}{}", group.trim_end_matches('/'));
    let own = |name: &str| {
        let found = std::fs::metadata(patient.path(&format!("{folder}/{name}")));
        found.is_ok_and(|found| found.uid() == patient.uid)
    };
    if !["", "cgroup.procs", "cgroup.subtree_control"].iter().all(|name| own(name)) {
        return None;
    }
    let controllers = patient.read(&format!("{folder}/cgroup.controllers")).ok()??;
    Some(controllers.split_whitespace().map(str::to_owned).collect())
}

/// Whether user namespaces can be made.
fn user_namespaces(patient: &Patient) -> Vec<Symptom> {
    // An ordinary user's containers are in one; root's have one each unless they are told otherwise.
    let (rank, because) = match patient.is_root() {
        true => (Rank::Weaker, "containers of root share the host's user ids: root of a container is root of the host"),
        false => (Rank::Blocks, "containers of a user other than root are in a user namespace of that user's"),
    };
    let switches = [
        ("user.max_user_namespaces", "0", "sudo sysctl -w user.max_user_namespaces=15000", true),
        ("kernel.unprivileged_userns_clone", "0", "sudo sysctl -w kernel.unprivileged_userns_clone=1", false),
        (
            "kernel.apparmor_restrict_unprivileged_userns",
            "1",
            "sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0, or load an AppArmor profile for stockade with `userns,`",
            false,
        ),
    ];
    let of_this_user = switches.into_iter().filter(|(.., of_root)| *of_root || !patient.is_root());
    let looked_at = of_this_user.filter_map(|(name, wrong, mend, _)| match value(patient, name) {
        Err(error) => Some(Symptom::unknown(name, &error)),
        // Of kernels of some distributions only.
        Ok(None) => None,
        Ok(Some(text)) if text == wrong => Some(Symptom::bad(rank, name, text, because, mend)),
        Ok(Some(text)) => Some(Symptom::good(name, text)),
    });
    looked_at.collect()
}

/// The user's ranges, and the programs that give them to a namespace.
fn ids(patient: &Patient) -> Vec<Symptom> {
    let accounts = patient.read("/etc/passwd").ok().flatten().unwrap_or_default();
    let name = accounts.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, id) = (fields.next()?, fields.nth(1)?);
        (id.parse() == Ok(patient.uid)).then(|| name.to_owned())
    });
    let name = name.unwrap_or_else(|| patient.uid.to_string());
    let mut all = Vec::new();
    let files = [("/etc/subuid", "newuidmap", "--add-subuids"), ("/etc/subgid", "newgidmap", "--add-subgids")];
    for (file, program, option) in files {
        match patient.read(file) {
            Err(error) => all.push(Symptom::unknown(file, &error)),
            Ok(text) => match count(&text.unwrap_or_default(), &[&name, &patient.uid.to_string()]) {
                ids if ids >= ENOUGH => all.push(Symptom::good(file, format!("{ids} ids for {name}"))),
                ids => {
                    let because =
                        "containers have too few users: files of images keep their owners only as far as there are ids";
                    let mend = format!("sudo usermod {option} 100000-165535 {name} (ids that nobody else has)");
                    all.push(Symptom::bad(Rank::Weaker, file, format!("{ids} ids for {name}"), because, &mend));
                }
            },
        }
        all.push(mapper(patient, program));
    }
    all
}

/// How many ids the lines of one of these names give.
fn count(text: &str, names: &[&str]) -> u64 {
    let of_line = |line: &str| {
        let (name, range) = line.split_once(':')?;
        names.contains(&name).then_some(range.split_once(':')?.1.parse::<u64>().ok()?)
    };
    text.lines().filter_map(of_line).fold(0, u64::saturating_add)
}

/// A program that writes maps for users: it is set-user-id, or has a capability of its own.
fn mapper(patient: &Patient, program: &str) -> Symptom {
    let because = "ranges of ids cannot be used without it: containers are not made where the user has some";
    let Some(path) = patient.program(program) else {
        return Symptom::bad(Rank::Blocks, program, "missing", because, "sudo apt install uidmap");
    };
    match std::fs::metadata(&path) {
        Err(error) => Symptom::unknown(program, &error),
        Ok(found) if found.mode() & 0o4000 != 0 && found.uid() == 0 || has_any(&path) => {
            Symptom::good(program, path.display().to_string())
        }
        Ok(_) => {
            let mend = format!("sudo chown root {0} && sudo chmod u+s {0}", path.display());
            Symptom::bad(Rank::Blocks, program, "without the right to write maps", because, &mend)
        }
    }
}

/// The network of an ordinary user's containers.
fn pasta(patient: &Patient) -> Symptom {
    let because = "containers of a user other than root have no network but none and the host's";
    let Some(path) = patient.program("pasta") else {
        return Symptom::bad(Rank::Weaker, "pasta", "missing", because, "sudo apt install passt");
    };
    let tun = patient.path("/dev/net/tun");
    match rustix::fs::access(&tun, Access::READ_OK | Access::WRITE_OK) {
        Ok(()) => Symptom::good("pasta", path.display().to_string()),
        Err(errno) => {
            let found = format!("/dev/net/tun: {}", io::Error::from(errno));
            let mend = "sudo chmod 666 /dev/net/tun (sudo modprobe tun where it is missing)";
            Symptom::bad(Rank::Weaker, "pasta", found, because, mend)
        }
    }
}

/// What the processor is known to leak, and whether the kernel does something about it.
fn mitigations(patient: &Patient) -> Vec<Symptom> {
    let folder = "/sys/devices/system/cpu/vulnerabilities";
    let about = "processor";
    let names = match std::fs::read_dir(patient.path(folder)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Vec::new(),
        Err(error) => return vec![Symptom::unknown(about, &error)],
        Ok(entries) => entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()),
    };
    let mut names: Vec<String> = names.collect();
    names.sort();
    let mut all = Vec::new();
    for name in names {
        match patient.read(&format!("{folder}/{name}")) {
            Err(error) => all.push(Symptom::unknown(format!("{about} {name}"), &error)),
            Ok(Some(text)) if text.to_ascii_lowercase().contains("vulnerable") => {
                let because = "a container may read memory of others by what the processor leaks";
                let mend = "install the processor's microcode (sudo apt install amd64-microcode intel-microcode), take mitigations=off \
                            from the kernel's parameters, and where it names SMT, add mitigations=auto,nosmt";
                all.push(Symptom::bad(Rank::Weaker, format!("{about} {name}"), text, because, mend));
            }
            Ok(_) => {}
        }
    }
    if all.is_empty() {
        all.push(Symptom::good(about, "the kernel knows no leak of it that is open"));
    }
    all
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::super::tests::{about, patient};
    use super::*;

    #[test]
    fn versions_are_told_apart() {
        for (release, rank) in [
            ("5.10.0-28-amd64", Rank::Blocks),
            ("5.11", Rank::Weaker),
            ("5.18.9+", Rank::Weaker),
            ("5.19.0", Rank::Good),
            ("6.1.0-18-amd64", Rank::Good),
            ("what", Rank::Unknown),
        ] {
            let (_root, patient) = patient(0, release, &[]);
            assert_eq!(kernel(&patient).rank, rank, "{release}");
        }
    }

    #[test]
    fn what_stands_in_the_way_of_a_user_is_no_wall_for_root() {
        let files = [
            ("/proc/sys/user/max_user_namespaces", "100"),
            ("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1"),
            ("/proc/sys/kernel/unprivileged_userns_clone", "0"),
        ];
        let (_root, mut patient) = patient(1000, "6.1.0", &files);
        let found = user_namespaces(&patient);
        assert_eq!(about(&found, "user.max_user_namespaces").rank, Rank::Good);
        for name in ["kernel.apparmor_restrict_unprivileged_userns", "kernel.unprivileged_userns_clone"] {
            assert_eq!(about(&found, name).rank, Rank::Blocks);
            assert!(about(&found, name).mend.as_deref().unwrap().contains(name));
        }
        patient.uid = 0;
        assert_eq!(user_namespaces(&patient).len(), 1);
    }

    #[test]
    fn ranges_and_their_programs_are_counted() {
        let files = [
            ("/etc/passwd", "root:x:0:0::/:\nada:x:1000:1000::/home/ada:\n"),
            ("/etc/subuid", "ada:100000:65000\n1000:300000:1000\nbob:1:70000\n"),
            ("/etc/subgid", "ada:100000:10\nbroken\n"),
            ("/usr/bin/newuidmap", ""),
        ];
        let (root, patient) = patient(1000, "6.1.0", &files);
        let found = ids(&patient);
        assert_eq!((about(&found, "/etc/subuid").rank, about(&found, "/etc/subgid").rank), (Rank::Good, Rank::Weaker));
        assert!(about(&found, "/etc/subgid").mend.as_deref().unwrap().contains("--add-subgids 100000-165535 ada"));
        assert_eq!(about(&found, "newuidmap").rank, Rank::Blocks);
        assert_eq!(about(&found, "newgidmap").mend.as_deref(), Some("sudo apt install uidmap"));
        let program = root.path().join("usr/bin/newuidmap");
        std::fs::set_permissions(&program, PermissionsExt::from_mode(0o4755)).unwrap();
        let of_root = std::fs::metadata(&program).unwrap().uid() == 0;
        assert_eq!(mapper(&patient, "newuidmap").rank == Rank::Good, of_root);
    }

    #[test]
    fn leaks_and_modules_are_told() {
        let folder = "/sys/devices/system/cpu/vulnerabilities";
        let files = [
            (format!("{folder}/mds"), "Mitigation: Clear CPU buffers; SMT vulnerable\n"),
            (format!("{folder}/meltdown"), "Not affected\n"),
            ("/sys/kernel/security/lsm".to_owned(), "capability,landlock,yama"),
            ("/proc/filesystems".to_owned(), "nodev\tproc\n\text4\nnodev\toverlay\n"),
        ];
        let files: Vec<_> = files.iter().map(|(path, text)| (path.as_str(), *text)).collect();
        let (_root, patient) = patient(0, "6.1.0", &files);
        let found = mitigations(&patient);
        assert_eq!((found.len(), about(&found, "processor mds").rank), (1, Rank::Weaker));
        assert_eq!((modules(&patient).rank, overlay(&patient).rank), (Rank::Weaker, Rank::Good));
        assert_eq!(groups(&patient).rank, Rank::Blocks);
    }
}
