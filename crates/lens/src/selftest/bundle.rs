//! A bundle in a folder of its own, run by the runtime that is tried, with a time limit.

use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::mount::UnmountFlags;
use stockade_kernel::mount::info;
use stockade_spec::{Mount, Root, Spec};

use crate::scene;

/// Where this program is in the container.
pub(super) const PROBE: &str = "/probe";
/// How long a container may take, and how often it is looked whether it has ended.
const PATIENCE: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(5);

static NEXT: AtomicU32 = AtomicU32::new(0);

/// What a run came to.
#[derive(Debug)]
pub(super) enum Answer {
    /// It ran, and the program inside said this.
    Said(String),
    /// The runtime refused, or its program could not be executed: what it said.
    Refused(String),
    /// It took too long.
    Hung,
    /// It could not be started.
    Failed(String),
}

impl Answer {
    /// In one line.
    pub(super) fn reason(&self) -> String {
        match self {
            Self::Said(text) | Self::Refused(text) | Self::Failed(text) => one_line(text),
            Self::Hung => format!("it took more than {} seconds", PATIENCE.as_secs()),
        }
    }
}

/// The last line that says something, without control characters; where a program tells how it came to an error, the last one before that.
fn one_line(text: &str) -> String {
    let told = text.split("Stack backtrace:").next().filter(|told| !told.trim().is_empty());
    let text = told.unwrap_or(text);
    let line = text.lines().rev().map(str::trim).find(|line| !line.is_empty()).unwrap_or("it said nothing");
    scene::text(line.as_bytes()).chars().take(300).collect()
}

/// A folder that goes, but for what a runtime has left mounted in it: to remove that could be to remove the host's files.
struct Folder(Option<tempfile::TempDir>);

impl Folder {
    fn path(&self) -> &Path {
        self.0.as_ref().map_or(Path::new("/nonexistent"), tempfile::TempDir::path)
    }

    /// The mounts that are left in it, the last first; `None` if that cannot be told.
    fn mounts(&self) -> Option<Vec<PathBuf>> {
        let mounts = info::parse(&std::fs::read("/proc/self/mountinfo").ok()?).ok()?;
        let points = mounts.iter().rev().map(|mount| PathBuf::from(std::ffi::OsStr::from_bytes(&mount.point)));
        Some(points.filter(|point| point.starts_with(self.path())).collect())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        for point in self.mounts().unwrap_or_default() {
            if rustix::mount::unmount(&point, UnmountFlags::DETACH).is_err() {
                break;
            }
        }
        if self.mounts().is_none_or(|left| !left.is_empty()) {
            drop(self.0.take().map(tempfile::TempDir::keep));
        }
    }
}

/// A bundle and the folder that it is in.
pub(super) struct Bundle {
    runtime: PathBuf,
    program: PathBuf,
    folder: Folder,
    reference: Spec,
    pub(super) id: String,
}

