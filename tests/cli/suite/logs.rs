//! `logs`, and the drivers that keep them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use stockade_testkit::{Call, Stockade, eventually, requires};

/// The container's folder.
fn folder(stockade: &Stockade, id: &str) -> PathBuf {
    stockade.data().join("containers").join(id)
}

/// The files of a log, with the numbers of their names.
fn files(stockade: &Stockade, id: &str) -> BTreeMap<String, u64> {
    let all = std::fs::read_dir(folder(stockade, id)).unwrap().map(Result::unwrap);
    let all = all.map(|entry| (entry.file_name().into_string().unwrap(), entry.metadata().unwrap().len()));
    all.filter(|(name, _)| name.starts_with("container-json.log")).collect()
}

#[test]
fn what_cannot_be_kept_as_asked_is_refused_by_name() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    let cases: [(&[&str], &str); 6] = [
        (&["--log-driver", "local"], "log driver \"local\" is not supported: json-file with --log-opt max-size=20m"),
        (&["--log-driver", "syslog"], "log driver \"syslog\" is not supported"),
        (&["--log-opt", "max-sise=1m"], "unknown log opt \"max-sise\" for log driver json-file"),
        (&["--log-opt", "max-size=-1"], "invalid log opt max-size=\"-1\""),
        (&["--log-opt", "compress=true"], "not compressed"),
        (&["--log-opt", "max-size"], "--log-opt"),
    ];
    for (flags, said) in cases {
        stockade.run(flags, &["true"]).exits(125).refuses(&[said]);
    }
    assert_eq!(stockade.ids(), Vec::<String>::new());
}

#[test]
fn files_are_rotated_and_read_in_their_order() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    let flags = ["--log-opt", "max-size=20k", "--log-opt", "max-file=3"];
    let id = stockade.detached(&flags, &["sh", "-c", "seq 1 2000; echo err >&2"]);
    stockade.until(&id, "exited");
    let found = files(&stockade, &id);
    let names = ["container-json.log", "container-json.log.1", "container-json.log.2"];
    assert_eq!(found.keys().collect::<Vec<_>>(), names);
    assert!(found.values().all(|length| *length < 20_200), "{found:?}");
    let done = stockade.ask(&["logs", &id]).ok();
    let numbers: Vec<u32> = done.stdout.lines().map(|line| line.parse().unwrap()).collect();
    // The last ones, without a hole, out of three files: each has some 250.
    assert_eq!(numbers, (2001 - numbers.len() as u32..=2000).collect::<Vec<_>>());
    assert!(numbers.len() > 500, "{}", numbers.len());
    assert_eq!(done.stderr, "err\n");
    let tail = stockade.ask(&["logs", "-n", "400", &id]).ok();
    assert_eq!((tail.stdout.lines().count(), tail.stdout.lines().next()), (399, Some("1602")));
    let options = stockade.inspect(&id, "{{json .HostConfig.LogConfig}}");
    assert_eq!(options, r#"{"Config":{"max-file":"3","max-size":"20k"},"Type":"json-file"}"#);
    // One file: nothing of what was rotated stays.
    let id = stockade.detached(&["--log-opt", "max-size=2k"], &["seq", "1", "2000"]);
    stockade.until(&id, "exited");
    assert_eq!(files(&stockade, &id).len(), 1);
    assert!(stockade.ask(&["logs", &id]).ok().stdout.ends_with("1999\n2000\n"));
}

/// Readers, which begin at different times and follow while files are replaced some fifty times a second.
#[test]
fn who_follows_gets_every_line_once_across_rotations() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    let script = "i=0; while [ $i -lt 60 ]; do seq $((i*100+1)) $((i*100+100)); sleep 0.02; i=$((i+1)); done";
    let flags = ["--log-opt", "max-size=4k", "--log-opt", "max-file=1000"];
    let id = stockade.detached(&flags, &["sh", "-c", script]);
    let first = stockade.call(&["logs", "-f", &id]).start();
    eventually("some lines", Duration::from_secs(30), || first.stdout_so_far().lines().count() > 1000);
    let middle = stockade.call(&["logs", "-f", "--tail", "150", &id]).start();
    let late = stockade.call(&["logs", "-f", "--tail", "0", &id]).start();
    let all = stockade.call(&["logs", "-f", &id]).start();
    let numbers = |text: &str| text.lines().map(|line| line.parse().unwrap()).collect::<Vec<u32>>();
    let whole: Vec<u32> = (1..=6000).collect();
    for reader in [first, all] {
        let done = reader.wait().ok();
        assert_eq!((numbers(&done.stdout) == whole, done.stderr.as_str()), (true, ""));
    }
    for (reader, least) in [(middle, 150), (late, 0)] {
        let found = numbers(&reader.wait().ok().stdout);
        assert!(found.len() >= least && found.len() < 6000, "{}", found.len());
        assert!(found == whole[6000 - found.len()..], "{found:?}");
    }
    assert!(files(&stockade, &id).len() > 50);
    assert_eq!(numbers(&stockade.ask(&["logs", &id]).ok().stdout), whole);
}

