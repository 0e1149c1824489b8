//! The tree of commands: what shells complete, what the manual says, and that nothing of Docker's own help is met by silence.

use std::collections::BTreeSet;
use std::time::Duration;

use stockade_testkit::{Call, Stockade, programs, requires};

/// A `PATH` on which `stockade` is the one under test.
fn path() -> String {
    let folder = programs::built("stockade").parent().unwrap().display().to_string();
    format!("{folder}:{}", std::env::var("PATH").unwrap())
}

/// What bash offers for the last of `words`, with the script loaded as users load it.
fn offered(words: &[&str]) -> Vec<String> {
    let script = "source <(stockade completion bash) || exit 9
        COMP_WORDS=(\"$@\") COMP_CWORD=$(($# - 1)) COMP_LINE=\"$*\" COMP_POINT=${#COMP_LINE} COMP_TYPE=9
        spec=$(complete -p stockade) || exit 8
        function=${spec#*-F }; function=${function%% *}
        \"$function\" stockade \"${COMP_WORDS[COMP_CWORD]}\" \"${COMP_WORDS[COMP_CWORD-1]}\"
        printf '%s\\n' \"${COMPREPLY[@]}\"";
    let call = Call::new("bash").args(["--norc", "-c", script, "bash"]).args(words).env("PATH", path());
    call.limit(Duration::from_secs(60)).run().ok().stdout.lines().map(|line| line.trim().to_owned()).collect()
}

#[test]
fn bash_completes_commands_flags_and_names() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    stockade.ask(&["create", "--name", "web-1", stockade.image(), "true"]).ok();
    stockade.ask(&["create", "--name", "web-2", stockade.image(), "true"]).ok();
    stockade.ask(&["volume", "create", "web-data"]).ok();
    let archive = programs::images().join("busybox/docker.tar").display().to_string();
    stockade.ask(&["load", "-q", "-i", &archive]).ok();
    let (data, exec) = (stockade.data().display().to_string(), stockade.folder().join("exec").display().to_string());
    let roots = ["stockade", "--data-root", &data, "--exec-root", &exec];
    let of = |words: &[&str]| offered(&[&roots[..], words].concat());
    assert!(of(&["cont"]).contains(&"container".to_owned()));
    assert!(of(&["run", "--memory-s"]).contains(&"--memory-swap".to_owned()));
    assert_eq!(of(&["rm", "web"]), ["web-1", "web-2"]);
    assert_eq!(of(&["container", "start", "web-1", "web-2", "web-2"]), ["web-2"]);
    assert_eq!(of(&["volume", "rm", "web"]), ["web-data"]);
    assert!(of(&["rmi", "busy"]).iter().any(|name| name.starts_with("busybox")));
    assert_eq!(of(&["inspect", "web"]), ["web-1", "web-2", "web-data"]);
    assert_eq!(offered(&["stockade", "completion", "f"]), ["fish"]);
}

#[test]
fn every_shell_gets_a_script_and_no_other() {
    requires!(stockade);
    let stockade = Stockade::new();
    for shell in ["bash", "zsh", "fish"] {
        let script = stockade.ask(&["completion", shell]).ok();
        assert!(script.stdout.contains("STOCKADE_COMPLETE") && script.stdout.contains("stockade"), "{shell}");
    }
    stockade.ask(&["completion", "tcsh"]).exits(125).refuses(&["tcsh"]);
}

#[test]
fn the_manual_has_a_page_for_each_command() {
    requires!(stockade);
    let stockade = Stockade::new();
    let folder = stockade.folder().join("man");
    std::fs::create_dir(&folder).unwrap();
    stockade.ask(&["man", folder.to_str().unwrap()]).ok();
    for page in ["stockade", "stockade-run", "stockade-container-rm", "stockade-image-prune", "stockade-volume-create"]
    {
        let file = folder.join(format!("{page}.1"));
        let done = Call::new("man")
            .args(["--warnings", "-l"])
            .arg(&file)
            .env("MANWIDTH", "100")
            .env("LC_ALL", "C.UTF-8")
            .run()
            .ok();
        assert_eq!(done.stderr, "", "{page}");
        assert!(done.stdout.contains("NAME") && done.stdout.contains("SYNOPSIS"), "{page}: {}", done.stdout);
    }
    assert!(!folder.join("stockade-help.1").exists());
    stockade.ask(&["man", "/no/such/folder"]).exits(1).refuses(&["/no/such/folder"]);
}

/// The flags that `docker COMMAND --help` lists, and the commands.
fn docker_help(command: &[&str]) -> (BTreeSet<String>, BTreeSet<String>) {
    let text = Call::new("docker").args(command).arg("--help").env("DOCKER_CONFIG", "/nonexistent").run().ok().stdout;
    let flags = text.lines().filter_map(|line| {
        let line = line.strip_prefix("  ")?.trim_start();
        let long = line.split(' ').find(|word| word.starts_with("--"))?;
        line.starts_with('-').then(|| long.trim_end_matches(',').to_owned())
    });
    let from = text.split_once("Commands:\n").map(|(_, commands)| commands).unwrap_or_default();
    let commands = from.lines().map_while(|line| line.strip_prefix("  ")?.split_whitespace().next()).map(str::to_owned);
    (flags.collect(), commands.collect())
}

/// Docker's commands without a group, and its groups.
fn docker_commands() -> Vec<String> {
    let text = Call::new("docker").arg("--help").env("DOCKER_CONFIG", "/nonexistent").run().ok().stdout;
    let text = text.split_once("Global Options:").expect("docker lists its global options").0;
    let commands = text.lines().filter_map(|line| line.strip_prefix("  ")?.split_whitespace().next());
    let plain = |word: &&str| word.bytes().all(|byte| byte.is_ascii_lowercase());
    let commands: Vec<String> =
        commands.map(|word| word.trim_end_matches('*')).filter(plain).map(str::to_owned).collect();
    assert!(commands.len() > 40, "{commands:?}");
    commands
}

/// Whether `stockade COMMAND --help` lists the flag, also as another name of one.
fn is_listed(help: &str, flag: &str) -> bool {
    let bare = flag.trim_start_matches('-');
    help.split([' ', ',', '\n', '[', ']', '=', '`'])
        .any(|word| word == flag || word.trim_start_matches('-') == bare && word.starts_with('-'))
}

#[test]
fn whatever_docker_lists_is_here_or_refused_by_name() {
    requires!(stockade, docker);
    let stockade = Stockade::new();
    let mut silent = Vec::new();
    for command in docker_commands() {
        let help = stockade.call(&[&command, "--help"]).run();
        if help.code() != 0 && !help.stderr.contains(&format!("there is no command {command:?}: ")) {
            silent.push(format!("{command}: {}", help.stderr));
        }
    }
    for group in [&["container"][..], &["image"], &["volume"], &["system"]] {
        let (_, commands) = docker_help(group);
        assert!(commands.len() > 3, "{group:?}: {commands:?}");
        for verb in &commands {
            let words = [group, &[verb.as_str()]].concat();
            let help = stockade.call(&words).arg("--help").run();
            if help.code() != 0 {
                if !help.stderr.contains(&format!("{verb:?}:")) {
                    silent.push(format!("{words:?}: {}", help.stderr));
                }
                continue;
            }
            let (flags, _) = docker_help(&words);
            for flag in flags.iter().filter(|flag| *flag != "--help" && !is_listed(&help.stdout, flag)) {
                let refused = stockade.call(&words).args([flag.as_str(), "x"]).run();
                if refused.code() != 125 || !refused.stderr.contains(&format!("{flag} is not supported: ")) {
                    silent.push(format!("{words:?} {flag}: {}", refused.stderr.lines().next().unwrap_or_default()));
                }
            }
        }
    }
    assert!(silent.is_empty(), "met by silence: {silent:#?}");
}
