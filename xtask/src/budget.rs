//! `cargo xtask budget`: counts of the work that a container costs, held against `bench/budget.toml`.
//!
//! Times depend on the machine and its mood; how many system calls, processes and mounts a start takes, how many instructions the
//! planner executes, and how large the programs are does not. Whoever makes one of them larger has to say so in that file.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::{Duration, Instant};

use stockade_testkit::programs;

use crate::bench::contender::{Contender, Place, build, succeed};
use crate::bench::world::hierarchies;
use crate::command::{folder, metadata};

/// The budgets.
const FILE: &str = "bench/budget.toml";

/// `table.key` and the most that it may be.
type Budget = BTreeMap<String, u64>;

/// Counts everything that this machine can count, and compares.
///
/// # Errors
/// What is over its budget, what has none, and what could not be counted.
pub(crate) fn check() -> Result<(), String> {
    let metadata = metadata()?;
    let root = folder(&metadata, "workspace_root")?;
    let text = std::fs::read_to_string(root.join(FILE)).map_err(|error| format!("{FILE}: {error}"))?;
    let budget = parse(&text)?;
    build()?;
    let target = folder(&metadata, "target_directory")?;
    let place = Place::make(&std::env::temp_dir().join(format!("stockade-budget-{}", std::process::id())), &target)?;
    let counted = count(&budget, &place);
    let removed = place.remove();
    let (counted, left_out) = counted.and_then(|counted| removed.map(|()| counted))?;
    judge(&budget, &counted, &left_out)
}

/// What was counted, and the tables that were not, because this machine can not.
type Counted = (Budget, Vec<&'static str>);

fn count(budget: &Budget, place: &Place) -> Result<Counted, String> {
    let (mut counted, mut left_out) = (Budget::new(), Vec::new());
    for key in budget.keys().filter_map(|key| key.strip_prefix("bytes.")) {
        let path = place.program(key);
        let size = std::fs::metadata(&path).map_err(|error| format!("{}: {error}", path.display()))?.len();
        counted.insert(format!("bytes.{key}"), size);
    }
    let most = budget.get("machine.hierarchies").copied().unwrap_or_default();
    let here = hierarchies()?.split(',').filter(|mount| !mount.is_empty()).count() as u64;
    counted.insert("machine.hierarchies".to_owned(), most.min(here));
    let root = Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout.trim_ascii() == b"0");
    if programs::on_path("strace").is_some() && root && here <= most {
        verbs(place, &mut counted)?;
    } else {
        left_out.extend(["run", "create", "start", "delete", "exec"]);
    }
    if programs::on_path("valgrind").is_some() {
        instructions(place, &mut counted)?;
    } else {
        left_out.push("instructions");
    }
    Ok((counted, left_out))
}

/// The system calls of each verb.
fn verbs(place: &Place, counted: &mut Budget) -> Result<(), String> {
    let stake = Contender::runtime("stake", place.program("stake"));
    let quietly = |words: &[&str]| stake.call(words, place, "true", "");
    // The first run compiles the filter and keeps it.
    quietly(&["run", "--bundle", "BUNDLE", "ID"])?;
    let create = ["create", "--bundle", "BUNDLE", "ID"];
    // Three times, and the least of each: what waits or is interrupted is not the same every time.
    for _ in 0..3 {
        traced(&stake, place, "run", &["run", "--bundle", "BUNDLE", "ID"], counted)?;
        // strace ends when the container's process has ended, which is after the start.
        std::thread::scope(|scope| {
            let creating = scope.spawn(|| strace(&stake, place, "create", &create));
            let started =
                wait_for_created(&stake, place).and_then(|()| strace(&stake, place, "start", &["start", "ID"]));
            if started.is_err() {
                quietly(&["delete", "--force", "ID"])?;
            }
            let created = creating.join().map_err(|_panic| "counting create panicked".to_owned())?;
            take("create", &created?, counted);
            take("start", &started?, counted);
            Ok::<_, String>(())
        })?;
        traced(&stake, place, "delete", &["delete", "--force", "ID"], counted)?;
        stake.beside_running(place, |stake| traced(stake, place, "exec", &["exec", "ID", "/bin/true"], counted))?;
    }
    Ok(())
}

