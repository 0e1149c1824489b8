//! The command line that Stockade and Podman both have, with the same expectations, which are Docker's: what each of the two does
//! otherwise is listed in `docs/differences.md`, neither more nor less.

use std::collections::BTreeMap;
use std::path::Path;

use stockade_testkit::{Call, Finished, Stockade, programs, requires};

use crate::engine::Engine;

/// What is expected of a command: its name in the document, its words, Docker's exit code, and what Docker says on standard output.
type Expectation = (&'static str, &'static [&'static str], i32, Said);

/// Standard output, without the white space around it. `IDS` in an expected text stands for the running container's short id, and
/// `IDL` for its whole id.
#[derive(Clone, Copy, Debug)]
enum Said {
    /// Exactly this.
    Is(&'static str),
    /// All of these, among others.
    Has(&'static [&'static str]),
    /// None of these.
    Lacks(&'static [&'static str]),
    /// So many lines.
    Lines(usize),
    /// Anything: the exit code counts.
    Anything,
}

use Said::{Anything, Has, Is, Lacks, Lines};

/// In `run`, `RUN` stands for `run --rm` with what keeps a container without a network and in the test's own cgroup, `CREATE` for
/// `create` with the same.
const EXPECTATIONS: &[Expectation] = &[
    // What a program is given, and how it ends.
    ("run: output", &["RUN", "busybox", "echo", "a b"], 0, Is("a b")),
    ("run: exit code", &["RUN", "busybox", "sh", "-c", "exit 7"], 7, Is("")),
    ("run: killed by a signal", &["RUN", "busybox", "sh", "-c", "sh -c 'kill -9 $$'; exit $?"], 137, Is("")),
    ("run: program not found", &["RUN", "busybox", "/no/such/program"], 127, Is("")),
    ("run: program not executable", &["RUN", "busybox", "/etc/passwd"], 126, Is("")),
    ("run: unknown flag", &["RUN", "--no-such-flag", "busybox", "true"], 125, Is("")),
    ("run: no image", &["run"], 1, Is("")),
    ("run: invalid name of an image", &["RUN", "Busybox:::", "true"], 125, Is("")),
    ("run: options end at the image", &["RUN", "busybox", "echo", "--rm", "-x"], 0, Is("--rm -x")),
    ("run: --rm=false is a value", &["RUN", "--tty=false", "busybox", "echo", "a"], 0, Is("a")),
    ("run: -e", &["RUN", "-e", "A=b=c", "busybox", "sh", "-c", "echo $A"], 0, Is("b=c")),
    ("run: -e without a name", &["RUN", "-e", "=x", "busybox", "true"], 125, Is("")),
    ("run: -w", &["RUN", "-w", "/etc", "busybox", "pwd"], 0, Is("/etc")),
    ("run: -w makes the folder", &["RUN", "-w", "/new/folder", "busybox", "pwd"], 0, Is("/new/folder")),
    ("run: relative -w", &["RUN", "-w", "etc", "busybox", "true"], 125, Is("")),
    ("run: -u by number", &["RUN", "-u", "12:34", "busybox", "sh", "-c", "id -u; id -g"], 0, Is("12\n34")),
    ("run: -u of nobody", &["RUN", "-u", "nobody-here", "busybox", "true"], 125, Is("")),
    ("run: --group-add", &["RUN", "--group-add", "77", "busybox", "id", "-G"], 0, Has(&["77"])),
    ("run: --entrypoint", &["RUN", "--entrypoint", "echo", "busybox", "a"], 0, Is("a")),
    ("run: --hostname", &["RUN", "--hostname", "box", "busybox", "hostname"], 0, Is("box")),
    (
        "run: --hostname in /etc/hosts",
        &["RUN", "--hostname", "box", "busybox", "cat", "/etc/hosts"],
        0,
        Has(&["127.0.0.1", "localhost"]),
    ),
    (
        "run: --read-only",
        &["RUN", "--read-only", "busybox", "sh", "-c", "touch /x 2>/dev/null || echo no"],
        0,
        Is("no"),
    ),
    (
        "run: --read-only leaves /tmp alone",
        &["RUN", "--read-only", "busybox", "sh", "-c", "touch /tmp/x 2>/dev/null || echo no"],
        0,
        Is("no"),
    ),
    (
        "run: --tmpfs",
        &["RUN", "--read-only", "--tmpfs", "/mine", "busybox", "sh", "-c", "echo a > /mine/x && cat /mine/x"],
        0,
        Is("a"),
    ),
    (
        "run: --shm-size",
        &["RUN", "--shm-size", "1m", "busybox", "sh", "-c", "df -k /dev/shm | tail -n 1"],
        0,
        Has(&["1024"]),
    ),
    ("run: -m below the least", &["RUN", "-m", "1k", "busybox", "true"], 125, Is("")),
    ("run: -m that is no size", &["RUN", "-m", "1x", "busybox", "true"], 125, Is("")),
    ("run: --pids-limit that is no number", &["RUN", "--pids-limit", "x", "busybox", "true"], 125, Is("")),
    (
        "run: --ulimit",
        &[
            "RUN",
            "--ulimit",
            "nofile=100:200",
            "--ulimit",
            "nproc=512:1024",
            "busybox",
            "sh",
            "-c",
            "ulimit -n; ulimit -Hn",
        ],
        0,
        Is("100\n200"),
    ),
    ("run: --ulimit above its maximum", &["RUN", "--ulimit", "nofile=2:1", "busybox", "true"], 125, Is("")),
    (
        "run: --cap-drop ALL",
        &["RUN", "--cap-drop", "ALL", "busybox", "grep", "CapBnd", "/proc/self/status"],
        0,
        Has(&["0000000000000000"]),
    ),
    (
        "run: default capabilities",
        &["RUN", "busybox", "grep", "CapBnd", "/proc/self/status"],
        0,
        Has(&["00000000a80425fb"]),
    ),
    ("run: --cap-add of none", &["RUN", "--cap-add", "NOTHING", "busybox", "true"], 125, Is("")),
    (
        "run: no-new-privileges",
        &["RUN", "--security-opt", "no-new-privileges", "busybox", "grep", "NoNewPrivs", "/proc/self/status"],
        0,
        Has(&["1"]),
    ),
    ("run: --security-opt that is none", &["RUN", "--security-opt", "bogus=1", "busybox", "true"], 125, Is("")),
    (
        "run: seccomp=unconfined",
        &["RUN", "--security-opt", "seccomp=unconfined", "busybox", "grep", "Seccomp:", "/proc/self/status"],
        0,
        Has(&["0"]),
    ),
    ("run: a filter is loaded", &["RUN", "busybox", "grep", "Seccomp:", "/proc/self/status"], 0, Has(&["2"])),
    (
        "run: --sysctl",
        &["RUN", "--sysctl", "net.ipv4.ip_forward=1", "busybox", "cat", "/proc/sys/net/ipv4/ip_forward"],
        0,
        Is("1"),
    ),
    ("run: --sysctl of the host", &["RUN", "--sysctl", "kernel.core_pattern=x", "busybox", "true"], 125, Is("")),
    ("run: the program is the first process", &["RUN", "busybox", "cat", "/proc/1/comm"], 0, Is("cat")),
    ("run: --pull never", &["RUN", "--pull", "never", "no-such-image-here", "true"], 125, Is("")),
    ("run: --pull that is none", &["RUN", "--pull", "often", "busybox", "true"], 125, Is("")),
    ("run: a name that is taken", &["RUN", "--name", "runs", "busybox", "true"], 125, Is("")),
    ("run: a name that is none", &["RUN", "--name", "a/b", "busybox", "true"], 125, Is("")),
    ("run: -v without a source", &["RUN", "-v", "/no/such/../x:/x:bogus", "busybox", "true"], 125, Is("")),
    (
        "run: --mount with a source that is missing",
        &["RUN", "--mount", "type=bind,source=/no/such,target=/x", "busybox", "true"],
        125,
        Is(""),
    ),
    ("run: two mounts on one path", &["RUN", "-v", "a1:/x", "-v", "a2:/x", "busybox", "true"], 125, Is("")),
    ("run: --volumes-from of nobody", &["RUN", "--volumes-from", "nobody", "busybox", "true"], 125, Is("")),
    ("create: prints an id", &["CREATE", "--name", "spare", "busybox", "true"], 0, Lines(1)),
    ("create: --cap-add of none", &["CREATE", "--cap-add", "NOTHING", "busybox", "true"], 1, Is("")),
    ("create: unknown flag", &["CREATE", "--no-such-flag", "busybox"], 125, Is("")),
    // Lists.
    ("ps: only what runs", &["ps", "--format", "{{.Names}}"], 0, Is("runs")),
    ("ps: -a", &["ps", "-a", "--format", "{{.Names}}"], 0, Has(&["runs", "ended", "made"])),
    ("ps: -q", &["ps", "-q"], 0, Is("IDS")),
    ("ps: -q --no-trunc", &["ps", "-q", "--no-trunc"], 0, Is("IDL")),
    ("ps: -l", &["ps", "-l", "--format", "{{.Names}}"], 0, Lines(1)),
    ("ps: -n 2", &["ps", "-n", "2", "-q"], 0, Lines(2)),
    ("ps: by name", &["ps", "-a", "-f", "name=end", "--format", "{{.Names}}"], 0, Is("ended")),
    ("ps: by label", &["ps", "-a", "-f", "label=tier=web", "--format", "{{.Names}}"], 0, Is("runs")),
    ("ps: by exit code", &["ps", "-a", "-f", "exited=3", "--format", "{{.Names}}"], 0, Is("ended")),
    ("ps: by status", &["ps", "-a", "-f", "status=created", "--format", "{{.Names}}"], 0, Has(&["made"])),
    ("ps: made before", &["ps", "-a", "-f", "before=made", "--format", "{{.Names}}"], 0, Is("ended")),
    ("ps: made since", &["ps", "-f", "since=ended", "--format", "{{.Names}}"], 0, Is("runs")),
    ("ps: before nobody", &["ps", "-f", "before=nobody"], 1, Is("")),
    ("ps: by network", &["ps", "-f", "network=none", "--format", "{{.Names}}"], 0, Is("runs")),
    ("ps: by volume", &["ps", "-a", "-q", "-f", "volume=nothing"], 0, Is("")),
    ("ps: -s", &["ps", "-s"], 0, Has(&["NAMES", "SIZE", "(virtual "])),
    ("port: none", &["port", "runs"], 0, Is("")),
    ("port: one that is not published", &["port", "runs", "80"], 1, Is("")),
    ("port: nobody", &["port", "nobody"], 1, Is("")),
    ("inspect: -s", &["inspect", "-s", "-f", "{{if .SizeRootFs}}told{{end}}", "runs"], 0, Is("told")),
    (
        "inspect: network",
        &["inspect", "-f", "{{range $k, $v := .NetworkSettings.Networks}}{{$k}}{{end}}", "runs"],
        0,
        Is("none"),
    ),
    ("version: the engine's", &["version", "-f", "{{.Client.Version}}"], 0, Lines(1)),
    ("version: a field that is not there", &["version", "-f", "{{.Nope}}"], 1, Anything),
    ("ps: by image", &["ps", "-a", "-f", "ancestor=busybox", "-q"], 0, Has(&["IDS"])),
    ("ps: a filter that is none", &["ps", "-f", "bogus=1"], 125, Is("")),
    (
        "ps: the table's head",
        &["ps"],
        0,
        Has(&["CONTAINER ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "PORTS", "NAMES"]),
    ),
    (
        "ps: a table of a template",
        &["ps", "--format", "table {{.Names}}\t{{.Image}}"],
        0,
        Has(&["NAMES", "runs", "busybox"]),
    ),
    ("ps: an argument", &["ps", "x"], 1, Is("")),
    ("container ls", &["container", "ls", "--format", "{{.Names}}"], 0, Is("runs")),
    ("container list", &["container", "list", "-q"], 0, Is("IDS")),
    ("container ps", &["container", "ps", "-q"], 0, Is("IDS")),
    // Looks.
    ("inspect: state", &["inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", "ended"], 0, Is("exited 3")),
    ("inspect: by the beginning of the id", &["inspect", "-f", "{{.Id}}", "IDS"], 0, Is("IDL")),
    ("inspect: name", &["inspect", "-f", "{{.Name}}", "runs"], 0, Is("/runs")),
    ("inspect: label", &["inspect", "-f", "{{index .Config.Labels \"tier\"}}", "runs"], 0, Is("web")),
    ("inspect: json of a part", &["inspect", "-f", "{{json .Config.Labels.tier}}", "runs"], 0, Is("\"web\"")),
    ("inspect: stop signal", &["inspect", "-f", "{{.Config.StopTimeout}}", "runs"], 0, Is("3")),
    ("inspect: nobody", &["inspect", "nobody"], 1, Is("[]")),
    ("inspect: a template that is none", &["inspect", "-f", "{{.Nope", "runs"], 64, Is("")),
    ("inspect: a field that is not there", &["inspect", "-f", "{{.NoSuchField}}", "runs"], 1, Anything),
    ("inspect: --type", &["inspect", "--type", "image", "-f", "{{.Os}}", "busybox"], 0, Is("linux")),
    ("container inspect: no image", &["container", "inspect", "busybox"], 1, Is("[]")),
    ("logs", &["logs", "ended"], 0, Is("one\ntwo")),
    ("logs: --tail", &["logs", "--tail", "1", "ended"], 0, Is("two")),
    ("logs: --tail 0", &["logs", "--tail", "0", "ended"], 0, Is("")),
    ("logs: nobody", &["logs", "nobody"], 1, Is("")),
    ("diff", &["diff", "ended"], 0, Has(&["A /made"])),
    // Ends.
    ("wait: one that ended", &["wait", "ended"], 0, Is("3")),
    ("wait: nobody", &["wait", "nobody"], 1, Is("")),
    ("kill: one that ended", &["kill", "ended"], 1, Is("")),
    ("kill: a signal that is none", &["kill", "-s", "NOPE", "runs"], 1, Is("")),
    ("stop: one that ended", &["stop", "ended"], 0, Is("ended")),
    ("stop: nobody", &["stop", "nobody"], 1, Is("")),
    ("start: nobody", &["start", "nobody"], 1, Is("")),
    ("start: one that runs", &["start", "runs"], 0, Is("runs")),
    ("start: -a gives its exit code", &["start", "-a", "ended"], 3, Is("one\ntwo")),
    ("rm: one that runs", &["rm", "runs"], 1, Is("")),
    ("rm: nobody", &["rm", "nobody"], 1, Is("")),
    ("rm: -f nobody", &["rm", "-f", "nobody"], 0, Is("")),
    ("rm: nothing", &["rm"], 1, Is("")),
    ("rm: prints what it was given", &["rm", "made"], 0, Is("made")),
    ("container rm: the first of two", &["container", "rm", "spare", "nobody"], 1, Is("spare")),
    // Images and volumes.
    ("images: -q", &["images", "-q", "busybox"], 0, Lines(1)),
    (
        "images: the table's head",
        &["images"],
        0,
        Has(&["REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE", "busybox", "latest"]),
    ),
    ("images: none of that name", &["images", "-q", "nothing"], 0, Is("")),
    ("tag", &["tag", "busybox", "other:1"], 0, Is("")),
    ("tag: nobody", &["tag", "nobody", "other:2"], 1, Is("")),
    ("rmi: a name", &["rmi", "other:1"], 0, Has(&["Untagged:", "other:1"])),
    ("rmi: nobody", &["rmi", "nobody"], 1, Is("")),
    ("rmi: one in use", &["rmi", "busybox"], 1, Is("")),
    ("volume create", &["volume", "create", "vol"], 0, Is("vol")),
    ("volume create: a name that is none", &["volume", "create", "a/b"], 1, Is("")),
    ("volume ls", &["volume", "ls", "-q"], 0, Has(&["vol"])),
    ("volume inspect", &["volume", "inspect", "-f", "{{.Driver}}", "vol"], 0, Is("local")),
    ("volume inspect: nobody", &["volume", "inspect", "nobody"], 1, Is("[]")),
    ("volume rm", &["volume", "rm", "vol"], 0, Is("vol")),
    ("volume rm: nobody", &["volume", "rm", "nobody"], 1, Is("")),
    // The command line.
    ("unknown command", &["nothing"], 1, Lacks(&["nothing"])),
    ("container: unknown command", &["container", "nothing"], 1, Anything),
    ("--version", &["--version"], 0, Lines(1)),
    ("--help", &["--help"], 0, Has(&["run", "ps", "images"])),
];

/// One of the two, with its containers.
struct Side<'a> {
    call: &'a dyn Fn(&[&str]) -> Call,
    /// What `RUN` and `CREATE` stand for after their verbs.
    confined: Vec<&'a str>,
    id: String,
}

impl<'a> Side<'a> {
    /// Loads the image and makes the containers `runs`, `ended` and `made`.
    fn prepare(call: &'a dyn Fn(&[&str]) -> Call, confined: &[&'a str], archive: &Path) -> Self {
        let mut side = Self { call, confined: confined.to_vec(), id: String::new() };
        let archive = archive.to_str().expect("paths of tests are UTF-8");
        call(&["load", "-q", "-i", archive]).run().ok();
        let script = "echo one; echo two; touch /made; exit 3";
        side.ask(&["CREATE", "--name", "ended", "busybox", "sh", "-c", script]).ok();
        side.ask(&["start", "-a", "ended"]).exits(3);
        side.ask(&["CREATE", "--name", "made", "busybox", "true"]).ok();
        let flags = ["CREATE", "--name", "runs", "--label", "tier=web", "--stop-timeout", "3"];
        side.ask(&[&flags[..], &["busybox", "sleep", "1000"]].concat()).ok();
        side.ask(&["start", "runs"]).ok();
        side.id = side.ask(&["inspect", "-f", "{{.Id}}", "runs"]).ok().out().to_owned();
        side
    }

    fn ask(&self, words: &[&str]) -> Finished {
        let mut all: Vec<&str> = Vec::new();
        for word in words {
            match *word {
                "RUN" => all.extend(["run", "--rm"].iter().chain(&self.confined)),
                "CREATE" => all.extend(["create"].iter().chain(&self.confined)),
                "IDS" => all.push(&self.id[..12]),
                word => all.push(word),
            }
        }
        (self.call)(&all).run()
    }

    /// How it differs from what is expected, in a few words; `None` if it does not.
    fn difference(&self, (_, words, code, said): &Expectation) -> Option<String> {
        let done = self.ask(words);
        let text = |text: &str| text.replace("IDS", self.id.get(..12).unwrap_or_default()).replace("IDL", &self.id);
        let fits = match said {
            Is(expected) => done.out() == text(expected),
            Has(parts) => parts.iter().all(|part| done.stdout.contains(&text(part))),
            Lacks(parts) => !parts.iter().any(|part| done.stdout.contains(part)),
            Lines(number) => done.out().lines().count() == *number,
            Anything => true,
        };
        match (done.code() == *code, fits) {
            (true, true) => None,
            (false, _) => Some(format!("exits with {}", done.code())),
            (true, false) => Some("says something else".to_owned()),
        }
    }
}

/// The rows of the document's table: name, Stockade's cell, Podman's cell.
fn documented() -> BTreeMap<String, (String, String)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/differences.md");
    let text = std::fs::read_to_string(path).expect("the document can be read");
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `")?.strip_suffix(" |"));
    let cells = rows.map(|row| row.split(" | ").map(|cell| cell.trim_matches('`').to_owned()).collect::<Vec<_>>());
    // The fourth says why, which only people read.
    cells.map(|cells| (cells[0].clone(), (cells[1].clone(), cells[2].clone()))).collect()
}

