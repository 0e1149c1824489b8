//! What a monitor costs, in bytes and system calls: counts, and no times.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use stockade_testkit::{Stockade, eventually, requires};

/// The most that a monitor may take of memory while its container does nothing, in KiB.
const MOST: u64 = 1024;

/// The most of it that is not the program's file: heap, stack, and what was relocated.
const MOST_OWN: u64 = 256;

/// The sum of a field of the monitor's mappings, in KiB.
fn memory(monitor: &str, field: &str) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{monitor}/smaps_rollup")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(field)).unwrap();
    line.trim().trim_end_matches(" kB").trim().parse().unwrap()
}

#[test]
fn an_idle_monitor_takes_less_than_a_mebibyte() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    let script = "read go; seq 1 200000; echo done; read go";
    let id = stockade.detached(&["-i"], &["sh", "-c", script]);
    let monitor = stockade.inspect(&id, "{{.Stockade.Monitor}}");
    let (all, own) = (memory(&monitor, "Pss:"), memory(&monitor, "Pss_Anon:"));
    assert!(all <= MOST && own <= MOST_OWN, "{all} KiB, of which {own} are not the program's file");
    // What much output took is given back.
    let attached = stockade.call(&["attach", &id]).stdin(b"\n").start();
    eventually("all to be written", Duration::from_secs(60), || {
        stockade.ask(&["logs", "-n", "1", &id]).ok().stdout == "done\n"
    });
    let own = memory(&monitor, "Pss_Anon:");
    assert!(own <= 2 * MOST_OWN, "{own} KiB");
    attached.signal(Signal::KILL);
    attached.wait().either_way();
}

/// `strace` of one process.
struct Traced {
    strace: Child,
    file: std::path::PathBuf,
}

impl Traced {
    fn start(stockade: &Stockade, pid: &str) -> Self {
        let file = stockade.folder().join(format!("trace-{pid}"));
        let mut command = Command::new("strace");
        command.args(["-q", "-o"]).arg(&file).args(["-p", pid]).stdin(Stdio::null());
        let strace = command.stderr(Stdio::null()).spawn().unwrap();
        let traced = Self { strace, file };
        // The call that it waits in is told first.
        eventually("strace to trace", Duration::from_secs(30), || !traced.calls().is_empty());
        traced
    }

    /// The names of the calls so far.
    fn calls(&self) -> Vec<String> {
        let text = std::fs::read_to_string(&self.file).unwrap_or_default();
        text.lines().filter_map(|line| line.split_once('(')).map(|(name, _)| name.trim().to_owned()).collect()
    }
}

impl Drop for Traced {
    fn drop(&mut self) {
        let pid = Pid::from_child(&self.strace);
        if let Err(error) = kill_process(pid, Signal::TERM) {
            eprintln!("strace cannot be ended: {error}");
        }
        if let Err(error) = self.strace.wait() {
            eprintln!("strace cannot be waited for: {error}");
        }
    }
}

#[test]
fn an_idle_monitor_makes_no_call_and_a_line_costs_three() {
    requires!(root, stockade, busybox_packed, strace);
    let stockade = Stockade::new();
    let fifo = stockade.folder().join("fifo");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, 0o666.into(), 0).unwrap();
    let mount = format!("{}:/fifo", fifo.display());
    // Opened for both, so that the container's program does not wait for a writer, and reads no end.
    let id =
        stockade.detached(&["-v", &mount], &["sh", "-c", "exec 3<>/fifo; while read -r line <&3; do echo $line; done"]);
    let monitor = stockade.inspect(&id, "{{.Stockade.Monitor}}");
    let traced = Traced::start(&stockade, &monitor);
    let waits = traced.calls();
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(traced.calls(), waits, "it does something although nothing happens");
    let mut writer = std::fs::File::options().read(true).write(true).open(&fifo).unwrap();
    for number in 1..=20 {
        std::io::Write::write_all(&mut writer, format!("{number}\n").as_bytes()).unwrap();
        let line = format!("{number}\n");
        eventually("the line", Duration::from_secs(30), || stockade.ask(&["logs", "-n", "1", &id]).ok().stdout == line);
    }
    let calls = traced.calls();
    let count = |name: &str| calls.iter().filter(|call| *call == name).count();
    assert_eq!((count("read"), count("write")), (20, 20), "{calls:?}");
    // Each time it waits once more.
    assert!(calls.len() <= waits.len() + 60 + 1, "{}: {calls:?}", calls.len());
}
