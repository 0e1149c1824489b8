//! `update`: other limits for containers that exist.

use clap::Args;
use stockade_engine::policy::PolicyError;
use stockade_engine::policy::limits::parse_size;
use stockade_engine::policy::resources::{CpuList, Cpus, ResourceOptions};
use stockade_engine::{RestartPolicy, Update as What};

use super::each::{each, then_say};
use crate::exit::{Failure, REFUSED};
use crate::flags::{cpu_list, memory_swap};
use crate::global::Global;
use crate::grammar::restart;

/// Update the limits of one or more containers, running or not
#[derive(Debug, Args)]
pub(crate) struct Update {
    /// Share of the disks against other containers, 10 to 1000
    #[arg(long, value_name = "N")]
    blkio_weight: Option<u16>,
    /// Length of the period, 1000 to 1000000
    #[arg(long, value_name = "MICROSECONDS")]
    cpu_period: Option<u64>,
    /// Microseconds of processor time in each period
    #[arg(long, value_name = "MICROSECONDS")]
    cpu_quota: Option<i64>,
    /// Share of the processors against other containers, 2 to 262144
    #[arg(long, short = 'c', value_name = "N")]
    cpu_shares: Option<u64>,
    /// Most processors, such as 1.5
    #[arg(long, value_name = "N")]
    cpus: Option<Cpus>,
    /// Processors to run on, such as 0-3,7
    #[arg(long, value_name = "LIST", value_parser = |text: &str| cpu_list("--cpuset-cpus", text))]
    cpuset_cpus: Option<CpuList>,
    /// Memory nodes to use, such as 0
    #[arg(long, value_name = "LIST", value_parser = |text: &str| cpu_list("--cpuset-mems", text))]
    cpuset_mems: Option<CpuList>,
    /// Most memory, such as 512m; at least 6m
    #[arg(long, short, value_name = "SIZE", value_parser = size("--memory"))]
    memory: Option<u64>,
    /// Memory that is left to the container when it runs short
    #[arg(long, value_name = "SIZE", value_parser = size("--memory-reservation"))]
    memory_reservation: Option<u64>,
    /// Most memory and swap together; -1 is no limit
    #[arg(long, value_name = "SIZE", value_parser = memory_swap)]
    memory_swap: Option<i64>,
    /// Most processes and threads; -1 is no limit
    #[arg(long, value_name = "N")]
    pids_limit: Option<i64>,
    /// When the container is started again: no, on-failure[:N], always or unless-stopped
    #[arg(long, value_name = "POLICY", value_parser = restart::policy)]
    restart: Option<RestartPolicy>,
    /// Names, ids, or beginnings of ids
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

fn size(flag: &'static str) -> impl Fn(&str) -> Result<u64, PolicyError> + Clone + Send + Sync + 'static {
    move |text| parse_size(flag, text)
}

impl Update {
    /// Updates each.
    pub(crate) fn run(self, global: &Global) -> Result<u8, Failure> {
        let what = What {
            resources: ResourceOptions {
                blkio_weight: self.blkio_weight,
                cpu_period: self.cpu_period,
                cpu_quota: self.cpu_quota,
                cpu_shares: self.cpu_shares,
                cpus: self.cpus,
                cpuset_cpus: self.cpuset_cpus,
                cpuset_mems: self.cpuset_mems,
                memory: self.memory,
                memory_reservation: self.memory_reservation,
                memory_swap: self.memory_swap,
                pids_limit: self.pids_limit,
                ..ResourceOptions::default()
            },
            restart: self.restart,
        };
        if what == What::default() {
            return Err(Failure::new(REFUSED, "you must provide one or more flags when using this command"));
        }
        let engine = global.engine()?;
        Ok(each(&engine, &self.containers, |id, name| then_say(stockade_engine::update(&engine, id, &what), name)))
    }
}
