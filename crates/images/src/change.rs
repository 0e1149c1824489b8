//! `--change`: an instruction of a Dockerfile that changes an image's configuration.

use std::collections::BTreeMap;
use std::str::FromStr;

use crate::ImageConfig;

/// What a configuration says of containers, with what only builders read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Draft {
    /// The defaults of containers.
    pub config: ImageConfig,
    /// Instructions for builds that begin with the image.
    pub on_build: Vec<String>,
}

/// One instruction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    name: Instruction,
    rest: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Instruction {
    Cmd,
    Entrypoint,
    Env,
    Expose,
    Label,
    OnBuild,
    StopSignal,
    User,
    Volume,
    WorkDir,
}

/// An instruction that cannot be followed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// None of those that change a configuration.
    #[error(
        "{0:?} is not a valid change command: CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, ONBUILD, STOPSIGNAL, USER, VOLUME and WORKDIR are"
    )]
    Unknown(String),
    /// One that is out of its form.
    #[error("{instruction:?}: {reason}")]
    Form {
        /// The instruction.
        instruction: String,
        /// What is wrong.
        reason: &'static str,
    },
}

impl FromStr for Change {
    type Err = ChangeError;

    fn from_str(text: &str) -> Result<Self, ChangeError> {
        let text = text.trim();
        let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        let name = match word.to_ascii_uppercase().as_str() {
            "CMD" => Instruction::Cmd,
            "ENTRYPOINT" => Instruction::Entrypoint,
            "ENV" => Instruction::Env,
            "EXPOSE" => Instruction::Expose,
            "LABEL" => Instruction::Label,
            "ONBUILD" => Instruction::OnBuild,
            "STOPSIGNAL" => Instruction::StopSignal,
            "USER" => Instruction::User,
            "VOLUME" => Instruction::Volume,
            "WORKDIR" => Instruction::WorkDir,
            _ => return Err(ChangeError::Unknown(word.to_owned())),
        };
        let change = Self { name, rest: rest.trim().to_owned() };
        if change.rest.is_empty() && !matches!(name, Instruction::Cmd | Instruction::Entrypoint) {
            return Err(change.wrong("it needs at least one argument"));
        }
        // What is wrong is told before anything is made of it.
        apply(std::slice::from_ref(&change), &mut Draft::default()).map(|()| change)
    }
}

/// Makes the changes, in their order. An ENTRYPOINT takes the image's command away, unless a CMD is among them.
///
/// # Errors
/// [`ChangeError::Form`]; the draft is of no use then.
pub fn apply(changes: &[Change], draft: &mut Draft) -> Result<(), ChangeError> {
    let with_cmd = changes.iter().any(|change| change.name == Instruction::Cmd);
    if !with_cmd && changes.iter().any(|change| change.name == Instruction::Entrypoint) {
        draft.config.cmd.clear();
    }
    changes.iter().try_for_each(|change| change.apply(draft))
}

impl Change {
    fn wrong(&self, reason: &'static str) -> ChangeError {
        let name = format!("{:?}", self.name).to_ascii_uppercase();
        ChangeError::Form { instruction: format!("{name} {}", self.rest), reason }
    }

    fn apply(&self, draft: &mut Draft) -> Result<(), ChangeError> {
        let Draft { config, on_build } = draft;
        let known: BTreeMap<String, String> = config
            .env
            .iter()
            .filter_map(|variable| variable.split_once('='))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        match self.name {
            Instruction::Cmd => config.cmd = self.command(),
            Instruction::Entrypoint => config.entrypoint = self.command(),
            Instruction::OnBuild => on_build.push(self.rest.clone()),
            Instruction::Env => {
                for (name, value) in self.pairs(&known)? {
                    config.env.retain(|other| other.split_once('=').is_none_or(|(other, _)| other != name));
                    config.env.push(format!("{name}={value}"));
                }
            }
            Instruction::Label => config.labels.extend(self.pairs(&known)?),
            Instruction::Expose => {
                for port in self.words(&known)? {
                    config.exposed_ports.insert(if port.contains('/') { port } else { format!("{port}/tcp") });
                }
            }
            Instruction::Volume => config.volumes.extend(match self.json() {
                Some(words) => words,
                None => self.words(&known)?,
            }),
            Instruction::StopSignal => config.stop_signal = self.one(&known)?,
            Instruction::User => config.user = self.one(&known)?,
            Instruction::WorkDir => {
                let path = self.one(&known)?;
                let base = if config.working_dir.is_empty() { "/" } else { &config.working_dir };
                config.working_dir = std::path::Path::new(base).join(path).to_string_lossy().into_owned();
            }
        }
        Ok(())
    }

