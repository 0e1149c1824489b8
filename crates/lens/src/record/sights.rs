//! What is read beside the events: the programs' files, devices that are opened, and the network's counters.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::fd::{AsRawFd, OwnedFd};
use rustix::fs::inotify::{self, CreateFlags, Reader, WatchFlags};
use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use stockade_kernel::procfs::{Procfs, Subject};

use super::facts::{Listener, Seen, Walls};
use crate::watch::raises;

/// The first port that the kernel draws by itself, unless somebody set it otherwise.
const FIRST_DRAWN: u16 = 32768;
/// What the kernel reads of a script's first line (`BINPRM_BUF_SIZE`).
const FIRST_LINE: u64 = 256;
/// How often one program may lead to another (`exec_binprm`).
const MOST_INTERPRETERS: usize = 5;

/// Where it is read.
#[derive(Debug)]
pub(super) struct Sights {
    procfs: Procfs,
    root: OwnedFd,
    /// Tells of the devices, by number.
    notify: OwnedFd,
    devices: BTreeMap<i32, String>,
    /// `snmp` and `snmp6`, `udp` and `udp6` of a network of its own: they are there as long as they are open.
    counters: Vec<File>,
    datagrams: Vec<File>,
    /// Programs that were looked at, as they were named.
    known: BTreeSet<Vec<u8>>,
}

impl Sights {
    /// Of the container whose first process is `pid`.
    ///
    /// # Errors
    /// If it, its root or a device is not there.
    pub(super) fn new(procfs: Procfs, pid: i32, walls: &Walls, devices: &[String]) -> io::Result<Self> {
        let subject = Subject::Pid(pid);
        let root = procfs.open_link(subject, "root")?;
        let notify = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        let mut watched = BTreeMap::new();
        for device in devices {
            let node = open(&root, Path::new(device), OFlags::PATH, ResolveFlags::empty())?;
            let path = format!("/proc/self/fd/{}", node.as_raw_fd());
            watched.insert(inotify::add_watch(&notify, path, WatchFlags::OPEN)?, device.clone());
        }
        let open_all = |names: [&str; 2]| -> io::Result<Vec<File>> {
            let all = names.into_iter().filter(|_| walls.own_network).map(|name| {
                match procfs.open(subject, &format!("net/{name}"), OFlags::RDONLY) {
                    // A kernel without IPv6.
                    Err(error) if error.kind() == io::ErrorKind::NotFound && name.ends_with('6') => Ok(None),
                    found => found.map(|file| Some(File::from(file))),
                }
            });
            Ok(all.collect::<io::Result<Vec<_>>>()?.into_iter().flatten().collect())
        };
        let (counters, datagrams) = (open_all(["snmp", "snmp6"])?, open_all(["udp", "udp6"])?);
        Ok(Self { procfs, root, notify, devices: watched, counters, datagrams, known: BTreeSet::new() })
    }

    /// Takes in what can be seen now.
    ///
    /// # Errors
    /// If it cannot be read.
    pub(super) fn look(&self, seen: &mut Seen) -> io::Result<()> {
        let mut room = [MaybeUninit::uninit(); 4096];
        let mut reader = Reader::new(&self.notify, &mut room);
        loop {
            match reader.next() {
                Ok(event) => seen.devices.extend(self.devices.get(&event.wd()).cloned()),
                Err(Errno::AGAIN) => break,
                Err(errno) => return Err(errno.into()),
            }
        }
        for file in &self.datagrams {
            seen.network.listens.extend(String::from_utf8_lossy(&whole(file)?).lines().filter_map(bound));
        }
        Ok(())
    }

    /// Whether datagrams were sent; `None` if its network is not its own.
    ///
    /// # Errors
    /// If that cannot be read.
    pub(super) fn datagrams(&self) -> io::Result<Option<bool>> {
        let mut sent = false;
        for file in &self.counters {
            sent |= datagrams_in(&String::from_utf8_lossy(&whole(file)?)).ok_or(Errno::BADMSG)? > 0;
        }
        Ok((!self.counters.is_empty()).then_some(sent))
    }

    /// Adds the program `named` that `subject` executes, and the interpreters that it names in its first line.
    pub(super) fn executed(&mut self, subject: Subject, named: &[u8], programs: &mut BTreeMap<String, bool>) {
        let path = Path::new(OsStr::from_bytes(named));
        if path.is_relative() || path.starts_with("/proc") {
            // Where it lies only the process knows.
            if let Ok(path) = self.procfs.read_link(subject, "exe") {
                programs.entry(String::from_utf8_lossy(&path).into_owned()).or_default();
            }
            return;
        }
        if !self.known.insert(named.to_owned()) {
            return;
        }
        let mut next = Some(path.to_owned());
        for _ in 0..MOST_INTERPRETERS {
            let Some(path) = next.take() else { return };
            let Ok(file) = program(&self.root, &path) else {
                programs.entry(path.display().to_string()).or_default();
                return;
            };
            let link = format!("/proc/self/fd/{}", file.as_raw_fd());
            let lies = std::fs::read_link(&link).unwrap_or(path);
            *programs.entry(lies.display().to_string()).or_default() |= raises(&file);
            next = interpreter(&link);
        }
    }
}

