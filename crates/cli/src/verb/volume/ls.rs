//! `volume ls`: the volumes in short.

use std::collections::BTreeMap;

use clap::Args;
use serde_json::{Value, json};
use stockade_engine::volume::{self, DRIVER, SCOPE, VolumeSummary};

use super::filter::{Condition, Filters};
use crate::exit::{Failure, REFUSED, SUCCESS};
use crate::global::Global;
use crate::say;
use crate::show::list::{Columns, Look};
use crate::show::table::printable;
use crate::show::template::Filling;

/// List volumes
#[derive(Debug, Args)]
pub(crate) struct Ls {
    /// Show only names
    #[arg(long, short)]
    quiet: bool,
    /// Show only some: dangling=true (no container has them), name=TEXT, driver=DRIVER, label=KEY[=VALUE]
    #[arg(long, short, value_name = "KEY=VALUE", value_parser = Condition::of_list)]
    filter: Vec<Condition>,
    /// table, json, or a Go template, such as 'table {{.Name}}\t{{.Mountpoint}}'
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
}

impl Ls {
    /// Prints the list.
    pub(crate) fn run(self, global: &Global) -> Result<u8, Failure> {
        let columns = if self.quiet { Columns::Quiet("{{.Name}}") } else { Columns::Usual("{{.Driver}}\t{{.Name}}") };
        let look = Look::of(self.format.as_deref(), columns).map_err(|error| Failure::of(REFUSED, &error))?;
        let filters = Filters(self.filter);
        let found = volume::list(&global.engine()?).map_err(|error| Failure::failed(&error))?;
        let rows: Vec<Filling> = found.iter().filter(|one| filters.take(one)).map(row).collect();
        let text = look.text(&rows, &heads()).map_err(|error| Failure::failed(&error))?;
        if !text.is_empty() {
            say::line(text.trim_end_matches('\n'))?;
        }
        Ok(SUCCESS)
    }
}

/// What Docker writes over the columns.
fn heads() -> Value {
    json!({
        "Name": "VOLUME NAME",
        "Driver": "DRIVER",
        "Scope": "SCOPE",
        "Mountpoint": "MOUNTPOINT",
        "Labels": "LABELS",
        "Links": "LINKS",
        "Size": "SIZE",
        "Group": "GROUP",
        "Availability": "AVAILABILITY",
        "Status": "STATUS",
    })
}

/// The fields of one volume. What Docker does not tell here it does not tell either.
fn row(one: &VolumeSummary) -> Filling {
    let labels: Vec<String> = one.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let fields = json!({
        "Availability": "N/A",
        "Driver": DRIVER,
        "Group": "N/A",
        "Labels": printable(&labels.join(",")),
        "Links": "N/A",
        "Mountpoint": one.mountpoint,
        "Name": one.name.as_str(),
        "Scope": SCOPE,
        "Size": "N/A",
        "Status": "N/A",
    });
    let answers: Value = one.labels.iter().map(|(key, value)| (key.clone(), Value::from(printable(value)))).collect();
    Filling { fields, methods: BTreeMap::from([("Label", answers)]) }
}

#[cfg(test)]
mod tests {
    use super::super::filter::tests::volume;
    use super::*;

    #[test]
    fn dockers_columns() {
        let rows = [row(&volume("data", false)), row(&volume("web", true))];
        let shown = |format: Option<&str>, columns| Look::of(format, columns).unwrap().text(&rows, &heads()).unwrap();
        let usual = Columns::Usual("{{.Driver}}\t{{.Name}}");
        let words: Vec<String> = shown(None, usual).split_whitespace().map(str::to_owned).collect();
        assert_eq!(words, ["DRIVER", "VOLUME", "NAME", "local", "data", "local", "web"]);
        assert_eq!(shown(None, Columns::Quiet("{{.Name}}")), "data\nweb\n");
        assert_eq!(
            shown(Some("{{.Mountpoint}} {{.Label \"a\"}} {{.Labels}}"), usual).lines().next(),
            Some("/data/volumes/data/_data b a=b")
        );
        let line: Value = serde_json::from_str(shown(Some("json"), usual).lines().next().unwrap()).unwrap();
        assert_eq!((line["Name"].as_str(), line["Size"].as_str()), (Some("data"), Some("N/A")));
    }
}
