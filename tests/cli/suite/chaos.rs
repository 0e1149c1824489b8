//! Random verbs by eight at once, with random kills of commands, monitors and first processes: afterwards every record is true, every
//! container can be removed, and nothing is left. `cargo xtask chaos SECONDS` goes on for longer.
//!
//! What is random comes from `STOCKADE_TEST_SEED`, which is printed: the same seed asks for the same things, though the kernel answers in
//! its own order.

use std::path::Path;
use std::time::{Duration, Instant};

use stockade_testkit::processes::{self, kill};
use stockade_testkit::{Dice, Running, Stockade, dice, eventually, requires};

/// How many work at once.
const WORKERS: u64 = 8;

/// The names that all of them fight over.
const NAMES: [&str; 5] = ["one", "two", "three", "four", "five"];

fn seconds() -> Duration {
    let given = std::env::var("STOCKADE_CHAOS_SECONDS").ok();
    Duration::from_secs(given.map_or(6, |seconds| seconds.parse().expect("STOCKADE_CHAOS_SECONDS is a number")))
}

/// Begins a random command.
fn begin(stockade: &Stockade, dice: &mut Dice) -> Running {
    let (name, other) = (dice.pick(&NAMES), dice.pick(&NAMES));
    let image = stockade.image();
    let long = ["sleep", "1000"];
    let words: Vec<&str> = match dice.below(16) {
        0 | 1 => vec!["run", "-d", "--name", name, image, long[0], long[1]],
        2 => vec!["run", "-d", "--name", name, "--restart", "always", image, "sh", "-c", "sleep 0.3; exit 3"],
        3 => vec!["run", "-d", "--name", name, "--rm", image, "sleep", "0.5"],
        4 => vec!["create", "--name", name, "--restart", "unless-stopped", image, long[0], long[1]],
        5 => vec!["start", name],
        6 => vec!["stop", "-t", "0", name],
        7 => vec!["restart", "-t", "0", name],
        8 => vec!["kill", name],
        9 => vec!["pause", name],
        10 => vec!["unpause", name],
        11 => vec!["rename", name, other],
        12 => vec!["update", "--pids-limit", "50", name],
        13 => vec!["rm", "-f", name],
        14 => vec!["rm", name],
        _ => vec!["ps", "-a"],
    };
    stockade.call(&words).start()
}

/// The monitors of this test's containers, by what the kernel says now.
fn monitors(stockade: &Stockade) -> Vec<i32> {
    processes::ids_with(&["stockade-monitor", stockade.folder().to_str().unwrap()])
}

/// The children of a process.
fn children(pid: i32) -> Vec<i32> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    text.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

/// One of the eight, until `end`.
fn work(stockade: &Stockade, mut dice: Dice, end: Instant) {
    while Instant::now() < end {
        let running = begin(stockade, &mut dice);
        match dice.below(6) {
            0 => {
                std::thread::sleep(Duration::from_millis(dice.below(150)));
                kill(running.pid());
            }
            1 => {
                std::thread::sleep(Duration::from_millis(dice.below(150)));
                let all = monitors(stockade);
                if !all.is_empty() {
                    kill(dice.pick(&all));
                }
            }
            2 => {
                let all: Vec<i32> = monitors(stockade).into_iter().flat_map(children).collect();
                if !all.is_empty() {
                    kill(dice.pick(&all));
                }
            }
            _ => {}
        }
        running.wait().either_way();
    }
}

/// What is said of each container is so.
fn assert_true(stockade: &Stockade) {
    for id in stockade.ids() {
        stockade.know(&id);
        let told = stockade.ask(&["inspect", "-f", "{{.State.Status}} {{.State.Pid}} {{.Name}}", &id]);
        if told.code() == 1 && !stockade.ids().contains(&id) {
            continue;
        }
        let told = told.ok();
        let words: Vec<&str> = told.out().split(' ').collect();
        let [status, pid, name] = words[..] else { panic!("{told:?}") };
        let lives = Path::new(&format!("/proc/{pid}/exe")).exists();
        match status {
            "running" | "paused" => {
                let still = || stockade.inspect(&id, "{{.State.Status}} {{.State.Pid}}") == format!("{status} {pid}");
                assert!(lives || !still(), "{id} has no process: {told:?}");
            }
            "created" | "exited" | "restarting" => assert_eq!(pid, "0", "{told:?}"),
            other => panic!("{id} is {other}"),
        }
        let name = name.trim_start_matches('/');
        let found = stockade.ask(&["inspect", "-f", "{{.Id}}", name]);
        // One of `--rm` may have ended meanwhile.
        if found.code() == 1 && !stockade.ids().contains(&id) {
            continue;
        }
        assert_eq!(found.ok().out(), id, "the name {name}");
    }
}

#[test]
fn whatever_happens_records_are_true_and_nothing_is_left() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    // The layers are unpacked before.
    stockade.sh(&[], "true").ok();
    let seed = dice::seed();
    let end = Instant::now() + seconds();
    std::thread::scope(|scope| {
        for number in 0..WORKERS {
            let dice = Dice::of_worker(seed, number);
            let stockade = &stockade;
            scope.spawn(move || work(stockade, dice, end));
        }
    });
    assert_true(&stockade);
    let ids = stockade.ids();
    if !ids.is_empty() {
        stockade.call(&["rm", "-f"]).args(&ids).run().ok();
    }
    eventually("the monitors' end", Duration::from_secs(30), || monitors(&stockade).is_empty());
    stockade.assert_gone();
    for folder in ["names", "unfinished", "containers"] {
        let left: Vec<_> = std::fs::read_dir(stockade.data().join(folder)).unwrap().flatten().collect();
        assert!(left.is_empty(), "STOCKADE_TEST_SEED={seed}: {left:?}");
    }
}
