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

/// One work, ours first.
pub(super) struct Report {
    pub(super) title: String,
    pub(super) unit: &'static str,
    pub(super) rows: Vec<Row>,
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
        Ok(())
    }
}

impl Report {
    fn json(&self) -> Value {
        let rows = self.rows.iter().map(|row| {
            let [low, ratio, high] = self.rows.first().map_or([0.0; 3], |first| row.ratios(first));
            json!({
                "name": row.name, "median": row.median(), "min": row.sorted().first(), "values": row.values,
                "ratioOfFirst": { "lowerQuartile": low, "median": ratio, "upperQuartile": high },
            })
        });
        json!({ "title": self.title, "unit": self.unit, "rows": rows.collect::<Vec<_>>() })
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
        let report = Report { title: "work".to_owned(), unit: "ms", rows: vec![ours, theirs] };
        assert!(report.to_string().contains("ours / <theirs> = 0.50"));
        assert_eq!(report.json()["rows"][1]["min"], 2.0);
        assert!(picture(&[report]).contains("&lt;theirs>"));
    }
}
