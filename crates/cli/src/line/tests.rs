//! The whole command line: what is read, and what is said when it cannot be.

use std::ffi::OsString;

use super::*;
use crate::exit::{FAILED, REFUSED, SUCCESS};
use crate::usage;

fn arguments(words: &[&str]) -> Vec<OsString> {
    ["stockade"].iter().chain(words).map(OsString::from).collect()
}

/// The exit code and the message of a command line that is not read.
fn refused(words: &[&str]) -> (u8, String) {
    let all = arguments(words);
    let Err(error) = Line::read(&all) else { panic!("{words:?} is read") };
    match usage::answer(&error, &all) {
        Ok(code) => (code, String::new()),
        Err(failure) => (failure.code, failure.message.unwrap_or_default()),
    }
}

#[test]
fn clap_finds_nothing_wrong_with_it() {
    Line::command().debug_assert();
    command().debug_assert();
}

#[test]
fn every_command_is_read_and_so_is_its_longer_name() {
    for words in [
        &["run", "host"][..],
        &["create", "--rm", "host", "sh"],
        &["start", "-a", "x"],
        &["attach", "--sig-proxy=false", "x"],
        &["ps", "-aq", "-f", "name=x", "-n", "-1"],
        &["ls"],
        &["inspect", "-f", "{{.Id}}", "x", "y"],
        &["logs", "-f", "-n", "5", "-t", "x"],
        &["wait", "x"],
        &["kill", "-s", "TERM", "x"],
        &["stop", "-t", "-1", "x"],
        &["stop", "--time=3", "x"],
        &["rm", "-fv", "x", "y"],
    ] {
        assert!(Line::read(&arguments(words)).is_ok(), "{words:?}");
        let longer = [&["container"], words].concat();
        assert!(Line::read(&arguments(&longer)).is_ok(), "{longer:?}");
    }
    let id = "0".repeat(64);
    for words in [
        &["info"][..],
        &["version", "--format", "json"],
        &["--data-root", "/d", "--exec-root=/e", "--runtime", "runc", "container-exited", &id],
        &["run", "--runtime", "runc", "host"],
        &["images", "-aq", "--digests", "--no-trunc", "-f", "dangling=true", "--format", "json", "a:1"],
        &["image", "ls"],
        &["image", "list", "busybox"],
        &["rmi", "-f", "--no-prune", "a", "b"],
        &["image", "remove", "a"],
        &["tag", "a", "b:1"],
        &["history", "-H=false", "-q", "--no-trunc", "a"],
        &["save", "-o", "x.tar", "--platform", "linux/amd64", "a", "b"],
        &["load", "-q", "-i", "x.tar"],
        &["push", "-aq", "a"],
        &["image", "pull", "a"],
        &["image", "prune", "-af", "--filter", "until=24h"],
        &["container", "prune", "-f", "--filter", "label!=keep"],
        &["system", "df", "-v"],
        &["system", "prune", "-af", "--volumes"],
        &["system", "info"],
        &["port", "web", "53/udp"],
        &["container", "port", "web"],
        &["ps", "-asn", "3", "-f", "since=x"],
        &["inspect", "-s", "x"],
        &["volume", "create"],
        &["volume", "create", "-d", "local", "--label", "a=b", "-o", "type=none", "--opt", "o=bind", "data"],
        &["volume", "ls", "-q", "-f", "dangling=true", "--format", "json"],
        &["volume", "list"],
        &["volume", "inspect", "-f", "{{.Name}}", "x", "y"],
        &["volume", "rm", "-f", "data", "other"],
        &["volume", "remove", "data"],
        &["volume", "prune", "-af", "--filter", "label=a"],
    ] {
        assert!(Line::read(&arguments(words)).is_ok(), "{words:?}");
    }
}

