//! `run`: makes a container and starts it.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;
use stockade_engine::policy::namespaces::IpcMode;
use stockade_engine::session::{Attachment, Input, LastWords, Shown};
use stockade_engine::{ContainerId, Created, Engine, Request, RestartPolicy};

use super::attach::{SessionFlags, check_terminal, follow_hearing};
use super::explain::beside::{Beside, watched};
use super::explain::hint::hint;
use super::explain::watch::profile;
use super::policy::prove::prove;
use super::pull::Pulling;
use super::record::folder::Folder;
use super::record::{self, recorded, replayed, words};
use crate::exit::{Failure, REFUSED, SUCCESS};
use crate::flags::{Asked, CreateFlags};
use crate::global::Global;
use crate::say;

/// Make a container from an image and run a command in it
#[derive(Debug, Args)]
pub(crate) struct Run {
    /// Run in the background and print the container's id
    #[arg(long, short, help_heading = "Process")]
    detach: bool,
    /// Tell at the end what the walls denied, and which flag would allow it
    #[arg(long, help_heading = "Walls")]
    explain: bool,
    /// Write into this folder, which is made, the least confinement that this run needs, and its command line
    #[arg(long, value_name = "DIR", help_heading = "Walls")]
    record: Option<PathBuf>,
    #[command(flatten)]
    session: SessionFlags,
    #[command(flatten)]
    pub(super) create: CreateFlags,
}

impl Run {
    /// Runs the container, which `record` describes, with another process that watches for what is missing; the exit code says whether that is
    /// anything, or is the program's.
    pub(crate) fn replayed(self, global: &Global, record: &Path) -> Result<u8, Failure> {
        let Asked { request, notices, when, telling } = self.create.request(&global.network()?)?;
        let input = if request.interactive { Input::Forward } else { Input::Ignore };
        check_terminal(request.terminal, input)?;
        let engine = global.engine()?;
        let created = make(&engine, &request, Pulling { global, when, telling }, &notices, None)?;
        let attachment = Attachment { shown: request.shown, ..self.session.attachment(input, request.terminal)? };
        replayed(&engine, &created.id, attachment, record)
    }

    /// Runs the container; the exit code is its program's.
    pub(crate) fn run(self, global: &Global) -> Result<u8, Failure> {
        let cidfile = self.create.process.cidfile.clone();
        let attached = self.create.process.attach.clone();
        let Asked { mut request, notices, when, telling } = self.create.request(&global.network()?)?;
        if self.detach && !attached.is_empty() {
            return Err(Failure::new(REFUSED, "conflicting options: cannot specify both --attach and --detach"));
        }
        if self.detach && self.explain {
            let text = "conflicting options: --explain tells at the end, and --detach does not wait for it; use stockade explain --follow";
            return Err(Failure::new(REFUSED, text));
        }
        let record = self.record.as_deref().map(|path| Recording::begin(path, &request, self.detach, self.explain));
        let record = record.transpose()?;
        let remove = request.remove;
        // What it wrote is looked at when it has ended.
        request.remove &= record.is_none();
        request.detached = self.detach;
        let input = if request.interactive { Input::Forward } else { Input::Ignore };
        if !self.detach {
            check_terminal(request.terminal, input)?;
        }
        let engine = global.engine()?;
        let pulling = Pulling { global, when, telling };
        let created = make(&engine, &request, pulling, &notices, cidfile.as_deref())?;
        if self.detach {
            stockade_engine::start(&engine, &created.id)?;
            prove(&engine, &created.id)?;
            say::line(created.id.as_str())?;
            return Ok(SUCCESS);
        }
        let attachment = Attachment { shown: request.shown, ..self.session.attachment(input, request.terminal)? };
        if attachment.shown == Shown::Nothing {
            // As in Docker who hears nothing of the container is told its id.
            say::line(created.id.as_str())?;
        }
        if let Some(Recording { asked, folder, path }) = record {
            let outcome = recorded(&engine, &created.id, attachment, asked, &folder, &path);
            let removed = if remove { record::remove(&engine, &created.id) } else { Ok(()) };
            return outcome.and_then(|code| removed.map(|()| code));
        }
        if self.explain {
            explained(&engine, &created.id, attachment)
        } else {
            hinted(&engine, &created.id, attachment)
        }
    }
}

/// What was decided before a container is recorded.
struct Recording {
    asked: stockade_lens::record::Request,
    folder: Folder,
    path: PathBuf,
}

