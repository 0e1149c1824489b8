//! Names of entries, made harmless before the kernel sees them.

use std::ffi::OsStr;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use super::limits::{DEEPEST_PATH, LONGEST_PATH};

/// Where an entry goes: a path below the layer's root without `.`, `..`, empty components and a leading slash.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Name(PathBuf);

/// What a name in an archive asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// The layer's root directory itself.
    Root,
    /// The entry itself.
    Entry(Name),
    /// `.wh.NAME`: NAME is removed from the layers below.
    Whiteout(Name),
    /// `.wh..wh..opq`: the directory hides what the layers below have in it. `None` is the root.
    Opaque(Option<Name>),
    /// `.wh..wh.*`: the book-keeping of AUFS, which is passed over as Docker does.
    Ignored,
}

const WHITEOUT: &[u8] = b".wh.";

impl Name {
    /// The path relative to the layer's root.
    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// The directory that it is in; empty for the root.
    pub(super) fn parent(&self) -> &Path {
        self.0.parent().unwrap_or(Path::new(""))
    }

    /// The last component.
    pub(super) fn last(&self) -> &OsStr {
        self.0.file_name().unwrap_or_default()
    }
}

/// Reads a name as an entry's place. `None` is the root.
///
/// # Errors
/// What is wrong with it.
pub(super) fn place(bytes: &[u8]) -> Result<Option<Name>, &'static str> {
    if bytes.is_empty() {
        return Err("is empty");
    }
    if bytes.len() > LONGEST_PATH {
        return Err("is longer than a path may be");
    }
    let mut path = Vec::new();
    let mut depth = 0;
    for component in bytes.split(|byte| *byte == b'/').filter(|component| !matches!(*component, b"" | b".")) {
        if component == b".." {
            return Err("has `..` in it, which leads out of the layer");
        }
        if component.len() > 255 {
            return Err("has a component of more than 255 bytes");
        }
        depth += 1;
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(component);
    }
    if depth > DEEPEST_PATH {
        return Err("has too many directories");
    }
    Ok((depth > 0).then(|| Name(std::ffi::OsString::from_vec(path).into())))
}

/// Reads a name and what it means (image-spec, layer.md, "Whiteouts").
///
/// # Errors
/// What is wrong with it.
pub(super) fn meaning(bytes: &[u8]) -> Result<Meaning, &'static str> {
    let Some(name) = place(bytes)? else { return Ok(Meaning::Root) };
    let above = name.parent().as_os_str().as_bytes();
    if above.split(|byte| *byte == b'/').any(|component| component.starts_with(WHITEOUT)) {
        let aufs = above.starts_with(b".wh..wh.");
        return if aufs { Ok(Meaning::Ignored) } else { Err("has a whiteout as a directory") };
    }
    let Some(removed) = name.last().as_bytes().strip_prefix(WHITEOUT) else { return Ok(Meaning::Entry(name)) };
    let sibling = |last: &[u8]| Name(name.parent().join(OsStr::from_bytes(last)));
    match removed {
        b".wh..opq" => {
            let directory = name.parent().to_owned();
            Ok(Meaning::Opaque((!directory.as_os_str().is_empty()).then_some(Name(directory))))
        }
        b"" | b"." | b".." => Err("is a whiteout of nothing"),
        _ if removed.starts_with(WHITEOUT) => Ok(Meaning::Ignored),
        _ => Ok(Meaning::Whiteout(sibling(removed))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        Name(text.into())
    }

    #[test]
    fn names_are_read_as_places_below() {
        for (text, expected) in [
            ("a", Meaning::Entry(name("a"))),
            ("./a//b/./c/", Meaning::Entry(name("a/b/c"))),
            ("/etc/passwd", Meaning::Entry(name("etc/passwd"))),
            ("./", Meaning::Root),
            ("/", Meaning::Root),
            (".", Meaning::Root),
            ("a/.wh.b", Meaning::Whiteout(name("a/b"))),
            (".wh.b", Meaning::Whiteout(name("b"))),
            ("a/.wh..wh..opq", Meaning::Opaque(Some(name("a")))),
            (".wh..wh..opq", Meaning::Opaque(None)),
            (".wh..wh.plnk", Meaning::Ignored),
            (".wh..wh.plnk/1.2", Meaning::Ignored),
            ("...", Meaning::Entry(name("..."))),
        ] {
            assert_eq!(meaning(text.as_bytes()), Ok(expected), "{text}");
        }
    }

    #[test]
    fn names_that_lead_out_are_refused() {
        let long = "a/".repeat(3000);
        let deep = "a/".repeat(600);
        let wide = "a".repeat(256);
        for text in [
            "", "..", "../a", "a/../b", "a/..", "/..", ".wh.", ".wh...", ".wh..", "a/.wh...", ".wh.a/b", &long, &deep,
            &wide,
        ] {
            assert!(meaning(text.as_bytes()).is_err(), "{text}");
        }
    }
}
