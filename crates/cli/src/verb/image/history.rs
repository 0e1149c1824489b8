//! `history`: the steps that an image was made by.

use clap::Args;
use jiff::Timestamp;
use serde_json::{Value, json};
use stockade_engine::HistoryStep;

use super::shown_id;
use crate::exit::{Failure, REFUSED, SUCCESS};
use crate::global::Global;
use crate::say;
use crate::show::list::{Columns, Look};
use crate::show::table::{ellipsis, printable};
use crate::show::template::Filling;
use crate::show::{ago, size};

const HUMAN: &str = "{{.ID}}\t{{.CreatedSince}}\t{{.CreatedBy}}\t{{.Size}}\t{{.Comment}}";
const EXACT: &str = "{{.ID}}\t{{.CreatedAt}}\t{{.CreatedBy}}\t{{.Size}}\t{{.Comment}}";

/// Show the history of an image
#[derive(Debug, Args)]
pub(crate) struct History {
    /// Show sizes and dates for people
    #[arg(long, short = 'H', default_value = "true", hide_default_value = true, value_parser = crate::grammar::pflag::boolean, action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    human: bool,
    /// Show whole ids and commands
    #[arg(long)]
    no_trunc: bool,
    /// Show only ids
    #[arg(long, short)]
    quiet: bool,
    /// table, json, or a Go template, such as '{{.CreatedBy}}'
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
    /// The image: its name, id, or the beginning of its id
    #[arg(value_name = "IMAGE")]
    image: String,
}

impl History {
    /// Prints the steps, the newest first.
    pub(crate) fn run(self, global: &Global) -> Result<u8, Failure> {
        let columns = match () {
            () if self.quiet => Columns::Quiet("{{.ID}}"),
            () if self.human => Columns::Usual(HUMAN),
            () => Columns::Usual(EXACT),
        };
        let look = Look::of(self.format.as_deref(), columns).map_err(|error| Failure::of(REFUSED, &error))?;
        let engine = global.engine()?;
        let steps = stockade_engine::history(&engine, &self.image).map_err(|error| Failure::failed(&error))?;
        let how = How { sizes: if self.human { Sizes::Human } else { Sizes::Bytes }, whole: self.no_trunc };
        let now = Timestamp::now();
        let rows: Vec<Filling> = steps.iter().map(|step| row(step, how, now)).collect();
        let text = look.text(&rows, &heads()).map_err(|error| Failure::of(REFUSED, &error))?;
        if !text.is_empty() {
            say::line(text.trim_end_matches('\n'))?;
        }
        Ok(SUCCESS)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sizes {
    Human,
    Bytes,
}

#[derive(Clone, Copy, Debug)]
struct How {
    sizes: Sizes,
    whole: bool,
}

fn heads() -> Value {
    json!({
        "ID": "IMAGE",
        "CreatedSince": "CREATED",
        "CreatedAt": "CREATED AT",
        "CreatedBy": "CREATED BY",
        "Size": "SIZE",
        "Comment": "COMMENT",
        "Tags": "TAGS",
    })
}

fn row(step: &HistoryStep, how: How, now: Timestamp) -> Filling {
    let by = printable(&step.created_by.replace(['\t', '\n'], " "));
    let since = ago::since(&step.created, now).map_or_else(|| "N/A".to_owned(), |time| format!("{time} ago"));
    Filling::of(json!({
        "ID": step.id.as_deref().map_or_else(|| "<missing>".to_owned(), |id| shown_id(id, how.whole)),
        "CreatedSince": since,
        "CreatedAt": if ago::absolute(&step.created).is_some() { printable(&step.created) } else { "N/A".to_owned() },
        "CreatedBy": if how.whole { by } else { ellipsis(&by, 45) },
        "Size": if how.sizes == Sizes::Human { size::human(step.size) } else { step.size.to_string() },
        "Comment": printable(&step.comment),
        "Tags": step.tags.join(","),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dockers_columns() {
        let step = |id: Option<&str>| HistoryStep {
            id: id.map(str::to_owned),
            created: "2026-01-01T00:00:00Z".to_owned(),
            created_by: format!("RUN\t{}", "x".repeat(60)),
            size: 1500,
            comment: "buildkit\u{1b}".to_owned(),
            tags: Vec::new(),
        };
        let now = "2026-01-01T02:00:00Z".parse().unwrap();
        let id = format!("sha256:{}", "0".repeat(64));
        let rows = |how| [step(Some(&id)), step(None)].map(|step| row(&step, how, now));
        let look = Look::of(None, Columns::Usual(HUMAN)).unwrap();
        let text = look.text(&rows(How { sizes: Sizes::Human, whole: false }), &heads()).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].starts_with("IMAGE          CREATED       CREATED BY"), "{text}");
        assert!(
            lines[1].starts_with("000000000000   2 hours ago   RUN xxx") && lines[1].contains("x…   1.5kB"),
            "{text}"
        );
        assert!(lines[2].starts_with("<missing>      ") && lines[2].ends_with("buildkit\u{fffd}"), "{text}");
        let look = Look::of(Some("{{.ID}} {{.Size}}"), Columns::Usual(EXACT)).unwrap();
        let text = look.text(&rows(How { sizes: Sizes::Bytes, whole: true }), &heads()).unwrap();
        assert_eq!(text, format!("{id} 1500\n<missing> 1500\n"));
    }
}
