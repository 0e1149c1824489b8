//! The cases: what each changes in Docker's default, and how it is told what came of it.

use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;

use serde_json::{Value, json};
use stockade_spec::{Mount, NamespaceType, Spec};

use super::bundle::{Answer, Bundle, PROBE};
use super::{Case, Outcome, inside};

const fn case(id: &'static str, tried: &'static str, attempt: fn(&Bundle) -> Outcome) -> Case {
    Case { id, tried, attempt }
}

/// All of them, by what is attacked: the payload's own walls, the runtime's program, the root, procfs, and what a bundle says.
pub const CASES: &[Case] = &[
    case("walls", "a container of Docker's defaults runs", |bundle| inside(bundle, "walls")),
    case("descriptors", "CVE-2024-21626: descriptors of the host are open in the payload", descriptors),
    case("environment", "variables of whoever calls the runtime reach the payload", environment),
    case("CVE-2022-29162", "inheritable capabilities, by which files give more", |bundle| {
        inside(bundle, "inheritable")
    }),
    case("CVE-2016-8867", "a user other than root keeps capabilities", |bundle| {
        answer(bundle.ask("unprivileged", |spec| {
            let process = spec.process.get_or_insert_default();
            (process.user.uid, process.user.gid) = (1000, 1000);
        }))
    }),
    case("CVE-2017-16539", "files of the kernel's that are to be hidden can be read", |bundle| {
        inside(bundle, "masked")
    }),
    case("read-only-paths", "the kernel's settings in /proc/sys can be written", |bundle| inside(bundle, "settings")),
    case("CVE-2022-0492", "release_agent of a control group is reached", |bundle| inside(bundle, "release-agent")),
    case("CVE-2023-25809", "the control groups can be written where no namespace hides the host's", |bundle| {
        answer(bundle.ask("cgroups", |spec| without_namespace(spec, NamespaceType::Cgroup)))
    }),
    case("CVE-2022-0185", "a new user namespace gives rights over the kernel's old code", |bundle| {
        inside(bundle, "unshare")
    }),
    case("CVE-2026-31431", "AF_ALG sockets, by the native and other interfaces and with upper bits", |bundle| {
        inside(bundle, "alg")
    }),
    case("CVE-2020-15257", "abstract sockets of the host's programs are reached", |bundle| inside(bundle, "abstract")),
    case("devices", "a device node that the container makes opens the host's device", |bundle| {
        inside(bundle, "device")
    }),
    case("mount", "the container mounts a file system", |bundle| inside(bundle, "mount")),
    case("CVE-2024-21626-cwd", "the working directory is a descriptor of the runtime's", working_directory),
    case("CVE-2019-5736", "the runtime's program is opened for writing from inside", runtime_program),
    case("CVE-2016-9962", "descriptors of the runtime are open in a process of exec", exec_descriptors),
    case("CVE-2026-30892", "exec as user 1 is root", |bundle| {
        answer(bundle.exec(&["--user", "1"], &[PROBE, inside::COMMAND, "user-one"]))
    }),
    case("CVE-2019-16884", "a tmpfs takes the place of /proc, where labels are written", false_proc),
    case("CVE-2023-27561", "/proc of the image is a link to another folder", linked_proc),
    case("CVE-2025-31133", "/dev/null of the image is a link, and is mounted over what is to be hidden", linked_null),
    case("CVE-2026-88265", "/dev/null of the image is a link to a host's file, for standard streams", null_for_streams),
    case("CVE-2026-41579", "/dev of the image is a link to a folder of the host", linked_dev),
    case("CVE-2021-30465", "a mount goes through a link of the image to the host", linked_target),
    case("CVE-2024-45310", "a file is made through a link of the image on the host", linked_file),
    case("CVE-2022-0811", "a setting that is the whole host's is asked for", host_setting),
    case("CVE-2022-0811-smuggled", "the same behind another setting", smuggled_setting),
    case("CVE-2025-23266", "a hook of the host's gets variables of the container's", hook_environment),
    case("climbing-id", "an id that is a path makes the state elsewhere", climbing_id),
    case("unknown-namespace", "a kind of namespace that is none is left out in silence", |bundle| {
        refused(bundle, |spec| {
            if let Some(Value::Array(all)) = spec.pointer_mut("/linux/namespaces") {
                all.push(json!({ "type": "stockade" }));
            }
        })
    }),
    case("unknown-action", "a filter's action that is none counts as allowed", |bundle| {
        refused(bundle, |spec| {
            if let Some(action) = spec.pointer_mut("/linux/seccomp/defaultAction") {
                *action = json!("SCMP_ACT_STOCKADE");
            }
        })
    }),
];

