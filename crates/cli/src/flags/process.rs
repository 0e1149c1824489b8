//! What runs in the container, and as whom.

use std::path::PathBuf;

use clap::Args;
use stockade_engine::RestartPolicy;
use stockade_engine::images::Platform;
use stockade_engine::session::Shown;
use stockade_engine::{ContainerName, parse_signal};

use crate::grammar::environment::Variable;
use crate::grammar::expose::{Ports, ports};
use crate::grammar::label::Label;
use crate::grammar::restart;
use crate::grammar::{Invalid, invalid};

/// The process, its environment, and what the container is called.
#[derive(Debug, Args)]
#[command(next_help_heading = "Process")]
pub(crate) struct ProcessFlags {
    /// Attach only this stream: stdin, stdout or stderr (otherwise both outputs, and stdin with -i)
    #[arg(long, short, value_name = "STREAM", value_parser = stream)]
    pub(crate) attach: Vec<Stream>,
    /// Keep standard input open
    #[arg(long, short)]
    pub(crate) interactive: bool,
    /// Give the process a terminal
    #[arg(long, short)]
    pub(crate) tty: bool,
    /// Remove the container when it exits
    #[arg(long)]
    pub(crate) rm: bool,
    /// When the container is started again: no, on-failure[:N], always or unless-stopped (default no)
    #[arg(long, value_name = "POLICY", value_parser = restart::policy)]
    pub(crate) restart: Option<RestartPolicy>,
    /// Name the container
    #[arg(long, value_name = "NAME", value_parser = name)]
    pub(crate) name: Option<Named>,
    /// Set an environment variable; NAME alone takes over the value that it has here
    #[arg(long, short, value_name = "NAME=VALUE")]
    pub(crate) env: Vec<Variable>,
    /// Read environment variables from a file
    #[arg(long, value_name = "FILE")]
    pub(crate) env_file: Vec<PathBuf>,
    /// Run this program instead of the image's entrypoint; an empty one takes the image's away
    #[arg(long, value_name = "PROGRAM")]
    pub(crate) entrypoint: Option<String>,
    /// Working directory in the container
    #[arg(long, short, value_name = "DIR", value_parser = working_dir)]
    pub(crate) workdir: Option<String>,
    /// User, and group, by name or number
    #[arg(long, short, value_name = "USER[:GROUP]")]
    pub(crate) user: Option<String>,
    /// Add a group to the process
    #[arg(long, value_name = "GROUP")]
    pub(crate) group_add: Vec<String>,
    /// Host name of the container
    #[arg(long, short = 'h', value_name = "NAME", value_parser = hostname)]
    pub(crate) hostname: Option<String>,
    /// NIS domain name of the container
    #[arg(long, value_name = "NAME", value_parser = domainname)]
    pub(crate) domainname: Option<String>,
    /// Run a first process that forwards signals and reaps zombies
    #[arg(long)]
    pub(crate) init: bool,
    /// Label the container
    #[arg(long, short, value_name = "KEY=VALUE")]
    pub(crate) label: Vec<Label>,
    /// Read labels from a file
    #[arg(long, value_name = "FILE")]
    pub(crate) label_file: Vec<PathBuf>,
    /// Annotate the container for the OCI runtime
    #[arg(long, value_name = "KEY=VALUE", value_parser = annotation)]
    pub(crate) annotation: Vec<(String, String)>,
    /// The signal that asks for the end, instead of the image's
    #[arg(long, value_name = "SIGNAL", value_parser = stop_signal)]
    pub(crate) stop_signal: Option<String>,
    /// Seconds until a container that is stopped is killed; -1 waits as long as it takes (default 10)
    #[arg(long, value_name = "SECONDS", value_parser = stop_timeout)]
    pub(crate) stop_timeout: Option<i64>,
    /// Name ports that the program listens on: PORT[-PORT][/PROTOCOL]
    #[arg(long, value_name = "PORT", value_parser = ports)]
    pub(crate) expose: Vec<Ports>,
    /// Where the output is kept: json-file, journald or none
    #[arg(long, value_name = "DRIVER")]
    pub(crate) log_driver: Option<String>,
    /// Option of the log driver, such as max-size=10m
    #[arg(long, value_name = "KEY=VALUE", value_parser = log_opt)]
    pub(crate) log_opt: Vec<(String, String)>,
    /// Write the container's id to a file, which must not exist
    #[arg(long, value_name = "FILE")]
    pub(crate) cidfile: Option<PathBuf>,
    /// When to pull the image: always, missing or never (default missing)
    #[arg(long, value_name = "WHEN", value_parser = pull)]
    pub(crate) pull: Option<When>,
    /// Platform that the image must be for: OS/ARCHITECTURE[/VARIANT]
    #[arg(long, value_name = "PLATFORM", value_parser = platform)]
    pub(crate) platform: Option<Platform>,
    /// Do not tell how pulling goes on
    #[arg(long, short)]
    pub(crate) quiet: bool,
}

