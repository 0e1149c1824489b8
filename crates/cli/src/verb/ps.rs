//! `ps`: the containers in short.

mod filter;
mod walls;

use std::collections::BTreeMap;

use clap::Args;
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use stockade_engine::inspect::MountPoint;
use stockade_engine::volume::DRIVER;
use stockade_engine::{HealthStatus, Size, Sizes, State, Summary, Which};
use stockade_kernel::chain::chain;

use crate::exit::{Failure, REFUSED, SUCCESS};
use crate::global::Global;
use crate::say;
use crate::show::ago;
use crate::show::list::{Columns, Look};
use crate::show::size;
use crate::show::table::{ellipsis, printable};
use crate::show::template::Filling;
use filter::{Condition, Filters};

/// The same with what each takes on the disk.
const WITH_SIZE: &str =
    "{{.ID}}\t{{.Image}}\t{{.Command}}\t{{.RunningFor}}\t{{.Status}}\t{{.Ports}}\t{{.Names}}\t{{.Size}}";

/// The columns that are shown when nobody asks for others.
const USUAL: &str = "{{.ID}}\t{{.Image}}\t{{.Command}}\t{{.RunningFor}}\t{{.Status}}\t{{.Ports}}\t{{.Names}}";

/// List containers
#[derive(Debug, Args)]
pub(crate) struct Ps {
    /// Show all, not only those that run
    #[arg(long, short)]
    all: bool,
    /// Show only ids
    #[arg(long, short)]
    quiet: bool,
    /// Show whole ids and commands
    #[arg(long)]
    no_trunc: bool,
    /// Show the newest so many, whatever they do
    #[arg(long, short = 'n', value_name = "N", default_value_t = -1, hide_default_value = true)]
    last: i64,
    /// Show the newest, whatever it does
    #[arg(long, short)]
    latest: bool,
    /// Show what each wrote to the disk, and that with its image
    #[arg(long, short)]
    size: bool,
    /// Show what walls each that runs has, read back from the kernel, instead of the usual columns
    #[arg(long)]
    walls: bool,
    /// Show only some: name=TEXT (^ and $ stand for its ends), id=BEGINNING, status=STATUS, exited=CODE, label=KEY[=VALUE],
    /// ancestor=IMAGE, before=CONTAINER, since=CONTAINER, volume=NAME|PATH, network=NETWORK, publish=PORT[/PROTOCOL], expose=PORT,
    /// health=HEALTH, is-task=BOOL
    #[arg(long, short, value_name = "KEY=VALUE")]
    filter: Vec<Condition>,
    /// table, json, or a Go template, such as 'table {{.ID}}\t{{.Names}}'
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
}

impl Ps {
    /// Prints the list.
    pub(crate) fn run(self, global: &Global) -> Result<u8, Failure> {
        if self.walls && (self.quiet || self.size) {
            return Err(Failure::new(REFUSED, "--walls has columns of its own: leave --quiet and --size out"));
        }
        let columns = match (self.quiet, self.size) {
            _ if self.walls => Columns::Usual(walls::USUAL),
            (true, _) => Columns::Quiet("{{.ID}}"),
            (false, true) => Columns::Usual(WITH_SIZE),
            (false, false) => Columns::Usual(USUAL),
        };
        let look = Look::of(self.format.as_deref(), columns).map_err(|error| Failure::of(REFUSED, &error))?;
        let named = self.format.as_deref().is_some_and(|format| format.contains(".Size"));
        let sized = self.size && !matches!((self.quiet, &look), (true, Look::Plain(_))) || named;
        let filters = Filters::new(self.filter);
        let newest = if self.latest { 1 } else { self.last };
        let newest = usize::try_from(newest).ok().filter(|number| *number > 0);
        let all = self.all || newest.is_some() || filters.name_states();
        let engine = global.engine()?;
        // Of all, because a filter may name one that does not run.
        let found = stockade_engine::list(&engine, Which::All).map_err(|error| Failure::failed(&error))?;
        let filters = filters.resolve(&engine, &found).map_err(|error| Failure::failed(&error))?;
        let shown = found.iter().filter(|one| all || one.state.is_up());
        let shown: Vec<&Summary> = shown.filter(|one| filters.take(one)).take(newest.unwrap_or(usize::MAX)).collect();
        if self.walls {
            return walls::show(&engine, &look, &shown, self.no_trunc);
        }
        let now = Timestamp::now();
        let mut sizes = sized.then(|| Sizes::new(&engine));
        let row = |one: &Summary, sizes: Option<&mut Sizes<'_>>| match self.format {
            None if self.quiet => Filling::of(json!({ "ID": id(one, self.no_trunc) })),
            None if !self.size => Filling::of(Value::Object(usual(one, self.no_trunc, now))),
            _ => row(one, self.no_trunc, size_of(one, sizes), now),
        };
        let rows = shown.iter().map(|one| row(one, sizes.as_mut()));
        let rows: Vec<Filling> = rows.collect();
        let text = look.text(&rows, &heads()).map_err(|error| Failure::failed(&error))?;
        if !text.is_empty() {
            say::line(text.trim_end_matches('\n'))?;
        }
        for (id, reason) in shown.iter().filter_map(|one| Some((&one.id, one.damaged.as_ref()?))) {
            say::warning(&format!("container {}: {reason}", id.short()));
        }
        Ok(SUCCESS)
    }
}