impl Recording {
    /// Makes the folder, if the flags go together.
    fn begin(path: &Path, request: &Request, detach: bool, explain: bool) -> Result<Self, Failure> {
        let refuse = |text: &str| Err(Failure::new(REFUSED, format!("conflicting options: {text}")));
        if detach {
            return refuse("--record writes at the end, and --detach does not wait for it");
        }
        if explain {
            return refuse("--explain and --record both watch the container: choose one");
        }
        if request.options.privileged {
            let text = "--record finds what a container needs, and --privileged gives it what nobody can see it use; begin with \
                        --cap-add ALL --security-opt seccomp=unconfined and the devices that it may want";
            return refuse(text);
        }
        if request.restart != RestartPolicy::No {
            return refuse("--record is about one run, and --restart makes more of it");
        }
        let arguments: Vec<_> = std::env::args_os().collect();
        let asked =
            words::request(&arguments).map_err(|reason| Failure::new(REFUSED, format!("--record: {reason}")))?;
        Ok(Self { asked, folder: Folder::reserve(path)?, path: path.to_owned() })
    }
}

/// Runs it with another process that watches, which tells at the end.
fn explained(engine: &Engine, id: &ContainerId, attachment: Attachment) -> Result<u8, Failure> {
    let profile = profile(engine, id)?;
    let begin = |pid| Beside::begin(pid, &engine.configuration(id), profile.as_deref());
    let (code, told) = watched(engine, id, attachment, begin)?;
    match told {
        Ok(report) => say::plain(report.trim_end()),
        Err(error) => say::error(&format!("cannot explain: {error}")),
    }
    code
}

/// Runs it, and says how to learn more if it ends at once for want of rights.
fn hinted(engine: &Engine, id: &ContainerId, attachment: Attachment) -> Result<u8, Failure> {
    let session = stockade_engine::start_attached(engine, id, attachment)?;
    prove(engine, id)?;
    let (began, mut words) = (Instant::now(), LastWords::default());
    let code = follow_hearing(session, &mut words)?;
    if let Some(hint) = hint(code, began.elapsed(), words.bytes()) {
        say::plain(&format!("stockade: {hint}"));
    }
    Ok(code)
}

/// Makes the container, pulls its image if `pulling` says so, says what there is to say about it, and writes its id to the file of `--cidfile`.
pub(crate) fn make(
    engine: &Engine,
    request: &Request,
    pulling: Pulling<'_>,
    notices: &[String],
    cidfile: Option<&Path>,
) -> Result<Created, Failure> {
    // While an image is pulled the file is not there: it would be in the way of the next if that is interrupted.
    let created = pulling.provide(request, || {
        let mut file = cidfile.map(CidFile::reserve).transpose()?;
        let created = stockade_engine::create(engine, request);
        match (&created, &mut file) {
            (Ok(created), Some(file)) => file.write(created.id.as_str())?,
            (Err(_), Some(file)) => file.give_up(),
            (_, None) => {}
        }
        Ok(created)
    })?;
    for notice in notices.iter().chain(created.notices.iter().filter(|notice| is_shown(notice, request))) {
        say::warning(notice);
    }
    Ok(created)
}

/// Whether a notice of the engine is shown here. A default that this machine cannot give is for `info` and `inspect`: it is the
/// same for every container. Who takes walls down on purpose, or shares what has one, is told here what else is missing; and
/// deprecated spellings are told to who wrote them.
fn is_shown(notice: &str, request: &Request) -> bool {
    let all = |name: &String| ["ALL", "CAP_ALL"].iter().any(|all| name.eq_ignore_ascii_case(all));
    let shared = matches!(request.options.ipc, IpcMode::Container(_));
    let opened = request.options.privileged || request.options.cap_add.iter().any(all) || shared;
    opened || !notice.starts_with("degraded:")
}

/// The file of `--cidfile`.
struct CidFile {
    path: PathBuf,
    file: File,
}

impl CidFile {
    /// Makes the file, which must not be there: somebody's container may be in it.
    fn reserve(path: &Path) -> Result<Self, Failure> {
        let file = File::create_new(path).map_err(|error| {
            Failure::new(REFUSED, format!("cannot make the --cidfile {}: {error}; it must not exist", path.display()))
        })?;
        Ok(Self { path: path.to_owned(), file })
    }

    fn write(&mut self, id: &str) -> Result<(), Failure> {
        self.file.write_all(id.as_bytes()).map_err(|error| {
            let path = self.path.display();
            Failure::new(REFUSED, format!("container {id} was made, but cannot write its id to {path}: {error}"))
        })
    }

    /// Removes the file of a container that was not made.
    fn give_up(&self) {
        if let Err(error) = std::fs::remove_file(&self.path) {
            say::warning(&format!("cannot remove {}: {error}", self.path.display()));
        }
    }
}
