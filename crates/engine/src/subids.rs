//! The ids of the host that containers may have: `/etc/subuid` and `/etc/subgid` (`subuid(5)`), or a range that is built in.

use std::path::{Path, PathBuf};

use stockade_spec::IdMapping;

use crate::files::FileError;

/// Whose ranges are used: Stockade's own, those that are shared by container engines (`containers-storage.conf(5)`), root's.
const OWNERS: [&str; 3] = ["stockade", "containers", "root"];
/// The fewest ids that a container's root file system can do with: all that an image's files usually have.
pub(crate) const FEWEST: u32 = 65536;
/// What is used where the files give none of the owners anything: above what systemd gives to its containers (to 1879048191),
/// shadow's `useradd` to users (to 600100000) and SSSD to domains (to 2000200000), below systemd's foreign ids (from 2147352576)
/// and the ids that some programs take for negative (from 2147483648).
pub(crate) const BUILT_IN: Ids = Ids { first: 2_000_224_256, count: 2_245 * FEWEST };

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
    #[error("{} has the line {line:?}, which is not OWNER:FIRST:COUNT with ids from 1 to 4294967294", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line.
        line: String,
    },
    /// It has too few ids for all containers that share them.
    #[error("{} has the line {line:?} with fewer than {FEWEST} ids, which is too few for --userns private", path.display())]
    Few {
        /// The file.
        path: PathBuf,
        /// The line.
        line: String,
    },
    /// Every range is some container's.
    #[error(
        "no {size} ids of {from} are free for a container of its own: remove containers, add a line such as \
         stockade:100000:1048576 to {}, ask for fewer with --userns auto:size=COUNT, or share the host's with --userns host",
        path.display()
    )]
    Exhausted {
        /// How many were asked for.
        size: u32,
        /// Where they were looked for.
        from: String,
        /// The file.
        path: PathBuf,
    },
    /// The ids that containers share are another container's own.
    #[error(
        "ids that {} gives to --userns private are those of a container with --userns auto: remove it, or use --userns auto",
        .0.display()
    )]
    Taken(PathBuf),
    /// `uidmapping` or `gidmapping`.
    #[error("the ids that --userns auto is given by {0} are in each other's way")]
    Overlap(&'static str),
    /// What said that ids are this container's was lost, and they are another's now.
    #[error(
        "its user ids have become another container's, because the machine stopped while it was made: remove it, and make it again"
    )]
    Lost,
    /// The container whose ids are shared has gone meanwhile.
    #[error("the container whose user ids are shared is being removed")]
    Gone,
}

/// Users or groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Users,
    Groups,
}

impl Kind {
    /// The file of ranges, and that of those who have ids already.
    pub(crate) fn files(self) -> (&'static Path, &'static Path) {
        match self {
            Self::Users => (Path::new("/etc/subuid"), Path::new("/etc/passwd")),
            Self::Groups => (Path::new("/etc/subgid"), Path::new("/etc/group")),
        }
    }
}

/// Consecutive ids of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ids {
    pub(crate) first: u32,
    pub(crate) count: u32,
}

impl Ids {
    /// What a range of a container's ids stands for.
    pub(crate) fn of_host(range: &IdMapping) -> Self {
        Self { first: range.host_id, count: range.size }
    }

    fn end(self) -> u64 {
        u64::from(self.first) + u64::from(self.count)
    }

    pub(crate) fn overlaps(self, other: Self) -> bool {
        u64::from(self.first) < other.end() && u64::from(other.first) < self.end()
    }
}

/// What a container's own range is taken from.
#[derive(Debug)]
pub(crate) struct Pool {
    own: Vec<Ids>,
    /// Ids of others, none of which is given away.
    foreign: Vec<Ids>,
    from: String,
}

impl Pool {
    /// Reads the files of this kind.
    pub(crate) fn read(kind: Kind) -> Result<Self, RangeError> {
        let (ranges, accounts) = kind.files();
        Self::of(ranges, &text(ranges)?, &text(accounts)?)
    }

