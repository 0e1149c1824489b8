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
#[command(defer = true)]
pub(crate) enum Command {
    #[command(flatten)]
    Container(ContainerCommand),
    #[command(flatten)]
    OfImages(SharedImageCommand),
    Images(Flags<verb::image::ls::Ls>),
    Rmi(Flags<verb::image::rm::Rm>),
    #[command(flatten)]
    OfSystem(SharedSystemCommand),
    Inspect(Flags<verb::inspect::Inspect>),
    Audit(Flags<verb::audit::Audit>),
    DiffWalls(Flags<verb::diff_walls::DiffWalls>),
    Explain(Flags<verb::explain::Explain>),
    Doctor(Flags<verb::doctor::Doctor>),
    Selftest(Flags<verb::selftest::Selftest>),
    #[command(name = stockade_lens::selftest::inside::COMMAND, hide = true)]
    SelftestInside(Flags<verb::selftest::SelftestInside>),
    Completion(Flags<verb::completion::Completion>),
    Ui(Flags<verb::ui::Ui>),
    Login(Flags<verb::login::Login>),
    Logout(Flags<verb::logout::Logout>),
    Version(Flags<verb::version::Version>),
    #[command(hide = true)]
    Man(Flags<verb::man::Man>),
    #[command(name = stockade_engine::finish::COMMAND, hide = true)]
    ContainerExited(Flags<verb::container_exited::ContainerExited>),
    #[command(name = stockade_engine::network::connect::ATTACH_COMMAND, hide = true)]
    ContainerNetwork(Flags<verb::container_network::ContainerNetwork>),
    #[command(name = stockade_engine::finish::JOIN, hide = true)]
    ContainerJoins(Flags<verb::container_joins::ContainerJoins>),
    #[command(name = verb::explain::beside::COMMAND, hide = true)]
    ContainerExplained(Flags<verb::explain::beside::ContainerExplained>),
    #[command(name = verb::record::beside::RECORDED, hide = true)]
    ContainerRecorded(Flags<verb::record::beside::ContainerRecorded>),
    #[command(name = verb::record::beside::REPLAYED, hide = true)]
    ContainerReplayed(Flags<verb::record::beside::ContainerReplayed>),
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
    /// Look at profiles of system call filters, without a container
    #[command(subcommand, subcommand_required = true, arg_required_else_help = true)]
    Seccomp(verb::seccomp::SeccompCommand),
    /// The organisation's policy of this machine
    #[command(subcommand, subcommand_required = true, arg_required_else_help = true)]
    Policy(PolicyCommand),
    /// What run --record found: the least confinement of a container, put together, tried and shown
    #[command(subcommand, subcommand_required = true, arg_required_else_help = true)]
    Record(verb::record::RecordCommand),
    /// The commands about all that is kept
    #[command(subcommand, subcommand_required = true, arg_required_else_help = true)]
    System(SystemCommand),
}

/// The same commands under Docker's longer name
#[derive(Debug, Args)]
pub(crate) struct Group {
    #[command(subcommand)]
    command: GroupCommand,
}

