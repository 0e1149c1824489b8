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
