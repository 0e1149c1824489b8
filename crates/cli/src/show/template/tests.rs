//! What Docker's users write, what is refused, and that nothing is done without a bound.

use super::*;
use proptest::prelude::*;
use serde_json::json;

fn fill(template: &str) -> Result<String, TemplateError> {
    let fields = json!({
        "Id": "abc", "State": { "Running": true, "Pid": 7 }, "Args": ["x", "y"], "Labels": { "a.b": "1" }, "None": null,
        "Ports": { "80/tcp": [{ "HostPort": "8080" }], "90/udp": null }, "Empty": [], "Size": 1536, "Name": "/web one",
        "Mounts": [{ "Type": "bind", "Source": "/a" }, { "Type": "volume", "Source": "/b" }],
    });
    let methods = BTreeMap::from([("Label", json!({ "a.b": "1" }))]);
    Template::parse(template)?.fill(&Filling { fields, methods })
}

fn all_are(cases: &[(&str, &str)]) {
    for (template, expected) in cases {
        assert_eq!(fill(template).as_deref(), Ok(*expected), "{template}");
    }
}

#[test]
fn fields_and_functions() {
    all_are(&[
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
        ("{{title \"a word-pair\"}}", "A Word-Pair"),
        ("{{index .Labels \"a.b\"}}", "1"),
        ("{{index .Labels `none`}}", ""),
        ("{{index .Args 1}}", "y"),
        ("{{.Label \"a.b\"}}", "1"),
        ("{{$.Label \"none\"}}", ""),
        ("}}", "}}"),
        ("{{join .Args \", \"}}", "x, y"),
        ("{{join .None \",\"}}", ""),
        ("{{index (split .Name \" \") 1}}", "one"),
        ("{{slice .Name 1}}{{slice .Id 0 2}}{{slice .Args 1}}", "web oneab[y]"),
        ("{{pad .Id 1 2}}|{{truncate .Id 2}}", " abc  |ab"),
        ("{{print .Id 1 2 `x`}}{{println .Size}}", "abc1 2x1536\n"),
        (
            "{{printf \"%s-%5d|%-4s|%04d|%q|%.1f|%v|%t|%x|%%\" .Id 7 `a` 7 `b` 1.25 .Args true 255}}",
            "abc-    7|a   |0007|\"b\"|1.2|[x y]|true|ff|%",
        ),
        ("{{\"}}\"}}{{`\\n`}}{{\"\\u00e4\\\"\"}}", "}}\\nä\""),
    ]);
    assert!(fill("{{json .}}").unwrap().starts_with("{\"Args\""));
}

#[test]
fn blocks() {
    all_are(&[
        ("{{range .Args}}<{{.}}>{{end}}", "<x><y>"),
        ("{{range $i, $v := .Args}}{{$i}}={{$v}} {{end}}", "0=x 1=y "),
        ("{{range .Empty}}x{{else}}none{{end}}", "none"),
        ("{{range .Mounts}}{{.Type}}:{{.Source}} {{$.Id}}\\n{{end}}", "bind:/a abc\nvolume:/b abc\n"),
        (
            "{{range $p, $c := .Ports}}{{$p}} {{if $c}}{{(index $c 0).HostPort}}{{else}}-{{end}};{{end}}",
            "80/tcp 8080;90/udp -;",
        ),
        ("{{if .State.Running}}up{{else}}down{{end}}", "up"),
        ("{{if .None}}a{{else if eq .Id \"abc\"}}b{{else}}c{{end}}", "b"),
        ("{{if .State.Health}}{{.State.Health.Status}}{{else}}none{{end}}", "none"),
        ("{{with .State}}{{.Pid}}{{end}}{{with .None}}x{{else}}y{{end}}", "7y"),
        ("{{with $x := .State.Pid}}{{$x}}{{end}}", "7"),
        ("{{range .Args}}{{if eq . \"y\"}}{{break}}{{end}}{{.}}{{end}}", "x"),
        ("{{range .Args}}{{if eq . \"x\"}}{{continue}}{{end}}{{.}}{{end}}", "y"),
        ("{{$n := 1}}{{range .Args}}{{$n = 2}}{{end}}{{$n}}", "2"),
        ("{{range 3}}{{.}}{{end}}", "012"),
    ]);
}

#[test]
fn truth_and_order() {
    all_are(&[
        ("{{and .Id 1}}{{or .None \"\" `z`}}{{not .Empty}}", "1ztrue"),
        (
            "{{eq .Id `x` `abc`}} {{ne 1 2}} {{lt 1 2}} {{le 2 2}} {{gt `b` `a`}} {{ge 1 2}}",
            "true true true true true false",
        ),
        ("{{.Size | gt 2000}}", "true"),
        ("{{if and .State.Running (gt .Size 1000)}}big{{end}}", "big"),
        ("{{eq .None nil}}", "true"),
        // The second is not looked at.
        ("{{or .Id (len 1)}}{{if or .Id .Nope}}1{{end}}", "abc1"),
    ]);
}