/// What one takes on the disk, where that is asked for. One that cannot be looked at does not keep the others from being shown.
fn size_of(one: &Summary, sizes: Option<&mut Sizes<'_>>) -> Option<Size> {
    let size = sizes.filter(|_| one.damaged.is_none())?.of(&one.id);
    size.inspect_err(|error| say::warning(&format!("container {}: {}", one.id.short(), chain(error)))).ok()
}

/// What Docker writes over the columns.
fn heads() -> Value {
    json!({
        "ID": "CONTAINER ID",
        "Names": "NAMES",
        "Image": "IMAGE",
        "Command": "COMMAND",
        "CreatedAt": "CREATED AT",
        "RunningFor": "CREATED",
        "Ports": "PORTS",
        "State": "STATE",
        "Cause": "CAUSE",
        "Status": "STATUS",
        "Labels": "LABELS",
        "Mounts": "MOUNTS",
        "Networks": "NETWORKS",
        "LocalVolumes": "LOCAL VOLUMES",
        "Size": "SIZE",
    })
}

fn id(one: &Summary, whole: bool) -> &str {
    if whole { one.id.as_str() } else { one.id.short() }
}

/// The fields of [`USUAL`]: where containers are many, to put the others together takes as long again.
fn usual(one: &Summary, whole: bool, now: Timestamp) -> Map<String, Value> {
    let command = printable(&one.command.join(" "));
    let command = if whole { command } else { ellipsis(&command, 20) };
    let fields: [(&str, String); 7] = [
        ("ID", id(one, whole).to_owned()),
        ("Names", one.name.clone()),
        ("Image", printable(&one.image)),
        ("Command", format!("\"{command}\"")),
        ("RunningFor", ago::since(&one.created, now).map(|time| format!("{time} ago")).unwrap_or_default()),
        ("Ports", one.ports.clone()),
        ("Status", status(one, now)),
    ];
    fields.into_iter().map(|(name, text)| (name.to_owned(), Value::from(text))).collect()
}

/// The fields of one container; Docker shows a size that was not asked for as none.
pub(crate) fn row(one: &Summary, whole: bool, size: Option<Size>, now: Timestamp) -> Filling {
    let labels: Vec<String> = one.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let networks: Vec<&str> = one.networks.iter().map(|network| network.name.as_str()).collect();
    let more: [(&str, String); 8] = [
        ("CreatedAt", ago::absolute(&one.created).unwrap_or_default()),
        ("State", state(one).to_owned()),
        ("Cause", printable(one.cause.as_deref().unwrap_or_default())),
        ("Labels", printable(&labels.join(","))),
        ("Mounts", mounts(one, whole)),
        ("LocalVolumes", one.mounts.iter().filter(|mount| mount.driver == DRIVER).count().to_string()),
        ("Networks", networks.join(",")),
        ("Size", size.map_or_else(|| size::human(0), size_text)),
    ];
    let more = more.into_iter().map(|(name, text)| (name.to_owned(), Value::from(text)));
    let fields: Map<String, Value> = usual(one, whole, now).into_iter().chain(more).collect();
    let answers: Value = one.labels.iter().map(|(key, value)| (key.clone(), Value::from(printable(value)))).collect();
    Filling { fields: Value::Object(fields), methods: BTreeMap::from([("Label", answers)]) }
}

/// The names of volumes, and where on the host the other mounts are, each in short.
fn mounts(one: &Summary, whole: bool) -> String {
    let name = |mount: &MountPoint| {
        let name = printable(if mount.name.is_empty() { &mount.source } else { &mount.name });
        if whole { name } else { ellipsis(&name, 15) }
    };
    one.mounts.iter().map(name).collect::<Vec<_>>().join(",")
}

fn size_text(size: Size) -> String {
    format!("{} (virtual {})", size::human(size.written), size::human(size.root))
}

/// Docker's word for the state. A record that cannot be read makes a container `dead`.
fn state(one: &Summary) -> &'static str {
    if one.damaged.is_some() { "dead" } else { one.state.docker() }
}

