//! `cargo xtask bench`: what `stake` costs beside the other runtimes of this machine, and beside the floor.
//!
//! All contenders do the same work on the same bundle, the one that Docker would write, one after the other in every round,
//! so that a slow moment of the machine strikes all of them. Medians, minima, and the ratio round by round are told; a ratio is
//! what may be quoted, for milliseconds are those of this machine. The floor (`bench/floor`) is no runtime: it does only what
//! the kernel must be told, and shows how much of the rest is the kernel's.
//!
//! A container without its walls is started faster. So before anything is measured every contender runs a program that tells
//! its walls (`walls`), and one that lacks any is left out and named.

pub(crate) mod contender;
pub(crate) mod engine;
mod heart;
pub(crate) mod images;
mod libseccomp;
pub(crate) mod network;
pub(crate) mod record;
mod report;
mod walls;
pub(crate) mod world;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use stockade_testkit::programs;

use crate::command::{folder, metadata};
use contender::{Around, Contender, OURS, Place, WORKS, Work};
use report::{Against, Goal, Report, Row, WALLS};
use world::{Wanted, World};

/// How often everything is done unless the user says otherwise.
const ROUNDS: usize = 50;

/// The first rounds fill caches and are not counted.
const WARM_UP: usize = 3;

/// How many containers the parallel work starts, how many at a time, and how often all of that is done.
const CROWD: (usize, usize, usize) = (200, 4, 5);

/// What a crowd may take of the best runtime's time, in each world.
const CROWD_GOALS: [Goal; 2] = [Goal::of(Against::Best, 0.7), Goal::of(Against::Best, 0.65)];

/// The most memory of a run of `stake`, in KiB.
const MEMORY_GOAL: Goal = Goal::of(Against::Nothing, 3072.0);

/// What is measured.
const SUBJECTS: [&str; 5] = ["start", "exec", "parallel", "memory", "seccomp"];

/// What the user asks for.
struct Asked {
    subjects: Vec<&'static str>,
    rounds: usize,
    peers: Vec<(String, PathBuf)>,
    wanted: Wanted,
}

/// `bench [SUBJECT...] [ROUNDS] [--v2] [--peer NAME=PATH]...`; without a subject all of them.
fn parse(words: &[&str]) -> Option<Asked> {
    let mut asked = Asked { subjects: Vec::new(), rounds: ROUNDS, peers: Vec::new(), wanted: Wanted::Own };
    let mut words = words.iter();
    while let Some(word) = words.next() {
        if *word == "--peer" {
            let (name, path) = words.next()?.split_once('=')?;
            asked.peers.push((name.to_owned(), PathBuf::from(path)));
        } else if *word == "--v2" {
            asked.wanted = Wanted::V2;
        } else if let Some(subject) = SUBJECTS.iter().find(|subject| *subject == word) {
            asked.subjects.push(subject);
        } else {
            asked.rounds = word.parse().ok().filter(|rounds| *rounds > 0)?;
        }
    }
    if asked.subjects.is_empty() {
        asked.subjects = SUBJECTS.to_vec();
    }
    Some(asked)
}

/// Measures, prints, and writes `bench/SUBJECT.json` and `bench/SUBJECT.svg` in cargo's target folder.
///
/// # Errors
/// `usage` for words that mean nothing. If there is no busybox image or no other runtime, or a call fails: a failed call
/// measures nothing.
pub(crate) fn run(words: &[&str], usage: &str) -> Result<(), String> {
    let asked = parse(words).ok_or(usage)?;
    if !world::is_arranged() {
        contender::build()?;
        if let Some(done) = asked.wanted.enter(words) {
            return done;
        }
    }
    let target = folder(&metadata()?, "target_directory")?;
    // Runtimes keep their state in /run, which is in memory; a disk would be measured otherwise.
    let memory = Path::new("/dev/shm");
    let parent = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    let place = Place::make(&parent.join(format!("stockade-bench-{}", std::process::id())), &target)?;
    let result = measure(&asked, &place, &target.join("bench"));
    let removed = place.remove();
    result.and(removed)
}

fn measure(asked: &Asked, place: &Place, output: &Path) -> Result<(), String> {
    std::fs::create_dir_all(output).map_err(|error| format!("{}: {error}", output.display()))?;
    let world = World::here()?;
    println!("{}", report::machine());
    println!("control groups: {world:?} ({})", world::hierarchies()?);
    let contenders = contenders(asked, place)?;
    for subject in &asked.subjects {
        let reports = match *subject {
            "start" => works(&contenders, place, asked.rounds, (Around::Nothing, world))?,
            "exec" => works(&contenders, place, asked.rounds, (Around::Running, world))?,
            "parallel" => vec![parallel(&contenders, place, world)?],
            "memory" => vec![memory(&contenders, place)?, engine::monitor(&place.path("engine"))?],
            _ => {
                let mut reports = heart::seccomp(place, asked.rounds)?;
                reports.push(heart::plan(place, asked.rounds)?);
                reports
            }
        };
        for report in &reports {
            print!("{report}");
        }
        let name = if world == World::V2 { format!("{subject}-v2") } else { (*subject).to_owned() };
        report::write(output, &name, &reports)?;
    }
    Ok(())
}

