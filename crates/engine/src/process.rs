//! What a container executes: the image's wishes and the user's, merged as Docker does. Pure.

use stockade_images::{HealthCheck, ImageConfig};
use stockade_policy::defaults;

use crate::Request;
use crate::health::{self, HealthError};

/// What is executed, without who does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Payload {
    pub(crate) entrypoint: Vec<String>,
    pub(crate) cmd: Vec<String>,
    /// Each name once; the image's and the user's.
    pub(crate) env: Vec<String>,
    /// Absolute.
    pub(crate) cwd: String,
    /// `user[:group]`, to be looked up in the image.
    pub(crate) user: String,
    /// What is run in it again and again to see whether it is well.
    pub(crate) health: Option<HealthCheck>,
}

/// A request that cannot be executed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PayloadError {
    /// Neither the user nor the image names a program.
    #[error("no command specified: neither the command line nor the image names a program")]
    NoCommand,
    /// A variable without a name, or with a zero byte.
    #[error("invalid environment variable {0:?}: it must be NAME=value")]
    Variable(String),
    /// A working directory that is not absolute.
    #[error("the working directory {0:?} is invalid, it needs to be an absolute path")]
    WorkingDir(String),
    /// An argument with a zero byte, which no program can be given.
    #[error("the argument {0:?} has a zero byte")]
    Argument(String),
    /// Its health check.
    #[error(transparent)]
    Health(#[from] HealthError),
}

impl Payload {
    /// Merges what the image and the user want.
    pub(crate) fn plan(request: &Request, image: &ImageConfig) -> Result<Self, PayloadError> {
        // A new entrypoint makes the image's arguments meaningless.
        let (entrypoint, image_cmd) = match &request.entrypoint {
            Some(entrypoint) => (entrypoint.clone(), &[][..]),
            None => (image.entrypoint.clone(), image.cmd.as_slice()),
        };
        let cmd = if request.command.is_empty() { image_cmd.to_vec() } else { request.command.clone() };
        if let Some(wrong) = entrypoint.iter().chain(&cmd).find(|argument| argument.contains('\0')) {
            return Err(PayloadError::Argument(wrong.clone()));
        }
        let health = health::merge(request.health.as_ref(), image)?;
        if let Some(wrong) = health.iter().flat_map(|check| &check.test).find(|argument| argument.contains('\0')) {
            return Err(PayloadError::Argument(wrong.clone()));
        }
        let program = entrypoint.first().or_else(|| cmd.first());
        if program.is_none_or(String::is_empty) {
            return Err(PayloadError::NoCommand);
        }
        let cwd = match request.working_dir.as_deref().unwrap_or(&image.working_dir) {
            "" => "/".to_owned(),
            given if given.starts_with('/') && !given.contains('\0') => given.to_owned(),
            wrong => return Err(PayloadError::WorkingDir(wrong.to_owned())),
        };
        let env = merge(image.env.iter().chain(&request.env))?;
        let user = request.user.clone().unwrap_or_else(|| image.user.clone());
        Ok(Self { entrypoint, cmd, env, cwd, user, health })
    }

    /// The program and all arguments.
    pub(crate) fn arguments(&self) -> Vec<String> {
        self.entrypoint.iter().chain(&self.cmd).cloned().collect()
    }

    /// The whole environment: Docker's own variables, which the image's and the user's replace.
    pub(crate) fn environment(&self, hostname: &str, terminal: bool) -> Vec<String> {
        let own = defaults::ENVIRONMENT.iter().map(|entry| entry.value.to_owned());
        let hostname = (!hostname.is_empty()).then(|| format!("HOSTNAME={hostname}"));
        let terminal = terminal.then(|| "TERM=xterm".to_owned());
        let mut all: Vec<String> = own.chain(hostname).chain(terminal).collect();
        for variable in &self.env {
            set(&mut all, variable);
        }
        all
    }
}

/// The variables, a later one of a name in the place of an earlier.
pub(crate) fn merge<'a>(variables: impl Iterator<Item = &'a String>) -> Result<Vec<String>, PayloadError> {
    let mut merged = Vec::new();
    for variable in variables {
        match variable.split_once('=') {
            Some((name, _)) if !name.is_empty() && !variable.contains('\0') => set(&mut merged, variable),
            _ => return Err(PayloadError::Variable(variable.clone())),
        }
    }
    Ok(merged)
}

/// Puts `variable` in the place of the one with its name, or at the end.
pub(crate) fn set(all: &mut Vec<String>, variable: &str) {
    let name = |variable: &str| variable.split_once('=').map(|(name, _)| name.to_owned());
    match all.iter_mut().find(|other| name(other) == name(variable)) {
        Some(other) => variable.clone_into(other),
        None => all.push(variable.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::request;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    fn image() -> ImageConfig {
        ImageConfig {
            env: words("PATH=/image A=1"),
            entrypoint: words("/entry -x"),
            cmd: words("serve"),
            working_dir: "/srv".into(),
            user: "www".into(),
            ..ImageConfig::default()
        }
    }

    #[test]
    fn commands_and_entrypoints_replace_each_other_as_in_docker() {
        for (entrypoint, command, expected) in [
            (None, "", "/entry -x serve"),
            (None, "other", "/entry -x other"),
            (Some("/new"), "", "/new"),
            (Some("/new"), "a b", "/new a b"),
            (Some(""), "a b", "a b"),
        ] {
            let request = Request { entrypoint: entrypoint.map(words), command: words(command), ..request() };
            let payload = Payload::plan(&request, &image()).unwrap();
            assert_eq!(payload.arguments(), words(expected), "{entrypoint:?} {command}");
        }
        for (entrypoint, command) in [(Some(vec![]), vec![]), (Some(vec![String::new()]), words("a"))] {
            let request = Request { entrypoint, command, ..request() };
            assert_eq!(Payload::plan(&request, &image()), Err(PayloadError::NoCommand));
        }
    }

    #[test]
    fn the_environment_has_each_name_once_and_the_users_word_counts() {
        let request = Request { env: words("B=2 A=3 HOSTNAME=mine"), ..request() };
        let payload = Payload::plan(&request, &image()).unwrap();
        assert_eq!(payload.env, words("PATH=/image A=3 B=2 HOSTNAME=mine"));
        assert_eq!(payload.environment("box", true), words("PATH=/image HOSTNAME=mine TERM=xterm A=3 B=2"));
        let bare = Payload::plan(&Request { command: words("a"), ..self::request() }, &ImageConfig::default()).unwrap();
        let usual = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOSTNAME=box";
        assert_eq!(bare.environment("box", false), words(usual));
        assert_eq!((bare.cwd.as_str(), bare.user.as_str()), ("/", ""));
    }

    #[test]
    fn what_cannot_be_executed_is_told() {
        for variable in ["A", "=1", "A=\0"] {
            let request = Request { env: vec![variable.into()], ..request() };
            assert_eq!(Payload::plan(&request, &image()), Err(PayloadError::Variable(variable.into())));
        }
        let request = Request { working_dir: Some("srv".into()), ..request() };
        assert_eq!(Payload::plan(&request, &image()), Err(PayloadError::WorkingDir("srv".into())));
        let request = Request { command: vec!["a\0".into()], ..self::request() };
        assert_eq!(Payload::plan(&request, &image()), Err(PayloadError::Argument("a\0".into())));
    }
}
