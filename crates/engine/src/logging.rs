//! `--log-driver` and `--log-opt`: where a container's output is kept, in Docker's words. Pure.

use std::collections::BTreeMap;
use std::num::{NonZeroU32, NonZeroU64};
use std::path::{Path, PathBuf};

use stockade_monitor::order::{Journald, JsonFile, Log};

use crate::inspect::LogConfig;
use crate::record::Record;

/// The journal's socket (`systemd-journald.service(8)`).
const JOURNAL: &str = "/run/systemd/journal/socket";
/// Docker's name for the log driver that writes a file.
pub(crate) const JSON_FILE: &str = "json-file";
/// How much of an id Docker shows.
const SHORT: usize = 12;
/// The most files of one log: names are looked for one by one.
const MOST_FILES: u32 = 10_000;

/// What `--log-driver` and `--log-opt` say; a value that exists is valid.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Logging {
    driver: Driver,
    /// As they were given.
    options: BTreeMap<String, String>,
    max_size: Option<NonZeroU64>,
    max_file: Option<NonZeroU32>,
}

/// A log driver.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Driver {
    #[default]
    JsonFile,
    Journald,
    None,
}

/// A driver or an option that is not supported, or has a wrong value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoggingError {
    /// The driver.
    #[error("log driver {name:?} is not supported: {instead}")]
    Driver {
        /// Its name.
        name: String,
        /// What to do.
        instead: &'static str,
    },
    /// An option that the driver does not have.
    #[error("unknown log opt {key:?} for log driver {driver}: {instead}")]
    Option {
        /// Its name.
        key: String,
        /// The driver.
        driver: &'static str,
        /// What to do.
        instead: &'static str,
    },
    /// An option's value.
    #[error("invalid log opt {key}={value:?}: {reason}")]
    Value {
        /// The option.
        key: &'static str,
        /// The value.
        value: String,
        /// Why.
        reason: String,
    },
}

/// Who has a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keeper {
    /// Files in the container's folder.
    File,
    /// The host's journal.
    Journal,
    /// Nobody.
    Nobody,
}

impl Driver {
    fn name(self) -> &'static str {
        match self {
            Self::JsonFile => JSON_FILE,
            Self::Journald => "journald",
            Self::None => "none",
        }
    }

    fn parse(name: &str) -> Result<Self, LoggingError> {
        let instead = match name {
            JSON_FILE | "" => return Ok(Self::JsonFile),
            "journald" => return Ok(Self::Journald),
            "none" => return Ok(Self::None),
            "local" => {
                "json-file with --log-opt max-size=20m --log-opt max-file=5 keeps as much, in a file that other tools read"
            }
            "k8s-file" => "json-file is what is read by tools that know Docker's logs",
            "passthrough" | "passthrough-tty" => "none keeps no log, and run passes the output on",
            "syslog" | "gelf" | "fluentd" | "awslogs" | "splunk" | "gcplogs" | "etwlogs" | "logentries" => {
                "use journald or json-file, and a collector of the host's that reads these"
            }
            _ => "json-file, journald and none are",
        };
        Err(LoggingError::Driver { name: name.to_owned(), instead })
    }
}

impl Logging {
    /// Reads what the flags say: the driver, empty for the default one, and its options.
    ///
    /// # Errors
    /// See [`LoggingError`].
    pub fn parse(driver: &str, options: BTreeMap<String, String>) -> Result<Self, LoggingError> {
        let driver = Driver::parse(driver)?;
        let mut logging = Self { driver, ..Self::default() };
        for (key, value) in &options {
            logging.option(key, value)?;
        }
        Ok(Self { options, ..logging })
    }

