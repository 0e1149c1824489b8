//! The loop: waiting in one `poll(2)` for everybody, and doing what they ask.

use std::io;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, wait, waitpid};
use stockade_kernel::fdpass;
use stockade_kernel::signal::by_number;
use stockade_monitor::control::Command;
use stockade_monitor::events::ContainerAction;
use stockade_monitor::frame::{ERROR_OUTPUT, Frame, LONGEST, OUTPUT};
use stockade_monitor::restart::Meddling;

use crate::clients::{Awaited, ClientId, Sent};
use crate::execs;
use crate::life::{Ended, Monitor, Stage};
use crate::streams::{Read, Stream};

/// How long nobody is accepted after it failed, which `poll(2)` would report at once again.
const ACCEPT_AGAIN: Duration = Duration::from_secs(1);

/// How many times each stream is read at the very end: 8 MiB, which is more than a pipe holds. Who writes then is no part
/// of the container.
const LAST_READS: usize = 256;

/// Who was waited for.
#[derive(Clone, Copy, Debug)]
enum Source {
    Signals,
    Engine,
    Listener,
    /// What makes the container.
    Runtime,
    Output(Stream),
    Log,
    Input,
    Client(ClientId),
    /// The kernel has killed for want of memory.
    Alarm,
    Exec(execs::Source),
    Check,
}

/// The state of the loop itself.
#[derive(Debug)]
struct Turn {
    /// The one packet that is read or written at a time.
    packet: Box<[u8; LONGEST]>,
    /// When clients are accepted again.
    accept_again: Option<Instant>,
}

impl Monitor {
    /// Goes on until everything is done.
    ///
    /// # Errors
    /// As `poll(2)`, `read(2)` of a signalfd and `wait4(2)`, for which there is no reason. The container goes on.
    pub(crate) fn serve(&mut self) -> io::Result<()> {
        let mut turn = Turn { packet: Box::new([0; LONGEST]), accept_again: None };
        while !self.advance() {
            for source in self.wait(&mut turn)? {
                match source {
                    Source::Signals => self.take_signals()?,
                    Source::Engine => self.hear_engine(&mut turn),
                    Source::Listener => self.accept(&mut turn),
                    Source::Runtime => self.hear_runtime(),
                    // The stream before it may have filled the log.
                    Source::Output(_) if self.log.waits().is_some() => {}
                    Source::Output(stream) => drop(self.read_output(stream, &mut turn.packet)),
                    Source::Log => {
                        self.log.go_on();
                        self.note_log();
                    }
                    Source::Input => {
                        let written = self.input.write();
                        self.troubles.note_error(&self.folder, written);
                    }
                    Source::Alarm => self.hear_alarm(),
                    Source::Client(id) => self.attend(id, &mut turn.packet),
                    Source::Exec(source) => self.serve_exec(source),
                    Source::Check => self.checks.read(),
                }
            }
            self.clients.flush();
            self.drop_overdue();
            self.tend_checks();
            self.tend_execs();
            if self.input.is_empty() {
                self.clients.go_on();
            }
        }
        Ok(())
    }

