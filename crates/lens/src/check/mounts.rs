//! What is mounted in it, held against what was asked for, and what of the host is among it.

mod paths;

use std::collections::BTreeSet;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use stockade_kernel::mount::info::Mount;
use stockade_kernel::namespace::Namespaces;
use stockade_spec::{Mount as Wanted, Spec};

use crate::exposure;
use crate::finding::Sheet;
use crate::scene::{Scene, covers, text};

pub(super) use paths::host_paths;

/// Options that forbid something.
const FORBIDDING: [&str; 4] = ["ro", "nosuid", "nodev", "noexec"];

/// Check 11.
pub(super) fn look(scene: &Scene<'_>, sheet: &mut Sheet) {
    let mounts = match &scene.mounts {
        Ok(mounts) => mounts,
        Err(why) => return sheet.unchecked("mounts", None, why),
    };
    if scene.shares(Namespaces::MOUNT) {
        return sheet.unchecked("mounts", None, "its mounts are the host's (check 1)");
    }
    let count = format!("{} mounts", mounts.len());
    match scene.asked {
        None => {
            sheet.holds("mounts", None, count);
        }
        Some(asked) => {
            let before = sheet.0.len();
            for wanted in &asked.spec.mounts {
                one(scene, sheet, wanted);
            }
            unexpected(sheet, mounts, &asked.spec);
            if sheet.0.len() == before {
                let finding = sheet.holds("mounts", Some("the mounts asked for".to_owned()), "the mounts asked for");
                finding.because(count);
            }
        }
    }
    propagation(scene, sheet, mounts);
}

/// The destination as mountinfo writes it: absolute, without `.` and what ends in `/`.
fn plain(destination: &Path) -> PathBuf {
    let parts = destination.components().filter(|part| matches!(part, Component::Normal(_)));
    Path::new("/").join(parts.collect::<PathBuf>())
}

/// One mount that was asked for: whether it is there, and as strict.
fn one(scene: &Scene<'_>, sheet: &mut Sheet, wanted: &Wanted) {
    let point = plain(&wanted.destination);
    let part = point.display().to_string();
    // A symbolic link of the image's leads elsewhere, and what is on top there is looked at as another mount's.
    let Some(found) = scene.mount_at(&part) else {
        match scene.open(&part) {
            Err(_) => sheet.unchecked(part, Some("mounted".to_owned()), "it is reached by a symbolic link"),
            Ok(_) => {
                sheet.weaker(part, "mounted", "not mounted").exposing([exposure::UNEXPECTED_MOUNT]);
            }
        }
        return;
    };
    let has = |option: &str| wanted.options.iter().any(|other| other == option);
    let missing: Vec<&str> = FORBIDDING
        .into_iter()
        .filter(|option| (has(option) || *option == "ro" && has("rro")) && !found.has(option))
        .collect();
    if !missing.is_empty() {
        let finding = sheet.weaker(part.clone(), wanted.options.join(","), found.options.join(","));
        finding.because(format!("without {}", missing.join(", "))).exposing([exposure::MOUNT_FLAGS]);
    }
    let kind = wanted.kind.as_deref().unwrap_or("bind");
    let bind = kind == "bind" || has("bind") || has("rbind");
    // The hierarchies of version 1 are mounted in a tmpfs of their own.
    let same =
        bind || found.fs_type == kind || kind == "cgroup" && matches!(found.fs_type.as_str(), "tmpfs" | "cgroup2");
    if !same {
        let finding = sheet.weaker(format!("{part} type"), kind, found.fs_type.as_str());
        finding.exposing([exposure::UNEXPECTED_MOUNT]);
    }
    if !wanted.uid_mappings.is_empty() && !found.has("idmapped") {
        let finding = sheet.weaker(format!("{part} ids"), "other ids shown", "the ids as they are");
        finding.exposing([exposure::MOUNT_FLAGS]);
    }
}

/// Mounts that nobody asked for.
fn unexpected(sheet: &mut Sheet, mounts: &[Mount], spec: &Spec) {
    let linux = spec.linux.as_ref();
    let paths = linux.map(|linux| linux.masked_paths.iter().chain(&linux.readonly_paths)).into_iter().flatten();
    let nodes = linux.map(|linux| linux.devices.iter().map(|device| &device.path)).into_iter().flatten();
    let exact: BTreeSet<PathBuf> = paths.chain(nodes).map(|path| plain(path)).collect();
    // What is bound with all that is below it, and hierarchies, bring mounts of their own.
    let whole: Vec<PathBuf> =
        spec.mounts.iter().filter(|mount| brings_more(mount)).map(|one| plain(&one.destination)).collect();
    let destinations: BTreeSet<PathBuf> = spec.mounts.iter().map(|mount| plain(&mount.destination)).collect();
    for mount in mounts {
        let point = Path::new(std::ffi::OsStr::from_bytes(&mount.point));
        let below = whole.iter().any(|other| covers(other.as_os_str().as_bytes(), &mount.point));
        let known = mount.point == b"/" || OWN.contains(&&*mount.point) || below;
        if !known && !exact.contains(point) && !destinations.contains(point) {
            let finding = sheet.weaker(text(&mount.point), "nothing mounted", format!("{} mounted", mount.fs_type));
            finding.because(format!("from {}", text(&mount.root))).exposing([exposure::UNEXPECTED_MOUNT]);
        }
    }
}

/// Device files and the terminal, which runtimes bind where they cannot make nodes.
const OWN: [&[u8]; 9] = [
    b"/dev/null",
    b"/dev/zero",
    b"/dev/full",
    b"/dev/random",
    b"/dev/urandom",
    b"/dev/tty",
    b"/dev/console",
    b"/dev/ptmx",
    b"/dev/pts/ptmx",
];

/// Whether other mounts come with it.
fn brings_more(mount: &Wanted) -> bool {
    let kind = mount.kind.as_deref();
    kind == Some("cgroup") || mount.options.iter().any(|option| option == "rbind")
}

/// Which mounts travel to the host.
fn propagation(scene: &Scene<'_>, sheet: &mut Sheet, mounts: &[Mount]) {
    let hosts: BTreeSet<u32> = scene.host_mounts.iter().filter_map(|mount| mount.shared).collect();
    let shared: Vec<&Mount> =
        mounts.iter().filter(|mount| mount.shared.is_some_and(|group| hosts.contains(&group))).collect();
    if shared.is_empty() {
        sheet.holds("propagation", None, "no mount of it appears on the host");
        return;
    }
    for mount in shared {
        let point = text(&mount.point);
        let wanted = scene.asked.map(|asked| asked_shared(&asked.spec, &mount.point));
        let asked = wanted.map(|shared| if shared { "shared with the host" } else { "private" });
        let part = format!("{point} propagation");
        match asked {
            Some(asked @ "private") => sheet.weaker(part, asked, "shared with the host"),
            asked => sheet.absent(part, asked.map(str::to_owned), "shared with the host"),
        }
        .exposing([exposure::SHARED_PROPAGATION]);
    }
}

/// Whether sharing at this place was asked for.
fn asked_shared(spec: &Spec, point: &[u8]) -> bool {
    let is_shared = |option: &str| matches!(option, "shared" | "rshared");
    let root = spec.linux.as_ref().is_some_and(|linux| is_shared(&linux.rootfs_propagation));
    let of = |mount: &Wanted| {
        covers(plain(&mount.destination).as_os_str().as_bytes(), point)
            && mount.options.iter().any(|one| is_shared(one))
    };
    root || spec.mounts.iter().any(of)
}
