//! `system df`: how much disk is used.

use clap::Args;
use jiff::Timestamp;
use serde_json::{Value, json};
use stockade_engine::df::{DiskUsage, Share};

use crate::exit::{Failure, REFUSED, SUCCESS};
use crate::global::Global;
use crate::say;
use crate::show::list::{Columns, Look};
use crate::show::size;
use crate::show::table::{aligned, printable};
use crate::show::template::{Filling, Template};
use crate::verb::{image, ps};

const USUAL: &str = "{{.Type}}\t{{.TotalCount}}\t{{.Active}}\t{{.Size}}\t{{.Reclaimable}}";
const IMAGES: &str = "{{.Repository}}\t{{.Tag}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}\t{{.SharedSize}}\t{{.UniqueSize}}\t\
                      {{.Containers}}";
const CONTAINERS: &str = "{{.ID}}\t{{.Image}}\t{{.Command}}\t{{.LocalVolumes}}\t{{.Size}}\t{{.RunningFor}}\t{{.Status}}\t\
                          {{.Names}}";
const VOLUMES: &str = "{{.Name}}\t{{.Links}}\t{{.Size}}";

/// Show how much disk is used
#[derive(Debug, Args)]
pub(crate) struct Df {
    /// Show each image, container and volume
    #[arg(long, short)]
    verbose: bool,
    /// table, json, or a Go template, such as '{{.Type}}\t{{.Size}}'
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
}

impl Df {
    /// Prints it.
    pub(crate) fn run(self, global: &Global) -> Result<u8, Failure> {
        let look = Look::of(self.format.as_deref(), Columns::Usual(USUAL));
        let look = look.map_err(|error| Failure::of(REFUSED, &error))?;
        let engine = global.engine()?;
        let usage = stockade_engine::df::df(&engine).map_err(|error| Failure::failed(&error))?;
        let text = match (self.verbose, &look) {
            (true, Look::Table(_)) => verbose(&usage, Timestamp::now())?,
            (true, Look::Json) => format!("{}\n", everything(&usage, Timestamp::now())),
            (true, Look::Plain(template)) => {
                let filled = template.fill(&Filling::of(everything(&usage, Timestamp::now())));
                format!("{}\n", filled.map_err(|error| Failure::of(REFUSED, &error))?)
            }
            (false, look) => look.text(&rows(&usage), &heads()).map_err(|error| Failure::of(REFUSED, &error))?,
        };
        say::line(text.trim_end_matches('\n'))?;
        Ok(SUCCESS)
    }
}

fn heads() -> Value {
    json!({
        "Type": "TYPE",
        "TotalCount": "TOTAL",
        "Active": "ACTIVE",
        "Size": "SIZE",
        "Reclaimable": "RECLAIMABLE",
    })
}

/// A line for each kind of thing. Nothing is built here, and so there is no cache of builds; Docker's scripts look for the line.
fn rows(usage: &DiskUsage) -> Vec<Filling> {
    let row = |kind: &str, share: &Share| {
        let size = size::exact(share.bytes);
        let part = share.reclaimable.saturating_mul(100).checked_div(share.bytes);
        let reclaimable = size::exact(share.reclaimable);
        Filling::of(json!({
            "Type": kind,
            "TotalCount": share.total.to_string(),
            "Active": share.active.to_string(),
            "Size": size,
            "Reclaimable": part.map_or_else(|| reclaimable.clone(), |part| format!("{reclaimable} ({part}%)")),
        }))
    };
    vec![
        row("Images", &usage.images_share),
        row("Containers", &usage.containers_share),
        row("Local Volumes", &usage.volumes_share),
        row("Build Cache", &Share::default()),
    ]
}

/// Each image with its containers, and so on, as `-v` shows them.
fn verbose(usage: &DiskUsage, now: Timestamp) -> Result<String, Failure> {
    let table = |columns: &str, rows: &[Filling], heads: &Value| -> Result<String, Failure> {
        let template = Template::parse(columns).map_err(|error| Failure::failed(&error))?;
        let lines = std::iter::once(template.heads(heads)).chain(rows.iter().map(|row| template.fill(row)));
        let lines = lines.collect::<Result<Vec<_>, _>>().map_err(|error| Failure::failed(&error))?;
        Ok(aligned(&lines))
    };
    let container_heads = json!({
        "ID": "CONTAINER ID",
        "Image": "IMAGE",
        "Command": "COMMAND",
        "LocalVolumes": "LOCAL VOLUMES",
        "Size": "SIZE",
        "RunningFor": "CREATED",
        "Status": "STATUS",
        "Names": "NAMES",
    });
    let volume_heads = json!({ "Name": "VOLUME NAME", "Links": "LINKS", "Size": "SIZE" });
    Ok(format!(
        "Images space usage:\n\n{}\nContainers space usage:\n\n{}\nLocal Volumes space usage:\n\n{}\n\
         Build cache usage: 0B\n",
        table(IMAGES, &image_rows(usage, now), &image::ls::heads())?,
        table(CONTAINERS, &container_rows(usage, now), &container_heads)?,
        table(VOLUMES, &volume_rows(usage), &volume_heads)?,
    ))
}

fn image_rows(usage: &DiskUsage, now: Timestamp) -> Vec<Filling> {
    let rows = image::ls::rows(&usage.images, now).into_iter().map(|(one, mut row)| {
        let shared = usage.shared.get(&one.id).copied().unwrap_or_default();
        row.fields["SharedSize"] = size::exact(shared).into();
        row.fields["UniqueSize"] = size::exact(one.size.saturating_sub(shared)).into();
        row.fields["Containers"] = one.containers.to_string().into();
        row
    });
    rows.collect()
}

fn container_rows(usage: &DiskUsage, now: Timestamp) -> Vec<Filling> {
    let rows = usage.containers.iter().map(|(summary, bytes)| {
        let mut row = ps::row(summary, false, None, now);
        row.fields["Size"] = size::exact(*bytes).into();
        row
    });
    rows.collect()
}

fn volume_rows(usage: &DiskUsage) -> Vec<Filling> {
    let rows = usage.volumes.iter().map(|volume| {
        Filling::of(json!({
            "Name": printable(&volume.name),
            "Links": volume.links.to_string(),
            "Size": size::exact(volume.bytes),
        }))
    });
    rows.collect()
}

/// For programs, as `-v --format` gives it.
fn everything(usage: &DiskUsage, now: Timestamp) -> Value {
    let fields = |rows: Vec<Filling>| rows.into_iter().map(|row| row.fields).collect::<Vec<_>>();
    json!({
        "Images": fields(image_rows(usage, now)),
        "Containers": fields(container_rows(usage, now)),
        "Volumes": fields(volume_rows(usage)),
        "BuildCache": [],
    })
}
