//! Containers that are started again, and runtimes that hang.

use rustix::process::Signal;
use stockade_monitor::restart::RestartPolicy;
use stockade_monitor::state::Phase;
use stockade_testkit::{Bundle, eventually, requires};

use crate::scene::{LIMIT, Scene};

#[test]
fn the_programs_of_a_restart_are_executed_and_the_count_is_kept() {
    requires!(root, stake, busybox_image, limits);
    let mut scene = Scene::sh("echo run; exit 3");
    scene.order.restart = RestartPolicy::OnFailure { most: 2 };
    let note = scene.folder().join("note");
    let script = |word: &str| format!("echo {word} $0 >>{}", note.display());
    scene.order.before_restart = ["/bin/sh", "-c", &script("before")].map(str::to_owned).to_vec();
    scene.order.on_restart = ["/bin/sh", "-c", &script("on")].map(str::to_owned).to_vec();
    let mut live = scene.run();
    assert_eq!(live.exited(), 3);
    assert_eq!((live.state().restarts, live.logged("stdout").as_str()), (2, "run\nrun\nrun\n"));
    let note = live.text("note");
    let words: Vec<&str> = note.lines().map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(words, ["before", "on", "before", "on"]);
    assert!(note.lines().filter(|line| line.starts_with("on ")).all(|line| line[3..].parse::<i32>().is_ok()), "{note}");
}

#[test]
fn a_client_is_told_of_each_end_and_a_stop_ends_the_wait() {
    requires!(root, stake, busybox_image, limits);
    let mut scene = Scene::sh("exit 4");
    scene.order.restart = RestartPolicy::Always;
    let mut live = scene.launch();
    live.created();
    let client = live.attach();
    live.start();
    assert_eq!(client.rest().code, Some(4));
    eventually("a wait", LIMIT, || live.state().restarts >= 4 && matches!(live.phase(), Phase::Restarting { .. }));
    assert!(!live.is_unlocked());
    live.signal_monitor(Signal::USR1);
    assert_eq!(live.exited(), 4);
    assert!(live.is_unlocked());
}

#[test]
fn a_restart_that_fails_is_the_end_with_its_reason() {
    requires!(root, stake, busybox_image, limits);
    let mut scene = Scene::sh("exit 0");
    scene.order.restart = RestartPolicy::Always;
    scene.order.before_restart = vec!["/bin/false".to_owned()];
    let mut live = scene.run();
    assert_eq!(live.end(), Some(0));
    let Phase::Exited { code, error, .. } = live.phase() else { panic!("{:?}", live.phase()) };
    assert!(code == 125 && error.as_ref().is_some_and(|error| error.contains("/bin/false")), "{code} {error:?}");
    live.scene.bundle.assert_gone();
}

#[test]
fn a_runtime_that_hangs_in_create_does_not_make_the_monitor_hang() {
    requires!(root, stake, busybox_image, limits);
    let scene = Scene::new(Bundle::busybox());
    let program = scene.bundle.folder().join("hanging");
    let script = "#!/bin/sh\ncase \"$*\" in *delete*) exit 0;; esac\nexec sleep 1000\n";
    std::fs::write(&program, script).unwrap();
    std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let mut live = scene.runtime(&[&program.display().to_string()]).launch();
    // The engine goes away: the runtime is killed and all is over.
    live.control = None;
    assert_eq!(live.end(), Some(0));
    assert!(matches!(live.phase(), Phase::Failed { .. }), "{:?}", live.phase());
}
