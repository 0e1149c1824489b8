//! Docker and Podman, whose command lines are alike, each with the runtime under test and in a cell of its own.

use std::path::Path;
use std::sync::LazyLock;

use serde_json::json;
use stockade_testkit::{Call, Finished, Running, eventually, programs};

use crate::cell::{Cell, PATIENCE};

/// Which engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// dockerd with its own containerd.
    Docker,
    /// podman with conmon.
    Podman,
}

/// A running engine with the image `busybox`.
pub(crate) struct Engine {
    /// Which one.
    pub(crate) kind: Kind,
    /// Where it runs.
    pub(crate) cell: Cell,
    command: Vec<String>,
    daemon: Option<Running>,
}

static DOCKER: LazyLock<Engine> = LazyLock::new(|| Engine::docker("docker"));
static PODMAN: LazyLock<Engine> = LazyLock::new(|| Engine::podman("podman"));

/// The Docker that all tests of this process share.
pub(crate) fn docker() -> &'static Engine {
    &DOCKER
}

/// The Podman that all tests of this process share.
pub(crate) fn podman() -> &'static Engine {
    &PODMAN
}

fn path(path: &Path) -> String {
    path.to_str().expect("paths of tests are UTF-8").to_owned()
}

fn archive() -> String {
    path(&programs::images().join("busybox/docker.tar"))
}

impl Engine {
    /// Starts dockerd in a cell called `name`.
    pub(crate) fn docker(name: &str) -> Self {
        let cell = Cell::start(name);
        let within = |name: &str| path(&cell.folder().join(name));
        let runtime = path(&programs::runtime());
        let config = json!({
            "data-root": within("data"), "exec-root": within("exec"), "pidfile": within("dockerd.pid"),
            "hosts": [format!("unix://{}", within("docker.sock"))],
            "runtimes": { "under-test": { "path": runtime } }, "default-runtime": "under-test",
            "exec-opts": ["native.cgroupdriver=cgroupfs"], "cgroup-parent": cell.group(),
            "iptables": false, "ip6tables": false, "live-restore": true,
        });
        std::fs::write(cell.folder().join("daemon.json"), config.to_string()).expect("a file can be written");
        // Nothing of the user's own settings.
        let settings = format!("DOCKER_CONFIG={}", within("client"));
        let host = format!("--host=unix://{}", within("docker.sock"));
        let command = ["env".to_owned(), settings, "docker".to_owned(), host];
        let mut engine = Self { kind: Kind::Docker, command: command.to_vec(), daemon: None, cell };
        engine.start_daemon();
        engine.call(&["load", "--input", &archive()]).run().ok();
        engine
    }

    fn start_daemon(&mut self) {
        let config = path(&self.cell.folder().join("daemon.json"));
        self.daemon = Some(self.cell.call("dockerd").args(["--config-file", &config]).start());
        eventually("dockerd to answer", PATIENCE, || self.call(&["version"]).run().code() == 0);
    }

    /// Kills dockerd, which leaves its containers running, and starts it again.
    pub(crate) fn kill_and_restart_daemon(&mut self) {
        let pid = std::fs::read_to_string(self.cell.folder().join("dockerd.pid")).expect("dockerd wrote its pid");
        self.cell.call("kill").args(["-KILL", pid.trim()]).run().ok();
        let killed = self.daemon.take().expect("dockerd was started");
        killed.wait().exits(137);
        self.start_daemon();
    }

    /// Prepares Podman in a cell called `name`.
    pub(crate) fn podman(name: &str) -> Self {
        let cell = Cell::start(name);
        let within = |name: &str| path(&cell.folder().join(name));
        // Podman's own defaults are more than a process without CAP_SYS_RESOURCE may give.
        let config = "[containers]\ndefault_ulimits = [\"nofile=512:1024\", \"nproc=512:1024\"]\n";
        std::fs::write(cell.folder().join("containers.conf"), config).expect("a file can be written");
        let command = [
            "env",
            &format!("CONTAINERS_CONF={}", within("containers.conf")),
            "podman",
            &format!("--runtime={}", path(&programs::runtime())),
            &format!("--root={}", within("data")),
            &format!("--runroot={}", within("run")),
            &format!("--tmpdir={}", within("tmp")),
            "--storage-driver=overlay",
            "--cgroup-manager=cgroupfs",
            "--events-backend=file",
        ];
        let command = command.map(str::to_owned).to_vec();
        let engine = Self { kind: Kind::Podman, command, daemon: None, cell };
        engine.call(&["load", "--input", &archive()]).run().ok();
        engine
    }

    /// The client with `arguments`, about to run.
    pub(crate) fn call(&self, arguments: &[&str]) -> Call {
        let (program, options) = self.command.split_first().expect("a command has a program");
        self.cell.call(program).args(options).args(arguments)
    }

    /// The client with `arguments` on a terminal, about to run.
    pub(crate) fn call_on_terminal(&self, arguments: &[&str]) -> Call {
        let words = self.command.iter().cloned().chain(arguments.iter().map(|word| (*word).to_owned()));
        self.cell.call_on_terminal(&words.collect::<Vec<_>>())
    }

