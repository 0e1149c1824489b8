//! Help and version, from the tables.

use std::io::{self, Write};

use super::{Flag, GLOBAL, Verb, verbs};

/// Prints the version as runc does, so that engines can read the specification's.
pub(super) fn print_version() -> io::Result<u8> {
    let (version, spec) = (env!("CARGO_PKG_VERSION"), stockade_spec::VERSION);
    print(&format!("stake version {version}\nspec: {spec}\n"))
}

/// Prints all verbs.
pub(super) fn print_all() -> io::Result<u8> {
    let mut text =
        "stake, the OCI runtime of Stockade\n\nUsage: stake [flags] command [flags] [arguments]\n".to_owned();
    text.push_str("\nCommands:\n");
    for verb in verbs::ALL {
        text.push_str(&format!("  {:<12} {}\n", verb.name, verb.about));
    }
    text.push_str(&flags(GLOBAL));
    print(&text)
}

/// Prints one verb.
pub(super) fn print_verb(verb: &Verb) -> io::Result<u8> {
    let usage = format!("Usage: stake {} [flags] {}\n\n{}\n", verb.name, verb.arguments, verb.about);
    print(&(usage + &flags(verb.flags)))
}

fn flags(table: &[Flag]) -> String {
    let mut text = "\nFlags:\n".to_owned();
    for flag in table {
        let short = flag.short.map(|short| format!("-{short}, ")).unwrap_or_default();
        let value = flag.value.map(|value| format!(" {value}")).unwrap_or_default();
        text.push_str(&format!("  {short}--{}{value}\n        {}\n", flag.name, flag.help));
    }
    text
}

/// Prints an answer; the exit code of a command that has given it.
pub(super) fn print(text: &str) -> io::Result<u8> {
    let mut output = io::stdout();
    output.write_all(text.as_bytes())?;
    output.flush()?;
    Ok(0)
}
