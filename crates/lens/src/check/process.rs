//! What its first process works on and with: its folder, program, environment and limits.

use std::collections::BTreeSet;

use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, StatVfsMountFlags, StatxFlags};
use stockade_kernel::namespace::Namespaces;
use stockade_spec::Rlimit;

use crate::exposure;
use crate::finding::{Sheet, Wall};
use crate::scene::{Read, Scene, text, told};

/// Whether what the link leads to is on one of its mounts.
fn is_inside(scene: &Scene<'_>, link: &str) -> Read<bool> {
    let mounts = scene.mounts.as_ref().map_err(Clone::clone)?;
    let opened = told(scene.procfs.open_link(scene.subject(), link))?;
    Ok(mounts.iter().any(|mount| Some(u64::from(mount.id)) == mount_of(&opened)))
}

/// The id of the mount of a descriptor, as mountinfo has it (`STATX_MNT_ID`, Linux 5.8).
fn mount_of(fd: &OwnedFd) -> Option<u64> {
    let answer = rustix::fs::statx(fd, c"", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID).ok()?;
    (answer.stx_mask & StatxFlags::MNT_ID.bits() != 0).then_some(answer.stx_mnt_id)
}

/// Check 17.
pub(super) fn inside(scene: &Scene<'_>, sheet: &mut Sheet) {
    for (part, link) in [("working directory", "cwd"), ("program", "exe")] {
        if scene.shares(Namespaces::MOUNT) {
            sheet.unchecked(part, None, "its mounts are the host's (check 1)");
            continue;
        }
        let path = scene.procfs.read_link(scene.subject(), link).map(|path| text(&path)).unwrap_or_default();
        match is_inside(scene, link) {
            Err(why) => sheet.unchecked(part, None, why),
            Ok(true) => {
                sheet.holds(part, Some("inside".to_owned()), "inside").because(path);
            }
            // Until its program is executed it is the runtime's, which check 29 looks at.
            Ok(false) if link == "exe" && waits(scene) => {
                sheet.unchecked(part, None, "it is created and not started: its program is still the runtime's");
            }
            Ok(false) => {
                let finding = sheet.weaker(part, "inside", "outside of its root");
                finding.because(path).exposing([exposure::OUTSIDE_ROOT]);
            }
        }
    }
}

/// Whether it is the first process of a container that is created and not started: a runtime, by its name.
fn waits(scene: &Scene<'_>) -> bool {
    let name = scene.status.name.as_str();
    ["stake", "runc", "crun", "youki"].iter().any(|runtime| name.starts_with(runtime))
}

/// Names of variables that engines and runtimes use among themselves, or that lead to the host: whole names, and beginnings with `*`.
const ENGINES: &[&str] = &[
    "STOCKADE_*",
    "_STOCKADE_*",
    "_LIBCONTAINER_*",
    "_OCI_*",
    "_CONTAINERS_*",
    "_CRUN_*",
    "NOTIFY_SOCKET",
    "LISTEN_FDS",
    "LISTEN_PID",
    "LISTEN_FDNAMES",
    "DOCKER_HOST",
    "CONTAINER_HOST",
    "CONTAINERD_*",
    "DBUS_SESSION_BUS_ADDRESS",
    "XDG_RUNTIME_DIR",
    "SSH_AUTH_SOCK",
    "SUDO_COMMAND",
    "SUDO_USER",
];

/// Check 18.
pub(super) fn environment(scene: &Scene<'_>, sheet: &mut Sheet) {
    const PART: &str = "environment";
    let found = match told(scene.procfs.read(scene.subject(), "environ")) {
        Ok(found) => found,
        Err(why) => return sheet.unchecked(PART, None, why),
    };
    let wanted: Option<BTreeSet<&[u8]>> = scene
        .asked
        .and_then(|asked| asked.process())
        .map(|process| process.env.iter().map(|one| name_of(one.as_bytes())).collect());
    let names: Vec<&[u8]> = found.split(|byte| *byte == 0).filter(|one| !one.is_empty()).map(name_of).collect();
    let before = sheet.0.len();
    for name in names.iter().filter(|name| is_engines(name)) {
        let part = text(name);
        match &wanted {
            Some(wanted) if wanted.contains(name) => {
                sheet.absent(part, Some("set".to_owned()), "set");
            }
            Some(_) => {
                sheet.weaker(part, "not set", "set").exposing([exposure::ENGINE_VARIABLE]);
            }
            None => {
                sheet.absent(part, None, "set").exposing([exposure::ENGINE_VARIABLE]);
            }
        }
    }
    if sheet.0.len() == before {
        let finding = sheet.holds(PART, None, "no variable of the engine's");
        finding.because(format!("{} variables", names.len()));
    }
}

fn name_of(variable: &[u8]) -> &[u8] {
    variable.split(|byte| *byte == b'=').next().unwrap_or_default()
}

fn is_engines(name: &[u8]) -> bool {
    ENGINES.iter().any(|known| match known.strip_suffix('*') {
        Some(beginning) => name.starts_with(beginning.as_bytes()),
        None => name == known.as_bytes(),
    })
}

