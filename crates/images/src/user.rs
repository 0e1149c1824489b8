//! `user[:group]` inside an image's root: who a container's process is.
//!
//! The image's `/etc/passwd` and `/etc/group` are read as Docker does: what is all digits is a number and is never
//! looked up as a name (CVE-2016-3697, CVE-2026-46680), numbers are 0 to 2147483647 and nothing wraps (CVE-2024-40635,
//! CVE-2026-30892), the group is in the list of supplementary groups (CVE-2022-36109). The files are opened inside the
//! root only, must be regular files (CVE-2024-9676) and are read up to a bound (CVE-2022-31030). A line that is
//! malformed is passed over; it never stands for id 0.

use std::io::{self, Read};

use rustix::fd::{BorrowedFd, OwnedFd};
use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;
use stockade_kernel::resolve;

/// The largest user or group file that is read, in bytes.
const LARGEST: u64 = 8 << 20;
/// The largest id: Docker's bound.
const LARGEST_ID: u32 = i32::MAX as u32;
/// The most supplementary groups that a process can have: the kernel's NGROUPS_MAX.
const MOST_GROUPS: usize = 65536;

/// A process's identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The user id in the container.
    pub uid: u32,
    /// The group id in the container.
    pub gid: u32,
    /// The supplementary groups, `gid` first, none twice.
    pub additional_gids: Vec<u32>,
    /// The home directory; `/` where the image names none.
    pub home: String,
}

/// Why a user cannot be told.
#[derive(Debug, thiserror::Error)]
pub enum UserError {
    /// A file of the image could not be read.
    #[error("read {0} of the image")]
    Read(&'static str, #[source] io::Error),
    /// The file is a directory, a FIFO, a device or a socket.
    #[error("{0} of the image is not a regular file")]
    NotAFile(&'static str),
    /// The file is larger than any that a system needs.
    #[error("{0} of the image is larger than {LARGEST} bytes")]
    TooLarge(&'static str),
    /// A name that the image does not know.
    #[error("user `{0}` is not in /etc/passwd of the image")]
    UnknownUser(String),
    /// A group's name that the image does not know.
    #[error("group `{0}` is not in /etc/group of the image")]
    UnknownGroup(String),
    /// A number out of range.
    #[error("id `{0}` is not between 0 and {LARGEST_ID}")]
    Range(String),
    /// More groups than the kernel takes.
    #[error("user `{0}` is in more than {MOST_GROUPS} groups of the image")]
    TooManyGroups(String),
    /// A specification with more than one colon, or a zero byte.
    #[error("`{}` is not of the form user[:group]", .0.escape_debug())]
    Malformed(String),
}

/// A line of `/etc/passwd`.
struct Account {
    name: String,
    uid: u32,
    gid: u32,
    home: String,
}

/// A line of `/etc/group`.
struct Group {
    name: String,
    gid: u32,
    members: Vec<String>,
}

/// Who `spec` is in the image with this root directory. An empty user is uid 0; a user without a group has that of its
/// account (0 where it has none) and the supplementary groups of its account's name; with a group it has that one only.
///
/// # Errors
/// See [`UserError`].
pub fn resolve_user(root: BorrowedFd<'_>, spec: &str) -> Result<User, UserError> {
    let (user, group) = match spec.split_once(':') {
        Some((user, group)) => (user, group),
        None => (spec, ""),
    };
    if group.contains(':') || spec.contains('\0') {
        return Err(UserError::Malformed(spec.to_owned()));
    }
    let account = find_account(root, user)?;
    let (gid, additional_gids) = if group.is_empty() {
        (account.gid, memberships(root, &account)?)
    } else {
        let gid = find_group(root, group)?;
        (gid, vec![gid])
    };
    let home = if account.home.is_empty() { "/".to_owned() } else { account.home };
    Ok(User { uid: account.uid, gid, additional_gids, home })
}

/// The account of `user`; for a number without one, an account without a name.
fn find_account(root: BorrowedFd<'_>, user: &str) -> Result<Account, UserError> {
    let wanted = if user.is_empty() { Some(0) } else { number(user)? };
    let text = read(root, "/etc/passwd")?;
    let mut accounts = text.split('\n').filter_map(account);
    match wanted {
        Some(uid) => {
            let found = accounts.find(|account| account.uid == uid);
            Ok(found.unwrap_or(Account { name: String::new(), uid, gid: 0, home: String::new() }))
        }
        None => accounts.find(|account| account.name == user).ok_or_else(|| UserError::UnknownUser(user.to_owned())),
    }
}

/// The id of `group`; a number need not be known to the image.
fn find_group(root: BorrowedFd<'_>, group: &str) -> Result<u32, UserError> {
    if let Some(gid) = number(group)? {
        return Ok(gid);
    }
    let text = read(root, "/etc/group")?;
    let found = text.split('\n').filter_map(self::group).find(|line| line.name == group);
    found.map(|line| line.gid).ok_or_else(|| UserError::UnknownGroup(group.to_owned()))
}

/// The groups that list the account, its own first.
fn memberships(root: BorrowedFd<'_>, account: &Account) -> Result<Vec<u32>, UserError> {
    let mut gids = vec![account.gid];
    if account.name.is_empty() {
        return Ok(gids);
    }
    let text = read(root, "/etc/group")?;
    let mut seen = std::collections::HashSet::from([account.gid]);
    for line in text.split('\n').filter_map(group) {
        if line.members.contains(&account.name) && seen.insert(line.gid) {
            gids.push(line.gid);
        }
    }
    if gids.len() > MOST_GROUPS {
        return Err(UserError::TooManyGroups(account.name.clone()));
    }
    Ok(gids)
}

/// The number that `text` is, `None` if it is not all digits.
fn number(text: &str) -> Result<Option<u32>, UserError> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(None);
    }
    id(text).map(Some).ok_or_else(|| UserError::Range(text.to_owned()))
}

/// An id in range.
fn id(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|id| digits && *id <= LARGEST_ID)
}

