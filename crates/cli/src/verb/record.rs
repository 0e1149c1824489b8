//! `record`: what was recorded by `run --record`, put together, tried and shown.

pub(crate) mod beside;
pub(crate) mod folder;
mod show;
pub(crate) mod words;

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use stockade_engine::session::Attachment;
use stockade_engine::{ContainerId, Engine, Force, OwnVolumes};
use stockade_lens::record::{Confinement, Flag, Record, Request, VERSION, devices};

use super::explain::beside::watched;
use crate::exit::{FAILED, Failure, REFUSED, SUCCESS, WEAKER};
use crate::global::Global;
use crate::line::{self, Flags};
use crate::say;
use folder::Folder;

/// `record COMMAND`.
#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub(crate) enum RecordCommand {
    Merge(Flags<Merge>),
    Replay(Flags<Replay>),
    Show(Flags<Show>),
}

/// Make one record of several of the same container, which allows what any of them needs
#[derive(Debug, Args)]
pub(crate) struct Merge {
    /// The folder to make
    #[arg(value_name = "OUT")]
    out: PathBuf,
    /// Folders that run --record made
    #[arg(value_name = "DIR", required = true)]
    folders: Vec<PathBuf>,
}

/// Run the container again under what was recorded, and tell what it lacks
#[derive(Debug, Args)]
#[command(
    override_usage = "stockade record replay DIR [-- COMMAND [ARG...]]",
    after_help = "Exit codes: 3 something was denied that was not when it was recorded, 125 it could not be tried; otherwise the program's own."
)]
pub(crate) struct Replay {
    /// A folder that run --record or record merge made
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// Another command than the recorded one
    #[arg(value_name = "COMMAND", last = true)]
    command: Vec<String>,
}

/// Print what was recorded: what is allowed, and whether starting or running took it
#[derive(Debug, Args)]
pub(crate) struct Show {
    /// A folder that run --record or record merge made
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

impl RecordCommand {
    /// Does it.
    pub(crate) fn run(self, global: &Global) -> Result<u8, Failure> {
        match self {
            Self::Merge(merge) => merge.0.run(),
            Self::Replay(replay) => replay.0.run(global),
            Self::Show(show) => show.0.run(),
        }
    }
}

impl Merge {
    fn run(self) -> Result<u8, Failure> {
        let mut records = self.folders.iter().map(|folder| folder::read(&folder.join(folder::RECORD)));
        let mut merged = records.next().ok_or_else(|| Failure::new(REFUSED, "name a folder"))??;
        for (record, folder) in records.zip(&self.folders[1..]) {
            let merge = merged.merge(record?);
            merge.map_err(|error| Failure::new(FAILED, format!("cannot merge {}: {error}", folder.display())))?;
        }
        tell(&Folder::reserve(&self.out)?.write(&merged)?, &self.out);
        Ok(SUCCESS)
    }
}

impl Show {
    fn run(self) -> Result<u8, Failure> {
        let record = folder::read(&self.folder.join(folder::RECORD))?;
        let request = folder::request(&self.folder)?;
        say::bytes(show::text(&record, &request).as_bytes())?;
        Ok(SUCCESS)
    }
}

impl Replay {
    fn run(self, global: &Global) -> Result<u8, Failure> {
        let record = self.folder.join(folder::RECORD);
        folder::read(&record)?;
        let mut request = folder::request(&self.folder)?;
        if !self.command.is_empty() {
            request.command = self.command;
        }
        // A name may be taken by the recorded one, which may still be there.
        let is_its_own = |flag: &Flag| ["name", "rm"].contains(&flag.name.as_str());
        request.flags.retain(|flag| !is_its_own(flag));
        request.flags.push(Flag::alone("rm"));
        request.global.clear();
        let confinement = Confinement { request, may_gain: false, notes: Vec::new() };
        let words = ["stockade".to_owned()].into_iter().chain(confinement.words());
        let words: Vec<OsString> = words.map(OsString::from).collect();
        let refuse = |reason: String| Failure::new(REFUSED, format!("cannot read the recorded command line: {reason}"));
        match line::Line::read(&words).map_err(|error| refuse(error.to_string()))?.command {
            line::Command::Container(line::ContainerCommand::Run(run)) => run.0.replayed(global, &record),
            _ => Err(refuse("it is no run".to_owned())),
        }
    }
}

/// Runs the container with another process that records it, and writes the folder when it has ended; the exit code is the program's.
pub(crate) fn recorded(
    engine: &Engine,
    id: &ContainerId,
    attachment: Attachment,
    asked: Request,
    folder: &Folder,
    path: &Path,
) -> Result<u8, Failure> {
    let given = devices(&asked.flags);
    let begin = |pid| beside::record(pid, &engine.configuration(id), &given);
    let (code, told) = watched(engine, id, attachment, begin)?;
    let (code, told) = (code?, told.map_err(|error| not_recorded(&error))?);
    let told: beside::Told = serde_json::from_str(&told).map_err(|error| Failure::of(REFUSED, &error))?;
    let changes = stockade_engine::diff(engine, id).map_err(|error| Failure::of(REFUSED, &error))?;
    let changed = changes.into_iter().map(|(path, kind)| format!("{} {}", kind.letter(), path.display()));
    let record =
        Record { version: VERSION, runs: 1, asked, walls: told.walls, seen: told.seen, changed: changed.collect() };
    tell(&folder.write(&record)?, path);
    Ok(code)
}

/// Runs it with another process that watches for what is missing.
pub(crate) fn replayed(
    engine: &Engine,
    id: &ContainerId,
    attachment: Attachment,
    record: &Path,
) -> Result<u8, Failure> {
    let begin = |pid| beside::replay(pid, &engine.configuration(id), record);
    let (code, missing) = watched(engine, id, attachment, begin)?;
    let (code, missing) = (code?, missing.map_err(|error| not_recorded(&error))?);
    if missing.is_empty() {
        say::plain("replay: nothing was denied that was not when it was recorded");
        return Ok(code);
    }
    say::plain(&format!("replay: what it lacks\n{}", missing.trim_end()));
    Ok(WEAKER)
}

/// The process beside has not told what it saw.
fn not_recorded(error: &io::Error) -> Failure {
    Failure::new(REFUSED, format!("the container was not recorded: {error}"))
}

/// Removes a container that was to be removed at its end, and was kept for what it wrote.
pub(crate) fn remove(engine: &Engine, id: &ContainerId) -> Result<(), Failure> {
    stockade_engine::remove(engine, id, Force::Kill, OwnVolumes::Remove).map_err(|error| Failure::failed(&error))
}

/// Says where the result is, and what somebody should know.
fn tell(confinement: &Confinement, path: &Path) {
    for note in &confinement.notes {
        say::plain(&format!("record: {note}"));
    }
    say::plain(&format!("record: {} has the least confinement, and command.sh the command line", path.display()));
}