#[test]
fn white_space_and_comments() {
    all_are(&[
        ("a \n{{- .Id -}} \n b", "aabcb"),
        ("a {{/* a comment }} */}} b", "a  b"),
        ("a {{- /* a comment */ -}} b", "ab"),
        ("{{ 3 -}} x", "3x"),
        ("{{-3}}", "-3"),
    ]);
}

#[test]
fn what_is_refused_is_said() {
    for template in ["{{.Id", "{{/* x }}", "{{\"x}}", "{{`x}}", "{{if .Id}}x", "{{range .Args}}", "{{(len .Id}}"] {
        assert!(matches!(fill(template), Err(TemplateError::Unclosed(_))), "{template}: {:?}", fill(template));
    }
    for (template, said) in [
        ("{{}}", "stands where a field"),
        ("{{end}}", "end"),
        ("{{else}}", "else"),
        ("{{if .Id}}{{else}}{{else}}{{end}}", "else"),
        ("{{if}}x{{end}}", "stands where"),
        ("{{.Id | (}}", "stands where"),
        ("{{Id}}", "no function \"Id\"; there are and, eq"),
        ("{{define \"x\"}}{{end}}", "{{define}} is not supported"),
        ("{{template \"x\"}}", "{{template}} is not supported"),
        ("{{break}}", "{{break}} is not supported"),
        ("{{.Id}}{{..}}", ".."),
        ("{{.Id)}}", "\")\" stands"),
        ("{{$x}}", "$x is not declared"),
        ("{{range .Args}}{{$y := .}}{{end}}{{$y}}", "$y is not declared"),
        ("{{index .Args 9}}", "index"),
        ("{{len .State.Running}}", "len"),
        ("{{json .Id \"x\"}}", "json"),
        ("{{.Id | .State}}", "takes no arguments"),
        ("{{\"text\" .Id}}", "takes no arguments"),
        ("{{.Id \"x\"}}", ".Id"),
        ("{{range .Id}}{{end}}", "range"),
        ("{{eq .Args .Args}}", "eq"),
        ("{{lt 1 `a`}}", "lt"),
        ("{{slice .Id 2 9}}", "slice"),
        ("{{printf \"%d\" .Id}}", "%d of abc"),
        ("{{printf \"%s\"}}", "no value"),
        ("{{printf \"x\" 1}}", "more values"),
        ("{{printf \"%999999999d\" 1}}", "widest"),
        ("{{pad .Id 999999999 1}}", "pad"),
        ("{{\"\\xzz\"}}", "escape"),
        ("{{.Nope}}", "there is no field .Nope; there are Args, Empty"),
        ("{{.State.Nope}}", ".State.Nope"),
    ] {
        let error = fill(template).expect_err(template).to_string();
        assert!(error.contains(said), "{template}: {error}");
    }
}

#[test]
fn nothing_is_without_a_bound() {
    let nested = |open: &str, close: &str, times: usize| format!("{}{}", open.repeat(times), close.repeat(times));
    for template in [
        nested("{{if .Id}}", "{{end}}", 100_000),
        format!("{{{{{}{}}}}}", nested("(", "", 100_000), ".Id"),
        "{{if .None}}{{else if .None}}".repeat(1000),
        nested("{{range 1000}}", "{{end}}", 9),
        format!("{{{{$x := .Name}}}}{}", "{{$x = print $x $x}}".repeat(60)),
        "{{range 1000000000}}x{{end}}".to_owned(),
    ] {
        assert!(fill(&template).is_err(), "{}", &template[..40]);
    }
}

proptest! {
    #[test]
    fn no_template_does_harm(template in "(\\{\\{|\\}\\}|-|\"|`|\\$|\\.|\\(|\\)|\\||:=|,| |if|range|with|end|else|\\.Id|\\.Args|len|index|printf|\"%s\"|1|x){0,24}") {
        // Whatever it says, it says it, and the heads as well.
        if let Ok(read) = Template::parse(&template) {
            drop(read.fill(&Filling::of(json!({ "Id": "abc", "Args": ["x"] }))));
            drop(read.heads(&json!({ "Id": "ID" })));
        }
    }

    #[test]
    fn text_without_actions_stays(text in "[^{\\\\]{0,40}") {
        prop_assert_eq!(fill(&text), Ok(text));
    }
}
