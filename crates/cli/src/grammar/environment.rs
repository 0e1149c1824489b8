//! `--env` and `--env-file`.

use std::io;
use std::path::{Path, PathBuf};

use super::{Invalid, invalid};

/// The longest file that is read.
const LONGEST: u64 = 16 << 20;

/// One `--env`: `NAME=VALUE`, or `NAME`, whose value is the one that `stockade` itself has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Variable(String);

impl std::str::FromStr for Variable {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        if text.is_empty() || text.starts_with('=') {
            return Err(invalid("--env", text, "a variable needs a name: NAME=VALUE, or NAME to take over yours"));
        }
        if text.contains('\0') {
            return Err(invalid("--env", text, "a zero byte cannot stand in the environment"));
        }
        Ok(Self(text.to_owned()))
    }
}

/// The variables of files and then of flags. A name alone takes its value from `outside`; one that is not set there is left out.
///
/// # Errors
/// A file that cannot be read, or has a line that is no variable; a value of `outside` that is not UTF-8.
pub(crate) fn variables(
    files: &[PathBuf],
    flags: &[Variable],
    outside: impl Fn(&str) -> Option<std::ffi::OsString>,
) -> Result<Vec<String>, ReadError> {
    let mut variables = Vec::new();
    let mut add = |name: &str, value: Option<&str>| {
        let value = match value {
            Some(value) => Some(value.to_owned()),
            None => outside(name)
                .map(|value| value.into_string().map_err(|_not_text| ReadError::Outside(name.to_owned())))
                .transpose()?,
        };
        variables.extend(value.map(|value| format!("{name}={value}")));
        Ok::<_, ReadError>(())
    };
    for path in files {
        for (name, value) in Lines::read(path)?.pairs()? {
            add(name, value)?;
        }
    }
    for Variable(text) in flags {
        let (name, value) = text.split_once('=').map_or((text.as_str(), None), |(name, value)| (name, Some(value)));
        add(name, value)?;
    }
    Ok(variables)
}

/// Why a file of `NAME=VALUE` lines was refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    /// It cannot be read.
    #[error("cannot read {path}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A line is none.
    #[error("{path}, line {line}: {reason}")]
    Line {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A variable of this process.
    #[error("the value of {0} in this environment is not UTF-8: give it as --env {0}=VALUE")]
    Outside(String),
}

/// A file of `NAME=VALUE` lines, `NAME` lines, comments that begin with `#`, and empty lines.
pub(crate) struct Lines {
    path: PathBuf,
    text: String,
}

impl Lines {
    /// Reads `path`, which must be UTF-8 and at most 16 MiB long; it may be a pipe.
    ///
    /// # Errors
    /// [`ReadError::File`].
    pub(crate) fn read(path: &Path) -> Result<Self, ReadError> {
        let failed = |source| ReadError::File { path: path.to_owned(), source };
        let file = std::fs::File::open(path).map_err(failed)?;
        let mut text = String::new();
        io::Read::read_to_string(&mut io::Read::take(file, LONGEST + 1), &mut text).map_err(failed)?;
        if text.len() as u64 > LONGEST {
            return Err(failed(io::Error::new(io::ErrorKind::FileTooLarge, "longer than 16 MiB")));
        }
        let text = text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text);
        Ok(Self { path: path.to_owned(), text })
    }

    /// The names with their values, if they have one, in their order. A value is all that follows the first `=`, spaces and
    /// quotes included, as in Docker.
    ///
    /// # Errors
    /// [`ReadError::Line`].
    pub(crate) fn pairs(&self) -> Result<Vec<(&str, Option<&str>)>, ReadError> {
        let mut pairs = Vec::new();
        for (index, line) in self.text.lines().enumerate() {
            let line = line.trim_start();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let wrong = |reason| ReadError::Line { path: self.path.clone(), line: index + 1, reason };
            let (name, value) = line.split_once('=').map_or((line, None), |(name, value)| (name, Some(value)));
            if name.is_empty() {
                return Err(wrong("no name stands before the ="));
            }
            if name.contains(char::is_whitespace) {
                return Err(wrong("the name has white space in it"));
            }
            if line.contains('\0') {
                return Err(wrong("it has a zero byte"));
            }
            pairs.push((name, value));
        }
        Ok(pairs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, flags: &[&str]) -> Result<Vec<String>, ReadError> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("env");
        std::fs::write(&file, text).unwrap();
        let flags: Vec<Variable> = flags.iter().map(|flag| flag.parse().unwrap()).collect();
        variables(&[file], &flags, |name| (name == "SET").then(|| "here".into()))
    }

    #[test]
    fn dockers_grammar_of_files() {
        let read_back = read("\u{feff}A=1\r\n  B = x\n", &[]);
        assert!(read_back.unwrap_err().to_string().contains("line 2: the name has white space"));
        let text = "\u{feff}A=1\n# c\n\n  B=\"two words\" \nSET\nUNSET\nC=\nD=a=b\n";
        let expected = ["A=1", "B=\"two words\" ", "SET=here", "C=", "D=a=b", "A=2", "SET=here", "E="];
        assert_eq!(read(text, &["A=2", "SET", "UNSET", "E="]).unwrap(), expected);
        assert!(read("=x\n", &[]).unwrap_err().to_string().contains("no name"));
        assert!(variables(&["/no/such/file".into()], &[], |_| None).is_err());
        for text in ["", "=", "=x", "a\0b"] {
            assert!(text.parse::<Variable>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn what_is_not_text_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("env");
        std::fs::write(&file, b"A=\xff\n").unwrap();
        assert!(variables(&[file], &[], |_| None).is_err());
        let odd = std::os::unix::ffi::OsStringExt::from_vec(vec![0xff]);
        let odd: std::ffi::OsString = odd;
        assert!(variables(&[], &["A".parse().unwrap()], |_| Some(odd.clone())).is_err());
    }
}
