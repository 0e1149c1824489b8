//! The folder of a record.
//!
//! | file | what it is |
//! |---|---|
//! | `record.json` | all that was seen, of which the others are made |
//! | `seccomp.json` | the system call filter, for `--security-opt seccomp=` |
//! | `apparmor` | the profile for AppArmor, to be loaded by `apparmor_parser -r` |
//! | `command.json` | the flags of `run`, the image and the command, which `record replay` reads |
//! | `command.sh` | the same for people and shells |

use std::io::Write;
use std::path::{Path, PathBuf};

use serde::Serialize;
use stockade_lens::record::{Confinement, Record, Request, apparmor, seccomp};

use crate::exit::{FAILED, Failure};

pub(crate) const RECORD: &str = "record.json";
const SECCOMP: &str = "seccomp.json";
const APPARMOR: &str = "apparmor";
const COMMAND: &str = "command.json";
const SCRIPT: &str = "command.sh";

/// A folder that is to be, which nobody else can make meanwhile.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
}

impl Folder {
    /// Makes the folder, which must not be there, or be empty.
    ///
    /// # Errors
    /// If it has something in it or cannot be made.
    pub(crate) fn reserve(path: &Path) -> Result<Self, Failure> {
        let fail = |error: std::io::Error| {
            Failure::new(crate::exit::REFUSED, format!("cannot make the folder {}: {error}", path.display()))
        };
        match std::fs::create_dir(path) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                if path.read_dir().map_err(fail)?.next().is_some() {
                    let text = "has something in it already: name another one, and put several records together by 'stockade record merge'";
                    return Err(Failure::new(crate::exit::REFUSED, format!("the folder {} {text}", path.display())));
                }
            }
            made => made.map_err(fail)?,
        }
        Ok(Self { path: path.canonicalize().map_err(fail)? })
    }

    /// Writes all files. `record.json` comes last, so that a folder with it is whole.
    ///
    /// # Errors
    /// If one cannot be written.
    pub(crate) fn write(&self, record: &Record) -> Result<Confinement, Failure> {
        let confinement = Confinement::of(record, &self.path.join(SECCOMP));
        let profile = seccomp(record, confinement.may_gain).map_err(|error| Failure::failed(&error))?;
        let name = self.path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        let name: String =
            name.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '-' }).collect();
        let name = format!("stockade-{name}");
        self.put_json(SECCOMP, &profile)?;
        self.put(APPARMOR, apparmor(record, &name).as_bytes())?;
        self.put_json(COMMAND, &confinement.request)?;
        self.put(SCRIPT, self.script(&confinement, &name).as_bytes())?;
        self.put_json(RECORD, record)?;
        Ok(confinement)
    }

    fn script(&self, confinement: &Confinement, name: &str) -> String {
        let mut text = String::from("#!/bin/sh\n# The least confinement that the recorded runs needed.\n");
        for note in &confinement.notes {
            text.push_str(&format!("# {}\n", one_line(note)));
        }
        let profile = self.path.join(APPARMOR);
        text.push_str(&format!(
            "# With AppArmor: apparmor_parser -r {}, and --security-opt apparmor={name} below.\nexec stockade",
            one_line(&quoted(&profile.display().to_string()))
        ));
        for word in confinement.words() {
            text.push_str(&format!(" \\\n  {}", quoted(&word)));
        }
        text + " \"$@\"\n"
    }

    fn put_json(&self, name: &str, value: &impl Serialize) -> Result<(), Failure> {
        let mut text = serde_json::to_vec_pretty(value).map_err(|error| Failure::failed(&error))?;
        text.push(b'\n');
        self.put(name, &text)
    }

    fn put(&self, name: &str, content: &[u8]) -> Result<(), Failure> {
        let path = self.path.join(name);
        let written = std::fs::File::create_new(&path).and_then(|mut file| file.write_all(content));
        written.map_err(|error| Failure::new(FAILED, format!("cannot write {}: {error}", path.display())))
    }
}

/// Reads the record in the file `path`.
///
/// # Errors
/// If it cannot be read or is none.
pub(crate) fn read(path: &Path) -> Result<Record, Failure> {
    let fail = |reason: String| Failure::new(FAILED, format!("cannot read the record {}: {reason}", path.display()));
    Record::parse(&std::fs::read(path).map_err(|error| fail(error.to_string()))?).map_err(fail)
}

/// The command line in the folder `path`, with the filter that is there, wherever the folder was when it was written.
///
/// # Errors
/// If there is none.
pub(crate) fn request(path: &Path) -> Result<Request, Failure> {
    let file = path.join(COMMAND);
    let fail = |reason: String| Failure::new(FAILED, format!("cannot read {}: {reason}", file.display()));
    let text = std::fs::read(&file).map_err(|error| fail(error.to_string()))?;
    let mut request: Request = serde_json::from_slice(&text).map_err(|error| fail(error.to_string()))?;
    let seccomp = path.canonicalize().map_err(|error| fail(error.to_string()))?.join(SECCOMP);
    for flag in request.flags.iter_mut().filter(|flag| flag.name == "security-opt") {
        if flag.value.as_deref().is_some_and(|value| value.starts_with("seccomp=/") && value.ends_with(SECCOMP)) {
            flag.value = Some(format!("seccomp={}", seccomp.display()));
        }
    }
    Ok(request)
}

/// A word for a shell.
fn quoted(word: &str) -> String {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "-_=/.,:+@%".contains(letter);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

/// A text that does not end a comment.
fn one_line(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_for_a_shell() {
        for (word, shown) in [("--rm", "--rm"), ("a b", "'a b'"), ("it's", "'it'\\''s'"), ("", "''"), ("$x", "'$x'")] {
            assert_eq!(quoted(word), shown);
        }
    }
}
