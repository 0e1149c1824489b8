//! Device nodes and the customary links in `/dev`.
//!
//! `/dev` of an image may be a link to anywhere (CVE-2026-41579) and its entries may be links to files of the host
//! (CVE-2026-88264): every name is resolved inside the root, a node is made in the descriptor of its folder, and what is
//! there afterwards must be that device.

use std::path::Path;

use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Uid};
use rustix::io::Errno;
use rustix::mount::OpenTreeFlags;
use stockade_kernel::mount::Propagation;
use stockade_kernel::resolve;

use super::model::DeviceNode;
use super::{Cause, Root, RootfsError, attach, mount};

/// The links that every container has in `/dev`.
const LINKS: [(&str, &str); 5] = [
    ("ptmx", "pts/ptmx"),
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
];

/// How nodes come into the container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeSource {
    /// By `mknod(2)`.
    Make,
    /// By bind mounts of the host's nodes, as a user namespace may not make any.
    BindFromHost,
}

impl Root {
    /// Makes the node `node`, and its folder if it is missing.
    ///
    /// # Errors
    /// [`RootfsError`] naming the node's path. [`Cause::Unexpected`] if another thing stands there.
    pub fn make_device(&self, node: &DeviceNode, source: NodeSource) -> Result<(), RootfsError> {
        let made = match source {
            NodeSource::Make => self.make_node(node),
            NodeSource::BindFromHost => self.bind_node(node),
        };
        made.map_err(|cause| RootfsError { action: "make the device", object: node.path.clone(), source: cause })
    }

    /// `mknod`, then owner and mode by the descriptor of what was made.
    fn make_node(&self, node: &DeviceNode) -> Result<(), Cause> {
        let (parent, name) = resolve::split(&node.path)?;
        let parent = resolve::make_directories(self, parent, Mode::from_raw_mode(0o755))?;
        let device = rustix::fs::makedev(node.major, node.minor);
        match rustix::fs::mknodat(&parent, name, node.kind, Mode::from_raw_mode(node.mode), device) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
        let flags = OFlags::PATH | OFlags::NOFOLLOW;
        let made = resolve::open_no_links(&parent, name, flags, Mode::empty())?;
        let stat = check(&made, node)?;
        if (stat.st_uid, stat.st_gid, stat.st_mode & 0o7777) == (node.uid, node.gid, node.mode) {
            return Ok(());
        }
        rustix::fs::chownat(
            &made,
            c"",
            Some(Uid::from_raw(node.uid)),
            Some(Gid::from_raw(node.gid)),
            AtFlags::EMPTY_PATH,
        )?;
        // Not by the name, which may be a link to a file of the host by now.
        Ok(resolve::change_mode(&made, Mode::from_raw_mode(node.mode))?)
    }

    /// A bind mount of the host's node of the same path.
    fn bind_node(&self, node: &DeviceNode) -> Result<(), Cause> {
        let tree = mount::copy_of(&node.path, false, Propagation::Private)?;
        check(&tree, node)?;
        let target = resolve::make_file(self, &node.path)?;
        attach(self.as_fd(), &tree, &target, &node.path)
    }

    /// Makes the customary links; another link or file of the image that stands there is replaced.
    ///
    /// # Errors
    /// [`RootfsError`] naming the link.
    pub fn make_device_links(&self) -> Result<(), RootfsError> {
        let folder = Path::new("/dev");
        let dev = resolve::make_directories(self, folder, Mode::from_raw_mode(0o755));
        let dev = dev.map_err(super::at("open", folder))?;
        for (name, target) in LINKS {
            replace_link(&dev, name, target).map_err(super::at("make the link", &folder.join(name)))?;
        }
        Ok(())
    }
}

impl Root {
    /// Makes the link `path` to `target`; another link that stands there is replaced.
    ///
    /// # Errors
    /// [`RootfsError`] naming the link.
    pub fn make_link(&self, path: &Path, target: &Path) -> Result<(), RootfsError> {
        let make = || {
            let (parent, name) = resolve::split(path)?;
            let parent = resolve::make_directories(self, parent, Mode::from_raw_mode(0o755))?;
            Ok(replace_link(&parent, name, target)?)
        };
        make().map_err(|cause: Cause| RootfsError { action: "make the link", object: path.to_owned(), source: cause })
    }
}

