//! Random edits of what the runtime reads: whatever stands there, it answers, ends in order, and leaves nothing behind.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use stockade_testkit::{Bundle, Finished, requires};

/// Repeats a run: `STOCKADE_TEST_SEED=N`.
const SEED: &str = "STOCKADE_TEST_SEED";

/// Numbers that are random enough (xorshift64*), the same ones for one seed.
struct Random(u64);

impl Random {
    /// By the seed that is asked for, or by the time; it is printed.
    fn seeded(test: &str) -> Self {
        let by_time = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
        let seed = std::env::var(SEED).ok().map_or_else(by_time, |text| text.parse().expect("a number")) | 1;
        println!("{test}: {SEED}={seed}");
        Self(seed)
    }

    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % end
    }

    fn of<T: Clone>(&mut self, list: &[T]) -> T {
        list[self.below(list.len())].clone()
    }
}

/// Values that are at the edge of something.
fn edges() -> Vec<Value> {
    let numbers =
        [json!(0), json!(-1), json!(1), json!(1u64 << 31), json!(1u64 << 32), json!(i64::MAX), json!(i64::MIN)];
    let more =
        [json!(u64::MAX), json!(0.5), json!(1e300), json!(null), json!(true), json!(false), json!([]), json!({})];
    let texts =
        ["", "a", "/", "/x/../..", "relative/path", "\0", "a\nb", "\u{202e}\u{9b}", "-1", "0", "=", "%s%n", "CAP_KILL"];
    let long = [json!("x".repeat(5000)), json!("/x".repeat(3000)), json!([[[[]]]]), json!({ "a": { "b": [] } })];
    numbers.into_iter().chain(more).chain(texts.map(|text| json!(text))).chain(long).collect()
}

/// Where something stands in `value`, as JSON pointers, but for what would lead the runtime to folders that are not the test's.
fn places(value: &Value, here: &str, found: &mut Vec<String>) {
    if ["/root/path", "/linux/cgroupsPath", "/hooks"].contains(&here) {
        return;
    }
    if !here.is_empty() {
        found.push(here.to_owned());
    }
    match value {
        Value::Array(list) => list.iter().enumerate().for_each(|(at, one)| places(one, &format!("{here}/{at}"), found)),
        Value::Object(map) => map.iter().for_each(|(key, one)| {
            places(one, &format!("{here}/{}", key.replace('~', "~0").replace('/', "~1")), found);
        }),
        _ => {}
    }
}

/// Makes one change: another value, none, one that stands elsewhere, or one more entry.
fn edit(value: &mut Value, random: &mut Random) {
    let mut all = Vec::new();
    places(value, "", &mut all);
    if all.is_empty() {
        return;
    }
    let place = random.of(&all);
    let new = match random.below(5) {
        0 => value.pointer(&random.of(&all)).cloned().unwrap_or_default(),
        1 => {
            let (parent, key) = place.rsplit_once('/').unwrap();
            if let Some(Value::Object(map)) = value.pointer_mut(parent) {
                map.remove(&key.replace("~1", "/").replace("~0", "~"));
            }
            return;
        }
        2 => {
            let one = random.of(&edges());
            match value.pointer_mut(&place) {
                Some(Value::Array(list)) => list.push(one),
                Some(Value::Object(map)) => drop(map.insert("surprise".to_owned(), one)),
                _ => {}
            }
            return;
        }
        _ => random.of(&edges()),
    };
    if let Some(there) = value.pointer_mut(&place) {
        *there = new;
    }
}

/// The runtime ended in order: not by a signal, not by a panic, and a failure says why.
#[track_caller]
fn in_order(done: &Finished, input: &Value) {
    assert!(done.code() < 126, "{done:?}\n{input}");
    assert!(!done.stderr.contains("panicked") && !done.stderr.contains("RUST_BACKTRACE"), "{done:?}\n{input}");
    assert!(done.code() == 0 || !done.stderr.trim().is_empty(), "no word: {done:?}\n{input}");
}

