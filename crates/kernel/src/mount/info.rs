//! Reading `/proc/PID/mountinfo` (`proc_pid_mountinfo(5)`): the mounts that a process sees.
//!
//! Paths in it are chosen by whoever mounts, and may contain every byte except zero: the kernel escapes space, tab,
//! newline, backslash and `#` as three octal digits, which are undone here.

use std::io;

use rustix::io::Errno;

use super::Propagation;

/// One mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// The mount's id; reused after it is gone.
    pub id: u32,
    /// The id of the mount that it is mounted on; its own at the top.
    pub parent: u32,
    /// Major and minor number of the file system's device.
    pub device: (u32, u32),
    /// The directory of the file system that is its root.
    pub root: Vec<u8>,
    /// Where it is mounted, relative to the process' root.
    pub point: Vec<u8>,
    /// The mount's own options, for instance `rw`, `nosuid`, `idmapped`.
    pub options: Vec<String>,
    /// The peer group that it shares with (`shared:N`).
    pub shared: Option<u32>,
    /// The peer group that it receives from (`master:N`).
    pub master: Option<u32>,
    /// `unbindable`.
    pub unbindable: bool,
    /// The file system type, with subtype: `fuse.sshfs`.
    pub fs_type: String,
    /// The source as given by whoever mounted it.
    pub source: Vec<u8>,
    /// The file system's options.
    pub super_options: Vec<u8>,
}

impl Mount {
    /// Whether the mount itself has the option `name`.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.options.iter().any(|option| option == name)
    }

    /// How mounts below travel. A mount that is shared and slave at once counts as shared.
    #[must_use]
    pub fn propagation(&self) -> Propagation {
        match (self.shared, self.master, self.unbindable) {
            (Some(_), _, _) => Propagation::Shared,
            (None, Some(_), _) => Propagation::Slave,
            (None, None, true) => Propagation::Unbindable,
            (None, None, false) => Propagation::Private,
        }
    }
}

/// Parses the file's content; the order is the kernel's.
///
/// # Errors
/// `EBADMSG` at a line that is not as `proc_pid_mountinfo(5)` says. Unknown optional fields are allowed there.
pub fn parse(content: &[u8]) -> io::Result<Vec<Mount>> {
    let lines = content.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| parse_line(line).ok_or_else(|| Errno::BADMSG.into())).collect()
}

/// One line; `None` if it is malformed.
fn parse_line(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|&byte| byte == b' ');
    let id = number(fields.next()?)?;
    let parent = number(fields.next()?)?;
    let (major, minor) = text(fields.next()?)?.split_once(':')?;
    let mut mount = Mount {
        id,
        parent,
        device: (major.parse().ok()?, minor.parse().ok()?),
        root: unescape(fields.next()?)?,
        point: unescape(fields.next()?)?,
        options: text(fields.next()?)?.split(',').map(str::to_owned).collect(),
        shared: None,
        master: None,
        unbindable: false,
        fs_type: String::new(),
        source: Vec::new(),
        super_options: Vec::new(),
    };
    loop {
        let field = text(fields.next()?)?;
        match field.split_once(':') {
            Some(("shared", group)) => mount.shared = Some(group.parse().ok()?),
            Some(("master", group)) => mount.master = Some(group.parse().ok()?),
            None if field == "unbindable" => mount.unbindable = true,
            None if field == "-" => break,
            _ => {}
        }
    }
    mount.fs_type = String::from_utf8(unescape(fields.next()?)?).ok()?;
    mount.source = unescape(fields.next()?)?;
    // The file system's own text: not every one escapes spaces in it.
    mount.super_options = fields.collect::<Vec<_>>().join(&b' ');
    Some(mount)
}

/// `field` as text.
fn text(field: &[u8]) -> Option<&str> {
    std::str::from_utf8(field).ok()
}

/// `field` as a decimal number.
fn number(field: &[u8]) -> Option<u32> {
    text(field)?.parse().ok()
}

/// Undoes the kernel's `\ooo`; `None` at a backslash that does not begin one.
fn unescape(field: &[u8]) -> Option<Vec<u8>> {
    let mut plain = Vec::with_capacity(field.len());
    let mut rest = field;
    while let [first, tail @ ..] = rest {
        if *first != b'\\' {
            plain.push(*first);
            rest = tail;
            continue;
        }
        let (digits, tail) = tail.split_at_checked(3)?;
        let value = digits.iter().try_fold(0u32, |value, digit| {
            (b'0'..=b'7').contains(digit).then(|| value * 8 + u32::from(digit - b'0'))
        })?;
        plain.push(u8::try_from(value).ok()?);
        rest = tail;
    }
    Some(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manual_pages_example_is_read() {
        let line =
            b"36 35 98:0 /mnt1 /mnt\\0402 rw,noatime master:1 propagate_from:3 - ext3 /dev/root rw,errors=continue\n";
        let mounts = parse(line).unwrap();
        let mount = &mounts[0];
        assert_eq!((mount.id, mount.parent, mount.device), (36, 35, (98, 0)));
        assert_eq!((&mount.root[..], &mount.point[..]), (&b"/mnt1"[..], &b"/mnt 2"[..]));
        assert!(mount.has("noatime") && !mount.has("ro"));
        assert_eq!(mount.propagation(), Propagation::Slave);
        assert_eq!((mount.fs_type.as_str(), &mount.source[..]), ("ext3", &b"/dev/root"[..]));
        assert_eq!(mount.super_options, b"rw,errors=continue");
    }

    #[test]
    fn hostile_names_come_out_as_they_are() {
        let mounts = parse(b"1 1 0:1 / /a\\134040\\012\xff rw - tmpfs no\\043ne rw\n").unwrap();
        assert_eq!(mounts[0].point, b"/a\\040\n\xff");
        assert_eq!(mounts[0].source, b"no#ne");
    }

    #[test]
    fn malformed_lines_are_refused() {
        for line in [
            "1 1 0:1 / / rw tmpfs none rw",
            "1 1 01 / / rw - tmpfs none rw",
            "1 1 0:1 / /a\\04 rw - tmpfs none rw",
            "1 1 0:1 / /a\\777 rw - tmpfs none rw",
            "1 1 0:1 / / rw shared:x - tmpfs none rw",
            "1",
        ] {
            assert!(parse(line.as_bytes()).is_err(), "{line}");
        }
    }

    #[test]
    fn cut_and_changed_content_never_panics() {
        let whole = std::fs::read("/proc/self/mountinfo").unwrap();
        assert!(!parse(&whole).unwrap().is_empty());
        for length in 0..whole.len().min(2000) {
            drop(parse(&whole[..length]));
            let mut changed = whole[..whole.len().min(2000)].to_vec();
            changed[length] ^= 0x5c;
            drop(parse(&changed));
        }
    }
}
