//! `policy check`: whether the policy can be used, and whether it would allow a container.

use std::ffi::OsString;

use clap::Args;
use stockade_engine::policy::Organisation;
use stockade_engine::policy::organisation::FILE;
use stockade_engine::{CreateError, RefusalError};

use crate::exit::{FAILED, Failure, REFUSED, SUCCESS, WEAKER};
use crate::flags::CreateFlags;
use crate::global::Global;
use crate::line::{Command, ContainerCommand, Line};
use crate::{say, usage};

/// Read this machine's policy, and tell whether it would allow a container, without making one
#[derive(Debug, Args)]
#[command(
    override_usage = "stockade policy check [-- run|create [OPTIONS] IMAGE [COMMAND] [ARG...]]",
    after_help = "Exit codes: 0 the policy can be used and allows it, 1 it cannot be used, 3 it does not allow it, 125 no container could \
    be made of the command line."
)]
pub(crate) struct Check {
    /// run or create, and all that would follow it
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

impl Check {
    /// Says what is wrong with the policy, or with the container by the policy.
    pub(crate) fn run(self, global: &Global) -> Result<u8, Failure> {
        let policy = Organisation::load().map_err(|error| Failure::of(FAILED, &error))?;
        if policy.is_none() {
            say::line(&format!("there is no policy: {FILE} is not there, and everything is allowed"))?;
        }
        let Some(flags) = self.flags()? else {
            if policy.is_some() {
                say::line(&format!("{FILE} can be used"))?;
            }
            return Ok(SUCCESS);
        };
        let asked = flags.request(&global.network()?)?;
        match stockade_engine::judge(&global.engine()?, &asked.request) {
            Ok(()) => {
                say::line("allowed")?;
                Ok(SUCCESS)
            }
            Err(CreateError::Policy(RefusalError::Refused(reasons))) => {
                reasons.iter().try_for_each(|reason| say::line(&format!("not allowed: {reason}")))?;
                Ok(WEAKER)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The flags of the container that is asked about.
    fn flags(&self) -> Result<Option<Box<CreateFlags>>, Failure> {
        if self.command.is_empty() {
            return Ok(None);
        }
        let mut words = vec![OsString::from("stockade")];
        words.extend(self.command.iter().cloned());
        let line = match Line::read(&words) {
            Ok(line) => line,
            // Help that is asked for there is shown as well, and nothing is judged.
            Err(error) => {
                let code = usage::answer(&error, &words).map_err(|failure| Failure { code: REFUSED, ..failure })?;
                return Err(Failure { code, message: None });
            }
        };
        match line.command {
            Command::Container(ContainerCommand::Run(run)) => Ok(Some(Box::new(run.0.create))),
            Command::Container(ContainerCommand::Create(create)) => Ok(Some(Box::new(create.0.flags))),
            _ => Err(Failure::new(REFUSED, "policy check is about run and create: policy check -- run IMAGE")),
        }
    }
}