/// Opens the program at `path`. It was just looked up, and what the kernel has of that is believed first; overlayfs has its symbolic links followed by itself
/// only (`ovl_get_link`), and most programs of an image are behind one.
fn program(root: &OwnedFd, path: &Path) -> io::Result<OwnedFd> {
    match open(root, path, OFlags::PATH, ResolveFlags::CACHED) {
        Err(error) if Errno::from_io_error(&error) == Some(Errno::AGAIN) => {
            open(root, path, OFlags::PATH, ResolveFlags::empty())
        }
        opened => opened,
    }
}

/// Opens what is at `path` in the container.
fn open(root: &OwnedFd, path: &Path, flags: OFlags, more: ResolveFlags) -> io::Result<OwnedFd> {
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS | more;
    let below = path.strip_prefix("/").unwrap_or(path);
    Ok(rustix::fs::openat2(root, below, flags | OFlags::CLOEXEC, Mode::empty(), resolve)?)
}

/// All of a file that is read again and again.
fn whole(file: &File) -> io::Result<Vec<u8>> {
    let mut all = Vec::new();
    let mut part = [0; 4096];
    loop {
        match file.read_at(&mut part, all.len() as u64)? {
            0 => return Ok(all),
            length => all.extend(&part[..length]),
        }
    }
}

/// The program that a script's first line names.
fn interpreter(file: &str) -> Option<PathBuf> {
    let mut start = Vec::new();
    File::open(file).ok()?.take(FIRST_LINE).read_to_end(&mut start).ok()?;
    let line = start.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?.trim_ascii_start();
    let program = line.split(u8::is_ascii_whitespace).next().filter(|program| program.starts_with(b"/"))?;
    Some(PathBuf::from(OsStr::from_bytes(program)))
}

/// How many datagrams were sent, by `/proc/net/snmp` or `snmp6`.
fn datagrams_in(text: &str) -> Option<u64> {
    if let Some(line) = text.lines().find(|line| line.starts_with("Udp6OutDatagrams")) {
        return line.split_ascii_whitespace().nth(1)?.parse().ok();
    }
    let mut lines = text.lines().filter(|line| line.starts_with("Udp: "));
    let (names, values) = (lines.next()?, lines.next()?);
    let (_, value) = names.split(' ').zip(values.split(' ')).find(|(name, _)| *name == "OutDatagrams")?;
    value.parse().ok()
}

/// A port for datagrams that somebody chose, by a line of `/proc/net/udp`: it is connected to nobody and none that the kernel draws.
fn bound(line: &str) -> Option<Listener> {
    let mut words = line.split_ascii_whitespace().skip(1);
    let (local, state) = (words.next()?, words.nth(1)?);
    let (address, port) = local.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok().filter(|port| *port > 0 && *port < FIRST_DRAWN)?;
    // The words of the address are of this machine's order.
    let loopback = address.len() == 8 && address.ends_with("7F") || address == "00000000000000000000000001000000";
    (state == "07").then(|| Listener { protocol: "udp".to_owned(), port, loopback })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_read_by_their_names() {
        let text = "Tcp: ActiveOpens\nTcp: 7\nUdp: InDatagrams NoPorts OutDatagrams\nUdp: 5 0 9\n";
        assert_eq!(datagrams_in(text), Some(9));
        assert_eq!(datagrams_in("Ip6InReceives 4\nUdp6OutDatagrams                \t3\n"), Some(3));
        assert_eq!(datagrams_in("Udp: OutDatagrams\n"), None);
    }

    #[test]
    fn ports_that_somebody_chose_are_told() {
        let line = |local: &str, state: &str| {
            bound(&format!("  12: {local} 00000000:0000 {state} 00000000:00000000 00:0 0 0"))
        };
        let udp = |port, loopback| Some(Listener { protocol: "udp".to_owned(), port, loopback });
        assert_eq!(line("00000000:0035", "07"), udp(53, false));
        assert_eq!(line("0100007F:0035", "07"), udp(53, true));
        assert_eq!(line("00000000000000000000000001000000:0035", "07"), udp(53, true));
        assert_eq!(line("00000000:9C40", "07"), None);
        assert_eq!(line("00000000:0035", "01"), None);
        assert_eq!(bound("   sl  local_address rem_address   st tx_queue"), None);
    }

    #[test]
    fn a_script_names_its_interpreter() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        std::fs::write(&path, "#! /usr/bin/env python3\nhello\n").unwrap();
        let path = path.display().to_string();
        assert_eq!(interpreter(&path), Some("/usr/bin/env".into()));
        std::fs::write(&path, "#!relative\n").unwrap();
        assert_eq!(interpreter(&path), None);
        std::fs::write(&path, b"\x7fELF").unwrap();
        assert_eq!(interpreter(&path), None);
    }
}
