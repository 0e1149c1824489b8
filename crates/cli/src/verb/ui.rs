//! `ui`: the containers on a screen of the terminal, what they use now, and keys for what is done most.
//!
//! The screen ([`screen`]) is drawn from a table ([`table`]) that knows nothing of terminals. What a key asks for is done by another process of
//! this program, so that it is the same as the command of that name, and the screen goes on while it lasts.

mod screen;
mod table;
mod walls;

use std::collections::BTreeMap;
use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use clap::Args;
use jiff::Timestamp;
use rustix::process::Signal;
use stockade_engine::stats::{Usage, usage};
use stockade_engine::{ContainerId, Engine, State, Which};
use stockade_kernel::signal::{Signals, die_of};
use stockade_kernel::spawn::unblock_signals;

use crate::exit::{Failure, SUCCESS};
use crate::global::Global;
use crate::show::size::{binary, human};
use crate::verb::{ps, stats};
use screen::Screen;
use table::{Deed, Row, Table};
use walls::Walls;

/// How long lies between two looks at the containers.
const PERIOD: Duration = Duration::from_secs(1);

/// How much of what a command says against it is kept.
const LONGEST_COMPLAINT: u64 = 4096;

/// Show containers on the whole terminal, with what they use and keys to stop, log, exec and inspect
#[derive(Debug, Args)]
pub(crate) struct Ui {}

/// A command that runs behind the screen.
struct Job {
    what: String,
    child: Child,
}

/// What is shown and what goes on.
struct Session<'a> {
    engine: Engine,
    global: &'a Global,
    table: Table,
    last: BTreeMap<ContainerId, Usage>,
    walls: Walls,
    jobs: Vec<Job>,
}

impl Ui {
    /// Shows it until the user leaves. The terminal is as it was then, also after an error or SIGTERM.
    pub(crate) fn run(self, global: &Global) -> Result<u8, Failure> {
        let engine = global.engine()?;
        let signals = Signals::block(&[Signal::INT, Signal::TERM, Signal::HUP])?;
        let mut screen = Screen::open()?;
        let (table, walls) = (Table::default(), Walls::default());
        let mut session = Session { engine, global, table, last: BTreeMap::new(), walls, jobs: Vec::new() };
        let ended = session.go_on(&mut screen, &signals);
        drop(screen);
        if let Some(signal) = ended? {
            die_of(signal)?;
        }
        Ok(SUCCESS)
    }
}

impl Session<'_> {
    /// Until the user leaves, or the signal that is returned.
    fn go_on(&mut self, screen: &mut Screen, signals: &Signals) -> Result<Option<Signal>, Failure> {
        loop {
            let rows = self.look()?;
            self.table.update(rows);
            self.reap()?;
            let next = Instant::now() + PERIOD;
            loop {
                screen.draw(&self.table)?;
                while let Some(received) = signals.next()? {
                    match received.number {
                        number if number == Signal::TERM.as_raw() => return Ok(Some(Signal::TERM)),
                        number if number == Signal::HUP.as_raw() => return Ok(Some(Signal::HUP)),
                        // Of the keyboard: it was meant for a command that had the terminal.
                        _ => {}
                    }
                }
                let Some(key) = screen.key(next)? else { break };
                match self.table.press(key) {
                    Deed::Nothing => {}
                    Deed::Leave => return Ok(None),
                    Deed::Behind { what, words } => self.begin(what, &words)?,
                    Deed::Before(words) => screen.aside(&mut self.command(&words))?,
                }
            }
        }
    }

    /// This program with other words.
    fn command(&self, words: &[String]) -> Command {
        let mut command = Command::new("/proc/self/exe");
        command.args(self.global.arguments()).args(words);
        unblock_signals(&mut command);
        command
    }

    fn begin(&mut self, what: String, words: &[String]) -> Result<(), Failure> {
        let mut command = self.command(words);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
        self.table.say(format!("{what} ..."));
        self.jobs.push(Job { what, child });
        Ok(())
    }

    /// Says of the commands that have ended how.
    fn reap(&mut self) -> Result<(), Failure> {
        for mut job in std::mem::take(&mut self.jobs) {
            let Some(status) = job.child.try_wait()? else {
                self.jobs.push(job);
                continue;
            };
            let mut said = Vec::new();
            if let Some(stderr) = job.child.stderr.take() {
                stderr.take(LONGEST_COMPLAINT).read_to_end(&mut said)?;
            }
            let said = String::from_utf8_lossy(&said);
            let first = said.lines().next().unwrap_or_default();
            self.table.say(match status.success() {
                true => format!("{}: done", job.what),
                false => format!("{}: {first}", job.what),
            });
        }
        Ok(())
    }

    /// The containers as they are now; those that run first.
    fn look(&mut self) -> Result<Vec<Row>, Failure> {
        let mut all = stockade_engine::list(&self.engine, Which::All).map_err(|error| Failure::failed(&error))?;
        all.sort_by_key(|one| !lives(one.state));
        self.walls.look(&self.engine, &all);
        let now = Timestamp::now();
        let mut used = BTreeMap::new();
        let mut rows = Vec::with_capacity(all.len());
        for one in all {
            // One that has ended or gone meanwhile uses nothing; one that cannot be read is in the list as that.
            let usage = lives(one.state).then(|| usage(&self.engine, &one.id).ok()).flatten();
            let last = self.last.get(&one.id);
            let of = |show: fn(&Usage, Option<&Usage>) -> String| {
                usage.as_ref().map(|usage| show(usage, last)).unwrap_or_default()
            };
            rows.push(Row {
                name: if one.name.is_empty() { one.id.short().to_owned() } else { one.name.clone() },
                image: one.image.clone(),
                status: ps::status(&one, now),
                running: lives(one.state),
                cpu: of(|now, last| format!("{:.1}%", stats::processors(now, last))),
                memory: of(|now, _| now.memory.map(binary).unwrap_or_default()),
                network: of(|now, _| {
                    now.network.map(|(to, from)| format!("{}/{}", human(to), human(from))).unwrap_or_default()
                }),
                pids: of(|now, _| now.pids.map(|count| count.to_string()).unwrap_or_default()),
                walls: self.walls.of(&one.id),
                id: one.id,
            });
            if let Some(usage) = usage {
                used.insert(usage.id.clone(), usage);
            }
        }
        self.last = used;
        Ok(rows)
    }
}

/// Whether its processes are there, even if they stand still.
fn lives(state: State) -> bool {
    matches!(state, State::Running | State::Paused)
}
