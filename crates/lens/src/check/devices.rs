//! Which devices its control groups let it open, and which nodes stand in its `/dev`.

use std::path::Path;

use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, Dir, FileType, OFlags, statat};
use rustix::io::Errno;
use stockade_cgroups::DeviceFilter;
use stockade_cgroups::model::{Access, DeviceKind, DeviceRule, DeviceRules};
use stockade_kernel::namespace::Namespaces;
use stockade_spec::DeviceType;

use crate::exposure::{self, Exposure};
use crate::finding::{Sheet, Wall};
use crate::scene::{Scene, text};

/// A device that is tried: name, major and minor number, and what opening it exposes.
type Tried = (&'static str, u32, u32, &'static Exposure);

/// Character devices of the host that no container needs unasked (`Documentation/admin-guide/devices.txt`).
const TRIED: &[Tried] = &[
    ("mem", 1, 1, exposure::MEMORY_DEVICE),
    ("kmem", 1, 2, exposure::MEMORY_DEVICE),
    ("port", 1, 4, exposure::MEMORY_DEVICE),
    ("kmsg", 1, 11, exposure::DEVICE),
    ("tty0", 4, 0, exposure::DEVICE),
    ("ttyS0", 4, 64, exposure::DEVICE),
    ("watchdog", 10, 130, exposure::DEVICE),
    ("nvram", 10, 144, exposure::DEVICE),
    ("vfio", 10, 196, exposure::DEVICE),
    ("uinput", 10, 223, exposure::DEVICE),
    ("fuse", 10, 229, exposure::DEVICE),
    ("kvm", 10, 232, exposure::DEVICE),
    ("loop-control", 10, 237, exposure::DEVICE),
    ("vhost-net", 10, 238, exposure::DEVICE),
    ("event0", 13, 64, exposure::DEVICE),
    ("sg0", 21, 0, exposure::DISK_DEVICE),
    ("msr", 202, 0, exposure::MEMORY_DEVICE),
    ("dri", 226, 0, exposure::DEVICE),
];

