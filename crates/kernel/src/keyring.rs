//! The session keyring (`session-keyring(7)`, `keyctl(2)`): what a container must not share with the host.

use std::ffi::CStr;
use std::io;

use rustix::io::Errno;

use crate::sys::check;

/// `KEY_SPEC_SESSION_KEYRING`.
const SESSION: libc::c_long = -3;

/// A key's or keyring's serial number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Id(i32);

impl Id {
    /// The number.
    #[must_use]
    pub fn as_raw(self) -> i32 {
        self.0
    }
}

/// What the kernel says of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// The type, `keyring` for a keyring.
    pub kind: String,
    /// The owner.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// The permissions (`keyctl_setperm(3)`), four bytes: possessor, user, group, other.
    pub permissions: u32,
    /// The name.
    pub name: String,
}

/// Gives the calling thread a session keyring named `name`: the existing one of that name that may be joined, or a new one.
///
/// # Errors
/// `ENOSYS` on a kernel without keys; `EDQUOT` at the user's quota; `EACCES` if one of that name may not be joined.
pub fn join_session(name: &CStr) -> io::Result<Id> {
    // SAFETY: `name` ends in zero and lives through the call.
    answer(unsafe { libc::syscall(libc::SYS_keyctl, libc::KEYCTL_JOIN_SESSION_KEYRING, name.as_ptr()) })
}

/// The calling thread's session keyring. Makes none.
///
/// # Errors
/// `ENOSYS`; `ENOKEY`, `EKEYREVOKED`, `EKEYEXPIRED`.
pub fn session() -> io::Result<Id> {
    // SAFETY: integers only.
    answer(unsafe { libc::syscall(libc::SYS_keyctl, libc::KEYCTL_GET_KEYRING_ID, SESSION, 0) })
}

/// Lets the owner of `key` search it: what a user inside a new user namespace needs to use its keyring at all.
///
/// # Errors
/// As `keyctl_setperm(3)`.
pub fn allow_user_search(key: Id) -> io::Result<()> {
    const USER_SEARCH: u32 = 0x08_0000;
    let permissions = describe(key)?.permissions | USER_SEARCH;
    // SAFETY: integers only.
    check(unsafe { libc::syscall(libc::SYS_keyctl, libc::KEYCTL_SETPERM, key.0, permissions) })?;
    Ok(())
}

/// What `key` is.
///
/// # Errors
/// `EACCES` without permission to view it; `ENOKEY`; `EBADMSG` if the answer is not as `keyctl_describe(3)` says.
pub fn describe(key: Id) -> io::Result<Description> {
    let mut buffer = vec![0u8; 512];
    loop {
        // SAFETY: the kernel writes at most the length given.
        let length = check(unsafe {
            libc::syscall(libc::SYS_keyctl, libc::KEYCTL_DESCRIBE, key.0, buffer.as_mut_ptr(), buffer.len())
        })? as usize;
        if let Some(text) = buffer.get(..length) {
            return parse(text).ok_or_else(|| Errno::BADMSG.into());
        }
        buffer.resize(length, 0);
    }
}

/// Reads `type;uid;gid;permissions;name`; the name may hold further semicolons.
fn parse(text: &[u8]) -> Option<Description> {
    let text = std::str::from_utf8(text.strip_suffix(b"\0").unwrap_or(text)).ok()?;
    let mut fields = text.splitn(5, ';');
    Some(Description {
        kind: fields.next()?.to_owned(),
        uid: fields.next()?.parse().ok()?,
        gid: fields.next()?.parse().ok()?,
        permissions: u32::from_str_radix(fields.next()?, 16).ok()?,
        name: fields.next()?.to_owned(),
    })
}

/// A call's answer that is a serial number.
fn answer(result: libc::c_long) -> io::Result<Id> {
    i32::try_from(check(result)?).ok().map(Id).ok_or_else(|| Errno::BADMSG.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_named_keyring_is_joined_and_described() {
        std::thread::spawn(|| {
            let before = session();
            let id = match join_session(c"stockade-test;x") {
                Err(error) if error.raw_os_error() == Some(libc::ENOSYS) => return,
                result => result.unwrap(),
            };
            assert_eq!(session().unwrap(), id);
            assert!(before.is_err() || before.unwrap() != id);
            let described = describe(id).unwrap();
            assert_eq!((described.kind.as_str(), described.name.as_str()), ("keyring", "stockade-test;x"));
            assert_eq!(described.uid, rustix::process::geteuid().as_raw());
            allow_user_search(id).unwrap();
            assert_ne!(describe(id).unwrap().permissions & 0x08_0000, 0);
        })
        .join()
        .unwrap();
    }

    #[test]
    fn malformed_descriptions_are_refused() {
        assert!(parse(b"keyring;0;0;3f030000").is_none());
        assert!(parse(b"keyring;x;0;3f030000;name\0").is_none());
    }
}
