//! `kill -9` at any instant, of the runtime and of what it has started: nobody is left in doubt, and nothing is left behind.
//!
//! The instants are spread over the time that the command takes when nobody disturbs it; the seed is fixed, so that every run tries
//! the same ones, as far as the machine lets it.

use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};
use stockade_testkit::{Bundle, Call, cgroup, eventually, requires};

/// Kills of each command.
const KILLS: u32 = 40;

/// Instants in the first 1.2 of `whole`.
struct Instants {
    seed: u64,
    whole: Duration,
}

impl Instants {
    /// As long as `command` takes, at best of three.
    fn of(mut command: impl FnMut()) -> Self {
        let mut time = || {
            let started = Instant::now();
            command();
            started.elapsed()
        };
        let whole = [time(), time(), time()].into_iter().min().unwrap();
        println!("undisturbed: {whole:?}");
        Self { seed: 0x5eed, whole }
    }

    fn next(&mut self) -> Duration {
        // A linear congruence is random enough to hit different instants, and the same ones in every run.
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.whole.mul_f64((self.seed >> 40) as f64 / (1u64 << 24) as f64 * 1.2)
    }

    /// Starts `call` and kills it at the next instant; whether it had ended by itself before.
    fn kill(&mut self, call: Call) -> bool {
        let running = call.start();
        std::thread::sleep(self.next());
        running.signal(Signal::KILL);
        running.wait().code() != 128 + Signal::KILL.as_raw()
    }
}

fn sleeping() -> Bundle {
    Bundle::busybox().args(&["/bin/sleep", "1000"])
}

/// Deletes by force, which must work whatever was killed, and looks.
#[track_caller]
fn gone(bundle: &Bundle) {
    bundle.delete_by_force().ok();
    bundle.call(&["state", bundle.id()]).run().refuses(&["does not exist"]);
    bundle.assert_gone();
}

#[test]
fn create() {
    // runc 1.1 leaves cgroups behind when it is killed before it has written its state.
    requires!(root, stake, busybox_image);
    let bundle = sleeping();
    let mut instants = Instants::of(|| {
        bundle.create().ok();
        gone(&bundle);
    });
    for _ in 0..KILLS {
        instants.kill(bundle.create_call(&[]));
        gone(&bundle);
    }
}

#[test]
fn run() {
    requires!(root, stake, busybox_image);
    let bundle = Bundle::busybox();
    let mut instants = Instants::of(|| drop(bundle.run().ok()));
    for round in 0..KILLS {
        let detached = bundle.run_call(if round % 2 == 0 { &["--detach"] } else { &[] });
        instants.kill(detached);
        gone(&bundle);
    }
}

/// A killed start has started the container or has not, and its status says which.
#[test]
fn start() {
    requires!(root, stake, busybox_image);
    let bundle = sleeping();
    let mut instants = Instants::of(|| {
        bundle.create().ok();
        bundle.start().ok();
        bundle.delete_by_force().ok();
    });
    // Of these three commands the second is the shortest.
    instants.whole /= 3;
    let mut met = std::collections::BTreeSet::new();
    for _ in 0..KILLS {
        bundle.create().ok();
        let pid = bundle.pid();
        instants.kill(bundle.call(&["start", bundle.id()]));
        let status = bundle.status();
        if status == "created" {
            // Nothing has happened, or it is happening: a second start does it, or finds it done.
            bundle.start().either_way();
        }
        let program = || std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap();
        eventually("the payload to run", Duration::from_secs(10), || program().trim() == "sleep");
        assert_eq!(bundle.status(), "running", "after {status}");
        bundle.start().refuses(&["running"]);
        bundle.delete().refuses(&["running"]);
        met.insert(status);
        gone(&bundle);
    }
    println!("{met:?}");
}

#[test]
fn exec() {
    requires!(root, stake, busybox_image);
    let bundle = sleeping().detached();
    let mut instants = Instants::of(|| drop(bundle.exec(&["/bin/true"]).ok()));
    for round in 0..KILLS {
        let options: &[&str] = if round % 2 == 0 { &["--detach"] } else { &[] };
        instants.kill(bundle.exec_call(options, &["/bin/sleep", "0.01"]));
        // What was started may go on; what was not is no half-made process.
        bundle.exec(&["/bin/true"]).ok();
        assert_eq!(bundle.status(), "running");
    }
    eventually("the processes to end", Duration::from_secs(10), || {
        cgroup::read("pids", bundle.cgroup(), "cgroup.procs").lines().count() == 1
    });
    gone(&bundle);
}

#[test]
fn delete() {
    requires!(root, stake, busybox_image);
    let bundle = sleeping();
    let mut instants = Instants::of(|| {
        bundle.run_call(&["--detach"]).run().ok();
        gone(&bundle);
    });
    instants.whole /= 2;
    for _ in 0..KILLS {
        bundle.run_call(&["--detach"]).run().ok();
        instants.kill(bundle.call(&["delete", "--force", bundle.id()]));
        gone(&bundle);
    }
}

/// The container's own process is killed while it is made, as the out-of-memory killer may: the runtime says so and clears up
/// by itself.
#[test]
fn the_process_that_becomes_the_payload() {
    requires!(root, stake, busybox_image);
    let bundle = Bundle::busybox();
    let mut instants = Instants::of(|| drop(bundle.run().ok()));
    let mut hit = 0;
    for _ in 0..KILLS {
        let running = bundle.run_call(&[]).start();
        std::thread::sleep(instants.next());
        let group = cgroup::folder("pids", bundle.cgroup()).join("cgroup.procs");
        let pids = std::fs::read_to_string(group).unwrap_or_default();
        for pid in pids.lines().filter_map(|pid| Pid::from_raw(pid.parse().ok()?)) {
            // It may have ended meanwhile.
            hit += u32::from(rustix::process::kill_process(pid, Signal::KILL).is_ok());
        }
        let done = running.wait();
        assert!(done.code() == 0 || done.code() == 137 || !done.stderr.is_empty(), "no word: {done:?}");
        // Without any delete.
        bundle.assert_gone();
    }
    assert!(hit > 0, "no process was met");
}
