//! From start to end: exit codes, records, what is left, what is done afterwards.

use rustix::process::Signal;
use stockade_monitor::control::{Command, Report};
use stockade_monitor::frame::Frame;
use stockade_monitor::order::RuntimeKind;
use stockade_monitor::state::Phase;
use stockade_testkit::{Bundle, eventually, requires};

use crate::scene::{Client, LIMIT, Live, Scene, read};

#[test]
fn exit_codes_and_signals_are_recorded_and_told() {
    requires!(root, stake, busybox_image, limits);
    for (script, code, signal) in [
        ("exit 0", 0, None),
        ("exit 7", 7, None),
        ("exit 255", 255, None),
        // The first process of a pid namespace does not die of its own signals: an outer one does it below.
        ("sleep 300", 137, Some(9)),
    ] {
        for kind in [RuntimeKind::Oci, RuntimeKind::Stake] {
            let mut live = Scene::sh(script).kind(kind).run();
            let client = live.attach();
            if signal.is_some() {
                client.send(&Frame::Signal(9));
            }
            let heard = client.rest();
            // The container may have ended before the client came: then there was nobody to accept it.
            assert!(heard.code.is_none_or(|told| told == code), "{heard:?}");
            assert_eq!(live.exited(), code);
            let Phase::Exited { signal: recorded, .. } = live.phase() else { panic!("{:?}", live.phase()) };
            assert_eq!(recorded, signal);
        }
    }
}

#[test]
fn what_a_client_that_was_there_before_the_start_hears_is_everything() {
    requires!(root, stake, busybox_image, limits);
    let mut live = Scene::sh("echo out; echo err >&2; exit 3").launch();
    live.created();
    let client = live.attach();
    live.start();
    let heard = client.rest();
    assert_eq!((&heard.output[..], &heard.error[..], heard.code), (&b"out\n"[..], &b"err\n"[..], Some(3)));
    assert_eq!(live.exited(), 3);
    assert_eq!((live.logged("stdout"), live.logged("stderr")), ("out\n".to_owned(), "err\n".to_owned()));
}

#[test]
fn an_engine_with_nothing_to_do_between_says_start_beforehand() {
    requires!(root, stake, busybox_image, limits);
    for kind in [RuntimeKind::Oci, RuntimeKind::Stake] {
        let mut live = Scene::sh("echo out; exit 3").kind(kind).launch();
        let client = live.attach();
        live.say_start();
        assert!(matches!(live.hear(), Some(Report::Created { .. })));
        assert_eq!((live.hear(), live.hear()), (Some(Report::Started), None));
        let heard = client.rest();
        assert_eq!((&heard.output[..], heard.code), (&b"out\n"[..], Some(3)));
        assert_eq!(live.exited(), 3);
    }
}

#[test]
fn a_runtime_may_be_a_link() {
    requires!(root, stake, busybox_image, limits);
    let mut scene = Scene::sh("exit 3");
    let link = scene.bundle.folder().join("link");
    std::os::unix::fs::symlink(&scene.order.runtime[0], &link).unwrap();
    scene.order.runtime[0] = link.display().to_string();
    assert_eq!(scene.run().exited(), 3);
}

#[test]
fn an_engine_that_said_start_beforehand_and_is_gone_before_the_container_is_made_wants_none() {
    requires!(root, stake, busybox_image, limits);
    let mut live = Scene::sh("echo never").launch();
    live.say_start();
    live.control = None;
    assert_eq!(live.end(), Some(0));
    assert!(matches!(live.phase(), Phase::Failed { code: 125, .. }), "{:?}", live.phase());
    live.scene.bundle.assert_gone();
    assert_eq!(live.logged("stdout"), "");
}

#[test]
fn a_container_that_ends_at_once_is_running_first_and_loses_nothing() {
    requires!(root, stake, busybox_image, limits);
    for _ in 0..5 {
        let mut live = Scene::new(Bundle::busybox().args(&["/bin/echo", "here"])).launch();
        live.created();
        let client = live.attach();
        live.start();
        assert!(matches!(live.phase(), Phase::Running { .. } | Phase::Exited { .. }));
        assert_eq!(client.rest().output, b"here\n");
        assert_eq!(live.exited(), 0);
        assert_eq!(live.logged("stdout"), "here\n");
    }
}

#[test]
fn a_running_container_is_recorded_as_such_and_locked() {
    requires!(root, stake, busybox_image, limits);
    let live = Scene::sh("sleep 300").launch();
    let pid = live.created();
    assert!(!live.is_unlocked());
    let mut live = live;
    live.start();
    assert!(matches!(live.phase(), Phase::Running { pid: running, .. } if running == pid));
    assert_eq!(live.state().monitor, live.child.id().cast_signed());
    assert!(!live.is_unlocked());
    // SIGTERM goes on to the container, whose shell's child dies of it with everything else.
    live.attach().send(&Frame::Signal(9));
    assert_eq!(live.exited(), 137);
    assert!(live.is_unlocked());
}