/// The commands about containers.
#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub(crate) enum ContainerCommand {
    #[command(override_usage = "stockade run [OPTIONS] IMAGE [COMMAND] [ARG...]", disable_help_flag = true)]
    Run(Flags<Box<verb::run::Run>>),
    #[command(override_usage = "stockade create [OPTIONS] IMAGE [COMMAND] [ARG...]", disable_help_flag = true)]
    Create(Flags<Box<verb::create::Create>>),
    Start(Flags<verb::start::Start>),
    Attach(Flags<verb::attach::Attach>),
    Port(Flags<verb::port::Port>),
    #[command(visible_aliases = ["ls", "list"])]
    Ps(Flags<verb::ps::Ps>),
    Logs(Flags<verb::logs::Logs>),
    Wait(Flags<verb::wait::Wait>),
    Kill(Flags<verb::kill::Kill>),
    Stats(Flags<verb::stats::Stats>),
    Top(Flags<verb::top::Top>),
    Stop(Flags<verb::stop::Stop>),
    Restart(Flags<verb::restart::Restart>),
    Pause(Flags<verb::pause::Pause>),
    Unpause(Flags<verb::unpause::Unpause>),
    Update(Flags<verb::update::Update>),
    Rename(Flags<verb::rename::Rename>),
    #[command(visible_alias = "remove")]
    Rm(Flags<verb::rm::Rm>),
    Commit(Flags<verb::commit::Commit>),
    Cp(Flags<verb::cp::Cp>),
    Diff(Flags<verb::diff::Diff>),
    #[command(override_usage = "stockade exec [OPTIONS] CONTAINER COMMAND [ARG...]")]
    Exec(Flags<verb::exec::Exec>),
    Export(Flags<verb::export::Export>),
}

/// `volume COMMAND`.
#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub(crate) enum VolumeCommand {
    Create(Flags<verb::volume::create::Create>),
    Inspect(Flags<verb::volume::inspect::Inspect>),
    #[command(visible_alias = "list")]
    Ls(Flags<verb::volume::ls::Ls>),
    Prune(Flags<verb::volume::prune::Prune>),
    #[command(visible_alias = "remove")]
    Rm(Flags<verb::volume::rm::Rm>),
}

/// `policy COMMAND`.
#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub(crate) enum PolicyCommand {
    Check(Flags<verb::policy::check::Check>),
}

/// `network COMMAND`.
#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub(crate) enum NetworkCommand {
    Connect(Flags<verb::network::connect::Connect>),
    Create(Flags<verb::network::create::Create>),
    Disconnect(Flags<verb::network::disconnect::Disconnect>),
    Inspect(Flags<verb::network::inspect::Inspect>),
    #[command(visible_alias = "list")]
    Ls(Flags<verb::network::ls::Ls>),
    Prune(Flags<verb::network::prune::Prune>),
    Reload(Flags<verb::network::reload::Reload>),
    #[command(visible_alias = "remove")]
    Rm(Flags<verb::network::rm::Rm>),
}

/// What is in `container COMMAND` only.
#[derive(Debug, Subcommand)]
#[command(defer = true)]
enum GroupCommand {
    #[command(flatten)]
    Container(ContainerCommand),
    Inspect(Flags<verb::inspect::InspectContainer>),
    Prune(Flags<verb::prune::Prune>),
}

/// What is called the same in `image COMMAND` and without `image`.
#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub(crate) enum SharedImageCommand {
    Pull(Flags<verb::pull::Pull>),
    Push(Flags<verb::image::push::Push>),
    Tag(Flags<verb::image::tag::Tag>),
    History(Flags<verb::image::history::History>),
    Save(Flags<verb::image::save::Save>),
    Load(Flags<verb::image::load::Load>),
    Import(Flags<verb::import::Import>),
}

/// `image COMMAND`.
#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub(crate) enum ImageCommand {
    #[command(flatten)]
    Shared(SharedImageCommand),
    #[command(visible_alias = "list")]
    Ls(Flags<verb::image::ls::Ls>),
    #[command(visible_alias = "remove")]
    Rm(Flags<verb::image::rm::Rm>),
    Inspect(Flags<verb::inspect::InspectImage>),
    Prune(Flags<verb::image::prune::Prune>),
}

/// What is called the same in `system COMMAND` and without `system`.
#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub(crate) enum SharedSystemCommand {
    Events(Flags<verb::events::Events>),
    Info(Flags<verb::info::Info>),
}

/// `system COMMAND`.
#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub(crate) enum SystemCommand {
    #[command(flatten)]
    Shared(SharedSystemCommand),
    Check(Flags<verb::system::check::Check>),
    Df(Flags<verb::system::df::Df>),
    Prune(Flags<verb::system::prune::Prune>),
    Resume(Flags<verb::system::resume::Resume>),
}

