//! Standard output and standard error.

use std::io::{self, BufRead, Read, Write};

/// A line on standard output.
///
/// # Errors
/// As `write(2)`.
pub(crate) fn line(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}")?;
    out.flush()
}

/// Bytes on standard output.
///
/// # Errors
/// As `write(2)`.
pub(crate) fn bytes(bytes: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(bytes)?;
    out.flush()
}

/// An error on standard error. There is nobody left to tell if this fails.
pub(crate) fn error(text: &str) {
    drop(writeln!(io::stderr().lock(), "stockade: {text}"));
}

/// What was done, for whoever looks at a terminal.
pub(crate) fn note(text: &str) {
    drop(writeln!(io::stderr().lock(), "{text}"));
}

/// What the user should know although it is no error.
pub(crate) fn warning(text: &str) {
    drop(writeln!(io::stderr().lock(), "WARNING: {text}"));
}

/// The longest answer that is read.
const LONGEST_ANSWER: u64 = 1024;

/// Asks for a yes on standard output, after `warning`, and reads one line of standard input, which need not be a terminal.
///
/// # Errors
/// If one of them fails. The end of standard input is a no.
pub(crate) fn confirmed(warning: &str) -> io::Result<bool> {
    let mut out = io::stdout().lock();
    write!(out, "{warning}\nAre you sure you want to continue? [y/N] ")?;
    out.flush()?;
    let mut answer = Vec::new();
    io::stdin().lock().take(LONGEST_ANSWER).read_until(b'\n', &mut answer)?;
    Ok(answer.trim_ascii().eq_ignore_ascii_case(b"y"))
}

/// A line on standard error that is neither an error nor a warning.
pub(crate) fn plain(text: &str) {
    drop(writeln!(io::stderr().lock(), "{text}"));
}
