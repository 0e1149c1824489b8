//! Files: read-only, hidden, of others, or devices.

use std::path::Path;

use super::ways::Flags;
use super::{Attempt, Certainty, Denial, Device, EACCES, EINVAL, ENOENT, EPERM, EROFS, Wall, Walls, denial};
use crate::exposure;

/// Judges by the path of the call.
pub(super) fn judge(walls: &Walls, attempt: &Attempt) -> Option<Denial> {
    match attempt.errno {
        EROFS => read_only(walls, attempt),
        // Permissions are asked before the mount, and both say no to who would write.
        EACCES | EPERM if writes(attempt) && attempt.path.as_ref().is_some_and(|path| is_kernels(walls, path)) => {
            read_only(walls, attempt)
        }
        ENOENT => hidden(walls, attempt).or_else(|| device(attempt)),
        EINVAL => unmapped_id(walls, attempt),
        EPERM if opens(attempt) && asked_for_nothing(attempt) => device(attempt),
        EPERM if asked_for_nothing(attempt) => new_proc(walls, attempt),
        _ => None,
    }
}

/// Calls that open.
fn opens(attempt: &Attempt) -> bool {
    matches!(attempt.name(), "open" | "openat" | "openat2" | "creat")
}

/// Whether it opens for writing (`O_WRONLY` or `O_RDWR`).
fn writes(attempt: &Attempt) -> bool {
    let flags = match attempt.name() {
        "open" => attempt.arguments[1],
        "openat" => attempt.arguments[2],
        _ => return attempt.name() == "creat",
    };
    flags & 3 != 0
}

/// Whether it is below what is read-only of the kernel's files.
fn is_kernels(walls: &Walls, path: &Path) -> bool {
    walls.readonly.iter().any(|kernels| path.starts_with(kernels))
}

/// A file system that cannot be written.
fn read_only(walls: &Walls, attempt: &Attempt) -> Option<Denial> {
    let Some(path) = attempt.path.as_deref() else { return Some(somewhere(walls, attempt)) };
    if let Some(kernels) = walls.readonly.iter().find(|kernels| path.starts_with(kernels)) {
        let mut denial = denial(attempt, Wall::ReadOnlyPath, Certainty::Known);
        denial.because.push(format!("{} is read-only in it", kernels.display()));
        let setting = path.strip_prefix("/proc/sys").ok().filter(|rest| of_namespace(rest));
        if let Some(rest) = setting {
            let name = rest.display().to_string().replace('/', ".");
            denial.because.push("it is a setting of its own namespaces, which can be given".to_owned());
            denial.ways.push(Flags::default().and(format!("--sysctl {name}=VALUE"), exposure::CHANGED_SYSCTL).way());
        } else {
            denial.ways.push(paths_open(walls));
        }
        return Some(denial);
    }
    let mount = walls
        .mounts
        .iter()
        .filter(|mount| path.starts_with(&mount.point))
        .max_by_key(|mount| mount.point.as_os_str().len());
    let Some(mount) = mount.filter(|mount| mount.point != Path::new("/")) else {
        if walls.root_read_only {
            return Some(root(attempt, Certainty::Known));
        }
        // What is writable denies nothing: it was another path, by a link, or one that was read too late.
        return Some(somewhere(walls, &Attempt { path: None, ..attempt.clone() }));
    };
    if !mount.read_only {
        return None;
    }
    let point = mount.point.display();
    let mut denial = denial(attempt, Wall::ReadOnlyMount, Certainty::Known);
    denial.because.push(format!("{point} is mounted read-only"));
    let flags = Flags::default();
    denial.ways.push(match &mount.source {
        Some(source) => flags.and(format!("-v {}:{point}", source.display()), exposure::WRITABLE_HOST_FOLDER).way(),
        None if mount.point.starts_with("/sys/fs/cgroup") => {
            flags.and("--security-opt writable-cgroups", exposure::WRITABLE_KERNEL_FILES).way()
        }
        None => flags.and("--privileged", exposure::WRITABLE_KERNEL_FILES).way(),
    });
    Some(denial)
}

