//! What the tests of this crate share.

use std::process::Command;

use tar::{EntryType, Header};

/// The variable that a test finds set when it runs in a mount namespace of its own.
const INSIDE: &str = "STOCKADE_TEST_OWN_MOUNTS";

/// Whether the caller is in a mount namespace of its own. If it is not, it runs the test `name` of this program in one
/// and fails if that fails.
pub(crate) fn in_own_mounts(name: &str) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private"]).arg(std::env::current_exe().unwrap());
    command.args(["--exact", name, "--nocapture"]).env(INSIDE, "1");
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("1 passed"), "{name} names no test: {text}");
    false
}

/// An archive that is made entry by entry, with names that no honest program would write.
#[derive(Default)]
pub(crate) struct Pack(Vec<u8>);

impl Pack {
    /// Appends an entry; `change` may set what else is in the header.
    pub(crate) fn entry(mut self, kind: EntryType, path: &str, data: &[u8], change: impl FnOnce(&mut Header)) -> Self {
        let mut header = Header::new_ustar();
        header.set_entry_type(kind);
        header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
        header.set_mode(if kind == EntryType::Directory { 0o755 } else { 0o644 });
        header.set_size(data.len() as u64);
        header.set_mtime(1_000_000_000);
        header.set_uid(0);
        header.set_gid(0);
        change(&mut header);
        header.set_cksum();
        self.0.extend_from_slice(header.as_bytes());
        self.0.extend_from_slice(data);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    pub(crate) fn file(self, path: &str, data: &str) -> Self {
        self.entry(EntryType::Regular, path, data.as_bytes(), |_| {})
    }

    pub(crate) fn folder(self, path: &str) -> Self {
        self.entry(EntryType::Directory, path, b"", |_| {})
    }

    /// A link of either kind.
    pub(crate) fn link(self, kind: EntryType, path: &str, target: &str) -> Self {
        self.entry(kind, path, b"", |header| header.set_link_name_literal(target).unwrap())
    }

    pub(crate) fn symlink(self, path: &str, target: &str) -> Self {
        self.link(EntryType::Symlink, path, target)
    }

    pub(crate) fn device(self, path: &str, major: u32, minor: u32) -> Self {
        self.entry(EntryType::Char, path, b"", |header| {
            header.set_device_major(major).unwrap();
            header.set_device_minor(minor).unwrap();
        })
    }

    /// A pax header with these records, for the entry that follows.
    pub(crate) fn pax(self, records: &[(&str, &[u8])]) -> Self {
        let mut text = Vec::new();
        for (key, value) in records {
            let body = key.len() + value.len() + 3;
            let length = (1..).map(|digits| body + digits).find(|length| length.to_string().len() + body == *length);
            text.extend_from_slice(format!("{} {key}=", length.unwrap()).as_bytes());
            text.extend_from_slice(value);
            text.push(b'\n');
        }
        self.entry(EntryType::XHeader, "pax", &text, |_| {})
    }

    /// The archive with its end.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.0.extend_from_slice(&[0; 1024]);
        self.0
    }
}
