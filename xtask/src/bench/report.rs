//! What was measured, as text, JSON, and a picture.

use std::fmt;
use std::path::Path;

use serde_json::{Value, json};

/// The values of one contender, in the order of the rounds.
pub(super) struct Row {
    name: String,
    values: Vec<f64>,
}

impl Row {
    /// At least one value.
    pub(super) fn new(name: &str, values: Vec<f64>) -> Self {
        Self { name: name.to_owned(), values }
    }

    fn sorted(&self) -> Vec<f64> {
        sorted(self.values.iter().copied())
    }

    fn median(&self) -> f64 {
        quantile(&self.sorted(), 0.5)
    }

    /// The ratio of the first row to this one in each round: lower quartile, median, upper quartile.
    fn ratios(&self, first: &Self) -> [f64; 3] {
        let ratios = sorted(first.values.iter().zip(&self.values).map(|(first, other)| first / other));
        [0.25, 0.5, 0.75].map(|part| quantile(&ratios, part))
    }
}

fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_unstable_by(f64::total_cmp);
    values
}

/// The value below which this part of `sorted` is; 0 of nothing.
fn quantile(sorted: &[f64], part: f64) -> f64 {
    let index = (sorted.len().saturating_sub(1) as f64 * part).round() as usize;
    sorted.get(index).copied().unwrap_or_default()
}

/// What the first row's median is held against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Against {
    /// Nothing: the value itself.
    Nothing,
    /// The least median of the other rows but the floor's.
    Best,
    /// The median of the row of this name.
    Row(&'static str),
}

/// The most that the first row may be, by itself or in parts of what it is held against.
#[derive(Clone, Copy, Debug)]
pub(super) struct Goal {
    pub(super) against: Against,
    pub(super) most: f64,
}

impl Goal {
    /// No more than so much of `against`.
    pub(super) const fn of(against: Against, most: f64) -> Self {
        Self { against, most }
    }
}

/// The name of the row that is no peer.
pub(super) const FLOOR: &str = "floor";

/// One work, ours first.
pub(super) struct Report {
    pub(super) title: String,
    pub(super) unit: &'static str,
    pub(super) rows: Vec<Row>,
    pub(super) goals: Vec<Goal>,
    /// What would make it no result, and how that was looked for.
    pub(super) invalid: &'static str,
}

/// The same of what whole containers take, of runtimes and of engines.
pub(super) const WALLS: &str =
    "a contender's container lacks a wall (looked at from inside before, by run and exec), or a call fails";
pub(super) const CALLS: &str = "a call fails (each is looked at)";

/// How far the middle half of the ratios may be apart, in parts of their median, before something else than the contenders is measured.
const SPREAD: f64 = 0.25;

/// How a goal stands.
struct Stand {
    what: String,
    most: f64,
    /// `None` if what it is held against is not there.
    found: Option<f64>,
}

impl Stand {
    fn word(&self) -> &'static str {
        match self.found {
            None => "not measured",
            Some(found) if found <= self.most => "met",
            Some(_) => "not met",
        }
    }
}

impl fmt::Display for Stand {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let found = self.found.map_or_else(|| "-".to_owned(), |found| format!("{found:.2}"));
        write!(formatter, "{} {found}, at most {}: {}", self.what, self.most, self.word())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(first) = self.rows.first() else { return Ok(()) };
        writeln!(formatter, "{} ({} rounds, {}):", self.title, first.values.len(), self.unit)?;
        for row in &self.rows {
            let minimum = row.sorted().first().copied().unwrap_or_default();
            let [low, ratio, high] = row.ratios(first);
            write!(formatter, "  {:14} median {:9.2}  min {minimum:9.2}", row.name, row.median())?;
            writeln!(formatter, "  {} / {} = {ratio:.2} ({low:.2} to {high:.2})", first.name, row.name)?;
        }
        for stand in self.stands() {
            writeln!(formatter, "  goal: {stand}")?;
        }
        writeln!(formatter, "  invalid if {}", self.invalid)?;
        self.doubts().iter().try_for_each(|doubt| writeln!(formatter, "  doubtful: {doubt}"))
    }
}

impl Report {
    /// The goals, by medians.
    fn stands(&self) -> Vec<Stand> {
        let Some((first, others)) = self.rows.split_first() else { return Vec::new() };
        let stand = |goal: &Goal| {
            let peers = others.iter().filter(|row| match goal.against {
                Against::Nothing => false,
                Against::Best => row.name != FLOOR,
                Against::Row(name) => row.name == name,
            });
            let least = peers.min_by(|one, other| one.median().total_cmp(&other.median()));
            let (what, found) = match (goal.against, least) {
                (Against::Nothing, _) => (format!("{} in {}", first.name, self.unit), Some(first.median())),
                (_, Some(row)) => (format!("{} / {}", first.name, row.name), Some(first.median() / row.median())),
                (Against::Best, None) => (format!("{} / best", first.name), None),
                (Against::Row(name), None) => (format!("{} / {name}", first.name), None),
            };
            Stand { what, most: goal.most, found }
        };
        self.goals.iter().map(stand).collect()
    }

    /// What in the values themselves speaks against them.
    fn doubts(&self) -> Vec<String> {
        let Some((first, others)) = self.rows.split_first() else { return Vec::new() };
        let doubt = |row: &Row| {
            let [low, ratio, high] = row.ratios(first);
            let wide = high - low > SPREAD * ratio;
            wide.then(|| format!("the ratio to {} was {low:.2} to {high:.2}: the machine was not quiet", row.name))
        };
        others.iter().filter_map(doubt).collect()
    }