/// A command of the probe in a container of defaults.
fn inside(bundle: &Bundle, what: &str) -> Outcome {
    answer(bundle.ask(what, |_| {}))
}

/// What the probe says, for cases in which the container is to run.
fn answer(answer: Answer) -> Outcome {
    match answer {
        Answer::Said(text) => match text.trim().split_once(": ") {
            Some(("held", why)) => Outcome::Held(why.to_owned()),
            Some(("broken", why)) => Outcome::Broken(why.to_owned()),
            Some(("unknown", why)) => Outcome::CannotBeTried(why.to_owned()),
            _ => Outcome::CannotBeTried(format!("it said {:?}", Answer::Said(text).reason())),
        },
        other => Outcome::CannotBeTried(other.reason()),
    }
}

/// The same where a refusal keeps the wall as well.
fn answer_or_refusal(given: Answer) -> Outcome {
    match given {
        Answer::Refused(text) => Outcome::Held(format!("refused: {}", Answer::Refused(text).reason())),
        other => answer(other),
    }
}

/// A bundle that must be refused.
fn refused(bundle: &Bundle, change: impl FnOnce(&mut Value)) -> Outcome {
    let mut spec = match serde_json::to_value(bundle.spec("walls")) {
        Ok(spec) => spec,
        Err(error) => return Outcome::CannotBeTried(error.to_string()),
    };
    change(&mut spec);
    match bundle.run_text(spec.to_string().as_bytes(), &bundle.id, &[]) {
        Answer::Refused(text) => Outcome::Held(format!("refused: {}", Answer::Refused(text).reason())),
        Answer::Said(_) => Outcome::Broken("the container ran".to_owned()),
        other => Outcome::CannotBeTried(other.reason()),
    }
}

fn without_namespace(spec: &mut Spec, kind: NamespaceType) {
    spec.linux.get_or_insert_default().namespaces.retain(|namespace| namespace.kind != kind);
}

fn without_mounts(spec: &mut Spec, below: &str) {
    spec.mounts.retain(|mount| !mount.destination.starts_with(below));
}

fn mount(kind: &str, source: &Path, destination: &str, options: &[&str]) -> Mount {
    Mount {
        destination: destination.into(),
        kind: Some(kind.to_owned()),
        source: Some(source.to_owned()),
        options: options.iter().map(|option| (*option).to_owned()).collect(),
        ..Mount::default()
    }
}

/// Puts a link in the place of a folder or file of the root; what went wrong with it is the case's answer.
fn link(bundle: &Bundle, target: &Path, name: &str) -> Result<(), Outcome> {
    let place = bundle.rootfs().join(name);
    let cleared = match std::fs::symlink_metadata(&place) {
        Ok(data) if data.is_dir() => std::fs::remove_dir(&place),
        Ok(_) => std::fs::remove_file(&place),
        Err(_) => Ok(()),
    };
    cleared.and_then(|()| symlink(target, &place)).map_err(|error| Outcome::CannotBeTried(error.to_string()))
}

/// Whether something was made in the folder that stands for the host's.
fn bait_is_empty(bundle: &Bundle, given: &Answer) -> Outcome {
    match std::fs::read_dir(bundle.bait()).map(|mut entries| entries.next().is_none()) {
        Ok(true) if matches!(given, Answer::Said(_)) => Outcome::Held("nothing appeared on the host".to_owned()),
        Ok(true) if matches!(given, Answer::Refused(_)) => Outcome::Held(format!("refused: {}", given.reason())),
        Ok(true) => Outcome::CannotBeTried(given.reason()),
        Ok(false) => Outcome::Broken("files appeared in a folder of the host".to_owned()),
        Err(error) => Outcome::CannotBeTried(error.to_string()),
    }
}

