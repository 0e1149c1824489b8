//! `cargo stockade ...`: the program as it ships, built from this tree and run at once.

use std::os::unix::process::CommandExt;
use std::process::Command;

use stockade_testkit::programs;

use crate::command::{folder, metadata};
use crate::tests;

/// Builds every program in release, then becomes `stockade`, which so has this terminal, and whose exit code is cargo's.
///
/// # Errors
/// If the build fails, or `stockade` cannot be executed. Otherwise it does not return.
pub(crate) fn execute(arguments: &[&str]) -> Result<(), String> {
    tests::build()?;
    let program = folder(&metadata()?, "target_directory")?.join(programs::TARGET).join("release/stockade");
    let error = Command::new(&program).args(arguments).exec();
    Err(format!("{}: {error}", program.display()))
}
