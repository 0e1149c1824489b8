//! `explain CONTAINER`: what a container that runs is denied, each once, until it ends, or the time is over, or ctrl-c.

use std::time::{Duration, Instant};

use rustix::fd::AsFd;
use rustix::process::Signal;
use stockade_engine::{ContainerId, Engine, FindError};
use stockade_kernel::signal::Signals;
use stockade_lens::watch::{Begin, Watcher};

use crate::exit::{FAILED, Failure, REFUSED, SUCCESS};
use crate::global::Global;
use crate::say;
use crate::verb::audit;

/// How long is watched at most before those are looked for that `exec` brought in.
const A_LOOK: Duration = Duration::from_millis(250);

/// How long it is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HowLong {
    /// As long as it runs; each denial is told when it happens.
    Follow,
    /// At most so long; what was denied is told at the end.
    For(Duration),
}

/// Watches the container, or the container of any engine whose first process is `pid:N`.
pub(super) fn watch(global: &Global, text: &str, how_long: HowLong) -> Result<u8, Failure> {
    let failed = |message: String| Failure::new(FAILED, message);
    let target = audit::Seeker::new(global).target(text).map_err(|reason| failed(with_the_way_out(reason)))?;
    let asked = target.asked.as_ref().ok_or_else(|| {
        failed(format!(
            "what {} was asked to have is not known: only containers of engines can be explained",
            target.name
        ))
    })?;
    let profile = match (&target.id, global.engine()) {
        (Some(_), Ok(engine)) => profile(&engine, &find(&engine, text)?)?,
        _ => None,
    };
    let fail = |error: stockade_lens::watch::WatchError| Failure::of(REFUSED, &error);
    let mut watcher = Watcher::new(target.pid, asked, profile, Begin::Now).map_err(fail)?;
    let signals = [Signal::INT, Signal::TERM, Signal::HUP];
    let signals = Signals::block(&signals).map_err(|error| failed(format!("cannot hold signals back: {error}")))?;
    let begun = Instant::now();
    loop {
        let left = match how_long {
            HowLong::Follow => A_LOOK,
            HowLong::For(time) => match time.checked_sub(begun.elapsed()) {
                Some(left) => left.min(A_LOOK),
                None => break,
            },
        };
        let news = watcher.wait(left, Some(signals.as_fd())).map_err(fail)?;
        if how_long == HowLong::Follow {
            news.iter().try_for_each(|denial| say::bytes(denial.to_string().as_bytes()))?;
        }
        let interrupted = signals.next().map_err(|error| failed(format!("cannot read signals: {error}")))?;
        if watcher.has_ended() || interrupted.is_some() {
            break;
        }
        watcher.find_members().map_err(fail)?;
    }
    let report = watcher.finish().map_err(fail)?;
    match how_long {
        // Those at the very end are told with the number of all.
        HowLong::Follow => say::note(&report.head()),
        HowLong::For(_) => say::bytes(report.to_string().as_bytes())?,
    }
    Ok(SUCCESS)
}

fn find(engine: &Engine, text: &str) -> Result<ContainerId, Failure> {
    engine.find(text).map_err(|error: FindError| Failure::failed(&error))
}

/// The filter's profile, as the container was made with it.
pub(crate) fn profile(engine: &Engine, id: &ContainerId) -> Result<Option<String>, Failure> {
    let found = stockade_engine::inspect(engine, id).map_err(|error| Failure::failed(&error))?;
    Ok(Some(found.stockade.seccomp).filter(|word| word != "unconfined"))
}

/// Who wants to know why something did not start has to watch it from the start.
fn with_the_way_out(reason: String) -> String {
    match reason.strip_suffix("start it first") {
        Some(before) => format!("{before}run it by 'stockade run --explain ...', which watches from the start"),
        None => reason,
    }
}
