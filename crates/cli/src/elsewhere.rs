//! What Docker has and Stockade has not (yet): each is refused by name, with the way out.

/// Flags of Docker's `run` and `create`, without their dashes, with what to do instead.
const FLAGS: &[(&str, &str)] = &[
    ("cpu-count", WINDOWS),
    ("cpu-percent", WINDOWS),
    ("cpu-rt-period", REALTIME),
    ("cpu-rt-runtime", REALTIME),
    ("disable-content-trust", "signatures are not looked at; leave the flag out"),
    ("gpus", "GPUs are not supported; give device files by --device"),
    ("io-maxbandwidth", WINDOWS),
    ("io-maxiops", WINDOWS),
    ("isolation", WINDOWS),
    ("kernel-memory", KERNEL_MEMORY),
    (
        "link",
        "containers on one network find each other by name: make one by network create, and use --network NETWORK",
    ),
    ("link-local-ip", "the kernel gives such addresses itself; leave the flag out, or use --ip"),
    (
        "storage-opt",
        "the size of a container's own files cannot be limited; use --read-only with --tmpfs PATH:size=SIZE for what it writes",
    ),
    ("use-api-socket", "there is no API socket; leave the flag out"),
    ("volume-driver", "local is the only driver of volumes; leave the flag out"),
];

const KERNEL_MEMORY: &str = "the kernel has no such limit any more; use --memory";
const REALTIME: &str = "realtime limits are not supported; use --cpus or --cpu-shares";
const WINDOWS: &str = "it is for Windows containers; leave it out";

/// Flags of Docker's other commands: the ends of the command's path, and then as in [`FLAGS`].
const OTHER_FLAGS: &[(&[&str], &str, &str)] = &[
    (&[" rm", "container remove"], "link", "there are no links; leave the flag out"),
    (&[" rm", "container remove"], "l", "there are no links; leave the flag out"),
    (&[" start"], "checkpoint", CHECKPOINT),
    (&[" start"], "checkpoint-dir", CHECKPOINT),
    (&[" history", "image inspect", " rmi", "image rm", "image remove"], "platform", ONE_PLATFORM),
    (&[" images", "image ls", "image list"], "tree", "each image is listed for itself; leave the flag out"),
    (&[" pull"], "all-tags", ALL_TAGS),
    (&[" pull"], "a", ALL_TAGS),
    (&[" pull", " push"], "disable-content-trust", "signatures are not looked at; leave the flag out"),
    (&[" update"], "cpu-rt-period", REALTIME),
    (&[" update"], "cpu-rt-runtime", REALTIME),
    (&[" update"], "kernel-memory", KERNEL_MEMORY),
    (&["network create"], "attachable", CLUSTER_NETWORK),
    (&["network create"], "config-from", CLUSTER_NETWORK),
    (&["network create"], "config-only", CLUSTER_NETWORK),
    (&["network create"], "ingress", CLUSTER_NETWORK),
    (&["network create"], "scope", CLUSTER_NETWORK),
    (&["network create"], "ipam-driver", IPAM),
    (&["network create"], "ipam-opt", IPAM),
    (&["network inspect"], "verbose", CLUSTER_NETWORK),
    (&["network inspect"], "v", CLUSTER_NETWORK),
    (&["volume create"], "name", "the name is the argument: volume create NAME"),
    (&["volume create"], "availability", CLUSTER),
    (&["volume create"], "group", CLUSTER),
    (&["volume create"], "limit-bytes", CLUSTER),
    (&["volume create"], "required-bytes", CLUSTER),
    (&["volume create"], "scope", CLUSTER),
    (&["volume create"], "secret", CLUSTER),
    (&["volume create"], "sharing", CLUSTER),
    (&["volume create"], "topology-preferred", CLUSTER),
    (&["volume create"], "topology-required", CLUSTER),
    (&["volume create"], "type", CLUSTER),
    (&["volume ls", "volume list"], "cluster", CLUSTER),
];

