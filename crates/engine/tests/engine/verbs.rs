//! What each verb does and refuses.

use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use serde_json::json;
use sha2::{Digest, Sha256};
use stockade_engine::create::CreateError;
use stockade_engine::engine::OpenError;
use stockade_engine::images::Reference;
use stockade_engine::logs::{Entry, Follow, Found, Query, Stream};
use stockade_engine::network::ask::Attach;
use stockade_engine::policy::namespaces::{Mode, NetworkMode, PidMode, UserMode};
use stockade_engine::request::{Access, Bind, Missing, Propagation};
use stockade_engine::start::StartError;
use stockade_engine::{
    ContainerId, Engine, Force, InspectError, OwnVolumes, RemoveError, Request, State, Stop, create, inspect, kill,
    logs, parse_signal, remove, start, stop, wait,
};

use stockade_spec::IdMapping;

use crate::Case;
use crate::place::Place;

pub(crate) const CASES: &[Case] = &[
    ("attached_output_input_and_code", attached_output_input_and_code),
    ("a_container_that_removes_itself", a_container_that_removes_itself),
    ("a_program_that_is_not_there", a_program_that_is_not_there),
    ("a_running_container_is_removed_by_force_only", a_running_container_is_removed_by_force_only),
    ("a_container_starts_again", a_container_starts_again),
    ("signals_and_stops", signals_and_stops),
    ("a_log_is_followed_to_the_end", a_log_is_followed_to_the_end),
    ("a_name_is_one_containers", a_name_is_one_containers),
    ("what_cannot_be_made_leaves_nothing", what_cannot_be_made_leaves_nothing),
    ("binds_are_there_and_read_only_below", binds_are_there_and_read_only_below),
    ("another_containers_namespaces", another_containers_namespaces),
    ("the_host_sees_no_mount_and_the_container_its_own_files", the_host_sees_no_mount_and_the_container_its_own_files),
    ("an_init_for_any_user", an_init_for_any_user),
    ("a_user_namespace_of_its_own", a_user_namespace_of_its_own),
    ("a_user_is_looked_up_in_all_layers_together", a_user_is_looked_up_in_all_layers_together),
    ("a_record_of_another_version", a_record_of_another_version),
    ("cve_2021_41091_folders_that_others_can_enter", cve_2021_41091_folders_that_others_can_enter),
];

fn made(place: &Place, command: &[&str]) -> ContainerId {
    create(&place.engine, &place.request(command)).unwrap().id
}

/// What the container wrote, once it has ended with 0.
fn said(place: &Place, request: &Request) -> String {
    let id = create(&place.engine, request).unwrap().id;
    start(&place.engine, &id).unwrap();
    let code = wait(&place.engine, &id).unwrap();
    let text = log(place, &id, Query::default());
    assert_eq!(code, 0, "{text}");
    text
}

#[track_caller]
fn entry(found: Found<'_>) -> &Entry {
    match found {
        Found::Entry(entry) => entry,
        other => panic!("{other:?}"),
    }
}

fn log(place: &Place, id: &ContainerId, query: Query) -> String {
    let mut text = String::new();
    let mut sink = |found: Found<'_>| {
        text.push_str(&entry(found).text);
        Ok(())
    };
    logs(&place.engine, id, query, &mut sink).unwrap();
    text
}

fn attached_output_input_and_code(place: &Place) {
    let output = place.output(&["run-attached", "", "sh", "-c", "echo out; echo err >&2; exit 7"]);
    assert_eq!((&output.stdout[..], &output.stderr[..]), (&b"out\n"[..], &b"err\n"[..]));
    assert_eq!(output.status.code(), Some(7));
    let mut command = place.command(&["run-attached", "i", "sha256sum"]);
    command.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
    let mut child = command.spawn().unwrap();
    let text = vec![b'x'; 3 << 20];
    child.stdin.take().unwrap().write_all(&text).unwrap();
    let digest = child.wait_with_output().unwrap();
    let script = "head -c 3145728 /dev/zero | tr '\\0' x | sha256sum";
    let expected = std::process::Command::new("sh").args(["-c", script]).output().unwrap();
    assert_eq!(digest.stdout, expected.stdout);
    let large = place.output(&["run-attached", "", "sh", "-c", "head -c 3000000 /dev/zero"]);
    assert_eq!(large.stdout.len(), 3_000_000);
}

