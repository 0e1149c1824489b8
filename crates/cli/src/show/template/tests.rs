//! What Docker's users write, and what is refused.

use super::*;
use serde_json::json;

fn fill(template: &str) -> Result<String, TemplateError> {
    let fields = json!({
        "Id": "abc", "State": { "Running": true, "Pid": 7 }, "Args": ["x", "y"], "Labels": { "a.b": "1" }, "None": null,
    });
    let methods = BTreeMap::from([("Label", json!({ "a.b": "1" }))]);
    Template::parse(template)?.fill(&Filling { fields, methods })
}

#[test]
fn what_dockers_users_write() {
    for (template, expected) in [
        ("plain", "plain"),
        ("{{.Id}}", "abc"),
        ("{{ .ID }}\\t{{.State.Pid}}", "abc\t7"),
        ("{{.State}}", "map[Pid:7 Running:true]"),
        ("{{.Args}}", "[x y]"),
        ("{{.None}}", "<no value>"),
        ("{{json .Args}}", "[\"x\",\"y\"]"),
        ("{{.State.Running | json}}", "true"),
        ("{{len .Args}}", "2"),
        ("{{upper .Id}}{{.Id | upper | lower}}", "ABCabc"),
        ("{{index .Labels \"a.b\"}}", "1"),
        ("{{index .Labels `none`}}", ""),
        ("{{index .Args 1}}", "y"),
        ("{{.Label \"a.b\"}}", "1"),
        ("{{.Label \"none\"}}", ""),
        ("}}", "}}"),
    ] {
        assert_eq!(fill(template).as_deref(), Ok(expected), "{template}");
    }
    assert!(fill("{{json .}}").unwrap().starts_with("{\"Args\""));
}

#[test]
fn the_rest_of_gos_language_is_refused() {
    assert_eq!(fill("{{.Id"), Err(TemplateError::Unclosed));
    for template in [
        "{{}}",
        "{{range .Args}}x{{end}}",
        "{{if .Id}}x{{end}}",
        "{{- .Id}}",
        "{{Id}}",
        "{{.Id}}{{.}}{{..}}",
        "{{\"text\"}}",
        "{{index .Args 9}}",
        "{{len .State.Running}}",
        "{{json .Id \"x\"}}",
        "{{.Id | .State}}",
        "{{index .Id \"open}}",
    ] {
        assert!(matches!(fill(template), Err(TemplateError::Unsupported(_))), "{template}: {:?}", fill(template));
    }
    let error = fill("{{.Nope}}").unwrap_err().to_string();
    assert!(error.contains(".Nope") && error.contains("Args, Id, Labels"), "{error}");
    assert!(matches!(fill("{{.State.Nope}}"), Err(TemplateError::NoField { .. })));
}