#[test]
fn who_follows_too_slowly_is_told_what_is_missing() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    let flags = ["--log-opt", "max-size=2k", "--log-opt", "max-file=2"];
    let script = "echo first; read go; seq 1 5000; read go";
    let id = stockade.detached(&[&flags[..], &["-i"]].concat(), &["sh", "-c", script]);
    let reader = stockade.call(&["logs", "-f", &id]).start();
    eventually("the first line", Duration::from_secs(30), || reader.stdout_so_far() == "first\n");
    reader.signal(rustix::process::Signal::STOP);
    let attached = |text: &[u8]| stockade.call(&["attach", "--sig-proxy=false", &id]).stdin(text).start();
    let writer = attached(b"\n");
    eventually("all to be written", Duration::from_secs(30), || {
        stockade.ask(&["logs", "-n", "1", &id]).ok().stdout == "5000\n"
    });
    reader.signal(rustix::process::Signal::CONT);
    eventually("the last line", Duration::from_secs(30), || reader.stdout_so_far().ends_with("5000\n"));
    stockade.ask(&["kill", &id]).ok();
    drop(writer);
    let done = reader.wait().ok();
    assert!(done.stderr.contains("WARNING: lines are missing here"), "{done:?}");
    let numbers: Vec<u32> = done.stdout.lines().skip(1).map(|line| line.parse().unwrap()).collect();
    assert!(numbers.is_sorted() && numbers.windows(2).all(|pair| pair[0] != pair[1]), "{numbers:?}");
}

#[test]
fn times_and_details() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    let flags = ["--log-opt", "tag={{.Name}} of {{.ImageName}}", "--log-opt", "labels=a.b,none", "--log-opt", "env=X"];
    let flags = [&flags[..], &["--label", "a.b=c d", "-e", "X=1=2", "--name", "said"]].concat();
    let id = stockade.detached(&flags, &["sh", "-c", "echo one; sleep 0.4; echo two; sleep 0.4; echo three"]);
    stockade.until(&id, "exited");
    let done = stockade.ask(&["logs", "--details", "-t", "-n", "1", "said"]).ok();
    let (time, rest) = done.out().split_once(' ').unwrap();
    assert_eq!(time.len(), "2026-01-01T00:00:00.000000000Z".len(), "{time}");
    let image: String = stockade.image().replace('/', "%2F").replace(':', "%3A");
    assert_eq!(rest, format!("X=1%3D2,a.b=c+d,tag=said+of+{image} three"));
    let all = stockade.ask(&["logs", "-t", "said"]).ok();
    let times: Vec<&str> = all.stdout.lines().map(|line| line.split_once(' ').unwrap().0).collect();
    let since = |time: &str| stockade.ask(&["logs", "--since", time, "said"]).ok().stdout;
    let until = |time: &str| stockade.ask(&["logs", "--until", time, "said"]).ok().stdout;
    assert_eq!((since(times[1]).as_str(), until(times[1]).as_str()), ("two\nthree\n", "one\ntwo\n"));
    assert_eq!((since("1h").as_str(), until("1h").as_str()), ("one\ntwo\nthree\n", ""));
    // --tail counts first, as in Docker.
    let both = stockade.ask(&["logs", "--since", times[1], "-n", "1", "said"]).ok();
    assert_eq!(both.stdout, "three\n");
    stockade.ask(&["logs", "--since", "yesterday", "said"]).exits(125).refuses(&["--since", "yesterday"]);
    // A line of several entries has one time.
    let long = stockade.detached(&[], &["sh", "-c", "printf %020000d 0; echo end"]);
    stockade.until(&long, "exited");
    let done = stockade.ask(&["logs", "-t", &long]).ok();
    assert_eq!(done.stdout.len(), "2026-01-01T00:00:00.000000000Z ".len() + 20_004, "{}", done.stdout.len());
    // Until a time that comes while nothing is written.
    let silent = stockade.detached(&[], &["sh", "-c", "echo one; sleep 1000"]);
    let soon = (std::time::SystemTime::now() + Duration::from_secs(1)).duration_since(std::time::UNIX_EPOCH).unwrap();
    let soon = format!("{}.{:09}", soon.as_secs(), soon.subsec_nanos());
    assert_eq!(stockade.ask(&["logs", "-f", "--until", &soon, &silent]).ok().stdout, "one\n");
    stockade.ask(&["kill", &silent]).ok();
}

