//! Containers that do not come to be: what is told, with which code, and that nothing is left.

use std::process::Command;

use stockade_monitor::control::Report;
use stockade_monitor::order::{JsonFile, Log, RuntimeKind};
use stockade_monitor::state::Phase;
use stockade_testkit::{Bundle, requires};

use crate::scene::{Live, Scene};

/// Waits for the failure, and for the monitor to leave nothing; the code and the message.
#[track_caller]
fn fails(live: &mut Live) -> (u8, String) {
    let report = live.hear();
    let Some(Report::Failed { code, message }) = report else { panic!("{report:?}") };
    assert_eq!(live.hear(), None);
    assert_eq!(live.end(), Some(0));
    assert_eq!(live.phase(), Phase::Failed { code, error: message.clone() });
    assert_eq!(live.text("left"), "once\n");
    assert!(live.is_unlocked());
    live.scene.bundle.assert_gone();
    (code, message)
}

/// All that may be known of our runtime: nothing too.
const KINDS: [RuntimeKind; 2] = [RuntimeKind::Oci, RuntimeKind::Stake];

fn with_on_exit(scene: Scene) -> Scene {
    let left = scene.folder().join("left");
    scene.on_exit(&format!("echo once >>{}", left.display()))
}

#[test]
fn programs_that_can_not_be_executed_have_dockers_codes() {
    requires!(root, stake, busybox_image, limits);
    for (program, code, words) in [
        ("no-such-program", 127, "executable file not found in $PATH"),
        ("/no/such", 127, "no such file or directory"),
        ("/etc", 126, "is a directory"),
        ("/plain", 126, "permission denied"),
    ] {
        for (terminal, kind) in KINDS.into_iter().flat_map(|kind| [(false, kind), (true, kind)]) {
            let bundle = Bundle::busybox().args(&[program]);
            let bundle = bundle.edit(|config| config["process"]["terminal"] = terminal.into());
            std::fs::write(bundle.rootfs().join("plain"), "text").unwrap();
            let mut live = with_on_exit(Scene::new(bundle).kind(kind)).launch();
            let (told, message) = fails(&mut live);
            assert!(told == code && message.contains(words), "{program}: {told} {message}");
            assert_eq!(live.troubles(), "");
            assert_eq!(live.logged("stderr"), "", "the runtime's words are not the container's");
        }
    }
}

#[test]
fn a_program_that_the_kernel_refuses_fails_at_the_start() {
    requires!(root, stake, busybox_image, limits);
    for kind in KINDS {
        let bundle = Bundle::busybox().args(&["/broken"]);
        let file = bundle.rootfs().join("broken");
        std::fs::write(&file, "\x7fELF no program").unwrap();
        std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let mut live = with_on_exit(Scene::new(bundle).kind(kind)).launch();
        live.created();
        let client = live.attach();
        live.say_start();
        let (code, message) = fails(&mut live);
        assert!(code == 126 && message.to_lowercase().contains("exec format error"), "{code} {message}");
        assert_eq!(client.rest().code, Some(126));
        assert_eq!(live.troubles(), "", "nobody waits for the first process that stake has waited for");
    }
}

#[test]
fn a_runtime_that_is_killed_between_create_and_start_leaves_nothing() {
    requires!(root, stake, busybox_image, limits);
    let mut live = with_on_exit(Scene::sh("sleep 1000").kind(RuntimeKind::Stake)).launch();
    let first = live.created();
    let status = std::fs::read_to_string(format!("/proc/{first}/status")).unwrap();
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:\t")).unwrap();
    let runtime = rustix::process::Pid::from_raw(parent.parse().unwrap()).unwrap();
    assert_ne!(runtime, rustix::process::Pid::from_child(&live.child));
    rustix::process::kill_process(runtime, rustix::process::Signal::KILL).unwrap();
    let (code, message) = fails(&mut live);
    assert!(code == 125 && message.contains("run ended with signal 9"), "{code} {message}");
}

#[test]
fn what_is_no_program_at_fault_is_125() {
    requires!(root, stake, busybox_image, limits);
    let missing = Bundle::busybox().mount("bind", "/no/such/source", "/mnt", &["bind"]);
    for bundle in [missing, Bundle::busybox().raw("{ no json")] {
        let (code, message) = fails(&mut with_on_exit(Scene::new(bundle)).launch());
        assert!(code == 125 && !message.is_empty(), "{code} {message}");
    }
}

