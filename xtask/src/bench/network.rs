//! `cargo xtask bench network`: what a network costs a container's start, and what goes through it, in a network namespace of the bench's own.
//!
//! Starts are measured beside containers without a network and beside Podman's bridge; what goes from a container to the host beside a pair of
//! virtual interfaces and a bridge that are made by hand with ip(8).

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use super::engine::{Contender, contenders, shell, within};
use super::milliseconds;
use super::report::{CALLS, Report, Row, machine};

/// How often everything is done unless the user says otherwise.
pub(crate) const ROUNDS: usize = 20;
/// Set in the bench's own namespaces.
const INSIDE: &str = "STOCKADE_BENCH_NETWORK";
/// How many requests are made at a time.
const AT_ONCE: u32 = 16;
/// How long data flows, and requests are made, in a round, in seconds.
const FLOWS: u32 = 2;

/// The hand-made network: the bridge's address and the other end's, and the file that keeps the other end's network namespace.
const BY_HAND: [&str; 2] = ["10.78.0.1", "10.78.0.2"];

/// Measures and prints.
///
/// # Errors
/// If a program or an image is missing, or a call fails: a failed call measures nothing.
pub(crate) fn run(rounds: usize) -> Result<(), String> {
    if std::env::var_os(INSIDE).is_none() {
        if std::env::var_os(stockade_testkit::programs::BIN_DIR).is_none() {
            crate::tests::build()?;
        }
        return in_own_namespaces(rounds);
    }
    within("network", |target, place| {
        println!("{}", machine());
        let contenders = contenders(place)?;
        let archive = target.join("images/busybox/docker.tar").display().to_string();
        contenders.iter().try_for_each(|one| one.call(&["load", "-q", "-i", &archive], place))?;
        print!("{}", starts(&contenders, place, rounds.max(1))?);
        let [ours, ..] = &contenders[..] else { return Err("there is no contender".to_owned()) };
        for report in through(ours, place, rounds.max(1))? {
            print!("{report}");
        }
        Ok(())
    })
}