    fn option(&mut self, key: &str, value: &str) -> Result<(), LoggingError> {
        let unknown = |instead| LoggingError::Option { key: key.to_owned(), driver: self.driver.name(), instead };
        let only = |key, allowed: &str, reason: &str| match value == allowed {
            true => Ok(()),
            false => Err(LoggingError::Value { key, value: value.to_owned(), reason: reason.to_owned() }),
        };
        match (self.driver, key) {
            (Driver::None, _) => Err(unknown("it has no options")),
            (Driver::JsonFile, "max-size") => {
                self.max_size = Some(size(value)?);
                Ok(())
            }
            (Driver::JsonFile, "max-file") => {
                self.max_file = Some(count(value)?);
                Ok(())
            }
            (Driver::JsonFile, "compress") => only(
                "compress",
                "false",
                "rotated files are not compressed, so that they can be read in place; leave it out, and set max-size and max-file",
            ),
            (_, "mode") => only("mode", "blocking", "the container waits for its log; leave it out"),
            (_, "max-buffer-size") => Err(unknown("there is no buffer, because the container waits for its log")),
            (_, "labels-regex" | "env-regex") => Err(unknown("name the keys, separated by commas, by labels or env")),
            (_, "labels" | "env") => Ok(()),
            (_, "tag") => tag(value, |_| Some(String::new())).map(drop),
            (Driver::JsonFile, _) => Err(unknown("there are max-size, max-file, labels, env and tag")),
            (Driver::Journald, _) => Err(unknown("there are labels, env and tag")),
        }
    }

    /// `HostConfig.LogConfig`.
    pub(crate) fn config(&self) -> LogConfig {
        LogConfig { kind: self.driver.name().into(), config: self.options.clone() }
    }

    /// What was written down of it.
    ///
    /// # Errors
    /// See [`LoggingError`]; only of a record that somebody has changed.
    pub(crate) fn of(config: &LogConfig) -> Result<Self, LoggingError> {
        Self::parse(&config.kind, config.config.clone())
    }

    /// Who has what was kept.
    pub(crate) fn keeper(&self) -> Keeper {
        match self.driver {
            Driver::JsonFile => Keeper::File,
            Driver::Journald => Keeper::Journal,
            Driver::None => Keeper::Nobody,
        }
    }

    /// What the monitor of the container of `record` is told; a log file is at `file`.
    ///
    /// # Errors
    /// See [`LoggingError`]; only of a record that somebody has changed.
    pub(crate) fn order(&self, record: &Record, file: PathBuf) -> Result<Log, LoggingError> {
        let tagged = |default| self.options.get("tag").map(String::as_str).or(default);
        let tagged = |default| tagged(default).map(|template| tag(template, |field| fields(record, field))).transpose();
        Ok(match self.driver {
            Driver::None => Log::None,
            Driver::JsonFile => {
                let mut attributes = self.attributes(record);
                attributes.extend(tagged(None)?.map(|tag| ("tag".to_owned(), tag)));
                let max_file = self.max_file.unwrap_or(NonZeroU32::MIN);
                Log::JsonFile(JsonFile { path: file, max_size: self.max_size, max_file, attributes })
            }
            Driver::Journald => {
                let tag = tagged(Some("{{.ID}}"))?.unwrap_or_default();
                let own =
                    self.attributes(record).into_iter().filter_map(|(key, value)| Some((field_name(&key)?, value)));
                let fixed = [
                    ("CONTAINER_ID", short(record.id.as_str()).to_owned()),
                    ("CONTAINER_ID_FULL", record.id.to_string()),
                    ("CONTAINER_NAME", record.name.to_string()),
                    ("CONTAINER_TAG", tag.clone()),
                    ("IMAGE_NAME", record.config.image.clone()),
                    ("SYSLOG_IDENTIFIER", tag),
                ];
                // What is ours counts: a label must not pass one container off as another.
                let fields = own.chain(fixed.map(|(name, value)| (name.to_owned(), value))).collect();
                Log::Journald(Journald { socket: Path::new(JOURNAL).to_owned(), fields })
            }
        })
    }

