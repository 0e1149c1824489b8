//! A static probe that tests run inside containers: it says in JSON what a process there really has, or makes one
//! attack. `inside COMMAND [ARGUMENTS]`; see [`COMMANDS`].

mod hunt;
mod lend;
mod raw;

use std::io::{self, Read, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use rustix::fs::{CWD, RenameFlags};
use serde_json::{Value, json};
use stockade_kernel::seccomp::{Abi, Probe};

/// What the probe can do.
const COMMANDS: &[(&str, Command)] = &[
    ("borrow", lend::borrow),
    ("census", |_| census()),
    ("cwd", |_| Ok(json!(std::env::current_dir()?))),
    ("eat-memory", eat_memory),
    ("env", |_| Ok(std::env::vars().map(|(name, value)| json!([name, value])).collect())),
    ("fds", |_| fds("/proc/self/fd")),
    ("fork-until-fail", fork_until_fail),
    ("gate-386", gate_386),
    ("groups", |_| Ok(rustix::process::getgroups()?.iter().map(|gid| json!(gid.as_raw())).collect())),
    ("hunt", |arguments| hunt::hunt(Duration::from_secs(number(arguments, 0)?))),
    ("lend", lend::lend),
    ("mounts", |_| Ok(json!(std::fs::read_to_string("/proc/self/mountinfo")?.lines().collect::<Vec<_>>()))),
    ("poll-fds", poll_fds),
    ("socket", socket),
    ("status", |_| status()),
    ("swap-loop", swap_loop),
    ("syscall", syscall),
    ("syscalls", syscalls),
    ("tty-size", |_| tty_size()),
    ("write-exe", write_exe),
];

/// One command: its arguments to its answer.
type Command = fn(&[String]) -> io::Result<Value>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some((name, rest)) = arguments.split_first() else { return refuse("no command") };
    let Some((_, command)) = COMMANDS.iter().find(|(known, _)| known == name) else { return refuse(name) };
    let answer =
        command(rest).unwrap_or_else(|error| json!({ "error": error.to_string(), "errno": error.raw_os_error() }));
    match writeln!(io::stdout(), "{answer}") {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn refuse(what: &str) -> ExitCode {
    eprintln!("inside: unknown command: {what}");
    ExitCode::from(2)
}

/// Argument `index` as a number, decimal or `0x...`.
fn number(arguments: &[String], index: usize) -> io::Result<u64> {
    let text = arguments.get(index).ok_or(io::ErrorKind::InvalidInput)?;
    let parsed = text.strip_prefix("0x").map_or_else(|| text.parse(), |hex| u64::from_str_radix(hex, 16));
    parsed.map_err(io::Error::other)
}

/// The open descriptors below `folder`, except the one that reads it: `[number, target]`.
fn fds(folder: &str) -> io::Result<Value> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        // The descriptor of the listing itself is closed by the time that a link is read again.
        found.push(path);
    }
    let open = found.iter().filter_map(|path| Some((path, std::fs::read_link(path).ok()?)));
    Ok(open.map(|(path, target)| json!([path.file_name().map(|name| name.to_string_lossy()), target])).collect())
}

/// `/proc/self/status` as an object.
fn status() -> io::Result<Value> {
    let text = std::fs::read_to_string("/proc/self/status")?;
    let pairs = text.lines().filter_map(|line| line.split_once(':'));
    Ok(Value::Object(pairs.map(|(key, value)| (key.to_owned(), json!(value.trim()))).collect()))
}

/// `syscall NUMBER [ARGUMENT]...`: the raw call; `{"errno": N}` or `{"returned": N}`.
fn syscall(arguments: &[String]) -> io::Result<Value> {
    let mut values = [0; 6];
    for (index, value) in values.iter_mut().enumerate().take(arguments.len().saturating_sub(1)) {
        *value = number(arguments, index + 1)?;
    }
    Ok(answer(raw::call(number(arguments, 0)?.cast_signed(), values)))
}

