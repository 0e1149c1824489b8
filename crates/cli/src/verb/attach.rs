//! `attach`: this terminal at a container that runs.

use std::path::PathBuf;

use clap::Args;
use stockade_engine::session::{Attachment, DETACH_KEYS, Input, LastWords, Shown, SignalProxy, die_of};
use stockade_engine::{ContainerId, Engine, Followed, Session};

use crate::exit::{FAILED, Failure, REFUSED, SUCCESS};
use crate::global::Global;
use crate::grammar::{Invalid, invalid};
use crate::say;

/// Attach this terminal's streams to a running container
#[derive(Debug, Args)]
pub(crate) struct Attach {
    /// Do not attach standard input
    #[arg(long)]
    no_stdin: bool,
    #[command(flatten)]
    session: SessionFlags,
    /// Name, id, or the beginning of an id
    #[arg(value_name = "CONTAINER")]
    container: String,
}

/// How one is attached.
#[derive(Debug, Args)]
pub(crate) struct SessionFlags {
    /// Pass signals on to the container
    #[arg(long, value_name = "BOOL", default_value = "true", num_args = 0..=1, require_equals = true, default_missing_value = "true",
        action = clap::ArgAction::Set, value_parser = crate::grammar::pflag::boolean)]
    sig_proxy: bool,
    /// Keys that detach from the container, such as ctrl-p,ctrl-q
    #[arg(long, value_name = "KEYS", value_parser = detach_keys)]
    detach_keys: Option<Keys>,
}

/// Keys that detach, as bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Keys(pub(crate) Vec<u8>);

impl SessionFlags {
    /// What the flags, `input` and the user's configuration make up, for a container that has a terminal or not.
    pub(crate) fn attachment(&self, input: Input, terminal: bool) -> Result<Attachment, Failure> {
        let configured = if terminal && self.detach_keys.is_none() { configured_keys()? } else { None };
        let keys = self.detach_keys.as_ref().or(configured.as_ref());
        Ok(Attachment {
            input,
            shown: Shown::Both,
            signals: if self.sig_proxy { SignalProxy::Forward } else { SignalProxy::Keep },
            detach_keys: keys.map_or(DETACH_KEYS.to_vec(), |keys| keys.0.clone()),
        })
    }
}

impl Attach {
    /// Attaches until the container ends or the keys are typed; the exit code is the container's.
    pub(crate) fn run(self, global: &Global) -> Result<u8, Failure> {
        let engine = global.engine()?;
        let id = engine.find(&self.container).map_err(|error| Failure::failed(&error))?;
        let inspected = stockade_engine::inspect(&engine, &id).map_err(|error| Failure::failed(&error))?;
        // A container without an open standard input reads nothing, whatever is typed.
        let open = !self.no_stdin && inspected.config.open_stdin;
        let input = if open { Input::Forward } else { Input::Ignore };
        check_terminal(inspected.config.tty, input)?;
        let attachment = self.session.attachment(input, inspected.config.tty)?;
        let session = stockade_engine::attach(&engine, &id, attachment);
        follow(session.map_err(|error| Failure::failed(&error))?)
    }
}

/// Says why a container ended that did not end well, if there is more to say than its code does.
pub(crate) fn tell_why(engine: &Engine, id: &ContainerId, code: u8) {
    if code != SUCCESS
        && let Some(why) = stockade_engine::remarkable_end(engine, id)
    {
        say::warning(&format!("container {}: {why}", id.short()));
    }
}

/// Follows a session to its end: the container's exit code, or 0 for who detached.
pub(crate) fn follow(session: Session) -> Result<u8, Failure> {
    follow_hearing(session, &mut LastWords::default())
}

/// The same, and keeps the end of what the container says.
pub(crate) fn follow_hearing(session: Session, words: &mut LastWords) -> Result<u8, Failure> {
    let (engine, id) = session.whose();
    match session.follow_hearing(words)? {
        Followed::Exited(code) => {
            tell_why(&engine, &id, code);
            Ok(code)
        }
        Followed::Detached => Ok(SUCCESS),
        Followed::Interrupted(signal) => Ok(die_of(signal)),
    }
}

/// Refuses a terminal for the container where standard input is none, as Docker does.
pub(crate) fn check_terminal(terminal: bool, input: Input) -> Result<(), Failure> {
    if terminal && input == Input::Forward && !rustix::termios::isatty(rustix::stdio::stdin()) {
        let text = "the input device is not a TTY: leave out -t, or -i, or run it on a terminal";
        return Err(Failure::new(FAILED, text));
    }
    Ok(())
}

/// The keys of Docker's `config.json` (`detachKeys`); `None` if there are none. A file that is damaged is told, and left out.
fn configured_keys() -> Result<Option<Keys>, Failure> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Configuration {
        detach_keys: Option<String>,
    }
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".docker"));
    let folder = std::env::var_os("DOCKER_CONFIG").filter(|folder| !folder.is_empty()).map(PathBuf::from);
    let Some(path) = folder.or_else(home).map(|folder| folder.join("config.json")) else { return Ok(None) };
    let text = match std::fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            say::warning(&format!("cannot read {}: {error}", path.display()));
            return Ok(None);
        }
    };
    let configuration: Configuration = match serde_json::from_slice(&text) {
        Ok(configuration) => configuration,
        Err(error) => {
            say::warning(&format!("{} is damaged: {error}", path.display()));
            return Ok(None);
        }
    };
    let keys = configuration.detach_keys.filter(|keys| !keys.is_empty());
    let keys = keys.map(|keys| detach_keys(&keys).map_err(|error| (keys, error))).transpose();
    keys.map_err(|(keys, _)| {
        let text = format!("detachKeys of {} is {keys:?}: there are {KEYS}", path.display());
        Failure::new(REFUSED, text)
    })
}

/// What keys may be.
const KEYS: &str = "characters, and ctrl- with a letter or one of @ [ \\ ] ^ _, separated by commas";

/// Keys as Docker writes them: single characters and `ctrl-` with a letter or one of `@[\]^_`, separated by commas.
pub(crate) fn detach_keys(text: &str) -> Result<Keys, Invalid> {
    if text.is_empty() {
        return Ok(Keys(Vec::new()));
    }
    let key = |word: &str| match word.strip_prefix("ctrl-").map(str::as_bytes) {
        Some([letter @ (b'a'..=b'z' | b'@' | b'['..=b'_')]) => Some(letter.to_ascii_uppercase() & 0x1f),
        Some(_) => None,
        None => <[u8; 1]>::try_from(word.as_bytes()).ok().map(|[byte]| byte),
    };
    let keys: Option<Vec<u8>> = text.split(',').map(key).collect();
    keys.map(Keys).ok_or_else(|| invalid("--detach-keys", text, KEYS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys() {
        assert_eq!(detach_keys("ctrl-p,ctrl-q").unwrap().0, DETACH_KEYS);
        assert_eq!(detach_keys("ctrl-a,x,ctrl-@,ctrl-[").unwrap().0, [1, b'x', 0, 27]);
        assert_eq!(detach_keys("").unwrap().0, b"");
        for text in ["ctrl-", "ctrl-1", "xy", "a,,b", "ctrl-ä", "Ctrl-a"] {
            assert!(detach_keys(text).is_err(), "{text}");
        }
    }
}
