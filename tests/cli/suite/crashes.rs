//! `kill -9` at random instants: whoever dies, the next command leaves the machine as it was.

use std::time::Duration;

use stockade_testkit::processes::{ids_with, kill};
use stockade_testkit::{Dice, Running, Stockade, dice, eventually, requires};

/// Instants that differ from run to run: milliseconds below `most`.
struct Instants(Dice);

impl Instants {
    fn new() -> Self {
        Self(Dice::new(dice::seed()))
    }

    fn below(&mut self, most: u64) -> Duration {
        Duration::from_micros(self.0.below(most * 1000))
    }
}

/// The monitors of this test's containers.
fn monitors(stockade: &Stockade) -> Vec<i32> {
    ids_with(&["stockade-monitor", stockade.folder().to_str().unwrap()])
}

/// How long `run -d` takes here, in milliseconds: the instants are to fall into the making of a container, on any machine.
fn usual(stockade: &Stockade) -> u64 {
    // Layers are unpacked once, by the first.
    stockade.sh(&[], "true").ok();
    let begin = std::time::Instant::now();
    let id = stockade.detached(&[], &["sleep", "1000"]);
    let took = u64::try_from(begin.elapsed().as_millis()).unwrap().max(20);
    stockade.ask(&["rm", "-f", &id]).ok();
    took
}

/// Starts `run -d` or `run` and waits a random time below `most` milliseconds.
fn begin(stockade: &Stockade, instants: &mut Instants, most: u64, flags: &[&str]) -> Running {
    let running = stockade.call(&["run"]).args(flags).arg(stockade.image()).args(["sleep", "1000"]).start();
    std::thread::sleep(instants.below(most));
    running
}

/// `ps -a` works, `rm -f` of all works, and then nothing is left.
fn settle(stockade: &Stockade) {
    let ids = stockade.ids();
    ids.iter().for_each(|id| {
        stockade.know(id);
    });
    if !ids.is_empty() {
        stockade.call(&["rm", "-f"]).args(&ids).run().ok();
    }
    // A monitor of a container that is no more ends soon.
    eventually("the monitors' end", Duration::from_secs(20), || monitors(stockade).is_empty());
    stockade.assert_gone();
}

#[test]
fn the_command_is_killed_at_any_instant() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    let usual = usual(&stockade);
    let mut instants = Instants::new();
    for round in 0..30 {
        let flags: &[&str] = if round % 2 == 0 { &["-d"] } else { &[] };
        let running = begin(&stockade, &mut instants, usual * 5 / 4, flags);
        kill(running.pid());
        running.wait().either_way();
        settle(&stockade);
    }
}

#[test]
fn the_monitor_is_killed_at_any_instant() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    let usual = usual(&stockade);
    let mut instants = Instants::new();
    for _ in 0..15 {
        let running = begin(&stockade, &mut instants, usual, &["-d"]);
        eventually("a monitor or the end", Duration::from_secs(20), || {
            let found = monitors(&stockade);
            found.iter().copied().for_each(kill);
            !found.is_empty() || !std::path::Path::new(&format!("/proc/{}/exe", running.pid())).exists()
        });
        running.wait().either_way();
        settle(&stockade);
    }
}

#[test]
fn a_monitor_that_is_killed_later_takes_the_container_with_it() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    let id = stockade.detached(&[], &["sleep", "1000"]);
    let payload = stockade.pid(&id);
    let attached = stockade.call(&["attach", "--no-stdin", &id]).start();
    std::thread::sleep(Duration::from_millis(200));
    monitors(&stockade).into_iter().for_each(kill);
    attached.wait().refuses(&["monitor"]);
    assert_eq!(stockade.ask(&["ps", "-q"]).ok().out(), "");
    assert_eq!(stockade.inspect(&id, "{{.State.Status}}"), "exited");
    eventually("the payload's end", Duration::from_secs(10), || {
        !std::path::Path::new(&format!("/proc/{payload}/exe")).exists()
    });
    // It can be started again.
    stockade.ask(&["start", &id]).ok();
    settle(&stockade);
}

#[test]
fn the_payload_is_killed_at_any_instant() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    stockade.sh(&[], "true").ok();
    let mut instants = Instants::new();
    for _ in 0..10 {
        let id = stockade.detached(&[], &["sleep", "1000"]);
        let pid = stockade.pid(&id);
        std::thread::sleep(instants.below(30));
        kill(pid);
        assert_eq!(stockade.ask(&["wait", &id]).ok().out(), "137");
        settle(&stockade);
    }
}

#[test]
fn removal_is_killed_at_any_instant() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    let mut instants = Instants::new();
    for _ in 0..10 {
        let id = stockade.detached(&[], &["sleep", "1000"]);
        let removing = stockade.call(&["rm", "-f", &id]).start();
        std::thread::sleep(instants.below(60));
        kill(removing.pid());
        removing.wait().either_way();
        settle(&stockade);
    }
}
