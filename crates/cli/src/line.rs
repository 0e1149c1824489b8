//! The command line: its commands, and where each is done.

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::complete;
use crate::exit::Failure;
use crate::global::Global;
use crate::grammar::pflag;
use crate::verb;

/// Run programs that you do not trust: Docker's command line without a daemon, and walls that are read back from the kernel
#[derive(Debug, Parser)]
#[command(name = "stockade", version = verb::version::VERSION, max_term_width = 100, subcommand_required = true, arg_required_else_help = true)]
#[command(disable_version_flag = true)]
#[command(
    after_help = "'stockade COMMAND --help' tells more of a command.\nA first one: stockade run --rm -it host sh"
)]
pub(crate) struct Line {
    #[command(flatten)]
    pub(crate) global: Global,
    /// Print the version
    #[arg(long, short = 'v', action = clap::ArgAction::Version)]
    version: Option<bool>,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    #[command(flatten)]
    Container(ContainerCommand),
    #[command(flatten)]
    OfImages(SharedImageCommand),
    Images(verb::image::ls::Ls),
    Rmi(verb::image::rm::Rm),
    #[command(flatten)]
    OfSystem(SharedSystemCommand),
    Inspect(verb::inspect::Inspect),
    Completion(verb::completion::Completion),
    Login(verb::login::Login),
    Logout(verb::logout::Logout),
    Version(verb::version::Version),
    #[command(hide = true)]
    Man(verb::man::Man),
    #[command(name = stockade_engine::finish::COMMAND, hide = true)]
    ContainerExited(verb::container_exited::ContainerExited),
    #[command(name = stockade_engine::network::connect::ATTACH_COMMAND, hide = true)]
    ContainerNetwork(verb::container_network::ContainerNetwork),
    /// The same commands under Docker's longer name
    #[command(name = "container", subcommand_required = true, arg_required_else_help = true)]
    Group(Group),
    /// Make, list and remove volumes
    #[command(subcommand, subcommand_required = true, arg_required_else_help = true)]
    Volume(VolumeCommand),
    /// Make, list and remove networks, and put containers on them
    #[command(subcommand, subcommand_required = true, arg_required_else_help = true)]
    Network(NetworkCommand),
    /// The commands about images under Docker's longer names
    #[command(subcommand, subcommand_required = true, arg_required_else_help = true)]
    Image(ImageCommand),
    /// The commands about all that is kept
    #[command(subcommand, subcommand_required = true, arg_required_else_help = true)]
    System(SystemCommand),
}

/// `container COMMAND`.
#[derive(Debug, Args)]
pub(crate) struct Group {
    #[command(subcommand)]
    command: GroupCommand,
}

/// The commands about containers.
#[derive(Debug, Subcommand)]
pub(crate) enum ContainerCommand {
    #[command(override_usage = "stockade run [OPTIONS] IMAGE [COMMAND] [ARG...]", disable_help_flag = true)]
    Run(Box<verb::run::Run>),
    #[command(override_usage = "stockade create [OPTIONS] IMAGE [COMMAND] [ARG...]", disable_help_flag = true)]
    Create(Box<verb::create::Create>),
    Start(verb::start::Start),
    Attach(verb::attach::Attach),
    Port(verb::port::Port),
    #[command(visible_aliases = ["ls", "list"])]
    Ps(verb::ps::Ps),
    Logs(verb::logs::Logs),
    Wait(verb::wait::Wait),
    Kill(verb::kill::Kill),
    Stats(verb::stats::Stats),
    Stop(verb::stop::Stop),
    #[command(visible_alias = "remove")]
    Rm(verb::rm::Rm),
    Commit(verb::commit::Commit),
    Cp(verb::cp::Cp),
    Diff(verb::diff::Diff),
    #[command(override_usage = "stockade exec [OPTIONS] CONTAINER COMMAND [ARG...]")]
    Exec(verb::exec::Exec),
    Export(verb::export::Export),
}

