//! Errors of input and output on their way from one process to another: the number, or else the words of the error and its causes.

use std::error::Error;
use std::fmt;
use std::io;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The most causes of one error that are passed on.
const MOST_CAUSES: usize = 8;

#[derive(Serialize, Deserialize)]
enum Form {
    Errno(i32),
    Words(Vec<String>),
}

pub(crate) fn serialize<S: Serializer>(error: &io::Error, serializer: S) -> Result<S::Ok, S::Error> {
    let form = match error.raw_os_error() {
        Some(number) => Form::Errno(number),
        None => {
            let first = error.source().is_none().then(|| error.to_string());
            // An error of other code says the same as `error` itself; what it says of causes comes after it.
            let own = error.get_ref().map(ToString::to_string).or(first);
            let causes =
                std::iter::successors(error.source(), |cause| (*cause).source()).map(|cause| cause.to_string());
            Form::Words(own.into_iter().chain(causes).take(MOST_CAUSES).collect())
        }
    };
    form.serialize(serializer)
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<io::Error, D::Error> {
    Ok(match Form::deserialize(deserializer)? {
        Form::Errno(number) => io::Error::from_raw_os_error(number),
        Form::Words(words) => {
            let said = words.into_iter().rev().fold(None, |source, words| Some(Box::new(Said { words, source })));
            said.map_or_else(|| io::ErrorKind::Other.into(), io::Error::other)
        }
    })
}

/// What an error of another process said, and the one behind it.
#[derive(Debug)]
struct Said {
    words: String,
    source: Option<Box<Said>>,
}

impl fmt::Display for Said {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.words)
    }
}

impl Error for Said {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as &dyn Error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stockade_kernel::chain::chain;

    #[derive(Serialize, Deserialize)]
    struct Sent(#[serde(with = "super")] io::Error);

    #[test]
    fn an_error_says_the_same_on_the_other_side() {
        let inner =
            Said { words: "a".to_owned(), source: Some(Box::new(Said { words: "b".to_owned(), source: None })) };
        for error in [
            io::Error::from_raw_os_error(28),
            io::ErrorKind::UnexpectedEof.into(),
            io::Error::other("words"),
            io::Error::other(inner),
            io::Error::new(io::ErrorKind::InvalidInput, "corrupt deflate stream"),
        ] {
            let bytes = serde_json::to_vec(&Sent(error)).unwrap();
            let Sent(back) = serde_json::from_slice(&bytes).unwrap();
            let Sent(again) =
                serde_json::from_slice(&serde_json::to_vec(&Sent(io::Error::other("x"))).unwrap()).unwrap();
            assert_eq!(chain(&again), "x");
            let Sent(error) = serde_json::from_slice(&bytes).unwrap();
            assert_eq!(chain(&back), chain(&error));
        }
        let two = io::Error::other(Said {
            words: "a".to_owned(),
            source: Some(Box::new(Said { words: "b".to_owned(), source: None })),
        });
        let expected = chain(&two);
        let Sent(back) = serde_json::from_slice(&serde_json::to_vec(&Sent(two)).unwrap()).unwrap();
        assert_eq!(chain(&back), expected);
    }
}