    /// Sleeps until somebody has something, or the stage is over.
    fn wait(&self, turn: &mut Turn) -> io::Result<Vec<Source>> {
        if turn.accept_again.is_some_and(|again| Instant::now() >= again) {
            turn.accept_again = None;
        }
        let mut fds = vec![PollFd::new(&self.signals, PollFlags::IN)];
        let mut sources = vec![Source::Signals];
        let mut add = |source, fd| {
            sources.push(source);
            fds.push(fd);
        };
        if let Some(control) = &self.control {
            add(Source::Engine, PollFd::new(control, PollFlags::IN));
        }
        if let Some(waiting) = self.waiting.as_ref().filter(|_| self.stage == Stage::Creating) {
            add(Source::Runtime, PollFd::new(waiting, PollFlags::IN));
        }
        // Whoever comes while there is no container waits for the next, or for the end.
        if let (Some(attach), None, true) = (&self.attach, turn.accept_again, self.stage >= Stage::Created) {
            add(Source::Listener, PollFd::new(attach, PollFlags::IN));
        }
        // Once the container has ended the rest of its output is bounded, and nothing waits for slow clients any more.
        if let Some(log) = self.log.waits() {
            add(Source::Log, PollFd::new(log, PollFlags::OUT));
        } else if self.clients.has_room() || self.stage > Stage::Running {
            self.outputs.open().for_each(|(stream, fd)| add(Source::Output(stream), PollFd::new(fd, PollFlags::IN)));
        }
        if let Some(input) = self.input.wants_to_write() {
            add(Source::Input, PollFd::new(input, PollFlags::OUT));
        }
        if let Some(alarm) = self.limits.alarm() {
            add(Source::Alarm, PollFd::new(alarm, PollFlags::IN));
        }
        for (id, socket, flags) in self.clients.waiting() {
            add(Source::Client(id), PollFd::new(socket, flags));
        }
        for (source, fd, flags) in self.execs.sources() {
            add(Source::Exec(source), PollFd::from_borrowed_fd(fd, flags));
        }
        if let Some(output) = self.checks.output() {
            add(Source::Check, PollFd::new(output, PollFlags::IN));
        }
        let overdue = if self.stage > Stage::Running { None } else { self.clients.overdue().1 };
        let check = self.checks.next().filter(|_| self.stage == Stage::Running);
        let until = [self.deadline, turn.accept_again, overdue, check, self.execs.next()].into_iter().flatten().min();
        let timeout = until.map(|until| timespec(until.saturating_duration_since(Instant::now())));
        rustix::io::retry_on_intr(|| poll(&mut fds, timeout.as_ref()))?;
        let ready = fds.iter().map(|fd| !fd.revents().is_empty());
        Ok(sources.into_iter().zip(ready).filter_map(|(source, ready)| ready.then_some(source)).collect())
    }

    fn take_signals(&mut self) -> io::Result<()> {
        while let Some(received) = self.signals.next()? {
            match received.number {
                number if number == Signal::TERM.as_raw() => self.signal(Signal::TERM),
                number if number == Signal::USR1.as_raw() => self.meddle(Meddling::Stopped),
                number if number == Signal::USR2.as_raw() => self.meddle(Meddling::Signalled),
                _ => {}
            }
        }
        self.look_at_first();
        // Whatever was received: many ends may be told by one signal.
        self.reap()
    }

    /// Reaps every child that has ended: the first process, the program that was executed, and orphans.
    pub(crate) fn reap(&mut self) -> io::Result<()> {
        while let Some((pid, status)) = self.ended_child()? {
            if let Some(first) = self.first.as_mut().filter(|first| first.pid == pid) {
                first.ended = Some(ended(status));
            } else if let Some(worker) = self.worker.as_mut().filter(|worker| worker.pid == pid) {
                worker.ended = Some(status);
            } else if let Some(over) = self.execs.ended((&self.runtime, &self.folder), pid, status) {
                let (id, code) = (over.id.clone(), over.code.to_string());
                self.happened(&ContainerAction::ExecDie, &[("execID", id), ("exitCode", code)]);
                // After it is recorded: what the caller does next happens later.
                over.tell();
            } else {
                self.check_ended(pid, status);
            }
        }
        Ok(())
    }