#[test]
fn what_differs_is_what_the_document_says() {
    requires!(root, stockade, runtime, busybox_packed, podman, nsenter);
    let archive = programs::images().join("busybox/docker.tar");
    let (podman, stockade) = (Engine::podman("agreements"), Stockade::new());
    let group = podman.cell.group().to_owned();
    let (ask_podman, ask_stockade) = (|words: &[&str]| podman.call(words), |words: &[&str]| stockade.call(words));
    let theirs = Side::prepare(&ask_podman, &["--network", "none", "--cgroup-parent", &group], &archive);
    let ours = Side::prepare(&ask_stockade, &["--network", "none"], &archive);
    let mut found = BTreeMap::new();
    for expectation in EXPECTATIONS {
        let (ours, theirs) = (ours.difference(expectation), theirs.difference(expectation));
        if ours.is_some() || theirs.is_some() {
            let cell = |difference: Option<String>| difference.unwrap_or_else(|| "as Docker".to_owned());
            found.insert(expectation.0.to_owned(), (cell(ours), cell(theirs)));
        }
    }
    podman.call(&["rm", "-f", "-t", "0", "-a"]).run().ok();
    assert!(EXPECTATIONS.len() > 100);
    let rows = |table: &BTreeMap<String, (String, String)>| {
        let row = |(name, (ours, theirs)): (&String, &(String, String))| format!("| `{name}` | {ours} | {theirs} |\n");
        table.iter().map(row).collect::<String>()
    };
    assert!(found == documented(), "docs/differences.md should have these rows:\n{}", rows(&found));
}
