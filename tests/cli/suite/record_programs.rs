//! Real programs, recorded under load: what comes of it is enough for the same load, everything of it is needed, and it is not enough for who
//! has taken the program over.

use std::collections::BTreeSet;

use stockade_testkit::stockade::named_reference;
use stockade_testkit::{Stockade, requires};

use crate::record::{Recorded, assert_enough};

const PATH: &str = "PATH=/usr/lib/postgresql/15/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Calls that are allowed in any case.
const ALWAYS: [&str; 6] = ["pread64", "execve", "exit", "exit_group", "restart_syscall", "rt_sigreturn"];

/// Records `script`, runs it again, and runs it without some of what it was found to need.
fn judge(flags: &[&str], script: &str, without: &[&str]) {
    let stockade = Stockade::with_image(&named_reference("servers", "rootfs"));
    let flags = [&["-e", PATH, "-e", "HOME=/root"], flags].concat();
    // Whether the shell has to wait for a program that it started aside hangs on chance later: here it has to.
    let script = format!("sleep 0.3 & wait $!; {script}");
    let recorded = Recorded::of(&stockade, "r", &flags, &["sh", "-c", &script]);
    assert_enough(&recorded.replay());
    let calls = recorded.calls();
    assert!(calls.len() > 30, "{calls:?}");
    for call in without {
        let done = recorded.replay_without_call(call);
        assert!(done.code() == 3 && done.stderr.contains("[seccomp]"), "{call}: {done:?}");
    }
    let capabilities: BTreeSet<String> =
        recorded.flags().into_iter().filter(|flag| flag.starts_with("cap-add=")).collect();
    for flag in &capabilities {
        let done = recorded.replay_without_flag(flag);
        assert!(done.code() == 3 && done.stderr.contains("[capability]"), "{flag}: {done:?}");
    }
}

#[test]
fn nginx() {
    requires!(root, stockade, servers_image, tracepoints);
    let script = "nginx -g 'daemon off;' & sleep 1; \
                  for i in 1 2 3 4 5; do curl -sf http://127.0.0.1/ > /dev/null || exit 1; done; kill -QUIT $!; wait $!";
    judge(&[], script, &["epoll_wait", "accept4", "sendfile"]);
}

#[test]
fn redis() {
    requires!(root, stockade, servers_image, tracepoints);
    let script = "redis-server --save '' --dir /tmp > /dev/null & sleep 1; \
                  redis-benchmark -q -n 500 -c 5 -t set,get,incr,lpush > /dev/null && redis-cli save && \
                  redis-cli shutdown nosave; wait $!";
    judge(&[], script, &["epoll_ctl", "rename", "setsockopt"]);
}

#[test]
fn postgres() {
    requires!(root, stockade, servers_image, tracepoints);
    let script = "initdb -D /var/lib/postgresql/db > /dev/null && pg_ctl -w -D /var/lib/postgresql/db -l /tmp/log start > /dev/null && \
                  psql -h /var/run/postgresql -d postgres -q -c 'create table t as select generate_series(1, 1000) x' \
                  -c 'select sum(x) from t' -c checkpoint && pg_ctl -w -m fast -D /var/lib/postgresql/db stop > /dev/null";
    judge(&["--user", "postgres"], script, &["shmget", "shmat"]);
}

#[test]
fn python_with_its_own_tests() {
    requires!(root, stockade, servers_image, tracepoints);
    let script = "cd /tmp && python3 -m test -q test_json test_thread test_select > /dev/null 2>&1";
    judge(&[], script, &["getdents64", "lseek"]);
}

#[test]
fn openssh() {
    requires!(root, stockade, servers_image, tracepoints);
    let script = "mkdir -p /run/sshd /root/.ssh && ssh-keygen -q -N '' -f /root/.ssh/id < /dev/null && \
                  cp /root/.ssh/id.pub /root/.ssh/authorized_keys; /usr/sbin/sshd -D -o UsePAM=no & sleep 2; \
                  ssh -o StrictHostKeyChecking=no -o LogLevel=ERROR -i /root/.ssh/id root@127.0.0.1 id && kill $! && wait; true";
    judge(&[], script, &["accept", "setgroups"]);
}

