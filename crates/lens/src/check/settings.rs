//! Settings of its network, IPC and UTS namespaces, read from inside of these.

use stockade_kernel::namespace::{Namespaces, inside};

use crate::exposure;
use crate::finding::Sheet;
use crate::scene::{Read, Scene, text};

/// Check 23.
pub(super) fn look(scene: &Scene<'_>, sheet: &mut Sheet) {
    let Some(linux) = scene.linux() else {
        return sheet.unchecked("sysctls", None, "it is not known which were asked for");
    };
    if linux.sysctl.is_empty() {
        sheet.holds("sysctls", Some("none".to_owned()), "none");
    }
    for (name, wanted) in &linux.sysctl {
        let wanted = words(wanted);
        match read(scene, name) {
            Err(why) => sheet.unchecked(name, Some(wanted), why),
            Ok(found) if words(&found) == wanted => {
                sheet.holds(name, Some(wanted.clone()), wanted);
            }
            Ok(found) if is_part(name, &words(&found), &wanted) => {
                sheet.holds(name, Some(wanted), words(&found));
            }
            Ok(found) => {
                sheet.weaker(name, wanted, words(&found)).exposing([exposure::CHANGED_SYSCTL]);
            }
        }
    }
}

/// Whether a range of groups is a part of the one that was asked for: then less is allowed.
fn is_part(name: &str, found: &str, wanted: &str) -> bool {
    let range = |text: &str| {
        let (first, last) = text.split_once(' ')?;
        Some((first.parse::<u64>().ok()?, last.parse::<u64>().ok()?))
    };
    let is_range = place(name).is_some_and(|(path, ..)| path == GROUPS);
    match (range(found), range(wanted)) {
        (Some(found), Some(wanted)) => is_range && wanted.0 <= found.0 && found.1 <= wanted.1,
        _ => false,
    }
}

/// Single blanks between the words.
fn words(value: &str) -> String {
    value.split_ascii_whitespace().collect::<Vec<_>>().join(" ")
}

/// Its path below `/proc/sys`, and the kind of namespace that it belongs to. In a name the first of `.` and `/` parts it, and the other
/// one stands for what the first would be (`sysctl.d(5)`).
fn place(name: &str) -> Option<(String, Namespaces, &'static str)> {
    let dotted = name.find(['.', '/']).is_some_and(|at| name[at..].starts_with('.'));
    let path: String = if dotted {
        name.chars()
            .map(|sign| {
                if sign == '.' {
                    '/'
                } else if sign == '/' {
                    '.'
                } else {
                    sign
                }
            })
            .collect()
    } else {
        name.to_owned()
    };
    if path.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return None;
    }
    let ipc = ["kernel/msg", "kernel/sem", "kernel/shm", "fs/mqueue/"];
    let (kind, file) = match path.as_str() {
        path if path.starts_with("net/") => (Namespaces::NET, "net"),
        path if ipc.iter().any(|beginning| path.starts_with(beginning)) => (Namespaces::IPC, "ipc"),
        "kernel/hostname" | "kernel/domainname" => (Namespaces::UTS, "uts"),
        _ => return None,
    };
    Some((path, kind, file))
}

/// The value in its namespaces.
fn read(scene: &Scene<'_>, name: &str) -> Read<String> {
    let Some((path, kind, file)) = place(name) else { return Err("it belongs to no namespace".to_owned()) };
    let target = scene.procfs.open_namespace(scene.subject(), file).map_err(|error| error.to_string())?;
    let found = inside(target, kind, || scene.procfs.read_at(&format!("sys/{path}")));
    let found = found.map_err(|error| stockade_kernel::chain::chain(&error))?;
    let value = found.map(|value| words(&String::from_utf8_lossy(&value))).map_err(|error| error.to_string())?;
    Ok(if path == GROUPS { groups(scene, &value)? } else { text(value.as_bytes()) })
}

/// The setting whose values are groups, which the kernel shows as the reader's user namespace knows them.
const GROUPS: &str = "net/ipv4/ping_group_range";

/// The groups as the container knows them.
fn groups(scene: &Scene<'_>, value: &str) -> Read<String> {
    let maps = &scene.namespaces.as_ref().map_err(Clone::clone)?.maps;
    let one = |word: &str| {
        let group = word.parse().ok().and_then(|group| maps.groups.inside(group));
        group.map_or_else(|| word.to_owned(), |group| group.to_string())
    };
    Ok(text(value.split(' ').map(one).collect::<Vec<_>>().join(" ").as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_paths() {
        let path = |name| place(name).map(|(path, kind, _)| (path, kind));
        assert_eq!(path("net.ipv4.ip_forward"), Some(("net/ipv4/ip_forward".to_owned(), Namespaces::NET)));
        assert_eq!(path("net/ipv4/conf/a.b/x"), Some(("net/ipv4/conf/a.b/x".to_owned(), Namespaces::NET)));
        assert_eq!(path("net.ipv4.conf.a/b.x"), Some(("net/ipv4/conf/a.b/x".to_owned(), Namespaces::NET)));
        assert_eq!(path("kernel.shmmax").map(|found| found.1), Some(Namespaces::IPC));
        assert_eq!(path("kernel.core_pattern"), None);
        assert_eq!(path("net/../kernel"), None);
        let groups = |found, wanted| is_part("net.ipv4.ping_group_range", found, wanted);
        assert!(groups("0 9", "0 99") && !groups("0 99", "0 9") && !is_part("net.ipv4.tcp_rmem", "0 9", "0 99"));
        assert_eq!(words(" 0\t2147483647\n"), "0 2147483647");
    }
}