#[test]
fn signals_to_the_monitor_do_not_end_it() {
    requires!(root, stake, busybox_image, limits);
    let script = "trap 'echo term; exit 5' TERM; echo ready; while :; do sleep 0.05; done";
    let mut live = Scene::sh(script).launch();
    live.created();
    let client = live.attach();
    live.start();
    client.until("ready");
    for signal in [Signal::HUP, Signal::INT, Signal::QUIT, Signal::USR1, Signal::USR2] {
        live.signal_monitor(signal);
    }
    live.signal_monitor(Signal::TERM);
    let heard = client.rest();
    assert_eq!((heard.output, heard.code), (b"term\n".to_vec(), Some(5)));
    assert_eq!(live.exited(), 5);
}

#[test]
fn the_container_inherits_nothing_of_the_monitor() {
    requires!(root, stake, busybox_image, limits);
    let script = "ls /proc/self/fd; grep SigIgn /proc/self/status; grep SigBlk /proc/self/status";
    let mut live = Scene::sh(script).launch();
    live.created();
    let client = live.attach();
    live.start();
    // 3 is what `ls` itself opened. The caller of the monitor ignored SIGINT (bit 1).
    let said = String::from_utf8(client.rest().output).unwrap();
    let words: Vec<&str> = said.split_whitespace().collect();
    assert_eq!([&words[..5], &words[6..]].concat(), ["0", "1", "2", "3", "SigIgn:", "SigBlk:", "0000000000000000"]);
    // 32 and 33 are libc's own, and nobody can set them through it.
    assert_eq!(u64::from_str_radix(words[5], 16).unwrap() & !(0b11 << 31), 0, "{said}");
    assert_eq!(live.exited(), 0);
}

#[test]
fn the_monitor_keeps_nothing_of_its_caller() {
    requires!(root, stake, busybox_image, limits);
    let mut live = Scene::sh("sleep 300").run();
    let process = std::path::PathBuf::from(format!("/proc/{}", live.child.id()));
    let files: Vec<_> = std::fs::read_dir(process.join("fd")).unwrap().flatten().collect();
    let targets: Vec<_> = files.iter().map(|file| std::fs::read_link(file.path()).unwrap()).collect();
    assert!(!targets.iter().any(|target| target.ends_with("passwd")), "{targets:?}");
    for standard in ["fd/0", "fd/1", "fd/2"] {
        assert_eq!(std::fs::read_link(process.join(standard)).unwrap().to_str(), Some("/dev/null"));
    }
    assert_eq!(std::fs::read_link(process.join("cwd")).unwrap().to_str(), Some("/"));
    let stat = read(&process.join("stat"));
    let session = stat.rsplit_once(')').unwrap().1.split_whitespace().nth(3).unwrap().to_owned();
    assert_eq!(session, live.child.id().to_string());
    live.attach().send(&Frame::Signal(9));
    assert_eq!(live.exited(), 137);
}

#[test]
fn the_program_for_the_end_runs_once_with_the_lock_free_and_before_clients_are_told() {
    requires!(root, stake, busybox_image, limits);
    let scene = Scene::sh("exit 4");
    let folder = scene.folder().display().to_string();
    let script = format!(
        "exec >>{folder}/left; flock -n {folder}/monitor.lock echo free; grep -o '\"code\":4' {folder}/state.json; pwd; env | sort; \
         sleep 0.3; echo done"
    );
    let mut live = scene.on_exit(&script).launch();
    live.created();
    let client = live.attach();
    live.start();
    assert_eq!(client.rest().code, Some(4));
    let left = live.text("left");
    let lines: Vec<&str> = left.lines().filter(|line| !line.starts_with("_=")).collect();
    let path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    assert_eq!(lines, ["free", "\"code\":4", "/", path, "PWD=/", "done"]);
    assert_eq!(live.exited(), 4);
    assert_eq!(live.text("left"), left);
}

/// A container whose end writes into a file, started by an engine that is to finish it; and a client.
fn awaited(script: &str) -> (Live, Client) {
    let scene = Scene::sh(script);
    let left = format!("echo left >>{}/left", scene.folder().display());
    let live = scene.on_exit(&left).launch();
    live.created();
    let client = live.attach();
    live.say(Command::StartAndFinish);
    assert_eq!(live.hear(), Some(Report::Started));
    (live, client)
}

#[test]
fn an_engine_that_waits_does_the_work_of_the_end_before_clients_are_told() {
    requires!(root, stake, busybox_image, cgroup_v1);
    let (mut live, client) = awaited("exit 4");
    assert_eq!(live.hear(), Some(Report::Ended));
    assert!(matches!(live.phase(), Phase::Exited { code: 4, .. }), "{:?}", live.phase());
    assert!(live.is_unlocked());
    assert!(!client.has_word(), "the client was told before");
    live.say(Command::Finished);
    assert_eq!(client.rest().code, Some(4));
    assert_eq!(live.exited(), 4);
    assert_eq!(live.text("left"), "");
}

