//! From flags to what the engine is asked for.

use stockade_engine::images::{Reference, ReferenceError};
use stockade_engine::policy::devices::parse_rule;
use stockade_engine::policy::{Options, PolicyError, SecurityOptions};
use stockade_engine::request::Ending;
use stockade_engine::{Logging, LoggingError, Request, RestartPolicy};

use super::process::shown;
use super::{CreateFlags, LimitFlags, ProcessFlags, WallFlags, When};
use crate::grammar::environment::{ReadError, variables};
use crate::grammar::expose::Ports;
use crate::grammar::label::labels;
use crate::grammar::mount::Mount;
use crate::grammar::network::Network;
use crate::grammar::volume;
use crate::show::progress::Telling;

/// Flags that each are in order and together ask for nothing that can be.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RequestError {
    /// The image's name.
    #[error(transparent)]
    Image(#[from] ReferenceError),
    /// A file of variables or labels.
    #[error(transparent)]
    File(#[from] ReadError),
    /// `--security-opt` or `--device-cgroup-rule`.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// `--log-driver` or `--log-opt`.
    #[error(transparent)]
    Logging(#[from] LoggingError),
    /// Flags that do not go together.
    #[error(transparent)]
    Flags(#[from] crate::grammar::Invalid),
    /// A container that is both removed and started again when it ends.
    #[error("conflicting options: cannot specify both --restart and --rm")]
    RestartAndRemove,
    /// Two mounts on one path.
    #[error("duplicate mount point {0}: give one --volume, --mount or --tmpfs for it")]
    DuplicateTarget(String),
}

/// What the flags ask for.
pub(crate) struct Asked {
    /// The container.
    pub(crate) request: Request,
    /// What the user should know although it is no error.
    pub(crate) notices: Vec<String>,
    /// When the image is pulled.
    pub(crate) when: When,
    /// Whether that is told.
    pub(crate) telling: Telling,
}

impl CreateFlags {
    /// Makes the request of a container that is on the network `default` unless the flags name others. Reads files of variables and labels; changes nothing.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub(crate) fn request(self, default: &Network) -> Result<Asked, RequestError> {
        let mut command = self.image_and_command;
        // clap gives at least one.
        let image = Reference::parse(&if command.is_empty() { String::new() } else { command.remove(0) })?;
        let mut notices = Vec::new();
        let mut tmpfs = self.storage.tmpfs;
        let volumes_from = self.storage.volumes_from;
        let mut binds = Vec::new();
        let mut volumes = Vec::new();
        for volume in self.storage.volume {
            let target = match volume.mount {
                volume::Mount::Bind(bind) => {
                    binds.push(bind);
                    binds.last().map(|bind| &bind.target)
                }
                volume::Mount::Volume(volume) => {
                    volumes.push(volume);
                    volumes.last().map(|volume| &volume.target)
                }
            };
            if let Some(target) = target.filter(|_| volume.relabel) {
                let target = target.display();
                notices.push(format!("the volume on {target} gets no SELinux label (z, Z): SELinux is not supported"));
            }
        }
        for mount in self.storage.mount {
            match mount {
                Mount::Bind(bind) => binds.push(bind),
                Mount::Tmpfs(mount) => tmpfs.push(mount),
                Mount::Volume(volume) => volumes.push(volume),
            }
        }
        let targets = binds.iter().map(|bind| &bind.target).chain(volumes.iter().map(|volume| &volume.target));
        unique(targets.chain(tmpfs.iter().map(|tmpfs| &tmpfs.0.destination)))?;
        if self.limits.oom_kill_disable && self.limits.memory.is_none() {
            notices.push(
                "--oom-kill-disable without --memory lets the container take all memory of this machine".to_owned(),
            );
        }
        let (network, networks) = self.networks.request(default)?;
        let options = Options {
            read_only: self.storage.read_only,
            shm_size: self.storage.shm_size,
            tmpfs,
            network,
            pid: self.namespaces.pid.unwrap_or_default(),
            ipc: self.namespaces.ipc.unwrap_or_default(),
            uts: self.namespaces.uts.unwrap_or_default(),
            user: self.namespaces.userns.unwrap_or_default(),
            cgroup: self.namespaces.cgroupns.and_then(|mode| mode.0),
            ..options(self.walls, &self.limits)?
        };
        let cgroup_parent = self.limits.cgroup_parent.clone().filter(|parent| !parent.is_empty());
        let options = Options { resources: self.limits.resources(), ..options };
        let when = self.process.pull.unwrap_or_default();
        let telling = if self.process.quiet { Telling::Quiet } else { Telling::Progress };
        let mut request = process(self.process, image, command)?;
        request.health = self.health.check()?;
        (request.binds, request.volumes) = (binds, volumes);
        request.volumes_from = volumes_from;
        request.cgroup_parent = cgroup_parent;
        request.options = options;
        request.network = networks;
        Ok(Asked { request, notices, when, telling })
    }
}

/// The part about what runs.
fn process(flags: ProcessFlags, image: Reference, command: Vec<String>) -> Result<Request, RequestError> {
    let restart = flags.restart.unwrap_or_default();
    if flags.rm && restart != RestartPolicy::No {
        return Err(RequestError::RestartAndRemove);
    }
    let some = |text: Option<String>| text.filter(|text| !text.is_empty());
    Ok(Request {
        image,
        platform: flags.platform,
        command,
        entrypoint: flags.entrypoint.map(|program| if program.is_empty() { Vec::new() } else { vec![program] }),
        name: flags.name.and_then(|name| name.0),
        id_file: flags.cidfile.map(|path| path.display().to_string()),
        env: variables(&flags.env_file, &flags.env, |name| std::env::var_os(name))?,
        working_dir: flags.workdir,
        user: some(flags.user),
        groups: flags.group_add,
        hostname: some(flags.hostname),
        labels: labels(&flags.label_file, &flags.label)?,
        binds: Vec::new(),
        volumes: Vec::new(),
        terminal: flags.tty,
        interactive: flags.interactive,
        detached: false,
        shown: shown(&flags.attach),
        remove: flags.rm,
        restart,
        init: flags.init,
        health: None,
        cgroup_parent: None,
        logging: Logging::parse(&flags.log_driver.unwrap_or_default(), flags.log_opt.into_iter().collect())?,
        ending: Ending { signal: some(flags.stop_signal), timeout: flags.stop_timeout },
        domainname: some(flags.domainname),
        annotations: flags.annotation.into_iter().collect(),
        exposed: flags.expose.iter().flat_map(Ports::each).collect(),
        volumes_from: Vec::new(),
        network: stockade_engine::network::ask::NetworkRequest::default(),
        options: Options::default(),
    })
}

/// The part about what it may do.
fn options(walls: WallFlags, limits: &LimitFlags) -> Result<Options, RequestError> {
    Ok(Options {
        cap_add: walls.cap_add,
        cap_drop: walls.cap_drop,
        privileged: walls.privileged,
        security: SecurityOptions::parse(&walls.security_opt)?,
        devices: walls.device,
        device_rules: walls.device_cgroup_rule.iter().map(|rule| parse_rule(rule)).collect::<Result<_, _>>()?,
        ulimits: walls.ulimit,
        sysctls: walls.sysctl,
        oom_score_adj: limits.oom_score_adj,
        ..Options::default()
    })
}

/// Refuses two mounts on one path, as Docker does.
fn unique<'a>(targets: impl Iterator<Item = &'a std::path::PathBuf>) -> Result<(), RequestError> {
    let mut seen = std::collections::BTreeSet::new();
    for target in targets {
        let plain: std::path::PathBuf = target.components().collect();
        if !seen.insert(plain) {
            return Err(RequestError::DuplicateTarget(target.display().to_string()));
        }
    }
    Ok(())
}
