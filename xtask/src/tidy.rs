//! The conventions that neither the compiler nor clippy knows.
//!
//! - Arrows: which of our packages may use which ([`arrows`]).
//! - Sources: every module has a `//!` head, `unsafe` is allowed in `crates/kernel` and in the probe only, no result is
//!   thrown away by `let _ =`, no file is longer than 600 lines, and nothing is left to be done later ([`sources`]).

mod arrows;
mod sources;

/// Checks everything and prints each finding.
///
/// # Errors
/// If there is a finding, or the tree cannot be read.
pub(crate) fn check() -> Result<(), String> {
    let metadata = crate::command::metadata()?;
    let mut findings = arrows::check(&metadata);
    findings.extend(sources::check(&crate::command::folder(&metadata, "workspace_root")?)?);
    for finding in &findings {
        eprintln!("tidy: {finding}");
    }
    if findings.is_empty() { Ok(()) } else { Err(format!("{} findings", findings.len())) }
}
