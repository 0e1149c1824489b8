//! Tracepoints by name, and what is where in their records (tracefs, `Documentation/trace/events.rst`).

use std::io;

use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags};

use crate::procfs::read_all;

/// A tracepoint of this kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tracepoint {
    id: u64,
    fields: Vec<Field>,
}

/// Where a field is in a record.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Field {
    name: String,
    offset: usize,
    size: usize,
}

impl Tracepoint {
    /// The tracepoint `name` of `group`, read of a tracefs that is mounted nowhere.
    ///
    /// # Errors
    /// `ENOENT` if this kernel has none, `ENODEV` if it has no tracefs, `EPERM` without CAP_SYS_ADMIN.
    pub fn find(group: &str, name: &str) -> io::Result<Self> {
        let root = tracefs()?;
        let read = |file: &str| {
            let path = format!("events/{group}/{name}/{file}");
            let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
            let flags = OFlags::RDONLY | OFlags::CLOEXEC;
            read_all(rustix::fs::openat2(&root, path, flags, Mode::empty(), resolve)?.as_fd())
        };
        let id = String::from_utf8_lossy(&read("id")?).trim().parse().map_err(|_wrong| Errno::BADMSG)?;
        let fields = fields(&String::from_utf8_lossy(&read("format")?)).ok_or(Errno::BADMSG)?;
        Ok(Self { id, fields })
    }

    /// Its number.
    pub(super) fn id(&self) -> u64 {
        self.id
    }

    /// The number in the field `name` of a record; `None` if there is no such field, or the record is too short for it.
    #[must_use]
    pub fn number(&self, raw: &[u8], name: &str) -> Option<i64> {
        Some(match self.bytes(raw, name)? {
            &[a, b] => i16::from_ne_bytes([a, b]).into(),
            &[a, b, c, d] => i32::from_ne_bytes([a, b, c, d]).into(),
            bytes => i64::from_ne_bytes(bytes.try_into().ok()?),
        })
    }

    /// The bytes of the field `name` of a record; `None` as for [`Tracepoint::number`].
    #[must_use]
    pub fn bytes<'a>(&self, raw: &'a [u8], name: &str) -> Option<&'a [u8]> {
        let field = self.fields.iter().find(|field| field.name == name)?;
        raw.get(field.offset..field.offset.checked_add(field.size)?)
    }

    /// The text of the field `name` of a record (`__data_loc`: where it is, and its length), without its end; `None` as for
    /// [`Tracepoint::number`].
    #[must_use]
    pub fn text<'a>(&self, raw: &'a [u8], name: &str) -> Option<&'a [u8]> {
        let &[a, b, c, d] = self.bytes(raw, name)? else { return None };
        let place = u32::from_ne_bytes([a, b, c, d]);
        let (offset, length) = ((place & 0xffff) as usize, (place >> 16) as usize);
        let text = raw.get(offset..offset.checked_add(length)?)?;
        text.split(|byte| *byte == 0).next()
    }

    /// Whether a record is of this tracepoint.
    #[must_use]
    pub fn is_of(&self, raw: &[u8]) -> bool {
        self.number(raw, "common_type").is_some_and(|kind| kind as u16 == self.id as u16)
    }
}

/// A tracefs of our own; what is in it is the same in all.
fn tracefs() -> io::Result<OwnedFd> {
    let context = rustix::mount::fsopen("tracefs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    rustix::mount::fsconfig_create(context.as_fd())?;
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV;
    Ok(rustix::mount::fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes)?)
}

/// The fields of a file `format`, whose lines are `field:TYPE NAME; offset:N; size:N; signed:N;`.
fn fields(text: &str) -> Option<Vec<Field>> {
    let lines = text.lines().filter_map(|line| line.trim().strip_prefix("field:"));
    lines
        .map(|line| {
            let mut parts = line.split(';').map(str::trim);
            let whole = parts.next()?;
            // `__data_loc char[] NAME` has the brackets in its type, and others have them behind the name.
            let declared = if whole.starts_with("__data_loc") { whole } else { whole.split('[').next()? };
            let name = declared.rsplit([' ', '*']).next()?.to_owned();
            let mut number = |key: &str| parts.next()?.strip_prefix(key)?.parse().ok();
            Some(Field { name, offset: number("offset:")?, size: number("size:")? })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORMAT: &str = "name: cap_capable\nID: 2073\nformat:\n\
        \tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;\n\
        \tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;\n\n\
        \tfield:struct user_namespace * target_ns;\toffset:16;\tsize:8;\tsigned:0;\n\
        \tfield:int ret;\toffset:36;\tsize:4;\tsigned:1;\n\nprint fmt: \"ret %d\", REC->ret\n";

    #[test]
    fn fields_are_read_where_they_are() {
        let point = Tracepoint { id: 2073, fields: fields(FORMAT).unwrap() };
        let mut raw = vec![0; 40];
        raw[..2].copy_from_slice(&2073u16.to_ne_bytes());
        raw[16..24].copy_from_slice(&7u64.to_ne_bytes());
        raw[36..].copy_from_slice(&(-1i32).to_ne_bytes());
        assert!(point.is_of(&raw));
        assert_eq!((point.number(&raw, "target_ns"), point.number(&raw, "ret")), (Some(7), Some(-1)));
        assert_eq!((point.number(&raw, "cap"), point.number(&raw[..38], "ret")), (None, None));
        assert!(!Tracepoint { id: 1, ..point }.is_of(&raw));
    }

    #[test]
    fn a_tracepoint_that_is_not_there_is_an_error() {
        if let Err(error) = Tracepoint::find("raw_syscalls", "sys_exit") {
            eprintln!("skipped: {error}");
            return;
        }
        let error = Tracepoint::find("raw_syscalls", "nothing").unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENOENT));
    }
}
