//! The command line of `run` as it was written, so that the same container can be made again.

use std::ffi::OsString;

use clap::{Arg, Command};
use stockade_lens::record::{Flag, Request};

use crate::line;

/// Flags that are not about the container that is made, but about this one time.
const LEFT_OUT: &[&str] = &["cidfile", "explain", "record"];

/// The request that `arguments`, which could be read as a `run`, write down.
///
/// # Errors
/// If they are no UTF-8, or no `run`.
pub(crate) fn request(arguments: &[OsString]) -> Result<Request, String> {
    let words: Option<Vec<&str>> = arguments.iter().skip(1).map(|word| word.to_str()).collect();
    let words = words.ok_or("an argument is no UTF-8, and cannot be written down")?;
    let whole = line::whole();
    let no_run = || "this is no command line of run".to_owned();
    let run = whole.find_subcommand("run").ok_or_else(no_run)?;
    let (global, rest) = flags(&whole, &words);
    let rest = match rest {
        ["container", "run", rest @ ..] | ["run", rest @ ..] => rest,
        _ => return Err(no_run()),
    };
    let (flags, rest) = flags(run, rest);
    let (image, command) = rest.split_first().ok_or_else(no_run)?;
    Ok(Request {
        global,
        flags: flags.into_iter().filter(|flag| !LEFT_OUT.contains(&flag.name.as_str())).collect(),
        image: (*image).to_owned(),
        command: command.iter().map(|word| (*word).to_owned()).collect(),
    })
}

/// The flags of `command` that `words` begin with, and the other words.
fn flags<'a, 'w>(command: &Command, mut words: &'a [&'w str]) -> (Vec<Flag>, &'a [&'w str]) {
    let mut found = Vec::new();
    while let Some((word, rest)) = words.split_first() {
        match word.strip_prefix("--") {
            Some("") => return (found, rest),
            Some(long) => words = take_long(command, long, rest, &mut found),
            None => match word.strip_prefix('-').filter(|letters| !letters.is_empty()) {
                Some(letters) => words = take_short(command, letters, rest, &mut found),
                None => break,
            },
        }
    }
    (found, words)
}

/// A flag of its long name; the words behind it.
fn take_long<'a, 'w>(command: &Command, word: &str, rest: &'a [&'w str], found: &mut Vec<Flag>) -> &'a [&'w str] {
    let (name, value) = word.split_once('=').map_or((word, None), |(name, value)| (name, Some(value)));
    let is_named = |argument: &&Arg| {
        argument.get_long() == Some(name) || argument.get_all_aliases().is_some_and(|all| all.contains(&name))
    };
    let argument = command.get_arguments().find(is_named);
    let long = argument.and_then(Arg::get_long).unwrap_or(name);
    match (value, rest.split_first()) {
        (Some(value), _) => found.push(Flag::new(long, value)),
        (None, Some((next, after))) if argument.is_some_and(takes_value) => {
            found.push(Flag::new(long, *next));
            return after;
        }
        (None, _) => found.push(Flag::alone(long)),
    }
    rest
}

/// Flags of one letter each, of which the last may have a value; the words behind them.
fn take_short<'a, 'w>(command: &Command, letters: &str, rest: &'a [&'w str], found: &mut Vec<Flag>) -> &'a [&'w str] {
    for (place, letter) in letters.char_indices() {
        let argument = command.get_arguments().find(|argument| argument.get_short() == Some(letter));
        let long = argument.and_then(Arg::get_long).map_or_else(|| letter.to_string(), str::to_owned);
        let after = &letters[place + letter.len_utf8()..];
        if argument.is_some_and(takes_value) {
            let (value, rest) = match (after, rest.split_first()) {
                ("", Some((next, rest))) => (*next, rest),
                _ => (after.strip_prefix('=').unwrap_or(after), rest),
            };
            found.push(Flag::new(&long, value));
            return rest;
        }
        if let Some(value) = after.strip_prefix('=') {
            found.push(Flag::new(&long, value));
            return rest;
        }
        found.push(Flag::alone(&long));
    }
    rest
}

/// Whether the next word is the flag's value. Truth values stand behind a `=`.
fn takes_value(argument: &Arg) -> bool {
    argument.get_action().takes_values() && !argument.is_require_equals_set()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(line: &str) -> Result<Request, String> {
        request(&line.split(' ').map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn flags_are_told_by_their_long_names() {
        let found = of("stockade --default-network none run --record d -it -eA=b -p 80:80 --rm=false --net=host -v /a:/b img -x --rm y").unwrap();
        let words: Vec<String> = found.flags.iter().map(Flag::word).collect();
        let flags = [
            "--interactive",
            "--tty",
            "--env=A=b",
            "--publish=80:80",
            "--rm=false",
            "--network=host",
            "--volume=/a:/b",
        ];
        assert_eq!(words, flags);
        assert_eq!(found.global, [Flag::new("default-network", "none")]);
        assert_eq!(
            (found.image.as_str(), found.command),
            ("img", vec!["-x".to_owned(), "--rm".to_owned(), "y".to_owned()])
        );
        let short = of("stockade container run -itm 64m -- img").unwrap();
        assert_eq!(short.flags.last(), Some(&Flag::new("memory", "64m")));
        assert_eq!((short.image.as_str(), short.command.len()), ("img", 0));
    }

    #[test]
    fn what_is_no_run_is_refused() {
        for line in ["stockade ps", "stockade run --rm", "stockade"] {
            assert!(of(line).is_err(), "{line}");
        }
    }
}