const ALL_TAGS: &str = "a repository is not asked for all of its tags; pull each by its name";
const CHECKPOINT: &str = "there are no checkpoints; leave the flag out";
const CLUSTER: &str = "it is for volumes of a cluster, which there are none of; leave the flag out";
const CLUSTER_NETWORK: &str = "it is for networks of a cluster, which there are none of; leave the flag out";
const IPAM: &str = "addresses are given by Stockade itself; leave the flag out, or use --subnet and --ip-range";
const ONE_PLATFORM: &str = "an image of the store is for one platform; leave the flag out";

/// Commands of Docker's, with what to do instead.
const COMMANDS: &[(&str, &str)] = &[
    ("build", BUILD),
    ("builder", BUILD),
    ("buildx", BUILD),
    ("checkpoint", "there are no checkpoints"),
    ("compose", "start each container by run"),
    ("config", CLUSTER_COMMAND),
    ("context", "there is no daemon to choose"),
    ("manifest", IMAGES),
    ("node", CLUSTER_COMMAND),
    ("plugin", "there are no plugins"),
    ("prune", "use system prune, or container prune and its like"),
    ("search", PULL),
    ("secret", CLUSTER_COMMAND),
    ("service", CLUSTER_COMMAND),
    ("stack", CLUSTER_COMMAND),
    ("swarm", CLUSTER_COMMAND),
    ("trust", "signatures are not looked at; compare the digest that pull prints"),
];

const CLUSTER_COMMAND: &str = "there are no clusters; start each container by run";
const BUILD: &str = "images are built by other tools, such as buildah";
const IMAGES: &str =
    "images are named where they are: oci:DIR, oci-archive:FILE, docker-archive:FILE, rootfs:DIR, host";
const PULL: &str =
    "registries are not searched; look for the image on the web page of its registry, and pull it by its name";

/// What to do instead of Docker's flag `name` (with its dashes) of the command at `path`, if it is one.
pub(crate) fn flag(path: &str, name: &str) -> Option<&'static str> {
    let name = name.trim_start_matches('-');
    let others = ["volume create", "network create"].iter().any(|other| path.ends_with(other));
    if [" run", " create"].iter().any(|verb| path.ends_with(verb)) && !others {
        return find(FLAGS, name);
    }
    let of = |(paths, flag, _): &&(&[&str], &str, &str)| *flag == name && paths.iter().any(|end| path.ends_with(end));
    OTHER_FLAGS.iter().find(of).map(|(_, _, advice)| *advice)
}

/// What to do instead of Docker's command `name` of the command at `path`, if it is one.
pub(crate) fn command(path: &str, name: &str) -> Option<&'static str> {
    match (path, name) {
        ("stockade volume", "update") => Some("it is for volumes of a cluster, which there are none of"),
        _ => find(COMMANDS, name),
    }
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
        let command = line::whole();
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
        let run = "stockade container run";
        assert!(flag(run, "--gpus").is_some() && flag(run, "--isolation").is_some() && flag(run, "--bogus").is_none());
        assert!(
            flag("stockade volume create", "--gpus").is_none() && flag("stockade volume create", "--scope").is_some()
        );
        assert!(flag("stockade image ls", "--link").is_none() && flag("stockade rm", "-l").is_some());
        assert!(flag("stockade network create", "--attachable").is_some());
    }

    #[test]
    fn no_other_command_has_a_flag_that_is_elsewhere() {
        for (paths, name, _) in OTHER_FLAGS {
            for path in *paths {
                let mut command = &line::whole();
                for word in path.split_whitespace() {
                    let found = command.find_subcommand(word);
                    command = found.unwrap_or_else(|| panic!("there is no command {path}"));
                }
                let mut longs = command.get_arguments().filter_map(clap::Arg::get_long_and_visible_aliases).flatten();
                let mut shorts = command.get_arguments().filter_map(clap::Arg::get_short).map(String::from);
                assert!(!longs.any(|long| long == *name) && !shorts.any(|short| short == *name), "{path} --{name}");
            }
        }
    }
}
