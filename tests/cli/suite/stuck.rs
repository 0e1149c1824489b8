//! OCI runtimes that hang: what is asked about their container ends with an error, and everybody else goes on.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use rustix::process::{Pid, Signal};
use stockade_testkit::{Stockade, eventually, programs, requires};

const LONG: Duration = Duration::from_secs(90);

/// A runtime that is `stake`, but for verbs that it was told to hang on, with a child of its own that does not end either.
struct Runtime {
    folder: PathBuf,
}

impl Runtime {
    fn new(stockade: &Stockade) -> Self {
        let folder = stockade.folder().join("stuck");
        std::fs::create_dir(&folder).unwrap();
        let runtime = Self { folder };
        let script = format!(
            "#!/bin/sh\nfor word; do if [ -e '{}/'\"$word\" ]; then sh -c 'while :; do sleep 1; done' stuck \"$@\" & wait; fi; done\nexec '{}' \"$@\"\n",
            runtime.folder.display(),
            programs::built("stake").display()
        );
        std::fs::write(runtime.folder.join("runtime"), script).unwrap();
        std::fs::set_permissions(runtime.folder.join("runtime"), std::fs::Permissions::from_mode(0o755)).unwrap();
        runtime
    }

    fn path(&self) -> String {
        self.folder.join("runtime").display().to_string()
    }

    fn hangs_on(&self, verb: &str) {
        std::fs::write(self.folder.join(verb), "").unwrap();
    }

    fn works(&self, verb: &str) {
        std::fs::remove_file(self.folder.join(verb)).unwrap();
    }

    /// `run -d --name NAME` of a container that hangs while it is made.
    fn making(&self, stockade: &Stockade, name: &str) -> (stockade_testkit::Running, String) {
        let call = stockade.call(&["run", "-d", "--name", name, "--runtime", &self.path(), stockade.image(), "true"]);
        let run = call.limit(LONG).start();
        let mut id = String::new();
        eventually("the container", LONG, || {
            let listed = stockade.ask(&["ps", "-aq", "--no-trunc", "--filter", &format!("name=^{name}$")]).ok();
            listed.out().clone_into(&mut id);
            !id.is_empty() && !of_the_runtime(&id).is_empty()
        });
        stockade.know(&id);
        (run, id)
    }
}

/// The processes that a runtime which hangs has for the container.
fn of_the_runtime(id: &str) -> Vec<i32> {
    stockade_testkit::processes::ids_with(&["stuck", id])
}

/// What others do goes on.
fn others_go_on(stockade: &Stockade) {
    let other = stockade.detached(&["--name", "other"], &["sleep", "1000"]);
    let listed = stockade.ask(&["ps", "--format", "{{.Names}}"]).ok();
    assert!(listed.out().lines().any(|name| name == "other"), "{listed:?}");
    stockade.run(&[], &["true"]).ok();
    stockade.ask(&["exec", "other", "true"]).ok();
    stockade.ask(&["rm", "-f", &other]).ok();
}

#[test]
fn a_create_that_hangs_is_given_up_by_rm_stop_kill_and_an_interrupt() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    let runtime = Runtime::new(&stockade);
    runtime.hangs_on("create");
    let (run, id) = runtime.making(&stockade, "removed");
    others_go_on(&stockade);
    stockade.ask(&["rm", &id]).exits(1).refuses(&["cannot remove container", "being started"]);
    stockade.ask(&["rm", "-f", &id]).ok();
    run.wait().exits(125).refuses(&["did not start"]);
    for verb in [&["stop"][..], &["kill"]] {
        let (run, id) = runtime.making(&stockade, "ended");
        stockade.call(verb).arg(&id).run().ok();
        run.wait().exits(125).refuses(&["it was stopped before it ran"]);
        assert_eq!(stockade.inspect(&id, "{{.State.Status}} {{.State.ExitCode}}"), "created 125");
        stockade.ask(&["rm", &id]).ok();
    }
    let (run, id) = runtime.making(&stockade, "interrupted");
    run.signal(Signal::INT);
    drop(run.wait());
    eventually("the runtime's end", LONG, || of_the_runtime(&id).is_empty());
    stockade.ask(&["rm", "-f", &id]).ok();
    stockade.assert_gone();
}