    /// A child that has ended, waited for. While a runtime makes the container or brings a process in, what it leaves may have ended
    /// before its number is known: then only those are waited for that are known.
    fn ended_child(&self) -> io::Result<Option<(Pid, WaitStatus)>> {
        let is_made = self.stage != Stage::Creating && self.waiting.is_none();
        if is_made && !self.execs.is_joining() && !self.checks.is_joining() {
            return match rustix::io::retry_on_intr(|| wait(WaitOptions::NOHANG)) {
                Err(Errno::CHILD) => Ok(None),
                other => Ok(other?),
            };
        }
        let first = self.first.as_ref().filter(|first| first.ended.is_none()).map(|first| first.pid);
        let worker = self.worker.as_ref().filter(|worker| worker.ended.is_none()).map(|worker| worker.pid);
        for pid in first.into_iter().chain(worker).chain(self.execs.children()).chain(self.checks.child()) {
            match rustix::io::retry_on_intr(|| waitpid(Some(pid), WaitOptions::NOHANG)) {
                Ok(None) | Err(Errno::CHILD) => {}
                Ok(found) => return Ok(found),
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(None)
    }

    fn hear_engine(&mut self, turn: &mut Turn) {
        let Some(control) = &self.control else { return };
        let command = match fdpass::receive(control, &mut turn.packet[..]) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
            Ok((length, _)) => serde_json::from_slice::<Command>(&turn.packet[..length]).ok(),
            Err(_) => None,
        };
        self.hear(command);
    }

    fn accept(&mut self, turn: &mut Turn) {
        let Some(attach) = &self.attach else { return };
        let first_start = self.stage < Stage::Running && self.past.is_none();
        let awaited = if first_start { Awaited::Always } else { Awaited::ForAWhile };
        if let Err(error) = self.clients.accept(attach, awaited) {
            turn.accept_again = Some(Instant::now() + ACCEPT_AGAIN);
            self.troubles.note(&self.folder, &format!("cannot accept a client: {error}"));
        }
    }

    /// Reads some of `stream` and gives it to the log and the clients; whether there was something.
    fn read_output(&mut self, stream: Stream, packet: &mut [u8; LONGEST]) -> bool {
        let length = match self.outputs.read(stream, &mut packet[1..]) {
            Ok(Read::Some(length)) => length,
            Ok(Read::NotNow | Read::End) => return false,
            Err(error) => {
                self.troubles.note(&self.folder, &format!("cannot read {}: {error}", stream.name()));
                return false;
            }
        };
        packet[0] = match stream {
            Stream::Output => OUTPUT,
            Stream::Error => ERROR_OUTPUT,
        };
        self.log.take(stream, &packet[1..=length]);
        self.note_log();
        self.clients.publish(&packet[..=length]);
        for id in self.clients.bound() {
            self.leave(id);
        }
        true
    }

    /// Reads what the streams still hold when nobody of the container is left, and completes the log.
    pub(crate) fn read_the_rest(&mut self) {
        let mut packet = Box::new([0; LONGEST]);
        for stream in [Stream::Output, Stream::Error] {
            for _ in 0..LAST_READS {
                if !self.read_output(stream, &mut packet) {
                    break;
                }
            }
        }
        self.outputs.close();
        self.log.finish();
        self.note_log();
    }

    /// Drops clients that have kept the container waiting for too long; they find out when they read on.
    fn drop_overdue(&mut self) {
        if self.stage > Stage::Running {
            return;
        }
        for id in self.clients.overdue().0 {
            self.clients.drop_client(id);
            self.leave(id);
        }
    }

    /// Notes that output was lost to the log.
    fn note_log(&mut self) {
        if let Some(failure) = self.log.failure() {
            self.troubles.note(&self.folder, &failure);
        }
    }

    /// Does what a client asks.
    fn attend(&mut self, id: ClientId, packet: &mut [u8; LONGEST]) {
        let keep = match self.clients.receive(id, packet) {
            Sent::Nothing => true,
            Sent::Gone => false,
            Sent::Packet(length) => match Frame::decode(&packet[..length]) {
                Ok(frame) => self.obey(id, &frame),
                Err(_) => false,
            },
        };
        if !keep {
            self.clients.drop_client(id);
            self.leave(id);
        }
    }

    /// Carries `frame` out; whether it is one that a client may send.
    fn obey(&mut self, id: ClientId, frame: &Frame<'_>) -> bool {
        let done = match frame {
            Frame::Input(bytes) => {
                let put = self.input.put(id, bytes);
                if !self.input.is_empty() {
                    self.clients.stall(id);
                }
                put
            }
            Frame::InputEnd => self.input.end(id),
            Frame::Resize { rows, columns } => self.outputs.resize(*rows, *columns),
            Frame::Signal(number) => match by_number(*number) {
                Some(signal) => {
                    self.signal(signal);
                    Ok(())
                }
                None => return false,
            },
            Frame::Output(_) | Frame::ErrorOutput(_) | Frame::Exited(_) => return false,
        };
        self.troubles.note_error(&self.folder, done);
        true
    }

    /// The client `id` is no more.
    fn leave(&mut self, id: ClientId) {
        let left = self.input.leave(id);
        self.troubles.note_error(&self.folder, left);
    }
}

/// How the first process ended, now.
fn ended(status: WaitStatus) -> Ended {
    let signal = status.terminating_signal();
    let code = status.exit_status().or(signal.map(|signal| 128 + signal)).unwrap_or_default();
    Ended { code: code as u8, signal, finished: Timestamp::now() }
}

fn timespec(duration: Duration) -> Timespec {
    Timespec { tv_sec: duration.as_secs() as i64, tv_nsec: i64::from(duration.subsec_nanos()) }
}
