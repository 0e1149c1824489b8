//! `cargo xtask bench engine`, `bench ps`, `bench audit` and `bench logs`: how long `stockade` takes beside Podman, or by itself.
//!
//! Both have the same image and containers without a network, and do the same work one after the other in every round, so that a slow
//! moment of the machine strikes both. Podman has the runtime that Debian gives it on this layout of control groups, runc.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use stockade_testkit::programs;

use super::report::{self, Against, Goal, Report, Row};
use crate::command::{folder, metadata};

/// How often everything is done unless the user says otherwise.
pub(crate) const ROUNDS: usize = 20;
/// How much is written to a log unless the user says otherwise, in MiB.
pub(crate) const LOGGED: usize = 1024;
/// How many containers `bench ps` lists.
const LISTED: usize = 2000;

/// How many containers `bench audit` audits at once, and how long one may take and all of them.
const AUDITED: usize = 300;
const GOALS: [Duration; 2] = [Duration::from_millis(10), Duration::from_secs(1)];

/// What every container is made with: without a network, and killed at once.
const FLAGS: [&str; 4] = ["--network", "none", "--stop-timeout", "0"];
/// The container that calls are about.
const NAME: &str = "bench";

/// An engine under measurement.
pub(super) struct Contender {
    name: &'static str,
    words: Vec<String>,
}

