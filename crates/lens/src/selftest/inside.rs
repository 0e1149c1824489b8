//! What this program does in the container of a case: it tries, and says `held: ...`, `broken: ...` or `unknown: ...`.
//!
//! It is no command for people. Nothing is written through what it manages to open.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;
use std::time::Duration;

use rustix::fs::{CWD, FileType, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{MountFlags, mount};
use stockade_kernel::procfs::{Procfs, Subject};
use stockade_kernel::seccomp::{Abi, Probe, probe};

/// The hidden command by which the container's program is this one.
pub const COMMAND: &str = "selftest-inside";
/// A variable that no container may have from outside, and no hook from a container.
pub(super) const MARKER: &str = "STOCKADE_SELFTEST_MARKER";
/// `AF_ALG` and `SOCK_SEQPACKET`.
const ALG: u64 = 38;
const SEQPACKET: u64 = 5;
/// `CLONE_NEWUSER`.
const NEW_USER: u64 = 0x1000_0000;

/// Does what the case is about; the line to be printed. `None` if there is no such command.
#[must_use]
pub fn attempt(words: &[String]) -> Option<String> {
    let said = match words {
        [word, path] if word == "tell-environment" => tell_environment(Path::new(path)),
        [word] => match word.as_str() {
            "walls" => Ok(held("it ran")),
            "sleep" => sleep(),
            "descriptors" => descriptors(),
            "environment" => Ok(environment()),
            "inheritable" => status("CapInh", |value| value.trim_matches('0').is_empty()),
            "unprivileged" => status("CapEff", |value| value.trim_matches('0').is_empty()),
            "user-one" => Ok(judged(rustix::process::getuid().as_raw() == 1, "it is user 1", "it is another user")),
            "masked" => masked(),
            "settings" => Ok(settings()),
            "release-agent" => Ok(release_agent()),
            "cgroups" => cgroups(),
            "unshare" => Ok(unshare()),
            "alg" => Ok(alg()),
            "abstract" => abstract_sockets(),
            "device" => Ok(device()),
            "mount" => Ok(mounting()),
            "cwd" => Ok(cwd()),
            "programs" => programs(),
            "streams" => Ok(streams()),
            _ => return None,
        },
        _ => return None,
    };
    Some(said.unwrap_or_else(|error| format!("unknown: {error}")))
}

fn held(why: impl std::fmt::Display) -> String {
    format!("held: {why}")
}

fn broken(why: impl std::fmt::Display) -> String {
    format!("broken: {why}")
}

fn judged(holds: bool, good: &str, bad: &str) -> String {
    if holds { held(good) } else { broken(bad) }
}

fn tell_environment(path: &Path) -> io::Result<String> {
    let names: Vec<String> = std::env::vars_os().map(|(name, _)| name.to_string_lossy().into_owned()).collect();
    std::fs::write(path, names.join("\n"))?;
    Ok(held("told"))
}

/// Until it is killed, or ten minutes have gone: nobody may forget it.
fn sleep() -> io::Result<String> {
    std::thread::sleep(Duration::from_secs(600));
    Ok(held("slept"))
}

fn descriptors() -> io::Result<String> {
    let mut strange = Vec::new();
    for entry in std::fs::read_dir("/proc/self/fd")? {
        let path = entry?.path();
        let number = path.file_name().and_then(|name| name.to_str()?.parse::<u32>().ok()).unwrap_or(0);
        // The listing's own is closed by now, or is the folder of this process.
        if let Ok(target) = std::fs::read_link(&path)
            && number > 2
            && !target.starts_with("/proc")
        {
            strange.push(format!("{number} is {}", target.display()));
        }
    }
    Ok(if strange.is_empty() { held("only the standard streams are open") } else { broken(strange.join(", ")) })
}

fn environment() -> String {
    let found = [MARKER, "LD_PRELOAD"].into_iter().find(|name| std::env::var_os(name).is_some());
    found.map_or_else(|| held("it has its own variables only"), |name| broken(format!("it has {name} of the caller's")))
}

fn status(key: &str, holds: impl Fn(&str) -> bool) -> io::Result<String> {
    let text = std::fs::read_to_string("/proc/self/status")?;
    let value = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':')).map(str::trim);
    let value = value.ok_or(io::ErrorKind::InvalidData)?;
    Ok(judged(holds(value), &format!("{key} is {value}"), &format!("{key} is {value}")))
}