/// Ours first, then the floor, then those of the installed and the named ones that build the walls.
fn contenders(asked: &Asked, place: &Place) -> Result<Vec<Contender>, String> {
    let mut all = vec![Contender::runtime(OURS, place.program(OURS))];
    walls::of_container(&all[0], place).and_then(|()| walls::of_added(&all[0], place))?;
    let floor = Contender::floor(place.program("floor"));
    walls::of_container(&floor, place).and_then(|()| walls::of_added(&floor, place))?;
    all.push(floor);
    let installed = ["crun", "runc", "youki"].map(|name| (name.to_owned(), programs::on_path(name)));
    let named = asked.peers.iter().map(|(name, path)| (name.clone(), Some(path.clone())));
    for (name, program) in installed.into_iter().chain(named) {
        let Some(program) = program else { continue };
        let contender = Contender::runtime(&name, program);
        if let Err(reason) = walls::of_container(&contender, place) {
            println!("left out: {reason}");
            continue;
        }
        println!("{name}: {}", contender.version());
        all.push(match walls::of_added(&contender, place) {
            Ok(()) => contender,
            Err(reason) => {
                println!("left out of exec: {reason}");
                contender.without_exec()
            }
        });
    }
    if all.len() > 2 { Ok(all) } else { Err("there is no other runtime here: install crun or runc".to_owned()) }
}

/// The works that are done `around` what is there, in rounds.
fn works(
    contenders: &[Contender],
    place: &Place,
    rounds: usize,
    (around, world): (Around, World),
) -> Result<Vec<Report>, String> {
    let one = |work: &Work| {
        let able: Vec<&Contender> = contenders.iter().filter(|contender| contender.can(work)).collect();
        let mut times: Vec<Vec<f64>> = able.iter().map(|_| Vec::new()).collect();
        for round in 0..rounds + WARM_UP {
            for (contender, times) in able.iter().zip(&mut times) {
                let took = contender.measure(work, place)?;
                if round >= WARM_UP {
                    times.push(milliseconds(took));
                }
            }
        }
        let rows = able.iter().zip(times).map(|(contender, times)| Row::new(&contender.name, times)).collect();
        let goals = work.goals[world as usize].to_vec();
        Ok(Report { title: work.name.to_owned(), unit: "ms", rows, goals, invalid: WALLS })
    };
    WORKS.iter().filter(|work| work.around == around).map(one).collect()
}

/// Many containers, several at a time. A peer of which one fails is left out by name.
fn parallel(contenders: &[Contender], place: &Place, world: World) -> Result<Report, String> {
    let (count, width, times) = CROWD;
    let mut rows: Vec<(&Contender, Vec<f64>)> = contenders.iter().map(|contender| (contender, Vec::new())).collect();
    for _ in 0..times {
        let mut failed = Vec::new();
        for (index, (contender, row)) in rows.iter_mut().enumerate() {
            match crowd(contender, place, (count, width)) {
                Ok(took) => row.push(milliseconds(took)),
                Err(reason) if contender.is_peer() => {
                    println!("left out: {reason}");
                    (0..width).try_for_each(|lane| contender.clear_lane(lane, place))?;
                    failed.push(index);
                }
                Err(reason) => return Err(reason),
            }
        }
        for index in failed.into_iter().rev() {
            rows.remove(index);
        }
    }
    let rows = rows.into_iter().map(|(contender, row)| Row::new(&contender.name, row)).collect();
    let (title, goals) = (format!("{count} runs of /bin/true, {width} at a time"), vec![CROWD_GOALS[world as usize]]);
    Ok(Report { title, unit: "ms", rows, goals, invalid: WALLS })
}

/// How long so many runs take, so many at a time.
fn crowd(contender: &Contender, place: &Place, (count, width): (usize, usize)) -> Result<Duration, String> {
    let start = Instant::now();
    std::thread::scope(|scope| {
        let lane = |lane| scope.spawn(move || (0..count / width).try_for_each(|_| contender.run_in_lane(lane, place)));
        let lanes: Vec<_> = (0..width).map(lane).collect();
        // All are waited for, whichever failed.
        let ended: Vec<_> =
            lanes.into_iter().map(|lane| lane.join().map_err(|_panic| "a lane panicked".to_owned())).collect();
        ended.into_iter().try_for_each(|lane| lane?)
    })?;
    Ok(start.elapsed())
}

/// The most memory that a process of `run` had.
fn memory(contenders: &[Contender], place: &Place) -> Result<Report, String> {
    let mut rows = Vec::new();
    for contender in contenders {
        let sizes = (0..5).map(|_| contender.peak_memory(place)).collect::<Result<_, _>>()?;
        rows.push(Row::new(&contender.name, sizes));
    }
    let title = "peak memory of a run of /bin/true".to_owned();
    Ok(Report { title, unit: "KiB", rows, goals: vec![MEMORY_GOAL], invalid: WALLS })
}

/// The median, in milliseconds.
fn median(times: &mut [Duration]) -> f64 {
    times.sort_unstable();
    milliseconds(times[times.len() / 2])
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_is_read_and_what_means_nothing_is_refused() {
        let asked = parse(&["exec", "7", "--peer", "youki=/opt/youki", "start", "--v2"]).unwrap();
        assert_eq!(asked.wanted, Wanted::V2);
        assert_eq!((asked.subjects, asked.rounds), (vec!["exec", "start"], 7));
        assert_eq!(asked.peers, [("youki".to_owned(), PathBuf::from("/opt/youki"))]);
        assert_eq!(parse(&[]).unwrap().subjects, SUBJECTS);
        for wrong in [&["0"][..], &["-1"], &["warm"], &["--peer"], &["--peer", "youki"]] {
            assert!(parse(wrong).is_none(), "{wrong:?}");
        }
    }
}
