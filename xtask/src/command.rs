//! Running other programs and asking cargo about the workspace.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::Value;

/// Runs cargo with this terminal.
///
/// # Errors
/// If it cannot be started or fails.
pub(crate) fn cargo(arguments: &[&str]) -> Result<(), String> {
    run("cargo", arguments)
}

/// Runs `program` with this terminal and no stdin.
///
/// # Errors
/// If it cannot be started or fails.
pub(crate) fn run(program: &str, arguments: &[&str]) -> Result<(), String> {
    let shown = format!("{program} {}", arguments.join(" "));
    eprintln!("xtask: {shown}");
    let status = quiet_about_us(&mut Command::new(program)).args(arguments).stdin(Stdio::null()).status();
    let status = status.map_err(|error| format!("{shown}: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{shown} failed ({status})")) }
}

/// Keeps what cargo told this program about its own package from `command`: build scripts that look at such variables (`ring`'s)
/// would run again each time that cargo is called from here after it was called from outside.
pub(crate) fn quiet_about_us(command: &mut Command) -> &mut Command {
    let ours = |name: &std::ffi::OsStr| {
        name.to_str().is_some_and(|name| ["CARGO_PKG_", "CARGO_MANIFEST_"].iter().any(|begin| name.starts_with(begin)))
    };
    std::env::vars_os().filter(|(name, _)| ours(name)).for_each(|(name, _)| {
        command.env_remove(name);
    });
    command
}

/// `cargo metadata` of the workspace itself, without its dependencies.
///
/// # Errors
/// If cargo fails or answers no JSON.
pub(crate) fn metadata() -> Result<Value, String> {
    let output = Command::new("cargo").args(["metadata", "--no-deps", "--format-version", "1"]).output();
    let output = output.map_err(|error| format!("cargo metadata: {error}"))?;
    serde_json::from_slice(&output.stdout).map_err(|error| format!("cargo metadata: {error}"))
}

/// The folder that `metadata` calls `key`: `workspace_root` or `target_directory`.
///
/// # Errors
/// If there is none.
pub(crate) fn folder(metadata: &Value, key: &str) -> Result<PathBuf, String> {
    metadata[key].as_str().map(PathBuf::from).ok_or_else(|| format!("cargo metadata says no {key}"))
}
