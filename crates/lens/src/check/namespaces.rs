//! Which namespaces are its own, and whose its users are.

use stockade_kernel::namespace::Namespaces;
use stockade_kernel::procfs::Subject;
use stockade_namespaces::{IdMap, KINDS, setgroups};
use stockade_spec::{IdMapping, NamespaceType};

use crate::exposure::{self, Exposure};
use crate::finding::{Sheet, Wall};
use crate::scene::Scene;

/// What sharing a kind with the host exposes, by the kind's name below `/proc/PID/ns`, and the kind in OCI's words.
const KIND: [(&str, NamespaceType, &Exposure); 8] = [
    ("cgroup", NamespaceType::Cgroup, exposure::HOST_CGROUP),
    ("ipc", NamespaceType::Ipc, exposure::HOST_IPC),
    ("mnt", NamespaceType::Mount, exposure::HOST_MOUNT),
    ("net", NamespaceType::Network, exposure::HOST_NETWORK),
    ("pid", NamespaceType::Pid, exposure::HOST_PID),
    ("time", NamespaceType::Time, exposure::HOST_TIME),
    ("user", NamespaceType::User, exposure::HOST_USERS),
    ("uts", NamespaceType::Uts, exposure::HOST_UTS),
];

const OWN: &str = "own";
const HOSTS: &str = "the host's";
/// That of an ordinary user's containers, which is no host's.
const USERS: &str = "the user's";

/// Check 1.
pub(super) fn kinds(scene: &Scene<'_>, sheet: &mut Sheet) {
    let found = match &scene.namespaces {
        Ok(found) => found,
        Err(why) => return sheet.unchecked("all", None, why),
    };
    let inode =
        |list: &[(Namespaces, u64)], kind| list.iter().find(|(other, _)| *other == kind).map(|(_, inode)| *inode);
    for ((kind, name), (_, oci, exposure)) in KINDS.into_iter().zip(KIND) {
        let wanted = scene.asked.map(|asked| asked.namespace(oci));
        let Some(theirs) = inode(&found.inodes, kind) else {
            if wanted.flatten().is_some() {
                sheet.weaker(name, OWN, "the kernel has no such namespaces");
            }
            continue;
        };
        let own = Some(theirs) != inode(&scene.host.inodes, kind);
        let of_user = kind == Namespaces::USER && scene.of_a_user();
        let others = if of_user { USERS } else { HOSTS };
        let exposure = (!of_user).then_some(exposure);
        let now = if own { OWN } else { others };
        match wanted {
            Some(Some(joined)) if !joined.path.as_os_str().is_empty() => {
                let asked = format!("that of {}", joined.path.display());
                match rustix::fs::stat(&joined.path) {
                    Ok(stat) if stat.st_ino == theirs => {
                        sheet.holds(name, Some(asked.clone()), asked);
                    }
                    Ok(_) => {
                        sheet.weaker(name, asked, format!("another: {now}")).exposing(exposed(own, exposure));
                    }
                    // The file that named it is gone; whether it is that one is not told by anything else.
                    Err(_) if own => sheet.unchecked(name, Some(asked), "the file that named it is gone"),
                    Err(_) => {
                        sheet.weaker(name, asked, now).exposing(exposure);
                    }
                }
            }
            wanted => {
                let asked = wanted.map(|wanted| if wanted.is_some() { OWN } else { others }.to_owned());
                let wall = Wall { wanted: wanted.map(|one| one.is_some()), asked, found: now.to_owned(), stands: own };
                sheet.judge(name, wall).exposing(exposed(own, exposure));
            }
        }
    }
    children(scene, sheet);
}

/// Nothing for a namespace of its own.
fn exposed(own: bool, exposure: Option<&'static Exposure>) -> Option<&'static Exposure> {
    exposure.filter(|_| !own)
}

/// Where its next children will be: a process can be in its pid namespace and yet make children elsewhere.
fn children(scene: &Scene<'_>, sheet: &mut Sheet) {
    let read = |subject| scene.procfs.read_link(subject, "ns/pid_for_children").ok();
    let (theirs, hosts) = (read(scene.subject()), read(Subject::Myself));
    // A process without a pid namespace of its own is told of under `pid`.
    if theirs.is_some() && theirs == hosts && !scene.shares(Namespaces::PID) {
        sheet.weaker("pid_for_children", OWN, HOSTS).exposing([exposure::HOST_PID]);
    }
}

/// Check 2.
pub(super) fn maps(scene: &Scene<'_>, sheet: &mut Sheet) {
    let found = match &scene.namespaces {
        Ok(found) => found,
        Err(why) => return sheet.unchecked("users", None, why),
    };
    if scene.shares_users() {
        let wanted = scene.asked.map(|asked| asked.namespace(NamespaceType::User).is_some());
        let (shared, exposure) = match scene.of_a_user() {
            true => ("the ids of the user's namespace", None),
            false => ("the host's ids", Some(exposure::HOST_USERS)),
        };
        let asked = wanted.map(|wanted| if wanted { "ids of its own" } else { shared }.to_owned());
        let wall = Wall { wanted, asked, found: shared.to_owned(), stands: false };
        sheet.judge("users", wall).exposing(exposure);
        return;
    }
    let linux = scene.linux();
    for (part, map, asked) in [
        ("users", &found.maps.users, linux.map(|linux| linux.uid_mappings.as_slice())),
        ("groups", &found.maps.groups, linux.map(|linux| linux.gid_mappings.as_slice())),
    ] {
        one_map(sheet, part, map, asked.filter(|asked| !asked.is_empty()));
    }
    match setgroups(scene.procfs, scene.subject()) {
        Ok(true) => {
            sheet.holds("setgroups", None, "allowed, by whoever has CAP_SETGID in it");
        }
        Ok(false) => {
            sheet.holds("setgroups", None, "denied");
        }
        Err(error) => sheet.unchecked("setgroups", None, error.to_string()),
    }
}

/// One map, in the order of the ids inside.
fn one_map(sheet: &mut Sheet, part: &str, map: &IdMap, asked: Option<&[IdMapping]>) {
    let mut ranges: Vec<_> = map.ranges().iter().map(|range| (range.inside, range.outside, range.count)).collect();
    ranges.sort_unstable();
    let text = |ranges: &[(u32, u32, u32)]| match ranges {
        [] => "none".to_owned(),
        all => all.iter().map(|(a, b, c)| format!("{a}:{b}:{c}")).collect::<Vec<_>>().join(" "),
    };
    let host_root = ranges.iter().any(|(_, outside, _)| *outside == 0);
    let exposing = host_root.then_some(exposure::MAPPED_HOST_ROOT);
    let found = text(&ranges);
    match asked {
        None => {
            sheet.holds(part, None, found).exposing(exposing);
        }
        Some(asked) => {
            let mut wanted: Vec<_> = asked.iter().map(|one| (one.container_id, one.host_id, one.size)).collect();
            wanted.sort_unstable();
            match text(&wanted) {
                same if same == found => {
                    sheet.holds(part, Some(same), found).exposing(exposing);
                }
                asked => {
                    sheet.weaker(part, asked, found).exposing(exposing);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kinds_are_those_of_the_room() {
        for ((_, name), (other, ..)) in KINDS.into_iter().zip(KIND) {
            assert_eq!(name, other);
        }
    }
}