fn a_container_that_removes_itself(place: &Place) {
    assert_eq!(place.output(&["run-attached", "r", "true"]).status.code(), Some(0));
    assert!(place.all().is_empty());
    assert_eq!(place.output(&["run-attached", "r", "nosuch"]).status.code(), Some(127));
    assert!(place.all().is_empty());
    let request = Request { remove: true, ..place.request(&["sh", "-c", "sleep 0.3; exit 5"]) };
    let id = create(&place.engine, &request).unwrap().id;
    start(&place.engine, &id).unwrap();
    // The code is told although the container goes with it.
    assert_eq!(wait(&place.engine, &id).unwrap(), 5);
    let unfinished = place.engine.places().data.join("unfinished");
    eventually(|| !place.folder(&id).exists() && crate::place::entries(&unfinished).is_empty());
}

fn a_program_that_is_not_there(place: &Place) {
    for (program, code) in [("/nosuch", 127), ("/etc", 126), ("/etc/passwd", 126)] {
        let id = made(place, &[program]);
        let error = start(&place.engine, &id).unwrap_err();
        assert_eq!(error.exit_code(), code, "{program}: {error}");
        let summary = place.one(&id);
        assert_eq!((summary.state, summary.exit_code, summary.pid), (State::Failed, Some(code), None), "{program}");
        assert!(summary.error.is_some_and(|error| !error.is_empty()));
        assert!(stockade_testkit::cgroup::named(id.as_str()).is_empty());
    }
}

fn a_running_container_is_removed_by_force_only(place: &Place) {
    let id = made(place, &["sleep", "1000"]);
    start(&place.engine, &id).unwrap();
    assert!(matches!(start(&place.engine, &id), Err(StartError::NotNow { state: State::Running, .. })));
    let refused = remove(&place.engine, &id, Force::Refuse, OwnVolumes::Keep);
    assert!(matches!(refused, Err(RemoveError::Running { state: State::Running, .. })), "{refused:?}");
    remove(&place.engine, &id, Force::Kill, OwnVolumes::Keep).unwrap();
    assert!(place.all().is_empty());
    assert!(remove(&place.engine, &id, Force::Kill, OwnVolumes::Keep).is_err());
}

fn a_container_starts_again(place: &Place) {
    let id = made(place, &["sh", "-c", "echo run; echo x >> /file; exit $(wc -l < /file)"]);
    for code in 1..4 {
        start(&place.engine, &id).unwrap();
        assert_eq!(wait(&place.engine, &id).unwrap(), code);
        assert_eq!(place.one(&id).exit_code, Some(code));
    }
    assert_eq!(log(place, &id, Query::default()), "run\n".repeat(3));
    assert_eq!(log(place, &id, Query { tail: Some(2), ..Query::default() }), "run\n".repeat(2));
}

fn signals_and_stops(place: &Place) {
    let id = made(place, &["sh", "-c", "trap 'exit 9' USR1; while :; do sleep 0.05; done"]);
    start(&place.engine, &id).unwrap();
    while kill(&place.engine, &id, parse_signal("SIGUSR1").unwrap()).is_ok() {
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    assert_eq!(wait(&place.engine, &id).unwrap(), 9);
    stop(&place.engine, &id, Stop::default()).unwrap();
    let stubborn = made(place, &["sleep", "1000"]);
    start(&place.engine, &stubborn).unwrap();
    let soon = stockade_engine::stop::Timeout::After(std::time::Duration::from_millis(100));
    stop(&place.engine, &stubborn, Stop { timeout: soon, ..Stop::default() }).unwrap();
    assert_eq!(place.one(&stubborn).exit_code, Some(137));
}

fn a_log_is_followed_to_the_end(place: &Place) {
    let id = made(place, &["sh", "-c", "for n in 1 2 3; do echo $n; sleep 0.1; done; echo end >&2"]);
    start(&place.engine, &id).unwrap();
    assert_eq!(log(place, &id, Query { follow: Follow::UntilEnd, ..Query::default() }), "1\n2\n3\nend\n");
    let mut streams = Vec::new();
    let mut sink = |found: Found<'_>| {
        streams.push(entry(found).stream);
        Ok(())
    };
    logs(&place.engine, &id, Query::default(), &mut sink).unwrap();
    assert_eq!(streams, [Stream::Output, Stream::Output, Stream::Output, Stream::Error]);
}

