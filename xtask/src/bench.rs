//! `cargo xtask bench`: how long `stake` takes beside the other runtimes of this machine.
//!
//! All contenders do the same work on the same bundle, the one that Docker would write, one after the other in every round,
//! so that a slow moment of the machine strikes all of them. Medians and their ratios are told; a ratio is what may be
//! quoted, for milliseconds are those of this machine.

pub(crate) mod engine;
pub(crate) mod images;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use stockade_testkit::{posture, programs};

use crate::command::{folder, metadata};

/// How often everything is done unless the user says otherwise.
pub(crate) const ROUNDS: usize = 40;

/// The first rounds fill caches and are not counted.
const WARM_UP: usize = 3;

/// The cgroup2 mount of a hybrid host. crun refuses such a host, so it is hidden from all contenders alike, in a mount
/// namespace of the bench.
const UNIFIED: &str = "/sys/fs/cgroup/unified";

/// Set in that mount namespace.
const INSIDE: &str = "STOCKADE_BENCH_INSIDE";

/// A runtime under measurement.
struct Contender {
    name: &'static str,
    program: PathBuf,
}

/// One kind of work, done by one call or by several.
struct Work {
    name: &'static str,
    /// What is done with a container before the clock starts and after it stopped.
    around: Around,
    /// The calls that are measured; `ID` and `BUNDLE` are replaced.
    calls: &'static [&'static [&'static str]],
}

/// What is there while the calls are measured.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Around {
    /// Nothing.
    Nothing,
    /// A running container.
    Running,
}

const WORKS: [Work; 3] = [
    Work { name: "run of /bin/true", around: Around::Nothing, calls: &[&["run", "--bundle", "BUNDLE", "ID"]] },
    Work {
        name: "create, start and delete",
        around: Around::Nothing,
        calls: &[&["create", "--bundle", "BUNDLE", "ID"], &["start", "ID"], &["delete", "--force", "ID"]],
    },
    Work { name: "exec of /bin/true", around: Around::Running, calls: &[&["exec", "ID", "/bin/true"]] },
];

/// Measures and prints.
///
/// # Errors
/// If there is no busybox image or no other runtime, or a call fails: a failed call measures nothing.
pub(crate) fn run(rounds: usize) -> Result<(), String> {
    if std::env::var_os(INSIDE).is_none() && Path::new(UNIFIED).is_dir() {
        return without_unified(rounds);
    }
    crate::images::make()?;
    crate::tests::build()?;
    let target = folder(&metadata()?, "target_directory")?;
    let place = target.join(format!("bench-{}", std::process::id()));
    let result = measure_all(&target, &place, rounds.max(1));
    let removed = std::fs::remove_dir_all(&place).map_err(|error| format!("{}: {error}", place.display()));
    result.and(removed)
}

/// Runs the bench once more where [`UNIFIED`] is hidden.
fn without_unified(rounds: usize) -> Result<(), String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-c", "umount \"$0\" && exec \"$@\"", UNIFIED]);
    let status = command.arg(program).args(["bench", &rounds.to_string()]).env(INSIDE, "1").status();
    let status = status.map_err(|error| format!("unshare: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("bench: {status}")) }
}

fn measure_all(target: &Path, place: &Path, rounds: usize) -> Result<(), String> {
    bundle(&place.join("true"), target, &["/bin/true"])?;
    bundle(&place.join("sleep"), target, &["/bin/sleep", "600"])?;
    let contenders = contenders(target, place)?;
    for work in &WORKS {
        let mut times: Vec<Vec<Duration>> = contenders.iter().map(|_| Vec::new()).collect();
        for round in 0..rounds + WARM_UP {
            for (contender, times) in contenders.iter().zip(&mut times) {
                let took = contender.measure(work, place)?;
                if round >= WARM_UP {
                    times.push(took);
                }
            }
        }
        report(work, &contenders, &mut times);
    }
    Ok(())
}

/// Ours first, then those of the installed ones that can do the work at all.
fn contenders(target: &Path, place: &Path) -> Result<Vec<Contender>, String> {
    let ours = target.join(programs::TARGET).join("release/stake");
    let mut all = vec![Contender { name: "stake", program: ours }];
    for name in ["runc", "crun", "youki"] {
        let Some(program) = programs::on_path(name) else { continue };
        let contender = Contender { name, program };
        match contender.measure(&WORKS[0], place) {
            Ok(_) => all.push(contender),
            Err(reason) => println!("left out: {reason}"),
        }
    }
    if all.len() > 1 { Ok(all) } else { Err("there is no other runtime here: install runc".to_owned()) }
}

/// Docker's posture on the busybox image.
fn bundle(folder: &Path, target: &Path, arguments: &[&str]) -> Result<(), String> {
    let say = |error: std::io::Error| format!("{}: {error}", folder.display());
    std::fs::create_dir_all(folder).map_err(say)?;
    let mut config = posture::docker("", arguments);
    config["root"]["path"] = target.join("images/busybox/rootfs").display().to_string().into();
    config["linux"]["cgroupsPath"] = format!("/stockade-bench-{}", std::process::id()).into();
    std::fs::write(folder.join("config.json"), config.to_string()).map_err(say)
}

impl Contender {
    /// How long the work's calls take, together.
    fn measure(&self, work: &Work, place: &Path) -> Result<Duration, String> {
        if work.around == Around::Running {
            self.call(&["run", "--detach", "--bundle", "BUNDLE", "ID"], place, "sleep")?;
        }
        let start = Instant::now();
        let done = work.calls.iter().try_for_each(|call| self.call(call, place, "true"));
        let took = start.elapsed();
        if work.around == Around::Running || done.is_err() {
            self.call(&["delete", "--force", "ID"], place, "true").and(done)?;
        }
        Ok(took)
    }

    /// One call with a bundle of `place`, which must succeed.
    fn call(&self, words: &[&str], place: &Path, bundle: &str) -> Result<(), String> {
        let id = format!("bench-{}-{}", self.name, std::process::id());
        let mut command = Command::new(&self.program);
        command.arg("--root").arg(place.join(format!("state-{}", self.name)));
        for word in words {
            match *word {
                "ID" => command.arg(&id),
                "BUNDLE" => command.arg(place.join(bundle)),
                word => command.arg(word),
            };
        }
        // Files and not pipes: a container that goes on holds what it was given.
        let said = std::fs::File::create(place.join("stderr")).map_err(|error| error.to_string())?;
        let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(said).status();
        let status = status.map_err(|error| format!("{}: {error}", self.name))?;
        if status.success() {
            return Ok(());
        }
        let said = std::fs::read_to_string(place.join("stderr")).unwrap_or_default();
        Err(format!("{} {}: {status}: {}", self.name, words.join(" "), said.trim_end()))
    }
}

/// Medians, and how they stand to ours.
fn report(work: &Work, contenders: &[Contender], times: &mut [Vec<Duration>]) {
    println!("{} (median of {}):", work.name, times[0].len());
    let medians: Vec<f64> = times.iter_mut().map(|times| median(times)).collect();
    for (contender, median) in contenders.iter().zip(&medians) {
        println!("  {:6} {median:7.2} ms   stake / {0} = {1:.2}", contender.name, medians[0] / median);
    }
}

/// In milliseconds.
fn median(times: &mut [Duration]) -> f64 {
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64() * 1000.0
}