#[test]
fn random_edits_of_the_configuration() {
    requires!(root, stake, busybox_image);
    let mut random = Random::seeded("random_edits_of_the_configuration");
    let image = Bundle::busybox();
    let mut made = 0;
    for _ in 0..150 {
        let bundle = Bundle::empty().edit(|config| {
            config["root"]["path"] = json!(image.rootfs());
            (0..=random.below(3)).for_each(|_| edit(config, &mut random));
        });
        let done = bundle.create_call(&[]).limit(Duration::from_secs(30)).run();
        in_order(&done, bundle.config());
        made += u32::from(done.code() == 0);
        if done.code() == 0 {
            bundle.delete_by_force().ok();
        }
        bundle.assert_gone();
    }
    assert!(made > 5, "only {made} containers were made: the edits do not go deep");
}

#[test]
fn random_edits_of_limits() {
    requires!(root, stake, busybox_image);
    let mut random = Random::seeded("random_edits_of_limits");
    let bundle = Bundle::busybox().args(&["/bin/sleep", "1000"]).detached();
    let whole = json!({
        "memory": { "limit": 268_435_456, "reservation": 33_554_432, "swap": -1, "swappiness": 60 },
        "cpu": { "shares": 512, "quota": 50_000, "period": 100_000, "cpus": "0", "mems": "0", "idle": 0, "burst": 0 },
        "pids": { "limit": 77 },
        "blockIO": { "weight": 100, "leafWeight": 100, "weightDevice": [], "throttleReadBpsDevice": [] },
        "hugepageLimits": [{ "pageSize": "2MB", "limit": 0 }],
        "network": { "classID": 1, "priorities": [{ "name": "lo", "priority": 1 }] },
        "rdma": {}, "unified": {}, "devices": [{ "allow": false, "access": "rwm" }]
    });
    for _ in 0..100 {
        let mut limits = whole.clone();
        // Each section alone, too: one that this machine does not have would hide the others.
        let keys: Vec<_> = whole.as_object().unwrap().keys().cloned().collect();
        if random.below(2) == 0 {
            let key = random.of(&keys);
            limits = json!({ &key: whole[&key] });
        }
        (0..=random.below(3)).for_each(|_| edit(&mut limits, &mut random));
        let call = bundle.call(&["update", "--resources", "-", bundle.id()]).stdin(limits.to_string().as_bytes());
        in_order(&call.limit(Duration::from_secs(30)).run(), &limits);
    }
    bundle.delete_by_force().ok();
    bundle.assert_gone();
}

#[test]
fn random_edits_of_a_process() {
    requires!(root, stake, busybox_image);
    let mut random = Random::seeded("random_edits_of_a_process");
    let bundle = Bundle::busybox().args(&["/bin/sleep", "1000"]).detached();
    let mut whole = bundle.config()["process"].clone();
    whole["args"] = json!(["/bin/true"]);
    whole["rlimits"] = json!([{ "type": "RLIMIT_NOFILE", "soft": 100, "hard": 100 }]);
    whole["scheduler"] = json!({ "policy": "SCHED_OTHER", "nice": 1 });
    whole["ioPriority"] = json!({ "class": "IOPRIO_CLASS_BE", "priority": 1 });
    whole["execCPUAffinity"] = json!({ "initial": "0", "final": "0" });
    let file = bundle.folder().join("process.json");
    let mut ran = 0;
    for _ in 0..80 {
        let mut process = whole.clone();
        (0..=random.below(3)).for_each(|_| edit(&mut process, &mut random));
        std::fs::write(&file, process.to_string()).unwrap();
        let call = bundle.call(&["exec", "--process", file.to_str().unwrap(), bundle.id()]);
        let done = call.limit(Duration::from_secs(30)).run();
        ran += u32::from(done.code() == 0);
        // 126 and 127 are the answers to a program that can not be executed; 128 and more is the program's own end by a signal.
        assert!(!done.stderr.contains("panicked"), "{done:?}\n{process}");
        assert_eq!(bundle.status(), "running", "{done:?}\n{process}");
    }
    assert!(ran > 5, "only {ran} processes ran: the edits do not go deep");
    bundle.delete_by_force().ok();
    bundle.assert_gone();
}
