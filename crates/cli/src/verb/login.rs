//! `login`: tries a name and a password at a registry, and keeps them.

use std::io::{self, Read, Write};

use clap::Args;
use rustix::termios::isatty;
use stockade_engine::images::registry::{CredentialStore, Credentials, Kept, known_as, login};
use stockade_kernel::terminal::RawMode;

use crate::exit::{FAILED, Failure, SUCCESS};
use crate::global::Global;
use crate::say;

/// The registry where none is named.
pub(super) const DEFAULT: &str = "docker.io";
/// The longest name or password.
const LONGEST: u64 = 64 << 10;

/// Log in to a registry
#[derive(Debug, Args)]
pub(crate) struct Login {
    /// The user's name
    #[arg(long, short, value_name = "NAME")]
    username: Option<String>,
    /// The password: others see it in the list of processes
    #[arg(long, short, value_name = "PASSWORD")]
    password: Option<String>,
    /// Read the password from standard input
    #[arg(long)]
    password_stdin: bool,
    /// The registry; without it, Docker's
    #[arg(value_name = "SERVER")]
    server: Option<String>,
}

impl Login {
    /// Logs in.
    pub(crate) fn run(self, global: &Global) -> Result<u8, Failure> {
        let store = CredentialStore::of_user().map_err(|error| Failure::failed(&error))?;
        let registries = global.registries()?;
        let server = self.server.as_deref().unwrap_or(DEFAULT).to_owned();
        if self.username.is_none() && self.password.is_none() && !self.password_stdin {
            let kept = store.find(&server).map_err(|error| Failure::failed(&error))?;
            if let Some(kept) = kept {
                say::line("Authenticating with existing credentials...")?;
                if login(&registries, &server, &kept).is_ok() {
                    return Ok(succeeded()?);
                }
            }
        }
        let credentials = self.credentials()?;
        login(&registries, &server, &credentials).map_err(|error| Failure::failed(&error))?;
        let kept = store.keep(&server, &credentials).map_err(|error| Failure::failed(&error))?;
        if let Kept::Plain(path) = kept {
            say::warning(&format!(
                "your credentials for {} are stored unencrypted in {}; a credential helper (credsStore) keeps them better",
                known_as(&server),
                path.display()
            ));
        }
        Ok(succeeded()?)
    }

    fn credentials(&self) -> Result<Credentials, Failure> {
        let wrong = |text: &str| Failure::new(FAILED, text);
        if self.password.is_some() && self.password_stdin {
            return Err(wrong("--password and --password-stdin are mutually exclusive"));
        }
        if self.password_stdin && self.username.as_deref().is_none_or(str::is_empty) {
            return Err(wrong("the --password-stdin option requires --username to be set"));
        }
        let user = match &self.username {
            Some(user) => user.clone(),
            None => asked("Username: ", Echo::On)?,
        };
        if user.is_empty() {
            return Err(wrong("username is empty"));
        }
        if user.contains(':') || user.chars().any(char::is_control) {
            return Err(wrong("a username has no colon and no control characters"));
        }
        let password = match &self.password {
            Some(password) => {
                say::warning("using --password via the command line is insecure: use --password-stdin");
                password.clone()
            }
            None if self.password_stdin => {
                let mut text = String::new();
                io::stdin().lock().take(LONGEST).read_to_string(&mut text)?;
                let text = text.strip_suffix('\n').unwrap_or(&text);
                text.strip_suffix('\r').unwrap_or(text).to_owned()
            }
            None => asked("Password: ", Echo::Off)?,
        };
        if password.is_empty() {
            return Err(wrong("password is empty"));
        }
        Ok(Credentials::Password { user, password })
    }
}

fn succeeded() -> io::Result<u8> {
    say::line("Login Succeeded")?;
    Ok(SUCCESS)
}

/// Whether what is typed is shown.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Echo {
    On,
    Off,
}

/// What the user types after `question`, on a terminal.
fn asked(question: &str, echo: Echo) -> Result<String, Failure> {
    if !isatty(io::stdin()) {
        let way_out = "give the name by --username and the password by --password-stdin";
        return Err(Failure::new(
            FAILED,
            format!("Cannot perform an interactive login from a non TTY device: {way_out}"),
        ));
    }
    let mut out = io::stdout().lock();
    // Raw, so that Ctrl-C comes here: a signal would end this process and leave a terminal that shows nothing. And before the
    // question, because who types at once must not see his password.
    let raw = RawMode::enter(io::stdin())?;
    let asked = write!(out, "{question}").and_then(|()| out.flush());
    let typed = asked.and_then(|()| typed(&mut out, echo));
    if let Some(raw) = raw {
        raw.leave()?;
    }
    writeln!(out)?;
    typed?.ok_or(Failure { code: 130, message: None })
}

/// A line that is typed; `None` if the user changes his mind.
fn typed(out: &mut impl Write, echo: Echo) -> io::Result<Option<String>> {
    let mut line: Vec<u8> = Vec::new();
    let mut key = [0];
    while line.len() < 4096 {
        if rustix::io::retry_on_intr(|| rustix::io::read(io::stdin(), &mut key))? == 0 {
            return Ok(None);
        }
        match key[0] {
            b'\r' | b'\n' => break,
            // Ctrl-C and Ctrl-D.
            3 | 4 => return Ok(None),
            // Backspace: what was typed last, which may be several bytes.
            8 | 0x7f => {
                while line.pop().is_some_and(|byte| byte & 0xc0 == 0x80) {}
                if echo == Echo::On {
                    out.write_all(b"\x08 \x08")?;
                }
            }
            0..0x20 => {}
            byte => {
                line.push(byte);
                if echo == Echo::On {
                    out.write_all(&key)?;
                }
            }
        }
        out.flush()?;
    }
    String::from_utf8(line).map(Some).map_err(io::Error::other)
}
