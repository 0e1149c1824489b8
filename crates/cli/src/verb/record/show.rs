//! A record for people.

use std::collections::BTreeMap;
use std::fmt::Write;

use stockade_lens::record::{Call, Flag, Record, Request};

/// How long a line of names is.
const WIDTH: usize = 100;

/// What was recorded, and the flags that come of it.
pub(super) fn text(record: &Record, request: &Request) -> String {
    let mut text = String::new();
    // Writing to a text cannot fail.
    if fill(&mut text, record, request).is_err() {
        debug_assert!(false, "a text takes what is written");
    }
    text
}

fn fill(text: &mut String, record: &Record, request: &Request) -> std::fmt::Result {
    let seen = &record.seen;
    let (command, runs) = (request.command.join(" "), if record.runs == 1 { "run" } else { "runs" });
    writeln!(text, "{} {runs} of {} {command}", record.runs, request.image)?;
    let named = |wanted: fn(&Call) -> bool| -> Vec<String> {
        let calls = seen.calls.iter().filter(|(_, call)| wanted(call));
        calls.map(|(name, call)| if call.values.is_empty() { name.clone() } else { format!("{name}*") }).collect()
    };
    section(text, "system calls of the start only", &named(|call| call.startup && !call.steady))?;
    section(text, "system calls of steady running", &named(|call| call.steady))?;
    match &seen.capabilities {
        Some(needed) => section(text, "capabilities", &with_calls(needed))?,
        None => writeln!(text, "capabilities: this kernel does not tell")?,
    }
    section(text, "programs", &seen.programs.keys().cloned().collect::<Vec<_>>())?;
    section(text, "devices", &seen.devices.iter().cloned().collect::<Vec<_>>())?;
    section(text, "changed", &record.changed.iter().cloned().collect::<Vec<_>>())?;
    let listens = seen
        .network
        .listens
        .iter()
        .map(|one| format!("{}/{}{}", one.port, one.protocol, if one.loopback { " (loopback)" } else { "" }));
    section(text, "listens at", &listens.collect::<Vec<_>>())?;
    let others = if seen.network.connects { "yes" } else { "no" };
    writeln!(text, "connects to others: {others}")?;
    let number = |number: Option<u64>| number.map_or_else(|| "not counted".to_owned(), |number| number.to_string());
    writeln!(text, "memory at most: {}", number(seen.peaks.memory))?;
    writeln!(text, "processes at most: {}", number(seen.peaks.processes))?;
    section(text, "flags", &request.flags.iter().map(Flag::word).collect::<Vec<_>>())
}

fn with_calls(needed: &BTreeMap<String, std::collections::BTreeSet<String>>) -> Vec<String> {
    let calls = |calls: &std::collections::BTreeSet<String>| {
        calls.iter().map(String::as_str).filter(|call| !call.is_empty()).collect::<Vec<_>>().join(" ")
    };
    needed.iter().map(|(capability, of)| format!("{capability} ({})", calls(of))).collect()
}

/// A heading, and names in lines.
fn section(text: &mut String, heading: &str, names: &[String]) -> std::fmt::Result {
    writeln!(text, "{heading}:{}", if names.is_empty() { " none" } else { "" })?;
    let mut line = String::new();
    for name in names {
        let name: String = name.chars().map(|letter| if letter.is_control() { '?' } else { letter }).collect();
        if !line.is_empty() && line.len() + name.len() > WIDTH {
            writeln!(text, " {line}")?;
            line.clear();
        }
        line.push(' ');
        line.push_str(&name);
    }
    if line.is_empty() { Ok(()) } else { writeln!(text, " {line}") }
}
