//! Go's templates of `--format`.
#![no_main]
#![allow(dead_code, missing_docs)]

#[path = "../../crates/cli/src/show"]
mod show {
    pub mod template;
}

use serde_json::json;
use show::template;

libfuzzer_sys::fuzz_target!(|text: &str| {
    let Ok(template) = template::Template::parse(text) else { return };
    let fields = json!({ "ID": "x", "Names": ["a", "b"], "State": { "Status": "running", "Pid": 7 }, "Mounts": [] });
    if let Ok(said) = template.fill(&template::Filling::of(fields.clone())) {
        assert!(said.len() <= 64 << 20);
    }
    std::hint::black_box(template.heads(&fields).is_ok());
});
