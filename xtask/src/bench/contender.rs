//! Those who are measured, and the work that they do.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use stockade_testkit::{ends_within, posture, programs};

use super::report::{Against, FLOOR, Goal};
use super::world::{World, hierarchies};

/// The name of what is measured.
pub(crate) const OURS: &str = "stake";

/// How a contender is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// With an OCI runtime's command line.
    Runtime,
    /// As the head of `bench/floor/main.rs` says.
    Floor,
}

/// A program under measurement.
pub(crate) struct Contender {
    pub(crate) name: String,
    program: PathBuf,
    kind: Kind,
    exec: Exec,
}

/// Whether what it adds to a container may be held against what others add.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Exec {
    /// It has the container's walls.
    Walled,
    /// It lacks one, and so is no match.
    Bare,
}

/// One kind of work, done by one call or by several.
pub(crate) struct Work {
    pub(crate) name: &'static str,
    /// What is there while the clock runs.
    pub(crate) around: Around,
    /// What it may take of the best runtime's time, and of the floor's, in each world.
    pub(super) goals: [&'static [Goal]; 2],
    /// The calls that are measured; `ID` and `BUNDLE` are replaced.
    calls: &'static [&'static [&'static str]],
}

/// Makes the images that are missing, and the programs as they ship unless `STOCKADE_BIN_DIR` names others.
///
/// # Errors
/// If a build fails.
pub(crate) fn build() -> Result<(), String> {
    crate::images::make()?;
    if std::env::var_os(programs::BIN_DIR).is_some() { Ok(()) } else { crate::tests::build() }
}

/// What is there while the calls are measured.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Around {
    /// Nothing.
    Nothing,
    /// A running container.
    Running,
}

pub(crate) const WORKS: [Work; 3] = [
    Work {
        name: "run of /bin/true",
        around: Around::Nothing,
        goals: [
            &[Goal::of(Against::Best, 0.35), Goal::of(Against::Row(FLOOR), 1.6)],
            &[Goal::of(Against::Best, 0.6), Goal::of(Against::Row(FLOOR), 1.5)],
        ],
        calls: &[&["run", "--bundle", "BUNDLE", "ID"]],
    },
    Work {
        name: "create, start and delete",
        around: Around::Nothing,
        goals: [&[Goal::of(Against::Best, 0.35)], &[Goal::of(Against::Best, 0.5)]],
        calls: &[&["create", "--bundle", "BUNDLE", "ID"], &["start", "ID"], &["delete", "--force", "ID"]],
    },
    Work {
        name: "exec of /bin/true",
        around: Around::Running,
        goals: [&[Goal::of(Against::Best, 0.4)], &[Goal::of(Against::Best, 0.6)]],
        calls: &[&["exec", "ID", "/bin/true"]],
    },
];

/// The folder with the bundles and the contenders' state.
pub(crate) struct Place {
    folder: PathBuf,
    target: PathBuf,
    rootfs: PathBuf,
}

impl Place {
    /// Makes it, with the bundles `true` and `sleep`, the filter for the floor, and the section of it.
    pub(crate) fn make(folder: &Path, target: &Path) -> Result<Self, String> {
        // runc takes no root file system that a link leads to.
        let rootfs = target.join("images/busybox/rootfs");
        let rootfs = rootfs.canonicalize().map_err(|error| format!("{}: {error}", rootfs.display()))?;
        let place = Self { folder: folder.to_owned(), target: target.to_owned(), rootfs };
        place.bundle("true", &group(), &["/bin/true"])?;
        place.bundle("sleep", &group(), &["/bin/sleep", "600"])?;
        let section = place.path("section.json");
        std::fs::write(&section, posture::seccomp().to_string()).map_err(|error| error.to_string())?;
        let mut filter = Command::new(place.program("measure"));
        succeed("measure", filter.arg("filter").arg(section).arg(place.path("filter")))?;
        Ok(place)
    }