/// How long a traced `create` may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until the container can be started.
fn wait_for_created(stake: &Contender, place: &Place) -> Result<(), String> {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        let state = stake.command(&["state", "ID"], place, "true", "bench").output();
        let state = state.map_err(|error| format!("stake state: {error}"))?;
        if String::from_utf8_lossy(&state.stdout).contains("\"created\"") {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Err("stake create was not done after a minute".to_owned())
}

/// Counts one call, the processes that it makes with it.
fn traced(stake: &Contender, place: &Place, verb: &str, words: &[&str], counted: &mut Budget) -> Result<(), String> {
    take(verb, &strace(stake, place, verb, words)?, counted);
    Ok(())
}

/// The table of one call's system calls.
fn strace(stake: &Contender, place: &Place, verb: &str, words: &[&str]) -> Result<String, String> {
    let table = place.path(&format!("strace-{verb}"));
    let command = stake.command(words, place, "true", "bench");
    let mut strace = Command::new("strace");
    strace.args(["-f", "-q", "-c", "-U", "calls,name", "-o"]).arg(&table);
    strace.arg(command.get_program()).args(command.get_args());
    // A container that goes on keeps what it was given: no pipe.
    stake.finish(&mut strace, place, verb)?;
    std::fs::read_to_string(&table).map_err(|error| format!("{}: {error}", table.display()))
}

/// Keeps the least of each count.
fn take(verb: &str, table: &str, counted: &mut Budget) {
    for (kind, count) in kinds(table) {
        let least = counted.entry(format!("{verb}.{kind}")).or_insert(count);
        *least = count.min(*least);
    }
}

/// The sums that have a budget, of strace's table with the columns `calls` and `syscall`.
fn kinds(table: &str) -> [(&'static str, u64); 4] {
    let mut sums = [("syscalls", 0), ("processes", 1), ("execs", 0), ("mounts", 0)];
    for line in table.lines() {
        let mut words = line.split_whitespace();
        let (Some(count), Some(name)) = (words.next().and_then(|word| word.parse::<u64>().ok()), words.next()) else {
            continue;
        };
        let kind = match name {
            "total" => {
                sums[0].1 = count;
                continue;
            }
            "clone" | "clone3" | "fork" | "vfork" => 1,
            "execve" | "execveat" => 2,
            "mount" | "move_mount" => 3,
            _ => continue,
        };
        sums[kind].1 += count;
    }
    sums
}

/// The instructions of one time more, by callgrind.
fn instructions(place: &Place, counted: &mut Budget) -> Result<(), String> {
    let path = |name: &str| place.path(name).display().to_string();
    let (config, section, cache) = (path("true/config.json"), path("section.json"), path("cache"));
    for (key, words) in [
        ("plan", &["plan", &config][..]),
        ("compile", &["compile", &section]),
        ("cached", &["cached", &section, &cache]),
    ] {
        let all = |times: &str| {
            let mut valgrind = Command::new("valgrind");
            valgrind.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]);
            valgrind.arg(format!("--log-file={}", path("valgrind")));
            succeed("valgrind", valgrind.arg(place.program("measure")).args(words).arg(times))?;
            let log = std::fs::read_to_string(path("valgrind")).map_err(|error| format!("valgrind: {error}"))?;
            let number = log.lines().find_map(|line| line.split_once("Collected : ")?.1.trim().parse::<u64>().ok());
            number.ok_or(format!("valgrind said no number: {log}"))
        };
        // The first builds the cache that the others find.
        all("1")?;
        let (few, many) = (all("1")?, all("11")?);
        counted.insert(format!("instructions.{key}"), many.saturating_sub(few) / 10);
    }
    Ok(())
}

