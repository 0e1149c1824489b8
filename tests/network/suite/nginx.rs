//! Web servers that people use, each on port 80 of its own.

use stockade_testkit::call::Running;
use stockade_testkit::requires;
use stockade_testkit::stockade::named_reference;

use crate::place::{HOST, HOST_SIX, Place};

/// The host's nginx, in the test's namespace, with nothing of the machine's configuration.
fn of_host(place: &Place) -> Running {
    let folder = place.stockade.folder().join("nginx");
    std::fs::create_dir(&folder).unwrap();
    let at = |name: &str| folder.join(name).display().to_string();
    let text = format!(
        "daemon off; user root; worker_processes 1; pid {}; error_log {}; events {{}} \
         http {{ access_log off; server {{ listen 80; listen [::]:80; return 200 host; }} }}",
        at("pid"),
        at("errors")
    );
    std::fs::write(folder.join("conf"), text).unwrap();
    place.on_host(&["nginx", "-e", &at("errors"), "-c", &at("conf")]).start()
}

#[test]
fn three_nginx_on_port_80_and_the_hosts_are_reached_at_once() {
    requires!(root, stockade, nginx_image, nginx, ip, curl);
    let place = Place::new();
    let host = of_host(&place);
    for network in ["webs", "more"] {
        place.ask(&["network", "create", "--ipv6", network]).ok().either_way();
    }
    let image = named_reference("nginx", "rootfs");
    for (name, port, network) in [("one", "8081", "webs"), ("two", "8082", "webs"), ("three", "8083", "more")] {
        let published = format!("{port}:80");
        let script = format!("printf {name} > /var/www/html/index.html; exec nginx -g 'daemon off;'");
        let flags = ["run", "-d", "--name", name, "--network", network, "-p", &published, &image, "sh", "-c", &script];
        place.stockade.know(place.ask(&flags).ok().out());
    }
    let all = [("8081", "one"), ("8082", "two"), ("8083", "three"), ("80", "host")];
    for (port, word) in all {
        for address in [format!("{HOST}:{port}"), format!("[{HOST_SIX}]:{port}")] {
            assert_eq!(place.page(|words| place.outside(words), &address), word, "{address} from outside");
            assert_eq!(place.page(|words| place.on_host(words), &address), word, "{address} on the host");
        }
        assert_eq!(place.page(|words| place.on_host(words), &format!("127.0.0.1:{port}")), word, "{port}");
    }
    // Now that all of them serve, one program asks all of them.
    let urls = all.map(|(port, _)| format!("http://{HOST}:{port}/"));
    let asked = place.outside(&["curl", "-sS", "-m", "20", "--parallel", "--parallel-immediate"]).args(urls).run().ok();
    let said: usize = all.iter().map(|(_, word)| usize::from(asked.out().contains(word))).sum();
    assert_eq!(said, all.len(), "{}", asked.out());
    host.signal(rustix::process::Signal::TERM);
    host.wait().ok().either_way();
}