/// Runs the bench once more where nothing of the machine's networks is seen, nor of what CNI's plugins remember.
fn in_own_namespaces(rounds: usize) -> Result<(), String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let script = "ip link set lo up && for folder in /var/lib/cni /run/netns; do \
                  mkdir -p $folder && mount -t tmpfs tmpfs $folder || exit 1; done; exec \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["--net", "--mount", "--propagation", "private", "sh", "-c", script, "sh"]);
    let status = command.arg(program).args(["bench", "network", &rounds.to_string()]).env(INSIDE, "1").status();
    let status = status.map_err(|error| format!("unshare: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("bench: {status}")) }
}

/// `run --rm` of `true`.
fn starts(contenders: &[Contender], place: &Path, rounds: usize) -> Result<Report, String> {
    let [ours, podman] = contenders else { return Err("there are not two contenders".to_owned()) };
    let all = [("bridge", ours, "bridge"), ("none", ours, "none"), ("podman", podman, "bridge")];
    let mut times = [Vec::new(), Vec::new(), Vec::new()];
    // The first round fills caches.
    for round in 0..=rounds {
        for ((_, contender, network), times) in all.iter().zip(&mut times) {
            let start = Instant::now();
            contender.call(&["run", "--rm", "--network", network, "busybox", "true"], place)?;
            times.extend((round > 0).then_some(milliseconds(start.elapsed())));
        }
    }
    let rows = all.iter().zip(times).map(|((name, ..), times)| Row::new(name, times)).collect();
    Ok(Report {
        title: "run --rm of true with a bridge, without a network, and with Podman's".to_owned(),
        unit: "ms",
        rows,
        goals: Vec::new(),
        invalid: CALLS,
    })
}

/// A place that sends, and the host as it sees it.
struct Sender {
    name: &'static str,
    /// What comes before a program's name.
    within: String,
    host: String,
}

/// From a container to the host, and the same by hand.
fn through(ours: &Contender, place: &Path, rounds: usize) -> Result<Vec<Report>, String> {
    let [host, other] = BY_HAND;
    shell(&format!(
        "ip netns add hand && ip link add hand0 type bridge && ip addr add {host}/24 dev hand0 && ip link set hand0 up && \
         ip link add hand1 master hand0 type veth peer name eth0 netns hand && ip link set hand1 up && \
         ip -n hand addr add {other}/24 dev eth0 && ip -n hand link set eth0 up"
    ))?;
    ours.call(&["network", "create", "-o", "host-access=true", "--subnet", "10.77.0.0/24", "through"], place)?;
    ours.call(&["run", "-d", "--name", "sender", "--network", "through", "busybox", "sleep", "3600"], place)?;
    let pid = shell(&format!("{} inspect -f '{{{{.State.Pid}}}}' sender", ours.command_line()))?;
    let within = format!("nsenter --net=/proc/{}/ns/net", pid.trim());
    let senders = [
        Sender { name: "stockade", within, host: "10.77.0.1".to_owned() },
        Sender { name: "by hand", within: "nsenter --net=/run/netns/hand".to_owned(), host: host.to_owned() },
    ];
    let served = serve(place);
    let measured = served.and_then(|()| {
        Ok(vec![
            report(&senders, "from a container to the host", "Gbit/s", rounds, flow)?,
            report(&senders, "requests of a container to the host", "1/s", rounds, requests)?,
        ])
    });
    let stopped = shell(&format!("cd {} && kill $(cat iperf3.pid) $(cat nginx.pid)", place.display())).map(drop);
    let removed = ours.call(&["rm", "-f", "sender"], place).and(ours.call(&["network", "rm", "through"], place));
    let reports = measured?;
    stopped.and(removed)?;
    Ok(reports)
}

/// Starts servers on the host's side, at all addresses.
fn serve(place: &Path) -> Result<(), String> {
    let folder = place.display();
    let configuration = format!(
        "user root; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/errors; events {{ worker_connections 512; }} \
         http {{ access_log off; keepalive_requests 1000000; server {{ listen 8000; return 200 host; }} }}"
    );
    std::fs::write(place.join("nginx.conf"), configuration).map_err(|error| format!("{folder}: {error}"))?;
    shell(&format!("nginx -e {folder}/errors -c {folder}/nginx.conf && iperf3 -s -D -I {folder}/iperf3.pid && sleep 1"))
        .map(drop)
}

fn report(
    senders: &[Sender; 2],
    title: &str,
    unit: &'static str,
    rounds: usize,
    measure: impl Fn(&Sender) -> Result<f64, String>,
) -> Result<Report, String> {
    let mut values: Vec<Vec<f64>> = senders.iter().map(|_| Vec::new()).collect();
    for round in 0..rounds {
        // Each goes first as often as the other.
        let order = [round % 2, 1 - round % 2];
        for index in order {
            values[index].push(measure(&senders[index])?);
        }
    }
    let rows = senders.iter().zip(values).map(|(sender, values)| Row::new(sender.name, values)).collect();
    Ok(Report { title: title.to_owned(), unit, rows, goals: Vec::new(), invalid: CALLS })
}

/// What iperf3 says was received.
fn flow(sender: &Sender) -> Result<f64, String> {
    let said = shell(&format!("{} iperf3 -J -t {FLOWS} -c {}", sender.within, sender.host))?;
    let said: serde_json::Value = serde_json::from_str(&said).map_err(|error| format!("iperf3: {error}"))?;
    let bits = said["end"]["sum_received"]["bits_per_second"].as_f64();
    bits.map(|bits| bits / 1e9).ok_or_else(|| format!("iperf3 says no rate: {}", said["error"]))
}

/// What wrk says.
fn requests(sender: &Sender) -> Result<f64, String> {
    let said = shell(&format!("{} wrk -t 1 -c {AT_ONCE} -d {FLOWS}s http://{}:8000/", sender.within, sender.host))?;
    let rate = said.lines().find_map(|line| line.strip_prefix("Requests/sec:")?.trim().parse::<f64>().ok());
    // It names errors only if there were some.
    let wrong = said.contains("Socket errors") || said.contains("Non-2xx");
    rate.filter(|_| !wrong).ok_or_else(|| format!("wrk: {said}"))
}
