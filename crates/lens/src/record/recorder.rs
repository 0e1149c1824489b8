//! Watching a container from its first instruction on, and what is seen of it.
//!
//! `raw_syscalls:sys_enter` is told of calls that were made, and not of those that the filter denied. A call of which nothing more can be learned
//! is taken out of what the kernel tells once many were told ([`Stages`]): what a busy server repeats costs next to nothing then.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::time::Duration;

use rustix::fd::BorrowedFd;
use rustix::time::ClockId;
use stockade_capabilities::Capability;
use stockade_kernel::perf::{Begins, From, Point, Registers, Room, Sample, Stack, Tracepoint, Watch};
use stockade_kernel::procfs::{Procfs, Subject};
use stockade_seccomp::syscall::Syscall;

use super::calls::{arguments, waits};
use super::facts::{Listener, Phase, Seen, Walls};
use super::probes::is_probe;
use super::resources::Resources;
use super::sights::Sights;
use super::stages::{STAGES, Stages};
use crate::watch::{called, host_users, optional, wait_for};

/// How long the start may take.
const LONGEST_START: u64 = 10_000_000_000;
/// `TCP_SYN_SENT` and `TCP_LISTEN`.
const SYN_SENT: i64 = 2;
const LISTEN: i64 = 10;

/// Why nothing, or not all, was recorded.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
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
    /// The kernel's tracepoints.
    #[error(
        "cannot record by the kernel's tracepoints ({what}): that takes root of this machine, a kernel with tracefs and perf events, and an \
         x86-64 processor"
    )]
    Tracepoints {
        /// What was attempted.
        what: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// Events came faster than they were read.
    #[error(
        "{0} events were lost, because they came faster than they were read: what was recorded is incomplete and not kept; record again with less load"
    )]
    Lost(u64),
    /// The kernel ends the watching of a process that gets rights by executing a program (`begin_new_exec` in its `fs/exec.c`).
    #[error(
        "{0:?} gave the process that executed it rights that it had not (by its set-user-id bit or file capabilities), and the kernel does not \
         tell what such a program does: what was recorded is incomplete and not kept; record it with --user root, or with \
         --security-opt no-new-privileges"
    )]
    Raised(String),
}

/// An execve(2) that was told, of whose end nothing is known yet.
struct Executing {
    thread: u32,
    /// The process' new name, once it has become another program: what can no longer fail.
    becomes: Option<String>,
}

fn tracing(what: &'static str) -> impl Fn(io::Error) -> RecordError {
    move |source| RecordError::Tracepoints { what, source }
}

/// The tracepoints.
struct Points {
    enter: Tracepoint,
    /// Kernels before 6.14 have none.
    capable: Option<Tracepoint>,
    executed: Tracepoint,
    /// Told before the kernel may end the watching, as `executed` is not.
    renamed: Tracepoint,
    connected: Tracepoint,
}

