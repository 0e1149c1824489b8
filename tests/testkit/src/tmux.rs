//! A real terminal, tmux's, with a shell of the host in it: typed at, resized, and looked at as a person would.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::call::eventually;

/// How long anything may take.
const LIMIT: Duration = Duration::from_secs(30);

/// A terminal of 80 columns and 24 lines, whose shell says `host$ ` when it waits.
pub struct Tmux {
    folder: tempfile::TempDir,
}

impl Tmux {
    /// Starts a server of its own with one window.
    ///
    /// # Panics
    /// If tmux or bash does not start.
    #[must_use]
    pub fn start() -> Self {
        let tmux = Self { folder: tempfile::tempdir().expect("a folder can be made") };
        let shell = "exec env PS1='host$ ' TERM=screen bash --norc --noprofile -i";
        tmux.tell(&["-f", "/dev/null", "new-session", "-d", "-x", "80", "-y", "24", shell]);
        tmux.tell(&["set-option", "-g", "status", "off"]);
        tmux.shows("host$");
        tmux
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("tmux")
    }

    /// Gives tmux a command, which must succeed: what it says.
    #[track_caller]
    fn tell(&self, words: &[&str]) -> String {
        let mut command = Command::new("tmux");
        command.arg("-S").arg(self.socket()).args(words).env_remove("TMUX").env("LC_ALL", "C.UTF-8");
        let output = command.stdin(Stdio::null()).output().expect("tmux starts");
        assert!(output.status.success(), "tmux {words:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Types `text` as it is.
    ///
    /// # Panics
    /// If the terminal is gone.
    #[track_caller]
    pub fn types(&self, text: &str) {
        self.tell(&["send-keys", "-l", "--", text]);
    }

    /// Types `text` and the enter key.
    ///
    /// # Panics
    /// As [`Self::types`].
    #[track_caller]
    pub fn enters(&self, text: &str) {
        self.types(text);
        self.presses(&["Enter"]);
    }

    /// Presses keys by tmux's names: `C-c`, `Up`, `BSpace`.
    ///
    /// # Panics
    /// As [`Self::types`].
    #[track_caller]
    pub fn presses(&self, keys: &[&str]) {
        self.tell(&[&["send-keys", "--"], keys].concat());
    }

    /// Makes the window another size.
    ///
    /// # Panics
    /// As [`Self::types`].
    #[track_caller]
    pub fn resize(&self, rows: u16, columns: u16) {
        self.tell(&["resize-window", "-x", &columns.to_string(), "-y", &rows.to_string()]);
    }

    /// What stands on the screen.
    ///
    /// # Panics
    /// As [`Self::types`].
    #[must_use]
    #[track_caller]
    pub fn screen(&self) -> String {
        self.tell(&["capture-pane", "-p", "-J"])
    }

    /// Waits until some line is `line`, white space at its end left out.
    ///
    /// # Panics
    /// If that does not happen in time; the message has the screen.
    #[track_caller]
    pub fn shows(&self, line: &str) {
        self.until(line, |screen| screen.lines().any(|found| found.trim_end() == line));
    }

    /// Waits until `text` stands somewhere.
    ///
    /// # Panics
    /// As [`Self::shows`].
    #[track_caller]
    pub fn shows_part(&self, text: &str) {
        self.until(text, |screen| screen.contains(text));
    }

    #[track_caller]
    fn until(&self, what: &str, is_there: impl Fn(&str) -> bool) {
        let seen = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            eventually(what, LIMIT, || is_there(&self.screen()));
        }));
        assert!(seen.is_ok(), "{what:?} is not on the screen:\n{}", self.screen());
    }

    /// Empties the screen, at a prompt of the host's shell or the container's.
    ///
    /// # Panics
    /// As [`Self::types`].
    #[track_caller]
    pub fn clears(&self) {
        self.presses(&["C-l"]);
    }

    /// Asserts that the host's shell is there, and that programs find a terminal that edits lines, echoes and sends signals.
    ///
    /// # Panics
    /// If that is not so.
    #[track_caller]
    pub fn is_sane(&self) {
        // bash has modes of its own while it edits; those that count are what it gives to programs.
        let file = self.folder.path().join("modes");
        self.enters(&format!("stty -a >{0}.new; mv {0}.new {0}", file.display()));
        eventually("the modes of the terminal", LIMIT, || file.exists());
        let modes = std::fs::read_to_string(&file).expect("the file can be read");
        std::fs::remove_file(&file).expect("the file can be removed");
        let words: Vec<&str> = modes.split([' ', ';', '\n']).collect();
        for mode in ["icanon", "echo", "isig", "opost", "icrnl"] {
            assert!(words.contains(&mode), "{mode} is off: {modes}\n{}", self.screen());
        }
    }
}

impl Drop for Tmux {
    fn drop(&mut self) {
        let mut command = Command::new("tmux");
        command.arg("-S").arg(self.socket()).arg("kill-server").stdin(Stdio::null()).stderr(Stdio::null());
        if let Err(error) = command.status() {
            eprintln!("tmux kill-server: {error}");
        }
    }
}
