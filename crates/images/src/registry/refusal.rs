//! Answers that say no: what registries say in them, short and escaped.

use std::io::Read;
use std::time::Duration;

use serde::Deserialize;
use ureq::http::header::{CONTENT_TYPE, RETRY_AFTER};

use super::error::RegistryError;
use super::web::Answer;

/// The most bytes of such an answer that are read.
const LARGEST: u64 = 16 << 10;
/// The most letters of it that are shown.
const LONGEST: usize = 300;
/// The most errors of one answer that are shown.
const MOST: usize = 3;

/// distribution-spec, "Error Codes".
#[derive(Deserialize)]
struct Errors {
    errors: Vec<One>,
}

#[derive(Deserialize)]
struct One {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: Option<String>,
}

/// The error that `answer`, which has a status that says no, stands for.
pub(super) fn refusal(what: &str, registry: &str, answer: Answer) -> RegistryError {
    let (what, registry) = (what.to_owned(), registry.to_owned());
    let status = answer.status.as_u16();
    let after = answer.header(&RETRY_AFTER).and_then(|text| text.trim().parse().ok()).map(Duration::from_secs);
    let said = said(answer);
    match status {
        404 => RegistryError::Missing { what, registry, said },
        401 | 403 => RegistryError::Denied { what, registry, said },
        429 => RegistryError::Limited { what, registry, said, wait: after },
        _ => RegistryError::Status { what, registry, status, said },
    }
}

/// What the body says; nothing if it is a page for browsers, or cannot be read.
fn said(answer: Answer) -> String {
    let kind = answer.header(&CONTENT_TYPE).unwrap_or_default().to_ascii_lowercase();
    let mut bytes = Vec::new();
    // A refusal without a reason is still a refusal.
    if answer.body.take(LARGEST).read_to_end(&mut bytes).is_err() {
        return String::new();
    }
    if let Ok(errors) = serde_json::from_slice::<Errors>(&bytes) {
        let one = |error: &One| match error.message.as_deref().filter(|message| !message.is_empty()) {
            Some(message) if error.code.is_empty() => message.to_owned(),
            Some(message) => format!("{}: {message}", error.code),
            None => error.code.clone(),
        };
        return shown(&errors.errors.iter().take(MOST).map(one).collect::<Vec<_>>().join("; "));
    }
    if kind.starts_with("text/plain") { shown(&String::from_utf8_lossy(&bytes)) } else { String::new() }
}

/// A short text of a stranger's for people.
pub(super) fn shown(text: &str) -> String {
    let text = text.trim();
    let mut shown = text.chars().take(LONGEST).collect::<String>().escape_debug().to_string();
    if text.chars().nth(LONGEST).is_some() {
        shown.push_str("...");
    }
    shown
}
