//! Reports as one HTML file that needs nothing else: no script, no other file, no network.
//!
//! Names of containers, programs, mounts and variables are a stranger's text. All text goes through [`escaped`], none becomes an
//! attribute's name or part of a style, and the page's own policy (`Content-Security-Policy`) lets the browser load and run nothing.

use crate::audit::Report;
use crate::exposure::{self, Exposure};
use crate::finding::{Check, Finding, Verdict};

/// What a browser may do with the page: show its own style, and nothing else.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; form-action 'none'; base-uri 'none'";

const STYLE: &str = "\
:root{color-scheme:light dark}\
body{font:15px/1.5 system-ui,sans-serif;max-width:62rem;margin:2rem auto;padding:0 1rem}\
h1{font-size:1.5rem}h2{font-size:1.2rem;margin:2.5rem 0 .3rem;border-top:1px solid #8888;padding-top:1rem}\
h3{font-size:1rem;margin:1rem 0 .3rem}table{border-collapse:collapse;width:100%}\
th,td{text-align:left;vertical-align:top;padding:.2rem .6rem .2rem 0;border-bottom:1px solid #8884;overflow-wrap:anywhere}\
.grade{display:inline-block;min-width:1.6em;text-align:center;border-radius:.3em;color:#fff;font-weight:bold}\
.A,.B{background:#1a7f37}.C{background:#6b6100}.D{background:#a04100}.E,.F{background:#b3261e}\
svg{width:100%;max-width:44rem;height:auto}svg text{font:11px system-ui,sans-serif}\
.holds rect{fill:#8a5a44;stroke:#5d3a2b}.holds text{fill:#fff}\
.not-asked rect{fill:none;stroke:#888;stroke-dasharray:4 3}.not-asked text{fill:#888}\
.cannot-be-checked rect{fill:#8883;stroke:#888}.cannot-be-checked text{fill:currentColor}\
.weaker-than-asked rect{fill:#b3261e;stroke:#fff;stroke-width:2}.weaker-than-asked text{fill:#fff;font-weight:bold}\
.bad{color:#b3261e;font-weight:bold}";

/// The page of `reports`, made by this program in `version`. Who is weaker than asked comes first, then who exposes most.
#[must_use]
pub fn page(reports: &[Report], version: &str) -> String {
    let mut ordered: Vec<&Report> = reports.iter().collect();
    ordered.sort_by_key(|report| {
        let weaker = with_verdict(report, Verdict::WeakerThanAsked).len();
        (std::cmp::Reverse((weaker, report.grade.points)), report.name.clone())
    });
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">\n\
         <meta name=\"referrer\" content=\"no-referrer\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>The walls of {} containers</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<h1>The walls of {} containers</h1>\n\
         <p>Read back from the kernel by stockade {}.</p>\n",
        reports.len(),
        reports.len(),
        escaped(version)
    );
    page.push_str(&overview(&ordered));
    for (number, report) in ordered.iter().enumerate() {
        page.push_str(&section(number, report));
    }
    page.push_str("</body>\n</html>\n");
    page
}

/// A line for each container.
fn overview(reports: &[&Report]) -> String {
    let mut text =
        "<table>\n<tr><th>Container</th><th>Exposure</th><th>Weaker than asked</th><th>Most of it</th></tr>\n"
            .to_owned();
    for (number, report) in reports.iter().enumerate() {
        let weaker = match with_verdict(report, Verdict::WeakerThanAsked).len() {
            0 => "nothing".to_owned(),
            many => format!("<span class=\"bad\">{many}</span>"),
        };
        let most = escaped(&report.grade.heaviest.join(", "));
        let name = escaped(&report.name);
        put(
            &mut text,
            format_args!(
                "<tr><td><a href=\"#c{number}\">{name}</a></td><td>{} {}</td><td>{weaker}</td><td>{most}</td></tr>\n",
                badge(report),
                report.grade.points
            ),
        );
    }
    text + "</table>\n"
}

/// The letter. A saved report's may be any text.
fn badge(report: &Report) -> String {
    let known = ["A", "B", "C", "D", "E", "F"].into_iter().find(|letter| *letter == report.grade.letter);
    format!("<span class=\"grade {}\">{}</span>", known.unwrap_or("F"), escaped(&report.grade.letter))
}

