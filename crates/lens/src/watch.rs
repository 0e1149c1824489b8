//! Watching a container that runs: what it tries, and which wall says no ([`crate::denial`]).
//!
//! The means are the kernel's tracepoints (`sys_exit` for calls that failed, `cap_capable` for capabilities that were asked for in vain,
//! `mark_victim` for memory), which the processes of the container alone write into shared memory: nobody is stopped. `sys_exit` is told of
//! calls that the filter denied too, `sys_enter` is not. A path is read from the process' memory just after the call: of one that ended at
//! once it may be lost, and then is not shown.

mod call;
mod facts;
mod members;
mod report;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use rustix::time::ClockId;
use stockade_capabilities::Capability;
use stockade_kernel::perf::{Begins, From, Point, Registers, Room, Sample, Stack, Tracepoint, Watch};
use stockade_kernel::procfs::{Procfs, Subject};
use stockade_seccomp::ProfileError;

use crate::asked::Asked;
use crate::denial::{self, Attempt, Checked, Denial, Walls};
use crate::record::Baseline;
use call::Scope;
use facts::Facts;

pub(crate) use call::called;
pub(crate) use facts::raises;
pub(crate) use members::host_users;
pub use report::Report;

/// Why nothing can be watched. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// The first process.
    #[error("cannot read {what} of process {pid}")]
    Read {
        /// The process.
        pid: i32,
        /// What could not be read.
        what: &'static str,
        /// Why.
        source: io::Error,
    },
    /// The filter of the configuration.
    #[error("the system call filter that was asked for cannot be read")]
    Filter(#[from] ProfileError),
    /// The kernel's tracepoints.
    #[error(
        "cannot watch by the kernel's tracepoints ({what}): that takes root of this machine, a kernel with tracefs and perf events, and an \
         x86-64 processor"
    )]
    Tracepoints {
        /// What was attempted.
        what: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
}

fn tracing(what: &'static str) -> impl Fn(io::Error) -> WatchError {
    move |source| WatchError::Tracepoints { what, source }
}

/// From when on a container is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    /// All of its processes from now on.
    Now,
    /// Its first process, which has not executed its program yet, from that on.
    Program,
}

/// The tracepoints.
struct Points {
    exit: Tracepoint,
    /// Kernels before 6.14 have none.
    capable: Option<Tracepoint>,
    victim: Option<Tracepoint>,
    /// Told of a process that becomes another program, and of names that it gives itself.
    renamed: Tracepoint,
}

/// What was seen, in the order of time.
enum Seen {
    Ended(Box<Attempt>, Registers),
    Asked(Checked, Registers),
    Victim,
}

/// A container that is watched.
pub struct Watcher {
    facts: Facts,
    walls: Walls,
    points: Points,
    watch: Watch,
    /// The host's user namespace, as the kernel's records name it.
    host_users: Option<i64>,
    process: OwnedFd,
    known: BTreeSet<i32>,
    /// Processes that got rights by executing a program, with its path.
    followed: BTreeSet<(i32, Vec<u8>)>,
    /// Not yet in order: another processor may still tell of what was before.
    held: Vec<(u64, u32, Seen)>,
    /// Of each thread's last call, what it asked for in vain.
    asked: BTreeMap<u32, (Registers, Vec<Checked>)>,
    report: Report,
    /// If only what is denied beyond these is told.
    baseline: Option<Baseline>,
}

impl Watcher {
    /// Begins to watch the container whose first process is `pid` and that `asked` was asked for; `profile` is its filter as
    /// `--security-opt seccomp=` has it, where the engine knows that.
    ///
    /// # Errors
    /// [`WatchError`].
    pub fn new(pid: i32, asked: &Asked, profile: Option<String>, begin: Begin) -> Result<Self, WatchError> {
        Self::begin(pid, asked, profile, begin, None)
    }

    /// The same from the first process' program on, for what would not have been denied under the walls of `baseline` only.
    ///
    /// # Errors
    /// [`WatchError`].
    pub fn against(baseline: Baseline, pid: i32, asked: &Asked) -> Result<Self, WatchError> {
        Self::begin(pid, asked, None, Begin::Program, Some(baseline))
    }