fn a_name_is_one_containers(place: &Place) {
    let request = Request { name: Some("web".parse().unwrap()), ..place.request(&["true"]) };
    let id = create(&place.engine, &request).unwrap().id;
    let again = create(&place.engine, &request);
    assert!(matches!(&again, Err(CreateError::NameInUse { id: owner, .. }) if *owner == id), "{again:?}");
    assert_eq!(place.engine.find("web").unwrap(), id);
    assert_eq!(place.engine.find(id.short()).unwrap(), id);
    remove(&place.engine, &id, Force::Refuse, OwnVolumes::Keep).unwrap();
    assert!(place.engine.find("web").is_err());
    create(&place.engine, &request).unwrap();
}

fn what_cannot_be_made_leaves_nothing(place: &Place) {
    let plain = || place.request(&["true"]);
    let mut bridged = plain();
    bridged.options.network = NetworkMode::Bridge;
    bridged.network.attachments = vec![Attach { network: "nosuch".into(), ..Attach::default() }];
    let mut joined = plain();
    joined.options.pid = PidMode(Mode::Container("nosuch".into()));
    let unknown = Request { user: Some("nosuch".into()), ..plain() };
    let parent = Request { cgroup_parent: Some("/a/../b".into()), ..plain() };
    for request in [bridged, joined, unknown, parent, Request { command: Vec::new(), ..plain() }] {
        assert!(create(&place.engine, &request).is_err(), "{request:?}");
        assert!(place.all().is_empty());
    }
}

fn binds_are_there_and_read_only_below(place: &Place) {
    let source = place.path().join("made/below");
    let bind = |target: &str, access| Bind {
        source: source.clone(),
        target: target.into(),
        access,
        missing: Missing::MakeFolder,
        propagation: Propagation::default(),
        recursive: true,
        given: stockade_engine::request::Given::Volume,
    };
    let script = "exec 2> /dev/null; echo kept > /rw/file; ! touch /ro/file /etc/hosts && cat /ro/file /etc/hostname";
    let mut request = place.request(&["sh", "-c", script]);
    request.binds = vec![bind("/rw", Access::ReadWrite), bind("/ro", Access::ReadOnly)];
    request.hostname = Some("box".into());
    request.options.read_only = true;
    let text = said(place, &request);
    assert!(text.ends_with("kept\nbox\n"), "{text}");
    assert_eq!(std::fs::read_to_string(source.join("file")).unwrap(), "kept\n");
}

fn another_containers_namespaces(place: &Place) {
    let other = made(place, &["sleep", "1000"]);
    let mut request = place.request(&["sh", "-c", "ps; readlink /proc/self/ns/net"]);
    request.options.pid = PidMode(Mode::Container(other.to_string()));
    request.options.network = NetworkMode::Container(other.short().into());
    let id = create(&place.engine, &request).unwrap().id;
    let refused = start(&place.engine, &id);
    assert!(matches!(refused, Err(StartError::Joined { state: State::Created, .. })), "{refused:?}");
    start(&place.engine, &other).unwrap();
    start(&place.engine, &id).unwrap();
    assert_eq!(wait(&place.engine, &id).unwrap(), 0);
    let pid = place.one(&other).pid.unwrap();
    let network = std::fs::read_link(format!("/proc/{pid}/ns/net")).unwrap();
    let text = log(place, &id, Query::default());
    assert!(text.contains("sleep 1000") && text.contains(network.to_str().unwrap()), "{text}");
}