#[test]
fn an_engine_that_waited_and_has_gone_is_not_relied_on() {
    requires!(root, stake, busybox_image, cgroup_v1);
    // It goes while the container runs, when it is told of the end, and it does not answer.
    let (mut live, client) = awaited("sleep 0.3; exit 4");
    live.control = None;
    assert_eq!(client.rest().code, Some(4));
    assert_eq!((live.exited(), live.text("left").as_str()), (4, "left\n"));
    let (mut live, client) = awaited("exit 4");
    assert_eq!(live.hear(), Some(Report::Ended));
    live.control = None;
    assert_eq!(client.rest().code, Some(4));
    assert_eq!((live.exited(), live.text("left").as_str()), (4, "left\n"));
    let (mut live, client) = awaited("exit 4");
    assert_eq!(live.hear(), Some(Report::Ended));
    assert_eq!(client.rest().code, Some(4));
    assert_eq!((live.exited(), live.text("left").as_str()), (4, "left\n"));
}

#[test]
fn a_program_for_the_end_that_fails_does_not_keep_the_end_from_clients() {
    requires!(root, stake, busybox_image, limits);
    for (words, trouble) in [(vec!["/bin/false"], "failed"), (vec!["/no/such"], "cannot execute \"/no/such\"")] {
        let mut scene = Scene::sh("exit 4");
        scene.order.on_exit = words.into_iter().map(str::to_owned).collect();
        let mut live = scene.launch();
        live.created();
        let client = live.attach();
        live.start();
        assert_eq!(client.rest().code, Some(4));
        assert_eq!(live.end(), Some(0));
        assert!(live.troubles().contains(trouble), "{}", live.troubles());
    }
}

#[test]
fn the_engine_that_ends_after_the_start_is_not_missed() {
    requires!(root, stake, busybox_image, limits);
    let mut live = Scene::sh("sleep 0.3; echo on; exit 2").launch();
    live.created();
    live.say_start();
    live.control = None;
    assert_eq!(live.exited(), 2);
    assert_eq!(live.logged("stdout"), "on\n");
}

#[test]
fn a_killed_monitor_leaves_the_lock_and_what_the_runtime_can_delete() {
    requires!(root, stake, busybox_image, limits);
    let mut live = Scene::sh("sleep 300").run();
    live.signal_monitor(Signal::KILL);
    assert_eq!(live.end(), None);
    eventually("the lock to be free", LIMIT, || live.is_unlocked());
    assert!(matches!(live.phase(), Phase::Running { .. }));
    live.scene.bundle.delete_by_force().ok();
    live.scene.bundle.assert_gone();
}

#[test]
fn descendants_that_hold_the_output_do_not_keep_the_end() {
    requires!(root, stake, busybox_image, limits);
    let bundle = Bundle::busybox().without_namespace("pid");
    let script = "(trap '' HUP; echo from below; while :; do sleep 0.05; echo x; done) & sleep 0.3; exit 6";
    let mut live = Scene::new(bundle.sh(script)).launch();
    live.created();
    let client = live.attach();
    live.start();
    let heard = client.rest();
    assert_eq!(heard.code, Some(6));
    assert_eq!(live.exited(), 6);
    assert_eq!(live.logged("stdout").into_bytes(), heard.output);
}

#[test]
fn orphans_of_the_container_are_reaped() {
    requires!(root, stake, busybox_image, limits);
    let bundle = Bundle::busybox().without_namespace("pid");
    let script = "for i in 1 2 3 4 5; do (sleep 0.01 & sleep 0.001) & done; wait; sleep 0.2; echo ready; sleep 300";
    let mut live = Scene::new(bundle.sh(script)).launch();
    live.created();
    let client = live.attach();
    live.start();
    client.until("ready");
    let id = live.child.id();
    let children = format!("/proc/{id}/task/{id}/children");
    eventually("the orphans to be gone", LIMIT, || read(children.as_ref()).split_whitespace().count() == 1);
    client.send(&Frame::Signal(9));
    assert_eq!(client.rest().code, Some(137));
    assert_eq!(live.exited(), 137);
}

#[test]
fn a_container_that_is_killed_before_its_start_is_told_as_failed() {
    requires!(root, stake, busybox_image, limits);
    for (kind, words) in
        [(RuntimeKind::Oci, "stopped"), (RuntimeKind::Stake, "ended while it was being prepared: signal 9")]
    {
        let mut live = Scene::sh("echo never").kind(kind).launch();
        live.created();
        live.attach().send(&Frame::Signal(9));
        eventually("the container to stop", LIMIT, || live.scene.bundle.status() == "stopped");
        live.say_start();
        let Some(Report::Failed { code: 125, message }) = live.hear() else { panic!("it started") };
        assert!(message.contains(words), "{message}");
        assert_eq!(live.end(), Some(0));
        assert!(matches!(live.phase(), Phase::Failed { code: 125, .. }));
        live.scene.bundle.assert_gone();
        assert_eq!(live.logged("stdout"), "");
    }
}
