//! The options before the command, and what every command works with.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::Args;
use rustix::fs::Access;
use stockade_engine::images::registry::{Registries, RegistryOptions};
use stockade_engine::{Engine, Places};

use crate::exit::{Failure, REFUSED};
use crate::grammar::network::{Network, plain};

/// What is beside `stockade` in the folder that it was installed in.
const PROGRAMS: [&str; 4] = ["stake", "stockade-dns", "stockade-monitor", "stockade-unpack"];

/// Where things are without an option.
const DATA_ROOT: &str = "/var/lib/stockade";
const EXEC_ROOT: &str = "/run/stockade";

/// Where things are.
#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// Folder of layers and containers
    #[arg(long, value_name = "DIR", default_value = DATA_ROOT)]
    pub(crate) data_root: PathBuf,
    /// Folder of what does not outlive a reboot
    #[arg(long, value_name = "DIR", default_value = EXEC_ROOT)]
    pub(crate) exec_root: PathBuf,
    /// OCI runtime: a path, or a name that is looked up in PATH; without it, stake
    #[arg(long, value_name = "PROGRAM", global = true)]
    pub(crate) runtime: Option<String>,
    /// Network of containers for which no --network is given: bridge, none, host, or a network's name
    #[arg(long, value_name = "NETWORK", default_value_t, value_parser = plain)]
    pub(crate) default_network: Network,
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
            data_root: data_root.map_or_else(|| DATA_ROOT.into(), PathBuf::from),
            exec_root: exec_root.map_or_else(|| EXEC_ROOT.into(), PathBuf::from),
            default_network: Network::default(),
            runtime: None,
            insecure_registry: Vec::new(),
            registry_mirror: Vec::new(),
        }
    }

    /// Opens this machine's containers.
    ///
    /// # Errors
    /// For others than root; if a program of ours is missing; as [`Engine::open`].
    pub(crate) fn engine(&self) -> Result<Engine, Failure> {
        if !rustix::process::geteuid().is_root() {
            return Err(Failure::new(
                REFUSED,
                "containers without root are not supported yet: run it as root, by sudo for instance",
            ));
        }
        Ok(Engine::open(self.places()?)?)
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
        let mut all: Vec<OsString> = vec!["--data-root".into(), self.data_root.clone().into()];
        all.extend(["--exec-root".into(), self.exec_root.clone().into()]);
        all.extend(["--default-network".into(), self.default_network.to_string().into()]);
        if let Some(runtime) = &self.runtime {
            all.extend(["--runtime".into(), runtime.into()]);
        }
        for (flag, values) in
            [("--insecure-registry", &self.insecure_registry), ("--registry-mirror", &self.registry_mirror)]
        {
            all.extend(values.iter().flat_map(|value| [flag.into(), value.into()]));
        }
        all
    }

    /// The folders and programs.
    fn places(&self) -> Result<Places, Failure> {
        let myself = std::env::current_exe()
            .map_err(|error| Failure::new(REFUSED, format!("cannot tell where this program is: {error}")))?;
        let programs = myself.parent().unwrap_or(Path::new("/")).to_owned();
        let runtime = self.runtime.as_deref().filter(|name| !name.is_empty() && *name != PROGRAMS[0]);
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
        Ok(Places { data: absolute(&self.data_root)?, exec: absolute(&self.exec_root)?, programs, runtime })
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
