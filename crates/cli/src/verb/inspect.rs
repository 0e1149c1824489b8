//! `inspect`: all that is known of containers, images and volumes, as JSON.

use clap::{Args, ValueEnum};
use serde::Serialize;
use stockade_engine::name::InvalidName;
use stockade_engine::network::{self, list::NetworkInspection};
use stockade_engine::volume::{self, VolumeInspection};
use stockade_engine::{Engine, FindError, ImageInspection, Inspection, Sizes};
use stockade_kernel::chain::chain;
use stockade_lens::Report;

use crate::exit::{FAILED, Failure, NO_TEMPLATE, SUCCESS};
use crate::global::Global;
use crate::say;
use crate::show::template::{Filling, Template};
use crate::verb::audit;

/// Print all that is known of one or more containers, images, networks or volumes
#[derive(Debug, Args)]
pub(crate) struct Inspect {
    /// A Go template, such as '{{.State.Status}}' or '{{json .Stockade}}', or json
    #[arg(long, short, value_name = "TEMPLATE")]
    format: Option<String>,
    /// What is inspected; without it, a container of that name, or else an image, a network or a volume
    #[arg(long, value_name = "TYPE", value_enum)]
    r#type: Option<Kind>,
    /// Tell how much disk containers take, too
    #[arg(long, short)]
    size: bool,
    /// Add an audit of each container that runs, as Walls: what is in force, read back from the kernel
    #[arg(long)]
    walls: bool,
    /// Names, ids, or beginnings of ids
    #[arg(required = true, value_name = "NAME|ID")]
    names: Vec<String>,
}

/// Print all that is known of one or more images
#[derive(Debug, Args)]
pub(crate) struct InspectImage {
    /// A Go template, such as '{{json .Config}}', or json
    #[arg(long, short, value_name = "TEMPLATE")]
    format: Option<String>,
    /// Names, ids, or beginnings of ids
    #[arg(required = true, value_name = "IMAGE")]
    names: Vec<String>,
}

/// Print all that is known of one or more containers
#[derive(Debug, Args)]
pub(crate) struct InspectContainer {
    /// A Go template, such as '{{.State.Status}}' or '{{json .Stockade}}', or json
    #[arg(long, short, value_name = "TEMPLATE")]
    format: Option<String>,
    /// Tell how much disk they take, too
    #[arg(long, short)]
    size: bool,
    /// Add an audit of each that runs, as Walls: what is in force, read back from the kernel
    #[arg(long)]
    walls: bool,
    /// Names, ids, or beginnings of ids
    #[arg(required = true, value_name = "CONTAINER")]
    names: Vec<String>,
}

/// What can be inspected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// A container.
    Container,
    /// An image.
    Image,
    /// A volume.
    Volume,
    /// A network.
    Network,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Self::Container => "container",
            Self::Image => "image",
            Self::Volume => "volume",
            Self::Network => "network",
        }
    }
}

/// What is told of containers besides, because it takes longer or has them stand still for an instant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Besides {
    /// How much disk they take.
    size: bool,
    /// What walls they have.
    walls: bool,
}

/// A container with its walls.
#[derive(Serialize)]
struct Walled {
    #[serde(flatten)]
    found: Inspection,
    #[serde(rename = "Walls")]
    walls: Report,
}

/// All that is known of one.
#[derive(Serialize)]
#[serde(untagged)]
enum Inspected {
    Container(Box<Inspection>),
    Walled(Box<Walled>),
    Image(Box<ImageInspection>),
    Volume(VolumeInspection),
    Network(Box<NetworkInspection>),
}

impl Inspect {
    /// Prints an array, or each by the template.
    pub(crate) fn run(self, global: &Global) -> Result<u8, Failure> {
        if let Some(kind) = self.r#type.filter(|kind| self.size && *kind != Kind::Container) {
            say::warning(&format!("--size ignored for {}", kind.word()));
        }
        let besides = Besides { size: self.size, walls: self.walls };
        print_containers(global, self.format.as_deref(), self.r#type, besides, &self.names)
    }
}

impl InspectImage {
    /// Prints an array, or each by the template.
    pub(crate) fn run(self, global: &Global) -> Result<u8, Failure> {
        print(global, self.format.as_deref(), Some(Kind::Image), &self.names)
    }
}

impl InspectContainer {
    /// Prints an array, or each by the template.
    pub(crate) fn run(self, global: &Global) -> Result<u8, Failure> {
        let besides = Besides { size: self.size, walls: self.walls };
        print_containers(global, self.format.as_deref(), Some(Kind::Container), besides, &self.names)
    }
}

