//! `--ulimit`, `--tmpfs` and sizes with units.

use std::str::FromStr;

use stockade_spec::{Mount, Rlimit};

use crate::error::{PolicyError, invalid};

/// The names that `--ulimit` takes (`getrlimit(2)`). `as` is not among them, as in Docker.
pub const ULIMITS: [&str; 15] = [
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "rttime",
    "sigpending",
    "stack",
];

/// One `--ulimit NAME=SOFT[:HARD]`; -1 is no limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ulimit(pub Rlimit);

impl FromStr for Ulimit {
    type Err = PolicyError;

    fn from_str(value: &str) -> Result<Self, PolicyError> {
        let wrong = |reason| invalid("--ulimit", value, reason);
        let (name, limits) = value.split_once('=').ok_or_else(|| wrong("not of the form NAME=SOFT[:HARD]"))?;
        if !ULIMITS.contains(&name) {
            return Err(wrong("unknown limit"));
        }
        let number = |text: &str| match text {
            "-1" => Ok(u64::MAX),
            text if text.bytes().all(|b| b.is_ascii_digit()) => {
                text.parse::<i64>().ok().and_then(|n| u64::try_from(n).ok()).ok_or_else(|| wrong("not a number"))
            }
            _ => Err(wrong("not a number")),
        };
        let (soft, hard) = match limits.split_once(':') {
            Some((soft, hard)) => (number(soft)?, number(hard)?),
            None => (number(limits)?, number(limits)?),
        };
        if soft > hard {
            return Err(wrong("the soft limit is above the hard limit"));
        }
        Ok(Self(Rlimit { kind: format!("RLIMIT_{}", name.to_ascii_uppercase()), soft, hard }))
    }
}

/// One `--tmpfs PATH[:OPTION,...]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tmpfs(pub Mount);

impl FromStr for Tmpfs {
    type Err = PolicyError;

    /// The options are those of `mount(8)` that concern a tmpfs; without any, `nosuid,nodev,noexec` hold, as in Docker.
    fn from_str(value: &str) -> Result<Self, PolicyError> {
        let wrong = |reason| invalid("--tmpfs", value, reason);
        let (path, options) = value.split_once(':').unwrap_or((value, ""));
        if !path.starts_with('/') || path.trim_matches('/').is_empty() || path.split('/').any(|part| part == "..") {
            return Err(wrong("the path must be absolute, without '..', and not /"));
        }
        let mut all = vec!["noexec".to_owned(), "nosuid".to_owned(), "nodev".to_owned()];
        for option in options.split(',').filter(|option| !option.is_empty()) {
            if !is_tmpfs_option(option) {
                return Err(wrong("unknown option"));
            }
            let opposite = match option.strip_prefix("no") {
                Some(plain) => plain.to_owned(),
                None => format!("no{option}"),
            };
            all.retain(|kept| *kept != opposite && kept != option);
            all.push(option.to_owned());
        }
        let kind = Some("tmpfs".to_owned());
        let source = Some("tmpfs".into());
        Ok(Self(Mount { destination: path.into(), kind, source, options: all, ..Mount::default() }))
    }
}

/// Whether a tmpfs takes this option.
fn is_tmpfs_option(option: &str) -> bool {
    const WORDS: [&str; 16] = [
        "ro",
        "rw",
        "suid",
        "nosuid",
        "dev",
        "nodev",
        "exec",
        "noexec",
        "sync",
        "async",
        "dirsync",
        "atime",
        "noatime",
        "diratime",
        "nodiratime",
        "relatime",
    ];
    let digits = |text: &str, radix| !text.is_empty() && text.len() <= 20 && text.chars().all(|c| c.is_digit(radix));
    match option.split_once('=') {
        None => WORDS.contains(&option) || option == "strictatime",
        Some(("size" | "nr_blocks" | "nr_inodes", value)) => {
            let bare = value.trim_end_matches(['k', 'K', 'm', 'M', 'g', 'G', '%']);
            digits(bare, 10) && value.len() - bare.len() <= 1
        }
        Some(("mode", value)) => digits(value, 8),
        Some(("uid" | "gid", value)) => value.parse::<u32>().is_ok() && digits(value, 10),
        Some(_) => false,
    }
}

/// Parses a size as Docker does (`units.RAMInBytes`): a number, perhaps with a fraction, and `b`, `k`, `m`, `g`, `t` or `p` in any
/// case, perhaps followed by `b` or `ib`; powers of 1024.
///
/// # Errors
/// Anything else, and sizes from 2^63 on.
pub fn parse_size(flag: &'static str, value: &str) -> Result<u64, PolicyError> {
    let wrong = || invalid(flag, value, "not a size such as 512m");
    let end = value.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(value.len());
    let (number, unit) = value.split_at(end);
    let shift = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        "p" | "pb" | "pib" => 50,
        _ => return Err(wrong()),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let valid = |digits: &str| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    if !valid(whole) || !valid(fraction) || fraction.len() > 9 {
        return Err(wrong());
    }
    let scale = 10u128.pow(u32::try_from(fraction.len()).unwrap_or(9));
    let whole: u64 = whole.parse().map_err(|_overflow| wrong())?;
    let fraction: u128 = fraction.parse().map_err(|_overflow| wrong())?;
    let size = (u128::from(whole) << shift) + ((fraction << shift) / scale);
    u64::try_from(size).ok().filter(|size| *size <= i64::MAX as u64).ok_or_else(wrong)
}
