//! Many at once.

use std::time::Duration;

use stockade_testkit::{Stockade, requires};

#[test]
fn fifty_containers_by_eight_processes_at_once() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    std::thread::scope(|scope| {
        for worker in 0..8 {
            let stockade = &stockade;
            scope.spawn(move || {
                for number in (worker..50).step_by(8) {
                    let script = format!("echo {number}; exit {number}");
                    let call = stockade.run_call(&[], &["sh", "-c", &script]).limit(Duration::from_secs(180));
                    let done = call.run().exits(number);
                    assert_eq!(done.out(), number.to_string());
                }
            });
        }
    });
    stockade.assert_gone();
}

/// How many containers run at once, and by how many processes they are made.
const CROWD: usize = 300;
const MAKERS: usize = 6;

/// Calls `stockade` with `words` and then the ids, a part of them from each of [`MAKERS`] processes at once.
fn each_part(stockade: &Stockade, words: &[&str], ids: &[String]) {
    std::thread::scope(|scope| {
        for part in ids.chunks(CROWD.div_ceil(MAKERS)) {
            scope.spawn(move || {
                let done = stockade.call(words).args(part).limit(Duration::from_secs(300)).run().ok();
                assert_eq!(done.out().lines().count(), part.len());
            });
        }
    });
}

#[test]
fn three_hundred_containers_run_at_once_and_leave_nothing() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    std::thread::scope(|scope| {
        for _ in 0..MAKERS {
            let stockade = &stockade;
            scope.spawn(move || {
                for _ in 0..CROWD / MAKERS {
                    let words = ["create", "--network", "none", stockade.image(), "sleep", "10000"];
                    let id = stockade.know(stockade.ask(&words).ok().out());
                    stockade.ask(&["start", &id]).ok().either_way();
                }
            });
        }
    });
    let ids = stockade.ids();
    assert_eq!(ids.len(), CROWD);
    let running = stockade.ask(&["ps", "--no-trunc", "--format", "{{.ID}} {{.State}}"]).ok();
    assert_eq!(running.out().lines().filter(|line| line.ends_with(" running")).count(), CROWD, "{running:?}");
    let mut pids: Vec<i32> = (0..CROWD).step_by(50).map(|number| stockade.pid(&ids[number])).collect();
    pids.dedup();
    assert_eq!(pids.len(), CROWD / 50);
    each_part(&stockade, &["stop", "-t", "0"], &ids);
    let stopped = stockade.ask(&["ps", "-a", "--format", "{{.State}}"]).ok();
    assert!(stopped.out().lines().all(|state| state == "exited"), "{stopped:?}");
    each_part(&stockade, &["rm"], &ids);
    stockade.assert_gone();
}

#[test]
fn one_name_is_won_by_one() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    stockade.sh(&[], "true").ok();
    let all: Vec<_> = (0..8)
        .map(|_| stockade.call(&["run", "-d", "--name", "only", stockade.image(), "sleep", "1000"]).start())
        .collect();
    let codes: Vec<i32> = all.into_iter().map(|one| one.wait().code()).collect();
    assert_eq!(codes.iter().filter(|code| **code == 0).count(), 1, "{codes:?}");
    assert_eq!(codes.iter().filter(|code| **code == 125).count(), 7, "{codes:?}");
    assert_eq!(stockade.ids().len(), 1);
}