/// Prints what is known of `names`, as an array, or each by the template that was `asked` for.
///
/// # Errors
/// A template that is none, or output that cannot be written.
pub(crate) fn print(global: &Global, asked: Option<&str>, kind: Option<Kind>, names: &[String]) -> Result<u8, Failure> {
    print_containers(global, asked, kind, Besides::default(), names)
}

/// The same, where containers may be among what is named.
fn print_containers(
    global: &Global,
    asked: Option<&str>,
    kind: Option<Kind>,
    besides: Besides,
    names: &[String],
) -> Result<u8, Failure> {
    let format = asked.filter(|format| !matches!(*format, "" | "json"));
    let template = format.map(Template::parse).transpose().map_err(|error| Failure::of(NO_TEMPLATE, &error))?;
    let engine = global.engine()?;
    let mut sizes = besides.size.then(|| Sizes::new(&engine));
    let mut found = Vec::new();
    let mut code = SUCCESS;
    for name in names {
        let one = inspected(&engine, name, kind, sizes.as_mut());
        match one.and_then(|one| if besides.walls { walled(&engine, one) } else { Ok(one) }) {
            Ok(one) => found.push(one),
            Err(text) => {
                say::error(&text);
                code = FAILED;
            }
        }
    }
    match template {
        None if asked == Some("json") => say::line(&json(&found, b"")?)?,
        None => say::line(&json(&found, b"    ")?)?,
        Some(template) => {
            for one in &found {
                let fields = serde_json::to_value(one).map_err(|error| Failure::failed(&error))?;
                let text = template.fill(&Filling::of(fields));
                say::line(&text.map_err(|error| Failure::failed(&error))?)?;
            }
        }
    }
    Ok(code)
}

/// The same with its walls, if it is a container that runs.
fn walled(engine: &Engine, one: Inspected) -> Result<Inspected, String> {
    match one {
        Inspected::Container(found) if found.state.pid != 0 => {
            let id = found.id.clone().try_into().map_err(|error: InvalidName| chain(&error))?;
            let target = audit::container(engine, &id)?;
            let walls = stockade_lens::audit(&target).map_err(|error| chain(&error))?;
            Ok(Inspected::Walled(Box::new(Walled { found: *found, walls })))
        }
        other => Ok(other),
    }
}

/// The one that `name` means, or why there is none.
fn inspected(
    engine: &Engine,
    name: &str,
    kind: Option<Kind>,
    sizes: Option<&mut Sizes<'_>>,
) -> Result<Inspected, String> {
    if matches!(kind, None | Some(Kind::Container)) {
        match engine.find(name) {
            Ok(id) => {
                let mut found = stockade_engine::inspect(engine, &id).map_err(|error| chain(&error))?;
                if let Some(sizes) = sizes {
                    let size = sizes.of(&id).map_err(|error| chain(&error))?;
                    (found.size_rw, found.size_root_fs) = (Some(size.written), Some(size.root));
                }
                return Ok(Inspected::Container(Box::new(found)));
            }
            Err(FindError::Missing(_)) if kind.is_none() => {}
            Err(error) => return Err(chain(&error)),
        }
    }
    if matches!(kind, None | Some(Kind::Image)) {
        match stockade_engine::inspect_image(engine, name) {
            Ok(found) => return Ok(Inspected::Image(Box::new(found))),
            Err(error) if kind.is_none() && error.is_missing() => {}
            Err(error) => return Err(chain(&error)),
        }
    }
    if matches!(kind, None | Some(Kind::Network)) {
        match network::inspect(engine, name) {
            Ok(found) => return Ok(Inspected::Network(Box::new(found))),
            Err(error) if kind.is_none() && error.is_missing() => {}
            Err(error) => return Err(chain(&error)),
        }
    }
    // What cannot be a volume's name is no volume's.
    let found = name.parse().ok().map(|name| volume::inspect(engine, &name));
    match found {
        Some(Ok(found)) => Ok(Inspected::Volume(found)),
        Some(Err(error)) if !error.is_missing() => Err(chain(&error)),
        _ if kind.is_none() => Err(format!("no such object: {name}")),
        _ => Err(format!("no such volume: {}", name.escape_debug())),
    }
}

/// JSON in the order of the fields, indented as Docker does, or on one line.
fn json(found: &[Inspected], indent: &[u8]) -> Result<String, Failure> {
    let failed = |error: serde_json::Error| Failure::failed(&error);
    if indent.is_empty() {
        return serde_json::to_string(found).map_err(failed);
    }
    let mut bytes = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(indent);
    found.serialize(&mut serde_json::Serializer::with_formatter(&mut bytes, formatter)).map_err(failed)?;
    String::from_utf8(bytes).map_err(|error| Failure::failed(&error))
}