/// `name:password:uid:gid:comment:home:shell`, the last three of which may be missing.
fn account(line: &str) -> Option<Account> {
    let mut fields = line.trim().split(':');
    let name = fields.next().filter(|name| !name.is_empty())?.to_owned();
    fields.next()?;
    let (uid, gid) = (id(fields.next()?)?, id(fields.next()?)?);
    let home = fields.nth(1).unwrap_or_default().to_owned();
    Some(Account { name, uid, gid, home })
}

/// `name:password:gid:member,member`, the last of which may be missing.
fn group(line: &str) -> Option<Group> {
    let mut fields = line.trim().split(':');
    let name = fields.next().filter(|name| !name.is_empty())?.to_owned();
    fields.next()?;
    let gid = id(fields.next()?)?;
    let members = fields.next().unwrap_or_default().split(',').map(str::to_owned).collect();
    Some(Group { name, gid, members })
}

/// The text of a file of the image; empty if it is missing. Lines with zero bytes are left out.
fn read(root: BorrowedFd<'_>, path: &'static str) -> Result<String, UserError> {
    // What it is comes first: opening a device is not without effect.
    let found = match resolve::open_in_root(root, path, OFlags::PATH, Mode::empty()) {
        Ok(found) => found,
        Err(error) if is_missing(&error) => return Ok(String::new()),
        Err(error) => return Err(UserError::Read(path, error)),
    };
    if !is_regular(&found).map_err(|error| UserError::Read(path, error))? {
        return Err(UserError::NotAFile(path));
    }
    // The image cannot change under us, a container's root can: hence O_NONBLOCK and the second look.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
    let opened = resolve::open_in_root(root, path, flags, Mode::empty());
    let file = opened.map_err(|error| UserError::Read(path, error))?;
    if !is_regular(&file).map_err(|error| UserError::Read(path, error))? {
        return Err(UserError::NotAFile(path));
    }
    let mut bytes = Vec::new();
    let mut file = std::fs::File::from(file).take(LARGEST + 1);
    file.read_to_end(&mut bytes).map_err(|error| UserError::Read(path, error))?;
    if bytes.len() as u64 > LARGEST {
        return Err(UserError::TooLarge(path));
    }
    let text = String::from_utf8_lossy(&bytes);
    Ok(if text.contains('\0') {
        text.split('\n').filter(|line| !line.contains('\0')).collect::<Vec<_>>().join("\n")
    } else {
        text.into_owned()
    })
}

/// Whether it is a regular file.
fn is_regular(file: &OwnedFd) -> io::Result<bool> {
    Ok(FileType::from_raw_mode(rustix::fs::fstat(file)?.st_mode) == FileType::RegularFile)
}

/// Whether nothing is there, be it that a parent is missing or no directory.
fn is_missing(error: &io::Error) -> bool {
    let is = |errno: Errno| error.raw_os_error() == Some(errno.raw_os_error());
    is(Errno::NOENT) || is(Errno::NOTDIR)
}

#[cfg(test)]
mod tests;
