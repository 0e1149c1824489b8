//! How pulling goes on, in Docker's words: a line with a bar for each layer where a terminal shows them all, and otherwise a line
//! for each step. What comes from the registry appears in it as digits of digests and as numbers only.

use std::io::{self, IsTerminal, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use stockade_engine::images::pull::{Progress, Step};
use stockade_engine::images::{Descriptor, Digest};

use super::size::exact;

/// How much is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Telling {
    /// Each step.
    Progress,
    /// Nothing (`--quiet`).
    Quiet,
}

/// How often a bar is drawn at most.
const PAUSE: Duration = Duration::from_millis(80);
/// The widest bar.
const WIDEST: usize = 50;
/// How wide the rest of a line may get: the digest, the longest word, and two sizes.
const REST: usize = 50;

/// Tells on standard output how a pull goes on.
pub(crate) struct Shown {
    /// What stands before everything.
    head: String,
    telling: Telling,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    layers: Vec<Layer>,
    /// The width of the terminal, if all layers have a line on it.
    columns: Option<usize>,
}

struct Layer {
    digest: Digest,
    size: u64,
    /// What is shown of it.
    line: String,
    step: Option<Step>,
    drawn: Instant,
}

impl Shown {
    /// Says `head` once there is something to pull, and then how it goes on.
    pub(crate) fn new(head: String, telling: Telling) -> Self {
        Self { head, telling, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Progress for Shown {
    fn begun(&self, layers: &[Descriptor]) {
        if self.telling == Telling::Quiet {
            return;
        }
        let mut state = self.state();
        for layer in layers {
            // An image may have a layer twice, which comes once.
            if !state.layers.iter().any(|known| known.digest == layer.digest) {
                let line = format!("{}: Pulling fs layer", short(&layer.digest));
                let (digest, size, drawn) = (layer.digest, layer.size, Instant::now());
                state.layers.push(Layer { digest, size, line, step: None, drawn });
            }
        }
        state.columns = columns(state.layers.len());
        let lines = state.layers.iter().map(|layer| format!("{}\n", layer.line)).collect::<String>();
        say(&format!("{}\n{lines}", self.head));
    }

    fn layer(&self, layer: &Descriptor, step: Step) {
        if self.telling == Telling::Quiet {
            return;
        }
        let mut state = self.state();
        let (columns, count) = (state.columns, state.layers.len());
        let Some(place) = state.layers.iter().position(|known| known.digest == layer.digest) else { return };
        let known = &mut state.layers[place];
        let before = known.step.replace(step);
        let line = format!("{}: {}", short(&known.digest), words(step, known.size, columns));
        let Some(columns) = columns else {
            // One line for a step, whatever its numbers are.
            let same = before.is_some_and(|before| std::mem::discriminant(&before) == std::mem::discriminant(&step));
            if !same && !matches!(step, Step::Downloading(_)) {
                say(&format!("{line}\n"));
            }
            return;
        };
        let passing = matches!(step, Step::Downloading(here) if here < known.size);
        if line == known.line || passing && before.is_some() && known.drawn.elapsed() < PAUSE {
            return;
        }
        let cut: String = line.chars().take(columns.saturating_sub(1)).collect();
        let up = count - place;
        say(&format!("\x1b[{up}A\r\x1b[2K{cut}\r\x1b[{up}B"));
        known.line = line;
        known.drawn = Instant::now();
    }
}

/// The twelve digits that Docker shows of a blob.
fn short(digest: &Digest) -> String {
    digest.hex().chars().take(12).collect()
}

/// What a step is called, with a bar where there is room for one.
fn words(step: Step, size: u64, columns: Option<usize>) -> String {
    match step {
        Step::Exists => "Already exists".to_owned(),
        Step::Downloading(here) => {
            let bar =
                columns.map_or(String::new(), |columns| bar(here, size, columns.saturating_sub(REST).min(WIDEST)));
            format!("Downloading {bar} {}/{}", exact(here), exact(size))
        }
        Step::Downloaded => "Download complete".to_owned(),
        Step::Extracting => "Extracting".to_owned(),
        Step::Complete => "Pull complete".to_owned(),
    }
}

/// `[====>    ]`, of this width inside; nothing where that is too narrow to tell anything.
fn bar(here: u64, size: u64, width: usize) -> String {
    if width < 5 {
        return String::new();
    }
    let share = if size == 0 { 1.0 } else { (here as f64 / size as f64).min(1.0) };
    let full = (share * width as f64) as usize;
    let head = if full < width { ">" } else { "" };
    format!("[{}{head}{}]", "=".repeat(full), " ".repeat(width - full - head.len()))
}

/// The width of the terminal that standard output is, if it shows that many lines and the cursor below them.
fn columns(lines: usize) -> Option<usize> {
    if !io::stdout().is_terminal() {
        return None;
    }
    let size = rustix::termios::tcgetwinsize(io::stdout()).ok()?;
    // A terminal that does not know its size, such as a serial one, has the usual one.
    let known = |count: u16, usual: usize| if count == 0 { usual } else { usize::from(count) };
    (lines + 2 < known(size.ws_row, 24)).then(|| known(size.ws_col, 80))
}

/// Writes it. Who went away does not miss it, and what is pulled is pulled nevertheless.
fn say(text: &str) {
    let mut out = io::stdout().lock();
    drop(out.write_all(text.as_bytes()).and_then(|()| out.flush()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_honest() {
        assert_eq!(bar(0, 10, 10), "[>         ]");
        assert_eq!(bar(5, 10, 10), "[=====>    ]");
        assert_eq!(bar(10, 10, 10), "[==========]");
        assert_eq!(bar(11, 10, 10), "[==========]");
        assert_eq!(bar(0, 0, 10), "[==========]");
        assert_eq!(bar(1, 10, 4), "");
    }

    #[test]
    fn dockers_words() {
        assert_eq!(words(Step::Downloading(1_234_567), 12_000_000, None), "Downloading  1.235MB/12MB");
        assert_eq!(words(Step::Downloading(6), 12, Some(60)), "Downloading [=====>    ] 6B/12B");
        assert_eq!(words(Step::Complete, 1, Some(80)), "Pull complete");
    }
}