/// What `--attach` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stream {
    /// Standard input, which only `--interactive` opens, as in Docker.
    Input,
    /// Standard output.
    Output,
    /// Standard error.
    Error,
}

fn stream(text: &str) -> Result<Stream, Invalid> {
    match text.to_ascii_lowercase().as_str() {
        "stdin" => Ok(Stream::Input),
        "stdout" => Ok(Stream::Output),
        "stderr" => Ok(Stream::Error),
        _ => Err(invalid("--attach", text, "stdin, stdout or stderr")),
    }
}

/// Which outputs are attached.
pub(crate) fn shown(streams: &[Stream]) -> Shown {
    match (streams.contains(&Stream::Output), streams.contains(&Stream::Error)) {
        _ if streams.is_empty() => Shown::Both,
        (true, true) => Shown::Both,
        (true, false) => Shown::Output,
        (false, true) => Shown::Error,
        (false, false) => Shown::Nothing,
    }
}

/// What `--pull` says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum When {
    /// Whether it is here or not.
    Always,
    /// If it is not here.
    #[default]
    Missing,
    /// Not at all.
    Never,
}

/// What `--name` says; nothing means a name that is made up, as in Docker.
#[derive(Clone, Debug)]
pub(crate) struct Named(pub(crate) Option<ContainerName>);

fn name(text: &str) -> Result<Named, Invalid> {
    if text.is_empty() {
        return Ok(Named(None));
    }
    // Docker takes a leading slash away, which is how its API writes names.
    let bare = text.strip_prefix('/').unwrap_or(text);
    let reason = "letters, digits, _ . and -, at least two, beginning with a letter or digit";
    bare.parse().map(|name| Named(Some(name))).map_err(|_other_words| invalid("--name", text, reason))
}

fn working_dir(text: &str) -> Result<String, Invalid> {
    if !text.starts_with('/') {
        return Err(invalid("--workdir", text, "the working directory must be an absolute path in the container"));
    }
    Ok(text.to_owned())
}

fn hostname(text: &str) -> Result<String, Invalid> {
    // 64 is __NEW_UTS_LEN (uname(2)); the signs are those of a host name, and Docker's underscore.
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    if text.len() > 64 || !text.bytes().all(good) || text.starts_with(['-', '.']) {
        return Err(invalid("--hostname", text, "at most 64 letters, digits, - and ."));
    }
    Ok(text.to_owned())
}

fn domainname(text: &str) -> Result<String, Invalid> {
    // 64 is __NEW_UTS_LEN (uname(2)).
    if text.len() > 64 || text.contains('\0') {
        return Err(invalid("--domainname", text, "at most 64 bytes"));
    }
    Ok(text.to_owned())
}

fn annotation(text: &str) -> Result<(String, String), Invalid> {
    let pair = text.split_once('=').filter(|(key, _)| !key.is_empty());
    let pair = pair.map(|(key, value)| (key.to_owned(), value.to_owned()));
    pair.ok_or_else(|| invalid("--annotation", text, "KEY=VALUE"))
}

fn stop_signal(text: &str) -> Result<String, Invalid> {
    let reason = "a signal's name or number, such as SIGINT, TERM or 9";
    if !text.is_empty() && parse_signal(text).is_err() {
        return Err(invalid("--stop-signal", text, reason));
    }
    Ok(text.to_owned())
}

fn stop_timeout(text: &str) -> Result<i64, Invalid> {
    let seconds = text.parse::<i64>().ok().filter(|seconds| *seconds >= -1);
    seconds.ok_or_else(|| invalid("--stop-timeout", text, "seconds, or -1 to wait as long as it takes"))
}

fn log_opt(text: &str) -> Result<(String, String), Invalid> {
    let pair = text.split_once('=').filter(|(key, _)| !key.is_empty());
    let pair = pair.map(|(key, value)| (key.to_owned(), value.to_owned()));
    pair.ok_or_else(|| invalid("--log-opt", text, "KEY=VALUE, such as max-size=10m"))
}

fn pull(text: &str) -> Result<When, Invalid> {
    match text {
        "always" => Ok(When::Always),
        "missing" | "" => Ok(When::Missing),
        "never" => Ok(When::Never),
        _ => Err(invalid("--pull", text, "always, missing or never")),
    }
}

/// A platform in containerd's grammar.
pub(crate) fn platform(text: &str) -> Result<Platform, Invalid> {
    text.parse().map_err(|_other_words| invalid("--platform", text, "OS/ARCHITECTURE[/VARIANT], as in linux/arm64"))
}