/// `volume COMMAND`.
#[derive(Debug, Subcommand)]
pub(crate) enum VolumeCommand {
    Create(verb::volume::create::Create),
    Inspect(verb::volume::inspect::Inspect),
    #[command(visible_alias = "list")]
    Ls(verb::volume::ls::Ls),
    Prune(verb::volume::prune::Prune),
    #[command(visible_alias = "remove")]
    Rm(verb::volume::rm::Rm),
}

/// `network COMMAND`.
#[derive(Debug, Subcommand)]
pub(crate) enum NetworkCommand {
    Connect(verb::network::connect::Connect),
    Create(verb::network::create::Create),
    Disconnect(verb::network::disconnect::Disconnect),
    Inspect(verb::network::inspect::Inspect),
    #[command(visible_alias = "list")]
    Ls(verb::network::ls::Ls),
    Prune(verb::network::prune::Prune),
    Reload(verb::network::reload::Reload),
    #[command(visible_alias = "remove")]
    Rm(verb::network::rm::Rm),
}

/// What is in `container COMMAND` only.
#[derive(Debug, Subcommand)]
enum GroupCommand {
    #[command(flatten)]
    Container(ContainerCommand),
    Inspect(verb::inspect::InspectContainer),
    Prune(verb::prune::Prune),
}

/// What is called the same in `image COMMAND` and without `image`.
#[derive(Debug, Subcommand)]
pub(crate) enum SharedImageCommand {
    Pull(verb::pull::Pull),
    Push(verb::image::push::Push),
    Tag(verb::image::tag::Tag),
    History(verb::image::history::History),
    Save(verb::image::save::Save),
    Load(verb::image::load::Load),
    Import(verb::import::Import),
}

/// `image COMMAND`.
#[derive(Debug, Subcommand)]
pub(crate) enum ImageCommand {
    #[command(flatten)]
    Shared(SharedImageCommand),
    #[command(visible_alias = "list")]
    Ls(verb::image::ls::Ls),
    #[command(visible_alias = "remove")]
    Rm(verb::image::rm::Rm),
    Inspect(verb::inspect::InspectImage),
    Prune(verb::image::prune::Prune),
}

/// What is called the same in `system COMMAND` and without `system`.
#[derive(Debug, Subcommand)]
pub(crate) enum SharedSystemCommand {
    Events(verb::events::Events),
    Info(verb::info::Info),
}

/// `system COMMAND`.
#[derive(Debug, Subcommand)]
pub(crate) enum SystemCommand {
    #[command(flatten)]
    Shared(SharedSystemCommand),
    Check(verb::system::check::Check),
    Df(verb::system::df::Df),
    Prune(verb::system::prune::Prune),
}

/// The commands with their flags, reading them as Docker's do.
pub(crate) fn command() -> clap::Command {
    complete::name(pflag::impose(Line::command()))
}

impl Line {
    /// Reads the command line.
    ///
    /// # Errors
    /// What clap says; requests for help and the version are errors too.
    pub(crate) fn read(arguments: &[std::ffi::OsString]) -> Result<Self, clap::Error> {
        let mut command = command();
        let matches = command.try_get_matches_from_mut(arguments)?;
        Self::from_arg_matches(&matches).map_err(|error| error.format(&mut command))
    }

