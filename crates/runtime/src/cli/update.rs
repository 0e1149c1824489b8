//! `update`'s flags, which are runc's, and the limits that they mean.

use std::io::{self, Read};

use serde_json::{Map, Value};
use stockade_spec::Resources;

use super::parse::{Parsed, UsageError};
use super::values::{number, only_id, size};
use super::verbs::{HELP, done, on, verb, with};
use super::{Error, Flag, Globals};
use crate::verb::update;

/// More than any description of limits needs.
const GREATEST: u64 = 1 << 20;

pub(super) const FLAGS: &[Flag] = &[
    with(
        "resources",
        Some("r"),
        "FILE|-",
        "limits as JSON, like config.json's linux.resources; no other flag then counts",
    ),
    with("blkio-weight", None, "N", "weight of block io, 10 to 1000"),
    with("cpu-period", None, "MICROSECONDS", "period of the processor quota"),
    with("cpu-quota", None, "MICROSECONDS", "processor time per period, -1 is no limit"),
    with("cpu-burst", None, "MICROSECONDS", "processor time that may be saved up"),
    with("cpu-share", None, "N", "weight of processor time"),
    with("cpu-rt-period", None, "MICROSECONDS", "period of the real-time quota"),
    with("cpu-rt-runtime", None, "MICROSECONDS", "real-time processor time per period"),
    with("cpuset-cpus", None, "LIST", "processors, like 0-2,7"),
    with("cpuset-mems", None, "LIST", "memory nodes"),
    with("cpu-idle", None, "0|1", "run only when nothing else does"),
    with("memory", None, "BYTES", "limit of memory"),
    with("memory-reservation", None, "BYTES", "soft limit of memory"),
    with("memory-swap", None, "BYTES", "limit of memory and swap together, -1 is no limit"),
    with("kernel-memory", None, "BYTES", "not supported: kernels do not have it any more"),
    with("kernel-memory-tcp", None, "BYTES", "limit of kernel memory for TCP (cgroup v1)"),
    with("pids-limit", None, "N", "limit of processes, -1 is no limit"),
    with("l3-cache-schema", None, "TEXT", "not supported: Intel RDT"),
    with("mem-bw-schema", None, "TEXT", "not supported: Intel RDT"),
    on("help", Some("h"), HELP.help),
];

/// Numbers with their places in `linux.resources`.
const NUMBERS: [(&str, &str, &str); 9] = [
    ("blkio-weight", "blockIO", "weight"),
    ("cpu-period", "cpu", "period"),
    ("cpu-quota", "cpu", "quota"),
    ("cpu-burst", "cpu", "burst"),
    ("cpu-share", "cpu", "shares"),
    ("cpu-rt-period", "cpu", "realtimePeriod"),
    ("cpu-rt-runtime", "cpu", "realtimeRuntime"),
    ("cpu-idle", "cpu", "idle"),
    ("pids-limit", "pids", "limit"),
];
const SIZES: [(&str, &str); 4] = [
    ("memory", "limit"),
    ("memory-reservation", "reservation"),
    ("memory-swap", "swap"),
    ("kernel-memory-tcp", "kernelTCP"),
];
const LISTS: [(&str, &str); 2] = [("cpuset-cpus", "cpus"), ("cpuset-mems", "mems")];

/// Reads the flags and updates.
pub(super) fn run(globals: &Globals, parsed: &Parsed) -> Result<u8, Error> {
    let id = only_id(parsed)?;
    let resources = match parsed.text("resources") {
        Some(file) => from_file(globals, file)?,
        None => from_flags(parsed)?,
    };
    done(update::update(&globals.context()?, &id, &resources))
}

fn from_flags(parsed: &Parsed) -> Result<Resources, Error> {
    for (flag, what) in [
        ("kernel-memory", "--kernel-memory"),
        ("l3-cache-schema", "--l3-cache-schema"),
        ("mem-bw-schema", "--mem-bw-schema"),
    ] {
        if parsed.value(flag).is_some() {
            return Err(Error::Unsupported(what));
        }
    }
    let mut sections = Map::new();
    let mut put = |section: &str, key: &str, value: Value| {
        let section = sections.entry(section).or_insert_with(|| Value::Object(Map::new()));
        if let Value::Object(section) = section {
            section.insert(key.to_owned(), value);
        }
    };
    for (flag, section, key) in NUMBERS {
        if let Some(value) = number::<i64>(parsed, flag)? {
            put(section, key, value.into());
        }
    }
    for (flag, key) in SIZES {
        if let Some(value) = size(parsed, flag)? {
            put("memory", key, value.into());
        }
    }
    for (flag, key) in LISTS {
        if let Some(value) = parsed.text(flag) {
            put("cpu", key, value.into());
        }
    }
    if sections.is_empty() {
        return Err(UsageError::Argument("no limit is given".to_owned()).into());
    }
    let text = Value::Object(sections).to_string();
    Ok(stockade_spec::parse(text.as_bytes()).map_err(verb)?.0)
}

/// The limits in the file of that name, `-` being standard input.
fn from_file(globals: &Globals, name: &str) -> Result<Resources, Error> {
    let read = |source: &mut dyn Read| {
        let mut text = Vec::new();
        source.take(GREATEST).read_to_end(&mut text).map(|_| text)
    };
    let text = if name == "-" {
        read(&mut io::stdin().lock())
    } else {
        std::fs::File::open(name).and_then(|mut file| read(&mut file))
    };
    let text =
        text.map_err(|source| UsageError::Argument(format!("cannot read the limits from {name:?}: {source}")))?;
    let (resources, skipped) = stockade_spec::parse(&text).map_err(verb)?;
    for path in skipped {
        globals.log.warn(&format!("{path}: is not known and has no effect"));
    }
    Ok(resources)
}
