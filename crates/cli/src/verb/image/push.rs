//! `push`: an image into its registry.

use clap::Args;
use stockade_engine::images::{Descriptor, Name, Platform, PushProgress, PushStep};
use stockade_engine::push;

use crate::exit::{FAILED, Failure, SUCCESS};
use crate::flags::platform;
use crate::global::Global;
use crate::say;

/// Put an image into its registry
#[derive(Debug, Args)]
pub(crate) struct Push {
    /// Push all tags of the repository
    #[arg(long, short)]
    all_tags: bool,
    /// Print the image's name only
    #[arg(long, short)]
    quiet: bool,
    /// Fail unless the image is for this platform: OS/ARCHITECTURE[/VARIANT]
    #[arg(long, value_name = "PLATFORM", value_parser = platform)]
    platform: Option<Platform>,
    /// The name of the image, which says where to: [REGISTRY/]NAME[:TAG]
    #[arg(required = true, value_name = "NAME")]
    name: String,
}

impl Push {
    /// Pushes, and says as Docker does what became of it.
    pub(crate) fn run(self, global: &Global) -> Result<u8, Failure> {
        let asked = Name::parse(&self.name).map_err(|error| Failure::failed(&error))?;
        if asked.digest().is_some() {
            return Err(Failure::new(FAILED, "cannot push a digest reference"));
        }
        if self.all_tags && asked.tag().is_some() {
            return Err(Failure::new(FAILED, "tag can't be used with --all-tags/-a"));
        }
        let engine = global.engine()?;
        let registries = global.registries()?;
        let names = if self.all_tags {
            push::tags(&engine, &asked).map_err(|error| Failure::failed(&error))?
        } else {
            vec![asked.clone().tag_or_latest()]
        };
        if !self.quiet {
            if asked.tag().is_none() && !self.all_tags {
                say::line("Using default tag: latest")?;
            }
            say::line(&format!("The push refers to repository [{}]", asked.repository()))?;
        }
        for name in &names {
            let shown = Shown(if self.quiet { Telling::Nothing } else { Telling::Lines });
            let pushed = push::push(&engine, &registries, name, self.platform.as_ref(), &shown);
            let pushed = pushed.map_err(|error| Failure::failed(&error))?;
            if self.quiet {
                say::line(&name.to_string())?;
            } else {
                let tag = name.tag().unwrap_or_default();
                say::line(&format!("{tag}: digest: {} size: {}", pushed.digest, pushed.size))?;
            }
        }
        Ok(SUCCESS)
    }
}

/// Whether layers are told of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Telling {
    Lines,
    Nothing,
}

/// A line for each step.
struct Shown(Telling);

impl Shown {
    fn say(&self, layer: &Descriptor, what: &str) {
        if self.0 == Telling::Lines {
            // That nobody listens is no reason to stop.
            drop(say::line(&format!("{}: {what}", layer.digest.hex().get(..12).unwrap_or_default())));
        }
    }
}

impl PushProgress for Shown {
    fn begun(&self, layers: &[Descriptor]) {
        for layer in layers {
            self.say(layer, "Preparing");
        }
    }

    fn layer(&self, layer: &Descriptor, step: PushStep) {
        match step {
            PushStep::Exists => self.say(layer, "Layer already exists"),
            PushStep::Mounted(from) => self.say(layer, &format!("Mounted from {from}")),
            PushStep::Pushed => self.say(layer, "Pushed"),
        }
    }
}
