//! From tokens to the tree of a template.

use serde_json::Value;

use super::lex::{Part, Space, Token};
use super::{TemplateError, functions};

/// How deep blocks and parentheses may nest.
const DEEPEST: usize = 50;

/// A piece of a template.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Node {
    Text(String),
    /// A pipe, whose value is printed unless it goes to a variable.
    Action(Pipe),
    If(Branch),
    With(Branch),
    Range(Branch),
    Break,
    Continue,
}

/// A block with a condition.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Branch {
    pub(super) pipe: Pipe,
    pub(super) body: Vec<Node>,
    pub(super) otherwise: Vec<Node>,
}

/// Commands, each of which gets the value of the one before as its last argument.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Pipe {
    /// `$a :=`, `$a =`, or `$key, $value :=` of a `range`.
    pub(super) variables: Vec<String>,
    pub(super) binding: Binding,
    pub(super) commands: Vec<Command>,
}

/// Whether the variables are new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Binding {
    Declare,
    Assign,
}

/// An operand and its arguments.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Command {
    pub(super) head: Operand,
    pub(super) arguments: Vec<Operand>,
}

/// A value, or a function.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Operand {
    Function(&'static str),
    Constant(Value),
    /// The names of `.A.B`; none for `.`.
    Field(Vec<String>),
    Variable(String, Vec<String>),
    Nested(Box<Pipe>, Vec<String>),
}

/// What ends a list of nodes.
enum Stop {
    Text,
    Block,
    Else(Vec<Token>),
}

/// The tree of a template.
pub(super) fn parse(parts: Vec<Part>) -> Result<Vec<Node>, TemplateError> {
    let mut parser = Parser { parts: parts.into_iter(), loops: 0 };
    match parser.nodes(0)? {
        (nodes, Stop::Text) => Ok(nodes),
        (_, Stop::Block) => Err(TemplateError::Unexpected { found: "end".to_owned(), expected: "no end of a block" }),
        (_, Stop::Else(_)) => Err(TemplateError::Unexpected { found: "else".to_owned(), expected: "no else" }),
    }
}

struct Parser {
    parts: std::vec::IntoIter<Part>,
    /// How many `range`s are open.
    loops: usize,
}

impl Parser {
    fn nodes(&mut self, depth: usize) -> Result<(Vec<Node>, Stop), TemplateError> {
        if depth > DEEPEST {
            return Err(TemplateError::Bound("nests its blocks too deep"));
        }
        let mut nodes = Vec::new();
        while let Some(part) = self.parts.next() {
            let tokens = match part {
                Part::Text(text) => {
                    nodes.push(Node::Text(text));
                    continue;
                }
                Part::Action(tokens) => tokens,
            };
            let keyword = match tokens.first() {
                Some(Token::Name(name)) => name.clone(),
                _ => String::new(),
            };
            match keyword.as_str() {
                "end" if tokens.len() == 1 => return Ok((nodes, Stop::Block)),
                "else" => return Ok((nodes, Stop::Else(tokens.get(1..).unwrap_or_default().to_vec()))),
                "if" | "with" | "range" => nodes.push(self.block(&keyword, &tokens[1..], depth)?),
                "break" if tokens.len() == 1 && self.loops > 0 => nodes.push(Node::Break),
                "continue" if tokens.len() == 1 && self.loops > 0 => nodes.push(Node::Continue),
                "define" | "template" | "block" | "break" | "continue" => {
                    return Err(TemplateError::Unsupported(keyword));
                }
                _ => nodes.push(Node::Action(whole_pipe(&tokens)?)),
            }
        }
        Ok((nodes, Stop::Text))
    }

    fn block(&mut self, keyword: &str, tokens: &[Token], depth: usize) -> Result<Node, TemplateError> {
        let pipe = whole_pipe(tokens)?;
        let ranges = usize::from(keyword == "range");
        if pipe.variables.len() > 1 + ranges {
            return Err(TemplateError::Unexpected { found: ",".to_owned(), expected: "one variable" });
        }
        self.loops += ranges;
        let (body, end) = self.nodes(depth + 1)?;
        self.loops -= ranges;
        let otherwise = match end {
            Stop::Block => Vec::new(),
            Stop::Text => return Err(TemplateError::Unclosed("a block")),
            Stop::Else(rest) => self.otherwise(&rest, depth)?,
        };
        let branch = Branch { pipe, body, otherwise };
        Ok(match keyword {
            "if" => Node::If(branch),
            "with" => Node::With(branch),
            _ => Node::Range(branch),
        })
    }

    /// After `else`: another block, or nodes up to `end`.
    fn otherwise(&mut self, rest: &[Token], depth: usize) -> Result<Vec<Node>, TemplateError> {
        match rest {
            [] => match self.nodes(depth + 1)? {
                (nodes, Stop::Block) => Ok(nodes),
                (_, Stop::Text) => Err(TemplateError::Unclosed("a block")),
                (_, Stop::Else(_)) => {
                    Err(TemplateError::Unexpected { found: "else".to_owned(), expected: "the end of a block" })
                }
            },
            [Token::Name(keyword), tokens @ ..] if keyword == "if" || keyword == "with" => {
                if depth > DEEPEST {
                    return Err(TemplateError::Bound("nests its blocks too deep"));
                }
                Ok(vec![self.block(keyword, tokens, depth + 1)?])
            }
            [other, ..] => Err(unexpected(other, "if, with, or the end of the action")),
        }
    }
}

