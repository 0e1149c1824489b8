//! `network ls`: the networks in short.

use std::collections::BTreeMap;

use clap::Args;
use serde_json::{Value, json};
use stockade_engine::network::{self, list::NetworkSummary};

use super::filter::{Condition, take};
use crate::exit::{Failure, REFUSED, SUCCESS};
use crate::global::Global;
use crate::say;
use crate::show::list::{Columns, Look};
use crate::show::table::printable;
use crate::show::template::Filling;

/// List networks
#[derive(Debug, Args)]
pub(crate) struct Ls {
    /// Show only ids
    #[arg(long, short)]
    quiet: bool,
    /// Do not cut ids off
    #[arg(long)]
    no_trunc: bool,
    /// Show only some: dangling=true (no container is on them), driver=, id=, label=KEY[=VALUE], name=, scope=, type=builtin or custom
    #[arg(long, short, value_name = "KEY=VALUE")]
    filter: Vec<Condition>,
    /// table, json, or a Go template, such as 'table {{.Name}}\t{{.Driver}}'
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
}

impl Ls {
    /// Prints the list.
    pub(crate) fn run(self, global: &Global) -> Result<u8, Failure> {
        let usual = "{{.ID}}\t{{.Name}}\t{{.Driver}}\t{{.Scope}}";
        let columns = if self.quiet { Columns::Quiet("{{.ID}}") } else { Columns::Usual(usual) };
        let look = Look::of(self.format.as_deref(), columns).map_err(|error| Failure::of(REFUSED, &error))?;
        let found = network::list(&global.engine()?).map_err(|error| Failure::failed(&error))?;
        let taken = found.iter().filter(|one| take(&self.filter, one));
        let rows: Vec<Filling> = taken.map(|one| row(one, self.no_trunc)).collect();
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
        "ID": "NETWORK ID",
        "Name": "NAME",
        "Driver": "DRIVER",
        "Scope": "SCOPE",
        "IPv4": "IPV4",
        "IPv6": "IPV6",
        "Internal": "INTERNAL",
        "Labels": "LABELS",
        "CreatedAt": "CREATED AT",
    })
}

/// The fields of one network; truths are words there, as Docker has them.
fn row(one: &NetworkSummary, whole: bool) -> Filling {
    let labels: Vec<String> = one.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let id = if whole { one.id.as_str() } else { one.id.get(..12).unwrap_or(&one.id) };
    let fields = json!({
        "CreatedAt": one.created,
        "Driver": one.driver,
        "ID": id,
        "IPv4": one.ipv4.to_string(),
        "IPv6": one.ipv6.to_string(),
        "Internal": one.internal.to_string(),
        "Labels": printable(&labels.join(",")),
        "Name": one.name,
        "Scope": "local",
    });
    let answers: Value = one.labels.iter().map(|(key, value)| (key.clone(), Value::from(printable(value)))).collect();
    Filling { fields, methods: BTreeMap::from([("Label", answers)]) }
}

#[cfg(test)]
mod tests {
    use super::super::filter::tests::network;
    use super::*;

    #[test]
    fn dockers_columns() {
        let rows = [row(&network("web", false), false)];
        let shown = |format: Option<&str>, columns| Look::of(format, columns).unwrap().text(&rows, &heads()).unwrap();
        let usual = Columns::Usual("{{.ID}}\t{{.Name}}\t{{.Driver}}\t{{.Scope}}");
        let words: Vec<String> = shown(None, usual).split_whitespace().map(str::to_owned).collect();
        assert_eq!(words, ["NETWORK", "ID", "NAME", "DRIVER", "SCOPE", "0123456789ab", "web", "bridge", "local"]);
        assert_eq!(shown(None, Columns::Quiet("{{.ID}}")), "0123456789ab\n");
        assert_eq!(shown(Some("{{.Name}} {{.IPv6}} {{.Label \"a\"}}"), usual), "web false b\n");
    }
}