/// One container: its wall as a picture, what is weak first, and everything below.
fn section(number: usize, report: &Report) -> String {
    let asked = report.asked_by.as_deref().unwrap_or("nobody knows what");
    let mut text = format!(
        "<h2 id=\"c{number}\">{} {}</h2>\n<p>{} points: {}. Process {} ({}), asked for by {}.</p>\n",
        badge(report),
        escaped(&report.name),
        report.grade.points,
        escaped(&report.grade.meaning),
        report.pid,
        escaped(&report.command),
        escaped(asked)
    );
    text.push_str(&wall(report));
    text.push_str(&weaker(report));
    text.push_str(&exposures(report));
    text.push_str(&list("Cannot be checked", &with_verdict(report, Verdict::CannotBeChecked)));
    let holding = list("", &with_verdict(report, Verdict::Holds));
    if !holding.is_empty() {
        put(&mut text, format_args!("<details><summary>What holds</summary>\n{holding}</details>\n"));
    }
    text
}

/// How many bricks a row has, and how large one is with its mortar.
const ROW: usize = 6;
const BRICK: (usize, usize) = (112, 34);

/// The wall: a brick for each check, in the order of the checks.
fn wall(report: &Report) -> String {
    let (wide, high) = BRICK;
    let rows = report.checks.len().div_ceil(ROW);
    let mut text = format!(
        "<svg viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"a brick for each wall\">\n",
        wide * ROW + wide / 2,
        high * rows + 2
    );
    for (place, check) in report.checks.iter().enumerate() {
        let (row, column) = (place / ROW, place % ROW);
        let (x, y) = (column * wide + row % 2 * (wide / 2) + 2, row * high + 2);
        put(
            &mut text,
            format_args!(
                "<g class=\"{}\"><title>{}: {}</title><rect x=\"{x}\" y=\"{y}\" width=\"{}\" height=\"{}\" rx=\"3\"/>\
                 <text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{}</text></g>\n",
                class(check.verdict),
                escaped(&check.title),
                check.verdict.text(),
                wide - 4,
                high - 4,
                x + wide / 2 - 2,
                y + high / 2 + 2,
                escaped(&check.id)
            ),
        );
    }
    text + "</svg>\n"
}

/// The style of a verdict.
const fn class(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Holds => "holds",
        Verdict::NotAsked => "not-asked",
        Verdict::CannotBeChecked => "cannot-be-checked",
        Verdict::WeakerThanAsked => "weaker-than-asked",
    }
}

type Found<'a> = Vec<(&'a Check, &'a Finding)>;

fn with_verdict(report: &Report, verdict: Verdict) -> Found<'_> {
    let all = report.checks.iter().flat_map(|check| check.findings.iter().map(move |finding| (check, finding)));
    all.filter(|(_, finding)| finding.verdict == verdict).collect()
}

fn weaker(report: &Report) -> String {
    let found = with_verdict(report, Verdict::WeakerThanAsked);
    if found.is_empty() {
        return "<p>Nothing is weaker than it was asked for.</p>\n".to_owned();
    }
    list("Weaker than asked", &found)
}

/// What could be stronger although nobody asked for it: the heaviest first, each with the reason for its weight.
fn exposures(report: &Report) -> String {
    let mut found: Vec<(&Exposure, String)> = Vec::new();
    for check in &report.checks {
        for finding in check.findings.iter().filter(|finding| finding.verdict != Verdict::WeakerThanAsked) {
            for exposed in finding.exposes.iter().filter_map(|id| exposure::by_id(id)) {
                let place = format!("{}: {}", check.id, finding.part);
                match found.iter_mut().find(|(other, _)| *other == exposed) {
                    Some((_, places)) => put(places, format_args!(", {place}")),
                    None => found.push((exposed, place)),
                }
            }
        }
    }
    if found.is_empty() {
        return String::new();
    }
    found.sort_by_key(|(exposed, _)| (std::cmp::Reverse(exposed.points), exposed.id));
    let mut text = "<h3>Weaker than it could be</h3>\n<table>\n\
         <tr><th>Exposed</th><th>Points</th><th>Because</th><th>Where</th></tr>\n"
        .to_owned();
    for (exposed, places) in found {
        let Exposure { id, points, reason } = exposed;
        let (reason, places) = (escaped(reason), escaped(&places));
        put(&mut text, format_args!("<tr><td>{id}</td><td>{points}</td><td>{reason}</td><td>{places}</td></tr>\n"));
    }
    text + "</table>\n"
}

/// Findings as a table; empty if there are none.
fn list(title: &str, found: &Found<'_>) -> String {
    if found.is_empty() {
        return String::new();
    }
    let mut text = if title.is_empty() { String::new() } else { format!("<h3>{title}</h3>\n") };
    text.push_str("<table>\n<tr><th>Wall</th><th>Asked for</th><th>In force</th><th>Remark</th></tr>\n");
    let told = |value: &Option<String>| value.as_deref().map_or_else(|| "-".to_owned(), escaped);
    for (check, finding) in found {
        put(
            &mut text,
            format_args!(
                "<tr><td>{}: {}</td><td>{}</td><td>{}</td><td>{}</td></tr>\n",
                escaped(&check.id),
                escaped(&finding.part),
                told(&finding.asked),
                told(&finding.in_force),
                told(&finding.why)
            ),
        );
    }
    text + "</table>\n"
}

