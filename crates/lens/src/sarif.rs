//! Reports as SARIF 2.1.0, which code hosts and scanners read.

use serde_json::{Value, json};

use crate::audit::Report;
use crate::finding::{Finding, Verdict};

/// The log of `reports`, made by this program in `version`. Findings that hold are left out.
#[must_use]
pub fn log(reports: &[Report], version: &str) -> Value {
    let rules: Vec<Value> = crate::checks()
        .map(|(number, id, title)| {
            json!({
                "id": id,
                "name": id,
                "shortDescription": { "text": title },
                "properties": { "number": number },
            })
        })
        .collect();
    let results: Vec<Value> = reports.iter().flat_map(results).collect();
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": { "name": "stockade audit", "version": version, "rules": rules } },
            "results": results,
        }],
    })
}

/// What does not hold in one report.
fn results(report: &Report) -> Vec<Value> {
    let findings = report.checks.iter().flat_map(|check| check.findings.iter().map(move |finding| (check, finding)));
    let told = findings.filter(|(_, finding)| finding.verdict != Verdict::Holds);
    told.map(|(check, finding)| {
        let (kind, level) = match finding.verdict {
            Verdict::WeakerThanAsked => ("fail", "error"),
            Verdict::CannotBeChecked => ("open", "none"),
            Verdict::NotAsked | Verdict::Holds => ("informational", "none"),
        };
        json!({
            "ruleId": check.id,
            "ruleIndex": check.number - 1,
            "kind": kind,
            "level": level,
            "message": { "text": message(finding) },
            "locations": [{ "logicalLocations": [{
                "name": report.name,
                "fullyQualifiedName": format!("{}/{}/{}", report.name, check.id, finding.part),
                "kind": "module",
            }] }],
            "properties": { "pid": report.pid, "exposes": finding.exposes },
        })
    })
    .collect()
}

fn message(finding: &Finding) -> String {
    let mut text = format!("{}: {}", finding.part, finding.verdict.text());
    for (word, value) in [("asked for", &finding.asked), ("in force", &finding.in_force), ("because", &finding.why)] {
        if let Some(value) = value {
            text.push_str(&format!("; {word}: {value}"));
        }
    }
    text
}
