//! `stake`, the OCI runtime.

use std::process::ExitCode;

fn main() -> ExitCode {
    stockade_runtime::cli::main()
}