/// What Docker hides of the kernel's files, as far as this kernel has it.
fn masked() -> io::Result<String> {
    let real = Procfs::host().is_ok_and(|procfs| procfs.read(Subject::Myself, "status").is_ok());
    if !real {
        return Ok(broken("what is at /proc is not the kernel's"));
    }
    let mut open = Vec::new();
    let mut looked = 0;
    for path in stockade_policy::defaults::masked_paths(0) {
        let path = Path::new(&path);
        let Ok(data) = std::fs::metadata(path) else { continue };
        looked += 1;
        let hidden = if data.is_dir() {
            std::fs::read_dir(path)?.next().is_none()
        } else {
            let kind = data.file_type();
            let (major, minor) = (rustix::fs::major(data.rdev()), rustix::fs::minor(data.rdev()));
            kind.is_char_device() && (major, minor) == (1, 3)
        };
        if !hidden {
            open.push(path.display().to_string());
        }
    }
    if looked == 0 {
        return Ok("unknown: this kernel has none of what is to be hidden".to_owned());
    }
    Ok(if open.is_empty() {
        held(format!("{looked} are hidden"))
    } else {
        broken(format!("{} can be read", open.join(", ")))
    })
}

/// Opened for writing only: nothing is written.
fn settings() -> String {
    let files = [
        "/proc/sys/kernel/core_pattern",
        "/proc/sys/kernel/modprobe",
        "/proc/sysrq-trigger",
        "/proc/sys/vm/drop_caches",
    ];
    let open: Vec<&str> = files.into_iter().filter(|path| OpenOptions::new().write(true).open(path).is_ok()).collect();
    if open.is_empty() {
        held("none can be opened for writing")
    } else {
        broken(format!("{} can be written", open.join(", ")))
    }
}

fn release_agent() -> String {
    for flags in [NEW_USER, 0x0200_0000] {
        if probe(Probe::Unshare, Abi::Native, [flags, 0, 0, 0, 0, 0]).is_ok() {
            return broken("new user or control group namespaces can be had");
        }
    }
    if std::fs::create_dir("/tmp/cgroup").is_ok()
        && mount("cgroup", "/tmp/cgroup", "cgroup", MountFlags::empty(), Some(c"memory")).is_ok()
    {
        return broken("a hierarchy of control groups can be mounted");
    }
    let reached = writable_below("/sys/fs/cgroup", "release_agent");
    reached.map_or_else(
        || held("neither unshare nor mount nor the file can be had"),
        |path| broken(format!("{path} can be written")),
    )
}

/// The first file of this name below `folder`, two levels deep, that can be opened for writing.
fn writable_below(folder: &str, name: &str) -> Option<String> {
    let mut folders = vec![Path::new(folder).to_owned()];
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        folders.push(entry.path());
    }
    let files = folders.into_iter().map(|folder| folder.join(name));
    files.filter(|path| OpenOptions::new().write(true).open(path).is_ok()).map(|path| path.display().to_string()).next()
}

fn cgroups() -> io::Result<String> {
    if !Path::new("/sys/fs/cgroup").is_dir() {
        return Ok("unknown: no control groups are mounted".to_owned());
    }
    let found = ["cgroup.procs", "tasks", "notify_on_release", "cgroup.subtree_control"]
        .into_iter()
        .find_map(|name| writable_below("/sys/fs/cgroup", name));
    Ok(found.map_or_else(|| held("none of them can be written"), |path| broken(format!("{path} can be written"))))
}

fn unshare() -> String {
    let high = NEW_USER | 1 << 40;
    for (abi, word) in [(Abi::Native, "native"), (Abi::X32, "x32"), (Abi::I386, "i386")] {
        for flags in [NEW_USER, high] {
            if probe(Probe::Unshare, abi, [flags, 0, 0, 0, 0, 0]).is_ok() {
                return broken(format!("unshare makes a user namespace by the {word} interface"));
            }
        }
    }
    held("unshare is refused by every interface")
}