#[test]
fn git() {
    requires!(root, stockade, servers_image, tracepoints);
    let script = "cd /tmp && git init -q r && cd r && git config user.email a@b && git config user.name a && \
                  for i in 1 2 3; do echo $i > f && git add f && git commit -qm $i || exit 1; done && git log > /dev/null && \
                  git clone -q /tmp/r /tmp/c && git -C /tmp/c fsck > /dev/null 2>&1 && git gc -q";
    judge(&[], script, &["chdir", "unlink"]);
}

#[test]
fn curl() {
    requires!(root, stockade, servers_image, tracepoints);
    let script = "busybox httpd -p 8080 -h /etc && sleep 1 && curl -sf http://localhost:8080/passwd -o /tmp/a && \
                  curl -sf file:///etc/passwd -o /tmp/b && cmp /tmp/a /tmp/b && curl -sI http://127.0.0.1:8080/passwd > /dev/null";
    judge(&[], script, &["connect", "listen"]);
}

#[test]
fn httpd_of_busybox() {
    requires!(root, stockade, servers_image, tracepoints);
    // A client asks to be woken only when nothing is there yet: of megabytes that happens each time.
    let script = "busybox httpd -p 80 -h /usr/bin && sleep 1 && file=$(basename $(readlink -f /usr/bin/python3)) && \
                  for i in 1 2 3 4 5; do busybox wget -q -O /dev/null http://127.0.0.1/$file || exit 1; done";
    judge(&[], script, &["accept", "bind"]);
}

/// A server of one process that answers itself, so that nothing but it is recorded.
const SERVER: &str = "
import http.server, threading, urllib.request
server = http.server.HTTPServer(('127.0.0.1', 8000), http.server.SimpleHTTPRequestHandler)
threading.Thread(target=server.serve_forever).start()
for i in range(5):
    urllib.request.urlopen('http://127.0.0.1:8000/').read()
server.shutdown()
";

/// What somebody does who has it execute code of his: each line that is told went well.
const TAKEN_OVER: &str = "
import ctypes, os, socket, subprocess
libc = ctypes.CDLL(None, use_errno=True)
def attempt(name, do):
    try:
        if do() in (None, 0): print(name, flush=True)
    except BaseException:
        pass
attempt('raw', lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP).close())
attempt('packet', lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0).close())
attempt('shell', lambda: subprocess.run(['/bin/sh', '-c', 'id > /dev/null']).returncode)
attempt('write', lambda: open('/etc/cron', 'w').close())
attempt('trace', lambda: libc.ptrace(0, 0, 0, 0))
attempt('owner', lambda: os.chown('/tmp', 1, 1))
attempt('node', lambda: os.mkfifo('/tmp/x'))
attempt('root', lambda: os.chroot('/tmp'))
attempt('memory', lambda: 0 if libc.process_vm_readv(os.getpid(), 0, 0, 0, 0, 0) == 0 else 1)
";

#[test]
fn who_takes_a_recorded_program_over_cannot_do_what_the_default_lets_through() {
    requires!(root, stockade, servers_image, tracepoints);
    let stockade = Stockade::with_image(&named_reference("servers", "rootfs"));
    let flags = ["-e", PATH, "-w", "/usr/share/doc/python3"];
    let before = stockade.run(&flags, &["python3", "-c", TAKEN_OVER]);
    let all = ["raw", "packet", "shell", "write", "trace", "owner", "node", "root", "memory"];
    assert!(before.code() == 0 && all.iter().all(|one| before.stdout.contains(one)), "{before:?}");
    let recorded = Recorded::of(&stockade, "r", &flags, &["python3", "-c", SERVER]);
    assert_enough(&recorded.replay());
    assert!(recorded.calls().len() < 100 && !recorded.calls().contains("ptrace"));
    let after = recorded.replay_of(&["python3", "-c", TAKEN_OVER]);
    assert_eq!((after.code(), after.stdout.as_str()), (3, ""), "{after:?}");
    for always in ALWAYS {
        assert!(recorded.json("seccomp.json").to_string().contains(always), "{always}");
    }
}