/// Appends.
fn put(text: &mut String, more: std::fmt::Arguments<'_>) {
    text.push_str(&more.to_string());
}

/// Text that is nothing but text, wherever in the page it stands. Signs that show text in another order than it is in are replaced
/// as control characters are.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for sign in text.chars() {
        match sign {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '`' => out.push_str("&#96;"),
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}' => out.push('\u{fffd}'),
            sign if sign.is_control() => out.push('\u{fffd}'),
            sign => out.push(sign),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grade::Grade;

    const ATTACK: &str = "</title><script>alert(1)</script><img src=x onerror='a' title=\"`\u{202e}\n&";

    /// A report of which every text is an attack.
    fn hostile(name: &str, verdict: Verdict) -> Report {
        let text = || Some(ATTACK.to_owned());
        let exposes = vec![ATTACK.to_owned(), "host-network".to_owned()];
        let finding =
            Finding { part: ATTACK.to_owned(), asked: text(), in_force: text(), verdict, why: text(), exposes };
        let check =
            Check { number: 1, id: ATTACK.to_owned(), title: ATTACK.to_owned(), verdict, findings: vec![finding] };
        Report {
            version: 1,
            name: name.to_owned(),
            id: text(),
            pid: 1,
            command: ATTACK.to_owned(),
            asked_by: text(),
            verdict,
            grade: Grade {
                letter: ATTACK.to_owned(),
                points: 7,
                meaning: ATTACK.to_owned(),
                heaviest: vec![ATTACK.to_owned()],
            },
            checks: vec![check],
        }
    }

    /// The names of all elements, and of their attributes.
    fn markup(page: &str) -> Vec<String> {
        let mut found = Vec::new();
        for tag in page.split('<').skip(1) {
            let (tag, _) = tag.split_once('>').unwrap();
            let mut outside = true;
            let mut plain = String::new();
            for sign in tag.chars() {
                if sign == '"' {
                    outside = !outside;
                } else if outside {
                    plain.push(sign);
                }
            }
            assert!(outside, "{tag}");
            found.extend(plain.split_whitespace().map(|word| word.trim_end_matches(['=', '/']).to_owned()));
        }
        found.sort();
        found.dedup();
        found
    }

    #[test]
    fn no_text_of_a_report_becomes_markup() {
        let verdicts = [Verdict::Holds, Verdict::NotAsked, Verdict::CannotBeChecked, Verdict::WeakerThanAsked];
        let reports: Vec<Report> = verdicts.iter().map(|verdict| hostile(ATTACK, *verdict)).collect();
        let page = page(&reports, ATTACK);
        let harmless: Vec<Report> = verdicts
            .iter()
            .map(|verdict| {
                let mut report = hostile("x", *verdict);
                let plain =
                    serde_json::to_string(&report).unwrap().replace(&serde_json::to_string(ATTACK).unwrap(), "\"x\"");
                report = serde_json::from_str(&plain).unwrap();
                report
            })
            .collect();
        assert_eq!(markup(&page), markup(&super::page(&harmless, "1")));
        for forbidden in ["<script", "<img", "\u{202e}", "http:", "https:", "url(", "javascript:", "<link"] {
            assert!(!page.contains(forbidden), "{forbidden}");
        }
        assert!(page.contains("&lt;script&gt;") && !page.contains("title=\"`"), "{page}");
    }

    #[test]
    fn who_is_weaker_than_asked_comes_first_and_then_who_exposes_most() {
        let mut heavy = hostile("heavy", Verdict::NotAsked);
        heavy.grade.points = 90;
        let all = [hostile("quiet", Verdict::Holds), heavy, hostile("broken", Verdict::WeakerThanAsked)];
        let page = page(&all, "1");
        let place = |name: &str| page.find(&format!("</span> {name}</h2>")).unwrap();
        assert!(place("broken") < place("heavy") && place("heavy") < place("quiet"));
        let weaker = page.find("<h3>Weaker than asked</h3>").unwrap();
        assert!(weaker < page.find("<summary>").unwrap());
    }

    #[test]
    fn the_policy_lets_nothing_be_loaded() {
        let page = page(&[], "1");
        let head = page.find("Content-Security-Policy").unwrap();
        assert!(head < page.find("<title>").unwrap() && page.contains("default-src 'none'"));
    }
}
