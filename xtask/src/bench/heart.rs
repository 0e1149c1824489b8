//! The parts of the heart that can be measured alone: the compiler of filters, and the planner.
//!
//! The filter of the bundle is held against what libseccomp makes of the same section, with its binary tree: in all architectures of
//! the machine, as engines ask for, and where a goal says so in the machine's own only.

use std::process::Command;

use stockade_testkit::posture;

use super::contender::{Place, succeed};
use super::libseccomp::{Peer, Reach};
use super::report::{Against, CALLS, Goal, Report, Row};

/// The peer's name in the reports.
const PEER: &str = "libseccomp";
/// The same for the machine's own architecture only.
const NATIVE: &str = "libseccomp, one";

/// How often a process does what is measured; its median counts.
const TIMES: &str = "20";

/// What would make a result about filters none.
const FILTERS: &str = "a filter lets umount2 through or personality not (both are called under it), or has an instruction that is not known";

/// The filters that are compared.
struct Filters<'a> {
    place: &'a Place,
    rounds: usize,
    /// `None` where this machine has no libseccomp to build with.
    peer: Option<Peer>,
}

/// Compiling the bundle's filter, finding it in the cache, and what it is like.
pub(super) fn seccomp(place: &Place, rounds: usize) -> Result<Vec<Report>, String> {
    let peer = match Peer::build(place, &posture::seccomp()) {
        Ok(peer) => Some(peer),
        Err(reason) => {
            println!("left out: {reason}");
            None
        }
    };
    let filters = Filters { place, rounds, peer };
    let mut reports = vec![filters.compiled()?, filters.cached()?];
    reports.extend(filters.shape()?);
    reports.push(filters.calls("loading the filter", "us", &["load"], Against::Row(NATIVE))?);
    for (title, which) in
        [("a call of personality(2), whose argument is checked", "checked"), ("a denied call, umount2(2)", "denied")]
    {
        reports.push(filters.calls(title, "ns", &["call", which], Against::Row(PEER))?);
    }
    Ok(reports)
}

impl Filters<'_> {
    fn section(&self) -> String {
        self.place.path("section.json").display().to_string()
    }

    /// The file with the filter of `name`.
    fn file(&self, name: &str) -> String {
        let name = match name {
            PEER => "filter-libseccomp",
            NATIVE => "filter-libseccomp-native",
            _ => "filter",
        };
        self.place.path(name).display().to_string()
    }

    fn compiled(&self) -> Result<Report, String> {
        let section = self.section();
        let (mut ours, mut all, mut native) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..self.rounds {
            ours.push(said(&measure(self.place, &["compile", &section, TIMES])?, "median", 1000.0)?);
            let Some(peer) = &self.peer else { continue };
            for (name, reach, took) in [(PEER, Reach::All, &mut all), (NATIVE, Reach::Native, &mut native)] {
                took.push(said(&peer.run(reach, TIMES, &self.file(name))?, "median", 1000.0)?);
            }
        }
        let mut rows = vec![Row::new("compiled", ours)];
        if self.peer.is_some() {
            rows.extend([Row::new(PEER, all), Row::new(NATIVE, native)]);
        }
        Ok(Report {
            title: "the default seccomp profile, compiled for all architectures of this machine".to_owned(),
            unit: "us",
            rows,
            goals: vec![Goal::of(Against::Nothing, 300.0), Goal::of(Against::Row(PEER), 0.1)],
            invalid: "the peer was not given all rules (one that it does not know ends the bench)",
        })
    }

    fn cached(&self) -> Result<Report, String> {
        let (section, cache) = (self.section(), self.place.path("cache").display().to_string());
        let one = |_| said(&measure(self.place, &["cached", &section, &cache, TIMES])?, "median", 1000.0);
        let values = (0..self.rounds).map(one).collect::<Result<_, String>>()?;
        Ok(Report {
            title: "the same from the cache".to_owned(),
            unit: "us",
            rows: vec![Row::new("from the cache", values)],
            goals: vec![Goal::of(Against::Nothing, 30.0)],
            invalid: "the cache has another filter than the compiler (compared before)",
        })
    }

    /// Ours, and those of the peer where there is one.
    fn names(&self) -> &'static [&'static str] {
        if self.peer.is_some() { &["stake", PEER, NATIVE] } else { &["stake"] }
    }

    /// What can be counted in the programs.
    fn shape(&self) -> Result<[Report; 2], String> {
        let (mut sizes, mut jumps) = (Vec::new(), Vec::new());
        for name in self.names() {
            let text = measure(self.place, &["path", &self.file(name)])?;
            sizes.push(Row::new(name, vec![said(&text, "instructions", 1.0)?]));
            jumps.push(Row::new(name, vec![said(&text, "jumps", 1.0)?]));
        }
        let size = Goal::of(Against::Row(PEER), 0.5);
        let report = |title: &str, rows, goal| Report {
            title: title.to_owned(),
            unit: "count",
            rows,
            goals: vec![goal],
            invalid: FILTERS,
        };
        Ok([
            report("instructions of that filter", sizes, size),
            report("jumps on the longest way of a call of this architecture", jumps, Goal::of(Against::Nothing, 16.0)),
        ])
    }

    /// What `measure` times for each of the filters, one after the other in every round.
    fn calls(&self, title: &str, unit: &'static str, words: &[&str], against: Against) -> Result<Report, String> {
        let mut rows: Vec<(&str, Vec<f64>)> = self.names().iter().map(|name| (*name, Vec::new())).collect();
        let part = if unit == "us" { 1000.0 } else { 1.0 };
        for _ in 0..self.rounds {
            for (name, values) in &mut rows {
                let file = self.file(name);
                let words = [&words[..1], &[&file], &words[1..], &[TIMES]].concat();
                values.push(said(&measure(self.place, &words)?, "median", part)?);
            }
        }
        let rows = rows.into_iter().map(|(name, values)| Row::new(name, values)).collect();
        Ok(Report { title: title.to_owned(), unit, rows, goals: vec![Goal::of(against, 1.0)], invalid: FILTERS })
    }
}

/// From `config.json` to a plan.
pub(super) fn plan(place: &Place, rounds: usize) -> Result<Report, String> {
    let config = place.path("true/config.json").display().to_string();
    let one = |_| said(&measure(place, &["plan", &config, TIMES])?, "median", 1000.0);
    let values = (0..rounds).map(one).collect::<Result<_, String>>()?;
    Ok(Report {
        title: "from config.json to a plan".to_owned(),
        unit: "us",
        rows: vec![Row::new("planned", values)],
        goals: vec![Goal::of(Against::Nothing, 500.0)],
        invalid: CALLS,
    })
}

fn measure(place: &Place, words: &[&str]) -> Result<String, String> {
    succeed("measure", Command::new(place.program("measure")).args(words))
}

/// The number that stands behind `word` in `text`, in parts of `part`.
fn said(text: &str, word: &str, part: f64) -> Result<f64, String> {
    let number = text.split_whitespace().skip_while(|here| *here != word).nth(1);
    let number: f64 = number.and_then(|number| number.parse().ok()).ok_or(format!("{word} is missing in {text:?}"))?;
    Ok(number / part)
}