/// One kind of work. `FLAGS` stands for those of containers.
struct Work {
    name: &'static str,
    before: &'static [&'static [&'static str]],
    calls: &'static [&'static [&'static str]],
    after: &'static [&'static [&'static str]],
    /// What it may take of Podman's time.
    goal: Option<f64>,
}

const START: &[&str] = &["run", "-d", "--name", NAME, "FLAGS", "busybox", "sleep", "600"];
const REMOVE: &[&str] = &["rm", "-f", NAME];

const WORKS: [Work; 4] = [
    Work {
        name: "run --rm of true",
        before: &[],
        calls: &[&["run", "--rm", "FLAGS", "busybox", "true"]],
        after: &[],
        goal: Some(0.1),
    },
    Work { name: "run -d until it runs", before: &[], calls: &[START], after: &[REMOVE], goal: Some(0.1) },
    Work {
        name: "create, start, stop and rm",
        before: &[],
        calls: &[
            &["create", "--name", NAME, "FLAGS", "busybox", "sleep", "600"],
            &["start", NAME],
            &["stop", "-t", "0", NAME],
            &["rm", NAME],
        ],
        after: &[],
        goal: None,
    },
    Work { name: "exec of true", before: &[START], calls: &[&["exec", NAME, "true"]], after: &[REMOVE], goal: None },
];

/// Waits for what the call before left to be done, so that nobody is measured beside the other's: Podman's clean-up goes on after its
/// command has ended, and whoever synchronises a file waits for what others have written.
fn settle() -> Result<(), String> {
    shell("sync && sleep 0.2").map(drop)
}

/// Measures both at the lives of containers, and prints.
///
/// # Errors
/// If the image or Podman is missing, or a call fails: a failed call measures nothing.
pub(crate) fn run(rounds: usize) -> Result<(), String> {
    within("engine", |target, place| {
        let contenders = contenders(place)?;
        let archive = archive(target);
        contenders.iter().try_for_each(|one| one.call(&["load", "-q", "-i", &archive], place))?;
        let mut reports = Vec::new();
        for work in &WORKS {
            let mut times: Vec<Vec<f64>> = contenders.iter().map(|_| Vec::new()).collect();
            // The first round fills caches.
            for round in 0..=rounds.max(1) {
                for (contender, times) in contenders.iter().zip(&mut times) {
                    let took = contender.measure(work, place)?;
                    times.extend((round > 0).then_some(super::milliseconds(took)));
                }
            }
            let rows = contenders.iter().zip(times).map(|(contender, times)| Row::new(contender.name, times)).collect();
            let goals = work.goal.map(|most| Goal::of(Against::Row("podman"), most)).into_iter().collect();
            let report = Report { title: work.name.to_owned(), unit: "ms", rows, goals, invalid: report::CALLS };
            print!("{report}");
            reports.push(report);
        }
        let output = target.join("bench");
        std::fs::create_dir_all(&output).map_err(|error| format!("{}: {error}", output.display()))?;
        report::write(&output, "engine", &reports)
    })
}

/// The most memory of an idle monitor (PSS), in KiB.
const MONITOR: f64 = 1024.0;

/// What a monitor takes whose container does nothing, with the roots of the engine in the folder `place`.
///
/// # Errors
/// If the container cannot be made or the kernel does not tell. It is removed in every case.
pub(super) fn monitor(place: &Path) -> Result<Report, String> {
    std::fs::create_dir_all(place).map_err(|error| format!("{}: {error}", place.display()))?;
    let stockade = stockade(place);
    stockade.call(&["run", "-d", "--name", NAME, "FLAGS", "host", "sleep", "600"], place)?;
    let pss = || {
        let pid = shell(&format!("{} inspect -f '{{{{.Stockade.Monitor}}}}' {NAME}", stockade.command_line()))?;
        let path = format!("/proc/{}/smaps_rollup", pid.trim());
        let text = std::fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
        let size = text.lines().find_map(|line| line.strip_prefix("Pss:")?.trim().strip_suffix(" kB"));
        size.and_then(|size| size.parse().ok()).ok_or_else(|| format!("{path} does not tell how much there is"))
    };
    let sizes = (0..5).map(|_| pss()).collect::<Result<Vec<f64>, String>>();
    stockade.call(REMOVE, place)?;
    let rows = vec![Row::new("monitor", sizes?)];
    let title = "memory of an idle monitor (PSS)".to_owned();
    Ok(Report { title, unit: "KiB", rows, goals: vec![Goal::of(Against::Nothing, MONITOR)], invalid: report::CALLS })
}

/// Measures `ps -a` with [`LISTED`] containers, which are copies of one that has ended, and prints.
///
/// # Errors
/// As [`run`].
pub(crate) fn ps(rounds: usize) -> Result<(), String> {
    within("ps", |target, place| {
        let stockade = stockade(place);
        stockade.call(&["load", "-q", "-i", &archive(target)], place)?;
        stockade.call(&["run", "--name", NAME, "FLAGS", "busybox", "true"], place)?;
        multiply(&place.join("stockade/data"), LISTED)?;
        // What has changed within two seconds is read each time.
        std::thread::sleep(Duration::from_secs(3));
        for words in [&["ps", "-a"][..], &["ps", "-aq"], &["ps"]] {
            let mut times = Vec::new();
            for _ in 0..rounds.max(1) {
                let start = Instant::now();
                stockade.call(words, place)?;
                times.push(start.elapsed());
            }
            println!("{} with {LISTED} containers (median and least of {}):", words.join(" "), times.len());
            report(std::slice::from_ref(&stockade), &mut [times]);
        }
        Ok(())
    })
}

/// Measures `audit` of one of [`AUDITED`] containers that run, and of all of them, and prints both beside their goals.
///
/// # Errors
/// As [`run`]. The containers are removed in every case.
pub(crate) fn audit(rounds: usize) -> Result<(), String> {
    within("audit", |target, place| {
        let stockade = stockade(place);
        stockade.call(&["load", "-q", "-i", &archive(target)], place)?;
        let names: Vec<String> = (0..AUDITED).map(|number| format!("{NAME}-{number}")).collect();
        let all: Vec<&str> = names.iter().map(String::as_str).collect();
        let measured = all
            .iter()
            .try_for_each(|name| {
                stockade.call(&["run", "-d", "--name", name, "FLAGS", "busybox", "sleep", "3600"], place)
            })
            .and_then(|()| {
                for (audited, goal) in [&all[..1], &all[..]].into_iter().zip(GOALS) {
                    let words = [&["audit"], audited].concat();
                    let mut times = Vec::new();
                    // The first round fills caches.
                    for round in 0..=rounds.max(1) {
                        let start = Instant::now();
                        stockade.call(&words, place)?;
                        times.extend((round > 0).then_some(start.elapsed()));
                    }
                    let goal = goal.as_millis();
                    println!(
                        "audit of {} of {AUDITED} containers (median and least of {}; goal {goal} ms):",
                        audited.len(),
                        times.len()
                    );
                    report(std::slice::from_ref(&stockade), &mut [times]);
                }
                Ok(())
            });
        let removed = stockade.call(&[&["rm", "-f"], &all[..]].concat(), place);
        measured.and(removed)
    })
}

/// Measures how long both take to keep so many MiB of lines that a container writes, and what is only written to a file, and prints.
///
/// # Errors
/// As [`run`]; if a log has not all of it.
pub(crate) fn logs(mebibytes: usize) -> Result<(), String> {
    within("logs", |target, place| {
        let contenders = contenders(place)?;
        let archive = archive(target);
        let bytes = mebibytes.max(1) << 20;
        // Made beforehand: how fast lines are made is not what is measured.
        let lines = place.join("lines");
        let text = "a line of sixty-four bytes, the usual length of what programs tell";
        shell(&format!("yes {text} | head -c {bytes} > {}", lines.display()))?;
        let volume = format!("{}:/lines:ro", lines.display());
        println!("{mebibytes} MiB of lines of 67 bytes, until they are on the disk:");
        let file = place.join("floor");
        let written = |script: &str, name: &str| {
            settle()?;
            let start = Instant::now();
            shell(&format!("{script} | cat > {} && sync", file.display()))?;
            rate(name, bytes, start.elapsed());
            std::fs::remove_file(&file).map_err(|error| error.to_string())
        };
        written(&format!("cat {}", lines.display()), "a file")?;
        for contender in &contenders {
            contender.call(&["load", "-q", "-i", &archive], place)?;
            settle()?;
            let start = Instant::now();
            let run = ["run", "-d", "--log-driver", "json-file", "-v", &volume, "--name", NAME, "FLAGS"];
            let run = [&run[..], &["busybox", "cat", "/lines"]].concat();
            contender.call(&run, place)?;
            contender.call(&["wait", NAME], place)?;
            shell("sync")?;
            rate(contender.name, bytes, start.elapsed());
            let read = Instant::now();
            let found = shell(&format!("{} logs {NAME} | wc -c", contender.command_line()))?;
            rate(&format!("{}: logs", contender.name), bytes, read.elapsed());
            // Who cuts the last line off tells it as one.
            if !found.trim().parse::<usize>().is_ok_and(|found| found == bytes || found == bytes + 1) {
                return Err(format!("{}: the log has {} bytes of {bytes}", contender.name, found.trim()));
            }
            if contender.name == "stockade" {
                // What the disk allows for what the log is in its file: with a time and a stream for each line.
                let log = shell(&format!("{} inspect -f '{{{{.LogPath}}}}' {NAME}", contender.command_line()))?;
                written(&format!("cat {}", log.trim()), "as long a file")?;
            }
            contender.call(REMOVE, place)?;
        }
        Ok(())
    })
}

/// Builds what is measured, unless `STOCKADE_BIN_DIR` has it, and calls `measure` with the target folder and an empty one, which is removed afterwards.
pub(super) fn within(what: &str, measure: impl FnOnce(&Path, &Path) -> Result<(), String>) -> Result<(), String> {
    crate::images::make()?;
    if std::env::var_os(programs::BIN_DIR).is_none() {
        crate::tests::build()?;
    }
    let target = folder(&metadata()?, "target_directory")?;
    let place = std::env::temp_dir().join(format!("stockade-bench-{what}-{}", std::process::id()));
    std::fs::create_dir_all(&place).map_err(|error| format!("{}: {error}", place.display()))?;
    let result = measure(&target, &place);
    // Podman leaves its own folder mounted on itself.
    let overlay = place.join("podman/root/overlay");
    let unmounted =
        if overlay.exists() { shell(&format!("umount -q {} || :", overlay.display())) } else { Ok(String::new()) };
    let removed = std::fs::remove_dir_all(&place).map_err(|error| format!("{}: {error}", place.display()));
    result.and(unmounted.map(drop)).and(removed)
}

fn archive(target: &Path) -> String {
    target.join("images/busybox/docker.tar").display().to_string()
}

pub(super) fn stockade(place: &Path) -> Contender {
    let program = programs::built("stockade");
    let roots = [("--data-root", "data"), ("--exec-root", "exec")];
    let roots =
        roots.map(|(flag, folder)| [flag.to_owned(), place.join("stockade").join(folder).display().to_string()]);
    let words = std::iter::once(program.display().to_string()).chain(roots.into_iter().flatten());
    Contender { name: "stockade", words: words.collect() }
}

/// Ours first.
pub(super) fn contenders(place: &Path) -> Result<Vec<Contender>, String> {
    let needed = |name: &str| programs::on_path(name).ok_or_else(|| format!("there is no {name} here: install it"));
    let (podman, runtime): (PathBuf, PathBuf) = (needed("podman")?, needed("runc")?);
    let folder = |name: &str| place.join("podman").join(name).display().to_string();
    // Podman's own defaults are more than a process without CAP_SYS_RESOURCE may give.
    let configuration = place.join("containers.conf");
    let limits = "[containers]\ndefault_ulimits = [\"nofile=512:1024\", \"nproc=512:1024\"]\n";
    std::fs::write(&configuration, limits).map_err(|error| format!("{}: {error}", configuration.display()))?;
    let words = vec![
        "env".to_owned(),
        format!("CONTAINERS_CONF={}", configuration.display()),
        podman.display().to_string(),
        format!("--runtime={}", runtime.display()),
        format!("--root={}", folder("root")),
        format!("--runroot={}", folder("run")),
        format!("--tmpdir={}", folder("tmp")),
        "--storage-driver=overlay".to_owned(),
        "--cgroup-manager=cgroupfs".to_owned(),
        "--events-backend=file".to_owned(),
    ];
    Ok(vec![stockade(place), Contender { name: "podman", words }])
}

impl Contender {
    /// The program and its options, for a script.
    pub(super) fn command_line(&self) -> String {
        self.words.join(" ")
    }

    /// How long the work's calls take, together.
    fn measure(&self, work: &Work, place: &Path) -> Result<Duration, String> {
        work.before.iter().try_for_each(|call| self.call(call, place))?;
        settle()?;
        let start = Instant::now();
        work.calls.iter().try_for_each(|call| self.call(call, place))?;
        let took = start.elapsed();
        work.after.iter().try_for_each(|call| self.call(call, place))?;
        Ok(took)
    }

    /// One call, which must succeed.
    pub(super) fn call(&self, words: &[&str], place: &Path) -> Result<(), String> {
        let (program, options) = self.words.split_first().ok_or("a contender has no program")?;
        let mut command = Command::new(program);
        command.args(options);
        for word in words {
            match *word {
                "FLAGS" => command.args(FLAGS),
                word => command.arg(word),
            };
        }
        // Files and not pipes: what goes on holds what it was given.
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

/// Makes copies of the only container below `data`, under other ids and names, until there are `count`.
fn multiply(data: &Path, count: usize) -> Result<(), String> {
    let say = |error: std::io::Error| format!("{}: {error}", data.display());
    let containers = data.join("containers");
    let first = std::fs::read_dir(&containers).map_err(say)?.next().ok_or("there is no container")?.map_err(say)?;
    let id = first.file_name().to_string_lossy().into_owned();
    for number in 1..count {
        let (copy, name) = (format!("{number:064x}"), format!("{NAME}-{number}"));
        let folder = containers.join(&copy);
        std::fs::create_dir(&folder).map_err(say)?;
        for entry in std::fs::read_dir(first.path()).map_err(say)? {
            let entry = entry.map_err(say)?;
            if entry.file_type().map_err(say)?.is_file() {
                let content = String::from_utf8_lossy(&std::fs::read(entry.path()).map_err(say)?).into_owned();
                let content = content.replace(&id, &copy).replace(&format!("\"{NAME}\""), &format!("\"{name}\""));
                std::fs::write(folder.join(entry.file_name()), content).map_err(say)?;
            }
        }
        std::os::unix::fs::symlink(&copy, data.join("names").join(name)).map_err(say)?;
    }
    Ok(())
}

/// What a script says, which must succeed.
pub(super) fn shell(script: &str) -> Result<String, String> {
    let done = Command::new("sh").args(["-c", script]).stdin(Stdio::null()).stderr(Stdio::inherit()).output();
    let done = done.map_err(|error| format!("sh: {error}"))?;
    match done.status.success() {
        true => Ok(String::from_utf8_lossy(&done.stdout).into_owned()),
        false => Err(format!("sh -c {script:?}: {}", done.status)),
    }
}

/// Medians and the least, and how the medians stand to ours.
fn report(contenders: &[Contender], times: &mut [Vec<Duration>]) {
    let medians: Vec<f64> = times.iter_mut().map(|times| super::median(times)).collect();
    for ((contender, median), times) in contenders.iter().zip(&medians).zip(times) {
        let least = times.first().map_or(0.0, |least| least.as_secs_f64() * 1000.0);
        println!(
            "  {:8} {median:8.2} ms {least:8.2} ms   stockade / {0} = {1:.2}",
            contender.name,
            medians[0] / median
        );
    }
}

fn rate(name: &str, bytes: usize, took: Duration) {
    let seconds = took.as_secs_f64();
    println!("  {name:16} {seconds:8.2} s   {:8.0} MiB/s", bytes as f64 / f64::from(1 << 20) / seconds);
}