    /// The labels and variables that the options `labels` and `env` name.
    fn attributes(&self, record: &Record) -> BTreeMap<String, String> {
        let named = |option: &str| {
            let names = self.options.get(option).map(String::as_str).unwrap_or_default();
            names.split(',').map(str::trim).filter(|name| !name.is_empty())
        };
        let config = &record.config;
        let labels = named("labels").filter_map(|name| Some((name, config.labels.get(name)?.as_str())));
        let variables = named("env").filter_map(|name| {
            let mut all = config.env.iter().rev().filter_map(|variable| variable.split_once('='));
            all.find(|(found, _)| *found == name)
        });
        labels.chain(variables).map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }
}

/// `max-size`: as Docker reads it, `k`, `m` and `g` are powers of 1000.
fn size(text: &str) -> Result<NonZeroU64, LoggingError> {
    let lower = text.trim().to_ascii_lowercase();
    let digits = lower.find(|sign: char| !(sign.is_ascii_digit() || sign == '.')).unwrap_or(lower.len());
    let (number, unit) = lower.split_at(digits);
    let factor = match unit.trim_start() {
        "" | "b" => Some(1.0),
        "k" | "kb" => Some(1e3),
        "m" | "mb" => Some(1e6),
        "g" | "gb" => Some(1e9),
        "t" | "tb" => Some(1e12),
        _ => None,
    };
    let bytes = number.parse::<f64>().ok().zip(factor).map(|(number, factor)| number * factor);
    let bytes = bytes.filter(|bytes| *bytes < 1e18).and_then(|bytes| NonZeroU64::new(bytes as u64));
    bytes.ok_or_else(|| LoggingError::Value {
        key: "max-size",
        value: text.to_owned(),
        reason: "a size such as 10m or 500k; leave it out for no limit".into(),
    })
}

fn count(text: &str) -> Result<NonZeroU32, LoggingError> {
    let count = text.parse::<NonZeroU32>().ok().filter(|count| count.get() <= MOST_FILES);
    count.ok_or_else(|| LoggingError::Value {
        key: "max-file",
        value: text.to_owned(),
        reason: format!("a number of files from 1 to {MOST_FILES}"),
    })
}

/// Fills Docker's template for `tag` in.
fn tag(template: &str, value: impl Fn(&str) -> Option<String>) -> Result<String, LoggingError> {
    let wrong = |reason: &str| {
        let reason = format!(
            "{reason}; there are {{{{.ID}}}}, {{{{.FullID}}}}, {{{{.Name}}}}, {{{{.ImageID}}}}, {{{{.ImageFullID}}}}, {{{{.ImageName}}}} and {{{{.DaemonName}}}}"
        );
        LoggingError::Value { key: "tag", value: template.to_owned(), reason }
    };
    let (mut text, mut rest) = (String::new(), template);
    while let Some((before, after)) = rest.split_once("{{") {
        let (field, after) = after.split_once("}}").ok_or_else(|| wrong("a {{ without its }}"))?;
        let known = FIELDS.iter().find(|known| **known == field.trim());
        let known = known.ok_or_else(|| wrong(&format!("{{{{{field}}}}} is no field")))?;
        text.push_str(before);
        text.push_str(&value(known).ok_or_else(|| wrong("a field has no value"))?);
        rest = after;
    }
    Ok(text + rest)
}

/// What a `tag` may name.
const FIELDS: [&str; 7] = [".ID", ".FullID", ".Name", ".ImageID", ".ImageFullID", ".ImageName", ".DaemonName"];

fn fields(record: &Record, name: &str) -> Option<String> {
    let image = record.image.id.as_deref().unwrap_or(&record.image.reference);
    Some(match name {
        ".ID" => short(record.id.as_str()).to_owned(),
        ".FullID" => record.id.to_string(),
        ".Name" => record.name.to_string(),
        ".ImageID" => short(image.strip_prefix("sha256:").unwrap_or(image)).to_owned(),
        ".ImageFullID" => image.to_owned(),
        ".ImageName" => record.config.image.clone(),
        ".DaemonName" => "stockade".to_owned(),
        _ => return None,
    })
}