fn the_host_sees_no_mount_and_the_container_its_own_files(place: &Place) {
    let id = made(place, &["sh", "-c", "hostname; cat /etc/hostname; ls /proc/self/fd; env; sleep 1000"]);
    start(&place.engine, &id).unwrap();
    eventually(|| log(place, &id, Query::default()).contains("HOME="));
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(place.path().to_str().unwrap()), "{mounts}");
    let found = inspect(&place.engine, &id).unwrap();
    assert!(found.state.running && found.state.pid > 0);
    let status = std::fs::read_to_string(format!("/proc/{}/status", found.state.pid)).unwrap();
    assert!(status.contains("\nSeccomp:\t2\n") && status.contains("CapEff:\t00000000a80425fb"), "{status}");
    assert_eq!(found.stockade.seccomp, "builtin");
    assert!(found.stockade.seccomp_digest.starts_with("sha256:"));
    kill(&place.engine, &id, parse_signal("KILL").unwrap()).unwrap();
    let text = log(place, &id, Query::default());
    let hostname = id.short();
    assert!(text.starts_with(&format!("{hostname}\n{hostname}\n0\n1\n2\n3\n")), "{text}");
    assert!(text.contains(&format!("HOSTNAME={hostname}\n")) && !text.contains("CARGO"), "{text}");
}

fn an_init_for_any_user(place: &Place) {
    let mut request = place.request(&["sh", "-c", "id -u; tr '\\0' ' ' < /proc/1/cmdline"]);
    request.init = true;
    request.user = Some("65534:65534".into());
    assert!(said(place, &request).starts_with("65534\n/sbin/docker-init -- sh "));
}

fn a_user_namespace_of_its_own(place: &Place) {
    let script = "id -u; cat /proc/self/uid_map; stat -c %u /bin; touch /made; echo more >> /etc/hosts; sleep 1000";
    let mut request = place.request(&["sh", "-c", script]);
    request.options.user = UserMode::Private;
    let range = IdMapping { container_id: 0, host_id: 300_000, size: 65536 };
    request.options.uid_mappings = vec![range];
    request.options.gid_mappings = vec![range];
    let id = create(&place.engine, &request).unwrap().id;
    start(&place.engine, &id).unwrap();
    let made = place.folder(&id).join("upper/made");
    eventually(|| made.exists());
    // Known to the host as somebody without rights, and what it makes too.
    assert_eq!(std::fs::metadata(&made).unwrap().uid(), 300_000);
    let status = std::fs::read_to_string(format!("/proc/{}/status", place.one(&id).pid.unwrap())).unwrap();
    assert!(status.contains("Uid:\t300000\t300000\t300000\t300000"), "{status}");
    kill(&place.engine, &id, parse_signal("KILL").unwrap()).unwrap();
    let text = log(place, &id, Query::default());
    let words: Vec<&str> = text.split_whitespace().collect();
    assert_eq!(words, ["0", "0", "300000", "65536", "0"]);
    // Who may pass through the folders can read nothing in them.
    let config = std::fs::metadata(place.folder(&id).join("config.json")).unwrap();
    assert_eq!(config.permissions().mode() & 0o777, 0o600);
    Engine::open(place.engine.places().clone()).unwrap();
}