fn descriptors(bundle: &Bundle) -> Outcome {
    inside(bundle, "descriptors")
}

fn environment(bundle: &Bundle) -> Outcome {
    answer(bundle.run(&bundle.spec("environment"), &[(inside::MARKER, "secret"), ("LD_PRELOAD", "/no/such")]))
}

/// Each number is a container of its own: the first that opens outside of the root ends it.
fn working_directory(bundle: &Bundle) -> Outcome {
    for number in 3..12 {
        let given = bundle.ask("cwd", |spec| {
            spec.process.get_or_insert_default().cwd = format!("/proc/self/fd/{number}").into();
        });
        match answer_or_refusal(given) {
            Outcome::Held(_) => {}
            other => return other,
        }
    }
    Outcome::Held("refused, or inside of the root, for 3 to 11".to_owned())
}

/// The payload is the runtime itself, as `/proc/self/exe` means it while it executes the payload. Its file must stay as it is.
fn runtime_program(bundle: &Bundle) -> Outcome {
    let facts =
        |path: &Path| std::fs::metadata(path).map(|data| (data.len(), data.mtime(), data.mtime_nsec(), data.ino()));
    let before = facts(bundle.runtime());
    let by_itself = bundle.ask("walls", |spec| {
        spec.process.get_or_insert_default().args = ["/proc/self/exe", "--version"].map(str::to_owned).to_vec();
    });
    let from_inside = answer(bundle.exec(&[], &[PROBE, inside::COMMAND, "programs"]));
    match (before, facts(bundle.runtime())) {
        (Ok(before), Ok(after)) if before != after => Outcome::Broken("the runtime's file changed".to_owned()),
        (Ok(_), Ok(_)) if matches!(by_itself, Answer::Hung) => Outcome::CannotBeTried(by_itself.reason()),
        (Ok(_), Ok(_)) => from_inside,
        (Err(error), _) | (_, Err(error)) => Outcome::CannotBeTried(error.to_string()),
    }
}

fn exec_descriptors(bundle: &Bundle) -> Outcome {
    answer(bundle.exec(&[], &[PROBE, inside::COMMAND, "descriptors"]))
}

fn false_proc(bundle: &Bundle) -> Outcome {
    let given = bundle.ask("walls", |spec| {
        without_mounts(spec, "/proc");
        spec.mounts.insert(0, mount("tmpfs", Path::new("tmpfs"), "/proc", &["nosuid", "nodev"]));
    });
    match given {
        Answer::Refused(_) => Outcome::Held(format!("refused: {}", given.reason())),
        Answer::Said(_) => Outcome::Broken("the container ran with a false /proc".to_owned()),
        other => Outcome::CannotBeTried(other.reason()),
    }
}

fn linked_proc(bundle: &Bundle) -> Outcome {
    if let Err(outcome) = link(bundle, Path::new("/tmp"), "proc") {
        return outcome;
    }
    answer_or_refusal(bundle.ask("masked", |_| {}))
}

fn linked_null(bundle: &Bundle) -> Outcome {
    let made = std::fs::remove_dir(bundle.rootfs().join("dev"))
        .and_then(|()| std::fs::create_dir(bundle.rootfs().join("dev")));
    let linked = made.map_err(|error| Outcome::CannotBeTried(error.to_string()));
    // A setting that everybody may read: if it is mounted over what is to be hidden, the mask is no null device.
    if let Err(outcome) = linked.and_then(|()| link(bundle, Path::new("/proc/sys/kernel/ostype"), "dev/null")) {
        return outcome;
    }
    answer_or_refusal(bundle.ask("masked", |spec| without_mounts(spec, "/dev")))
}

fn null_for_streams(bundle: &Bundle) -> Outcome {
    let bait = bundle.bait().join("file");
    let made = std::fs::write(&bait, "bait").map_err(|error| Outcome::CannotBeTried(error.to_string()));
    if let Err(outcome) = made.and_then(|()| link(bundle, &bait, "dev/null")) {
        return outcome;
    }
    let given = bundle.ask("streams", |spec| {
        without_mounts(spec, "/dev");
        let process = spec.process.get_or_insert_default();
        (process.user.uid, process.user.gid) = (1000, 1000);
    });
    match std::fs::metadata(&bait) {
        Ok(data) if data.uid() != 0 || data.len() != 4 => {
            Outcome::Broken("a file of the host has another owner, or other content".to_owned())
        }
        Ok(_) => answer_or_refusal(given),
        Err(error) => Outcome::Broken(format!("a file of the host is gone: {error}")),
    }
}

