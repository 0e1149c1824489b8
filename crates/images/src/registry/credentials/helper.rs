//! Credential helpers: programs `docker-credential-NAME` that keep secrets elsewhere
//! (github.com/docker/docker-credential-helpers). The verb is the argument, everything else goes over the streams.

use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use serde::Deserialize;

use super::{Credentials, CredentialsError};

/// The most bytes that a helper's output has.
const LARGEST: u64 = 256 << 10;
/// The name that stands for an identity token.
const TOKEN: &str = "<token>";
/// What helpers say where they know nothing.
const NOT_FOUND: &str = "credentials not found in native keychain";

/// A helper that is there.
pub(super) struct Helper {
    program: PathBuf,
    name: String,
}

#[derive(Deserialize)]
struct Kept {
    #[serde(rename = "Username")]
    user: String,
    #[serde(rename = "Secret")]
    secret: String,
}

impl Helper {
    /// The helper of that name, in an absolute folder of `PATH`.
    ///
    /// # Errors
    /// If it is no name, or not there.
    pub(super) fn find(name: &str) -> Result<Self, CredentialsError> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        if name.is_empty() || name.len() > 128 || !name.bytes().all(plain) {
            return Err(CredentialsError::HelperName(name.chars().take(128).collect()));
        }
        let name = format!("docker-credential-{name}");
        let folders = std::env::var_os("PATH").unwrap_or_default();
        let found = std::env::split_paths(&folders)
            .filter(|folder| folder.is_absolute())
            .map(|folder| folder.join(&name))
            .find(|path| path.is_file() && rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok());
        match found {
            Some(program) => Ok(Self { program, name }),
            None => Err(CredentialsError::NoHelper(name)),
        }
    }

    /// What it keeps for `server`.
    ///
    /// # Errors
    /// If it fails, or says what no helper says.
    pub(super) fn get(&self, server: &str) -> Result<Option<Credentials>, CredentialsError> {
        let (worked, output) = self.run("get", server.as_bytes())?;
        if !worked {
            let said = String::from_utf8_lossy(&output);
            return if said.trim() == NOT_FOUND { Ok(None) } else { Err(self.failed("get", &said)) };
        }
        // What serde says of it could have a part of the secret in it.
        let kept: Kept = serde_json::from_slice(&output)
            .map_err(|_ignored| self.failed("get", "its answer is not of the protocol"))?;
        Ok(match kept.user.as_str() {
            _ if kept.secret.is_empty() => None,
            TOKEN => Some(Credentials::IdentityToken(kept.secret)),
            _ => Some(Credentials::Password { user: kept.user, password: kept.secret }),
        })
    }

    /// Has it keep `credentials` for `server`.
    ///
    /// # Errors
    /// If it fails.
    pub(super) fn store(&self, server: &str, credentials: &Credentials) -> Result<(), CredentialsError> {
        let (user, secret) = match credentials {
            Credentials::Password { user, password } => (user.as_str(), password),
            Credentials::IdentityToken(token) | Credentials::RegistryToken(token) => (TOKEN, token),
        };
        let message = serde_json::json!({ "ServerURL": server, "Username": user, "Secret": secret }).to_string();
        self.expect("store", message.as_bytes())
    }

    /// Has it forget what it keeps for `server`.
    ///
    /// # Errors
    /// If it fails for another reason than that there is nothing.
    pub(super) fn erase(&self, server: &str) -> Result<(), CredentialsError> {
        self.expect("erase", server.as_bytes())
    }

    fn expect(&self, verb: &'static str, input: &[u8]) -> Result<(), CredentialsError> {
        let (worked, output) = self.run(verb, input)?;
        let said = String::from_utf8_lossy(&output);
        if worked || said.trim() == NOT_FOUND { Ok(()) } else { Err(self.failed(verb, &said)) }
    }

    fn failed(&self, verb: &'static str, said: &str) -> CredentialsError {
        let said: String = said.trim().chars().take(256).collect();
        let reason =
            if said.is_empty() { "it failed and said nothing".to_owned() } else { said.escape_debug().to_string() };
        CredentialsError::Helper { helper: self.name.clone(), verb, reason }
    }

    /// Whether it succeeded, and what it wrote. Its errors go where ours go.
    fn run(&self, verb: &'static str, input: &[u8]) -> Result<(bool, Vec<u8>), CredentialsError> {
        let mut command = Command::new(&self.program);
        command.arg(verb).stdin(Stdio::piped()).stdout(Stdio::piped());
        let started = command.spawn();
        let mut child = started.map_err(|error| self.failed(verb, &format!("cannot be started: {error}")))?;
        let output = exchange(&mut child, input);
        if output.is_err() {
            // It may wait for somebody to read the rest.
            child.kill().map_err(|error| self.failed(verb, &error.to_string()))?;
        }
        let status = child.wait().map_err(|error| self.failed(verb, &error.to_string()))?;
        match output {
            Ok(output) => Ok((status.success(), output)),
            Err(reason) => Err(self.failed(verb, &reason)),
        }
    }
}

/// Writes the input and reads all output.
fn exchange(child: &mut Child, input: &[u8]) -> Result<Vec<u8>, String> {
    if let Some(mut stdin) = child.stdin.take()
        && let Err(error) = stdin.write_all(input)
        // One that needs no input may not read it.
        && error.kind() != std::io::ErrorKind::BrokenPipe
    {
        return Err(error.to_string());
    }
    let mut output = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        stdout.take(LARGEST + 1).read_to_end(&mut output).map_err(|error| error.to_string())?;
    }
    if output.len() as u64 > LARGEST { Err(format!("it wrote more than {LARGEST} bytes")) } else { Ok(output) }
}
