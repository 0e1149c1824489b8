//! `system prune`: removes what nobody needs.

use clap::Args;
use jiff::Timestamp;
use stockade_engine::ImageSummary;
use stockade_engine::network;
use stockade_engine::prune::{self, Unused};
use stockade_engine::volume;

use crate::exit::{FAILED, Failure, REFUSED, SUCCESS};
use crate::global::Global;
use crate::say;
use crate::show::size;
use crate::verb::image;
use crate::verb::prune::{Condition, Filters};

/// Remove stopped containers, networks that no container is on, and images without a name
#[derive(Debug, Args)]
pub(crate) struct Prune {
    /// Remove all images that no container was made from, not only those without a name
    #[arg(long, short)]
    all: bool,
    /// Do not ask
    #[arg(long, short)]
    force: bool,
    /// Remove anonymous volumes that no container has, too
    #[arg(long)]
    volumes: bool,
    /// Remove only some: until=TIME, label=KEY[=VALUE], label!=KEY[=VALUE]
    #[arg(long, value_name = "KEY=VALUE")]
    filter: Vec<Condition>,
}

impl Prune {
    /// Asks, removes, and says what was.
    pub(crate) fn run(self, global: &Global) -> Result<u8, Failure> {
        let filters = Filters::new(self.filter, Timestamp::now())?;
        if self.volumes && filters.name_a_time() {
            return Err(Failure::new(REFUSED, "invalid --filter until: it does not go with --volumes"));
        }
        let engine = global.engine()?;
        if !self.force && !say::confirmed(&warning(self.all, self.volumes))? {
            return Err(Failure::new(FAILED, "system prune has been cancelled"));
        }
        let containers = prune::prune_containers(&engine, |one| filters.take(&one.created, &one.labels));
        let containers = containers.map_err(|error| Failure::failed(&error))?;
        crate::verb::prune::say_containers(&containers)?;
        let mut bytes = containers.bytes;
        let networks = network::prune(&engine, |one| filters.take(&one.created, &one.labels));
        crate::verb::network::prune::say_pruned(&networks.map_err(|error| Failure::failed(&error))?)?;
        if self.volumes {
            let volumes = volume::prune(&engine, |one| one.anonymous && filters.take(&one.created, &one.labels));
            let volumes = volumes.map_err(|error| Failure::failed(&error))?;
            crate::verb::volume::prune::say_pruned(&volumes)?;
            bytes += volumes.reclaimed;
        }
        let unused = if self.all { Unused::Any } else { Unused::Dangling };
        let take = |one: &ImageSummary| filters.take(&one.created, &one.labels);
        let images = prune::prune_images(&engine, unused, take).map_err(|error| Failure::failed(&error))?;
        image::prune::say_pruned(&images)?;
        say::line(&format!("Total reclaimed space: {}", size::exact(bytes + images.bytes)))?;
        Ok(SUCCESS)
    }
}

/// What is about to go.
fn warning(all: bool, volumes: bool) -> String {
    let mut lines = vec!["WARNING! This will remove:", "  - all stopped containers"];
    lines.push("  - all networks not used by at least one container");
    if volumes {
        lines.push("  - all anonymous volumes not used by at least one container");
    }
    lines.push(if all {
        "  - all images without at least one container associated to them"
    } else {
        "  - all dangling images"
    });
    lines.push("  - unused build cache");
    lines.join("\n") + "\n"
}