/// Waits for what a container is about to do.
fn eventually(done: impl Fn() -> bool) {
    let begin = std::time::Instant::now();
    while !done() {
        assert!(begin.elapsed().as_secs() < 20, "it never happened");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

fn a_user_is_looked_up_in_all_layers_together(place: &Place) {
    let image = layered(
        &place.path().join("image"),
        &[
            &[("etc/passwd", "old:x:7:7::/:\n"), ("etc/group", "old:x:7:\nstaff:x:50:new\n"), ("usr/passwd", "")],
            &[("etc/passwd", "new:x:8:9::/:\n")],
            &[("etc/other", "")],
        ],
    );
    let mut request = place.request(&["id"]);
    request.image = image;
    request.user = Some("new".into());
    request.groups = vec!["old".into()];
    assert_eq!(said(place, &request), "uid=8(new) gid=9 groups=7(old),9,50(staff)\n");
    request.user = Some("old".into());
    assert!(matches!(create(&place.engine, &request), Err(CreateError::Identity { .. })));
}

/// An image of busybox with these layers above, each a list of files and their contents.
fn layered(folder: &std::path::Path, layers: &[&[(&str, &str)]]) -> Reference {
    let blobs = folder.join("blobs/sha256");
    std::fs::create_dir_all(&blobs).unwrap();
    let store = |bytes: &[u8]| {
        let digest: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        std::fs::write(blobs.join(&digest), bytes).unwrap();
        (format!("sha256:{digest}"), bytes.len())
    };
    let packed = |root: &std::path::Path| {
        let mut tar = std::process::Command::new("tar");
        store(&tar.arg("-C").arg(root).args(["-c", "."]).output().unwrap().stdout)
    };
    let mut all = vec![packed(&stockade_testkit::programs::image("busybox"))];
    for (number, files) in layers.iter().enumerate() {
        let root = folder.join(format!("layer-{number}"));
        for (name, content) in *files {
            std::fs::create_dir_all(root.join(name).parent().unwrap()).unwrap();
            std::fs::write(root.join(name), content).unwrap();
        }
        all.push(packed(&root));
    }
    let diff_ids: Vec<&String> = all.iter().map(|(digest, _)| digest).collect();
    let config =
        json!({ "architecture": "amd64", "os": "linux", "rootfs": { "type": "layers", "diff_ids": diff_ids } });
    let media = |kind: &str| format!("application/vnd.oci.image.{kind}");
    let descriptor = |kind: &str, (digest, size): &(String, usize)| json!({ "mediaType": media(kind), "digest": digest, "size": size });
    let manifest = json!({
        "schemaVersion": 2, "mediaType": media("manifest.v1+json"),
        "config": descriptor("config.v1+json", &store(config.to_string().as_bytes())),
        "layers": all.iter().map(|layer| descriptor("layer.v1.tar", layer)).collect::<Vec<_>>(),
    });
    let manifest = store(manifest.to_string().as_bytes());
    let index = json!({ "schemaVersion": 2, "manifests": [descriptor("manifest.v1+json", &manifest)] });
    std::fs::write(folder.join("index.json"), index.to_string()).unwrap();
    std::fs::write(folder.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    Reference::Oci { path: folder.to_owned(), tag: None }
}

fn a_record_of_another_version(place: &Place) {
    let id = made(place, &["true"]);
    let path = place.folder(&id).join("record.json");
    let text = std::fs::read_to_string(&path).unwrap();
    for (wrong, complaint) in [
        (text.replacen("\"version\":1", "\"version\":2", 1), "has version 2"),
        (text.replacen("\"version\":1", "\"version\":1,\"more\":0", 1), "is damaged"),
        (text[..text.len() / 2].to_owned(), "is damaged"),
    ] {
        std::fs::write(&path, wrong).unwrap();
        assert!(matches!(inspect(&place.engine, &id), Err(InspectError::Container(_))));
        let listed = place.one(&id).damaged.unwrap();
        assert!(listed.contains(complaint), "{listed}");
        assert!(remove(&place.engine, &id, Force::Refuse, OwnVolumes::Keep).is_err());
    }
    remove(&place.engine, &id, Force::Kill, OwnVolumes::Keep).unwrap();
    assert!(place.all().is_empty());
    // Its name is nobody's any more, and whoever wants it takes it.
    let name = std::fs::read_dir(place.engine.places().data.join("names")).unwrap().next().unwrap().unwrap();
    let name = Some(name.file_name().to_str().unwrap().parse().unwrap());
    create(&place.engine, &Request { name, ..place.request(&["true"]) }).unwrap();
}

fn cve_2021_41091_folders_that_others_can_enter(place: &Place) {
    let places = place.engine.places();
    for folder in [&places.data, &places.exec] {
        let set = |mode| std::fs::set_permissions(folder, std::fs::Permissions::from_mode(mode)).unwrap();
        for mode in [0o755, 0o701, 0o770, 0o740] {
            set(mode);
            let refused = Engine::open(places.clone());
            assert!(matches!(refused, Err(OpenError::Accessible { .. })), "{mode:o} {refused:?}");
        }
        set(0o700);
        std::os::unix::fs::chown(folder, Some(1), None).unwrap();
        assert!(matches!(Engine::open(places.clone()), Err(OpenError::Foreign { owner: 1, .. })));
        std::os::unix::fs::chown(folder, Some(0), None).unwrap();
        Engine::open(places.clone()).unwrap();
    }
}