#[test]
fn a_damaged_log_is_read_as_far_as_it_goes() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    let id = stockade.detached(&[], &["echo", "whole"]);
    stockade.until(&id, "exited");
    let path = folder(&stockade, &id).join("container-json.log");
    let entry = std::fs::read(&path).unwrap();
    let half = &entry[..entry.len() / 2];
    // Half a line at the end: it may be written on.
    std::fs::write(&path, [&entry, half].concat()).unwrap();
    let done = stockade.ask(&["logs", &id]).ok();
    assert_eq!((done.stdout.as_str(), done.stderr.as_str()), ("whole\n", ""));
    let noise = vec![b'x'; 20 << 20];
    std::fs::write(&path, [&entry[..], half, b"\n\0\xff\n{}\n", &entry, &noise, b"\n", &entry].concat()).unwrap();
    let done = stockade.ask(&["logs", &id]).ok();
    assert_eq!(done.stdout, "whole\n".repeat(3));
    assert!(done.stderr.contains("damaged, and left out here: 4"), "{}", done.stderr);
    // A new run writes on behind it.
    std::fs::write(&path, half).unwrap();
    stockade.ask(&["start", "-a", &id]).ok();
    assert_eq!(stockade.ask(&["logs", &id]).ok().stdout, "whole\n");
    std::fs::remove_file(&path).unwrap();
    let done = stockade.ask(&["logs", &id]).ok();
    assert_eq!((done.stdout.as_str(), done.stderr.as_str()), ("", ""));
}

/// A file system that is full is told in the log as soon as there is room, and by `inspect`.
#[test]
fn output_that_found_no_room_is_a_gap() {
    requires!(root, stockade, busybox_packed, unshare);
    let stockade = Stockade::new();
    let place = stockade.folder().join("full");
    std::fs::create_dir(&place).unwrap();
    // The log is on a small file system, in a mount namespace that the monitor inherits.
    let line: Vec<String> = stockade.command_line().into_iter().map(|word| format!("'{word}'")).collect();
    let script = format!(
        r#"set -e; mount -t tmpfs -o size=64k none '{place}'; data='{data}'
        id=$({line} create -i {image} sh -c 'while read n; do seq $n; echo all; done')
        mount --bind '{place}' '{place}'; touch '{place}/log' "$data/containers/$id/container-json.log"
        mount --bind '{place}/log' "$data/containers/$id/container-json.log"
        mkfifo '{place}/go'; {line} start -a -i $id <'{place}/go' >'{place}-out' & exec 3>'{place}/go'
        until_said() {{ n=0; until [ "$(grep -c all '{place}-out')" = $1 ]; do sleep 0.05; n=$((n+1)); [ $n -lt 400 ]; done; }}
        head -c 60000 /dev/zero >'{place}/filler'
        echo 1000 >&3; until_said 1
        rm '{place}/filler'
        echo 2 >&3; until_said 2
        {line} inspect --format '{{{{json .Stockade.Troubles}}}}' $id
        exec 3>&-; wait; {line} logs $id
        umount "$data/containers/$id/container-json.log"; {line} rm $id >/dev/null"#,
        place = place.display(),
        data = stockade.data().display(),
        line = line.join(" "),
        image = stockade.image(),
    );
    let done = Call::new("unshare").args(["--mount", "sh", "-c", &script]).run().ok();
    assert!(done.stdout.contains("output is lost to the log: No space left on device"), "{done:?}");
    assert!(done.stderr.contains("lines are missing here: No space left on device"), "{done:?}");
    assert!(done.stdout.ends_with("\n1\n2\nall\n"), "{done:?}");
}

