//! The engine on the real kernel, with the real runtime and monitor.
//!
//! A process that clones may have one thread only, so this program brings its own harness, and calls the engine in its own process.
//! Called as `stockade` it is the command line that monitors call ([`driver`]), and that tests start in order to kill it.

// Clippy knows tests by their attribute, which a program with a harness of its own does not have.
#![allow(clippy::unwrap_used, clippy::panic)]

mod driver;
mod killed;
mod place;
mod verbs;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

use place::Place;
use stockade_testkit::offers;

type Case = (&'static str, fn(&Place));

fn main() -> ExitCode {
    let program = std::env::args_os().next().map(std::path::PathBuf::from).unwrap_or_default();
    if program.file_name().is_some_and(|name| name == "stockade") {
        return driver::main();
    }
    let filter = std::env::args().skip(1).find(|argument| !argument.starts_with('-')).unwrap_or_default();
    let cases: Vec<&Case> =
        verbs::CASES.iter().chain(killed::CASES).filter(|(name, _)| name.contains(&filter)).collect();
    let (mut passed, mut failed) = (0, 0);
    for (name, case) in cases {
        // What is skipped is recorded, and counted by the workbench.
        let ok = !offers::met(&["root", "stake", "busybox_image"], &format!("engine::{name}")) || run(*case);
        println!("test {name} ... {}", if ok { "ok" } else { "FAILED" });
        if ok { passed += 1 } else { failed += 1 }
    }
    let word = if failed == 0 { "ok" } else { "FAILED" };
    println!("test result: {word}. {passed} passed; {failed} failed; 0 ignored; 0 measured; 0 filtered out");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs a case with a place of its own; whether it went well and left nothing.
fn run(case: fn(&Place)) -> bool {
    let place = Place::new();
    let outcome = catch_unwind(AssertUnwindSafe(|| case(&place)));
    let left = place.clear();
    for found in &left {
        println!("left behind: {found}");
    }
    outcome.is_ok() && left.is_empty()
}
