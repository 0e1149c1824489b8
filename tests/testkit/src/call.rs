//! Running a program with a time limit, its output kept in unnamed files.
//!
//! Files and not pipes: a runtime's `create` hands its stdio on to the container, and whoever reads a pipe to its end
//! would wait for the container's end too.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};
use rustix::fd::OwnedFd;
use rustix::process::{Pid, PidfdFlags, Signal};

/// How long a program may run unless the test says otherwise. A loaded machine is slow; a hanging program is for ever.
pub const LIMIT: Duration = Duration::from_secs(60);

/// The variable that says by what all limits of time are multiplied, for machines that are emulated.
pub const PATIENCE: &str = "STOCKADE_TEST_PATIENCE";

/// `limit` as this machine is to have it; see [`PATIENCE`].
///
/// # Panics
/// If the variable is no number.
#[must_use]
pub fn patient(limit: Duration) -> Duration {
    match std::env::var(PATIENCE) {
        Ok(times) => limit * times.parse().expect("the patience is a number"),
        Err(_) => limit,
    }
}

/// A program about to run.
pub struct Call {
    command: Command,
    stdin: Option<File>,
    terminal: Option<OwnedFd>,
    limit: Duration,
}

impl Call {
    /// `program`, with empty stdin and a limit of [`LIMIT`].
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        Self { command: Command::new(program), stdin: None, terminal: None, limit: LIMIT }
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.command.arg(argument);
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(mut self, arguments: I) -> Self {
        self.command.args(arguments);
        self
    }

    /// Sets a variable of the environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// The folder to run in.
    #[must_use]
    pub fn within(mut self, folder: &Path) -> Self {
        self.command.current_dir(folder);
        self
    }

    /// What the program reads from its stdin.
    ///
    /// # Panics
    /// If no temporary file can be made.
    #[must_use]
    pub fn stdin(mut self, content: &[u8]) -> Self {
        let mut file = tempfile::tempfile().expect("a temporary file can be made");
        file.write_all(content).expect("stdin can be written");
        file.seek(SeekFrom::Start(0)).expect("stdin can be rewound");
        self.stdin = Some(file);
        self
    }

    /// Gives the program this terminal for its three streams; what it shows is on the terminal's other side only.
    #[must_use]
    pub fn on_terminal(mut self, terminal: OwnedFd) -> Self {
        self.terminal = Some(terminal);
        self
    }

    /// How long the program may run.
    #[must_use]
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Starts the program and waits for its end.
    ///
    /// # Panics
    /// If it does not start or does not end in time.
    pub fn run(self) -> Finished {
        self.start().wait()
    }

    /// Starts the program.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start(mut self) -> Running {
        let out = tempfile::tempfile().expect("a temporary file can be made");
        let err = tempfile::tempfile().expect("a temporary file can be made");
        self.command.stdin(self.stdin.map_or_else(Stdio::null, Stdio::from));
        self.command.stdout(out.try_clone().expect("stdout can be duplicated"));
        self.command.stderr(err.try_clone().expect("stderr can be duplicated"));
        if let Some(terminal) = self.terminal {
            let copy = || Stdio::from(terminal.try_clone().expect("a terminal can be duplicated"));
            self.command.stdin(copy()).stdout(copy()).stderr(copy());
        }
        let shown = format!("{:?}", self.command);
        let child = self.command.spawn().unwrap_or_else(|error| panic!("{shown}: {error}"));
        Running { child, out, err, shown, limit: self.limit, started: Instant::now() }
    }
}

/// A program that runs.
pub struct Running {
    child: Child,
    out: File,
    err: File,
    shown: String,
    limit: Duration,
    started: Instant,
}

impl Running {
    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.child.id().cast_signed()
    }

    /// Sends it a signal.
    ///
    /// # Panics
    /// If the kernel refuses.
    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).expect("a child can be signalled");
    }

    /// What it has written to stdout so far.
    #[must_use]
    pub fn stdout_so_far(&self) -> String {
        text(&self.out)
    }

    /// What it has written to stderr so far.
    #[must_use]
    pub fn stderr_so_far(&self) -> String {
        text(&self.err)
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// If the limit is over; the program is killed then.
    pub fn wait(mut self) -> Finished {
        let left = patient(self.limit).saturating_sub(self.started.elapsed());
        if !ends_within(&self.child, left) {
            self.child.kill().expect("a child can be killed");
            self.child.wait().expect("a killed child ends");
            panic!("{} did not end within {:?}; stderr: {}", self.shown, patient(self.limit), text(&self.err));
        }
        let status = self.child.wait().expect("a child can be waited for");
        let (stdout, stderr) = (text(&self.out), text(&self.err));
        Finished { status, stdout, stderr, shown: self.shown, out: self.out, took: self.started.elapsed() }
    }
}

