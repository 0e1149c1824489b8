//! What lists say of networks and ports, in Docker's words.

use stockade_testkit::requires;

use crate::place::Place;

#[test]
fn ports_and_networks_are_listed_and_asked_for() {
    requires!(root, stockade, busybox_packed, ip, nft);
    let place = Place::new();
    place.ask(&["network", "create", "front"]).ok().either_way();
    place.ask(&["network", "create", "back"]).ok().either_way();
    let image = place.stockade.image().to_owned();
    let published = ["-p", "8080:80", "-p", "127.0.0.1:5300:53/udp", "-p", "8081-8082:81-82", "--expose", "443"];
    let run = place.call(&["run", "-d", "--name", "web", "--network", "front"]).args(published);
    let id = place.stockade.know(run.args([&image, "sleep", "1000"]).run().ok().out());
    place.ask(&["network", "connect", "back", "web"]).ok().either_way();
    let other = place.call(&["run", "-d", "--name", "other", "--network", "back", &image, "sleep", "1000"]).run().ok();
    drop(place.stockade.know(other.out()));
    let row = place.ask(&["ps", "-f", "name=web", "--format", "{{.Networks}}|{{.Ports}}"]).ok();
    let ports = "443/tcp, 0.0.0.0:8080-8082->80-82/tcp, 127.0.0.1:5300->53/udp";
    assert_eq!(row.out(), format!("front,back|{ports}"));
    let front = place.inspect("front", "{{.Id}}");
    for (filter, expected) in [
        ("network=front", "web"),
        ("network=back", "other\nweb"),
        (&format!("network={}", &front[..10]), "web"),
        ("publish=80", "web"),
        ("publish=8080", ""),
        ("expose=443", "web"),
        ("expose=53/udp", "web"),
    ] {
        let found = place.ask(&["ps", "-f", filter, "--format", "{{.Names}}"]).ok();
        assert_eq!(found.out(), expected, "{filter}");
    }
    let said = place.ask(&["port", "web"]).ok();
    let all = "53/udp -> 127.0.0.1:5300\n80/tcp -> 0.0.0.0:8080\n81/tcp -> 0.0.0.0:8081\n82/tcp -> 0.0.0.0:8082";
    assert_eq!(said.out(), all);
    assert_eq!(place.ask(&["container", "port", &id[..12], "80"]).ok().out(), "0.0.0.0:8080");
    assert_eq!(place.ask(&["port", "web", "53/udp"]).ok().out(), "127.0.0.1:5300");
    let none = |words: &[&str]| place.ask(words).exits(1);
    none(&["port", "web", "443"]).refuses(&["no public port '443/tcp' published for web"]).either_way();
    none(&["port", "other", "80/udp"]).refuses(&["no public port '80/udp' published for other"]).either_way();
    none(&["port", "nobody"]).refuses(&["no such container: nobody"]).either_way();
    assert_eq!(place.ask(&["port", "other"]).ok().out(), "");
    // What is damaged of one hides nothing of another.
    let leases = place.stockade.folder().join("exec/networks").join(place.inspect("back", "{{.Id}}"));
    let other = std::fs::read_dir(leases).unwrap().map(|entry| entry.unwrap().path());
    let other = other.into_iter().find(|path| !path.display().to_string().contains(&id)).unwrap();
    let lease = std::fs::read(&other).unwrap();
    std::fs::write(&other, "{").unwrap();
    let row = place.ask(&["ps", "-f", "name=web", "--format", "{{.Networks}}|{{.Ports}}"]).ok();
    assert_eq!(row.out(), format!("front,back|{ports}"));
    std::fs::write(other, lease).unwrap();
    // One that does not run has no port, but still those that it was to have.
    place.ask(&["stop", "-t", "0", "web"]).ok().either_way();
    let row = place.ask(&["ps", "-a", "-f", "publish=80", "--format", "{{.Names}}|{{.Ports}}|{{.Networks}}"]).ok();
    assert_eq!(row.out(), "web||front,back");
    assert_eq!(place.ask(&["port", "web"]).ok().out(), "");
}