/// A command's flags, read as Docker's are. They are made when the command is the one that is given (`defer` above): the flags of
/// all commands are most of what a start of this program would cost.
#[derive(Debug)]
pub(crate) struct Flags<T>(pub(crate) T);

impl<T: FromArgMatches> FromArgMatches for Flags<T> {
    fn from_arg_matches(matches: &clap::ArgMatches) -> Result<Self, clap::Error> {
        T::from_arg_matches(matches).map(Self)
    }

    fn update_from_arg_matches(&mut self, matches: &clap::ArgMatches) -> Result<(), clap::Error> {
        self.0.update_from_arg_matches(matches)
    }
}

impl<T: Args> Args for Flags<T> {
    fn augment_args(command: clap::Command) -> clap::Command {
        complete::name(pflag::impose(T::augment_args(command)))
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        complete::name(pflag::impose(T::augment_args_for_update(command)))
    }
}

/// The commands; of each that is not given the name only.
pub(crate) fn command() -> clap::Command {
    pflag::impose(Line::command())
}

/// The commands with all their flags and what they are for.
pub(crate) fn whole() -> clap::Command {
    let mut command = command();
    command.build();
    command
}

impl Line {
    /// Reads the command line.
    ///
    /// # Errors
    /// What clap says; requests for help and the version are errors too.
    pub(crate) fn read(arguments: &[std::ffi::OsString]) -> Result<Self, clap::Error> {
        let read = |mut command: clap::Command| {
            let matches = command.try_get_matches_from_mut(arguments)?;
            Self::from_arg_matches(&matches).map_err(|error| error.format(&mut command))
        };
        // What is said of a line that cannot be read, help with it, needs to know of all commands.
        read(command()).or_else(|_| read(whole()))
    }

    /// Does what it says; the exit code.
    pub(crate) fn run(self) -> Result<u8, Failure> {
        let global = &self.global;
        match self.command {
            Command::Container(command) => command.run(global),
            Command::Group(Group { command: GroupCommand::Container(command) }) => command.run(global),
            Command::Group(Group { command: GroupCommand::Inspect(inspect) }) => inspect.0.run(global),
            Command::Group(Group { command: GroupCommand::Prune(prune) }) => prune.0.run(global),
            Command::Images(ls) => ls.0.run(global),
            Command::Rmi(rm) => rm.0.run(global),
            Command::OfImages(command) => command.run(global),
            Command::OfSystem(command) => command.run(global),
            Command::Inspect(inspect) => inspect.0.run(global),
            Command::Audit(audit) => audit.0.run(global),
            Command::DiffWalls(diff) => diff.0.run(global),
            Command::Explain(explain) => explain.0.run(global),
            Command::Doctor(doctor) => doctor.0.run(global),
            Command::Selftest(selftest) => selftest.0.run(global),
            Command::SelftestInside(attempt) => attempt.0.run(),
            Command::Completion(completion) => completion.0.run(),
            Command::Man(man) => man.0.run(),
            Command::Image(command) => command.run(global),
            Command::System(command) => command.run(global),
            Command::Seccomp(command) => command.run(),
            Command::Policy(PolicyCommand::Check(check)) => check.0.run(global),
            Command::Volume(command) => command.run(global),
            Command::Network(command) => command.run(global),
            Command::Ui(ui) => ui.0.run(global),
            Command::Login(login) => login.0.run(global),
            Command::Logout(logout) => logout.0.run(global),
            Command::Version(version) => version.0.run(global),
            Command::ContainerExited(exited) => exited.0.run(global),
            Command::ContainerNetwork(network) => network.0.run(global),
            Command::ContainerJoins(joins) => joins.0.run(global),
            Command::ContainerExplained(explained) => explained.0.run(),
            Command::ContainerRecorded(recorded) => recorded.0.run(),
            Command::ContainerReplayed(replayed) => replayed.0.run(),
            Command::Record(command) => command.run(global),
        }
    }
}