/// Whether a setting is of a namespace that a container has its own of.
fn of_namespace(setting: &Path) -> bool {
    let ipc = ["kernel/msg", "kernel/sem", "kernel/shm", "fs/mqueue"];
    let text = setting.to_string_lossy();
    setting.starts_with("net") || ipc.iter().any(|beginning| text.starts_with(beginning))
}

/// The flag that shows and opens the kernel's files; those of the host need its root.
fn paths_open(walls: &Walls) -> crate::explain::Way {
    let flags = Flags::default().and("--security-opt systempaths=unconfined", exposure::WRITABLE_KERNEL_FILES);
    if walls.own_users { flags.host_users().way() } else { flags.way() }
}

/// A file of which it is not known any more where it was.
fn somewhere(walls: &Walls, attempt: &Attempt) -> Denial {
    if walls.root_read_only {
        return root(attempt, Certainty::Inferred);
    }
    let mut denial = denial(attempt, Wall::ReadOnlyPath, Certainty::Inferred);
    let paths: Vec<String> = walls.readonly.iter().map(|path| path.display().to_string()).collect();
    denial
        .because
        .push(format!("which file is not known any more; read-only in it are {}, and mounts", paths.join(", ")));
    denial.ways.push(paths_open(walls));
    denial
}

/// The read-only root.
fn root(attempt: &Attempt, certainty: Certainty) -> Denial {
    let mut denial = denial(attempt, Wall::ReadOnlyRoot, certainty);
    denial.because.push("--read-only was asked for".to_owned());
    let folder = attempt.path.as_deref().and_then(Path::parent).filter(|folder| *folder != Path::new("/"));
    denial.ways.push(match folder {
        Some(folder) => Flags::default().and(format!("--tmpfs {}", folder.display()), exposure::WRITABLE_ROOT).way(),
        None => Flags::default().and("--read-only=false", exposure::WRITABLE_ROOT).way(),
    });
    denial
}

/// What is hidden reads as nothing.
pub(super) fn hidden(walls: &Walls, attempt: &Attempt) -> Option<Denial> {
    let path = attempt.path.as_deref().filter(|_| opens(attempt))?;
    let masked = walls.masked.iter().find(|masked| path.starts_with(masked))?;
    let mut denial = denial(attempt, Wall::MaskedPath, Certainty::Known);
    denial.because.push(format!("{} is hidden in it", masked.display()));
    let flags = Flags::default().and("--security-opt systempaths=unconfined", exposure::UNMASKED);
    // What only root may read is the host's root's.
    denial.ways.push(flags.way());
    Some(denial)
}

/// Whether the kernel told that no capability was asked for in vain.
fn asked_for_nothing(attempt: &Attempt) -> bool {
    attempt.checked.as_ref().is_none_or(Vec::is_empty)
}

/// A device that the container was not given: the host has it where it was looked for, or a file of it was made in the container.
fn device(attempt: &Attempt) -> Option<Denial> {
    let device = attempt.file.device.as_ref().filter(|_| opens(attempt))?;
    let mut denial = denial(attempt, Wall::Device, Certainty::Known);
    let (because, word) = match device {
        Device::OfHost(path) => (
            format!("the host has this device as {}, and the container was not given it", path.display()),
            format!("--device {}", path.display()),
        ),
        Device::Unnamed(numbers) => (
            format!("the container was not given the device {numbers}"),
            format!("--device-cgroup-rule '{numbers} rwm'"),
        ),
    };
    denial.because.push(because);
    denial.ways.push(Flags::default().and(word, exposure::DEVICE).way());
    Some(denial)
}

/// `MS_REMOUNT`, `MS_BIND`, `MS_MOVE` and what is changed of mounts only: no new file system is mounted.
const OF_MOUNTS: u64 = 0x20 | 0x1000 | 0x2000 | 0x20000 | 0x40000 | 0x80000 | 0x10_0000;
/// The beginning of the name of the file system `proc`, with its end.
const PROC: [u8; 5] = *b"proc\0";

