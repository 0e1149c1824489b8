//! libseccomp as a peer of the compiler of filters: `bench/peers/libseccomp.c`, where this machine has a C compiler and the library.

use std::fmt::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::Value;

use super::contender::{Place, succeed};

/// The architectures that libseccomp's names are known of, by OCI's.
const ARCHITECTURES: [(&str, &str); 3] =
    [("SCMP_ARCH_X86_64", "x86_64"), ("SCMP_ARCH_X86", "x86"), ("SCMP_ARCH_X32", "x32")];

/// `enum scmp_compare`, by OCI's names.
const OPERATORS: [(&str, u32); 7] = [
    ("SCMP_CMP_NE", 1),
    ("SCMP_CMP_LT", 2),
    ("SCMP_CMP_LE", 3),
    ("SCMP_CMP_EQ", 4),
    ("SCMP_CMP_GE", 5),
    ("SCMP_CMP_GT", 6),
    ("SCMP_CMP_MASKED_EQ", 7),
];

/// The built program with the rules that it is given.
pub(super) struct Peer {
    program: PathBuf,
    rules: String,
}

/// For which architectures a filter is.
#[derive(Clone, Copy)]
pub(super) enum Reach {
    /// All that the section names.
    All,
    /// The machine's own.
    Native,
}

impl Peer {
    /// Builds it.
    ///
    /// # Errors
    /// Why this machine has no such peer, or what in the section this bench does not know.
    pub(super) fn build(place: &Place, section: &Value) -> Result<Self, String> {
        let program = place.path("libseccomp");
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/../bench/peers/libseccomp.c");
        let mut compiler = Command::new("cc");
        succeed("cc", compiler.args(["-O2", "-o"]).arg(&program).args([source, "-lseccomp"]))?;
        Ok(Self { program, rules: rules(section)? })
    }

    /// Builds the filter so often, as its `TIMES` says, and writes it to `file`; what it prints.
    pub(super) fn run(&self, reach: Reach, times: &str, file: &str) -> Result<String, String> {
        let fail = |error: std::io::Error| format!("libseccomp: {error}");
        let mut command = Command::new(&self.program);
        command.args([times, file]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut child = command.spawn().map_err(fail)?;
        let lines = self.rules.lines().filter(|line| matches!(reach, Reach::All) || !line.starts_with("arch "));
        let text: String = lines.flat_map(|line| [line, "\n"]).collect();
        let mut input = child.stdin.take().ok_or("libseccomp has no standard input")?;
        std::io::Write::write_all(&mut input, text.as_bytes()).map_err(fail)?;
        drop(input);
        let output = child.wait_with_output().map_err(fail)?;
        match output.status.success() {
            true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
            false => Err(format!("libseccomp: {}", output.status)),
        }
    }
}

/// The section as lines.
fn rules(section: &Value) -> Result<String, String> {
    let unknown = |what: &Value| format!("the peer for libseccomp does not know {what}");
    let action = |action: &Value, errno: &Value| match action.as_str() {
        Some("SCMP_ACT_ALLOW") => Ok(0x7fff_0000),
        Some("SCMP_ACT_ERRNO") => Ok(0x0005_0000 | errno.as_u64().unwrap_or(1)),
        _ => Err(unknown(action)),
    };
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let mut text = String::new();
    let mut line = |line: String| writeln!(text, "{line}").map_err(|error| error.to_string());
    line(format!("default {}", action(&section["defaultAction"], &section["defaultErrnoRet"])?))?;
    for name in list(&section["architectures"]) {
        let known = ARCHITECTURES.iter().find(|(oci, _)| Some(*oci) == name.as_str());
        line(format!("arch {}", known.ok_or_else(|| unknown(&name))?.1))?;
    }
    for rule in list(&section["syscalls"]) {
        let mut arguments = String::new();
        for argument in list(&rule["args"]) {
            let operator = OPERATORS.iter().find(|(name, _)| Some(*name) == argument["op"].as_str());
            let (_, operator) = operator.ok_or_else(|| unknown(&argument))?;
            let number = |key: &str| argument[key].as_u64().unwrap_or_default();
            let values = (number("index"), number("value"), number("valueTwo"));
            write!(arguments, " {} {operator} {} {}", values.0, values.1, values.2)
                .map_err(|error| error.to_string())?;
        }
        for name in list(&rule["names"]) {
            let name = name.as_str().ok_or_else(|| unknown(&name))?;
            line(format!("rule {} {name}{arguments}", action(&rule["action"], &rule["errnoRet"])?))?;
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_section_becomes_lines_and_what_is_not_known_is_refused() {
        let section = json!({
            "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 38, "architectures": ["SCMP_ARCH_X86"],
            "syscalls": [
                { "names": ["read", "write"], "action": "SCMP_ACT_ALLOW" },
                { "names": ["clone"], "action": "SCMP_ACT_ALLOW",
                  "args": [{ "index": 0, "value": 5, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ" }] }
            ]
        });
        let lines =
            "default 327718\narch x86\nrule 2147418112 read\nrule 2147418112 write\nrule 2147418112 clone 0 7 5 0\n";
        assert_eq!(rules(&section).unwrap(), lines);
        for (at, wrong) in [
            ("/defaultAction", "SCMP_ACT_TRAP"),
            ("/architectures/0", "SCMP_ARCH_PARISC"),
            ("/syscalls/0/action", "SCMP_ACT_LOG"),
            ("/syscalls/1/args/0/op", "SCMP_CMP_LIKE"),
        ] {
            let mut changed = section.clone();
            *changed.pointer_mut(at).unwrap() = wrong.into();
            assert!(rules(&changed).is_err(), "{at}");
        }
    }

    #[test]
    fn the_kits_section_is_known() {
        assert!(rules(&stockade_testkit::posture::seccomp()).unwrap().lines().count() > 300);
    }
}
