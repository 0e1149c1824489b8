//! Killed at any instant: the next command finds sense.

use std::io::Read;
use std::process::Stdio;
use std::time::{Duration, Instant};

use stockade_engine::{
    Engine, FollowError, Force, KillError, OwnVolumes, RemoveError, State, create, inspect, remove, start, wait,
};

use crate::Case;
use crate::place::{Place, entries};

pub(crate) const CASES: &[Case] = &[
    ("a_killed_monitor_is_an_end_by_kill", a_killed_monitor_is_an_end_by_kill),
    ("whoever_is_attached_is_told_of_a_killed_monitor", whoever_is_attached_is_told_of_a_killed_monitor),
    ("a_killed_program_is_an_exit_code", a_killed_program_is_an_exit_code),
    ("a_command_killed_at_any_instant", a_command_killed_at_any_instant),
    ("a_monitor_killed_at_any_instant", a_monitor_killed_at_any_instant),
    ("leftovers_are_removed_by_the_next_command", leftovers_are_removed_by_the_next_command),
];

fn kill(pid: i32) {
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}

fn a_killed_monitor_is_an_end_by_kill(place: &Place) {
    let id = create(&place.engine, &place.request(&["sleep", "1000"])).unwrap().id;
    start(&place.engine, &id).unwrap();
    let found = inspect(&place.engine, &id).unwrap();
    kill(found.stockade.monitor);
    assert_eq!(wait(&place.engine, &id).unwrap(), 137);
    let after = inspect(&place.engine, &id).unwrap();
    assert_eq!((after.state.status.as_str(), after.state.exit_code, after.state.pid), ("exited", 137, 0));
    assert!(after.state.error.contains("monitor was killed"), "{}", after.state.error);
    assert_eq!(after.state.started_at, found.state.started_at);
    // A zombie is dead: whoever is its parent now has not been told yet.
    let process = std::fs::read_to_string(format!("/proc/{}/status", found.state.pid)).unwrap_or_default();
    assert!(process.is_empty() || process.contains("State:\tZ"), "its process lives: {process}");
    assert!(stockade_testkit::cgroup::named(id.as_str()).is_empty());
    start(&place.engine, &id).unwrap();
    assert_eq!(place.one(&id).state, State::Running);
}

fn whoever_is_attached_is_told_of_a_killed_monitor(place: &Place) {
    let mut follower = place.command(&["run-attached", "", "sh", "-c", "echo up; sleep 1000"]);
    let mut follower = follower.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut up = [0; 3];
    follower.stdout.as_mut().unwrap().read_exact(&mut up).unwrap();
    let id = place.all()[0].id.clone();
    kill(inspect(&place.engine, &id).unwrap().stockade.monitor);
    let output = follower.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(FollowError::MonitorLost(id).exit_code().into()));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("monitor of container") && said.contains("was killed"), "{said}");
}

fn a_killed_program_is_an_exit_code(place: &Place) {
    let id = create(&place.engine, &place.request(&["sleep", "1000"])).unwrap().id;
    start(&place.engine, &id).unwrap();
    kill(place.one(&id).pid.unwrap());
    assert_eq!(wait(&place.engine, &id).unwrap(), 137);
    let summary = place.one(&id);
    assert_eq!((summary.state, summary.exit_code, summary.error), (State::Exited, Some(137), None));
}

/// Different instants, the same in every run.
fn instants(count: u32, longest: Duration) -> impl Iterator<Item = Duration> {
    // The golden ratio's multiples fill the interval evenly.
    (0..count).map(move |number| longest.mul_f64((f64::from(number) * 0.618_033_988_749_895).fract()))
}

/// How long a whole `run` takes here. Its container, which ends by itself, is none of those that are looked at afterwards.
fn usual(place: &Place) -> Duration {
    let begin = Instant::now();
    assert!(place.command(&["run", "true"]).status().unwrap().success());
    let took = begin.elapsed();
    for summary in place.all() {
        wait(&place.engine, &summary.id).unwrap();
        remove(&place.engine, &summary.id, Force::Refuse, OwnVolumes::Keep).unwrap();
    }
    took
}