/// `unshare --mount` in which `folder` is the place of the journal's socket, with `path` first in `PATH`, and then `line`.
fn with_journal(folder: &Path, line: &[String]) -> Call {
    let script = "mkdir -p /run/systemd && mount -t tmpfs none /run/systemd && mkdir /run/systemd/journal \
                  && mount --bind \"$0\" /run/systemd/journal && exec \"$@\"";
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap());
    Call::new("unshare").args(["--mount", "sh", "-c", script]).arg(folder).args(line).env("PATH", path)
}

#[test]
fn the_journal_keeps_a_log_with_dockers_fields_and_journalctl_reads_it() {
    requires!(root, stockade, busybox_packed, unshare);
    let stockade = Stockade::new();
    let place = stockade.folder().join("journal");
    std::fs::create_dir(&place).unwrap();
    let socket = std::os::unix::net::UnixDatagram::bind(place.join("socket")).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let words = |words: &[&str]| {
        let mut line = stockade.command_line();
        line.extend(words.iter().map(|word| (*word).to_owned()));
        line
    };
    let run = ["run", "-d", "--log-driver", "journald", "--log-opt", "tag=t/{{.Name}}", "--log-opt", "labels=my.label"];
    let run = [
        &run[..],
        &["--label", "my.label=l", "--name", "kept", stockade.image(), "sh", "-c", "echo one; echo two >&2"],
    ];
    let id = stockade.know(with_journal(&place, &words(&run.concat())).run().ok().out());
    let mut buffer = [0; 4096];
    let mut entry = || {
        let length = socket.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    };
    let (one, two) = (entry(), entry());
    let image = stockade.image();
    for field in [
        "MESSAGE=one",
        "PRIORITY=6",
        "CONTAINER_NAME=kept",
        "CONTAINER_TAG=t/kept",
        "SYSLOG_IDENTIFIER=t/kept",
        "MY_LABEL=l",
        &format!("CONTAINER_ID={}", &id[..12]),
        &format!("CONTAINER_ID_FULL={id}"),
        &format!("IMAGE_NAME={image}"),
    ] {
        assert!(one.lines().any(|line| line == field), "{field} is not in {one}");
    }
    assert!(two.contains("\nMESSAGE=two\n") && two.contains("\nPRIORITY=3\n"), "{two}");
    // What reads it is journalctl, of which there is none here that knows this journal.
    stockade.until(&id, "exited");
    let script = format!(
        "#!/bin/sh\necho \"$*\" >>{}\n[ \"$1\" = --sync ] && exit\ncat <<'E'\n{}\n{}\nE\n",
        place.join("asked").display(),
        r#"{"__CURSOR":"c1","__REALTIME_TIMESTAMP":"1000000","PRIORITY":"6","MESSAGE":"one","MY_LABEL":"l"}"#,
        r#"{"__CURSOR":"c2","__REALTIME_TIMESTAMP":"2000000","PRIORITY":"3","MESSAGE":"two"}"#,
    );
    std::fs::write(place.join("journalctl"), script).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(place.join("journalctl"), mode).unwrap();
    let path = format!("{}:{}", place.display(), std::env::var("PATH").unwrap());
    let ask = |words: &[&str]| stockade.call(words).env("PATH", &path).run();
    let done = ask(&["logs", "--details", "-n", "2", "kept"]).ok();
    assert_eq!((done.stdout.as_str(), done.stderr.as_str()), ("MY_LABEL=l one\n", " two\n"));
    let asked = std::fs::read_to_string(place.join("asked")).unwrap();
    assert_eq!(asked, format!("--output=json --all --quiet --no-pager --lines=2 CONTAINER_ID_FULL={id}\n"));
    assert_eq!(ask(&["logs", "-f", "--until", "1", "kept"]).ok().stdout, "one\n");
    let done = stockade.call(&["logs", "kept"]).env("PATH", "/nowhere").run().exits(1);
    done.refuses(&["the log is in the host's journal", "journalctl"]);
    // Without a journal nothing starts.
    let none = stockade.folder().join("none");
    std::fs::create_dir(&none).unwrap();
    let done =
        with_journal(&none, &words(&["run", "--rm", "--log-driver", "journald", stockade.image(), "true"])).run();
    done.exits(125).refuses(&["the journal does not answer at /run/systemd/journal/socket"]);
}
