//! A command line of the least kind: what a monitor calls, and what tests start as a process of its own.

use std::path::PathBuf;
use std::process::ExitCode;

use stockade_engine::session::{DETACH_KEYS, Input, Shown, SignalProxy, die_of};
use stockade_engine::{Attachment, ContainerId, Engine, Followed, Places, finish, run, start};

use crate::place::request;

/// `stockade --data-root DIR --exec-root DIR VERB ...`.
pub(crate) fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().collect();
    let [program, _, data, _, exec, verb, rest @ ..] = words.as_slice() else { panic!("{words:?}") };
    let programs = PathBuf::from(program).parent().unwrap().to_owned();
    let engine = Engine::open(Places {
        data: data.into(),
        exec: exec.into(),
        programs,
        runtime: None,
        cgroups: Default::default(),
    })
    .unwrap();
    let rest: Vec<&str> = rest.iter().map(String::as_str).collect();
    match (verb.as_str(), rest.as_slice()) {
        ("container-exited", [id]) => finish(&engine, &ContainerId::try_from((*id).to_owned()).unwrap()).unwrap(),
        ("start", [id]) => start(&engine, &engine.find(id).unwrap()).unwrap(),
        ("run", command) => drop(run(&engine, &request(command), None).unwrap()),
        ("run-attached", [flags, command @ ..]) => return attached(&engine, flags, command),
        _ => panic!("{words:?}"),
    }
    ExitCode::SUCCESS
}

/// `run` with the caller attached; `r` among the flags is `--rm`, `i` is `--interactive`.
fn attached(engine: &Engine, flags: &str, command: &[&str]) -> ExitCode {
    let mut request = request(command);
    request.detached = false;
    request.remove = flags.contains('r');
    request.interactive = flags.contains('i');
    let attachment = Attachment {
        input: if request.interactive { Input::Forward } else { Input::Ignore },
        shown: Shown::Both,
        signals: SignalProxy::Forward,
        detach_keys: DETACH_KEYS.to_vec(),
    };
    let followed = match run(engine, &request, Some(attachment)) {
        Ok(running) => running.session.unwrap().follow(),
        Err(error) => {
            eprintln!("{error}");
            return error.exit_code().into();
        }
    };
    match followed {
        Ok(Followed::Exited(code)) => code.into(),
        Ok(Followed::Detached) => ExitCode::SUCCESS,
        Ok(Followed::Interrupted(signal)) => die_of(signal).into(),
        Err(error) => {
            eprintln!("{error}");
            error.exit_code().into()
        }
    }
}