fn a_command_killed_at_any_instant(place: &Place) {
    let longest = usual(place).mul_f64(1.2);
    for instant in instants(100, longest) {
        let mut command = place.command(&["run", "sleep", "1000"]).spawn().unwrap();
        std::thread::sleep(instant);
        command.kill().unwrap();
        command.wait().unwrap();
        let engine = Engine::open(place.engine.places().clone()).unwrap();
        assert!(entries(&engine.places().data.join("unfinished")).is_empty(), "{instant:?}");
        for summary in place.all() {
            assert_eq!(summary.damaged, None, "{instant:?}");
            make_sense_of(place, &engine, &summary.id, instant);
        }
        assert!(place.all().is_empty(), "{instant:?}");
    }
}

/// Whatever became of it, it can be looked at and removed, and where it does not run, started.
fn make_sense_of(place: &Place, engine: &Engine, id: &stockade_engine::ContainerId, instant: Duration) {
    let state = loop {
        // A monitor whose command died takes the container apart in its own time.
        match place.one(id).state {
            State::Starting => std::thread::sleep(Duration::from_millis(5)),
            state => break state,
        }
    };
    match state {
        State::Running => {
            assert!(
                matches!(remove(engine, id, Force::Refuse, OwnVolumes::Keep), Err(RemoveError::Running { .. })),
                "{instant:?}"
            );
        }
        _ => {
            start(engine, id).unwrap_or_else(|error| panic!("{instant:?}: {state}: {error}"));
            assert_eq!(place.one(id).state, State::Running, "{instant:?}");
        }
    }
    remove(engine, id, Force::Kill, OwnVolumes::Keep).unwrap_or_else(|error| panic!("{instant:?}: {error}"));
}

fn a_monitor_killed_at_any_instant(place: &Place) {
    let longest = usual(place);
    let id = create(&place.engine, &place.request(&["sleep", "1000"])).unwrap().id;
    for instant in instants(30, longest) {
        let mut command = place.command(&["start", id.as_str()]);
        let mut command = command.stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(instant);
        for monitor in monitors(place.folder(&id).as_os_str().as_encoded_bytes()) {
            kill(monitor);
        }
        command.wait().unwrap();
        let summary = place.one(&id);
        assert_eq!(summary.damaged, None, "{instant:?}");
        assert_ne!(summary.state, State::Removed, "{instant:?}");
        // A monitor that was killed may take a moment to be gone, or the instant was after its container's start.
        match stockade_engine::kill(&place.engine, &id, rustix::process::Signal::KILL) {
            Ok(()) | Err(KillError::NotRunning { .. }) => {}
            Err(error) => panic!("{instant:?}: {error}"),
        }
        start(&place.engine, &id).unwrap_or_else(|error| panic!("{instant:?}: {error}"));
        stockade_engine::kill(&place.engine, &id, rustix::process::Signal::KILL).unwrap();
    }
}

/// The monitors whose container has this folder.
fn monitors(folder: &[u8]) -> Vec<i32> {
    let processes =
        std::fs::read_dir("/proc").unwrap().filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
    let is_one = |pid: &i32| {
        let words = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        words.split(|byte| *byte == 0).nth(1) == Some(folder)
    };
    processes.filter(is_one).collect()
}

fn leftovers_are_removed_by_the_next_command(place: &Place) {
    let unfinished = place.engine.places().data.join("unfinished");
    std::fs::create_dir_all(unfinished.join("a".repeat(64)).join("upper/x")).unwrap();
    let again = || Engine::open(place.engine.places().clone()).unwrap();
    let busy = std::fs::File::open(&unfinished).unwrap();
    rustix::fs::flock(&busy, rustix::fs::FlockOperation::LockShared).unwrap();
    drop(again());
    assert_eq!(entries(&unfinished).len(), 1, "somebody is at it");
    drop(busy);
    drop(again());
    assert!(entries(&unfinished).is_empty());
}