/// Check 21.
pub(super) fn oom_score(scene: &Scene<'_>, sheet: &mut Sheet) {
    const PART: &str = "oom_score_adj";
    let read = |subject| {
        let content = told(scene.procfs.read(subject, PART))?;
        String::from_utf8_lossy(&content).trim().parse::<i32>().map_err(|error| error.to_string())
    };
    let found = match read(scene.subject()) {
        Ok(found) => found,
        Err(why) => return sheet.unchecked(PART, None, why),
    };
    let wanted = scene.asked.and_then(|asked| asked.process()).and_then(|process| process.oom_score_adj);
    match wanted {
        Some(wanted) if found >= wanted => {
            sheet.holds(PART, Some(wanted.to_string()), found.to_string());
        }
        Some(wanted) => {
            sheet.weaker(PART, wanted.to_string(), found.to_string());
        }
        None if found >= 0 => {
            sheet.holds(PART, None, found.to_string());
        }
        None => {
            sheet.absent(PART, None, found.to_string());
        }
    }
    if found < 0
        && let Some(finding) = sheet.0.last_mut()
    {
        finding.exposing([exposure::OOM_PROTECTED]);
    }
}

/// Check 22.
pub(super) fn resource_limits(scene: &Scene<'_>, sheet: &mut Sheet) {
    const PART: &str = "limits";
    let found = match told(scene.procfs.limits(scene.subject())) {
        Ok(found) => found,
        Err(why) => return sheet.unchecked(PART, None, why),
    };
    let asked: &[Rlimit] =
        scene.asked.and_then(|asked| asked.process()).map_or(&[], |process| process.rlimits.as_slice());
    for wanted in asked {
        let part = wanted.kind.as_str();
        let want = both(wanted.soft, wanted.hard);
        match found.iter().find(|limit| limit.name == part) {
            None => sheet.unchecked(part, Some(want), "the kernel does not tell this limit"),
            // A process may lower what it has, and raise the soft one up to the hard one.
            Some(limit) if limit.hard <= wanted.hard => {
                sheet.holds(part, Some(want), both(limit.soft, limit.hard));
            }
            Some(limit) => {
                sheet.weaker(part, want, both(limit.soft, limit.hard)).exposing([exposure::RAISED_LIMIT]);
            }
        }
    }
    if asked.is_empty() {
        let wanted = scene.asked.map(|_| false);
        let of = |name: &str| found.iter().find(|limit| limit.name == name).map(|limit| bound(limit.hard));
        let text = format!(
            "the engine's own: {} files, {} processes",
            of("RLIMIT_NOFILE").unwrap_or_default(),
            of("RLIMIT_NPROC").unwrap_or_default()
        );
        sheet.judge(PART, Wall { wanted, asked: wanted.map(|_| "none".to_owned()), found: text, stands: false });
    }
}

fn both(soft: u64, hard: u64) -> String {
    format!("{}:{}", bound(soft), bound(hard))
}

fn bound(bound: u64) -> String {
    if bound == u64::MAX { "unlimited".to_owned() } else { bound.to_string() }
}

/// Check 29.
///
/// What a process can reach of the runtime is what it was executed from (CVE-2019-5736): a file on a mount of the container's own, which
/// is the container's, or one that nobody can write.
pub(super) fn runtime(scene: &Scene<'_>, sheet: &mut Sheet) {
    const PART: &str = "program";
    if scene.shares(Namespaces::MOUNT) {
        return sheet.unchecked(PART, None, "its mounts are the host's (check 1)");
    }
    let opened = match told(scene.procfs.open_link(scene.subject(), "exe")) {
        Ok(opened) => opened,
        Err(why) => return sheet.unchecked(PART, None, why),
    };
    let asked = Some("not the runtime's, or not writable".to_owned());
    match is_inside(scene, "exe") {
        Err(why) => sheet.unchecked(PART, asked, why),
        Ok(true) => {
            sheet.holds(PART, asked, "the container's own");
        }
        Ok(false) => {
            let path = scene.procfs.read_link(scene.subject(), "exe").map(|path| text(&path)).unwrap_or_default();
            let read_only =
                rustix::fs::fstatvfs(&opened).is_ok_and(|found| found.f_flag.contains(StatVfsMountFlags::RDONLY));
            if read_only || is_sealed(scene, &opened) {
                sheet.holds(PART, asked, "the runtime's, which cannot be written").because(path);
            } else {
                let finding = sheet.weaker(PART, "not the runtime's, or not writable", "a file of the host's");
                finding.because(path).exposing([exposure::RUNTIME_REACHABLE]);
            }
        }
    }
}

/// Whether it is memory that is sealed against writing (`memfd_create(2)`).
fn is_sealed(scene: &Scene<'_>, opened: &OwnedFd) -> bool {
    let readable = scene.procfs.reopen(opened, rustix::fs::OFlags::RDONLY);
    let seals = readable.ok().and_then(|fd| rustix::fs::fcntl_get_seals(fd).ok());
    seals.is_some_and(|seals| seals.contains(rustix::fs::SealFlags::WRITE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_engines() {
        for (name, expected) in [
            ("STOCKADE_X", true),
            ("NOTIFY_SOCKET", true),
            ("NOTIFY_SOCKETS", false),
            ("_LIBCONTAINER_INITPIPE", true),
            ("PATH", false),
        ] {
            assert_eq!(is_engines(name.as_bytes()), expected, "{name}");
        }
        assert_eq!(name_of(b"A=b=c"), b"A");
    }
}
