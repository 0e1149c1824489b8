//! A shell script that makes a place for a test in namespaces of its own and takes it away again, also when the test's process is killed: it ends
//! with its standard input.

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::call::eventually;

/// The place, which is gone some moments after this value or this process has ended.
pub struct Warden {
    folder: PathBuf,
    /// What the script is to remove besides.
    group: String,
    /// The host's id of the place's first process.
    init: String,
    script: Child,
}

impl Warden {
    /// Runs `script` with a new folder, `group` and `words`, and waits until it has written the id of the first process to `pid` in that
    /// folder; `what` is what is waited for.
    ///
    /// # Panics
    /// If it does not, in `patience`.
    #[must_use]
    pub fn start(script: &str, group: &str, words: &[&OsStr], what: &str, patience: Duration) -> Self {
        let folder = tempfile::Builder::new().prefix("stockade-test-").tempdir().expect("a folder can be made").keep();
        let log = File::create(folder.join("warden.log")).expect("a file can be made");
        let mut command = Command::new("sh");
        command.args(["-c", script, "warden"]).arg(&folder).arg(group).args(words);
        // Not of the terminal's process group: it has to outlive an interrupted test.
        command.stdin(Stdio::piped()).process_group(0);
        command.stdout(log.try_clone().expect("a file can be duplicated")).stderr(log);
        let script = command.spawn().expect("sh starts");
        eventually(what, patience, || folder.join("pid").exists());
        let init = std::fs::read_to_string(folder.join("pid")).expect("the first process' id can be read");
        Self { folder, group: group.to_owned(), init: init.trim().to_owned(), script }
    }

    /// The place's folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The cgroup that it was given.
    #[must_use]
    pub fn group(&self) -> &str {
        &self.group
    }

    /// The host's id of its first process.
    #[must_use]
    pub fn init(&self) -> &str {
        &self.init
    }
}

impl Drop for Warden {
    fn drop(&mut self) {
        drop(self.script.stdin.take());
        let ended = self.script.wait().expect("the warden can be waited for");
        if !std::thread::panicking() {
            assert!(ended.success(), "the warden could not remove {} or {}", self.folder.display(), self.group);
        }
    }
}
