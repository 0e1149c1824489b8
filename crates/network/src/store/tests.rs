//! Networks and endpoints, by several at once and after kills.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use super::*;
use crate::model::{BridgeOptions, Driver, Subnet};

fn open(place: &Path) -> Networks {
    let (data, exec) = (place.join("data"), place.join("exec"));
    for path in [&data, &exec] {
        std::fs::create_dir_all(path).unwrap();
    }
    Networks::open(&data, &exec).unwrap()
}

fn network(name: &str, subnets: &[&str]) -> Network {
    let subnet = |text: &&str| Subnet {
        subnet: text.parse().unwrap(),
        gateway: crate::addresses::first(&text.parse().unwrap()),
        ip_range: None,
        auxiliary: BTreeMap::new(),
    };
    Network {
        id: NetworkId::random().unwrap(),
        name: name.parse().unwrap(),
        created: "2026-01-01T00:00:00Z".into(),
        driver: Driver::Bridge(BridgeOptions::default()),
        interface: "br-test".parse().unwrap(),
        subnets: subnets.iter().map(subnet).collect(),
        internal: false,
        ipv6: subnets.len() > 1,
        mtu: None,
        labels: BTreeMap::new(),
        options: BTreeMap::new(),
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

#[test]
fn a_network_is_there_or_not() {
    let place = tempfile::tempdir().unwrap();
    let networks = open(place.path());
    let (one, two) = (network("b", &["10.0.0.0/24"]), network("a", &["10.0.1.0/24"]));
    for network in [&one, &two] {
        networks.alone().unwrap().create(network).unwrap();
    }
    assert_eq!(networks.list().unwrap(), [two.clone(), one.clone()]);
    assert_eq!(networks.find(&one.id).unwrap(), Some(one.clone()));
    networks.share().unwrap().join(&one, &wish(1), |_| true).unwrap();
    networks.alone().unwrap().remove(&one.id).unwrap();
    assert!(matches!(networks.alone().unwrap().remove(&one.id), Err(StoreError::Missing(_))));
    assert!(matches!(networks.share().unwrap().join(&one, &wish(1), |_| true), Err(StoreError::Missing(_))));
    assert_eq!(networks.list().unwrap(), [two]);
    // As a kill leaves it.
    std::fs::create_dir(place.path().join("data/networks/.unfinished/x")).unwrap();
    open(place.path());
    assert!(!place.path().join("data/networks/.unfinished/x").exists());
}

#[test]
fn damaged_and_newer_records_are_told() {
    let place = tempfile::tempdir().unwrap();
    let networks = open(place.path());
    let one = network("b", &["10.0.0.0/24"]);
    networks.alone().unwrap().create(&one).unwrap();
    let path = place.path().join("data/networks").join(one.id.as_str()).join(RECORD);
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replacen("\"version\":1", "\"version\":2", 1)).unwrap();
    assert!(matches!(networks.list(), Err(StoreError::Version(_))));
    std::fs::write(&path, "{").unwrap();
    assert!(matches!(networks.list(), Err(StoreError::Damaged { .. })));
}

#[test]
fn addresses_are_kept_given_back_and_taken_from_the_dead() {
    let place = tempfile::tempdir().unwrap();
    let networks = open(place.path());
    let net = network("n", &["10.0.0.0/29", "fd00::/64"]);
    networks.alone().unwrap().create(&net).unwrap();
    let share = networks.share().unwrap();
    let first = share.join(&net, &wish(1), |_| true).unwrap();
    assert_eq!(first.endpoint.ipv4, Some(Ipv4Addr::new(10, 0, 0, 2)));
    assert_eq!(first.endpoint.ipv6.unwrap().to_string(), "fd00::2");
    assert_eq!(first.endpoint.mac.to_string(), "02:42:0a:00:00:02");
    let again = share.join(&net, &wish(1), |_| true).unwrap();
    assert_eq!((again.endpoint.ipv4, again.endpoint.ipv6), (first.endpoint.ipv4, first.endpoint.ipv6));
    assert_eq!(networks.endpoint(&net.id, &wish(1).container).unwrap(), Some(again));
    let fixed = Wish { ipv4: Some(Ipv4Addr::new(10, 0, 0, 2)), ..wish(2) };
    let taken = share.join(&net, &fixed, |_| true).unwrap_err();
    assert!(matches!(taken, StoreError::Address { source: AddressError::InUse(_), .. }), "{taken:?}");
    // It moves to another address: the old one is free at once.
    let moved = Wish { ipv4: Some(Ipv4Addr::new(10, 0, 0, 6)), ..wish(1) };
    share.join(&net, &moved, |_| true).unwrap();
    share.join(&net, &fixed, |_| true).unwrap();
    for number in 3..6 {
        share.join(&net, &wish(number), |_| true).unwrap();
    }
    let full = share.join(&net, &wish(9), |_| true).unwrap_err();
    assert!(matches!(full, StoreError::Address { source: AddressError::Exhausted(_), .. }), "{full:?}");
    let got = share.join(&net, &wish(9), |container| container != wish(4).container).unwrap();
    assert_eq!(networks.containers(&net.id).unwrap().len(), 5);
    assert!(got.endpoint.ipv4.is_some());
    assert!(networks.leave_all(&wish(9).container).unwrap() && !networks.leave_all(&wish(9).container).unwrap());
    networks.change(&net.id, &wish(1).container, |lease| lease.dns_names.push("alias".into())).unwrap();
    assert_eq!(networks.endpoint(&net.id, &wish(1).container).unwrap().unwrap().dns_names, ["c1", "alias"]);
    assert_eq!(networks.endpoints(&net.id).unwrap().len(), 4);
}

#[test]
fn a_network_without_a_family_has_no_such_address() {
    let place = tempfile::tempdir().unwrap();
    let networks = open(place.path());
    let net = network("n", &["10.0.0.0/29"]);
    networks.alone().unwrap().create(&net).unwrap();
    let six = Wish { ipv6: Some("fd00::5".parse().unwrap()), ..wish(1) };
    let error = networks.share().unwrap().join(&net, &six, |_| true).unwrap_err();
    assert_eq!(error.to_string(), "network n has no IPv6 addresses");
}

#[test]
fn five_hundred_at_once_have_addresses_of_their_own() {
    let place = tempfile::tempdir().unwrap();
    let networks = open(place.path());
    let net = network("n", &["10.0.0.0/23", "fd00::/64"]);
    networks.alone().unwrap().create(&net).unwrap();
    let workers: Vec<_> = (0..10u32)
        .map(|worker| {
            let (networks, net) = (networks.clone(), net.clone());
            std::thread::spawn(move || {
                for number in 0..50 {
                    networks.share().unwrap().join(&net, &wish(worker * 50 + number), |_| true).unwrap();
                }
            })
        })
        .collect();
    workers.into_iter().for_each(|worker| worker.join().unwrap());
    let all = networks.endpoints(&net.id).unwrap();
    let four: std::collections::BTreeSet<_> = all.iter().filter_map(|lease| lease.endpoint.ipv4).collect();
    let six: std::collections::BTreeSet<_> = all.iter().filter_map(|lease| lease.endpoint.ipv6).collect();
    assert_eq!((all.len(), four.len(), six.len()), (500, 500, 500));
    for number in 0..500 {
        assert!(networks.leave(&net.id, &wish(number).container).unwrap());
    }
    assert!(networks.endpoints(&net.id).unwrap().is_empty());
    let next = networks.share().unwrap().join(&net, &wish(1), |_| true).unwrap();
    assert_eq!(next.endpoint.ipv4, Some(Ipv4Addr::new(10, 0, 1, 246)), "what was given back is used last");
}