    /// `["a", "b"]`.
    fn json(&self) -> Option<Vec<String>> {
        serde_json::from_str(&self.rest).ok()
    }

    /// A program with its arguments, or a line for the shell.
    fn command(&self) -> Vec<String> {
        match self.json() {
            Some(words) => words,
            None if self.rest.is_empty() => Vec::new(),
            None => vec!["/bin/sh".into(), "-c".into(), self.rest.clone()],
        }
    }

    fn one(&self, known: &BTreeMap<String, String>) -> Result<String, ChangeError> {
        match self.words(known)?.as_slice() {
            [only] => Ok(only.clone()),
            _ => Err(self.wrong("it takes one argument")),
        }
    }

    /// `NAME=VALUE ...`, or `NAME VALUE` with all that follows.
    fn pairs(&self, known: &BTreeMap<String, String>) -> Result<Vec<(String, String)>, ChangeError> {
        let first = self.rest.split(char::is_whitespace).next().unwrap_or_default();
        let pairs: Vec<(String, String)> = if first.contains('=') {
            let pair = |word: &String| word.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
            let pairs = self.words(known)?.iter().map(pair).collect::<Option<_>>();
            pairs.ok_or_else(|| self.wrong("not all of it is of the form NAME=VALUE"))?
        } else {
            let (name, value) =
                self.rest.split_once(char::is_whitespace).ok_or_else(|| self.wrong("it needs a name and a value"))?;
            let mut words = Words::new(value.trim(), known);
            let value = words.rest().ok_or_else(|| self.wrong(QUOTES))?;
            vec![(name.to_owned(), value)]
        };
        if pairs.iter().any(|(name, _)| name.is_empty()) { Err(self.wrong("a name is empty")) } else { Ok(pairs) }
    }

    fn words(&self, known: &BTreeMap<String, String>) -> Result<Vec<String>, ChangeError> {
        let mut words = Words::new(&self.rest, known);
        let mut all = Vec::new();
        while let Some(word) = words.next_word().ok_or_else(|| self.wrong(QUOTES))? {
            all.push(word);
        }
        Ok(all)
    }
}

/// What can be wrong with words.
const QUOTES: &str = "a quote is not closed, or a variable is not of the form $NAME or ${NAME}";

/// Words as a shell has them: quotes, backslashes, and variables of the image's environment.
struct Words<'a> {
    letters: std::iter::Peekable<std::str::Chars<'a>>,
    known: &'a BTreeMap<String, String>,
}

impl<'a> Words<'a> {
    fn new(text: &'a str, known: &'a BTreeMap<String, String>) -> Self {
        Self { letters: text.chars().peekable(), known }
    }

    /// The next word; `Some(None)` at the end, `None` if it is out of form.
    fn next_word(&mut self) -> Option<Option<String>> {
        while self.letters.next_if(|letter| letter.is_whitespace()).is_some() {}
        if self.letters.peek().is_none() {
            return Some(None);
        }
        self.until(char::is_whitespace).map(Some)
    }

    /// All that is left, as one word.
    fn rest(&mut self) -> Option<String> {
        self.until(|_letter| false)
    }

