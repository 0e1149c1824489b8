//! The options before the command, and what every command works with.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::Args;
use rustix::fs::Access;
use stockade_engine::images::registry::{Registries, RegistryOptions};
use stockade_engine::{CgroupDriver, Engine, Places, rootless};

use crate::exit::{Failure, REFUSED};
use crate::grammar::network::{Network, plain};
use crate::say;

/// What is beside `stockade` in the folder that it was installed in.
const PROGRAMS: [&str; 4] = ["stake", "stockade-dns", "stockade-monitor", "stockade-unpack"];

/// Where things are without an option.
const DATA_ROOT: &str = "/var/lib/stockade";
const EXEC_ROOT: &str = "/run/stockade";

/// Where things are.
#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// Folder of layers and containers [default: /var/lib/stockade; of a user other than root ~/.local/share/stockade]
    #[arg(long, value_name = "DIR")]
    pub(crate) data_root: Option<PathBuf>,
    /// Folder of what does not outlive a reboot [default: /run/stockade; of a user other than root $XDG_RUNTIME_DIR/stockade]
    #[arg(long, value_name = "DIR")]
    pub(crate) exec_root: Option<PathBuf>,
    /// OCI runtime: a path, or a name that is looked up in PATH; without it, stake. Of several the last counts, but selftest tries each
    #[arg(long, value_name = "PROGRAM", global = true)]
    pub(crate) runtime: Vec<String>,
    /// Who makes the control groups of new containers: cgroupfs or systemd, which makes scopes [default: cgroupfs]
    #[arg(long, value_name = "DRIVER")]
    pub(crate) cgroup_driver: Option<CgroupDriver>,
    /// Network of containers for which no --network is given: none, host, or a network's name [default: bridge; of a user other than root
    /// pasta]
    #[arg(long, value_name = "NETWORK", value_parser = plain)]
    pub(crate) default_network: Option<Network>,
    /// Registry that is asked without TLS, or whatever certificate it shows; may be repeated
    #[arg(long, value_name = "HOST[:PORT]")]
    pub(crate) insecure_registry: Vec<String>,
    /// Mirror of docker.io that is asked before it; may be repeated
    #[arg(long, value_name = "URL")]
    pub(crate) registry_mirror: Vec<String>,
}

impl Global {
    /// With these two, or the usual ones.
    pub(crate) fn at(data_root: Option<OsString>, exec_root: Option<OsString>) -> Self {
        Self {
            data_root: data_root.map(PathBuf::from),
            exec_root: exec_root.map(PathBuf::from),
            default_network: None,
            runtime: Vec::new(),
            cgroup_driver: None,
            insecure_registry: Vec::new(),
            registry_mirror: Vec::new(),
        }
    }

    /// Opens this machine's containers; those of a user other than root in that user's namespace, in which this program then begins
    /// again. So nothing is to be done before.
    ///
    /// # Errors
    /// If a program of ours is missing; as [`Engine::open`] and [`rootless::enter`].
    pub(crate) fn engine(&self) -> Result<Engine, Failure> {
        let places = self.places()?;
        if !rustix::process::geteuid().is_root() {
            let entry = rootless::Entry {
                data: self.data_root.clone(),
                exec: self.exec_root.clone(),
                programs: places.programs,
                arguments: std::env::args_os().collect(),
            };
            let Err(error) = rootless::enter(&entry, &mut say::warning);
            return Err(Failure::of(REFUSED, &error));
        }
        Ok(Engine::open(places)?)
    }

    /// The network of containers for which none is given.
    ///
    /// # Errors
    /// If the user namespace of this process cannot be looked at.
    pub(crate) fn network(&self) -> Result<Network, Failure> {
        match &self.default_network {
            Some(given) => Ok(given.clone()),
            // Before a user other than root is in the namespace it does not matter: the program begins again there.
            None if rootless::is_here().map_err(|error| Failure::failed(&error))? => Ok(Network::pasta()),
            None => Ok(Network::default()),
        }
    }

    /// The folder of layers and containers.
    pub(crate) fn data(&self) -> &Path {
        self.data_root.as_deref().unwrap_or(Path::new(DATA_ROOT))
    }

    /// The folder of what does not outlive a reboot.
    fn exec(&self) -> &Path {
        self.exec_root.as_deref().unwrap_or(Path::new(EXEC_ROOT))
    }