    fn begin(
        pid: i32,
        asked: &Asked,
        profile: Option<String>,
        begin: Begin,
        baseline: Option<Baseline>,
    ) -> Result<Self, WatchError> {
        let read = |what: &'static str| move |source: io::Error| WatchError::Read { pid, what, source };
        let procfs = Procfs::host().map_err(read("procfs"))?;
        let subject = Subject::Pid(pid);
        let maps = stockade_namespaces::observe(&procfs, subject).map_err(read("the namespaces"))?.maps;
        let devices = procfs.read(subject, "net/dev").map_err(read("the network"))?;
        let walls = Walls::of(&asked.spec, profile, maps, members::only_loopback(&devices))?;
        let number = Pid::from_raw(pid).ok_or_else(|| read("its id")(rustix::io::Errno::SRCH.into()))?;
        let process = pidfd_open(number, PidfdFlags::empty()).map_err(io::Error::from).map_err(read("the process"))?;
        let points = Points {
            exit: Tracepoint::find("raw_syscalls", "sys_exit").map_err(tracing("raw_syscalls:sys_exit"))?,
            capable: optional(Tracepoint::find("capability", "cap_capable"))
                .map_err(tracing("capability:cap_capable"))?,
            victim: optional(Tracepoint::find("oom", "mark_victim")).map_err(tracing("oom:mark_victim"))?,
            renamed: Tracepoint::find("task", "task_rename").map_err(tracing("task:task_rename"))?,
        };
        let host_users = match &points.capable {
            Some(point) => Some(members::host_users(point).map_err(tracing("capability:cap_capable"))?),
            None => None,
        };
        let lacks_devices = baseline.as_ref().is_some_and(Baseline::lacks_devices);
        let scope = if baseline.is_none() || lacks_devices { Scope::Walls } else { Scope::Refusals };
        let watch = points.watch(&walls, scope).map_err(tracing("raw_syscalls:sys_exit"))?;
        let facts = Facts::new(procfs, pid, &walls).map_err(read("the root"))?;
        let report = Report::new(points.capable.is_some());
        let (held, asked, known, followed) = (Vec::new(), BTreeMap::new(), BTreeSet::new(), BTreeSet::new());
        let mut watcher =
            Self { facts, walls, points, watch, host_users, process, known, followed, held, asked, report, baseline };
        match begin {
            Begin::Program => {
                watcher.known.insert(pid);
                watcher.watch.add(pid, From::Exec).map_err(tracing("perf_event_open"))?;
            }
            Begin::Now => watcher.find_members()?,
        }
        Ok(watcher)
    }

    fn request(&self, checked: &[Checked]) -> Option<Denial> {
        match &self.baseline {
            None => denial::request(&self.walls, checked),
            Some(baseline) => baseline.request(&self.walls, checked),
        }
    }

    fn judge(&self, attempt: &Attempt) -> Option<Denial> {
        match &self.baseline {
            None => denial::judge(&self.walls, attempt),
            Some(baseline) => baseline.judge(&self.walls, attempt),
        }
    }

    fn victim(&self) -> Option<Denial> {
        let is_told = self.baseline.as_ref().is_none_or(|baseline| baseline.had_other_memory(&self.walls));
        denial::memory(&self.walls).filter(|_| is_told)
    }

