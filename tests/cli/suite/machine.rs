//! `info` and `version`: what this machine is, in Docker's shape.

use stockade_testkit::{Call, Stockade, programs, requires};

#[test]
fn info_says_what_the_kernel_says() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    drop(stockade.detached(&[], &["sleep", "1000"]));
    stockade.ask(&["create", stockade.image(), "true"]).ok().either_way();
    let info = stockade.ask(&["info", "--format", "json"]).ok().json();
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    assert_eq!(info["KernelVersion"], kernel.trim());
    let unified = std::path::Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
    assert_eq!(info["CgroupVersion"], if unified { "2" } else { "1" });
    assert_eq!((info["Containers"].as_u64(), info["ContainersRunning"].as_u64()), (Some(2), Some(1)), "{info}");
    assert_eq!((info["ContainersStopped"].as_u64(), info["Images"].as_u64()), (Some(1), Some(0)), "{info}");
    let release = std::fs::read_to_string("/etc/os-release").unwrap();
    let name = info["OperatingSystem"].as_str().unwrap();
    assert!(!name.is_empty() && release.contains(&format!("PRETTY_NAME=\"{name}\"")), "{name}");
    let memory = std::fs::read_to_string("/proc/meminfo").unwrap();
    let total: u64 = memory.split_whitespace().nth(1).unwrap().parse().unwrap();
    assert_eq!(info["MemTotal"].as_u64(), Some(total * 1024));
    let runtime = info["DefaultRuntime"].as_str().unwrap();
    assert_eq!(info["Runtimes"][runtime]["path"], info["Runtime"]);
    let swap = std::path::Path::new("/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes").exists();
    assert!(unified || info["SwapLimit"] == swap, "{info}");
    let enforced =
        std::fs::read_to_string("/sys/module/apparmor/parameters/enabled").is_ok_and(|text| text.trim() == "Y");
    assert!(enforced || info["AppArmor"] == false, "{info}");
    let options = info["SecurityOptions"].as_array().unwrap();
    assert_eq!(options.contains(&"name=apparmor".into()), info["AppArmor"] == true, "{info}");
    // What is said of it all by words, with what cannot be done at the end.
    let text = stockade.ask(&["info"]).ok();
    for line in ["  Running: 1", "  Stopped: 1", " Default Runtime: ", "   Profile: builtin", "  127.0.0.0/8"] {
        assert!(text.stdout.lines().any(|found| found.starts_with(line)), "{line:?}: {text:?}");
    }
    assert_eq!(text.stderr.contains("WARNING: no AppArmor"), info["AppArmor"] == false, "{text:?}");
    assert_eq!(text.stderr.lines().count(), info["Warnings"].as_array().unwrap().len(), "{text:?}");
    let mirror = ["--registry-mirror", "http://mirror:5000", "info", "-f", "{{index .RegistryConfig.Mirrors 0}}"];
    assert_eq!(stockade.ask(&mirror).ok().out(), "http://mirror:5000");
    stockade.ask(&["info", "-f", "{{.NoSuchThing}}"]).exits(1).refuses(&["NoSuchThing"]).either_way();
    stockade.ask(&["info", "-f", "{{"]).exits(64).either_way();
}

#[test]
fn version_has_dockers_blocks() {
    requires!(root, stockade);
    let stockade = Stockade::new();
    let version = stockade.ask(&["version", "--format", "json"]).ok().json();
    let runtime = Call::new(programs::built("stake")).arg("--version").run().ok();
    let number = runtime.out().lines().next().unwrap().rsplit(' ').next().unwrap().to_owned();
    assert_eq!(version["Client"]["Version"], version["Server"]["Version"]);
    let stake = &version["Server"]["Components"][1];
    assert_eq!((stake["Name"].as_str(), stake["Version"].as_str()), (Some("stake"), Some(number.as_str())), "{stake}");
    let of = |template: &str| stockade.ask(&["version", "-f", template]).ok().out().to_owned();
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    assert_eq!(of("{{.Server.Os}} {{.Server.KernelVersion}}"), format!("linux {}", kernel.trim()));
    let text = stockade.ask(&["version"]).ok();
    let lines: Vec<&str> = text.stdout.lines().collect();
    assert_eq!((lines[0], lines[3], lines[5]), ("Client: Stockade", "", " Engine:"), "{text:?}");
    assert_eq!(lines[1], format!("{:20}{}", " Version:", version["Client"]["Version"].as_str().unwrap()), "{text:?}");
    assert_eq!(lines[8], format!("{:20}{}", "  Kernel version:", kernel.trim()), "{text:?}");
    // Who may not use the engine learns at least what he has.
    let mut call = Call::new("setpriv").args(["--reuid", "65534", "--clear-groups"]);
    call = call.args(stockade.command_line()).arg("version");
    let refused = call.run().exits(125).refuses(&["belongs to user 0"]);
    assert!(refused.stdout.starts_with("Client: Stockade\n Version: "), "{refused:?}");
    stockade.ask(&["version", "-f", "{{.Version}}"]).exits(1).refuses(&["Version"]).either_way();
}
