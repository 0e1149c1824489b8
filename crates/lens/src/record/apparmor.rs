//! The profile for AppArmor of a record, as text for `apparmor_parser(8)`.

use std::fmt::Write;

use super::confinement::kept;
use super::facts::Record;
use super::places::{Place, places};

/// AppArmor's names of the families of sockets.
const FAMILIES: &[(u64, &str)] = &[(1, "unix"), (2, "inet"), (10, "inet6"), (16, "netlink"), (17, "packet")];
/// Its names of their types.
const TYPES: &[(u64, &str)] = &[(1, "stream"), (2, "dgram"), (3, "raw"), (5, "seqpacket")];
/// Folders that are in memory in every container, and files of the kernel's that a process writes about itself.
const ALWAYS_WRITABLE: &[&str] = &["/dev/**", "/proc/@{pid}/**", "/proc/self/**"];

/// The text of the profile `name`. It reads every file, executes the programs that were executed, writes where was written, and uses the sockets and
/// capabilities that were used. It mounts nothing and traces nobody.
#[must_use]
pub fn apparmor(record: &Record, name: &str) -> String {
    let mut text = String::new();
    let mut line = |words: &str| {
        // Writing to a text cannot fail.
        if writeln!(text, "{words}").is_err() {
            debug_assert!(false, "a text takes what is written");
        }
    };
    line("#include <tunables/global>\n");
    line(&format!("profile {name} flags=(attach_disconnected,mediate_deleted) {{"));
    for capability in kept(record) {
        let word = capability.to_string().to_lowercase();
        line(&format!("  capability {},", word.strip_prefix("cap_").unwrap_or(&word)));
    }
    for rule in networks(record) {
        line(&format!("  network {rule},"));
    }
    line("  signal (send, receive) peer=@{profile_name},\n  signal (receive) peer=unconfined,");
    line("  unix,\n  / r,\n  /** mrkl,");
    for program in record.seen.programs.keys() {
        line(&format!("  {} ix,", quoted(program)));
    }
    for writable in ALWAYS_WRITABLE {
        line(&format!("  {writable} w,"));
    }
    for place in places(&record.changed) {
        let path = match &place {
            Place::Memory(path) | Place::Volume(path) => path.display().to_string(),
            Place::Root => String::new(),
        };
        line(&format!("  {} w,\n  {} w,", quoted(&format!("{path}/")), quoted(&format!("{path}/**"))));
    }
    line("}");
    text
}

/// A path as the profile has it: what would mean something in a pattern means itself.
fn quoted(path: &str) -> String {
    let mut text = String::from("\"");
    let (stem, pattern) = path.strip_suffix("**").map_or((path, ""), |stem| (stem, "**"));
    for letter in stem.chars() {
        if "*?[]{}^\\\"".contains(letter) {
            text.push('\\');
        }
        text.push(letter);
    }
    text + pattern + "\""
}

fn networks(record: &Record) -> Vec<String> {
    let name = |all: &[(u64, &'static str)], number: u64| {
        all.iter().find(|(known, _)| *known == number).map(|(_, name)| *name)
    };
    let made = record.seen.calls.get("socket").map(|call| &call.values).into_iter().flatten();
    let mut rules: Vec<String> = made
        .filter_map(|values| {
            let family = name(FAMILIES, *values.first()?)?;
            Some(format!("{family} {}", name(TYPES, values.get(1)? & 0xf)?))
        })
        .collect();
    rules.sort();
    rules.dedup();
    rules
}
