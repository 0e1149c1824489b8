//! Standard output and standard error.

use std::io::{self, Write};

/// A line on standard output.
///
/// # Errors
/// As `write(2)`.
pub(crate) fn line(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}")?;
    out.flush()
}

/// An error on standard error. There is nobody left to tell if this fails.
pub(crate) fn error(text: &str) {
    drop(writeln!(io::stderr().lock(), "stockade: {text}"));
}

/// What the user should know although it is no error.
pub(crate) fn warning(text: &str) {
    drop(writeln!(io::stderr().lock(), "WARNING: {text}"));
}
