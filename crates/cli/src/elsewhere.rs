//! What Docker has and Stockade has not (yet): each is refused by name, with the way out.

/// Flags of Docker's `run` and `create`, without their dashes, with what to do instead.
const FLAGS: &[(&str, &str)] = &[
    ("a", ATTACH),
    ("attach", ATTACH),
    ("cpu-count", WINDOWS),
    ("cpu-percent", WINDOWS),
    ("cpu-rt-period", REALTIME),
    ("cpu-rt-runtime", REALTIME),
    ("disable-content-trust", "signatures are not looked at; leave the flag out"),
    ("gpus", "GPUs are not supported; give device files by --device"),
    ("health-cmd", HEALTH),
    ("health-interval", HEALTH),
    ("health-retries", HEALTH),
    ("health-start-interval", HEALTH),
    ("health-start-period", HEALTH),
    ("health-timeout", HEALTH),
    ("io-maxbandwidth", WINDOWS),
    ("io-maxiops", WINDOWS),
    ("isolation", WINDOWS),
    ("kernel-memory", "the kernel has no such limit any more; use --memory"),
    (
        "link",
        "containers on one network find each other by name: make one by network create, and use --network NETWORK",
    ),
    ("link-local-ip", "the kernel gives such addresses itself; leave the flag out, or use --ip"),
    ("no-healthcheck", "health checks are never run; leave the flag out"),
    ("restart", "nothing restarts containers; leave the flag out, and use a service of your init system"),
    (
        "storage-opt",
        "the size of a container's own files cannot be limited; use --read-only with --tmpfs PATH:size=SIZE for what it writes",
    ),
    ("use-api-socket", "there is no API socket; leave the flag out"),
    ("volume-driver", "local is the only driver of volumes; leave the flag out"),
];

const ATTACH: &str = "output is always attached, and input by -i; leave the flag out";
const HEALTH: &str = "health checks are not supported yet; leave the flag out";
const REALTIME: &str = "realtime limits are not supported; use --cpus or --cpu-shares";
const WINDOWS: &str = "it is for Windows containers; leave it out";

/// Commands of Docker's, with what to do instead.
const COMMANDS: &[(&str, &str)] = &[
    ("build", BUILD),
    ("builder", BUILD),
    ("buildx", BUILD),
    ("compose", "start each container by run"),
    ("context", "there is no daemon to choose"),
    ("events", LATER),
    ("manifest", IMAGES),
    ("pause", LATER),
    ("plugin", "there are no plugins"),
    ("port", "use inspect --format '{{json .NetworkSettings.Ports}}'"),
    ("prune", "remove containers by rm"),
    ("rename", LATER),
    ("restart", "use stop and start"),
    ("search", PULL),
    ("stats", LATER),
    ("top", LATER),
    ("unpause", LATER),
    ("update", LATER),
];

const BUILD: &str = "images are built by other tools, such as buildah";
const IMAGES: &str =
    "images are named where they are: oci:DIR, oci-archive:FILE, docker-archive:FILE, rootfs:DIR, host";
const LATER: &str = "it is not supported yet";
const PULL: &str =
    "registries are not searched; look for the image on the web page of its registry, and pull it by its name";

/// What to do instead of Docker's flag `name` (with its dashes) of `run` and `create`, if it is one.
pub(crate) fn flag(name: &str) -> Option<&'static str> {
    find(FLAGS, name.trim_start_matches('-'))
}

/// What to do instead of Docker's command `name`, if it is one.
pub(crate) fn command(name: &str) -> Option<&'static str> {
    find(COMMANDS, name)
}

fn find(table: &[(&str, &'static str)], name: &str) -> Option<&'static str> {
    table.iter().find(|(known, _)| *known == name).map(|(_, advice)| *advice)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::line;

    #[test]
    fn nothing_is_both_here_and_elsewhere() {
        let command = line::command();
        let run = command.find_subcommand("run").unwrap();
        let longs: Vec<&str> =
            run.get_arguments().filter_map(clap::Arg::get_long_and_visible_aliases).flatten().collect();
        let shorts: Vec<String> = run.get_arguments().filter_map(clap::Arg::get_short).map(String::from).collect();
        for (name, _) in FLAGS {
            assert!(!longs.contains(name) && !shorts.iter().any(|short| short == name), "{name} is supported");
        }
        for (name, _) in COMMANDS {
            assert!(command.find_subcommand(name).is_none(), "{name} is supported");
        }
        assert!(longs.contains(&"memory") && longs.contains(&"net"), "{longs:?}");
        assert!(flag("--link").is_some() && flag("--bogus").is_none());
    }
}
