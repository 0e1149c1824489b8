//! Whose rules a network namespace has: those of one data folder, which its table says in its comment.
//!
//! Rules are made of the records of one data folder and replaced as a whole, so that a second one would undo those of the first, and open what
//! that has closed. So the first one keeps the network namespace until no container of its own is on a network any more, or it is gone.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fd::OwnedFd;
use rustix::fs::FlockOperation;
use rustix::io::Errno;
use stockade_kernel::netlink::message::find;
use stockade_kernel::netlink::socket::Socket;
use stockade_kernel::procfs::{Procfs, Subject};

use crate::firewall::Others;
use crate::{KernelError, link, nft};

/// The longest path that a comment holds; of a longer one it has the end.
const LONGEST: usize = 200;

/// What a table's comment says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Claim {
    /// The data folder whose networks these are.
    pub(crate) owner: PathBuf,
    /// How many containers are on them.
    pub(crate) endpoints: usize,
    /// Whether others' packets are kept from being forwarded, because forwarding was off before.
    pub(crate) others: Others,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The rules are replaced by these.
    Replace(Claim),
    /// There is nothing to say beside those of another owner.
    Leave,
    /// Somebody else has the network namespace.
    Refuse(PathBuf),
}

/// Keeps others from changing rules of the network namespace that the caller is in, of whichever data folder they are, as long as it is open.
pub(crate) fn lock() -> Result<OwnedFd, KernelError> {
    let opened = Procfs::host().and_then(|procfs| procfs.open_namespace(Subject::Myself, "net"));
    let namespace = opened.map_err(KernelError::Lock)?;
    rustix::io::retry_on_intr(|| rustix::fs::flock(&namespace, FlockOperation::LockExclusive))
        .map_err(|errno| KernelError::Lock(errno.into()))?;
    Ok(namespace)
}

/// Who claims the table, if it is there and says so.
pub(crate) fn current(socket: &mut Socket, table: &str) -> Result<Option<Claim>, KernelError> {
    let objects = match socket.ask(nft::look_up(table), || format!("look up the table {table}")) {
        Ok(objects) => objects,
        Err(error) if link::is(&error, Errno::NOENT) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let answer = || KernelError::Answer("a table of rules");
    let Some((_, body)) = objects.first() else { return Err(answer()) };
    let attributes = body.get(4..).ok_or_else(answer)?;
    let comment = find(attributes, nft::TABLE_USERDATA).map_err(|_malformed| answer())?;
    Ok(comment.and_then(Claim::parse))
}

/// What `wanted` may do where `current` is. `is_there` says whether a data folder is.
pub(crate) fn decide(current: Option<Claim>, wanted: Claim, is_there: impl Fn(&Path) -> bool) -> Verdict {
    let Some(current) = current else { return Verdict::Replace(wanted) };
    // Who forwards on behalf of networks does so as long as the network namespace is there.
    let others = if current.others == Others::Drop { Others::Drop } else { wanted.others };
    let owner = shortened(&wanted.owner);
    if current.owner == owner || current.endpoints == 0 || (current.owner.is_absolute() && !is_there(&current.owner)) {
        return Verdict::Replace(Claim { others, ..wanted });
    }
    if wanted.endpoints == 0 { Verdict::Leave } else { Verdict::Refuse(current.owner) }
}

fn shortened(path: &Path) -> PathBuf {
    let bytes = path.as_os_str().as_bytes();
    PathBuf::from(std::ffi::OsStr::from_bytes(&bytes[bytes.len().saturating_sub(LONGEST)..]))
}

impl Claim {
    /// A comment as nft(8) has it: a type, a length and a text.
    pub(crate) fn comment(&self) -> Vec<u8> {
        let others = match self.others {
            Others::AsBefore => "as-before",
            Others::Drop => "drop",
        };
        let mut text = format!("stockade {} {others} ", self.endpoints).into_bytes();
        text.extend(shortened(&self.owner).as_os_str().as_bytes());
        text.push(0);
        let length = u8::try_from(text.len()).unwrap_or(u8::MAX);
        [&[0, length], &text[..]].concat()
    }

    fn parse(comment: &[u8]) -> Option<Self> {
        let [0, length, text @ ..] = comment else { return None };
        let text = text.get(..usize::from(*length))?.strip_suffix(&[0])?;
        let mut words = text.splitn(4, |byte| *byte == b' ');
        let mut word = || words.next();
        if word()? != b"stockade" {
            return None;
        }
        let endpoints = std::str::from_utf8(word()?).ok()?.parse().ok()?;
        let others = match word()? {
            b"as-before" => Others::AsBefore,
            b"drop" => Others::Drop,
            _ => return None,
        };
        let owner = PathBuf::from(std::ffi::OsStr::from_bytes(word()?));
        Some(Self { owner, endpoints, others })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(owner: &str, endpoints: usize, others: Others) -> Claim {
        Claim { owner: owner.into(), endpoints, others }
    }

    #[test]
    fn comments_are_read_as_they_are_written() {
        for one in [claim("/var/lib/stockade", 3, Others::Drop), claim("/a b/c", 0, Others::AsBefore)] {
            assert_eq!(Claim::parse(&one.comment()), Some(one));
        }
        let long = claim(&format!("/{}", "x/".repeat(400)), usize::MAX, Others::AsBefore);
        let read = Claim::parse(&long.comment()).unwrap();
        assert_eq!(read.owner, shortened(&long.owner));
        assert!(long.comment().len() < 256);
        for other in [&b"\0\x03abc"[..], b"", b"\0", b"\0\xffstockade 1 drop /x\0", b"\0\x10stockade 1 keep\0"] {
            assert_eq!(Claim::parse(other), None, "{other:?}");
        }
    }

    #[test]
    fn one_data_folder_has_the_namespace_while_containers_are_on_it() {
        let there = |_: &Path| true;
        let own = claim("/a", 2, Others::AsBefore);
        let of = |current| decide(Some(current), own.clone(), there);
        assert_eq!(decide(None, own.clone(), there), Verdict::Replace(own.clone()));
        assert_eq!(of(claim("/a", 5, Others::AsBefore)), Verdict::Replace(own.clone()));
        assert_eq!(of(claim("/b", 1, Others::AsBefore)), Verdict::Refuse("/b".into()));
        assert_eq!(of(claim("/b", 0, Others::Drop)), Verdict::Replace(claim("/a", 2, Others::Drop)), "it stays closed");
        let gone = decide(Some(claim("/b", 1, Others::AsBefore)), own.clone(), |_| false);
        assert_eq!(gone, Verdict::Replace(own.clone()));
        let none = decide(Some(claim("/b", 1, Others::AsBefore)), claim("/a", 0, Others::AsBefore), there);
        assert_eq!(none, Verdict::Leave);
    }
}