    /// A program of this build, or of the folder that `STOCKADE_BIN_DIR` names.
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        let release = || self.target.join(programs::TARGET).join("release");
        std::env::var_os(programs::BIN_DIR).map_or_else(release, PathBuf::from).join(name)
    }

    /// A file of this folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Docker's posture on the busybox image.
    pub(crate) fn bundle(&self, name: &str, group: &str, arguments: &[&str]) -> Result<(), String> {
        let folder = self.path(name);
        let say = |error: std::io::Error| format!("{}: {error}", folder.display());
        std::fs::create_dir_all(&folder).map_err(say)?;
        let mut config = posture::docker("", arguments);
        config["root"]["path"] = self.rootfs.display().to_string().into();
        config["linux"]["cgroupsPath"] = format!("/{group}").into();
        World::here()?.keep_possible(&mut config["linux"]["resources"])?;
        std::fs::write(folder.join("config.json"), config.to_string()).map_err(say)
    }

    /// Removes all of it.
    pub(crate) fn remove(&self) -> Result<(), String> {
        std::fs::remove_dir_all(&self.folder).map_err(|error| format!("{}: {error}", self.folder.display()))
    }
}

/// The container's cgroup.
pub(crate) fn group() -> String {
    format!("stockade-bench-{}", std::process::id())
}

impl Contender {
    /// An OCI runtime, which is a peer unless it is called [`OURS`].
    pub(crate) fn runtime(name: &str, program: PathBuf) -> Self {
        Self { name: name.to_owned(), program, kind: Kind::Runtime, exec: Exec::Walled }
    }

    /// The floor.
    pub(crate) fn floor(program: PathBuf) -> Self {
        Self { name: FLOOR.to_owned(), program, kind: Kind::Floor, exec: Exec::Walled }
    }

    /// The same, not to be held against others by what it adds to a container.
    pub(crate) fn without_exec(self) -> Self {
        Self { exec: Exec::Bare, ..self }
    }

    /// Whether it has the work's calls, and the walls that they cost: the floor keeps no state between two.
    pub(crate) fn can(&self, work: &Work) -> bool {
        let adds = work.around == Around::Running;
        (self.kind == Kind::Runtime || work.calls.len() == 1) && !(adds && self.exec == Exec::Bare)
    }

    /// What it says of itself.
    pub(crate) fn version(&self) -> String {
        let output = Command::new(&self.program).arg("--version").output();
        let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
        text.lines().next().unwrap_or("unknown version").to_owned()
    }

    /// How long the work's calls take, together.
    pub(crate) fn measure(&self, work: &Work, place: &Place) -> Result<Duration, String> {
        match work.around {
            Around::Nothing => {
                let start = Instant::now();
                let done = work.calls.iter().try_for_each(|call| self.call(call, place, "true", "/bin/true"));
                let took = start.elapsed();
                if done.is_err() && self.kind == Kind::Runtime {
                    self.call(&["delete", "--force", "ID"], place, "true", "").and(done.clone())?;
                }
                done.map(|()| took)
            }
            Around::Running => self.beside_running(place, |contender| {
                let start = Instant::now();
                work.calls.iter().try_for_each(|call| contender.call(call, place, "true", "/bin/true"))?;
                Ok(start.elapsed())
            }),
        }
    }

    /// Acts while a container of its own runs; the floor's is made by `stake`.
    pub(crate) fn beside_running<T>(
        &self,
        place: &Place,
        act: impl FnOnce(&Self) -> Result<T, String>,
    ) -> Result<T, String> {
        let maker = match self.kind {
            Kind::Runtime => self,
            Kind::Floor => &Self::runtime(&self.name, place.program(OURS)),
        };
        let pid_file = place.path("pid").display().to_string();
        maker.call(&["run", "--detach", "--pid-file", &pid_file, "--bundle", "BUNDLE", "ID"], place, "sleep", "")?;
        let acted = act(self);
        let deleted = maker.call(&["delete", "--force", "ID"], place, "true", "");
        acted.and_then(|value| deleted.map(|()| value))
    }