#[test]
fn a_restart_that_hangs_is_given_up_when_somebody_stops_the_container() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    let runtime = Runtime::new(&stockade);
    for verb in ["create", "start"] {
        let id = stockade.detached(&["--restart", "always", "--runtime", &runtime.path()], &["sleep", "1000"]);
        runtime.hangs_on(verb);
        rustix::process::kill_process(Pid::from_raw(stockade.pid(&id)).unwrap(), Signal::KILL).unwrap();
        eventually("a runtime that hangs", LONG, || !of_the_runtime(&id).is_empty());
        assert_eq!(stockade.inspect(&id, "{{.State.Status}}"), "restarting");
        stockade.ask(&["stop", &id]).ok();
        assert_eq!(stockade.inspect(&id, "{{.State.Status}} {{.State.ExitCode}}"), "exited 137");
        // What is killed ends a moment later.
        eventually("the runtime's end", LONG, || of_the_runtime(&id).is_empty());
        runtime.works(verb);
        stockade.ask(&["rm", &id]).ok();
    }
    stockade.assert_gone();
}

#[test]
fn what_is_asked_of_a_runtime_that_hangs_ends_and_its_container_is_removed() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    let runtime = Runtime::new(&stockade);
    let id = stockade.detached(&["--runtime", &runtime.path()], &["sleep", "1000"]);
    let verbs = ["ps", "kill", "pause", "state", "exec"];
    verbs.iter().for_each(|verb| runtime.hangs_on(verb));
    let asked = [&["top"][..], &["kill"], &["stop"], &["pause"]];
    let asked = asked.map(|words| stockade.call(words).arg(&id).limit(LONG).start());
    let exec = stockade.call(&["exec", &id, "true"]).limit(LONG).start();
    others_go_on(&stockade);
    for call in asked {
        call.wait().exits(1).refuses(&["the OCI runtime", "has not ended after 25 seconds and was killed"]);
    }
    exec.wait().exits(126).refuses(&["the OCI runtime's exec has not ended after 60s and was killed"]);
    assert_eq!(stockade.inspect(&id, "{{.State.Status}}"), "running");
    stockade.call(&["rm", "-f", &id]).limit(LONG).run().ok();
    stockade.assert_gone();
}

#[test]
fn a_delete_that_hangs_keeps_nobody_else_and_what_is_left_is_told() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    let runtime = Runtime::new(&stockade);
    let id = stockade.detached(&["--runtime", &runtime.path()], &["sleep", "1000"]);
    let payload = Pid::from_raw(stockade.pid(&id)).unwrap();
    runtime.hangs_on("delete");
    let monitor = Pid::from_raw(stockade.inspect(&id, "{{.Stockade.Monitor}}").parse().unwrap()).unwrap();
    rustix::process::kill_process(monitor, Signal::KILL).unwrap();
    eventually("the monitor's end", LONG, || rustix::process::test_kill_process(monitor).is_err());
    let listed = stockade.ask(&["ps", "-a", "--format", "{{.ID}} {{.State}}"]).ok();
    assert_eq!(listed.stdout, format!("{} exited\n", &id[..12]), "{listed:?}");
    assert!(listed.stderr.contains("is still there: the OCI runtime"), "{listed:?}");
    // The kernel needs no runtime for that.
    eventually("the container's end", LONG, || rustix::process::test_kill_process(payload).is_err());
    others_go_on(&stockade);
    let removed = stockade.call(&["rm", "-f", &id]).limit(LONG).run().exits(1);
    removed.refuses(&["cannot remove what is left of container", "exec/runtime/", "has not ended after 25 seconds"]);
    runtime.works("delete");
    stockade.ask(&["rm", &id]).ok();
    stockade.assert_gone();
}
