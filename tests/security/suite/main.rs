//! The security record of the field as tests: each published hole that concerns a runtime, tried by a hostile bundle.
//!
//! A file for each class of holes: [`paths`] out of the root, [`procfs`] writes that go astray, [`leaks`] into the payload
//! and the program file that it could reach, [`identity`], [`images`] that are run or that steer, controls that are
//! [`lost`] in silence, what is [`readable`] on the host, the system call [`filter`],
//! published sequences of [`calls`], the [`audit`] that finds what is weaker than asked, and [`volumes`] that hostile images and containers share with the engine.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod audit;
mod calls;
mod filter;
mod identity;
mod image_corpus;
mod images;
mod leaks;
mod lost;
mod paths;
mod procfs;
mod races;
mod readable;
mod selftest;
mod volumes;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::fs::{CWD, RenameFlags};
use stockade_testkit::Bundle;

/// A container that runs and does nothing, with the probe in it.
fn sleeping() -> Bundle {
    Bundle::busybox().with_inside().args(&["/bin/sleep", "1000"]).detached()
}

/// Does `work` while another thread exchanges the names `a` and `b` as fast as it can.
fn while_swapping<R>(a: &Path, b: &Path, work: impl FnOnce() -> R) -> R {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let swapper = scope.spawn(|| {
            let mut count = 0u64;
            while !done.load(Ordering::Relaxed) {
                rustix::fs::renameat_with(CWD, a, CWD, b, RenameFlags::EXCHANGE).expect("names can be exchanged");
                count += 1;
                // Without a pause the lock on renames keeps the whole machine from looking up paths.
                std::thread::sleep(Duration::from_micros(count % 64));
            }
            count
        });
        // The thread must end also when the work panics, or the scope would wait for ever.
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        done.store(true, Ordering::Relaxed);
        let count = swapper.join().expect("the swapper only swaps");
        assert!(count > 100, "only {count} exchanges: nothing was raced");
        result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Asserts that the folder `outside`, which is the host's, is as empty as it was.
#[track_caller]
fn assert_untouched(outside: &Path) {
    let found: Vec<_> = std::fs::read_dir(outside).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(found.is_empty(), "made on the host: {found:?}");
}