    fn of(path: &Path, ranges: &str, accounts: &str) -> Result<Self, RangeError> {
        let owner = OWNERS.iter().find(|owner| ranges.lines().any(|line| is_of(line, owner)));
        let (own, others): (Vec<&str>, Vec<&str>) =
            ranges.lines().partition(|line| owner.is_some_and(|owner| is_of(line, owner)));
        let parsed = own.into_iter().map(|line| parse(line).ok_or_else(|| wrong(path, line)));
        let own = parsed.collect::<Result<Vec<_>, _>>()?;
        let account = |line: &str| Some(Ids { first: line.split(':').nth(2)?.parse().ok()?, count: 1 });
        // Lines of others that are none give nobody anything.
        let foreign = others.into_iter().filter_map(parse).chain(accounts.lines().filter_map(account)).collect();
        Ok(match owner {
            Some(owner) => Self { own, foreign, from: format!("{owner} in {}", path.display()) },
            None => Self { own: vec![BUILT_IN], foreign, from: "the built-in range".to_owned() },
        })
    }

    /// All ranges of `size` ids that could be given away, from the one on that `start` chooses: where containers of another data
    /// folder take theirs from is not known, and so they are not all to begin at the first.
    pub(crate) fn candidates(&self, size: u32, start: u32) -> impl Iterator<Item = Ids> {
        let fitting = move |ids: &Ids| {
            let step = if ids.count < FEWEST { size } else { FEWEST };
            let fit = if ids.count < size { 0 } else { (ids.count - size) / step + 1 };
            (*ids, step, fit)
        };
        let lines: Vec<_> = self.own.iter().map(fitting).collect();
        let all: u32 = lines.iter().fold(0, |sum, (.., fit)| sum.saturating_add(*fit));
        let nth = move |number: u32| {
            let mut left = (number.wrapping_add(start.checked_rem(all)?)) % all;
            lines.iter().find_map(|(ids, step, fit)| {
                let here = (left < *fit).then(|| Ids { first: ids.first + left * step, count: size });
                left = left.saturating_sub(*fit);
                here
            })
        };
        (0..all).filter_map(nth).filter(|ids| !self.foreign.iter().any(|foreign| foreign.overlaps(*ids)))
    }

    /// That none of them is free.
    pub(crate) fn exhausted(&self, kind: Kind, size: u32) -> RangeError {
        RangeError::Exhausted { size, from: self.from.clone(), path: kind.files().0.to_owned() }
    }
}

/// The mapping of the ids of all containers that share theirs, from 0 on, to those that the file gives to the first owner that has
/// some.
pub(crate) fn shared(kind: Kind) -> Result<Vec<IdMapping>, RangeError> {
    let path = kind.files().0;
    shared_of(path, &text(path)?)
}

fn shared_of(path: &Path, text: &str) -> Result<Vec<IdMapping>, RangeError> {
    let line = OWNERS.iter().find_map(|owner| text.lines().find(|line| is_of(line, owner)));
    let line = line.ok_or_else(|| RangeError::Missing(path.to_owned()))?;
    let ids = parse(line).ok_or_else(|| wrong(path, line))?;
    match ids.count {
        FEWEST.. => Ok(vec![IdMapping { container_id: 0, host_id: ids.first, size: ids.count }]),
        _ => Err(RangeError::Few { path: path.to_owned(), line: line.to_owned() }),
    }
}

/// All ranges that the file gives to somebody who is called by one of `names`, in its order.
pub(crate) fn delegated(kind: Kind, names: &[&str]) -> Result<Vec<Ids>, RangeError> {
    let path = kind.files().0;
    let text = text(path)?;
    let own = text.lines().filter(|line| names.iter().any(|name| is_of(line, name)));
    own.map(|line| parse(line).ok_or_else(|| wrong(path, line))).collect()
}