#[test]
fn one_error_names_the_thing_and_the_way_out() {
    for (words, code, parts) in [
        (
            &["run", "--memry", "5m", "host"][..],
            REFUSED,
            &["unknown flag: --memry", "--memory", "'stockade run --help'"][..],
        ),
        (&["run", "-itx", "host"], REFUSED, &["unknown flag: -x"]),
        (&["run", "-itp", "x", "host"], REFUSED, &["invalid --publish \"x\""]),
        (
            &["create", "--gpus=all", "host"],
            REFUSED,
            &["--gpus is not supported", "--device", "'stockade create --help'"],
        ),
        (
            &["container", "run", "--link", "x", "host"],
            REFUSED,
            &["--link is not supported", "--network", "'stockade container run --help'"],
        ),
        (&["ps", "--publish"], REFUSED, &["unknown flag: --publish", "'stockade ps --help'"]),
        (&["run", "-m"], REFUSED, &["flag needs an argument: --memory"]),
        (&["run", "-m", "x", "host"], REFUSED, &["invalid --memory \"x\""]),
        (&["run", "--cpuset-mems", "x", "host"], REFUSED, &["invalid --cpuset-mems \"x\""]),
        (&["run", "--rm=maybe", "host"], REFUSED, &["invalid --rm \"maybe\": neither true nor false"]),
        (&["run", "--pids-limit", "x", "host"], REFUSED, &["invalid --pids-limit \"x\": not a whole number"]),
        (&["run", "--blkio-weight", "65536", "host"], REFUSED, &["invalid --blkio-weight \"65536\""]),
        (&["run"], FAILED, &["\"stockade run\" requires at least 1 argument"]),
        (&["rm", "-f"], FAILED, &["\"stockade rm\" requires at least 1 argument"]),
        (&["ps", "x"], FAILED, &["\"stockade ps\" does not take the argument \"x\""]),
        (&["search", "x"], FAILED, &["no command \"search\""]),
        (&["inspct", "x"], FAILED, &["no command \"inspct\"", "inspect"]),
        (&["container", "nothing"], FAILED, &["no command \"nothing\" of \"stockade container\""]),
        (&["--data-root"], REFUSED, &["flag needs an argument: --data-root", "'stockade --help'"]),
        (&["--data-root", "run", "rm"], FAILED, &["\"stockade rm\" requires"]),
        (&["--default-network", "run", "rm"], FAILED, &["\"stockade rm\" requires"]),
        (&["--registry-mirror", "run", "rm"], FAILED, &["\"stockade rm\" requires"]),
        (&["volume", "rm"], FAILED, &["\"stockade volume rm\" requires at least 1 argument"]),
        (&["volume", "create", "a/b"], REFUSED, &["invalid characters", "'stockade volume create --help'"]),
        (&["volume", "create", "-d", "nfs"], REFUSED, &["invalid --driver \"nfs\"", "local"]),
        (&["volume", "ls", "-f", "size=1"], REFUSED, &["invalid --filter \"size=1\"", "dangling"]),
        (&["volume", "prune", "--filter", "until=1h"], REFUSED, &["invalid --filter", "label"]),
        (&["volume", "mount", "x"], FAILED, &["no command \"mount\" of \"stockade volume\""]),
        (&["ps", "--filter", "isolation=x"], REFUSED, &["invalid --filter \"isolation=x\"", "ancestor"]),
        (&["port", "web", "80-81"], REFUSED, &["invalid port \"80-81\"", "'stockade port --help'"]),
    ] {
        let (said, message) = refused(words);
        assert_eq!(said, code, "{words:?}: {message}");
        for part in parts {
            assert!(message.contains(part), "{words:?}: {message}");
        }
        assert_eq!(message.lines().count(), 2, "{words:?}: {message}");
    }
    let odd = std::os::unix::ffi::OsStringExt::from_vec(vec![0xff]);
    let all = [arguments(&["run", "host"]), vec![odd]].concat();
    let failure = usage::answer(&Line::read(&all).unwrap_err(), &all).unwrap_err();
    assert!(failure.message.unwrap().contains("UTF-8"));
}

#[test]
fn help_is_no_error() {
    for words in [
        &["--help"][..],
        &["run", "--help"],
        &["help", "run"],
        &["container", "--help"],
        &["--version"],
        &["-v"],
        &["ps", "-h"],
        &[],
    ] {
        assert_eq!(refused(words), (SUCCESS, String::new()), "{words:?}");
    }
}