fn unexpected(token: &Token, expected: &'static str) -> TemplateError {
    let found = match token {
        Token::Name(name) | Token::Variable(name) => name.clone(),
        Token::Field(name, _) => format!(".{name}"),
        Token::Constant(value) => value.to_string(),
        Token::Dot => ".".to_owned(),
        Token::Pipe => "|".to_owned(),
        Token::Open => "(".to_owned(),
        Token::Close => ")".to_owned(),
        Token::Declare => ":=".to_owned(),
        Token::Assign => "=".to_owned(),
        Token::Comma => ",".to_owned(),
    };
    TemplateError::Unexpected { found, expected }
}

/// A pipe that takes all of `tokens`.
fn whole_pipe(tokens: &[Token]) -> Result<Pipe, TemplateError> {
    let (variables, binding, rest) = binding(tokens)?;
    let (commands, rest) = commands(rest, 0)?;
    match rest.first() {
        None => Ok(Pipe { variables, binding, commands }),
        Some(token) => Err(unexpected(token, "the end of the action")),
    }
}

/// The variables before `:=` or `=`, and the rest.
fn binding(tokens: &[Token]) -> Result<(Vec<String>, Binding, &[Token]), TemplateError> {
    let (variables, rest) = match tokens {
        [Token::Variable(key), Token::Comma, Token::Variable(value), rest @ ..] => {
            (vec![key.clone(), value.clone()], rest)
        }
        [Token::Variable(name), Token::Declare | Token::Assign, ..] => (vec![name.clone()], &tokens[1..]),
        all => return Ok((Vec::new(), Binding::Assign, all)),
    };
    match rest {
        [Token::Declare, rest @ ..] => Ok((variables, Binding::Declare, rest)),
        [Token::Assign, rest @ ..] => Ok((variables, Binding::Assign, rest)),
        [other, ..] => Err(unexpected(other, ":=")),
        [] => Err(TemplateError::Unclosed("a list of variables")),
    }
}

/// Commands up to a `)` or the end.
fn commands(mut tokens: &[Token], depth: usize) -> Result<(Vec<Command>, &[Token]), TemplateError> {
    if depth > DEEPEST {
        return Err(TemplateError::Bound("nests its parentheses too deep"));
    }
    let mut commands = Vec::new();
    loop {
        let mut operands = Vec::new();
        while let Some(token) = tokens.first().filter(|token| !matches!(token, Token::Pipe | Token::Close)) {
            let (operand, rest) = operand(token, &tokens[1..], depth)?;
            operands.push(operand);
            tokens = rest;
        }
        let mut operands = operands.into_iter();
        let missing = TemplateError::Unexpected { found: String::new(), expected: "a field, a function or a value" };
        let command = Command { head: operands.next().ok_or(missing)?, arguments: operands.collect() };
        let takes = matches!(command.head, Operand::Function(_) | Operand::Field(_) | Operand::Variable(..));
        let after_pipe_must_call = !commands.is_empty() && !matches!(command.head, Operand::Function(_));
        if (!takes && !command.arguments.is_empty()) || after_pipe_must_call {
            return Err(TemplateError::Operation {
                what: "a value that is no function".to_owned(),
                reason: "it takes no arguments".to_owned(),
            });
        }
        commands.push(command);
        match tokens {
            [Token::Pipe, rest @ ..] => tokens = rest,
            rest => return Ok((commands, rest)),
        }
    }
}

/// One operand with the fields that hang on it.
fn operand<'a>(token: &Token, rest: &'a [Token], depth: usize) -> Result<(Operand, &'a [Token]), TemplateError> {
    let fields = |tokens: &'a [Token]| {
        let names = tokens.iter().map_while(|token| match token {
            Token::Field(name, Space::None) => Some(name.clone()),
            _ => None,
        });
        let names: Vec<String> = names.collect();
        let rest = &tokens[names.len()..];
        (names, rest)
    };
    Ok(match token {
        Token::Constant(value) => (Operand::Constant(value.clone()), rest),
        Token::Dot => (Operand::Field(Vec::new()), rest),
        Token::Field(name, _) => {
            let (names, rest) = fields(rest);
            (Operand::Field([vec![name.clone()], names].concat()), rest)
        }
        Token::Variable(name) => {
            let (names, rest) = fields(rest);
            (Operand::Variable(name.clone(), names), rest)
        }
        Token::Open => {
            let (commands, rest) = commands(rest, depth + 1)?;
            let Some((Token::Close, rest)) = rest.split_first() else {
                return Err(TemplateError::Unclosed("a parenthesis"));
            };
            let (names, rest) = fields(rest);
            let pipe = Pipe { variables: Vec::new(), binding: Binding::Assign, commands };
            (Operand::Nested(Box::new(pipe), names), rest)
        }
        Token::Name(name) => match name.as_str() {
            "true" => (Operand::Constant(true.into()), rest),
            "false" => (Operand::Constant(false.into()), rest),
            "nil" => (Operand::Constant(Value::Null), rest),
            name => {
                let known = functions::KNOWN.iter().find(|known| **known == name);
                (Operand::Function(known.ok_or_else(|| TemplateError::NoFunction(name.to_owned()))?), rest)
            }
        },
        Token::Pipe | Token::Close | Token::Declare | Token::Assign | Token::Comma => {
            return Err(unexpected(token, "a field, a function or a value"));
        }
    })
}
