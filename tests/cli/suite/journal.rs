//! Logs in a real journal: systemd's own, in a mount namespace of the test's with a `/run` of its own.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use stockade_testkit::{Call, Finished, Stockade, requires};

/// What journald is told: to keep entries in memory, and to leave the kernel's log and auditing alone.
const SETTINGS: &str = "[Journal]\\nStorage=volatile\\nAudit=no\\nReadKMsg=no\\nForwardToSyslog=no\\nForwardToWall=no\\nRateLimitIntervalSec=0\\n";

/// A script with the program as `stockade`, and a journal of its own that lasts as long; `$OUT` is the folder `out`.
fn with_journald(stockade: &Stockade, out: &Path, script: &str) -> Finished {
    let line = stockade.command_line().iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" ");
    let (out, image) = (out.display(), stockade.image());
    let script = format!(
        "OUT='{out}'; IMAGE='{image}'; stockade() {{ {line} \"$@\"; }}; set -e; mount -t tmpfs none /run; \
         mkdir -p /run/systemd/journal /run/systemd/journald.conf.d /run/log/journal; \
         printf '{SETTINGS}' >/run/systemd/journald.conf.d/own.conf; \
         /lib/systemd/systemd-journald >/dev/null 2>&1 & JOURNAL=$!; trap 'kill $JOURNAL' EXIT; \
         until [ -S /run/systemd/journal/socket ]; do sleep 0.05; done; {script}"
    );
    Call::new("unshare").args(["-m", "sh", "-c", &script]).limit(Duration::from_secs(60)).run()
}

#[test]
fn systemds_journal_has_dockers_fields_and_logs_reads_it() {
    requires!(root, stockade, busybox_packed, unshare, journald);
    let stockade = Stockade::new();
    let out = stockade.folder().join("out");
    std::fs::create_dir(&out).unwrap();
    let script = "stockade run -d --log-driver journald --log-opt 'tag=t/{{.Name}}' --log-opt labels=my.label --label my.label=l --name kept $IMAGE \
                  sh -c 'echo one; sleep 0.1; echo two >&2; sleep 0.1; head -c 20000 /dev/zero | tr \"\\000\" x; echo; sleep 0.1; echo last' >$OUT/id; \
                  stockade logs -f kept >$OUT/followed 2>$OUT/followed-errors; journalctl --sync; \
                  stockade logs kept >$OUT/read 2>$OUT/read-errors; stockade logs -n 1 kept >$OUT/tail; \
                  journalctl -D /run/log/journal --no-pager --all -o json CONTAINER_NAME=kept >$OUT/entries; stockade rm kept";
    let done = with_journald(&stockade, &out, script);
    let said = |name: &str| std::fs::read_to_string(out.join(name)).unwrap_or_else(|error| panic!("{error}: {done:?}"));
    assert_eq!((done.code(), done.out()), (0, "kept"), "{done:?}");
    let id = stockade.know(said("id").trim());
    let long = "x".repeat(20_000);
    for name in ["followed", "read"] {
        assert_eq!(said(name), format!("one\n{long}\nlast\n"), "{name}");
        assert_eq!(said(&format!("{name}-errors")), "two\n", "{name}");
    }
    assert_eq!(said("tail"), "last\n");
    let entries: Vec<Value> = said("entries").lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let field = |entry: &Value, name: &str| entry[name].as_str().unwrap_or_default().to_owned();
    let messages: Vec<usize> = entries.iter().map(|entry| field(entry, "MESSAGE").len()).collect();
    assert_eq!(messages, [3, 3, 16 << 10, 20_000 - (16 << 10), 4]);
    for entry in &entries {
        for (name, value) in [
            ("CONTAINER_ID", &id[..12]),
            ("CONTAINER_ID_FULL", &id),
            ("CONTAINER_NAME", "kept"),
            ("CONTAINER_TAG", "t/kept"),
            ("SYSLOG_IDENTIFIER", "t/kept"),
            ("IMAGE_NAME", stockade.image()),
            ("MY_LABEL", "l"),
            ("_COMM", "stockade-monito"),
        ] {
            assert_eq!(field(entry, name), value, "{name} of {entry}");
        }
    }
    let all = |name: &str| entries.iter().map(|entry| field(entry, name)).collect::<Vec<_>>();
    assert_eq!(all("PRIORITY"), ["6", "3", "6", "6", "6"]);
    assert_eq!(all("CONTAINER_PARTIAL_MESSAGE"), ["", "", "true", "", ""]);
    assert_eq!(all("CONTAINER_PARTIAL_LAST"), ["", "", "false", "true", ""]);
    stockade.assert_gone();
}