    /// Watches processes of the container that are not watched yet: those that `exec` brought in, which none of it has made.
    ///
    /// # Errors
    /// [`WatchError`].
    pub fn find_members(&mut self) -> Result<(), WatchError> {
        for tid in members::unknown(&self.facts.procfs, self.facts.pid, &mut self.known) {
            match self.watch.add(tid, From::Now) {
                // It has ended meanwhile.
                Err(error) if error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error()) => {}
                outcome => outcome.map_err(tracing("perf_event_open"))?,
            }
        }
        Ok(())
    }

    /// Waits until something is told, or for `patience`, and returns what was denied and not told before. `other` is a descriptor that ends
    /// the waiting as well.
    ///
    /// # Errors
    /// [`WatchError`] for a record that makes no sense.
    pub fn wait(&mut self, patience: Duration, other: Option<BorrowedFd<'_>>) -> Result<Vec<Denial>, WatchError> {
        let own = self.watch.descriptors().chain([self.process.as_fd()]);
        // Once it has ended these would be ready all the time.
        let own = own.take(if self.has_ended() { 0 } else { usize::MAX }).chain(other);
        wait_for(own, patience).map_err(tracing("poll"))?;
        self.look(Settled::ByTime)
    }

    /// Whether the container's first process has ended.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        let mut fds = [PollFd::new(&self.process, PollFlags::IN)];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut fds, Some(&now)).is_ok_and(|ready| ready > 0)
    }

    /// Takes what is left, and tells all.
    ///
    /// # Errors
    /// [`WatchError`] for a record that makes no sense.
    pub fn finish(mut self) -> Result<Report, WatchError> {
        self.look(Settled::All)?;
        for (_, checked) in std::mem::take(&mut self.asked).into_values() {
            if let Some(denial) = self.request(&checked) {
                self.report.take(denial);
            }
        }
        Ok(self.report)
    }

    /// Takes the records that are there and judges those whose order is known.
    fn look(&mut self, settled: Settled) -> Result<Vec<Denial>, WatchError> {
        let now = rustix::time::clock_gettime(ClockId::Monotonic);
        let now = now.tv_sec.cast_unsigned() * 1_000_000_000 + now.tv_nsec.cast_unsigned();
        let samples = self.watch.take(&mut self.report.lost).map_err(tracing("its records"))?;
        for sample in samples {
            let seen = self.seen(&sample).map_err(tracing("its records"))?;
            self.held.extend(seen.map(|seen| (sample.time, sample.thread, seen)));
        }
        self.held.sort_by_key(|(time, ..)| *time);
        let count = match settled {
            Settled::ByTime => self.held.partition_point(|(time, ..)| *time <= now),
            Settled::All => self.held.len(),
        };
        let mut news = Vec::new();
        for (_, thread, seen) in self.held.drain(..count).collect::<Vec<_>>() {
            let denial = match seen {
                Seen::Asked(checked, registers) => {
                    let entry = self.asked.entry(thread).or_insert((registers, Vec::new()));
                    let before = if entry.0 == registers { Vec::new() } else { std::mem::take(&mut entry.1) };
                    entry.0 = registers;
                    entry.1.push(checked);
                    // The call before it did not fail.
                    self.request(&before)
                }
                Seen::Ended(mut attempt, registers) => {
                    let asked = self.asked.remove(&thread).filter(|(during, _)| *during == registers);
                    attempt.checked =
                        self.points.capable.as_ref().map(|_| asked.map(|(_, all)| all).unwrap_or_default());
                    self.judge(&attempt)
                }
                Seen::Victim => self.victim(),
            };
            news.extend(denial.and_then(|denial| self.report.take(denial)));
        }
        Ok(news)
    }

    /// Watches a process again that got rights by executing a program, where the kernel ends its watching (`begin_new_exec` in its `fs/exec.c`).
    fn follow(&mut self, sample: &Sample) -> io::Result<()> {
        let process = sample.process.cast_signed();
        if self.walls.no_new_privileges || !self.facts.has_raised(Subject::Pid(process)) {
            return Ok(());
        }
        // A name that it gives itself looks the same.
        let program = self.facts.procfs.read_link(Subject::Pid(process), "exe").unwrap_or_default();
        if !self.followed.insert((process, program)) {
            return Ok(());
        }
        match self.watch.add(process, From::Now) {
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error()) => Ok(()),
            outcome => outcome,
        }
    }

    /// What one record says, with what can be read of its process now.
    fn seen(&mut self, sample: &Sample) -> io::Result<Option<Seen>> {
        let is = |point: &Option<Tracepoint>| point.as_ref().filter(|point| point.is_of(&sample.raw)).cloned();
        if is(&self.points.victim).is_some() {
            return Ok(Some(Seen::Victim));
        }
        if self.points.renamed.is_of(&sample.raw) {
            self.follow(sample)?;
            return Ok(None);
        }
        let Some(registers) = sample.registers else { return Ok(None) };
        let malformed = || io::Error::from(rustix::io::Errno::BADMSG);
        if let Some(point) = is(&self.points.capable) {
            let number = point.number(&sample.raw, "cap").ok_or_else(malformed)?;
            let users = point.number(&sample.raw, "target_ns").ok_or_else(malformed)?;
            let capability = u8::try_from(number).ok().and_then(Capability::new);
            let checked = capability.map(|capability| Checked { capability, of_host: Some(users) == self.host_users });
            return Ok(checked.map(|checked| Seen::Asked(checked, registers)));
        }
        let number = |name| self.points.exit.number(&sample.raw, name).ok_or_else(malformed);
        let (id, result) = (number("id")?, number("ret")?);
        let attempt = self.facts.attempt(&self.walls, sample, &registers, id as u32, result);
        Ok(Some(Seen::Ended(Box::new(attempt), registers)))
    }
}

/// Which records are judged.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Settled {
    /// Those from before this look.
    ByTime,
    /// All: there will be no more.
    All,
}

impl Points {
    fn watch(&self, walls: &Walls, scope: Scope) -> io::Result<Watch> {
        let filter = call::filter(walls, scope);
        let begins = Begins::Watched;
        let mut all = vec![Point { tracepoint: &self.exit, filter: &filter, stack: Stack::Told, begins }];
        all.push(Point { tracepoint: &self.renamed, filter: "", stack: Stack::Untold, begins });
        let others = [(&self.capable, "ret == -1"), (&self.victim, "pid != 0")];
        all.extend(others.iter().filter_map(|(point, filter)| {
            let tracepoint = point.as_ref()?;
            Some(Point { tracepoint, filter, stack: Stack::Untold, begins })
        }));
        Watch::new(&all, Room::SMALL)
    }
}

/// Waits until one of `descriptors` can be read, or for `patience`.
pub(crate) fn wait_for<'fd>(descriptors: impl Iterator<Item = BorrowedFd<'fd>>, patience: Duration) -> io::Result<()> {
    let mut fds: Vec<PollFd<'_>> = descriptors.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)).collect();
    let patience = Timespec { tv_sec: patience.as_secs().cast_signed(), tv_nsec: i64::from(patience.subsec_nanos()) };
    rustix::io::retry_on_intr(|| poll(&mut fds, Some(&patience)))?;
    Ok(())
}

/// What a kernel need not have.
pub(crate) fn optional(found: io::Result<Tracepoint>) -> io::Result<Option<Tracepoint>> {
    match found {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        found => found.map(Some),
    }
}