fn alg() -> String {
    let interfaces = [(Abi::Native, "native"), (Abi::X32, "x32"), (Abi::I386, "i386")];
    for (abi, word) in interfaces {
        for (family, bits) in [(ALG, ""), (ALG | 1 << 32, " with upper bits")] {
            if probe(Probe::Socket, abi, [family, SEQPACKET, 0, 0, 0, 0]).is_ok() {
                return broken(format!("an AF_ALG socket by the {word} interface{bits}"));
            }
        }
    }
    held("no such socket by any interface")
}

fn abstract_sockets() -> io::Result<String> {
    let text = std::fs::read_to_string("/proc/net/unix")?;
    let found =
        text.lines().skip(1).filter(|line| line.split_whitespace().last().is_some_and(|name| name.starts_with('@')));
    let count = found.count();
    Ok(judged(count == 0, "none is in sight", &format!("{count} are in sight")))
}

/// Devices of the host's, major and minor number; the first two ask for no capability, so that only a device filter is in the way.
const DEVICES: [(u32, u32, &str); 4] = [(10, 229, "fuse"), (10, 237, "loop-control"), (1, 11, "kmsg"), (1, 1, "mem")];

/// None is read.
fn device() -> String {
    let mut refused = 0;
    for (major, minor, name) in DEVICES {
        let path = format!("/tmp/{name}");
        let number = rustix::fs::makedev(major, minor);
        let made = rustix::fs::mknodat(CWD, path.as_str(), FileType::CharacterDevice, Mode::RUSR, number);
        let flags = OFlags::RDONLY | OFlags::NONBLOCK;
        match made.and_then(|()| rustix::fs::open(path.as_str(), flags, Mode::empty())) {
            Ok(_) => return broken(format!("{name} of the host can be opened")),
            Err(Errno::PERM | Errno::ACCESS) => refused += 1,
            Err(_) => {}
        }
    }
    if refused > 0 { held("none can be opened") } else { "unknown: no node could be made".to_owned() }
}

fn mounting() -> String {
    match mount("none", "/tmp", "tmpfs", MountFlags::empty(), None) {
        Ok(()) => broken("a tmpfs is mounted"),
        Err(errno) => held(errno),
    }
}

/// A folder outside of the root has a path that the kernel does not give, or one that does not lead back to it.
fn cwd() -> String {
    let Ok(path) = std::env::current_dir() else { return broken("it is in a folder that is not in its root") };
    let same =
        |one: &std::fs::Metadata, other: &std::fs::Metadata| (one.dev(), one.ino()) == (other.dev(), other.ino());
    match (std::fs::metadata("."), std::fs::metadata(&path)) {
        (Ok(here), Ok(there)) if path.starts_with("/") && same(&here, &there) => {
            held(format!("it is in {}", path.display()))
        }
        _ => broken("it is in a folder that is not in its root"),
    }
}

/// The programs of all processes in sight but this one's file, opened for writing; nothing is written.
fn programs() -> io::Result<String> {
    let own = std::fs::metadata("/proc/self/exe")?;
    for entry in std::fs::read_dir("/proc")? {
        let program = entry?.path().join("exe");
        let Ok(data) = std::fs::metadata(&program) else { continue };
        let opened = OpenOptions::new().write(true).open(&program).is_ok();
        if opened && (data.dev(), data.ino()) != (own.dev(), own.ino()) {
            return Ok(broken(format!("{} can be opened for writing", program.display())));
        }
    }
    Ok(judged(
        OpenOptions::new().write(true).open("/proc/self/exe").is_err(),
        "no program in sight can be opened for writing",
        "its own program, which is mounted read-only, can be opened for writing",
    ))
}

fn streams() -> String {
    let strange = ["0", "1", "2"].into_iter().find(|number| {
        let target = std::fs::read_link(format!("/proc/self/fd/{number}"));
        target.is_ok_and(|target| target.ends_with("bait/file"))
    });
    strange.map_or_else(
        || held("no stream is the host's file"),
        |number| broken(format!("stream {number} is the host's file")),
    )
}
