//! `completion`: a shell's script.

use clap::{Args, ValueEnum};
use clap_complete::env::{Bash, EnvCompleter, Fish, Zsh};

use crate::complete::VARIABLE;
use crate::exit::{Failure, SUCCESS};

/// Print a script that has a shell complete commands, flags, and names of containers, images and volumes
#[derive(Debug, Args)]
#[command(
    after_help = "bash: source <(stockade completion bash)\nzsh:  source <(stockade completion zsh)\nfish: stockade completion fish | source"
)]
pub(crate) struct Completion {
    /// Whose script
    #[arg(value_name = "SHELL", value_enum)]
    shell: Shell,
}

/// A shell.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Shell {
    /// GNU Bash.
    Bash,
    /// Z shell.
    Zsh,
    /// fish.
    Fish,
}

impl Completion {
    /// Prints it. The engine is not needed.
    pub(crate) fn run(self) -> Result<u8, Failure> {
        let completer: &dyn EnvCompleter = match self.shell {
            Shell::Bash => &Bash,
            Shell::Zsh => &Zsh,
            Shell::Fish => &Fish,
        };
        let mut script = Vec::new();
        completer.write_registration(VARIABLE, "stockade", "stockade", "stockade", &mut script)?;
        crate::say::bytes(&script)?;
        Ok(SUCCESS)
    }
}
