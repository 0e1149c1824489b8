//! `commit`: an image of what a container has become.

use clap::Args;
use stockade_engine::commit::{Commit as Order, Meanwhile};
use stockade_engine::images::Name;
use stockade_engine::images::change::Change;

use crate::exit::{FAILED, Failure, SUCCESS};
use crate::global::Global;
use crate::say;

/// Make an image of what a container has become
#[derive(Debug, Args)]
#[command(override_usage = "stockade commit [OPTIONS] CONTAINER [REPOSITORY[:TAG]]")]
pub(crate) struct Commit {
    /// Who made it
    #[arg(long, short, value_name = "TEXT", default_value = "")]
    author: String,
    /// A Dockerfile instruction that changes the image's configuration
    #[arg(long, short, value_name = "INSTRUCTION")]
    change: Vec<Change>,
    /// What is said of it in the history
    #[arg(long, short, value_name = "TEXT", default_value = "")]
    message: String,
    /// Let the container stand still meanwhile
    #[arg(long, short, value_name = "BOOL", default_value = "true", num_args = 0..=1, require_equals = true, default_missing_value = "true",
        action = clap::ArgAction::Set, value_parser = crate::grammar::pflag::boolean)]
    pause: bool,
    /// Name, id, or the beginning of an id
    #[arg(value_name = "CONTAINER")]
    container: String,
    /// The image's name
    #[arg(value_name = "REPOSITORY[:TAG]")]
    name: Option<String>,
}

impl Commit {
    /// Makes the image and prints its id.
    pub(crate) fn run(self, global: &Global) -> Result<u8, Failure> {
        let name = self.name.as_deref().map(name_to_give).transpose()?;
        let engine = global.engine()?;
        let id = engine.find(&self.container).map_err(|error| Failure::failed(&error))?;
        let order = Order {
            name,
            author: self.author,
            message: self.message,
            changes: self.change,
            meanwhile: if self.pause { Meanwhile::Paused } else { Meanwhile::Running },
        };
        let image = stockade_engine::commit(&engine, &id, &order).map_err(|error| Failure::failed(&error))?;
        say::line(&image.to_string())?;
        Ok(SUCCESS)
    }
}

/// A name that an image can be given: without a digest.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn name_to_give(text: &str) -> Result<Name, Failure> {
    let name = Name::parse(text).map_err(|error| Failure::failed(&error))?;
    if name.digest().is_some() {
        return Err(Failure::new(FAILED, format!("refusing to create a tag with a digest reference: {text:?}")));
    }
    Ok(name.tag_or_latest())
}