/// Makes the link `name` to `target` in `folder`; one that stands there is replaced.
fn replace_link<P: rustix::path::Arg + Copy, T: rustix::path::Arg + Copy>(
    folder: &OwnedFd,
    name: P,
    target: T,
) -> Result<(), Errno> {
    match rustix::fs::symlinkat(target, folder, name) {
        Err(Errno::EXIST) => {
            rustix::fs::unlinkat(folder, name, AtFlags::empty())?;
            rustix::fs::symlinkat(target, folder, name)
        }
        result => result,
    }
}

/// What `fd` is, if it is the device that `node` names.
fn check(fd: &OwnedFd, node: &DeviceNode) -> Result<rustix::fs::Stat, Cause> {
    let stat = rustix::fs::fstat(fd)?;
    let kind = FileType::from_raw_mode(stat.st_mode);
    let same_number = kind == FileType::Fifo || stat.st_rdev == rustix::fs::makedev(node.major, node.minor);
    if kind == node.kind && same_number { Ok(stat) } else { Err(Cause::Unexpected("another file stands there")) }
}

/// A pseudo terminal for the container, made from its own `devpts`.
#[derive(Debug)]
pub struct Terminal {
    /// The side that the engine gets.
    pub master: OwnedFd,
    /// The side that the payload gets.
    pub slave: OwnedFd,
}

/// The file system magic of devpts, from `linux/magic.h`.
const DEVPTS_SUPER_MAGIC: u64 = 0x1cd1;

impl Root {
    /// Opens a terminal of the `devpts` at `/dev/pts` in the root and mounts its slave on `/dev/console`. The slave is opened
    /// through the master, never by its path (CVE-2025-52565).
    ///
    /// # Errors
    /// [`RootfsError`]; [`Cause::Unexpected`] if `/dev/pts` is no devpts.
    pub fn open_terminal(&self) -> Result<Terminal, RootfsError> {
        let result = self.terminal();
        result.map_err(|cause| RootfsError { action: "open a terminal of", object: "/dev/pts".into(), source: cause })
    }

    fn terminal(&self) -> Result<Terminal, Cause> {
        let Terminal { master, slave } = pair(self)?;
        let console = Path::new("/dev/console");
        let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
        let tree = rustix::mount::open_tree(&slave, c"", flags)?;
        let target = resolve::make_file(self, console)?;
        attach(self.as_fd(), &tree, &target, console)?;
        Ok(Terminal { master, slave })
    }
}

/// Opens a terminal of the `devpts` at `/dev/pts` below `root`, for a process that joins a container.
///
/// # Errors
/// As [`Root::open_terminal`].
pub fn open_terminal_in(root: impl AsFd) -> Result<Terminal, RootfsError> {
    pair(root).map_err(|cause| RootfsError { action: "open a terminal of", object: "/dev/pts".into(), source: cause })
}

/// Both sides of a new terminal.
fn pair(root: impl AsFd) -> Result<Terminal, Cause> {
    let flags = OFlags::RDWR | OFlags::NOCTTY;
    let master = resolve::open_in_root(root, "/dev/pts/ptmx", flags, Mode::empty())?;
    let on_devpts = rustix::fs::fstatfs(&master)?.f_type as u64 == DEVPTS_SUPER_MAGIC;
    if !on_devpts || !resolve::is_character_device(&master, 5, 2)? {
        return Err(Cause::Unexpected("it is not a devpts file system"));
    }
    rustix::pty::unlockpt(&master)?;
    let slave = rustix::pty::ioctl_tiocgptpeer(
        &master,
        rustix::pty::OpenptFlags::RDWR | rustix::pty::OpenptFlags::NOCTTY | rustix::pty::OpenptFlags::CLOEXEC,
    )?;
    Ok(Terminal { master, slave })
}