pub(crate) fn text(path: &Path) -> Result<String, FileError> {
    match std::fs::read(path) {
        // Comments of accounts may be in any encoding.
        Ok(text) => Ok(String::from_utf8_lossy(&text).into_owned()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(FileError::at("read", path)(error)),
    }
}

fn is_of(line: &str, owner: &str) -> bool {
    line.split_once(':').is_some_and(|(name, _)| name == owner)
}

fn wrong(path: &Path, line: &str) -> RangeError {
    RangeError::Line { path: path.to_owned(), line: line.to_owned() }
}

fn parse(line: &str) -> Option<Ids> {
    let mut fields = line.split(':').skip(1);
    let (first, count) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    let ids = Ids { first, count };
    // 4294967295 is no id.
    (fields.next().is_none() && count > 0 && first > 0 && ids.end() <= u64::from(u32::MAX)).then_some(ids)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "/etc/subuid";

    fn asked(text: &str) -> Result<Vec<IdMapping>, RangeError> {
        shared_of(Path::new(FILE), text)
    }

    fn candidates(ranges: &str, accounts: &str, size: u32, start: u32) -> Vec<u32> {
        let pool = Pool::of(Path::new(FILE), ranges, accounts).unwrap();
        pool.candidates(size, start).map(|ids| ids.first).collect()
    }

    #[test]
    fn our_own_range_comes_first() {
        let text = "root:1:65536\nother:5:70000\ncontainers:200000:65536\nstockade:100000:70000\n";
        let mapped = asked(text).unwrap();
        assert_eq!(mapped, [IdMapping { container_id: 0, host_id: 100_000, size: 70_000 }]);
        assert_eq!(asked("root:7:65536\n").unwrap()[0].host_id, 7);
        // Podman's manual has this line.
        assert_eq!(asked("containers:2147483647:2147483648").unwrap()[0].size, 1 << 31);
    }

    #[test]
    fn what_gives_no_range_is_told() {
        assert!(matches!(asked("other:5:70000\nstockadex:5:70000"), Err(RangeError::Missing(_))));
        assert!(matches!(asked("root:1:65535"), Err(RangeError::Few { .. })));
        for line in ["root:0:65536", "root:1", "root:1:65536:1", "root:-1:65536", "root:1:0", "root:4294900000:70000"] {
            assert!(matches!(asked(line), Err(RangeError::Line { .. })), "{line}");
            assert!(matches!(Pool::of(Path::new(FILE), line, ""), Err(RangeError::Line { .. })), "{line}");
        }
    }

    #[test]
    fn all_lines_of_the_owner_are_cut_into_ranges() {
        let lines = "stockade:100000:200000\nstockade:900000:65536\nroot:1000000:65536\n";
        assert_eq!(candidates(lines, "", 65536, 0), [100_000, 165_536, 231_072, 900_000]);
        assert_eq!(candidates(lines, "", 65536, 2), [231_072, 900_000, 100_000, 165_536]);
        assert_eq!(candidates(lines, "", 65536, 7), [900_000, 100_000, 165_536, 231_072]);
        // A larger range may begin wherever a usual one does.
        assert_eq!(candidates(lines, "", 100_000, 0), [100_000, 165_536]);
        assert_eq!(candidates("root:5000:1000", "", 400, 0), [5000, 5400]);
        assert!(candidates(lines, "", 500_000, 0).is_empty());
    }

    #[test]
    fn nobody_elses_ids_are_given_away() {
        let lines = "stockade:100000:200000\nalice:170000:65536\nnonsense\nbob:x:y\n";
        assert_eq!(candidates(lines, "joe:x:100500:5::/:/bin/sh\nbroken\n", 65536, 0), Vec::<u32>::new());
        assert_eq!(candidates(lines, "joe:x:99999:5::/:/bin/sh\n", 65536, 0), [100_000]);
        let built_in = candidates("alice:2000224256:65536\n", "", 65536, 0);
        assert_eq!((built_in[0], built_in.len()), (2_000_224_256 + 65536, 2244));
        assert_eq!(BUILT_IN.end(), 2_147_352_576);
    }
}