/// A container that is recorded.
pub struct Recorder {
    points: Points,
    watch: Watch,
    pid: i32,
    /// The host's user namespace, as the kernel's records name it.
    host_users: Option<i64>,
    own_users: bool,
    bounding: BTreeSet<Capability>,
    sights: Sights,
    resources: Resources,
    stages: Stages,
    /// Not yet in order: another processor may still tell of what was before.
    held: Vec<Sample>,
    /// Each thread's last call.
    last: HashMap<u32, (&'static str, Registers)>,
    /// By processes.
    executing: BTreeMap<u32, Executing>,
    /// What capabilities were used with whose credentials, where a container's cannot be told from a file system's by their namespace.
    used: Vec<(i64, Capability, &'static str)>,
    begun: Option<u64>,
    phase: Phase,
    lost: u64,
    seen: Seen,
}

impl Recorder {
    /// Begins to record the container whose first process is `pid`, which has not executed its program yet, and which was asked to have these walls
    /// and these devices, by their paths in it.
    ///
    /// # Errors
    /// [`RecordError`]. Nothing was changed.
    pub fn new(pid: i32, walls: &Walls, devices: &[String]) -> Result<Self, RecordError> {
        let read = |what: &'static str| move |source: io::Error| RecordError::Read { pid, what, source };
        let procfs = Procfs::host().map_err(read("procfs"))?;
        let find = |group, name, what| Tracepoint::find(group, name).map_err(tracing(what));
        let points = Points {
            enter: find("raw_syscalls", "sys_enter", "raw_syscalls:sys_enter")?,
            capable: optional(Tracepoint::find("capability", "cap_capable"))
                .map_err(tracing("capability:cap_capable"))?,
            executed: find("sched", "sched_process_exec", "sched:sched_process_exec")?,
            renamed: find("task", "task_rename", "task:task_rename")?,
            connected: find("sock", "inet_sock_set_state", "sock:inet_sock_set_state")?,
        };
        let host_users = points.capable.as_ref().map(host_users).transpose();
        let host_users = host_users.map_err(tracing("capability:cap_capable"))?;
        let resources = Resources::of(&procfs, pid);
        let sights = Sights::new(procfs, pid, walls, devices).map_err(read("the root"))?;
        let mut watch = points.watch().map_err(tracing("perf_event_open"))?;
        watch.add(pid, From::Exec).map_err(tracing("perf_event_open"))?;
        let seen = Seen { capabilities: points.capable.as_ref().map(|_| BTreeMap::new()), ..Seen::default() };
        let (held, last, executing, used) = (Vec::new(), HashMap::new(), BTreeMap::new(), Vec::new());
        let stages = Stages::default();
        let (begun, phase, lost) = (None, Phase::Startup, 0);
        let bounding = walls.capabilities.iter().filter_map(|name| name.parse().ok()).collect();
        let own_users = walls.own_users;
        Ok(Self {
            points,
            watch,
            pid,
            host_users,
            own_users,
            bounding,
            sights,
            resources,
            stages,
            held,
            last,
            executing,
            used,
            begun,
            phase,
            lost,
            seen,
        })
    }

    /// Waits until much was told, or for `patience`, and takes it in. `other` is a descriptor that ends the waiting as well.
    ///
    /// # Errors
    /// [`RecordError`] for a record that makes no sense.
    pub fn wait(&mut self, patience: Duration, other: BorrowedFd<'_>) -> Result<(), RecordError> {
        wait_for(self.watch.descriptors().chain([other]), patience).map_err(tracing("poll"))?;
        let now = rustix::time::clock_gettime(ClockId::Monotonic);
        let now = now.tv_sec.cast_unsigned() * 1_000_000_000 + now.tv_nsec.cast_unsigned();
        self.look(now)
    }

    /// Takes in what is left.
    ///
    /// # Errors
    /// [`RecordError`]: for events that were lost, too.
    pub fn finish(mut self) -> Result<Seen, RecordError> {
        self.look(u64::MAX)?;
        if self.lost > 0 {
            return Err(RecordError::Lost(self.lost));
        }
        if let Some(program) = std::mem::take(&mut self.executing).into_values().find_map(|executing| executing.becomes)
        {
            return Err(RecordError::Raised(program));
        }
        self.take_capabilities();
        self.seen.network.datagrams = self.sights.datagrams().map_err(|source| RecordError::Read {
            pid: self.pid,
            what: "how many datagrams were sent",
            source,
        })?;
        Ok(self.seen)
    }

    /// Takes in what was told until `end`.
    fn look(&mut self, end: u64) -> Result<(), RecordError> {
        let malformed = tracing("its records");
        self.held.extend(self.watch.take(&mut self.lost).map_err(&malformed)?);
        self.held.sort_by_key(|sample| sample.time);
        let count = self.held.partition_point(|sample| sample.time <= end);
        for sample in self.held.drain(..count).collect::<Vec<_>>() {
            self.take(&sample).map_err(&malformed)?;
        }
        self.resources.look(&mut self.seen.peaks);
        self.sights.look(&mut self.seen).map_err(tracing("what is read beside"))?;
        if let Some(step) = self.stages.next(&self.seen, self.phase) {
            self.watch.replace(step.before, step.next, &step.filter).map_err(tracing("perf_event_open"))?;
        }
        Ok(())
    }

    fn take(&mut self, sample: &Sample) -> io::Result<()> {
        let malformed = || io::Error::from(rustix::io::Errno::BADMSG);
        let begun = *self.begun.get_or_insert(sample.time);
        if sample.time.saturating_sub(begun) > LONGEST_START {
            self.phase = Phase::Steady;
        }
        let points = &self.points;
        if points.enter.is_of(&sample.raw) {
            let number = points.enter.number(&sample.raw, "id").ok_or_else(malformed)?;
            return self.call(sample, number as u32);
        }
        if points.executed.is_of(&sample.raw) {
            let path = points.executed.text(&sample.raw, "filename").ok_or_else(malformed)?;
            self.executing.remove(&sample.process);
            self.sights.executed(Subject::Pid(sample.process.cast_signed()), path, &mut self.seen.programs);
            return Ok(());
        }
        if points.renamed.is_of(&sample.raw) {
            let name = points.renamed.bytes(&sample.raw, "newcomm").ok_or_else(malformed)?;
            if let Some(executing) = self.executing.get_mut(&sample.process) {
                let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
                executing.becomes = Some(String::from_utf8_lossy(name).into_owned());
            }
            return Ok(());
        }
        if points.connected.is_of(&sample.raw) {
            return self.socket(sample).ok_or_else(malformed);
        }
        let Some(point) = points.capable.as_ref().filter(|point| point.is_of(&sample.raw)) else { return Ok(()) };
        let number = |name| point.number(&sample.raw, name).ok_or_else(malformed);
        let (capability, users, whose) = (number("cap")?, number("target_ns")?, number("cred")?);
        let Some(capability) = u8::try_from(capability).ok().and_then(Capability::new) else { return Ok(()) };
        // What a file system asks for in the name of who mounted it, it asks for of the host.
        if self.own_users && Some(users) == self.host_users {
            return Ok(());
        }
        let Some(registers) = sample.registers else { return Ok(()) };
        let during =
            self.last.get(&sample.thread).filter(|(_, during)| *during == registers).map_or("", |(name, _)| *name);
        if !is_probe(capability, during, &registers.arguments) && !self.used.contains(&(whose, capability, during)) {
            self.used.push((whose, capability, during));
        }
        Ok(())
    }

    /// A system call.
    fn call(&mut self, sample: &Sample, number: u32) -> io::Result<()> {
        let Some(registers) = sample.registers else { return Ok(()) };
        self.seen.compatible |= !registers.is_native;
        let (_, call) = called(&registers, number);
        let Some(name) = call.map(Syscall::name) else {
            self.seen.unknown.insert(number);
            return Ok(());
        };
        if waits(name) && sample.process == self.pid.cast_unsigned() {
            self.phase = Phase::Steady;
        }
        self.stages.count(number);
        // Who makes another call has not become another program.
        if self.executing.get(&sample.process).is_some_and(|executing| executing.thread == sample.thread) {
            self.executing.remove(&sample.process);
        }
        if matches!(name, "execve" | "execveat") {
            self.executing.insert(sample.process, Executing { thread: sample.thread, becomes: None });
        }
        self.last.insert(sample.thread, (name, registers));
        let entry = match self.seen.calls.get_mut(name) {
            Some(entry) => entry,
            None => self.seen.calls.entry(name.to_owned()).or_default(),
        };
        match self.phase {
            Phase::Startup => entry.startup = true,
            Phase::Steady => entry.steady = true,
        }
        let compared = arguments(name);
        if !compared.is_empty() {
            let at_width =
                |(index, width): &(u8, u32)| registers.arguments[usize::from(*index)] & (u64::MAX >> (64 - width));
            entry.take(compared.iter().map(at_width).collect());
        }
        Ok(())
    }

    /// A TCP socket that listens, or connects.
    fn socket(&mut self, sample: &Sample) -> Option<()> {
        let point = &self.points.connected;
        let number = |name| point.number(&sample.raw, name);
        let is_four = number("family")? == 2;
        let loopback = |four: &str, six: &str| {
            let (four, six) = (point.bytes(&sample.raw, four)?, point.bytes(&sample.raw, six)?);
            let mapped = six.strip_prefix(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff]);
            Some(match (is_four, mapped) {
                (true, _) => four.first() == Some(&127),
                (false, Some(mapped)) => mapped.first() == Some(&127),
                (false, None) => *six == std::net::Ipv6Addr::LOCALHOST.octets(),
            })
        };
        match number("newstate")? {
            // The name server of the container is there too, and asks others.
            SYN_SENT => {
                let is_name_server = is_four && point.bytes(&sample.raw, "daddr")? == [127, 0, 0, 11];
                self.seen.network.connects |= is_name_server || !loopback("daddr", "daddr_v6")?;
            }
            LISTEN => {
                let port = number("sport")? as u16;
                let loopback = loopback("saddr", "saddr_v6")?;
                self.seen.network.listens.insert(Listener { protocol: "tcp".to_owned(), port, loopback });
            }
            _ => {}
        }
        Some(())
    }

    /// The capabilities that were the container's. Without a user namespace of its own what a file system asks for in the name of who mounted it
    /// looks the same, but for credentials that are used for what the container has not.
    fn take_capabilities(&mut self) {
        let Some(needed) = &mut self.seen.capabilities else { return };
        let bounding = &self.bounding;
        let others: BTreeSet<i64> = self
            .used
            .iter()
            .filter(|(_, capability, _)| !bounding.contains(capability))
            .map(|(whose, ..)| *whose)
            .collect();
        for (whose, capability, during) in &self.used {
            if bounding.contains(capability) && (self.own_users || !others.contains(whose)) {
                needed.entry(capability.to_string()).or_default().insert((*during).to_owned());
            }
        }
    }
}

impl Points {
    fn watch(&self) -> io::Result<Watch> {
        let begins = Begins::Watched;
        let point = |tracepoint, filter, begins| Point { tracepoint, filter, stack: Stack::Untold, begins };
        let connected = format!("newstate == {SYN_SENT} || newstate == {LISTEN}");
        let mut all = vec![point(&self.enter, "", begins)];
        all.extend((1..STAGES).map(|_| point(&self.enter, "", Begins::Later)));
        all.push(point(&self.executed, "", begins));
        all.push(point(&self.renamed, "", begins));
        all.push(point(&self.connected, &connected, begins));
        all.extend(self.capable.iter().map(|capable| point(capable, "ret == 0", begins)));
        Watch::new(&all, Room::LARGE)
    }
}