    fn until(&mut self, end: impl Fn(char) -> bool) -> Option<String> {
        let mut word = String::new();
        let mut quote = None;
        while let Some(letter) = self.letters.next_if(|letter| quote.is_some() || !end(*letter)) {
            match (letter, quote) {
                ('\'', None) | ('"', None) => quote = Some(letter),
                (letter, Some(open)) if letter == open => quote = None,
                (letter, Some('\'')) => word.push(letter),
                ('\\', _) => {
                    let next = self.letters.next()?;
                    // In double quotes a backslash is one, but before what it escapes there.
                    if quote.is_some() && !matches!(next, '"' | '\\' | '$') {
                        word.push('\\');
                    }
                    word.push(next);
                }
                ('$', _) => word.push_str(&self.variable()?),
                (letter, _) => word.push(letter),
            }
        }
        quote.is_none().then_some(word)
    }

    /// The value of the variable whose name follows; empty if the image has none.
    fn variable(&mut self) -> Option<String> {
        let braces = self.letters.next_if_eq(&'{').is_some();
        let mut name = String::new();
        while let Some(letter) = self.letters.next_if(|letter| letter.is_ascii_alphanumeric() || *letter == '_') {
            name.push(letter);
        }
        if name.is_empty() || braces && self.letters.next() != Some('}') {
            return None;
        }
        Some(self.known.get(&name).cloned().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(lines: &[&str]) -> Result<Draft, ChangeError> {
        let changes = lines.iter().map(|line| line.parse()).collect::<Result<Vec<Change>, _>>()?;
        let mut draft = Draft::default();
        draft.config.env = vec!["PATH=/bin".into(), "A=old".into()];
        draft.config.cmd = vec!["old".into()];
        draft.config.working_dir = "/work".into();
        apply(&changes, &mut draft).map(|()| draft)
    }

    #[test]
    fn every_instruction_changes_its_part() {
        let draft = changed(&[
            "ENV A=new B='two words' PATH=$PATH:/x",
            "env C three words",
            "CMD [\"sh\", \"-c\", \"echo $A\"]",
            "ENTRYPOINT run it",
            "EXPOSE 80 53/udp",
            "LABEL a=\"b c\" d=e",
            "ONBUILD RUN x",
            "USER 5:6",
            "VOLUME [\"/a\", \"/b c\"]",
            "VOLUME /d /e",
            "WORKDIR sub",
            "STOPSIGNAL SIGQUIT",
        ])
        .unwrap();
        let config = &draft.config;
        assert_eq!(config.env, ["A=new", "B=two words", "PATH=/bin:/x", "C=three words"]);
        assert_eq!(config.cmd, ["sh", "-c", "echo $A"]);
        assert_eq!(config.entrypoint, ["/bin/sh", "-c", "run it"]);
        assert_eq!(config.exposed_ports.iter().collect::<Vec<_>>(), ["53/udp", "80/tcp"]);
        assert_eq!((config.labels["a"].as_str(), config.labels["d"].as_str()), ("b c", "e"));
        assert_eq!(config.volumes.iter().collect::<Vec<_>>(), ["/a", "/b c", "/d", "/e"]);
        assert_eq!((config.user.as_str(), config.working_dir.as_str()), ("5:6", "/work/sub"));
        assert_eq!((config.stop_signal.as_str(), draft.on_build.as_slice()), ("SIGQUIT", &["RUN x".to_owned()][..]));
        assert!(changed(&["ENTRYPOINT [\"x\"]"]).unwrap().config.cmd.is_empty());
        assert_eq!(changed(&["WORKDIR /abs"]).unwrap().config.working_dir, "/abs");
    }

    #[test]
    fn what_is_no_change_is_refused() {
        for text in
            ["", "RUN x", "FROM x", "ENV", "ENV A", "ENV =x", "USER a b", "LABEL a='b", "ENV A=${B:-c}", "EXPOSE"]
        {
            assert!(text.parse::<Change>().is_err(), "{text}");
        }
    }
}
