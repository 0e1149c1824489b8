//! What the runtime says besides its answer: to the file of `--log`, in runc's two forms, or to standard error.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use stockade_kernel::clock::now;

/// The form of the log file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// `time="..." level=error msg="..."`.
    #[default]
    Text,
    /// One JSON object per line: what containerd and Docker read the reason of a failure from.
    Json,
}

/// Where messages go.
#[derive(Clone, Debug, Default)]
pub struct Log {
    /// The file; `None`: standard error.
    pub file: Option<PathBuf>,
    /// Its form.
    pub format: LogFormat,
}

impl Log {
    /// Says what the user should know though the command goes on.
    pub fn warn(&self, message: &str) {
        self.say("warning", message);
    }

    /// Says why the command failed. With a log file it is said on standard error too, as runc does.
    pub fn error(&self, message: &str) {
        self.say("error", message);
        if self.file.is_some() {
            to_stderr(&format!("stake: {}", printable(message)));
        }
    }

    fn say(&self, level: &str, message: &str) {
        let Some(file) = &self.file else {
            to_stderr(&if level == "error" {
                format!("stake: {}", printable(message))
            } else {
                format!("stake: {level}: {}", printable(message))
            });
            return;
        };
        let line = self.line(level, message);
        let mut options = OpenOptions::new();
        options.create(true).append(true).mode(0o600).custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed());
        let written = options.open(file).and_then(|mut file| file.write_all(line.as_bytes()));
        if let Err(error) = written {
            to_stderr(&format!(
                "stake: cannot write to the log {}: {error}\nstake: {level}: {}",
                printable(&file.display().to_string()),
                printable(message)
            ));
        }
    }

    fn line(&self, level: &str, message: &str) -> String {
        let time = now();
        match self.format {
            LogFormat::Text => format!("time=\"{time}\" level={level} msg={message:?}\n"),
            LogFormat::Json => {
                format!("{}\n", serde_json::json!({ "level": level, "msg": printable(message), "time": time }))
            }
        }
    }
}

/// The message as one line that does nothing to a terminal: what an image or a configuration says stands in it, and must not
/// look like a message of its own.
fn printable(message: &str) -> String {
    let show =
        |letter: char| if letter.is_control() { letter.escape_default().to_string() } else { letter.to_string() };
    message.chars().map(show).collect()
}

/// There is nobody left to tell if this fails.
fn to_stderr(message: &str) {
    drop(writeln!(std::io::stderr(), "{message}"));
}
