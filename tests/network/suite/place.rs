//! A host and a neighbour, each a network namespace, and `stockade` run on the host.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use stockade_testkit::call::{Call, Finished, Running, eventually};
use stockade_testkit::stockade::{Stockade, named_reference};

static NEXT: AtomicU32 = AtomicU32::new(0);

/// Where the host is seen from outside, and the neighbour from the host.
pub(crate) const HOST: &str = "192.0.2.1";
pub(crate) const OUTSIDE: &str = "192.0.2.2";
/// The same of IPv6.
pub(crate) const HOST_SIX: &str = "2001:db8::1";
pub(crate) const OUTSIDE_SIX: &str = "2001:db8::2";

/// Both namespaces and the engine's folders. Dropping it removes containers, processes and namespaces.
pub(crate) struct Place {
    pub(crate) stockade: Stockade,
    host: String,
    outside: String,
}

fn ip(arguments: &[&str]) -> Finished {
    Call::new("ip").args(arguments).run()
}

impl Place {
    /// The neighbour answers questions for names at its address if the test starts a server there.
    pub(crate) fn new() -> Self {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = |what: &str| format!("sk{}-{number}-{what}", std::process::id());
        let place = Self { stockade: Stockade::in_own_namespace(), host: name("host"), outside: name("out") };
        let (host, outside) = (place.host.as_str(), place.outside.as_str());
        for namespace in [host, outside] {
            ip(&["netns", "add", namespace]).ok().either_way();
            ip(&["-n", namespace, "link", "set", "lo", "up"]).ok().either_way();
        }
        ip(&["-n", host, "link", "add", "up0", "type", "veth", "peer", "name", "up0", "netns", outside])
            .ok()
            .either_way();
        for (namespace, address, six) in [(host, HOST, HOST_SIX), (outside, OUTSIDE, OUTSIDE_SIX)] {
            ip(&["-n", namespace, "addr", "add", &format!("{address}/24"), "dev", "up0"]).ok().either_way();
            ip(&["-n", namespace, "addr", "add", &format!("{six}/64"), "dev", "up0", "nodad"]).ok().either_way();
            ip(&["-n", namespace, "link", "set", "up0", "up"]).ok().either_way();
        }
        ip(&["-n", host, "route", "add", "default", "via", OUTSIDE]).ok().either_way();
        std::fs::write(place.resolv_conf(), format!("nameserver {OUTSIDE}\n")).unwrap();
        place
    }

    /// The host's, which is seen there only.
    fn resolv_conf(&self) -> String {
        self.stockade.folder().join("resolv.conf").display().to_string()
    }

    /// A program in a namespace. Not by `ip netns exec`, which hides the control groups.
    fn within(namespace: &str) -> Call {
        Call::new("nsenter").arg(format!("--net=/run/netns/{namespace}"))
    }

    /// A program on the host.
    pub(crate) fn on_host(&self, words: &[&str]) -> Call {
        Self::within(&self.host).args(words)
    }

    /// A program of the neighbour's.
    pub(crate) fn outside(&self, words: &[&str]) -> Call {
        Self::within(&self.outside).args(words)
    }

    /// `stockade` on the host.
    pub(crate) fn call(&self, words: &[&str]) -> Call {
        let script = "mount --bind \"$0\" /etc/resolv.conf && exec \"$@\"";
        let call = Self::within(&self.host).args(["unshare", "-m", "--propagation", "slave", "sh", "-c", script]);
        call.arg(self.resolv_conf()).args(self.stockade.command_line()).args(words)
    }

    /// The same to its end.
    pub(crate) fn ask(&self, words: &[&str]) -> Finished {
        self.call(words).run()
    }

    /// A detached container of an image that runs a script; its id.
    #[track_caller]
    pub(crate) fn detached(&self, flags: &[&str], script: &str) -> String {
        let image = named_reference("debian", "rootfs");
        let done = self.call(&["run", "-d"]).args(flags).args([&image, "bash", "-c", script]).run().ok();
        self.stockade.know(done.out())
    }

    /// A container in the foreground, to its end.
    #[track_caller]
    pub(crate) fn run(&self, flags: &[&str], script: &str) -> Finished {
        let image = named_reference("debian", "rootfs");
        self.call(&["run", "--rm"]).args(flags).args([&image, "bash", "-c", script]).run()
    }

    /// One answer of `inspect --format`.
    #[track_caller]
    pub(crate) fn inspect(&self, name: &str, template: &str) -> String {
        self.ask(&["inspect", "--format", template, name]).ok().out().to_owned()
    }

    /// A server of web pages on the host or outside that says one word.
    pub(crate) fn says(&self, call: impl Fn(&[&str]) -> Call, port: u16, word: &str) -> Running {
        // In a file, because socat has a grammar of its own for quotes.
        let script = self.stockade.folder().join(format!("says-{port}"));
        std::fs::write(&script, format!("printf 'HTTP/1.0 200 OK\\r\\n\\r\\n{word}'")).unwrap();
        let answer = format!("EXEC:sh {}", script.display());
        call(&["socat", &format!("TCP-LISTEN:{port},fork,reuseaddr"), &answer]).start()
    }

    /// What a page says, once there is one.
    #[track_caller]
    pub(crate) fn page(&self, call: impl Fn(&[&str]) -> Call, address: &str) -> String {
        let url = format!("http://{address}/");
        let mut said = String::new();
        eventually(&format!("{url} to answer"), Duration::from_secs(20), || {
            let done = call(&["curl", "-sS", "-g", "-m", "3", &url]).run();
            said = done.out().to_owned();
            let there = done.code() == 0;
            done.either_way();
            there
        });
        said
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let listed = self.ask(&["ps", "-aq"]);
        let ids: Vec<&str> = listed.out().lines().collect();
        if !ids.is_empty() {
            self.call(&["rm", "-f"]).args(&ids).run().either_way();
        }
        listed.either_way();
        for namespace in [&self.host, &self.outside] {
            let pids = ip(&["netns", "pids", namespace]);
            for pid in pids.out().lines() {
                Call::new("kill").args(["-9", pid]).run().either_way();
            }
            pids.either_way();
            ip(&["netns", "del", namespace]).either_way();
        }
    }
}