/// Compares, and prints every line.
fn judge(budget: &Budget, counted: &Budget, left_out: &[&str]) -> Result<(), String> {
    let mut failures = Vec::new();
    for (key, most) in budget {
        let table = key.split('.').next().unwrap_or_default();
        match counted.get(key) {
            Some(count) if count > most => failures.push(format!("{key} is {count} and may be {most}")),
            Some(count) => println!("{key}: {count} of {most}"),
            None if left_out.contains(&table) => println!("{key}: not counted on this machine"),
            None => failures.push(format!("{key} is nothing that is counted")),
        }
    }
    let without = counted.keys().filter(|key| !budget.contains_key(*key)).map(|key| format!("{key} has no budget"));
    failures.extend(without);
    if failures.is_empty() { Ok(()) } else { Err(format!("{FILE}: {}", failures.join("; "))) }
}

/// Tables of whole numbers: of TOML, what that file needs.
fn parse(text: &str) -> Result<Budget, String> {
    let (mut budget, mut table) = (Budget::new(), String::new());
    for (number, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default().trim();
        let wrong = || format!("{FILE}:{}: {line:?} is neither a [table] nor a key with a whole number", number + 1);
        if line.is_empty() {
            continue;
        }
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            table = name.to_owned();
            continue;
        }
        let (key, value) = line.split_once('=').ok_or_else(wrong)?;
        let value = value.trim().replace('_', "").parse().map_err(|_not_a_number| wrong())?;
        if budget.insert(format!("{table}.{}", key.trim()), value).is_some() {
            return Err(format!("{FILE}:{}: {table}.{} stands there twice", number + 1, key.trim()));
        }
    }
    Ok(budget)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_file_is_read_and_every_other_line_refused() {
        let budget = parse("# head\n[run]\nsyscalls = 1_100 # more\nexecs = 3\n\n[bytes]\nstake = 7\n").unwrap();
        let expected = [("bytes.stake", 7), ("run.execs", 3), ("run.syscalls", 1100)];
        assert_eq!(budget.iter().map(|(key, most)| (key.as_str(), *most)).collect::<Vec<_>>(), expected);
        for wrong in ["[run]\nsyscalls", "[run]\nsyscalls = many", "[run]\na = 1\na = 1", "[run]\na = -1"] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn the_repository_s_own_file_can_be_read() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(FILE);
        assert!(parse(&std::fs::read_to_string(file).unwrap()).unwrap().contains_key("run.syscalls"));
    }

    #[test]
    fn the_table_of_strace_is_summed() {
        let table = "    calls syscall\n--------- ------\n        2 execve\n        1 execveat\n       27 move_mount\n        1 clone3\n--------- ------\n      900 total\n";
        assert_eq!(kinds(table), [("syscalls", 900), ("processes", 2), ("execs", 3), ("mounts", 27)]);
    }

    #[test]
    fn what_is_over_its_budget_fails_and_so_does_what_has_none() {
        let of =
            |pairs: &[(&str, u64)]| pairs.iter().map(|(key, count)| ((*key).to_owned(), *count)).collect::<Budget>();
        let budget = of(&[("run.execs", 3), ("exec.execs", 3)]);
        assert!(judge(&budget, &of(&[("run.execs", 3), ("exec.execs", 2)]), &[]).is_ok());
        assert!(judge(&budget, &of(&[("run.execs", 3)]), &["exec"]).is_ok());
        assert!(judge(&budget, &of(&[("run.execs", 4)]), &["exec"]).unwrap_err().contains("run.execs is 4"));
        assert!(judge(&budget, &of(&[("run.execs", 3)]), &[]).unwrap_err().contains("exec.execs"));
        assert!(judge(&budget, &of(&[("run.execs", 3), ("exec.execs", 3), ("run.new", 1)]), &[]).is_err());
    }
}
