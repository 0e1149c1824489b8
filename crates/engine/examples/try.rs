//! Scratch.
#![allow(clippy::unwrap_used, clippy::panic)]
use std::path::PathBuf;
use stockade_engine::session::*;
use stockade_engine::*;
fn main() {
    let exe = std::env::current_exe().unwrap();
    let programs = exe.parent().unwrap().parent().unwrap().to_owned();
    let root = PathBuf::from(std::env::var("ROOT").unwrap());
    let engine = Engine::open(Places { data: root.join("data"), exec: root.join("exec"), programs, runtime: None })
        .unwrap_or_else(|e| fail(&e, 125));
    let args: Vec<String> = std::env::args().skip(1).collect();
    let word = args[0].as_str();
    let id = |n: usize| engine.find(&args[n]).unwrap_or_else(|e| fail(&e, 1));
    match word {
        "run" | "create" => {
            let flags = &args[1];
            let request = Request {
                image: images::Reference::parse(&args[2]).unwrap(),
                command: args[3..].to_vec(),
                entrypoint: None,
                name: None,
                env: vec![],
                working_dir: None,
                user: std::env::var("USER_").ok(),
                groups: vec![],
                hostname: None,
                labels: Default::default(),
                binds: vec![],
                terminal: flags.contains('t'),
                interactive: flags.contains('i'),
                detached: flags.contains('d'),
                remove: flags.contains('r'),
                init: flags.contains('I'),
                cgroup_parent: None,
                log: Default::default(),
                options: policy::Options {
                    privileged: flags.contains('p'),
                    user: if flags.contains('u') { policy::namespaces::UserMode::Private } else { Default::default() },
                    ..Default::default()
                },
            };
            if word == "create" {
                println!("{}", create(&engine, &request).unwrap_or_else(|e| fail(&e, 125)).id);
                return;
            }
            let attachment = (!request.detached).then(|| Attachment {
                input: if request.interactive { Input::Forward } else { Input::Ignore },
                signals: SignalProxy::Forward,
                detach_keys: DETACH_KEYS.to_vec(),
            });
            let running = run(&engine, &request, attachment).unwrap_or_else(|e| {
                let c = e.exit_code();
                fail(&e, c)
            });
            for n in &running.created.notices {
                eprintln!("{n}");
            }
            match running.session {
                None => println!("{}", running.created.id),
                Some(s) => match s.follow() {
                    Ok(Followed::Exited(c)) => std::process::exit(c.into()),
                    Ok(Followed::Detached) => eprintln!("detached"),
                    Err(e) => {
                        let c = e.exit_code();
                        fail(&e, c)
                    }
                },
            }
        }
        "start" => start(&engine, &id(1)).unwrap_or_else(|e| {
            let c = e.exit_code();
            fail(&e, c)
        }),
        "ps" => {
            for s in list(&engine, Which::All).unwrap() {
                println!(
                    "{} {} {} {:?} {:?} {:?}",
                    s.id.short(),
                    s.name,
                    s.state.docker(),
                    s.exit_code,
                    s.error,
                    s.damaged
                );
            }
        }
        "rm" => remove(&engine, &id(2), if args[1] == "f" { Force::Kill } else { Force::Refuse })
            .unwrap_or_else(|e| fail(&e, 1)),
        "kill" => kill(&engine, &id(1), parse_signal(&args[2]).unwrap()).unwrap_or_else(|e| fail(&e, 1)),
        "stop" => stop(&engine, &id(1), Stop::default()).unwrap_or_else(|e| fail(&e, 1)),
        "wait" => println!("{}", wait(&engine, &id(1)).unwrap_or_else(|e| fail(&e, 1))),
        "logs" => logs(
            &engine,
            &id(1),
            stockade_engine::logs::Query {
                tail: None,
                follow: if args.len() > 2 { stockade_engine::logs::Follow::UntilEnd } else { Default::default() },
            },
            &mut |e| {
                print!("{:?} {}", e.stream, e.text);
                Ok(())
            },
        )
        .unwrap_or_else(|e| fail(&e, 1)),
        "inspect" => println!("{}", serde_json::to_string_pretty(&inspect(&engine, &id(1)).unwrap()).unwrap()),
        "info" => println!("{:#?}", info(&engine).unwrap()),
        "attach" => match attach(
            &engine,
            &id(1),
            Attachment { input: Input::Forward, signals: SignalProxy::Forward, detach_keys: DETACH_KEYS.to_vec() },
        )
        .unwrap_or_else(|e| fail(&e, 1))
        .follow()
        {
            Ok(x) => eprintln!("{x:?}"),
            Err(e) => fail(&e, 1),
        },
        "container-exited" => finish(&engine, &id(1)).unwrap_or_else(|e| fail(&e, 1)),
        _ => panic!(),
    }
}
fn fail(e: &dyn std::error::Error, code: u8) -> ! {
    let mut t = e.to_string();
    let mut c = e.source();
    while let Some(x) = c {
        t += ": ";
        t += &x.to_string();
        c = x.source();
    }
    eprintln!("error: {t}");
    std::process::exit(code.into())
}
