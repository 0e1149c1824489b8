//! An error and what caused it, in one line.

use std::error::Error;

/// The text of `error` and of its causes, from the outermost to the errno. A cause that its error's text ends with already is not
/// repeated: a transparent error says what its source says.
#[must_use]
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let reason = error.to_string();
        if !text.ends_with(&reason) {
            text = format!("{text}: {reason}");
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::chain;
    use std::fmt;

    #[derive(Debug)]
    struct Layer(&'static str, Option<Box<Layer>>);

    impl fmt::Display for Layer {
        fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
            out.write_str(self.0)
        }
    }

    impl std::error::Error for Layer {
        fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
            self.1.as_ref().map(|layer| layer.as_ref() as _)
        }
    }

    #[test]
    fn causes_follow_and_none_is_said_twice() {
        let transparent = Layer("no entry", Some(Box::new(Layer("no entry", None))));
        assert_eq!(chain(&Layer("cannot open x", Some(Box::new(transparent)))), "cannot open x: no entry");
    }
}