    /// One call, which must succeed: a runtime's with a bundle of `place`, or the floor's with `program` in a shell's words.
    pub(crate) fn call(&self, words: &[&str], place: &Place, bundle: &str, program: &str) -> Result<(), String> {
        let mut command = match self.kind {
            Kind::Runtime => self.command(words, place, bundle, "bench"),
            Kind::Floor => self.floor_command(words, place, &group(), &[program])?,
        };
        self.finish(&mut command, place, "bench")
    }

    /// Runs `/bin/true` under an id and in a cgroup of the lane's own.
    pub(crate) fn run_in_lane(&self, lane: usize, place: &Place) -> Result<(), String> {
        let bundle = self.lane(lane);
        let group = format!("{}-{bundle}", group());
        let mut command = match self.kind {
            Kind::Floor => self.floor_command(&["run"], place, &group, &["/bin/true"])?,
            Kind::Runtime => {
                if !place.path(&bundle).is_dir() {
                    place.bundle(&bundle, &group, &["/bin/true"])?;
                }
                self.command(&["run", "--bundle", "BUNDLE", "ID"], place, &bundle, &bundle)
            }
        };
        self.finish(&mut command, place, &bundle)
    }

    /// The name of a lane's container, and of its bundle.
    fn lane(&self, lane: usize) -> String {
        format!("lane-{}-{lane}", self.name)
    }

    /// Whether it is somebody else's.
    pub(crate) fn is_peer(&self) -> bool {
        self.kind == Kind::Runtime && self.name != OURS
    }

    /// Removes what a failed run of a runtime has left of a lane's container, if anything.
    pub(crate) fn clear_lane(&self, lane: usize, place: &Place) -> Result<(), String> {
        let bundle = self.lane(lane);
        let mut delete = self.command(&["delete", "--force", "ID"], place, &bundle, &bundle);
        // Most lanes have nothing left, which some runtimes call a failure.
        let output = delete.stdin(Stdio::null()).output();
        output.map(drop).map_err(|error| format!("{}: {error}", self.name))
    }

    /// The KiB of the largest process of a run, as the kernel counted them.
    pub(crate) fn peak_memory(&self, place: &Place) -> Result<f64, String> {
        let counted = place.path("time");
        let command = match self.kind {
            Kind::Runtime => self.command(&["run", "--bundle", "BUNDLE", "ID"], place, "true", "bench"),
            Kind::Floor => self.floor_command(&["run"], place, &group(), &["/bin/true"])?,
        };
        let mut timed = Command::new(place.program("measure"));
        timed.arg("peak").arg(&counted).arg(command.get_program()).args(command.get_args());
        self.finish(&mut timed, place, "bench")?;
        let text = std::fs::read_to_string(&counted).map_err(|error| format!("{}: {error}", counted.display()))?;
        text.trim().parse().map_err(|error| format!("measure said {text:?}: {error}"))
    }

    /// What a program with these words tells from inside: `run` in a container of its own, `exec` in one that runs.
    pub(crate) fn ask(&self, verb: &str, words: &[&str], place: &Place) -> Result<String, String> {
        if verb == "run" && self.kind == Kind::Runtime {
            place.bundle("ask", &group(), words)?;
        }
        let mut command = match (self.kind, verb) {
            (Kind::Floor, _) => self.floor_command(&[verb], place, &group(), words)?,
            (Kind::Runtime, "run") => self.command(&["run", "--bundle", "BUNDLE", "ID"], place, "ask", "bench"),
            (Kind::Runtime, _) => {
                let call: Vec<&str> = ["exec", "ID"].iter().chain(words).copied().collect();
                self.command(&call, place, "ask", "bench")
            }
        };
        let output = command.stdin(Stdio::null()).output().map_err(|error| format!("{}: {error}", self.name))?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let said = String::from_utf8_lossy(&output.stderr).trim_end().to_owned();
        Err(format!("{} {verb}: {}: {said}", self.name, output.status))
    }