    /// The registries as this machine, its user and the command line have them.
    ///
    /// # Errors
    /// If a file or flag about them is not of its form.
    pub(crate) fn registries(&self) -> Result<Registries, Failure> {
        Registries::new(self.registry_options()?).map_err(|error| Failure::of(REFUSED, &error))
    }

    /// What is said of registries there.
    ///
    /// # Errors
    /// If the file about them is not of its form.
    pub(crate) fn registry_options(&self) -> Result<RegistryOptions, Failure> {
        let options = RegistryOptions::machine().map_err(|error| Failure::of(REFUSED, &error))?;
        let with = |mut all: Vec<String>, more: &[String]| {
            all.extend_from_slice(more);
            all
        };
        Ok(RegistryOptions {
            insecure: with(options.insecure, &self.insecure_registry),
            mirrors: with(options.mirrors, &self.registry_mirror),
            ..options
        })
    }

    /// The same options again, for another process of this program.
    pub(crate) fn arguments(&self) -> Vec<OsString> {
        let mut all: Vec<OsString> = vec!["--data-root".into(), self.data().into()];
        all.extend(["--exec-root".into(), self.exec().into()]);
        all.extend(self.default_network.iter().flat_map(|one| ["--default-network".into(), one.to_string().into()]));
        if let Some(runtime) = self.runtime.last() {
            all.extend(["--runtime".into(), runtime.into()]);
        }
        let driver = self.cgroup_driver.iter();
        all.extend(driver.flat_map(|driver| ["--cgroup-driver".into(), driver.name().into()]));
        for (flag, values) in
            [("--insecure-registry", &self.insecure_registry), ("--registry-mirror", &self.registry_mirror)]
        {
            all.extend(values.iter().flat_map(|value| [flag.into(), value.into()]));
        }
        all
    }

    /// All runtimes that are named, or stake beside this program.
    pub(crate) fn runtimes(&self) -> Result<Vec<PathBuf>, Failure> {
        let own = || Ok(self.places()?.programs.join(PROGRAMS[0]));
        let named = |name: &String| if name == PROGRAMS[0] { own() } else { find_runtime(name) };
        if self.runtime.is_empty() { Ok(vec![own()?]) } else { self.runtime.iter().map(named).collect() }
    }

    /// The folders and programs.
    fn places(&self) -> Result<Places, Failure> {
        let myself = std::env::current_exe()
            .map_err(|error| Failure::new(REFUSED, format!("cannot tell where this program is: {error}")))?;
        let programs = myself.parent().unwrap_or(Path::new("/")).to_owned();
        let runtime = self.runtime.last().map(String::as_str).filter(|name| !name.is_empty() && *name != PROGRAMS[0]);
        let runtime = runtime.map(find_runtime).transpose()?;
        for name in PROGRAMS {
            let needed = name != PROGRAMS[0] || runtime.is_none();
            if needed && !is_program(&programs.join(name)) {
                let folder = programs.display();
                let way_out = "they are installed together: `cargo build --release` builds all of them";
                return Err(Failure::new(
                    REFUSED,
                    format!("there is no {name} beside stockade in {folder}; {way_out}"),
                ));
            }
        }
        let absolute = |folder: &Path| {
            std::path::absolute(folder)
                .map_err(|error| Failure::new(REFUSED, format!("cannot use the folder {}: {error}", folder.display())))
        };
        let cgroups = self.cgroup_driver.unwrap_or_default();
        Ok(Places { data: absolute(self.data())?, exec: absolute(self.exec())?, programs, runtime, cgroups })
    }
}

/// The absolute path of the runtime that `--runtime` names.
fn find_runtime(name: &str) -> Result<PathBuf, Failure> {
    let refused = |reason: &str| Failure::new(REFUSED, format!("invalid --runtime {name:?}: {reason}"));
    if name.contains('/') {
        let path = std::path::absolute(name).map_err(|error| refused(&error.to_string()))?;
        return if is_program(&path) { Ok(path) } else { Err(refused("there is no such program")) };
    }
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&folders)
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join(name))
        .find(|path| is_program(path));
    found.ok_or_else(|| refused("no such program in PATH: install it, or give its path"))
}

/// Whether `path` is a file that this process may execute.
fn is_program(path: &Path) -> bool {
    path.is_file() && rustix::fs::access(path, Access::EXEC_OK).is_ok()
}
