//! What a source file must have and must not have.

use std::path::{Path, PathBuf};

/// The most lines that a file may have.
const LONGEST: usize = 600;

/// Tables that a program wrote and no one reads from top to bottom: no head, any length.
const GENERATED: &[&str] = &["crates/primitives/seccomp/tables/generated.rs"];

/// Where `unsafe` may be allowed, and why.
const UNSAFE: &[(&str, &str)] = &[
    ("crates/kernel/", "the crate that exists for it"),
    ("tests/inside/src/raw.rs", "the probe makes system calls that no library offers, on purpose"),
];

/// Text that must not stand in code, in two halves so that this file does not find itself, and why.
const FORBIDDEN: &[(&str, &str, &str)] = &[
    ("let ", "_ =", "a result is handled or the reason for leaving it is said"),
    ("TO", "DO", "what is not done is not in the code"),
    ("FIX", "ME", "what is not done is not in the code"),
    ("unimpl", "emented!", "what is not done is not in the code"),
    ("#[ig", "nore", "a test says what it needs by requires!, so that its skip is counted"),
];

/// Every finding below `root`.
///
/// # Errors
/// If a file cannot be read.
pub(crate) fn check(root: &Path) -> Result<Vec<String>, String> {
    let mut files = Vec::new();
    for folder in ["bench", "crates", "tests", "xtask"] {
        collect(&root.join(folder), &mut files)?;
    }
    let mut findings = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?;
        let name = file.strip_prefix(root).unwrap_or(&file).display().to_string();
        findings.extend(judge(&name, &text).into_iter().map(|finding| format!("{name}: {finding}")));
    }
    Ok(findings)
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), String> {
    let entries = std::fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    for entry in entries {
        let path = entry.map_err(|error| format!("{}: {error}", folder.display()))?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    Ok(())
}

/// The findings in one file.
fn judge(name: &str, text: &str) -> Vec<String> {
    let mut findings = Vec::new();
    let generated = GENERATED.contains(&name);
    if !generated && !text.starts_with("//!") {
        findings.push("has no `//!` head".to_owned());
    }
    let lines = text.lines().count();
    if lines > LONGEST && !generated {
        findings.push(format!("has {lines} lines, {LONGEST} are the most"));
    }
    let may_be_unsafe = UNSAFE.iter().any(|(prefix, _)| name.starts_with(prefix));
    for (number, line) in text.lines().enumerate() {
        if line.contains(concat!("allow(unsafe", "_code)")) && !may_be_unsafe {
            findings.push(format!("line {}: unsafe is for crates/kernel", number + 1));
        }
        for (left, right, reason) in FORBIDDEN {
            let whole = format!("{left}{right}");
            let is_comment = line.trim_start().starts_with("//") && *left == "let ";
            if line.contains(&whole) && !is_comment {
                findings.push(format!("line {}: `{whole}`: {reason}", number + 1));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rule_finds_what_breaks_it() {
        assert!(judge("a.rs", "//! Head.\nfn f() {}\n").is_empty());
        assert_eq!(judge("a.rs", "fn f() {}\n").len(), 1);
        assert_eq!(judge("a.rs", &format!("//! Head.\n{}", "\n".repeat(600))).len(), 1);
        let allowing = ["//! Head.\n#![allow(unsafe", "_code)]\n"].concat();
        assert_eq!(judge("a.rs", &allowing).len(), 1);
        assert!(judge("crates/kernel/src/lib.rs", &allowing).is_empty());
        for (left, right, _) in FORBIDDEN {
            assert_eq!(judge("a.rs", &format!("//! Head.\n{left}{right}\n")).len(), 1, "{left}{right}");
        }
    }
}