/// `syscalls NUMBER[,ARGUMENT]...`: the answers of many, in their order.
fn syscalls(calls: &[String]) -> io::Result<Value> {
    calls.iter().map(|call| syscall(&call.split(',').map(str::to_owned).collect::<Vec<_>>())).collect()
}

/// `socket ABI FAMILY`: a socket made by `native`, `x32` or `i386` entry, with all 64 bits of the family's register.
fn socket(arguments: &[String]) -> io::Result<Value> {
    let abi = match arguments.first().map(String::as_str) {
        Some("native") => Abi::Native,
        Some("x32") => Abi::X32,
        Some("i386") => Abi::I386,
        _ => return Err(io::ErrorKind::InvalidInput.into()),
    };
    const SOCK_SEQPACKET: u64 = 5;
    let made = stockade_kernel::seccomp::probe(Probe::Socket, abi, [number(arguments, 1)?, SOCK_SEQPACKET, 0, 0, 0, 0]);
    Ok(answer(made.map_err(|error| error.raw_os_error().unwrap_or(0))))
}

/// What a call returned, or its errno.
fn answer(result: Result<i64, i32>) -> Value {
    match result {
        Ok(returned) => json!({ "returned": returned }),
        Err(errno) => json!({ "errno": errno }),
    }
}

/// `gate-386 NUMBER A B C [POINTED]...`: the call of the i386 table with that number. Where numbers follow the three
/// arguments they are put in memory that 32 bits reach, and its address stands for argument B.
fn gate_386(arguments: &[String]) -> io::Result<Value> {
    let pointed = (4..arguments.len()).map(|index| number(arguments, index)).collect::<io::Result<Vec<_>>>()?;
    let [call, a, b, c] = [0, 1, 2, 3].map(|index| number(arguments, index).unwrap_or(0) as u32);
    Ok(match raw::call_386(call, [a, b, c], &pointed)? {
        errno @ -4095..=-1 => json!({ "errno": -errno }),
        returned => json!({ "returned": returned }),
    })
}

/// All walls of this process in a form that is the same for every container of one configuration.
fn census() -> io::Result<Value> {
    let read = std::fs::read_to_string;
    let kept = ["Uid", "Gid", "Groups", "Cap", "NoNewPrivs", "Seccomp"];
    let status = read("/proc/self/status")?;
    let status: Vec<_> = status.lines().filter(|line| kept.iter().any(|key| line.starts_with(key))).collect();
    let mut mounts = Vec::new();
    for line in read("/proc/self/mountinfo")?.lines() {
        let (left, right) = line.split_once(" - ").ok_or(io::ErrorKind::InvalidData)?;
        // Point and options; then type and options. Ids, devices and the host's names of roots differ from run to run.
        let left: Vec<_> = left.split(' ').skip(4).filter(|field| !field.contains(':')).collect();
        let (kind, _) = right.split_once(' ').unwrap_or((right, ""));
        mounts.push(format!("{} {kind}", left.join(" ")));
    }
    let kinds = ["mnt", "pid", "net", "ipc", "uts", "user", "cgroup", "time"];
    let first = |kind: &&str| {
        let link = |pid: &str| std::fs::read_link(format!("/proc/{pid}/ns/{kind}")).ok();
        link("self") == link("1")
    };
    let devices = std::fs::read_dir("/dev")?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    let mut devices = devices.collect::<io::Result<Vec<_>>>()?;
    devices.sort();
    Ok(json!({
        "status": status,
        "mounts": mounts,
        "devices": devices,
        "own namespaces": kinds.iter().filter(|kind| first(kind)).collect::<Vec<_>>(),
        "descriptors": fds("/proc/self/fd")?.as_array().map(|open| open.iter().map(|pair| pair[0].clone()).collect::<Vec<_>>()),
        "limits": read("/proc/self/limits")?,
        "environment": std::env::vars().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>(),
        "folder": std::env::current_dir()?,
        "maps": read("/proc/self/uid_map")?,
        "oom": read("/proc/self/oom_score_adj")?,
        "label": read("/proc/self/attr/current").unwrap_or_default(),
        "personality": read("/proc/self/personality").unwrap_or_default(),
        "host name": read("/proc/sys/kernel/hostname")?,
        "cgroup": read("/proc/self/cgroup")?,
    }))
}