/// Whether `child` ends in time; it is not reaped.
///
/// # Panics
/// If the kernel does not let it be waited for.
#[must_use]
pub fn ends_within(child: &Child, limit: Duration) -> bool {
    let pidfd = rustix::process::pidfd_open(Pid::from_child(child), PidfdFlags::empty()).expect("pidfd_open works");
    let deadline = Instant::now() + limit;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = left.try_into().expect("a limit of hours at most");
        let mut fds = [PollFd::new(&pidfd, PollFlags::IN)];
        match rustix::event::poll(&mut fds, Some(&timeout)) {
            Ok(0) => return false,
            Ok(_) => return true,
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => panic!("poll on a pidfd: {error}"),
        }
    }
}

/// The whole content, read beside the writers' own position.
fn text(file: &File) -> String {
    use std::os::unix::fs::FileExt;
    let mut content = vec![0; file.metadata().map_or(0, |data| usize::try_from(data.len()).unwrap_or(0))];
    let read = file.read_at(&mut content, 0).unwrap_or(0);
    content.truncate(read);
    String::from_utf8_lossy(&content).into_owned()
}

/// A program that ended.
pub struct Finished {
    status: ExitStatus,
    /// All of stdout, decoded loosely.
    pub stdout: String,
    /// All of stderr, decoded loosely.
    pub stderr: String,
    /// From start to end.
    pub took: Duration,
    shown: String,
    out: File,
}

impl Finished {
    /// The exit code; 128 + n for a program that died of signal n, as shells say it.
    #[must_use]
    pub fn code(&self) -> i32 {
        self.status.code().unwrap_or_else(|| 128 + self.status.signal().unwrap_or(0))
    }

    /// Stdout without the white space around it.
    #[must_use]
    pub fn out(&self) -> &str {
        self.stdout.trim()
    }

    /// Stdout as JSON.
    ///
    /// # Panics
    /// If it is not.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("not JSON: {error}: {self:?}"))
    }

    /// Stdout as it is now: a container that `create` has left behind may have written more.
    ///
    /// # Panics
    /// If it cannot be read.
    #[must_use]
    pub fn stdout_now(&mut self) -> String {
        let mut content = String::new();
        self.out.seek(SeekFrom::Start(0)).expect("a file can be rewound");
        self.out.read_to_string(&mut content).expect("stdout can be read");
        content
    }

    /// Itself.
    ///
    /// # Panics
    /// If the exit code is not `code`.
    #[track_caller]
    pub fn exits(self, code: i32) -> Self {
        assert_eq!(self.code(), code, "{self:?}");
        self
    }

    /// Takes either answer: what matters is the state of the machine afterwards, which the caller looks at.
    pub fn either_way(self) {}

    /// Itself.
    ///
    /// # Panics
    /// If it failed.
    #[track_caller]
    pub fn ok(self) -> Self {
        self.exits(0)
    }

    /// Itself.
    ///
    /// # Panics
    /// If it did not fail with an error message, of one screen at most, that has one of `words` in it (any case).
    #[track_caller]
    pub fn refuses(self, words: &[&str]) -> Self {
        assert_ne!(self.code(), 0, "{self:?}");
        let said = self.stderr.to_lowercase();
        assert!(words.iter().any(|word| said.contains(&word.to_lowercase())), "names none of {words:?}: {self:?}");
        assert!(!said.contains("panicked at"), "{self:?}");
        assert!(self.stderr.lines().count() <= 12, "more than one clear error: {self:?}");
        self
    }
}

impl std::fmt::Debug for Finished {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(out, "{}\n{} after {:?}", self.shown, self.status, self.took)?;
        writeln!(out, "--- stdout\n{}", self.stdout.trim_end())?;
        writeln!(out, "--- stderr\n{}", self.stderr.trim_end())
    }
}

/// Asks `condition` every few milliseconds until it holds.
///
/// # Panics
/// If it does not hold within `limit`, as [`patient`] has it; `what` says what was waited for.
#[track_caller]
pub fn eventually(what: &str, limit: Duration, mut condition: impl FnMut() -> bool) {
    let limit = patient(limit);
    let deadline = Instant::now() + limit;
    while !condition() {
        assert!(Instant::now() < deadline, "waited {limit:?} in vain for: {what}");
        std::thread::sleep(Duration::from_millis(3));
    }
}
