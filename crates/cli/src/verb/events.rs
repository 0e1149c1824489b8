//! `events`: what happens to containers, images, volumes and networks, as it happens.

mod filter;

use std::time::Duration;

use clap::Args;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use stockade_engine::events::{Event, Kind, listen};

use crate::exit::{Failure, REFUSED, SUCCESS};
use crate::global::Global;
use crate::grammar::until::until;
use crate::say;
use crate::show::table::printable;
use crate::show::template::{Filling, Template};
use filter::{Condition, Filters};

/// Show what happens, until the command is interrupted
#[derive(Debug, Args)]
pub(crate) struct Events {
    /// Also show what has happened since: a duration back from now, a date, or seconds since 1970
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    since: Option<String>,
    /// End when this time has come, in the same forms
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    until: Option<String>,
    /// Show only some: type=, event=, container=, image=, label=KEY[=VALUE], volume=, network=, daemon=, scope=
    #[arg(long, short, value_name = "KEY=VALUE")]
    filter: Vec<Condition>,
    /// json, or a Go template
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
}

/// How an event looks.
enum Look {
    Line,
    Json,
    Template(Template),
}

impl Events {
    /// Shows them.
    pub(crate) fn run(self, global: &Global) -> Result<u8, Failure> {
        let look = self.look()?;
        let now = Timestamp::now();
        let point = |flag, text: &Option<String>| {
            let point = text.as_deref().map(|text| until(flag, text, now)).transpose();
            point.map_err(|error| Failure::of(REFUSED, &error))
        };
        let since = point("--since", &self.since)?.unwrap_or(now);
        let end = point("--until", &self.until)?;
        let filters = Filters::new(self.filter);
        let engine = global.engine()?;
        let mut listener = listen(&engine).map_err(|error| Failure::failed(&error))?;
        loop {
            // First the time, then the look: what is not seen now happened after that.
            let now = Timestamp::now();
            for event in listener.read().map_err(|error| Failure::failed(&error))? {
                let time = i128::from(event.time);
                let in_time = time >= since.as_nanosecond() && end.is_none_or(|end| time <= end.as_nanosecond());
                if in_time && filters.take(&event) {
                    show(&event, &look)?;
                }
            }
            let left = end.map(|end| end.duration_since(now));
            if left.is_some_and(|left| left <= SignedDuration::ZERO) {
                return Ok(SUCCESS);
            }
            let left = left.map(|left| Duration::try_from(left).unwrap_or_default());
            listener.wait(left).map_err(|error| Failure::failed(&error))?;
        }
    }

    fn look(&self) -> Result<Look, Failure> {
        Ok(match self.format.as_deref().map(str::trim) {
            None | Some("") => Look::Line,
            Some("json") => Look::Json,
            Some(text) => Look::Template(Template::parse(text).map_err(|error| Failure::of(REFUSED, &error))?),
        })
    }
}

fn show(event: &Event, look: &Look) -> Result<(), Failure> {
    let text = match look {
        Look::Line => line(event),
        Look::Json => fields(event).to_string(),
        Look::Template(template) => {
            template.fill(&Filling::of(fields(event))).map_err(|error| Failure::failed(&error))?
        }
    };
    Ok(say::line(&text)?)
}

/// Docker's one line.
fn line(event: &Event) -> String {
    let attributes: Vec<String> =
        event.actor.attributes.iter().map(|(name, value)| printable(&format!("{name}={value}"))).collect();
    let attributes = if attributes.is_empty() { String::new() } else { format!(" ({})", attributes.join(", ")) };
    let time = Timestamp::from_nanosecond(event.time.into()).map(|time| format!("{time:.9}")).unwrap_or_default();
    format!("{time} {} {} {}{attributes}", event.kind.word(), printable(&event.action), printable(&event.actor.id))
}

/// Docker's fields, with the older ones that it still has.
fn fields(event: &Event) -> Value {
    let mut fields = json!({
        "Type": event.kind.word(),
        "Action": event.action,
        "Actor": { "ID": event.actor.id, "Attributes": event.actor.attributes },
        "scope": "local",
        "time": event.time / 1_000_000_000,
        "timeNano": event.time,
    });
    if matches!(event.kind, Kind::Container | Kind::Image) {
        let from = event.actor.attributes.get("image").cloned().unwrap_or_default();
        fields["status"] = event.action.clone().into();
        fields["id"] = event.actor.id.clone().into();
        fields["from"] = from.into();
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;
    use stockade_engine::events::Actor;

    pub(super) fn event(kind: Kind, action: &str, id: &str, attributes: &[(&str, &str)]) -> Event {
        let attributes = attributes.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Event {
            kind,
            action: action.to_owned(),
            actor: Actor { id: id.to_owned(), attributes },
            time: 1_767_225_600_000_000_007,
        }
    }

    #[test]
    fn dockers_line_and_fields() {
        let die = event(Kind::Container, "die", "0123", &[("name", "web"), ("image", "alpine"), ("exitCode", "7")]);
        assert_eq!(
            line(&die),
            "2026-01-01T00:00:00.000000007Z container die 0123 (exitCode=7, image=alpine, name=web)"
        );
        let fields = fields(&die);
        assert_eq!((fields["status"].as_str(), fields["from"].as_str()), (Some("die"), Some("alpine")));
        assert_eq!((fields["time"].as_i64(), fields["timeNano"].as_i64()), (Some(1_767_225_600), Some(die.time)));
        let template = Template::parse("{{.Type}} {{.Actor.Attributes.name}} {{.TimeNano}}").unwrap();
        assert_eq!(template.fill(&Filling::of(fields)).unwrap(), "container web 1767225600000000007");
        let create = event(Kind::Volume, "create", "data\n", &[]);
        assert_eq!(line(&create), "2026-01-01T00:00:00.000000007Z volume create data\u{fffd}");
        assert_eq!(super::fields(&create).get("status"), None);
    }
}
