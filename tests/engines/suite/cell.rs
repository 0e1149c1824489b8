//! Where an engine runs: pid, mount and network namespaces of its own, so that a test which is killed leaves nothing running,
//! and the machine's own engines and networks are not met.

use std::fs::File;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use stockade_testkit::leftovers::Search;
use stockade_testkit::{Call, eventually};

/// How long the machine may take for anything that is waited for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Rows and columns of the terminals that tests use.
pub(crate) const SIZE: (u16, u16) = (33, 77);

/// Namespaces with a folder and a cgroup, which are all gone some moments after this value or this process has ended.
pub(crate) struct Cell {
    folder: PathBuf,
    group: String,
    /// The host's id of the cell's first process.
    init: String,
    /// Ends with its standard input.
    warden: Child,
}

impl Cell {
    /// Makes the cell `name`.
    ///
    /// # Panics
    /// If it cannot be made.
    pub(crate) fn start(name: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("stockade-test-").tempdir().expect("a folder can be made").keep();
        // The root of a user namespace must be able to walk to its root file system.
        std::fs::set_permissions(&folder, PermissionsExt::from_mode(0o711)).expect("modes can be set");
        let group = format!("/stockade-test-{}-{name}", std::process::id());
        let log = File::create(folder.join("warden.log")).expect("a file can be made");
        let mut command = Command::new("sh");
        command.args(["-c", include_str!("warden.sh"), "warden"]).arg(&folder).arg(&group);
        // Not of the terminal's process group: it has to outlive an interrupted test.
        command.stdin(Stdio::piped()).process_group(0);
        command.stdout(log.try_clone().expect("a file can be duplicated")).stderr(log);
        let warden = command.spawn().expect("sh starts");
        eventually("the cell to be made", PATIENCE, || folder.join("pid").exists());
        let init = std::fs::read_to_string(folder.join("pid")).expect("the cell's pid can be read").trim().to_owned();
        Self { folder, group, init, warden }
    }

    /// A folder of the cell's own, for everything.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The cgroup below which all containers are to be made.
    pub(crate) fn group(&self) -> &str {
        &self.group
    }

    /// `program` in the cell's namespaces, about to run.
    pub(crate) fn call(&self, program: &str) -> Call {
        Call::new("nsenter").args(self.entering()).arg(program)
    }

    /// `command` in the cell's namespaces on a terminal of [`SIZE`], all of whose output is its standard output.
    pub(crate) fn call_on_terminal(&self, command: &[String]) -> Call {
        let words = std::iter::once("nsenter").chain(self.entering()).chain(command.iter().map(String::as_str));
        let quoted: Vec<String> = words.map(|word| format!("'{}'", word.replace('\'', r"'\''"))).collect();
        let (rows, columns) = SIZE;
        let line = format!("stty rows {rows} cols {columns}; exec {}", quoted.join(" "));
        Call::new("script").args(["-qec", &line, "/dev/null"])
    }

    fn entering(&self) -> [&str; 6] {
        ["--target", &self.init, "--mount", "--pid", "--net", "--"]
    }

    /// What is left of the container `id` now, with three seconds for the kernel and the engine.
    pub(crate) fn leftovers(&self, id: &str) -> Vec<String> {
        // Other containers live in the cell: nothing is taken for this one's because of where it is.
        let nowhere = self.folder.join("nowhere");
        let mut found = Search { id, folder: &nowhere, state: &self.folder }.settle();
        // The name that Podman gives to cgroups.
        let groups = stockade_testkit::cgroup::named(&format!("libpod-{id}"));
        found.extend(groups.iter().map(|path| format!("cgroup {}", path.display())));
        let mounts = std::fs::read_to_string(format!("/proc/{}/mountinfo", self.init)).expect("mountinfo can be read");
        found.extend(mounts.lines().filter(|line| line.contains(id)).map(|line| format!("mount {line}")));
        found
    }

    /// Asserts that nothing is left of the container `id`.
    ///
    /// # Panics
    /// If something is.
    #[track_caller]
    pub(crate) fn assert_gone(&self, id: &str) {
        let found = self.leftovers(id);
        assert!(found.is_empty(), "left behind: {found:#?}");
    }
}

impl Drop for Cell {
    /// For a cell that is not kept for the whole process: ends it and waits.
    fn drop(&mut self) {
        drop(self.warden.stdin.take());
        let ended = self.warden.wait().expect("the warden can be waited for");
        if !std::thread::panicking() {
            assert!(ended.success(), "the warden could not remove {} or {}", self.folder.display(), self.group);
        }
    }
}