/// Check 14.
pub(super) fn filter(scene: &Scene<'_>, sheet: &mut Sheet) {
    const PART: &str = "filter";
    let found = match &scene.devices {
        Ok(found) => found,
        Err(why) => return sheet.unchecked(PART, None, why),
    };
    let rules = scene.linux().and_then(|linux| linux.resources.as_ref()).map(|resources| rules(&resources.devices));
    let rules = match rules.transpose() {
        Ok(rules) => rules.flatten(),
        Err(why) => return sheet.unchecked(PART, None, why),
    };
    if *found == DeviceFilter::Nothing {
        let wanted = scene.asked.map(|_| rules.is_some());
        let asked = wanted.map(|wanted| if wanted { "a filter" } else { "no filter" }.to_owned());
        let wall = Wall { wanted, asked, found: "no filter".to_owned(), stands: false };
        sheet.judge(PART, wall).exposing(scene.shares_users().then_some(exposure::NO_DEVICE_FILTER));
        return;
    }
    let mut tries: Vec<(String, DeviceKind, u32, u32, &'static Exposure)> = TRIED
        .iter()
        .map(|&(name, major, minor, exposure)| (name.to_owned(), DeviceKind::Character, major, minor, exposure))
        .collect();
    let disk = |(name, major, minor): &(String, u32, u32)| {
        (name.clone(), DeviceKind::Block, *major, *minor, exposure::DISK_DEVICE)
    };
    tries.extend(scene.ground.disks().iter().map(disk));
    let before = sheet.0.len();
    for (name, kind, major, minor, exposure) in &tries {
        let open = |allows: &dyn Fn(Access) -> Option<bool>| match (allows(Access::READ), allows(Access::WRITE)) {
            (Some(read), Some(write)) => Some(read || write),
            _ => None,
        };
        let Some(opened) = open(&|access| found.allows(*kind, *major, *minor, access)) else {
            return sheet.unchecked(PART, None, "a program of somebody else's has instructions that are unknown here");
        };
        let wanted = rules.as_ref().and_then(|rules| open(&|access| Some(rules.allows(*kind, *major, *minor, access))));
        if opened {
            let asked = wanted.map(|open| if open { "allowed" } else { "denied" });
            let finding = match asked {
                Some(asked @ "denied") => sheet.weaker(name, asked, "allowed"),
                asked => sheet.absent(name, asked.map(str::to_owned), "allowed"),
            };
            finding.because(format!("{major}:{minor}")).exposing(scene.shares_users().then_some(*exposure));
        }
    }
    let open = sheet.0.len() - before;
    if open == 0 {
        let asked = rules.is_some().then(|| format!("denies {} of {} devices of the host", tries.len(), tries.len()));
        sheet.holds(PART, asked, format!("denies {} of {} devices of the host", tries.len(), tries.len()));
    }
}

/// OCI's rules as the room has them; `None` where there are none.
fn rules(asked: &[stockade_spec::DeviceRule]) -> Result<Option<DeviceRules>, String> {
    let number = |number: Option<i64>| match number {
        None | Some(-1) => Ok(None),
        Some(number) => u32::try_from(number).map(Some).map_err(|error| format!("device number {number}: {error}")),
    };
    let rule = |rule: &stockade_spec::DeviceRule| {
        let kind = match rule.kind {
            None | Some(DeviceType::All) => DeviceKind::All,
            Some(DeviceType::Block) => DeviceKind::Block,
            Some(DeviceType::Character | DeviceType::Unbuffered) => DeviceKind::Character,
            Some(DeviceType::Fifo) => return Err("a device rule about pipes".to_owned()),
        };
        let access = match rule.access.as_deref() {
            None | Some("") => Access::all(),
            Some(text) => Access::parse(text).map_err(|error| error.to_string())?,
        };
        let (major, minor) = (number(rule.major)?, number(rule.minor)?);
        Ok(DeviceRule { allow: rule.allow, kind, major, minor, access })
    };
    let rules = asked.iter().map(rule).collect::<Result<Vec<_>, _>>()?;
    if rules.is_empty() {
        return Ok(None);
    }
    DeviceRules::new(rules).map(Some).map_err(|error| error.to_string())
}

/// What every container has, by name, with major and minor number.
const USUAL: [(&str, u32, u32); 8] = [
    ("null", 1, 3),
    ("zero", 1, 5),
    ("full", 1, 7),
    ("random", 1, 8),
    ("urandom", 1, 9),
    ("tty", 5, 0),
    ("ptmx", 5, 2),
    ("console", 5, 1),
];

/// Majors of the slaves of pseudo-terminals (`UNIX98_PTY_SLAVE_MAJOR`).
const TERMINALS: std::ops::RangeInclusive<u32> = 136..=143;

/// The most nodes that are told of one by one, and how deep folders are searched.
const MOST: usize = 8;
const DEEPEST: usize = 3;

/// Check 15.
pub(super) fn nodes(scene: &Scene<'_>, sheet: &mut Sheet) {
    if scene.shares(Namespaces::MOUNT) {
        return sheet.unchecked("nodes", None, "its /dev is the host's (check 1)");
    }
    let mut found = Vec::new();
    if let Err(why) = collect(scene, "/dev", DEEPEST, &mut found) {
        return sheet.unchecked("nodes", None, why);
    }
    let asked = scene.linux().map(|linux| linux.devices.as_slice());
    let mut strange = Vec::new();
    for node in &found {
        let name = node.path.strip_prefix("/dev/").unwrap_or(&node.path);
        let usual = USUAL.iter().find(|(usual, ..)| *usual == name);
        let terminal = name == "console" && TERMINALS.contains(&node.major);
        let right =
            usual.is_some_and(|(_, major, minor)| node.is_character && (node.major, node.minor) == (*major, *minor));
        let wanted = asked.is_some_and(|asked| {
            asked.iter().any(|one| {
                one.path == Path::new(&node.path)
                    && one.major == Some(node.major.into())
                    && one.minor == Some(node.minor.into())
            })
        });
        if !right && !terminal && !wanted {
            strange.push((node, usual));
        }
    }
    for (node, usual) in strange.iter().take(MOST) {
        let kind = if node.is_character { "c" } else { "b" };
        let now = format!("{kind} {}:{}", node.major, node.minor);
        let right = usual.map(|(_, major, minor)| format!("c {major}:{minor}"));
        match (asked.is_some(), right) {
            (_, Some(right)) => sheet.weaker(&node.path, right, now),
            (true, None) => sheet.weaker(&node.path, "no such node", now),
            (false, None) => sheet.absent(&node.path, None, now),
        }
        .exposing([exposure::DEVICE_NODE]);
    }
    match strange.len() {
        0 => {
            sheet.holds("nodes", asked.map(|_| "those asked for".to_owned()), "those asked for");
        }
        many if many > MOST => {
            sheet.absent("more", None, format!("{} more", many - MOST));
        }
        _ => {}
    }
}

/// A node in /dev.
struct Node {
    path: String,
    is_character: bool,
    major: u32,
    minor: u32,
}

/// The most entries of all folders together: a container can fill its /dev.
const MOST_ENTRIES: usize = 4096;

/// Collects the device nodes below `folder`; terminals of a devpts are not told.
fn collect(scene: &Scene<'_>, folder: &str, depth: usize, found: &mut Vec<Node>) -> Result<(), String> {
    let Some(opened) = scene.open(folder)? else { return Ok(()) };
    for name in entries(scene, &opened)? {
        let path = format!("{folder}/{name}");
        if !scene.may_look_at(&path) {
            continue;
        }
        // Links are not followed: what they lead to stands elsewhere.
        let stat = match statat(&opened, &name, AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT) {
            Ok(stat) => stat,
            Err(Errno::NOENT) => continue,
            Err(errno) => return Err(format!("{path}: {errno}")),
        };
        let kind = FileType::from_raw_mode(stat.st_mode);
        match kind {
            FileType::CharacterDevice | FileType::BlockDevice => {
                let (major, minor) = (rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev));
                found.push(Node {
                    path: text(path.as_bytes()),
                    is_character: kind == FileType::CharacterDevice,
                    major,
                    minor,
                });
            }
            FileType::Directory if depth > 1 && !matches!(path.as_str(), "/dev/pts" | "/dev/shm" | "/dev/mqueue") => {
                collect(scene, &path, depth - 1, found)?;
            }
            _ => {}
        }
        if found.len() > MOST_ENTRIES {
            return Err("there are more than 4096 device nodes".to_owned());
        }
    }
    Ok(())
}

/// The names in a folder that was opened for looking at; those that are no text are left out.
fn entries(scene: &Scene<'_>, folder: &OwnedFd) -> Result<Vec<String>, String> {
    let readable =
        scene.procfs.reopen(folder, OFlags::RDONLY | OFlags::DIRECTORY).map_err(|error| error.to_string())?;
    let mut names = Vec::new();
    for entry in Dir::new(readable).map_err(|errno| errno.to_string())? {
        let entry = entry.map_err(|errno| errno.to_string())?;
        if let Ok(name) = entry.file_name().to_str()
            && !matches!(name, "." | "..")
        {
            names.push(name.to_owned());
        }
        if names.len() > MOST_ENTRIES {
            return Err("a folder in /dev has more than 4096 entries".to_owned());
        }
    }
    names.sort_unstable();
    Ok(names)
}