/// A new `/proc` in a user namespace that the container made: it would show what is hidden in the container's own (`mount_too_revealing` in
/// the kernel's `fs/namespace.c`), which asks for no capability.
fn new_proc(walls: &Walls, attempt: &Attempt) -> Option<Denial> {
    let kind = attempt.numbers.map(|[name, _]| name.to_ne_bytes());
    let certainty = match (attempt.name(), kind) {
        ("mount", Some(name)) if attempt.arguments[3] & OF_MOUNTS == 0 && name.starts_with(&PROC) => Certainty::Known,
        // Which file system it is was said before, or is not known any more: nothing else denies one without asking for a capability.
        ("mount", None) if attempt.arguments[3] & OF_MOUNTS == 0 && attempt.checked.is_some() => Certainty::Inferred,
        ("fsmount", _) if attempt.checked.is_some() => Certainty::Inferred,
        _ => return None,
    };
    let hidden = walls.masked.iter().chain(&walls.readonly).filter(|path| path.starts_with("/proc")).count();
    if hidden == 0 {
        return None;
    }
    let mut denial = denial(attempt, Wall::MaskedPath, certainty);
    denial
        .because
        .push(format!("a new /proc would show what is hidden or read-only in the container's, {hidden} paths"));
    let flags = Flags::default().and("--security-opt systempaths=unconfined", exposure::UNMASKED);
    denial.ways.push(flags.way());
    Some(denial)
}

/// The arguments of calls that are ids, by their places: of users, and of groups.
const IDS: &[(&str, &[usize], &[usize])] = &[
    ("chown", &[1], &[2]),
    ("lchown", &[1], &[2]),
    ("fchown", &[1], &[2]),
    ("fchownat", &[2], &[3]),
    ("setuid", &[0], &[]),
    ("setreuid", &[0, 1], &[]),
    ("setresuid", &[0, 1, 2], &[]),
    ("setgid", &[], &[0]),
    ("setregid", &[], &[0, 1]),
    ("setresgid", &[], &[0, 1, 2]),
];

/// An id that the container's user namespace has not.
fn unmapped_id(walls: &Walls, attempt: &Attempt) -> Option<Denial> {
    let (_, users, groups) = IDS.iter().find(|(name, ..)| *name == attempt.name())?;
    // -1 leaves an id as it is.
    let id = |place: &usize| Some(attempt.arguments[*place] as u32).filter(|id| *id != u32::MAX);
    let user = users.iter().filter_map(id).find(|id| walls.users.outside(*id).is_none());
    let group = groups.iter().filter_map(id).find(|id| walls.groups.outside(*id).is_none());
    let missing = user.map(|id| format!("user {id}")).or_else(|| group.map(|id| format!("group {id}")))?;
    let mut denial = denial(attempt, Wall::UserNamespace, Certainty::Known);
    denial.because.push(format!("there is no {missing} among those that the container has"));
    denial.ways.push(Flags::default().host_users().way());
    Some(denial)
}

/// A file whose owner the container's user namespace has not: its root is anybody there.
pub(super) fn unmapped(walls: &Walls, attempt: &Attempt) -> Option<Denial> {
    let owner = attempt.file.owner?;
    let denies = matches!(attempt.errno, EPERM | EACCES) && attempt.is_root.unwrap_or(walls.is_root);
    if !denies || !walls.own_users || walls.users.inside(owner).is_some() {
        return None;
    }
    let mut denial = denial(attempt, Wall::UserNamespace, Certainty::Inferred);
    denial.because.push(format!("it belongs to user {owner} of the host, who is nobody in the container"));
    denial.ways.push(Flags::default().host_users().way());
    Some(denial)
}

/// A program that would have changed who executes it.
pub(super) fn without_privileges(walls: &Walls, attempt: &Attempt) -> Option<Denial> {
    if !walls.no_new_privileges || !attempt.file.raises || !matches!(attempt.name(), "execve" | "execveat") {
        return None;
    }
    let mut denial = denial(attempt, Wall::NoNewPrivileges, Certainty::Known);
    "went through without what the file gives".clone_into(&mut denial.ended);
    denial
        .because
        .push("its set-user-id bit or file capabilities count only where new privileges are allowed".to_owned());
    let flags = Flags::default().and("--security-opt no-new-privileges=false", exposure::NEW_PRIVILEGES);
    denial.ways.push(flags.way());
    Some(denial)
}