impl Bundle {
    /// With an empty root but for a place for the probe.
    pub(super) fn new(runtime: &Path, program: &Path, reference: Spec) -> io::Result<Self> {
        let folder = tempfile::Builder::new().prefix("stockade-selftest-").tempdir()?;
        std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o711))?;
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let id = format!("stockade-selftest-{}-{number}", std::process::id());
        let folder = Folder(Some(folder));
        let bundle = Self { runtime: runtime.to_owned(), program: program.to_owned(), folder, reference, id };
        for path in ["", "proc", "dev", "sys", "tmp", "bait"] {
            std::fs::create_dir(bundle.rootfs().join(path)).or_else(|error| match error.kind() {
                io::ErrorKind::AlreadyExists => Ok(()),
                _ => Err(error),
            })?;
        }
        File::create(bundle.rootfs().join("probe"))?;
        std::fs::create_dir(bundle.bait())?;
        Ok(bundle)
    }

    pub(super) fn rootfs(&self) -> PathBuf {
        self.folder.path().join("rootfs")
    }

    /// A folder that stands for the host's files.
    pub(super) fn bait(&self) -> PathBuf {
        self.folder.path().join("bait")
    }

    pub(super) fn program(&self) -> &Path {
        &self.program
    }

    pub(super) fn runtime(&self) -> &Path {
        &self.runtime
    }

    /// The configuration: Docker's default walls around the probe's command `what`.
    pub(super) fn spec(&self, what: &str) -> Spec {
        let mut spec = self.reference.clone();
        spec.oci_version = "1.0.2".to_owned();
        spec.root = Some(Root { path: "rootfs".into(), readonly: false });
        let process = spec.process.get_or_insert_default();
        process.cwd = "/".into();
        process.args = [PROBE, super::inside::COMMAND, what].map(str::to_owned).to_vec();
        process.env = vec!["PATH=/".to_owned()];
        let linux = spec.linux.get_or_insert_default();
        linux.cgroups_path = format!("/{}", self.id);
        spec.mounts.push(Mount {
            destination: PROBE.into(),
            source: Some(self.program.clone()),
            kind: Some("bind".to_owned()),
            options: ["bind", "rprivate", "ro", "nosuid", "nodev"].map(str::to_owned).to_vec(),
            ..Mount::default()
        });
        spec
    }

    /// Runs the probe's command in the changed container.
    pub(super) fn ask(&self, what: &str, change: impl FnOnce(&mut Spec)) -> Answer {
        let mut spec = self.spec(what);
        change(&mut spec);
        self.run(&spec, &[])
    }

    /// Runs the container to its end.
    pub(super) fn run(&self, spec: &Spec, variables: &[(&str, &str)]) -> Answer {
        let text = match serde_json::to_vec(spec) {
            Ok(text) => text,
            Err(error) => return Answer::Failed(error.to_string()),
        };
        self.run_text(&text, &self.id, variables)
    }

    /// The same with any text for a configuration, and any id.
    pub(super) fn run_text(&self, config: &[u8], id: &str, variables: &[(&str, &str)]) -> Answer {
        if let Err(error) = std::fs::write(self.folder.path().join("config.json"), config) {
            return Answer::Failed(error.to_string());
        }
        let folder = self.folder.path().to_string_lossy().into_owned();
        let mut command = self.command(&["run", "--bundle", &folder, id]);
        command.envs(variables.iter().copied());
        let answer = self.wait(command);
        self.delete(id);
        answer
    }

    /// `exec` of the probe's command in a container that sleeps.
    pub(super) fn exec(&self, options: &[&str], words: &[&str]) -> Answer {
        let spec = self.spec("sleep");
        let started = match serde_json::to_vec(&spec).map_err(io::Error::from) {
            Ok(text) => std::fs::write(self.folder.path().join("config.json"), text),
            Err(error) => Err(error),
        };
        if let Err(error) = started {
            return Answer::Failed(error.to_string());
        }
        let folder = self.folder.path().to_string_lossy().into_owned();
        let answer = match self.wait(self.command(&["run", "--detach", "--bundle", &folder, &self.id])) {
            Answer::Said(_) => {
                let words = [&["exec"], options, &[self.id.as_str()], words].concat();
                self.wait(self.command(&words))
            }
            other => Answer::Failed(other.reason()),
        };
        self.delete(&self.id);
        answer
    }

    /// The runtime with a state folder of its own, deep enough that an id that climbs stays in the bundle's folder.
    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.runtime);
        command.arg("--root").arg(self.folder.path().join("state/deep/root")).args(words);
        command
    }

    /// Waits for its end; the streams are files, so that who keeps one open keeps nobody waiting.
    fn wait(&self, mut command: Command) -> Answer {
        stockade_kernel::spawn::die_with_caller(&mut command);
        let place = |name: &str| self.folder.path().join(name);
        let mut waited = || -> io::Result<Answer> {
            let (out, err) = (File::create(place("out"))?, File::create(place("err"))?);
            let mut child = command.stdin(Stdio::null()).stdout(out).stderr(err).spawn()?;
            let deadline = Instant::now() + PATIENCE;
            let status = loop {
                if let Some(status) = child.try_wait()? {
                    break status;
                }
                if Instant::now() > deadline {
                    child.kill()?;
                    child.wait()?;
                    return Ok(Answer::Hung);
                }
                std::thread::sleep(LOOK);
            };
            let read = |name: &str| std::fs::read(place(name)).map(|text| String::from_utf8_lossy(&text).into_owned());
            Ok(if status.success() { Answer::Said(read("out")?) } else { Answer::Refused(read("err")?) })
        };
        waited().unwrap_or_else(|error| Answer::Failed(error.to_string()))
    }

    /// Whatever is left of it.
    fn delete(&self, id: &str) {
        drop(self.wait(self.command(&["delete", "--force", id])));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_is_what_a_program_says_last_and_not_how_it_came_to_it() {
        assert_eq!(one_line("a\n b\t\n\n"), "b");
        assert_eq!(
            one_line("Caused by:\n  1: no such group\n\nStack backtrace:\n  0: <unknown>\n"),
            "1: no such group"
        );
        assert_eq!(one_line("Stack backtrace:\n  0: main\n"), "0: main");
        assert_eq!(one_line(""), "it said nothing");
    }
}
