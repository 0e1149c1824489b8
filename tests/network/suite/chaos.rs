//! Containers on networks by eight at once, with random kills: no interface, rule, address, process or network namespace is left.
//!
//! What is random comes from `STOCKADE_TEST_SEED`, which is printed.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use stockade_testkit::processes::{self, kill};
use stockade_testkit::{Dice, dice, eventually, requires};

use crate::place::Place;

const WORKERS: u64 = 8;
/// How many containers are started, and for how long at most.
const CYCLES: u64 = 100;
const LONGEST: Duration = Duration::from_secs(20);
/// In the command lines of all that a container has.
const CONTAINERS: &str = "/data/containers/";

/// One of the eight: its share of all cycles.
fn work(place: &Place, mut dice: Dice, worker: u64, end: Instant) {
    let folder = place.stockade.folder().display().to_string();
    let image = place.stockade.image().to_owned();
    for cycle in 0..CYCLES.div_ceil(WORKERS) {
        if Instant::now() > end {
            return;
        }
        let name = format!("c{worker}-{cycle}");
        let network = ["net", "six", "bridge"][usize::try_from(dice.below(3)).unwrap()];
        let port = format!("{}:80", 9000 + worker);
        let flags = ["run", "-d", "--name", &name, "--network", network, "-p", &port, &image, "sleep", "1000"];
        let running = place.call(&flags).start();
        let fate = dice.below(4);
        if fate < 2 {
            std::thread::sleep(Duration::from_millis(dice.below(400)));
        }
        match fate {
            // Whichever process of it is there: commands, monitors, runtimes, name servers.
            0 => {
                let all = processes::ids_with(&[&folder, CONTAINERS]);
                if let Some(pid) = all.get(usize::try_from(dice.below(all.len().max(1) as u64)).unwrap()) {
                    kill(*pid);
                }
            }
            1 => kill(running.pid()),
            _ => {}
        }
        running.wait().either_way();
        place.ask(&["rm", "-f", &name]).either_way();
    }
}

/// The names of interfaces of the host, but those that the test made.
fn interfaces(place: &Place) -> BTreeSet<String> {
    let said = place.on_host(&["ip", "-o", "link"]).run().ok();
    let name = |line: &str| line.split(": ").nth(1).map(|name| name.split('@').next().unwrap_or(name).to_owned());
    said.out().lines().filter_map(name).filter(|name| name != "lo" && name != "up0").collect()
}

#[test]
fn nothing_is_left_whoever_is_killed() {
    requires!(root, stockade, busybox_packed, ip, nft);
    let seed = dice::seed();
    let place = Place::new();
    place.ask(&["network", "create", "net"]).ok().either_way();
    place.ask(&["network", "create", "--ipv6", "six"]).ok().either_way();
    let image = place.stockade.image().to_owned();
    place.ask(&["run", "--rm", &image, "true"]).ok().either_way();
    let before = interfaces(&place);
    let end = Instant::now() + LONGEST;
    std::thread::scope(|scope| {
        for worker in 0..WORKERS {
            let dice = Dice::of_worker(seed, worker);
            let place = &place;
            scope.spawn(move || work(place, dice, worker, end));
        }
    });
    // Whichever command comes next settles what killed ones have left.
    let ids = place.ask(&["ps", "-aq", "--no-trunc"]).ok();
    for id in ids.out().lines() {
        place.ask(&["rm", "-f", id]).ok().either_way();
    }
    assert_clean(&place, &before);
}

fn assert_clean(place: &Place, before: &BTreeSet<String>) {
    let folder = place.stockade.folder().display().to_string();
    eventually("the end of all processes", Duration::from_secs(30), || {
        processes::ids_with(&[&folder, CONTAINERS]).is_empty()
    });
    // The kernel removes interfaces with their network namespace, after its last process.
    eventually("the interfaces of containers to go", Duration::from_secs(30), || {
        interfaces(place).iter().all(|name| !name.starts_with("veth"))
    });
    let left: Vec<String> =
        interfaces(place).difference(before).filter(|name| !name.starts_with("br-")).cloned().collect();
    assert!(left.is_empty(), "{left:?}");
    let rules = place.on_host(&["nft", "list", "ruleset"]).run().ok();
    for word in ["veth", " 900"] {
        assert!(!rules.out().contains(word), "{word}: {}", rules.out());
    }
    for network in ["net", "six", "bridge"] {
        let found = place.ask(&["network", "inspect", network]).ok();
        assert_eq!(found.json()[0]["Containers"].as_object().map(serde_json::Map::len), Some(0), "{network}");
    }
    let leases = place.stockade.folder().join("exec/networks");
    for entry in std::fs::read_dir(leases).unwrap().map(Result::unwrap) {
        let files =
            std::fs::read_dir(entry.path()).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
        let files: Vec<String> = files.filter(|name| !name.starts_with('.')).collect();
        assert!(files.is_empty(), "{files:?}");
    }
    // All ports and addresses can be had again.
    let image = place.stockade.image().to_owned();
    let ports = ["-p", "9000-9007:80-87"];
    place.call(&["run", "--rm", "--network", "net"]).args(ports).args([&image, "true"]).run().ok().either_way();
}
