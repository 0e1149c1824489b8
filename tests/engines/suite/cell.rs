//! Where an engine runs: pid, mount and network namespaces of its own, so that a test which is killed leaves nothing running,
//! and the machine's own engines and networks are not met.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use stockade_testkit::Call;
use stockade_testkit::leftovers::Search;
use stockade_testkit::warden::Warden;

/// How long the machine may take for anything that is waited for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Rows and columns of the terminals that tests use.
pub(crate) const SIZE: (u16, u16) = (33, 77);

/// Namespaces with a folder and a cgroup, which are all gone some moments after this value or this process has ended.
pub(crate) struct Cell(Warden);

impl Cell {
    /// Makes the cell `name`.
    ///
    /// # Panics
    /// If it cannot be made.
    pub(crate) fn start(name: &str) -> Self {
        let group = format!("/stockade-test-{}-{name}", std::process::id());
        let warden = Warden::start(include_str!("warden.sh"), &group, &[], "the cell to be made", PATIENCE);
        // The root of a user namespace must be able to walk to its root file system.
        std::fs::set_permissions(warden.folder(), PermissionsExt::from_mode(0o711)).expect("modes can be set");
        Self(warden)
    }

    /// A folder of the cell's own, for everything.
    pub(crate) fn folder(&self) -> &Path {
        self.0.folder()
    }

    /// The cgroup below which all containers are to be made.
    pub(crate) fn group(&self) -> &str {
        self.0.group()
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
        ["--target", self.0.init(), "--mount", "--pid", "--net", "--"]
    }

    /// What is left of the container `id` now, with three seconds for the kernel and the engine.
    pub(crate) fn leftovers(&self, id: &str) -> Vec<String> {
        // Other containers live in the cell: nothing is taken for this one's because of where it is.
        let nowhere = self.0.folder().join("nowhere");
        let mut found = Search { id, folder: &nowhere, state: self.0.folder() }.settle();
        // The name that Podman gives to cgroups.
        let groups = stockade_testkit::cgroup::named(&format!("libpod-{id}"));
        found.extend(groups.iter().map(|path| format!("cgroup {}", path.display())));
        let mounts =
            std::fs::read_to_string(format!("/proc/{}/mountinfo", self.0.init())).expect("mountinfo can be read");
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