impl ContainerCommand {
    fn run(self, global: &Global) -> Result<u8, Failure> {
        match self {
            Self::Run(run) => run.0.run(global),
            Self::Create(create) => create.0.run(global),
            Self::Start(start) => start.0.run(global),
            Self::Attach(attach) => attach.0.run(global),
            Self::Port(port) => port.0.run(global),
            Self::Ps(ps) => ps.0.run(global),
            Self::Logs(logs) => logs.0.run(global),
            Self::Wait(wait) => wait.0.run(global),
            Self::Kill(kill) => kill.0.run(global),
            Self::Stats(stats) => stats.0.run(global),
            Self::Top(top) => top.0.run(global),
            Self::Stop(stop) => stop.0.run(global),
            Self::Restart(restart) => restart.0.run(global),
            Self::Pause(pause) => pause.0.run(global),
            Self::Unpause(unpause) => unpause.0.run(global),
            Self::Update(update) => update.0.run(global),
            Self::Rename(rename) => rename.0.run(global),
            Self::Rm(rm) => rm.0.run(global),
            Self::Commit(commit) => commit.0.run(global),
            Self::Cp(cp) => cp.0.run(global),
            Self::Diff(diff) => diff.0.run(global),
            Self::Exec(exec) => exec.0.run(global),
            Self::Export(export) => export.0.run(global),
        }
    }
}

impl VolumeCommand {
    fn run(self, global: &Global) -> Result<u8, Failure> {
        match self {
            Self::Create(create) => create.0.run(global),
            Self::Inspect(inspect) => inspect.0.run(global),
            Self::Ls(ls) => ls.0.run(global),
            Self::Prune(prune) => prune.0.run(global),
            Self::Rm(rm) => rm.0.run(global),
        }
    }
}

impl NetworkCommand {
    fn run(self, global: &Global) -> Result<u8, Failure> {
        match self {
            Self::Connect(connect) => connect.0.run(global),
            Self::Create(create) => create.0.run(global),
            Self::Disconnect(disconnect) => disconnect.0.run(global),
            Self::Inspect(inspect) => inspect.0.run(global),
            Self::Ls(ls) => ls.0.run(global),
            Self::Prune(prune) => prune.0.run(global),
            Self::Reload(reload) => reload.0.run(global),
            Self::Rm(rm) => rm.0.run(global),
        }
    }
}

impl SharedImageCommand {
    fn run(self, global: &Global) -> Result<u8, Failure> {
        match self {
            Self::Pull(pull) => pull.0.run(global),
            Self::Push(push) => push.0.run(global),
            Self::Tag(tag) => tag.0.run(global),
            Self::History(history) => history.0.run(global),
            Self::Save(save) => save.0.run(global),
            Self::Load(load) => load.0.run(global),
            Self::Import(import) => import.0.run(global),
        }
    }
}

impl SharedSystemCommand {
    fn run(self, global: &Global) -> Result<u8, Failure> {
        match self {
            Self::Events(events) => events.0.run(global),
            Self::Info(info) => info.0.run(global),
        }
    }
}

impl ImageCommand {
    fn run(self, global: &Global) -> Result<u8, Failure> {
        match self {
            Self::Shared(command) => command.run(global),
            Self::Ls(ls) => ls.0.run(global),
            Self::Rm(rm) => rm.0.run(global),
            Self::Inspect(inspect) => inspect.0.run(global),
            Self::Prune(prune) => prune.0.run(global),
        }
    }
}

impl SystemCommand {
    fn run(self, global: &Global) -> Result<u8, Failure> {
        match self {
            Self::Shared(command) => command.run(global),
            Self::Check(check) => check.0.run(global),
            Self::Df(df) => df.0.run(global),
            Self::Prune(prune) => prune.0.run(global),
            Self::Resume(resume) => resume.0.run(global),
        }
    }
}

#[cfg(test)]
mod tests;
