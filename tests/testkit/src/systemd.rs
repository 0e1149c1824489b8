//! A systemd in namespaces of its own: the first process of a pid namespace, with a part of the cgroup2 hierarchy as all of its
//! cgroups. It knows no unit but those that it makes itself, and is gone with the test's process.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::call::Call;
use crate::warden::Warden;

/// How long it may take to boot and to end, also on an emulated machine.
const PATIENCE: Duration = Duration::from_secs(180);
const PROGRAM: &str = "/lib/systemd/systemd";

static NEXT: AtomicU32 = AtomicU32::new(0);

/// Whether one can be booted here.
#[must_use]
pub fn is_there() -> bool {
    Path::new(PROGRAM).exists() && crate::programs::on_path("nsenter").is_some() && hierarchy().is_some()
}

/// Where cgroup2 is mounted.
fn hierarchy() -> Option<PathBuf> {
    crate::cgroup::hierarchies().into_iter().find(|one| one.kind == "cgroup2").map(|one| one.mount)
}

/// A systemd that runs.
pub struct Systemd(Warden);

impl Systemd {
    /// Boots one.
    ///
    /// # Panics
    /// If it does not boot.
    #[must_use]
    pub fn boot() -> Self {
        let name = format!("stockade-test-systemd-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let group = hierarchy().expect("cgroup2 is mounted").join(name);
        let group = group.to_str().expect("mounts have plain names");
        Self(Warden::start(include_str!("systemd.sh"), group, &[PROGRAM.as_ref()], "systemd to boot", PATIENCE))
    }

    /// A program that runs `program` beside it, in its namespaces.
    ///
    /// # Panics
    /// If it can not be written.
    #[must_use]
    pub fn door(&self, program: &Path) -> PathBuf {
        let path = self.0.folder().join(program.file_name().expect("a program has a name"));
        let text = format!(
            "#!/bin/sh\n{}exec nsenter --target {} --mount --pid --cgroup -- '{}' \"$@\"\n",
            self.entry(),
            self.0.init(),
            program.display()
        );
        std::fs::write(&path, text).expect("a file can be written");
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).expect("modes can be set");
        path
    }

    /// `program` beside it.
    #[must_use]
    pub fn call(&self, program: &str) -> Call {
        let script =
            format!("{}exec nsenter --target {} --mount --pid --cgroup -- \"$@\"", self.entry(), self.0.init());
        Call::new("sh").args(["-c", &script, "sh", program])
    }

    /// The line of a shell by which it is in one of systemd's groups: where they are delegated to their namespace (`nsdelegate`), no process is moved into
    /// one from outside, as the one that a runtime has systemd make a scope around.
    fn entry(&self) -> String {
        format!("mkdir -p '{0}' && echo 0 >'{0}/cgroup.procs' || exit 99\n", self.group("/callers").display())
    }

    /// What `systemctl show` says of the property `name` of `unit`.
    #[must_use]
    #[track_caller]
    pub fn property(&self, unit: &str, name: &str) -> String {
        self.call("systemctl").args(["show", "--value", "-p", name, unit]).run().ok().out().trim().to_owned()
    }

    /// Whether it knows `unit`.
    #[must_use]
    #[track_caller]
    pub fn knows(&self, unit: &str) -> bool {
        self.property(unit, "LoadState") != "not-found"
    }

    /// The folder of the cgroup `path`, beginning with a slash as systemd tells it, as seen from the test.
    #[must_use]
    pub fn group(&self, path: &str) -> PathBuf {
        Path::new(self.0.group()).join(path.trim_start_matches('/'))
    }
}