#[test]
fn a_runtime_that_can_not_be_executed_is_named() {
    requires!(root, stake, busybox_image, limits);
    for kind in KINDS {
        let mut live = with_on_exit(Scene::sh("true").runtime(&["/no/such/runtime"]).kind(kind)).launch();
        // An engine that says so beforehand does not know yet.
        live.say_start();
        let (code, message) = fails(&mut live);
        assert!(code == 125 && message.contains("cannot execute the runtime /no/such/runtime"), "{code} {message}");
    }
}

#[test]
fn a_runtime_that_says_nothing_to_its_log_is_heard_on_its_standard_error() {
    requires!(root, stake, busybox_image, limits);
    for terminal in [false, true] {
        let mut scene = with_on_exit(Scene::sh("true")).runtime(&["/bin/sh", "-c", "echo it is broken >&2; exit 1"]);
        scene.order.terminal = terminal;
        let (code, message) = fails(&mut scene.launch());
        assert_eq!((code, message.as_str()), (125, "it is broken"));
    }
}

#[test]
fn a_runtime_that_tells_a_foreign_process_is_not_believed() {
    requires!(root, stake, busybox_image, limits);
    for (pid, words) in [("1", "not a child"), ("x", "no process id"), ("0", "no process id"), ("-1", "no process id")]
    {
        let scene = with_on_exit(Scene::sh("true"));
        let file = scene.folder().join("pid");
        let script = format!("test \"$4\" = delete || echo {pid} >{}", file.display());
        let scene = scene.runtime(&["/bin/sh", "-c", &script]);
        let (code, message) = fails(&mut scene.launch());
        assert!(code == 125 && message.contains(words), "{pid}: {message}");
    }
}

#[test]
fn a_runtime_that_keeps_the_terminal_is_an_error() {
    requires!(root, stake, busybox_image, limits);
    let scene = with_on_exit(Scene::terminal("true")).runtime(&["/bin/true"]);
    let (code, message) = fails(&mut scene.launch());
    assert!(code == 125 && message.contains("terminal"), "{message}");
}

#[test]
fn a_log_that_can_not_be_opened_keeps_the_container_from_being_made() {
    requires!(root, stake, busybox_image, limits);
    let mut scene = with_on_exit(Scene::sh("true"));
    scene.order.log = Log::JsonFile(JsonFile::unlimited("/no/such/folder/log".into()));
    let (code, message) = fails(&mut scene.launch());
    assert!(code == 125 && message.contains("/no/such/folder/log"), "{message}");
}

#[test]
fn the_engine_that_ends_before_the_start_leaves_nothing() {
    requires!(root, stake, busybox_image, limits);
    let mut live = Scene::sh("echo never").launch();
    live.created();
    let client = live.attach();
    live.control = None;
    assert_eq!(client.rest().code, Some(125));
    assert_eq!(live.end(), Some(0));
    assert!(matches!(live.phase(), Phase::Failed { code: 125, .. }));
    assert_eq!(live.text("log.json"), "");
    live.scene.bundle.assert_gone();
}

#[test]
fn an_engine_that_says_something_else_is_as_good_as_gone() {
    requires!(root, stake, busybox_image, limits);
    let mut live = with_on_exit(Scene::sh("echo never")).launch();
    live.created();
    let control = live.control.as_ref().unwrap();
    rustix::net::send(control, b"\"Stop\"", rustix::net::SendFlags::NOSIGNAL).unwrap();
    assert_eq!(fails(&mut live).0, 125);
}

#[test]
fn an_order_that_is_wrong_is_told_to_the_engine() {
    requires!(root, stake, busybox_image, limits);
    let mut live = Scene::sh("true").runtime(&[]).launch();
    let Some(Report::Failed { code: 125, message }) = live.hear() else { panic!("it was made") };
    assert!(message.contains("monitor.json names no runtime"), "{message}");
    assert_eq!(live.end(), Some(125));
    live.scene.bundle.assert_gone();
}

#[test]
fn who_is_not_the_engine_gets_a_clear_answer() {
    let run = |script: &str| {
        let monitor = env!("CARGO_BIN_EXE_stockade-monitor");
        let output = Command::new("bash").args(["-c", script, monitor]).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    for (script, words) in [
        ("exec \"$0\"", "usage: stockade-monitor FOLDER"),
        ("exec \"$0\" a b", "usage: stockade-monitor FOLDER"),
        ("exec \"$0\" /tmp", "descriptor 3 is not there"),
        ("exec \"$0\" /tmp 3</dev/null", "descriptor 4 is not there"),
        ("exec \"$0\" /tmp 3</dev/null 4</dev/null 5</dev/null", "descriptor 3 is not a listening socket"),
    ] {
        let (code, said) = run(script);
        assert_eq!(code, Some(125), "{script}: {said}");
        assert!(said.contains(words) && said.lines().count() == 1, "{script}: {said}");
    }
}