    /// A runtime's call.
    pub(crate) fn command(&self, words: &[&str], place: &Place, bundle: &str, id: &str) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("--root").arg(place.path(&format!("state-{}", self.name)));
        for word in words {
            match *word {
                "ID" => command.arg(format!("{id}-{}-{}", self.name, std::process::id())),
                "BUNDLE" => command.arg(place.path(bundle)),
                word => command.arg(word),
            };
        }
        command
    }

    fn floor_command(&self, words: &[&str], place: &Place, group: &str, program: &[&str]) -> Result<Command, String> {
        let mut command = Command::new(&self.program);
        let filter = place.path("filter");
        match words.first() {
            Some(&"run") => command.arg("run").arg(filter).arg(&place.rootfs),
            Some(&"exec") => {
                let pid = std::fs::read_to_string(place.path("pid")).map_err(|error| format!("pid: {error}"))?;
                command.arg("exec").arg(pid.trim()).arg(filter)
            }
            other => return Err(format!("the floor has no {other:?}")),
        };
        command.arg(hierarchies()?).arg(group).args(program);
        Ok(command)
    }

    /// Runs the call to its end.
    pub(crate) fn finish(&self, command: &mut Command, place: &Place, lane: &str) -> Result<(), String> {
        // Files and not pipes: a container that goes on holds what it was given.
        let errors = place.path(&format!("stderr-{lane}"));
        let said = std::fs::File::create(&errors).map_err(|error| error.to_string())?;
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(said).spawn();
        let status = child.and_then(|child| end_of(child, PATIENCE));
        let status = status.map_err(|error| format!("{}: {error}", self.name))?;
        if status.success() {
            return Ok(());
        }
        let said = std::fs::read_to_string(&errors).unwrap_or_default();
        Err(format!("{} {:?}: {status}: {}", self.name, command.get_args().collect::<Vec<_>>(), said.trim_end()))
    }
}

/// How long a call may take before it hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits for the end of `child`, which is killed if that does not come in time: youki 0.7 now and then waits for a container that has ended.
///
/// # Errors
/// The kernel's, or [`std::io::ErrorKind::TimedOut`].
fn end_of(mut child: Child, patience: Duration) -> std::io::Result<ExitStatus> {
    if !ends_within(&child, patience) {
        child.kill()?;
        child.wait()?;
        return Err(std::io::Error::new(std::io::ErrorKind::TimedOut, "a call did not end, and was killed"));
    }
    child.wait()
}

/// Runs a program that must succeed.
pub(crate) fn succeed(name: &str, command: &mut Command) -> Result<String, String> {
    let output = command.stdin(Stdio::null()).output().map_err(|error| format!("{name}: {error}"))?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(format!("{name}: {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim_end())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_hangs_is_killed_and_what_ends_is_told() {
        let start = |words: &[&str]| Command::new(words[0]).args(&words[1..]).spawn().unwrap();
        assert_eq!(end_of(start(&["sh", "-c", "exit 3"]), PATIENCE).unwrap().code(), Some(3));
        let hangs = end_of(start(&["sleep", "600"]), Duration::from_millis(20)).unwrap_err();
        assert_eq!(hangs.kind(), std::io::ErrorKind::TimedOut);
    }

    #[test]
    fn others_runtimes_are_peers() {
        let runtime = |name| Contender::runtime(name, PathBuf::from("/bin/false"));
        assert!(runtime("youki").is_peer() && !runtime(OURS).is_peer());
        assert!(!Contender::floor(PathBuf::from("/bin/false")).is_peer());
        let able = |contender: &Contender| WORKS.each_ref().map(|work| contender.can(work));
        assert_eq!(able(&runtime("youki")), [true, true, true]);
        assert_eq!(able(&runtime("youki").without_exec()), [true, true, false]);
        assert_eq!(able(&Contender::floor(PathBuf::from("/bin/false"))), [true, false, true]);
    }
}
