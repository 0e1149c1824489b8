//! What a group's files said before they were changed: a change that fails halfway is taken back.

use std::path::PathBuf;

use super::Group;
use crate::files::FileError;
use crate::write::{Missing, Write};

/// A file, and what has to be written to it to make it say what it said.
#[derive(Debug)]
pub(super) struct Earlier {
    member: usize,
    /// The file that tells.
    file: String,
    /// What it told.
    text: String,
    /// Which files take what, in order; empty: what it told can not be written.
    undo: Vec<(String, String)>,
}

impl Group {
    /// What the files that `writes` will change say now.
    ///
    /// # Errors
    /// [`FileError`] if one of them is there and can not be read.
    pub(super) fn remember(&self, writes: &[(usize, Write)]) -> Result<Vec<Earlier>, FileError> {
        let mut all: Vec<Earlier> = Vec::with_capacity(writes.len());
        for (index, write) in writes.iter().filter(|(_, write)| !write.value.is_empty()) {
            let Some(member) = self.members.get(*index) else { continue };
            let mut write = write;
            let (file, text) = loop {
                let file = teller(&write.file);
                match (member.directory.read_if_there(file)?, &write.missing) {
                    (Some(text), _) => break (file, text),
                    (None, Missing::Instead(other)) => write = other,
                    (None, _) => break (file, String::new()),
                }
            };
            let undo = undo(&write.file, &write.value, &text);
            match all.iter_mut().find(|earlier| earlier.member == *index && earlier.file == file) {
                // Another line of a file that was read before.
                Some(earlier) => earlier.undo.extend(undo.into_iter().filter(|_| file != DEVICES)),
                None => all.push(Earlier { member: *index, file: file.to_owned(), text, undo }),
            }
        }
        Ok(all)
    }

    /// Gives the files back what they said, the last first; one that the kernel refuses because of another is tried again
    /// after it. Returns the files that say something else at the end.
    pub(super) fn give_back(&self, earlier: Vec<Earlier>) -> Vec<PathBuf> {
        let mut left = earlier;
        left.reverse();
        loop {
            let before = left.len();
            left.retain(|earlier| !self.is_given_back(earlier));
            if left.is_empty() || left.len() == before {
                break;
            }
        }
        let path = |earlier: &Earlier| Some(self.members.get(earlier.member)?.directory.path().join(&earlier.file));
        left.iter().filter_map(path).collect()
    }

    /// Writes one file back; whether it says what it said.
    fn is_given_back(&self, earlier: &Earlier) -> bool {
        let Some(member) = self.members.get(earlier.member) else { return true };
        let says =
            || member.directory.read_if_there(&earlier.file).is_ok_and(|now| now.unwrap_or_default() == earlier.text);
        // What counts is what the file says afterwards, and not which of the writes the kernel liked.
        says() || (earlier.undo.iter().all(|(file, value)| member.directory.write(file, value).is_ok()) && says())
    }
}

/// What `devices.allow` and `devices.deny` of cgroup v1 change.
const DEVICES: &str = "devices.list";

/// The file that shows what `file` changes.
fn teller(file: &str) -> &str {
    if matches!(file, "devices.allow" | "devices.deny") { DEVICES } else { file }
}

/// What has to be written after `asked` was written to `file`, so that it says `text` again.
fn undo(file: &str, asked: &str, text: &str) -> Vec<(String, String)> {
    let to_file = |value: String| vec![(file.to_owned(), value)];
    let line = |key: &str| text.lines().find(|line| line.split(' ').next() == Some(key)).map(str::to_owned);
    let (key, word) = asked.split_once(' ').unwrap_or((asked, ""));
    match file {
        "devices.allow" | "devices.deny" => devices(text),
        "memory.oom_control" => {
            let value = line("oom_kill_disable").and_then(|line| line.split(' ').nth(1).map(str::to_owned));
            value.map(to_file).unwrap_or_default()
        }
        "io.max" | "rdma.max" => {
            let unlimited =
                || word.split(' ').filter_map(|word| word.split_once('=')).map(|(name, _)| format!("{name}=max"));
            to_file(line(key).unwrap_or_else(|| format!("{key} {}", unlimited().collect::<Vec<_>>().join(" "))))
        }
        "io.weight" | "io.bfq.weight" if word.is_empty() => line("default").map(to_file).unwrap_or_default(),
        "io.weight" | "io.bfq.weight" => to_file(line(key).unwrap_or_else(|| format!("{key} default"))),
        // The other files with a line for each device or interface: without a line, no value is set.
        _ if !word.is_empty() && file != "cpu.max" => to_file(line(key).unwrap_or_else(|| format!("{key} 0"))),
        // An empty list is asked for by a newline.
        _ => to_file(if text.trim().is_empty() { "\n".to_owned() } else { text.trim().to_owned() }),
    }
}

/// The rules of `list` anew. A list that allows all does not tell its exceptions, so that it can not be had again.
fn devices(list: &str) -> Vec<(String, String)> {
    if list.lines().any(|line| line.starts_with('a')) {
        return Vec::new();
    }
    let deny = ("devices.deny".to_owned(), "a".to_owned());
    std::iter::once(deny).chain(list.lines().map(|line| ("devices.allow".to_owned(), line.to_owned()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_file_is_written_back() {
        for (file, asked, text, expected) in [
            ("pids.max", "5", "max\n", "max"),
            ("cpu.max", "5 100", "max 100000\n", "max 100000"),
            ("cpuset.cpus", "0", "\n", "\n"),
            ("memory.oom_control", "1", "oom_kill_disable 0\nunder_oom 0\n", "0"),
            ("io.max", "8:0 rbps=5", "8:16 rbps=1 wbps=max\n", "8:0 rbps=max"),
            ("io.max", "8:0 rbps=5", "8:0 rbps=1 wbps=max\n", "8:0 rbps=1 wbps=max"),
            ("io.bfq.weight", "50", "default 100\n8:0 7\n", "default 100"),
            ("io.bfq.weight", "8:0 50", "default 100\n", "8:0 default"),
            ("blkio.throttle.read_bps_device", "8:0 5", "8:16 1\n", "8:0 0"),
            ("net_prio.ifpriomap", "eth0 5", "lo 0\neth0 3\n", "eth0 3"),
        ] {
            assert_eq!(undo(file, asked, text), [(file.to_owned(), expected.to_owned())], "{file} {asked}");
        }
        let rules = undo("devices.allow", "c 1:3 rwm", "c 1:5 r\n");
        assert_eq!(rules[0], ("devices.deny".to_owned(), "a".to_owned()));
        assert_eq!(rules[1], ("devices.allow".to_owned(), "c 1:5 r".to_owned()));
        assert!(undo("devices.deny", "a", "a *:* rwm\n").is_empty(), "its exceptions are not known");
    }
}