    /// Does what it says; the exit code.
    pub(crate) fn run(self) -> Result<u8, Failure> {
        let global = &self.global;
        match self.command {
            Command::Container(command) => command.run(global),
            Command::Group(Group { command: GroupCommand::Container(command) }) => command.run(global),
            Command::Group(Group { command: GroupCommand::Inspect(inspect) }) => inspect.run(global),
            Command::Group(Group { command: GroupCommand::Prune(prune) }) => prune.run(global),
            Command::Images(ls) => ls.run(global),
            Command::Rmi(rm) => rm.run(global),
            Command::OfImages(command) => command.run(global),
            Command::OfSystem(command) => command.run(global),
            Command::Inspect(inspect) => inspect.run(global),
            Command::Completion(completion) => completion.run(),
            Command::Man(man) => man.run(),
            Command::Image(command) => command.run(global),
            Command::System(command) => command.run(global),
            Command::Volume(command) => command.run(global),
            Command::Network(command) => command.run(global),
            Command::Login(login) => login.run(global),
            Command::Logout(logout) => logout.run(global),
            Command::Version(version) => version.run(global),
            Command::ContainerExited(exited) => exited.run(global),
            Command::ContainerNetwork(network) => network.run(global),
        }
    }
}

impl ContainerCommand {
    fn run(self, global: &Global) -> Result<u8, Failure> {
        match self {
            Self::Run(run) => run.run(global),
            Self::Create(create) => create.run(global),
            Self::Start(start) => start.run(global),
            Self::Attach(attach) => attach.run(global),
            Self::Port(port) => port.run(global),
            Self::Ps(ps) => ps.run(global),
            Self::Logs(logs) => logs.run(global),
            Self::Wait(wait) => wait.run(global),
            Self::Kill(kill) => kill.run(global),
            Self::Stats(stats) => stats.run(global),
            Self::Stop(stop) => stop.run(global),
            Self::Rm(rm) => rm.run(global),
            Self::Commit(commit) => commit.run(global),
            Self::Cp(cp) => cp.run(global),
            Self::Diff(diff) => diff.run(global),
            Self::Exec(exec) => exec.run(global),
            Self::Export(export) => export.run(global),
        }
    }
}

impl VolumeCommand {
    fn run(self, global: &Global) -> Result<u8, Failure> {
        match self {
            Self::Create(create) => create.run(global),
            Self::Inspect(inspect) => inspect.run(global),
            Self::Ls(ls) => ls.run(global),
            Self::Prune(prune) => prune.run(global),
            Self::Rm(rm) => rm.run(global),
        }
    }
}

impl NetworkCommand {
    fn run(self, global: &Global) -> Result<u8, Failure> {
        match self {
            Self::Connect(connect) => connect.run(global),
            Self::Create(create) => create.run(global),
            Self::Disconnect(disconnect) => disconnect.run(global),
            Self::Inspect(inspect) => inspect.run(global),
            Self::Ls(ls) => ls.run(global),
            Self::Prune(prune) => prune.run(global),
            Self::Reload(reload) => reload.run(global),
            Self::Rm(rm) => rm.run(global),
        }
    }
}

impl SharedImageCommand {
    fn run(self, global: &Global) -> Result<u8, Failure> {
        match self {
            Self::Pull(pull) => pull.run(global),
            Self::Push(push) => push.run(global),
            Self::Tag(tag) => tag.run(global),
            Self::History(history) => history.run(global),
            Self::Save(save) => save.run(global),
            Self::Load(load) => load.run(global),
            Self::Import(import) => import.run(global),
        }
    }
}

impl SharedSystemCommand {
    fn run(self, global: &Global) -> Result<u8, Failure> {
        match self {
            Self::Events(events) => events.run(global),
            Self::Info(info) => info.run(global),
        }
    }
}

impl ImageCommand {
    fn run(self, global: &Global) -> Result<u8, Failure> {
        match self {
            Self::Shared(command) => command.run(global),
            Self::Ls(ls) => ls.run(global),
            Self::Rm(rm) => rm.run(global),
            Self::Inspect(inspect) => inspect.run(global),
            Self::Prune(prune) => prune.run(global),
        }
    }
}

impl SystemCommand {
    fn run(self, global: &Global) -> Result<u8, Failure> {
        match self {
            Self::Shared(command) => command.run(global),
            Self::Check(check) => check.run(global),
            Self::Df(df) => df.run(global),
            Self::Prune(prune) => prune.run(global),
        }
    }
}

#[cfg(test)]
mod tests;