    /// The words of `run` or `create` for a container of the image: without a network, if `options` name none.
    fn words<'a>(&'a self, verb: &[&'a str], options: &[&'a str], command: &[&'a str]) -> Vec<&'a str> {
        let mut words = verb.to_vec();
        if !options.contains(&"--network") {
            words.extend(["--network", "none"]);
        }
        if self.kind == Kind::Podman && !options.contains(&"--cgroup-parent") {
            words.extend(["--cgroup-parent", self.cell.group()]);
        }
        words.extend(options);
        words.push("busybox");
        words.extend(command);
        words
    }

    /// `run --rm` of `command` in the foreground, about to run.
    pub(crate) fn run_call(&self, options: &[&str], command: &[&str]) -> Call {
        self.call(&self.words(&["run", "--rm"], options, command))
    }

    /// `run --rm` of `script` by the image's shell, to its end.
    pub(crate) fn sh(&self, options: &[&str], script: &str) -> Finished {
        self.run_call(options, &["sh", "-c", script]).run()
    }

    /// `run --rm --tty` of `script` on a terminal, about to run.
    pub(crate) fn run_on_terminal(&self, options: &[&str], script: &str) -> Call {
        self.call_on_terminal(&self.words(&["run", "--rm", "--tty"], options, &["sh", "-c", script]))
    }

    /// A container that runs `script`, detached.
    ///
    /// # Panics
    /// If it does not start.
    #[track_caller]
    pub(crate) fn detached(&self, options: &[&str], script: &str) -> Container<'_> {
        let done = self.call(&self.words(&["run", "--detach"], options, &["sh", "-c", script])).run().ok();
        Container { engine: self, id: last_line(&done) }
    }

    /// A container that would run `script`, not started.
    ///
    /// # Panics
    /// If it cannot be made.
    #[track_caller]
    pub(crate) fn created(&self, options: &[&str], script: &str) -> Container<'_> {
        let done = self.call(&self.words(&["create"], options, &["sh", "-c", script])).run().ok();
        Container { engine: self, id: last_line(&done) }
    }

    /// What the daemon has said, for messages.
    pub(crate) fn log(&self) -> String {
        self.daemon.as_ref().map(Running::stderr_so_far).unwrap_or_default()
    }
}

/// Clients may print warnings before the id.
fn last_line(done: &Finished) -> String {
    done.out().lines().last().expect("an id is printed").to_owned()
}

/// A container. Dropping it removes it by force and asserts that nothing of it is left.
pub(crate) struct Container<'a> {
    engine: &'a Engine,
    /// Its whole id.
    pub(crate) id: String,
}

impl Container<'_> {
    /// The client's `verb` with `options`, on this container.
    pub(crate) fn call(&self, verb: &[&str]) -> Call {
        self.engine.call(verb).arg(&self.id)
    }

    /// The same to its end.
    pub(crate) fn run(&self, verb: &[&str]) -> Finished {
        self.call(verb).run()
    }

    /// Removes it by force and at once.
    pub(crate) fn remove(&self) -> Finished {
        match self.engine.kind {
            Kind::Docker => self.run(&["rm", "--force"]),
            Kind::Podman => self.run(&["rm", "--force", "--time", "0"]),
        }
    }

    /// `exec` of `command`.
    pub(crate) fn exec(&self, options: &[&str], command: &[&str]) -> Finished {
        let mut words = vec!["exec"];
        words.extend(options);
        self.call(&words).args(command).run()
    }

    /// A part of what `inspect` tells, by a template such as `{{.State.Pid}}`.
    ///
    /// # Panics
    /// If there is none.
    #[track_caller]
    pub(crate) fn inspect(&self, template: &str) -> String {
        self.run(&["inspect", "--format", template]).ok().out().to_owned()
    }

    /// Waits until `inspect` says `status`.
    #[track_caller]
    pub(crate) fn until(&self, status: &str) {
        eventually(&format!("the container to be {status}"), PATIENCE, || self.inspect("{{.State.Status}}") == status);
    }

    /// Waits until the payload has written `line`.
    #[track_caller]
    pub(crate) fn until_it_says(&self, line: &str) {
        eventually(&format!("the container to say {line}"), PATIENCE, || {
            self.run(&["logs"]).stdout.lines().any(|said| said == line)
        });
    }

    /// The container's cgroup as the host sees it.
    pub(crate) fn group(&self) -> String {
        let prefix = if self.engine.kind == Kind::Podman { "libpod-" } else { "" };
        format!("{}/{prefix}{}", self.engine.cell.group(), self.id)
    }
}

impl Drop for Container<'_> {
    fn drop(&mut self) {
        let removed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.remove()));
        let found = self.engine.cell.leftovers(&self.id);
        if found.is_empty() {
            return;
        }
        let text = format!("left behind after {removed:?}: {found:#?}\n{}", self.engine.log());
        if std::thread::panicking() { eprintln!("{text}") } else { panic!("{text}") }
    }
}