/// `eat-memory BYTES`: touches that much, page by page.
fn eat_memory(arguments: &[String]) -> io::Result<Value> {
    let size = usize::try_from(number(arguments, 0)?).map_err(io::Error::other)?;
    let mut memory = vec![0u8; size];
    for page in memory.chunks_mut(4096) {
        page[0] = 1;
    }
    Ok(json!(memory.iter().filter(|byte| **byte == 1).count()))
}

/// `fork-until-fail [MOST]`: starts sleeping copies until one fails; says how many ran and the errno.
fn fork_until_fail(arguments: &[String]) -> io::Result<Value> {
    let most = number(arguments, 0).unwrap_or(1000);
    let mut children = Vec::new();
    let mut errno = None;
    while (children.len() as u64) < most && errno.is_none() {
        match std::process::Command::new("/bin/sleep").arg("60").spawn() {
            Ok(child) => children.push(child),
            Err(error) => errno = error.raw_os_error(),
        }
    }
    for child in &mut children {
        child.kill()?;
        child.wait()?;
    }
    Ok(json!({ "ran": children.len(), "errno": errno }))
}

/// `poll-fds SECONDS`: watches every other process for a descriptor that is not of this container (CVE-2016-9962):
/// the targets that were seen and their processes.
fn poll_fds(arguments: &[String]) -> io::Result<Value> {
    let deadline = Instant::now() + Duration::from_secs(number(arguments, 0)?);
    let mut seen = std::collections::BTreeSet::new();
    while Instant::now() < deadline {
        for entry in std::fs::read_dir("/proc")?.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name == std::process::id().to_string() || !name.bytes().all(|byte| byte.is_ascii_digit()) {
                continue;
            }
            // Processes come and go while they are looked at.
            let Ok(Value::Array(open)) = fds(&format!("/proc/{name}/fd")) else { continue };
            seen.extend(open.iter().filter(|pair| !is_stdio(&pair[0])).map(Value::to_string));
        }
    }
    Ok(json!(seen))
}

fn is_stdio(name: &Value) -> bool {
    matches!(name.as_str(), Some("0" | "1" | "2"))
}

/// `swap-loop A B SECONDS`: exchanges two names as fast as it can (CVE-2021-30465); how often it did.
fn swap_loop(arguments: &[String]) -> io::Result<Value> {
    let [a, b, _] = arguments else { return Err(io::ErrorKind::InvalidInput.into()) };
    let deadline = Instant::now() + Duration::from_secs(number(arguments, 2)?);
    let mut count = 0u64;
    while Instant::now() < deadline {
        rustix::fs::renameat_with(CWD, a, CWD, b, RenameFlags::EXCHANGE)?;
        count += 1;
    }
    Ok(json!(count))
}

/// Rows and columns of stdin's terminal.
fn tty_size() -> io::Result<Value> {
    let size = rustix::termios::tcgetwinsize(rustix::stdio::stdin())?;
    Ok(json!([size.ws_row, size.ws_col]))
}

/// `write-exe PATH`: tries to open a running program for writing (CVE-2019-5736) and says the errno; what was opened
/// is not written to.
fn write_exe(arguments: &[String]) -> io::Result<Value> {
    let path = Path::new(arguments.first().ok_or(io::ErrorKind::InvalidInput)?);
    let mut head = [0; 4];
    let read = std::fs::File::open(path).and_then(|mut file| file.read(&mut head));
    let write = std::fs::OpenOptions::new().write(true).open(path);
    let errno = |error: &io::Error| error.raw_os_error();
    Ok(
        json!({ "read": read.as_ref().err().and_then(errno), "write": write.as_ref().err().and_then(errno), "open": write.is_ok() }),
    )
}
