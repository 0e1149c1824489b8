//! Settings of its network, IPC and UTS namespaces, read from inside of these.

use std::collections::BTreeMap;

use stockade_kernel::chain::chain;
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
    let mut values = values(scene, linux.sysctl.keys());
    for (name, wanted) in &linux.sysctl {
        let wanted = words(wanted);
        match values.remove(name.as_str()).unwrap_or_else(|| Err("it was not read".to_owned())) {
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

/// A kind of namespace, and the settings that are wanted of it: name and path.
type Wanted<'n> = (Namespaces, Vec<(&'n str, String)>);

/// The values of these settings, each in its namespace; each namespace is entered once.
fn values<'n>(scene: &Scene<'_>, names: impl Iterator<Item = &'n String>) -> BTreeMap<&'n str, Read<String>> {
    let mut found = BTreeMap::new();
    let mut wanted: BTreeMap<&str, Wanted<'n>> = BTreeMap::new();
    for name in names {
        match place(name) {
            Some((path, kind, file)) => wanted.entry(file).or_insert((kind, Vec::new())).1.push((name, path)),
            None => drop(found.insert(name.as_str(), Err("it belongs to no namespace".to_owned()))),
        }
    }
    for (file, (kind, names)) in wanted {
        let read = || -> Vec<std::io::Result<Vec<u8>>> {
            names.iter().map(|(_, path)| scene.procfs.read_at(&format!("sys/{path}"))).collect()
        };
        let target = scene.procfs.open_namespace(scene.subject(), file).map_err(|error| error.to_string());
        let inside = target.and_then(|target| inside(target, kind, read).map_err(|error| chain(&error)));
        match inside {
            Err(why) => found.extend(names.into_iter().map(|(name, _)| (name, Err(why.clone())))),
            Ok(values) => {
                let told = |((name, path), value): ((&'n str, String), _)| (name, value_of(scene, &path, value));
                found.extend(names.into_iter().zip(values).map(told));
            }
        }
    }
    found
}

/// A value as it was read.
fn value_of(scene: &Scene<'_>, path: &str, value: std::io::Result<Vec<u8>>) -> Read<String> {
    let value = value.map(|value| words(&String::from_utf8_lossy(&value))).map_err(|error| error.to_string())?;
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
