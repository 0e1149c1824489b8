//! `info`: the machine, as far as it bears on containers.

use clap::Args;
use serde_json::{Value, json};
use stockade_engine::Info as Machine;

use crate::exit::{Failure, REFUSED, SUCCESS};
use crate::global::Global;
use crate::say;
use crate::show::template::{Filling, Template};

/// Print what this machine offers to containers, and which walls it cannot make
#[derive(Debug, Args)]
pub(crate) struct Info {
    /// A Go template, such as '{{.CgroupVersion}}', or json
    #[arg(long, short, value_name = "TEMPLATE")]
    format: Option<String>,
}

impl Info {
    /// Prints it.
    pub(crate) fn run(self, global: &Global) -> Result<u8, Failure> {
        let machine = stockade_engine::info(&global.engine()?).map_err(|error| Failure::failed(&error))?;
        match self.format.as_deref().filter(|format| !format.is_empty()) {
            None => {
                for line in lines(&machine) {
                    say::line(&line)?;
                }
                for degradation in degradations(&machine) {
                    say::warning(&degradation);
                }
            }
            Some("json") => say::line(&fields(&machine).to_string())?,
            Some(template) => {
                let template = Template::parse(template).map_err(|error| Failure::of(REFUSED, &error))?;
                let filling = Filling::of(fields(&machine));
                say::line(&template.fill(&filling).map_err(|error| Failure::of(REFUSED, &error))?)?;
            }
        }
        Ok(SUCCESS)
    }
}

/// Which of the usual walls this machine cannot make.
fn degradations(machine: &Machine) -> Vec<String> {
    let apparmor = machine.apparmor_degradation.iter().map(|reason| format!("no AppArmor: {reason}"));
    let time = (!machine.time_namespace).then(|| "no time namespaces: this kernel has none".to_owned());
    apparmor.chain(time).collect()
}

/// For people.
fn lines(machine: &Machine) -> Vec<String> {
    let runtime = match &machine.runtime_version {
        Ok(version) => version.clone(),
        Err(reason) => format!("does not answer: {reason}"),
    };
    vec![
        format!("Stockade: {}", machine.version),
        format!("Containers: {}", machine.running + machine.stopped),
        format!(" Running: {}", machine.running),
        format!(" Stopped: {}", machine.stopped),
        format!("Storage Driver: {}", machine.storage),
        format!(" Backing Filesystem: {}", machine.data_filesystem),
        format!("Data Root: {}", machine.data.display()),
        format!("Exec Root: {}", machine.exec.display()),
        format!("OCI Runtime: {} ({runtime})", machine.runtime.display()),
        format!("Cgroup Version: {}", machine.cgroup_version),
        format!("Security Modules: {}", machine.security_modules.join(" ")),
        format!("AppArmor: {}", if machine.apparmor_degradation.is_none() { "yes" } else { "no" }),
        format!("Seccomp Actions: {}", machine.seccomp_actions.join(" ")),
        format!("Time Namespaces: {}", if machine.time_namespace { "yes" } else { "no" }),
        format!("Kernel Version: {}", machine.kernel),
        format!("Architecture: {}", machine.architecture),
        format!("CPUs: {}", machine.processors),
        format!("Total Memory: {:.3} GiB", machine.memory as f64 / f64::from(1 << 30)),
        format!("Name: {}", machine.hostname),
    ]
}

/// For programs; Docker's names where Docker has one.
fn fields(machine: &Machine) -> Value {
    json!({
        "ServerVersion": machine.version,
        "Containers": machine.running + machine.stopped,
        "ContainersRunning": machine.running,
        "ContainersStopped": machine.stopped,
        "Driver": machine.storage,
        "BackingFilesystem": machine.data_filesystem,
        "DataRoot": machine.data.display().to_string(),
        "ExecRoot": machine.exec.display().to_string(),
        "Runtime": machine.runtime.display().to_string(),
        "RuntimeVersion": machine.runtime_version.as_ref().unwrap_or_else(|reason| reason),
        "CgroupVersion": machine.cgroup_version.to_string(),
        "SecurityModules": machine.security_modules,
        "AppArmor": machine.apparmor_degradation.is_none(),
        "SeccompActions": machine.seccomp_actions,
        "TimeNamespaces": machine.time_namespace,
        "KernelVersion": machine.kernel,
        "Architecture": machine.architecture,
        "NCPU": machine.processors,
        "MemTotal": machine.memory,
        "Name": machine.hostname,
        "Warnings": degradations(machine),
    })
}
