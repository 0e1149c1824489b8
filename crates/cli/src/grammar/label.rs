//! `--label KEY[=VALUE]` and `--label-file`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::environment::{Lines, ReadError};
use super::{Invalid, invalid};

/// The labels of files and then of flags; of two with one key the later one counts.
///
/// # Errors
/// A file that cannot be read, or has a line without a key.
pub(crate) fn labels(files: &[PathBuf], flags: &[Label]) -> Result<BTreeMap<String, String>, ReadError> {
    let mut labels = BTreeMap::new();
    for path in files {
        let lines = Lines::read(path)?;
        for (key, value) in lines.pairs()? {
            labels.insert(key.to_owned(), value.unwrap_or_default().to_owned());
        }
    }
    labels.extend(flags.iter().map(|label| (label.0.clone(), label.1.clone())));
    Ok(labels)
}

/// One `--label`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Label(String, String);

impl std::str::FromStr for Label {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let (key, value) = text.split_once('=').unwrap_or((text, ""));
        if key.is_empty() {
            return Err(invalid("--label", text, "a label needs a key: KEY or KEY=VALUE"));
        }
        Ok(Self(key.to_owned(), value.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_come_after_files() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("labels");
        std::fs::write(&file, "# comment\na=1\nb\n\nc=x=y\n").unwrap();
        let flags = ["a=2".parse().unwrap(), "d=".parse().unwrap()];
        let labels = labels(&[file], &flags).unwrap();
        let pairs: Vec<_> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
        assert_eq!(pairs, ["a=2", "b=", "c=x=y", "d="]);
        assert!("=x".parse::<Label>().is_err() && "".parse::<Label>().is_err());
    }
}
