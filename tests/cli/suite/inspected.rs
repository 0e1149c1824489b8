//! `inspect` in Docker's shape: what was asked for is told, and nothing that Docker's clients look for is missing but what the manual names.

use std::collections::BTreeSet;

use stockade_testkit::{Stockade, requires};

/// Docker's keys (API 1.47, Linux), and those that are there only where something was asked for.
const HOST: &str = "Binds ContainerIDFile LogConfig NetworkMode PortBindings RestartPolicy AutoRemove VolumeDriver VolumesFrom \
                    ConsoleSize CapAdd CapDrop CgroupnsMode Dns DnsOptions DnsSearch ExtraHosts GroupAdd IpcMode Cgroup Links \
                    OomScoreAdj PidMode Privileged PublishAllPorts ReadonlyRootfs SecurityOpt UTSMode UsernsMode ShmSize Runtime \
                    Isolation CpuShares Memory NanoCpus CgroupParent BlkioWeight BlkioWeightDevice BlkioDeviceReadBps \
                    BlkioDeviceWriteBps BlkioDeviceReadIOps BlkioDeviceWriteIOps CpuPeriod CpuQuota CpuRealtimePeriod \
                    CpuRealtimeRuntime CpusetCpus CpusetMems Devices DeviceCgroupRules DeviceRequests MemoryReservation MemorySwap \
                    MemorySwappiness OomKillDisable PidsLimit Ulimits CpuCount CpuPercent IOMaximumIOps IOMaximumBandwidth \
                    MaskedPaths ReadonlyPaths";
const CONFIG: &str = "Hostname Domainname User AttachStdin AttachStdout AttachStderr Tty OpenStdin StdinOnce Env Cmd Image Volumes \
                      WorkingDir Entrypoint OnBuild Labels";
const STATE: &str = "Status Running Paused Restarting OOMKilled Dead Pid ExitCode Error StartedAt FinishedAt";
const NETWORK: &str = "SandboxID SandboxKey Ports EndpointID Gateway GlobalIPv6Address GlobalIPv6PrefixLen IPAddress IPPrefixLen \
                       IPv6Gateway MacAddress Networks";
const ALL: &str = "Id Created Path Args State Image ResolvConfPath HostnamePath HostsPath LogPath Name RestartCount Driver Platform \
                   MountLabel ProcessLabel AppArmorProfile ExecIDs HostConfig GraphDriver Mounts Config NetworkSettings";

#[test]
fn dockers_keys_are_there() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    let made = stockade.ask(&["create", stockade.image(), "true"]).ok();
    let id = stockade.know(made.out());
    let told = stockade.ask(&["inspect", &id]).ok().json();
    for (path, keys) in
        [("", ALL), ("/HostConfig", HOST), ("/Config", CONFIG), ("/State", STATE), ("/NetworkSettings", NETWORK)]
    {
        let there: BTreeSet<&str> =
            told[0].pointer(path).unwrap().as_object().unwrap().keys().map(String::as_str).collect();
        let missing: Vec<&str> = keys.split_whitespace().filter(|key| !there.contains(key)).collect();
        assert!(missing.is_empty(), "{path}: {missing:?}");
    }
}

#[test]
fn what_was_asked_for_is_told() {
    requires!(root, stockade, busybox_packed, limits);
    let stockade = Stockade::new();
    let idfile = stockade.folder().join("cid-inspected").display().to_string();
    let flags = [
        ["--cpus", "0.5"],
        ["--device", "/dev/null:/dev/nothing:rw"],
        ["--device-cgroup-rule", "c 10:* r"],
        ["--tmpfs", "/plain"],
        ["--tmpfs", "/sized:size=1m,exec"],
        ["--memory", "64m"],
        ["--memory-swappiness", "7"],
        ["--cidfile", &idfile],
    ];
    let call = stockade.call(&["create", "--oom-kill-disable"]).args(flags.iter().flatten());
    let made = call.args([stockade.image(), "true"]).run().ok();
    let id = stockade.know(made.out());
    let told = |template: &str| stockade.inspect(&id, template);
    for (template, expected) in [
        ("{{.HostConfig.NanoCpus}} {{.HostConfig.CpuQuota}} {{.HostConfig.CpuPeriod}}", "500000000 0 0"),
        (
            "{{json .HostConfig.Devices}}",
            r#"[{"CgroupPermissions":"rw","PathInContainer":"/dev/nothing","PathOnHost":"/dev/null"}]"#,
        ),
        ("{{json .HostConfig.DeviceCgroupRules}}", r#"["c 10:* r"]"#),
        ("{{json .HostConfig.Tmpfs}}", r#"{"/plain":"","/sized":"exec,size=1m"}"#),
        ("{{.HostConfig.MemorySwappiness}} {{.HostConfig.OomKillDisable}}", "7 true"),
        ("{{.HostConfig.ContainerIDFile}}", &idfile),
    ] {
        let told = told(template).replace("size=1m,exec", "exec,size=1m");
        assert_eq!(told, expected, "{template}");
    }
    // As Docker has it: one way to say it holds.
    stockade
        .ask(&["update", "--cpu-quota", "20000", &id])
        .exits(1)
        .refuses(&["--cpu-quota cannot be updated because --cpus"]);
    stockade.ask(&["update", "--cpus", "0.25", &id]).ok();
    assert_eq!(told("{{.HostConfig.NanoCpus}} {{.HostConfig.CpuQuota}}"), "250000000 0");
}
