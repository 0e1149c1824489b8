//! `--format` of commands that list things: a table, JSON, or a template, a line each.

use serde_json::Value;

use super::table::aligned;
use super::template::{Filling, Template, TemplateError};

/// How a list looks.
pub(crate) enum Look {
    /// Columns under a head.
    Table(Template),
    /// One JSON text a line.
    Json,
    /// A template a line.
    Plain(Template),
}

/// Whether only one field is asked for (`--quiet`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Columns<'a> {
    /// Those of the template.
    Usual(&'a str),
    /// The template alone, without a head.
    Quiet(&'a str),
}

impl Look {
    /// Reads `--format`; without it, or with `table` alone, the list has `columns`.
    ///
    /// # Errors
    /// As [`Template::parse`].
    pub(crate) fn of(format: Option<&str>, columns: Columns<'_>) -> Result<Self, TemplateError> {
        Ok(match (format.map(str::trim).unwrap_or_default(), columns) {
            ("" | "table", Columns::Quiet(template)) => Self::Plain(Template::parse(template)?),
            ("" | "table", Columns::Usual(template)) => Self::Table(Template::parse(template)?),
            ("json", _) => Self::Json,
            (format, _) => match format.strip_prefix("table ").or_else(|| format.strip_prefix("table\\t")) {
                Some(columns) => Self::Table(Template::parse(columns.trim())?),
                None => Self::Plain(Template::parse(format)?),
            },
        })
    }

    /// The list. `heads` has what stands over each field of a row.
    ///
    /// # Errors
    /// As [`Template::fill`].
    pub(crate) fn text(&self, rows: &[Filling], heads: &Value) -> Result<String, TemplateError> {
        let rows = rows.iter();
        match self {
            Self::Json => Ok(rows.map(|row| format!("{}\n", row.fields)).collect()),
            Self::Plain(template) => rows.map(|row| Ok(format!("{}\n", template.fill(row)?))).collect(),
            Self::Table(template) => {
                let lines = std::iter::once(template.heads(heads)).chain(rows.map(|row| template.fill(row)));
                Ok(aligned(&lines.collect::<Result<Vec<_>, _>>()?))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::collections::BTreeMap;

    fn shown(format: &str, columns: Columns<'_>) -> String {
        let row = |id: &str| Filling {
            fields: json!({ "ID": id, "Name": "a name" }),
            methods: BTreeMap::from([("Label", json!({ "a.b-c": "1" }))]),
        };
        let heads = json!({ "ID": "THING ID", "Name": "NAME" });
        Look::of(Some(format), columns).unwrap().text(&[row("1"), row("2")], &heads).unwrap()
    }

    #[test]
    fn tables_json_and_templates() {
        let usual = Columns::Usual("{{.ID}}\t{{.Name}}");
        assert_eq!(shown("", usual), "THING ID   NAME\n1          a name\n2          a name\n");
        assert_eq!(shown("table", Columns::Quiet("{{.ID}}")), "1\n2\n");
        assert_eq!(shown("json", usual).lines().count(), 2);
        assert_eq!(shown("{{.Name}}!", usual), "a name!\na name!\n");
        let columns = "table {{upper .Name}}\\t{{.Label \"a.b-c\"}}";
        assert_eq!(shown(columns, usual), "NAME      b c\nA NAME    1\nA NAME    1\n");
        let conditional = "table {{if .ID}}{{.ID}}{{end}}\\t{{json .Name}}\\t{{slice .Name 0 1}}";
        assert_eq!(shown(conditional, usual).lines().next(), Some("THING ID   NAME       NAME"));
    }
}
