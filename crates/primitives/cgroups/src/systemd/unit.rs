//! The name under which systemd knows a container: runc's form of `cgroupsPath`, `slice:prefix:name`.

use std::path::PathBuf;

/// A scope and the slice that it is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    slice: String,
    name: String,
}

/// A `cgroupsPath` that names no scope.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{path:?} names no scope of systemd's: {why}; the form is slice:prefix:name, for instance system.slice:stake:box"
)]
pub struct ScopeError {
    /// What was given.
    pub path: String,
    /// What is wrong.
    pub why: &'static str,
}

/// The longest name of a unit (`UNIT_NAME_MAX`).
const LONGEST: usize = 255;

impl Scope {
    /// The scope `PREFIX-NAME.scope` of `text`. Without a slice it is in `default_slice`, without a prefix it is `NAME.scope`.
    ///
    /// # Errors
    /// [`ScopeError`].
    pub fn parse(text: &str, default_slice: &str) -> Result<Self, ScopeError> {
        let bad = |why| ScopeError { path: text.to_owned(), why };
        let parts: Vec<&str> = text.split(':').collect();
        let [slice, prefix, name] = parts.as_slice() else { return Err(bad("it has not three parts")) };
        let slice = if slice.is_empty() { default_slice } else { slice };
        above(slice).ok_or_else(|| bad("the first part is no slice"))?;
        if name.is_empty() {
            return Err(bad("the name is empty"));
        }
        if name.ends_with(".slice") {
            return Err(bad("a container is a scope, and no slice"));
        }
        let scope = if prefix.is_empty() { format!("{name}.scope") } else { format!("{prefix}-{name}.scope") };
        if !scope.bytes().all(may_stand) || scope.starts_with('.') {
            return Err(bad("a unit's name has letters, digits and any of -_.\\@"));
        }
        if scope.len() > LONGEST || slice.len() > LONGEST {
            return Err(bad("a name is longer than 255 bytes"));
        }
        Ok(Self { slice: slice.to_owned(), name: scope })
    }

    /// The scope's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The slice's name.
    #[must_use]
    pub fn slice(&self) -> &str {
        &self.slice
    }

    /// Its group below that of its systemd: `a.slice/a-b.slice/NAME.scope` for the slice `a-b.slice`.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        above(&self.slice).unwrap_or_default().join(&self.name)
    }
}

/// The group of a slice, with those above it (`systemd.slice(5)`); `None` if it is no slice's name.
fn above(slice: &str) -> Option<PathBuf> {
    let stem = slice.strip_suffix(".slice")?;
    if stem == "-" {
        return Some(PathBuf::new());
    }
    let (mut path, mut so_far) = (PathBuf::new(), String::new());
    for part in stem.split('-') {
        if part.is_empty() || part.starts_with('.') || !part.bytes().all(may_stand) {
            return None;
        }
        so_far = if so_far.is_empty() { part.to_owned() } else { format!("{so_far}-{part}") };
        path.push(format!("{so_far}.slice"));
    }
    Some(path)
}

/// What a unit's name is made of, `:` aside, which parts ours.
fn may_stand(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'\\' | b'@')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_their_groups() {
        for (text, path) in [
            ("system.slice:runc:a1", "system.slice/runc-a1.scope"),
            (":docker:a1", "user.slice/docker-a1.scope"),
            ("a-b-c.slice::a1", "a.slice/a-b.slice/a-b-c.slice/a1.scope"),
            ("-.slice:x:y", "x-y.scope"),
        ] {
            assert_eq!(Scope::parse(text, "user.slice").unwrap().path(), PathBuf::from(path), "{text}");
        }
    }

    #[test]
    fn what_is_no_scope() {
        let long = format!("a.slice:p:{}", "x".repeat(250));
        for text in [
            "",
            "/a/b",
            "a.slice:b",
            "a.slice:b:c:d",
            "a:b:c",
            "a/b.slice:x:y",
            "a--b.slice:x:y",
            "-a.slice:x:y",
            "a-.slice:x:y",
            ".slice:x:y",
            "...slice:x:y",
            "a.slice:b:",
            "a.slice:b:c.slice",
            "a.slice:../b:c",
            "a.slice:b:c/d",
            "a.slice:b:\u{e4}",
            "a.slice:b:c\nd",
            "a.slice:b:c d",
            "a.slice:.:c",
            &long,
        ] {
            assert!(Scope::parse(text, "system.slice").is_err(), "{text}");
        }
    }
}
