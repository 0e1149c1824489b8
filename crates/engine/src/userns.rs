//! The ids of the host that a container's own user namespace maps to: `/etc/subuid` and `/etc/subgid` (`subuid(5)`).

use std::path::{Path, PathBuf};

use stockade_spec::IdMapping;

use crate::files::FileError;

/// Whose ranges are used: Stockade's own, those that are shared by container engines (`containers-storage.conf(5)`), root's.
const OWNERS: [&str; 3] = ["stockade", "containers", "root"];
/// The fewest ids that a container's root file system can do with: all that an image's files usually have.
const FEWEST: u32 = 65536;

/// Why there is no range.
#[derive(Debug, thiserror::Error)]
pub enum RangeError {
    /// The file could not be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// It has no line for any of the owners.
    #[error(
        "--userns private needs a range of ids in {}: add a line such as stockade:100000:65536, of ids that nobody else uses",
        .0.display()
    )]
    Missing(PathBuf),
    /// A line for an owner is wrong.
    #[error("{} has the line {line:?}, which is not OWNER:FIRST:COUNT with at least {FEWEST} ids below 4294967295", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line.
        line: String,
    },
}

/// The mapping of a container's ids, from 0 on, to those that the file gives to the first owner that has some.
pub(crate) fn mapping(path: &Path) -> Result<Vec<IdMapping>, RangeError> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(FileError::at("read", path)(error).into()),
    };
    let line = OWNERS
        .iter()
        .find_map(|owner| text.lines().find(|line| line.split_once(':').is_some_and(|(name, _)| name == *owner)));
    let line = line.ok_or_else(|| RangeError::Missing(path.to_owned()))?;
    range(line)
        .map(|range| vec![range])
        .ok_or_else(|| RangeError::Line { path: path.to_owned(), line: line.to_owned() })
}

fn range(line: &str) -> Option<IdMapping> {
    let mut fields = line.split(':').skip(1);
    let (first, count) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    let whole = fields.next().is_none() && count >= FEWEST && first > 0;
    // 4294967295 is no id.
    let end: u32 = u32::checked_add(first, count)?;
    (whole && end < u32::MAX).then_some(IdMapping { container_id: 0, host_id: first, size: count })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(text: &str) -> Result<Vec<IdMapping>, RangeError> {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("subuid");
        std::fs::write(&path, text).unwrap();
        mapping(&path)
    }

    #[test]
    fn our_own_range_comes_first() {
        let text = "root:1:65536\nother:5:70000\ncontainers:200000:65536\nstockade:100000:70000\n";
        let mapped = asked(text).unwrap();
        assert_eq!(mapped, [IdMapping { container_id: 0, host_id: 100_000, size: 70_000 }]);
        assert_eq!(asked("root:7:65536\n").unwrap()[0].host_id, 7);
    }

    #[test]
    fn what_gives_no_range_is_told() {
        assert!(matches!(asked("other:5:70000\nstockadex:5:70000"), Err(RangeError::Missing(_))));
        assert!(matches!(mapping(Path::new("/nonexistent/subuid")), Err(RangeError::Missing(_))));
        for line in
            ["root:0:65536", "root:1:65535", "root:1", "root:1:65536:1", "root:-1:65536", "root:4294900000:70000"]
        {
            assert!(matches!(asked(line), Err(RangeError::Line { .. })), "{line}");
        }
    }
}
