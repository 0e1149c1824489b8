//! The parts of the heart that can be measured alone: the compiler of filters, and the planner.

use std::process::Command;

use super::contender::{Place, succeed};
use super::report::{Report, Row};

/// Compiling the bundle's filter, and finding it in the cache.
pub(super) fn seccomp(place: &Place, rounds: usize) -> Result<Report, String> {
    let section = place.path("section.json");
    let (section, cache) = (section.display().to_string(), place.path("cache").display().to_string());
    let rows = vec![
        row("compiled", place, &["compile", &section], rounds)?,
        row("from the cache", place, &["cached", &section, &cache], rounds)?,
    ];
    Ok(Report {
        title: "the default seccomp profile for all architectures of this machine".to_owned(),
        unit: "us",
        rows,
    })
}

/// From `config.json` to a plan.
pub(super) fn plan(place: &Place, rounds: usize) -> Result<Report, String> {
    let config = place.path("true/config.json").display().to_string();
    let rows = vec![row("planned", place, &["plan", &config], rounds)?];
    Ok(Report { title: "from config.json to a plan".to_owned(), unit: "us", rows })
}

/// One value for each process, its median.
fn row(name: &str, place: &Place, words: &[&str], rounds: usize) -> Result<Row, String> {
    let one = |_| {
        let said = succeed("measure", Command::new(place.program("measure")).args(words).arg("20"))?;
        let median = said.split_whitespace().skip_while(|word| *word != "median").nth(1);
        let median: f64 = median.and_then(|word| word.parse().ok()).ok_or(format!("measure said {said:?}"))?;
        Ok(median / 1000.0)
    };
    Ok(Row::new(name, (0..rounds).map(one).collect::<Result<_, String>>()?))
}