fn short(id: &str) -> &str {
    id.get(..SHORT).unwrap_or(id)
}

/// The journal's name for a label or variable, as Docker makes it; `None` if nothing of it can be in a name.
fn field_name(key: &str) -> Option<String> {
    let name: String = key
        .chars()
        .map(|sign| if sign.is_ascii_alphanumeric() { sign.to_ascii_uppercase() } else { '_' })
        .skip_while(|sign| *sign == '_' || sign.is_ascii_digit())
        .take(64)
        .collect();
    // MESSAGE, PRIORITY and the like are what the entry says itself.
    let taken = ["MESSAGE", "PRIORITY"].contains(&name.as_str()) || name.starts_with("CONTAINER_LOG_");
    (!name.is_empty() && !taken && !name.starts_with("CONTAINER_PARTIAL_")).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(driver: &str, options: &[(&str, &str)]) -> Result<Logging, LoggingError> {
        Logging::parse(driver, options.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect())
    }

    #[test]
    fn sizes_are_dockers() {
        for (text, bytes) in [("10m", 10_000_000), ("1.5k", 1500), ("200", 200), ("1 GB", 1_000_000_000), ("7B", 7)] {
            assert_eq!(size(text).map(NonZeroU64::get), Ok(bytes), "{text}");
        }
        for text in ["", "-1", "0", "k", "1x", "1e3", "0.1", "1kib", "9999999999999999999g"] {
            assert!(size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_not_supported_is_named() {
        parse("", &[]).unwrap();
        let all = [("max-size", "10m"), ("max-file", "3"), ("tag", "{{.Name}}"), ("labels", "a,b"), ("env", "X")];
        let logging = parse("json-file", &[&all[..], &[("compress", "false"), ("mode", "blocking")]].concat()).unwrap();
        assert_eq!(Logging::of(&logging.config()), Ok(logging));
        parse("journald", &all[2..]).unwrap();
        for (driver, options, said) in [
            ("local", vec![], "max-file=5"),
            ("syslog", vec![], "collector"),
            ("bogus", vec![], "json-file, journald and none"),
            ("json-file", vec![("bogus", "1")], "unknown log opt \"bogus\" for log driver json-file"),
            ("json-file", vec![("max-size", "0")], "max-size=\"0\""),
            ("json-file", vec![("max-file", "0")], "max-file=\"0\""),
            ("json-file", vec![("compress", "true")], "not compressed"),
            ("json-file", vec![("mode", "non-blocking")], "waits for its log"),
            ("json-file", vec![("tag", "{{.Nme}}")], "{{.Nme}} is no field"),
            ("json-file", vec![("tag", "{{.Name")], "without its }}"),
            ("json-file", vec![("labels-regex", ".*")], "name the keys"),
            ("journald", vec![("max-size", "1m")], "unknown log opt \"max-size\" for log driver journald"),
            ("none", vec![("max-size", "1m")], "it has no options"),
        ] {
            let error = parse(driver, &options).unwrap_err().to_string();
            assert!(error.contains(said), "{driver} {options:?}: {error}");
        }
    }

    #[test]
    fn tags_and_names_of_fields() {
        let value = |field: &str| Some(format!("<{field}>"));
        assert_eq!(tag("a {{.ID}}/{{ .Name }}b", value), Ok("a <.ID>/<.Name>b".to_owned()));
        assert_eq!(tag("plain }} ", value), Ok("plain }} ".to_owned()));
        for (key, name) in [
            ("com.example.a-b", Some("COM_EXAMPLE_A_B")),
            ("_1x", Some("X")),
            ("12", None),
            ("\u{e4}", None),
            ("message", None),
            ("container.log.epoch", None),
        ] {
            assert_eq!(field_name(key).as_deref(), name, "{key}");
        }
    }
}