/// Docker's words for the state and its age.
pub(crate) fn status(one: &Summary, now: Timestamp) -> String {
    let age = |time: &Option<String>| time.as_deref().and_then(|time| ago::since(time, now)).unwrap_or_default();
    match one.state {
        _ if one.damaged.is_some() => "Dead".to_owned(),
        State::Running => match one.health {
            None => format!("Up {}", age(&one.started)),
            Some(HealthStatus::Starting) => format!("Up {} (health: starting)", age(&one.started)),
            Some(known) => format!("Up {} ({known})", age(&one.started)),
        },
        State::Paused => format!("Up {} (Paused)", age(&one.started)),
        State::Restarting => {
            format!("Restarting ({}) {} ago", one.exit_code.unwrap_or_default(), age(&one.finished))
        }
        State::Exited => format!("Exited ({}) {} ago", one.exit_code.unwrap_or_default(), age(&one.finished)),
        State::Created | State::Starting | State::Failed => "Created".to_owned(),
        State::Removed => "Removal In Progress".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stockade_engine::network::connections::Connection;

    fn mount(name: &str, source: &str, destination: &str) -> MountPoint {
        MountPoint {
            kind: if name.is_empty() { "bind" } else { "volume" }.to_owned(),
            name: name.to_owned(),
            source: source.to_owned(),
            destination: destination.to_owned(),
            driver: if name.is_empty() { "" } else { DRIVER }.to_owned(),
            mode: String::new(),
            rw: true,
            propagation: String::new(),
            bind_recursive: String::new(),
        }
    }

    pub(super) fn container(name: &str, state: State) -> Summary {
        Summary {
            id: "0123456789abcdef".repeat(4).try_into().unwrap(),
            name: name.parse().unwrap(),
            image: "oci:/images/busybox:latest".to_owned(),
            image_id: None,
            command: ["sleep", "1000", "and some more"].map(str::to_owned).to_vec(),
            created: "2026-01-01T00:00:00Z".to_owned(),
            state,
            pid: None,
            exit_code: Some(137),
            error: None,
            started: Some("2026-01-01T00:00:00Z".to_owned()),
            finished: Some("2026-01-01T01:00:00Z".to_owned()),
            mounts: vec![
                mount("", "/srv/a/long/way/down", "/data"),
                mount("cache", "/var/lib/stockade/volumes/cache/_data", "/cache"),
            ],
            networks: vec![Connection { name: "front".to_owned(), id: "feed".repeat(16) }],
            ports: String::new(),
            published: ["80/tcp".to_owned()].into(),
            exposed: ["80/tcp".to_owned(), "53/udp".to_owned()].into(),
            cause: None,
            labels: BTreeMap::from([("a".to_owned(), "b\u{1b}".to_owned())]),
            health: None,
            damaged: None,
        }
    }

    fn shown(format: &str, quiet: bool) -> String {
        let now = "2026-01-01T02:00:00Z".parse().unwrap();
        let list = [container("web", State::Running), container("job", State::Exited)];
        let columns = if quiet { Columns::Quiet("{{.ID}}") } else { Columns::Usual(USUAL) };
        let size = Some(Size { written: 5_120, root: 4_200_000 });
        let rows: Vec<Filling> = list.iter().map(|one| row(one, false, size, now)).collect();
        Look::of(Some(format), columns).unwrap().text(&rows, &heads()).unwrap()
    }

    #[test]
    fn dockers_columns() {
        let lines = shown("", false);
        let lines: Vec<&str> = lines.lines().collect();
        assert_eq!(
            lines[0].split_whitespace().collect::<Vec<_>>(),
            ["CONTAINER", "ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "PORTS", "NAMES"]
        );
        assert!(
            lines[1].starts_with("0123456789ab   oci:/images/busybox:latest   \"sleep 1000 and some…\""),
            "{}",
            lines[1]
        );
        assert!(
            lines[1].contains("2 hours ago") && lines[1].contains("Up 2 hours") && lines[1].ends_with("web"),
            "{}",
            lines[1]
        );
        assert!(lines[2].contains("Exited (137) About an hour ago"), "{}", lines[2]);
        assert_eq!(shown("", true), "0123456789ab\n0123456789ab\n");
        assert_eq!(
            shown("{{.Names}} {{.State}} {{.Label \"a\"}}", false),
            "web running b\u{fffd}\njob exited b\u{fffd}\n"
        );
        assert_eq!(shown("table {{.ID}}\\t{{.Names}}", false).lines().next(), Some("CONTAINER ID   NAMES"));
        assert_eq!(
            shown("{{.Mounts}} {{.LocalVolumes}} {{.Networks}} {{.Size}}", false).lines().next(),
            Some("/srv/a/long/wa…,cache 1 front 5.12kB (virtual 4.2MB)")
        );
        let json: Value = serde_json::from_str(shown("json", false).lines().next().unwrap()).unwrap();
        assert_eq!(json["Names"], "web");
    }
}
