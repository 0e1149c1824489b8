//! `--format`: Go's templates, as far as Docker's users need them.
//!
//! Text with actions in double braces: fields (`{{.State.Status}}`), variables, pipes, calls of [`functions`], and `if`, `with` and
//! `range` with `else`, `break` and `continue`. `{{-` and `-}}` take the white space beside them away, and `{{/* */}}` is a comment.
//! `\t` and `\n` in the text are a tab and a line end. What else Go's language has (`define`, `template`, `block`) is refused by name.
//!
//! The stages: [`lex`] cuts the text into tokens, [`parse`] makes a tree of them, [`run`] fills it. How deep a template nests, how
//! much it does and how much it says are bounded.

mod functions;
mod lex;
mod parse;
mod printf;
mod run;
mod value;

use std::collections::BTreeMap;

use serde_json::Value;

use functions::Mode;
use parse::Node;

/// What a template cannot be made of or filled with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TemplateError {
    /// An action, a comment or a quoted text that does not end.
    #[error("invalid --format: {0} that does not end")]
    Unclosed(&'static str),
    /// A sign that means nothing here.
    #[error("invalid --format: {found:?} stands where {expected} should")]
    Unexpected {
        /// What stands there.
        found: String,
        /// What could.
        expected: &'static str,
    },
    /// A part of Go's language that is not supported.
    #[error("invalid --format: {{{{{0}}}}} is not supported")]
    Unsupported(String),
    /// A function that is none.
    #[error("invalid --format: there is no function {0:?}; there are {known}", known = functions::KNOWN.join(", "))]
    NoFunction(String),
    /// A variable that was never declared.
    #[error("invalid --format: the variable {0} is not declared")]
    NoVariable(String),
    /// A field that is not there.
    #[error("invalid --format: there is no field {field}; there are {known}")]
    NoField {
        /// What was asked for.
        field: String,
        /// What could be.
        known: String,
    },
    /// A function or action that cannot be done to a value.
    #[error("invalid --format: {what} cannot be used like this: {reason}")]
    Operation {
        /// The function or action.
        what: String,
        /// Why not.
        reason: String,
    },
    /// A template that nests too deep, does too much, or says too much.
    #[error("invalid --format: the template {0}")]
    Bound(&'static str),
}

/// A template that was read.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Template(Vec<Node>);

/// What a template is filled with.
pub(crate) struct Filling {
    /// The fields.
    pub(crate) fields: Value,
    /// Fields that only take arguments, such as `.Label "key"`, with their answers.
    pub(crate) methods: BTreeMap<&'static str, Value>,
}

impl Filling {
    /// Fields, none of which takes arguments.
    pub(crate) fn of(fields: Value) -> Self {
        Self { fields, methods: BTreeMap::new() }
    }
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// See [`TemplateError`].
    pub(crate) fn parse(text: &str) -> Result<Self, TemplateError> {
        parse::parse(lex::lex(text)?).map(Self)
    }

    /// The text with every action replaced by what it says of `filling`.
    ///
    /// # Errors
    /// [`TemplateError::NoField`], an operation that cannot be done to a value, or a bound.
    pub(crate) fn fill(&self, filling: &Filling) -> Result<String, TemplateError> {
        run::run(&self.0, filling, Mode::Values)
    }

    /// What stands over the columns: the same text with every field replaced by its entry in `heads`, which functions leave as
    /// it is. A method with an argument, such as `.Label "a.b"`, is headed by the argument's last part.
    ///
    /// # Errors
    /// As [`Self::fill`].
    pub(crate) fn heads(&self, heads: &Value) -> Result<String, TemplateError> {
        let filling = Filling::of(heads.clone());
        run::run(&self.0, &filling, Mode::Heads)
    }
}

#[cfg(test)]
mod tests;