fn linked_dev(bundle: &Bundle) -> Outcome {
    if let Err(outcome) = link(bundle, &bundle.bait(), "dev") {
        return outcome;
    }
    let given = bundle.ask("walls", |spec| without_mounts(spec, "/dev"));
    bait_is_empty(bundle, &given)
}

fn linked_target(bundle: &Bundle) -> Outcome {
    if let Err(outcome) = link(bundle, &bundle.bait(), "data") {
        return outcome;
    }
    let given = bundle.ask("walls", |spec| {
        spec.mounts.push(mount("tmpfs", Path::new("tmpfs"), "/data/deep/place", &["nosuid", "nodev"]));
    });
    bait_is_empty(bundle, &given)
}

fn linked_file(bundle: &Bundle) -> Outcome {
    if let Err(outcome) = link(bundle, &bundle.bait(), "data") {
        return outcome;
    }
    let given = bundle.ask("walls", |spec| {
        spec.mounts.push(mount("bind", Path::new("/proc/self/status"), "/data/../data/file", &["bind", "ro"]));
        spec.mounts.push(mount("bind", bundle.program(), "/data/program", &["bind", "ro"]));
    });
    bait_is_empty(bundle, &given)
}

/// What the setting is now, so that a runtime that sets it changes nothing.
fn core_pattern() -> Result<String, Outcome> {
    let read = std::fs::read_to_string("/proc/sys/kernel/core_pattern");
    read.map(|text| text.trim_end().to_owned()).map_err(|error| Outcome::CannotBeTried(error.to_string()))
}

fn host_setting(bundle: &Bundle) -> Outcome {
    let value = match core_pattern() {
        Ok(value) => value,
        Err(outcome) => return outcome,
    };
    refused(bundle, |spec| spec["linux"]["sysctl"] = json!({ "kernel.core_pattern": value }))
}

fn smuggled_setting(bundle: &Bundle) -> Outcome {
    let value = match core_pattern() {
        Ok(value) => value,
        Err(outcome) => return outcome,
    };
    refused(bundle, |spec| {
        spec["linux"]["sysctl"] = json!({ "kernel.shm_rmid_forced": format!("0+kernel.core_pattern={value}") });
    })
}

fn hook_environment(bundle: &Bundle) -> Outcome {
    let told = bundle.bait().join("environment");
    let mut spec = match serde_json::to_value(bundle.spec("walls")) {
        Ok(spec) => spec,
        Err(error) => return Outcome::CannotBeTried(error.to_string()),
    };
    let words = [PROBE, inside::COMMAND, "tell-environment", &told.to_string_lossy()].map(str::to_owned);
    spec["hooks"] = json!({ "createRuntime": [{ "path": bundle.program(), "args": words }] });
    spec["process"]["env"] = json!(["PATH=/", format!("{}=container", inside::MARKER)]);
    let given = bundle.run_text(spec.to_string().as_bytes(), &bundle.id, &[]);
    match std::fs::read_to_string(&told) {
        Ok(text) if text.contains(inside::MARKER) => {
            Outcome::Broken("a hook of the host's had a variable of the container's".to_owned())
        }
        Ok(_) => Outcome::Held("the hook's environment was clean".to_owned()),
        Err(_) => Outcome::CannotBeTried(format!("the hook did not run: {}", given.reason())),
    }
}

fn climbing_id(bundle: &Bundle) -> Outcome {
    let spec = match serde_json::to_vec(&bundle.spec("walls")) {
        Ok(spec) => spec,
        Err(error) => return Outcome::CannotBeTried(error.to_string()),
    };
    match bundle.run_text(&spec, "../climbed", &[]) {
        Answer::Refused(text) => Outcome::Held(format!("refused: {}", Answer::Refused(text).reason())),
        Answer::Said(_) => Outcome::Broken("the container ran under an id that is a path".to_owned()),
        other => Outcome::CannotBeTried(other.reason()),
    }
}
