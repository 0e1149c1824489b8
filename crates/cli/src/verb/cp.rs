//! `cp`: files from a container, or into one.

use std::ffi::OsString;
use std::io::{self, IsTerminal};
use std::path::Path;

use clap::Args;
use stockade_engine::cp::{Copy, CopyError, Ids, Link, Outcome, stream_from, stream_into};
use stockade_engine::{ContainerId, Engine, copy_from, copy_into};

use crate::exit::{FAILED, Failure, SUCCESS};
use crate::global::Global;
use crate::say;

/// Copy files between a container and the host
///
/// SRC and DEST are CONTAINER:PATH on one side, and a path on the other, or - for a tar archive on standard input or output.
#[derive(Debug, Args)]
#[command(
    override_usage = "stockade cp [OPTIONS] CONTAINER:SRC DEST|-\n       stockade cp [OPTIONS] SRC|- CONTAINER:DEST"
)]
pub(crate) struct Cp {
    /// Keep the owners' numbers
    #[arg(long, short)]
    archive: bool,
    /// Copy what SRC leads to, if it is a symbolic link
    #[arg(long, short = 'L')]
    follow_link: bool,
    /// Say nothing of what was copied; so it is if standard output is no terminal
    #[arg(long, short)]
    quiet: bool,
    /// Where from
    #[arg(value_name = "SRC")]
    source: OsString,
    /// Where to
    #[arg(value_name = "DEST")]
    destination: OsString,
}

/// One of the two arguments.
#[derive(Debug, PartialEq, Eq)]
enum Side {
    Container(String, OsString),
    Stream,
    Host(OsString),
}

impl Side {
    /// Reads `text` as Docker does: what is absolute, or begins with a dot, is the host's whatever colons are in it.
    fn read(text: &OsString) -> Self {
        use std::os::unix::ffi::{OsStrExt, OsStringExt};
        let bytes = text.as_bytes();
        let colon = bytes.iter().position(|byte| *byte == b':').filter(|_colon| !bytes.starts_with(b"/"));
        match colon.map(|colon| (&bytes[..colon], &bytes[colon + 1..])) {
            _ if bytes == b"-" => Self::Stream,
            Some((name, path)) if !name.starts_with(b".") => {
                Self::Container(String::from_utf8_lossy(name).into_owned(), OsString::from_vec(path.to_vec()))
            }
            _ => Self::Host(text.clone()),
        }
    }
}

impl Cp {
    /// Copies, and says on standard error how much.
    pub(crate) fn run(self, global: &Global) -> Result<u8, Failure> {
        let refused = |text: &str| Failure::new(FAILED, text);
        match (Side::read(&self.source), Side::read(&self.destination)) {
            (Side::Container(..), Side::Container(..)) => {
                Err(refused("copying between containers is not supported: copy to the host, and from there"))
            }
            (Side::Container(container, inside), there) => self.copy_from(global, &container, inside, &there),
            (here, Side::Container(container, inside)) => self.copy_into(global, &here, &container, inside),
            _ => Err(refused("must specify at least one container source: CONTAINER:PATH")),
        }
    }

    fn copy_from(&self, global: &Global, container: &str, inside: OsString, there: &Side) -> Result<u8, Failure> {
        let (engine, id) = find(global, container)?;
        let copy = self.copy(inside);
        match there {
            Side::Host(path) => {
                let done = copy_from(&engine, &id, &copy, Path::new(path));
                self.say(done, &path.to_string_lossy())
            }
            _ => {
                let done = stream_from(&engine, &id, &copy, &mut io::stdout().lock());
                done.map(|_outcome| SUCCESS).map_err(|error| Failure::failed(&error))
            }
        }
    }

    fn copy_into(&self, global: &Global, here: &Side, container: &str, inside: OsString) -> Result<u8, Failure> {
        let (engine, id) = find(global, container)?;
        let shown = format!("{container}:{}", inside.to_string_lossy());
        let copy = self.copy(inside);
        match here {
            Side::Host(path) => self.say(copy_into(&engine, &id, &copy, Path::new(path)), &shown),
            _ => {
                let done = stream_into(&engine, &id, &copy, &mut io::stdin().lock());
                done.map(|_outcome| SUCCESS).map_err(|error| Failure::failed(&error))
            }
        }
    }

    fn copy(&self, inside: OsString) -> Copy {
        Copy {
            inside,
            ids: if self.archive { Ids::Kept } else { Ids::Receivers },
            link: if self.follow_link { Link::Followed } else { Link::Copied },
        }
    }

    fn say(&self, done: Result<Outcome, CopyError>, to: &str) -> Result<u8, Failure> {
        let Outcome { bytes, devices_left_out } = done.map_err(|error| Failure::failed(&error))?;
        if devices_left_out > 0 {
            let text = format!("{devices_left_out} devices were left out; --archive copies them too");
            say::warning(&text);
        }
        if !self.quiet && io::stdout().is_terminal() {
            say::note(&format!("Successfully copied {} to {to}", size(bytes)));
        }
        Ok(SUCCESS)
    }
}

fn find(global: &Global, container: &str) -> Result<(Engine, ContainerId), Failure> {
    let engine = global.engine()?;
    let id = engine.find(container).map_err(|error| Failure::failed(&error))?;
    Ok((engine, id))
}

/// A size as Docker writes it here: three digits at most, in powers of 1000.
fn size(bytes: u64) -> String {
    const UNITS: [&str; 7] = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1000.0 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    let decimals = match value {
        _ if unit == 0 => 0,
        value if value < 10.0 => 2,
        value if value < 100.0 => 1,
        _ => 0,
    };
    let text = format!("{value:.decimals$}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{text}{}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_argument_is_read_as_docker_does() {
        let container = |name: &str, path: &str| Side::Container(name.into(), path.into());
        for (text, expected) in [
            ("c:/x", container("c", "/x")),
            ("c:", container("c", "")),
            ("c:a:b", container("c", "a:b")),
            ("/a:b", Side::Host("/a:b".into())),
            ("./a:b", Side::Host("./a:b".into())),
            ("a", Side::Host("a".into())),
            ("-", Side::Stream),
        ] {
            assert_eq!(Side::read(&text.into()), expected, "{text}");
        }
    }

    #[test]
    fn sizes_have_three_digits() {
        for (bytes, text) in
            [(0, "0B"), (999, "999B"), (1536, "1.54kB"), (2048, "2.05kB"), (12_345, "12.3kB"), (100_000_000, "100MB")]
        {
            assert_eq!(size(bytes), text);
        }
    }
}
