//! `pull`: an image from its registry; and what `run` and `create` do about an image that is not here.

use std::os::fd::AsFd;
use std::process::{Command, Stdio};

use clap::Args;
use stockade_engine::images::pull::Before;
use stockade_engine::images::{Name, Platform, Reference};
use stockade_engine::{CreateError, Request};

use crate::exit::{FAILED, Failure, REFUSED, SUCCESS};
use crate::flags::{When, platform};
use crate::global::Global;
use crate::say;
use crate::show::progress::{Shown, Telling};

/// Fetch an image from its registry
#[derive(Debug, Args)]
pub(crate) struct Pull {
    /// Print the image's name only
    #[arg(long, short)]
    quiet: bool,
    /// Fetch it for this platform: OS/ARCHITECTURE[/VARIANT]
    #[arg(long, value_name = "PLATFORM", value_parser = platform)]
    platform: Option<Platform>,
    /// Do not print the image's name: for who pulls in order to run it
    #[arg(long, hide = true)]
    nameless: bool,
    /// The image: [REGISTRY/]NAME[:TAG][@DIGEST]
    #[arg(required = true, value_name = "NAME")]
    name: String,
}

impl Pull {
    /// Pulls the image, and says as Docker does what became of it.
    pub(crate) fn run(self, global: &Global) -> Result<u8, Failure> {
        let asked = named(&self.name)?;
        let telling = if self.quiet { Telling::Quiet } else { Telling::Progress };
        let name = asked.clone().tag_or_latest();
        let engine = global.engine()?;
        if asked != name && telling == Telling::Progress {
            say::line("Using default tag: latest")?;
        }
        let version =
            name.digest().map_or_else(|| name.tag().unwrap_or_default().to_owned(), |digest| digest.to_string());
        let shown = Shown::new(format!("{version}: Pulling from {}", name.path()), telling);
        let registries = global.registries()?;
        let pulled = stockade_engine::pull(&engine, &registries, &name, self.platform.as_ref(), &shown);
        let pulled = pulled.map_err(|error| Failure::failed(&error))?;
        if telling == Telling::Progress {
            let became = match pulled.before {
                Before::Same => "Image is up to date for",
                Before::Other => "Downloaded newer image for",
            };
            say::line(&format!("Digest: {}", pulled.image.target.digest))?;
            say::line(&format!("Status: {became} {}", name.familiar()))?;
        }
        if !self.nameless {
            say::line(&name.to_string())?;
        }
        Ok(SUCCESS)
    }
}

/// The name of an image in a registry.
fn named(text: &str) -> Result<Name, Failure> {
    match Reference::parse(text) {
        Ok(Reference::Named(name)) => Ok(name),
        Ok(other) => {
            let reason = "it is on this machine, and nothing is pulled for it";
            Err(Failure::new(FAILED, format!("cannot pull {other}: {reason}")))
        }
        Err(error) => Err(Failure::failed(&error)),
    }
}

/// When the image of a container is pulled, and how much is said of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pulling<'a> {
    pub(crate) global: &'a Global,
    pub(crate) when: When,
    pub(crate) telling: Telling,
}

impl Pulling<'_> {
    /// Does `create` with the image of `request`. As in Docker one that is not here is pulled once the engine has said so: where it is
    /// here, which is nearly always, the store is looked at once.
    ///
    /// # Errors
    /// Those of `create`, and if the image cannot be pulled.
    pub(crate) fn provide<T>(
        self,
        request: &Request,
        create: impl Fn() -> Result<Result<T, CreateError>, Failure>,
    ) -> Result<T, Failure> {
        let name = match (&request.image, self.when) {
            (Reference::Named(name), When::Always | When::Missing) => name.clone().tag_or_latest(),
            _ => return Ok(create()??),
        };
        if self.when == When::Missing {
            match create()? {
                Err(CreateError::NoImage(_)) => {}
                made => return Ok(made?),
            }
            if self.telling == Telling::Progress {
                say::plain(&format!("Unable to find image '{}' locally", name.familiar()));
            }
        }
        self.pull(&name, request.platform.as_ref())?;
        Ok(create()??)
    }

    /// Pulls it by another process of this program, because the one that makes containers must not have threads. All that is said of it
    /// is on standard error.
    fn pull(self, name: &Name, platform: Option<&Platform>) -> Result<(), Failure> {
        let failed = |error: std::io::Error| Failure::new(REFUSED, format!("cannot start pulling: {error}"));
        let mut command = Command::new(std::env::current_exe().map_err(failed)?);
        command.args(self.global.arguments()).args(["pull", "--nameless"]);
        if self.telling == Telling::Quiet {
            command.arg("--quiet");
        }
        if let Some(platform) = platform {
            command.arg(format!("--platform={platform}"));
        }
        let errors = std::io::stderr().as_fd().try_clone_to_owned().map_err(failed)?;
        command.arg("--").arg(name.to_string()).stdin(Stdio::null()).stdout(errors);
        match command.status().map_err(failed)?.success() {
            true => Ok(()),
            // It has said why.
            false => Err(Failure { code: REFUSED, message: None }),
        }
    }
}
