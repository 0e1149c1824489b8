//! Parts of the heart alone, to be timed and to have their instructions counted: from `config.json` to a plan, and from a section of
//! it to a filter.
//!
//! - `measure plan CONFIG TIMES`: parses and plans, so often.
//! - `measure compile SECTION TIMES`: compiles a seccomp section (OCI's form), so often.
//! - `measure cached SECTION FOLDER TIMES`: finds it in a cache, which is made by the first.
//! - `measure filter SECTION FILE`: writes its instructions as `floor` reads them.
//! - `measure path FILTER`: how many instructions such a file has, and the most jumps of a call.
//! - `measure load FILTER TIMES`: loads it, so often.
//! - `measure call FILTER checked|denied TIMES`: makes a call whose argument it checks, or that it denies, under it, thousand times so often.
//! - `measure peak FILE PROGRAM...`: runs the program and writes to the file how many KiB the largest process had (busybox's `time`
//!   says four times as much).
//!
//! What is done so often prints the fewest and the median nanoseconds (of one call), and what is known of the result.

mod filters;

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use stockade_capabilities::{CapSet, Capability, Securebits, Sets, State};
use stockade_kernel::namespace::Namespaces;
use stockade_runtime::plan::{self, Facts, ProcessFacts};
use stockade_seccomp::{Compiled, Profile, Target, load_or_compile};
use stockade_spec::Spec;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let said = match words.as_slice() {
        ["plan", config, times] => measure_plan(Path::new(config), times),
        ["compile", section, times] => compile(Path::new(section), times),
        ["cached", section, folder, times] => cached(Path::new(section), Path::new(folder), times),
        ["filter", section, file] => write_filter(Path::new(section), Path::new(file)),
        ["path", filter] => filters::path(filter),
        ["load", filter, times] => filters::load(filter, times),
        ["call", filter, which, times] => filters::call(filter, which, times),
        ["peak", file, program @ ..] if !program.is_empty() => peak(file, program),
        _ => Err("see the head of bench/measure.rs".into()),
    };
    match said {
        Ok(text) => {
            if !text.is_empty() {
                println!("{text}");
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("measure: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Does `work` so often; the fewest and the median nanoseconds.
fn timed<T>(times: &str, mut work: impl FnMut() -> Result<T>) -> Result<String> {
    let times: usize = times.parse()?;
    let mut took = Vec::with_capacity(times);
    for _ in 0..times.max(1) {
        let start = Instant::now();
        std::hint::black_box(work()?);
        took.push(start.elapsed().as_nanos());
    }
    Ok(summary(took))
}

/// The fewest and the median nanoseconds, of at least one time.
fn summary(mut took: Vec<u128>) -> String {
    took.sort_unstable();
    format!("min {} median {}", took[0], took[took.len() / 2])
}

fn measure_plan(config: &Path, times: &str) -> Result<String> {
    let text = std::fs::read(config)?;
    let facts = facts();
    timed(times, || Ok(plan::plan(&Spec::parse(&text)?.0, &facts)?))
}

/// The host's root on a kernel that has everything: not asked for, because valgrind does not know `openat2(2)`.
fn facts() -> Facts {
    let last = Capability::CHECKPOINT_RESTORE;
    let all = CapSet::up_to(last);
    let sets =
        Sets { effective: all, permitted: all, inheritable: CapSet::EMPTY, bounding: all, ambient: CapSet::EMPTY };
    Facts {
        bundle: "/".into(),
        container_id: "measure".to_owned(),
        rootless: false,
        process: ProcessFacts {
            fixed_groups: None,
            capabilities: State { sets, securebits: Securebits::NONE },
            last_capability: last,
        },
        namespaces: Namespaces::all(),
        own_namespace_paths: Vec::new(),
    }
}

/// The program of a section.
fn program(section: &[u8]) -> Result<Vec<stockade_kernel::seccomp::Instruction>> {
    let filter = Profile::parse_oci(section)?.resolve(&Target::here(&[]))?;
    Ok(stockade_seccomp::compile::compile(&filter)?)
}

fn compile(section: &Path, times: &str) -> Result<String> {
    let text = std::fs::read(section)?;
    let instructions = program(&text)?.len();
    let timed = timed(times, || Ok(load_or_compile(&text, None)?))?;
    Ok(format!("{timed} instructions {instructions}"))
}

fn cached(section: &Path, folder: &Path, times: &str) -> Result<String> {
    let text = std::fs::read(section)?;
    let fresh: Compiled = load_or_compile(&text, Some(folder))?;
    let found = load_or_compile(&text, Some(folder))?;
    if fresh != found {
        return Err("the cache has another filter".into());
    }
    timed(times, || Ok(load_or_compile(&text, Some(folder))?))
}

fn peak(file: &str, program: &[&str]) -> Result<String> {
    let status = std::process::Command::new(program[0]).args(&program[1..]).status()?;
    std::fs::write(file, stockade_kernel::memory::most_of_children()?.to_string())?;
    if status.success() { Ok(String::new()) } else { Err(format!("{}: {status}", program[0]).into()) }
}

fn write_filter(section: &Path, file: &Path) -> Result<String> {
    let program = program(&std::fs::read(section)?)?;
    let bytes = program.iter().flat_map(|one| {
        let [low, high] = one.code.to_ne_bytes();
        let constant = one.constant.to_ne_bytes();
        [low, high, one.if_true, one.if_false, constant[0], constant[1], constant[2], constant[3]]
    });
    std::fs::write(file, bytes.collect::<Vec<u8>>())?;
    Ok(format!("instructions {}", program.len()))
}
