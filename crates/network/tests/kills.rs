//! Addresses are taken by five hundred processes at once, of which many are killed at whatever they are at: no two containers that live have one
//! address, and none is lost.
//!
//! It forks, which takes a program with one thread: it brings its own harness.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::Path;
use std::process::ExitCode;
use std::thread::sleep;
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, kill_process, waitpid};
use stockade_kernel::clone::{Forked, Request, clone3};
use stockade_kernel::exec::exit_now;
use stockade_network::addresses::AddressError;
use stockade_network::model::{BridgeOptions, Driver, Network, NetworkId, Subnet};
use stockade_network::store::{Lease, Networks, StoreError, Wish};
use stockade_testkit::{Dice, dice};

/// How many take an address.
const MOST: u32 = 500;
/// How many more addresses there are: the network is a /23, with addresses of its own and of the gateway.
const SPARE: u32 = 509 - MOST;

fn main() -> ExitCode {
    let seed = dice::seed();
    let place = tempfile::tempdir().unwrap();
    let done = std::panic::catch_unwind(|| crowd(place.path(), seed));
    let (word, passed) = if done.is_ok() { ("ok", 1) } else { ("FAILED", 0) };
    println!("test addresses_survive_kills ... {word} (STOCKADE_TEST_SEED={seed})");
    println!("test result: {word}. {passed} passed; {} failed; 0 ignored; 0 measured; 0 filtered out", 1 - passed);
    if done.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn network() -> Network {
    let subnet = |net: &str, gateway: &str| Subnet {
        subnet: net.parse().unwrap(),
        gateway: Some(gateway.parse().unwrap()),
        ip_range: None,
        auxiliary: Default::default(),
    };
    Network {
        id: NetworkId::random().unwrap(),
        name: "crowd".parse().unwrap(),
        created: String::new(),
        driver: Driver::Bridge(BridgeOptions::default()),
        interface: "br-crowd".parse().unwrap(),
        subnets: vec![subnet("10.0.0.0/23", "10.0.0.1"), subnet("fd00::/64", "fd00::1")],
        internal: false,
        ipv6: true,
        mtu: None,
        labels: Default::default(),
        options: Default::default(),
    }
}

fn wish(number: u32) -> Wish {
    Wish {
        container: format!("{number:064x}"),
        ipv4: None,
        ipv6: None,
        mac: None,
        interface: "eth0".parse().unwrap(),
        gateway: true,
        ports: Vec::new(),
        dns_names: vec![format!("c{number}")],
    }
}

/// In a child: an address is taken, by some of them twice, and given back between.
fn take(networks: &Networks, network: &Network, number: u32) -> u8 {
    let join = || networks.share().and_then(|share| share.join(network, &wish(number), |_| true));
    let done = join().and_then(|_| match number % 3 {
        0 => networks.leave(&network.id, &wish(number).container).and_then(|_| join()).map(drop),
        _ => Ok(()),
    });
    u8::from(done.is_err())
}

/// The addresses of these, each of which nobody else has.
fn distinct(leases: &[Lease]) -> BTreeSet<IpAddr> {
    let of = |lease: &Lease| [lease.endpoint.ipv4.map(IpAddr::V4), lease.endpoint.ipv6.map(IpAddr::V6)];
    let all: Vec<IpAddr> = leases.iter().flat_map(of).flatten().collect();
    let set: BTreeSet<IpAddr> = all.iter().copied().collect();
    assert_eq!(all.len(), set.len(), "an address was given twice");
    assert_eq!(all.len(), 2 * leases.len(), "somebody has not both");
    set
}

fn crowd(place: &Path, seed: u64) {
    let mut dice = Dice::new(seed);
    let (data, exec) = (place.join("data"), place.join("exec"));
    for path in [&data, &exec] {
        std::fs::create_dir(path).unwrap();
    }
    let networks = Networks::open(&data, &exec).unwrap();
    let network = network();
    networks.alone().unwrap().create(&network).unwrap();
    let mut all: Vec<(Pid, u32)> = Vec::new();
    for number in 0..MOST {
        match clone3(&Request::default()).unwrap() {
            Forked::Child => exit_now(take(&networks, &network, number)),
            Forked::Parent { pid, .. } => all.push((pid, number)),
        }
        if dice.below(3) == 0 {
            sleep(Duration::from_micros(dice.below(400)));
            let (victim, _) = dice.pick(&all);
            // It is not waited for yet, so that the number is still its own.
            kill_process(victim, Signal::KILL).unwrap();
        }
    }
    let (mut lives, mut dead) = (BTreeSet::new(), BTreeSet::new());
    for (pid, number) in all {
        let status: WaitStatus = waitpid(Some(pid), WaitOptions::empty()).unwrap().unwrap().1;
        match status.exit_status() {
            Some(0) => lives.insert(wish(number).container),
            Some(code) => panic!("{number} ended with {code}"),
            None => dead.insert(wish(number).container),
        };
    }
    assert!(lives.len() > 100 && dead.len() > 10, "{} live and {} are dead", lives.len(), dead.len());
    let leases = networks.endpoints(&network.id).unwrap();
    distinct(&leases);
    for container in &lives {
        assert!(leases.iter().any(|lease| lease.endpoint.container == *container), "{container} has lost its address");
    }
    reclaim(&networks, &network, &lives, &dead);
}

/// All that the dead had can be had again, and no more.
fn reclaim(networks: &Networks, network: &Network, lives: &BTreeSet<String>, dead: &BTreeSet<String>) {
    let free = u32::try_from(dead.len()).unwrap() + SPARE;
    let share = networks.share().unwrap();
    let alive = |container: &str| !dead.contains(container);
    for number in 0..free {
        share.join(network, &wish(MOST + number), alive).unwrap();
    }
    let full = share.join(network, &wish(MOST + free), alive).unwrap_err();
    assert!(matches!(full, StoreError::Address { source: AddressError::Exhausted(_), .. }), "{full:?}");
    let leases = networks.endpoints(&network.id).unwrap();
    distinct(&leases);
    assert!(lives.iter().all(|one| leases.iter().any(|lease| lease.endpoint.container == *one)));
    for lease in leases {
        assert!(networks.leave(&network.id, &lease.endpoint.container).unwrap());
    }
    assert!(networks.containers(&network.id).unwrap().is_empty());
}