    fn json(&self) -> Value {
        let rows = self.rows.iter().map(|row| {
            let [low, ratio, high] = self.rows.first().map_or([0.0; 3], |first| row.ratios(first));
            json!({
                "name": row.name, "median": row.median(), "min": row.sorted().first(), "values": row.values,
                "ratioOfFirst": { "lowerQuartile": low, "median": ratio, "upperQuartile": high },
            })
        });
        let goals = self
            .stands()
            .into_iter()
            .map(|stand| json!({ "what": stand.what, "most": stand.most, "found": stand.found, "is": stand.word() }));
        let (rows, goals) = (rows.collect::<Vec<_>>(), goals.collect::<Vec<_>>());
        json!({
            "title": self.title, "unit": self.unit, "rows": rows, "goals": goals, "invalidIf": self.invalid, "doubts": self.doubts(),
        })
    }
}

/// Writes `subject.json` and `subject.svg` to `folder`.
///
/// # Errors
/// If a file cannot be written.
pub(super) fn write(folder: &Path, subject: &str, reports: &[Report]) -> Result<(), String> {
    let all: Vec<Value> = reports.iter().map(Report::json).collect();
    let text = json!({ "machine": machine(), "reports": all }).to_string();
    for (extension, content) in [("json", text), ("svg", picture(reports))] {
        let path = folder.join(format!("{subject}.{extension}"));
        std::fs::write(&path, content).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(())
}

/// A bar for each median, with a line at the minimum.
fn picture(reports: &[Report]) -> String {
    const LINE: usize = 22;
    let (mut body, mut y) = (String::new(), 0);
    for report in reports {
        y += LINE + 8;
        body +=
            &format!("<text x='8' y='{y}' font-weight='bold'>{} ({})</text>\n", escaped(&report.title), report.unit);
        let most = report.rows.iter().map(Row::median).fold(f64::MIN_POSITIVE, f64::max);
        for (index, row) in report.rows.iter().enumerate() {
            y += LINE;
            let width = |value: f64| value / most * 420.0;
            let (top, median) = (y - 14, row.median());
            let least = 130.0 + width(row.sorted().first().copied().unwrap_or_default());
            let colour = if index == 0 { "#2a7" } else { "#89a" };
            body += &format!("<text x='8' y='{y}'>{}</text>", escaped(&row.name));
            body += &format!("<rect x='130' y='{top}' width='{:.1}' height='18' fill='{colour}'/>", width(median));
            body += &format!("<rect x='{least:.1}' y='{top}' width='1.5' height='18' fill='#000'/>");
            body += &format!("<text x='{:.1}' y='{y}'>{median:.2}</text>\n", 136.0 + width(median));
        }
        for stand in report.stands() {
            y += LINE;
            let colour = if stand.word() == "met" { "#063" } else { "#a20" };
            body += &format!("<text x='130' y='{y}' fill='{colour}'>{}</text>\n", escaped(&stand.to_string()));
        }
    }
    let height = y + LINE;
    format!(
        "<svg xmlns='http://www.w3.org/2000/svg' width='640' height='{height}' font-family='sans-serif' font-size='13'>\n\
         <rect width='640' height='{height}' fill='#fff'/>\n{body}</svg>\n"
    )
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

/// The machine's processors and kernel, and how busy it is.
pub(super) fn machine() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let processors = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let load = read("/proc/loadavg");
    let load = load.split(' ').next().unwrap_or_default();
    let model = read("/proc/cpuinfo");
    let model = model.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    let kernel = read("/proc/sys/kernel/osrelease");
    format!("{processors} processors ({}), Linux {}, load {load}", model.trim_matches([' ', '\t', ':']), kernel.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_taken_round_by_round() {
        let ours = Row::new("ours", vec![1.0, 2.0, 3.0]);
        let theirs = Row::new("<theirs>", vec![2.0, 4.0, 12.0]);
        assert_eq!(theirs.ratios(&ours), [0.5, 0.5, 0.5]);
        assert_eq!((ours.median(), quantile(&[], 0.5)), (2.0, 0.0));
        let report = Report {
            title: "work".to_owned(),
            unit: "ms",
            rows: vec![ours, theirs],
            goals: Vec::new(),
            invalid: CALLS,
        };
        assert!(report.to_string().contains("ours / <theirs> = 0.50"));
        assert_eq!(report.json()["rows"][1]["min"], 2.0);
        assert!(report.to_string().contains("invalid if a call fails") && report.doubts().is_empty());
        assert!(picture(&[report]).contains("&lt;theirs>"));
    }

    #[test]
    fn goals_are_met_or_not_or_were_not_measured() {
        let row = |name, value| Row::new(name, vec![value]);
        let goals = [
            (Against::Best, 0.25),
            (Against::Best, 0.24),
            (Against::Row(FLOOR), 2.0),
            (Against::Row("podman"), 0.1),
            (Against::Nothing, 1.5),
        ];
        let goals = goals.map(|(against, most)| Goal::of(against, most)).to_vec();
        let rows = vec![row("stake", 1.0), row(FLOOR, 0.5), row("runc", 9.0), row("crun", 4.0)];
        let report = Report { title: "work".to_owned(), unit: "ms", rows, goals, invalid: CALLS };
        let words: Vec<_> = report.stands().iter().map(Stand::word).collect();
        assert_eq!(words, ["met", "not met", "met", "not measured", "met"]);
        let text = report.to_string();
        assert!(text.contains("goal: stake / crun 0.25, at most 0.24: not met"), "{text}");
        assert!(text.contains("goal: stake / podman -, at most 0.1: not measured"), "{text}");
        assert_eq!(report.json()["goals"][3]["found"], Value::Null);
        assert!(picture(&[report]).contains("stake / floor 2.00, at most 2: met"));
    }
}
