//! Filling a template's tree.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::functions::{self, Mode};
use super::parse::{Binding, Branch, Command, Node, Operand, Pipe};
use super::value::{is_true, printed};
use super::{Filling, TemplateError};

/// The most operands and items that are looked at, and the most bytes that are said.
const MOST_STEPS: usize = 1 << 20;
const LONGEST: usize = 64 << 20;

/// How a list of nodes ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flow {
    On,
    Break,
    Continue,
}

/// What the dot is inside of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Inside {
    SameDot,
    Value,
}

/// The name of the variable that stands for all fields.
const WHOLE: &str = "$";

struct Runner<'a> {
    filling: &'a Filling,
    mode: Mode,
    /// The variable `$`.
    whole: Cow<'a, Value>,
    variables: Vec<(String, Value)>,
    steps: usize,
    text: String,
}

/// The text of `nodes` filled with `filling`.
pub(super) fn run(nodes: &[Node], filling: &Filling, mode: Mode) -> Result<String, TemplateError> {
    let whole = Cow::Borrowed(&filling.fields);
    let mut runner = Runner { filling, mode, whole, variables: Vec::new(), steps: 0, text: String::new() };
    runner.nodes(nodes, &filling.fields)?;
    Ok(runner.text)
}

impl Runner<'_> {
    fn nodes(&mut self, nodes: &[Node], dot: &Value) -> Result<Flow, TemplateError> {
        for node in nodes {
            let flow = match node {
                Node::Text(text) => self.say(text)?,
                Node::Action(pipe) => {
                    let value = self.pipe(pipe, dot)?;
                    if pipe.variables.is_empty() {
                        self.say(&printed(&value))?
                    } else {
                        self.bind(&pipe.variables[0], value, pipe.binding)?;
                        Flow::On
                    }
                }
                Node::If(branch) => self.scoped(|runner| runner.branch(branch, dot, Inside::SameDot))?,
                Node::With(branch) => self.scoped(|runner| runner.branch(branch, dot, Inside::Value))?,
                Node::Range(branch) => self.scoped(|runner| runner.range(branch, dot))?,
                Node::Break => Flow::Break,
                Node::Continue => Flow::Continue,
            };
            if flow != Flow::On {
                return Ok(flow);
            }
        }
        Ok(Flow::On)
    }

    fn step(&mut self, count: usize) -> Result<(), TemplateError> {
        self.steps += count;
        if self.steps > MOST_STEPS { Err(TemplateError::Bound("does too much")) } else { Ok(()) }
    }

    fn say(&mut self, text: &str) -> Result<Flow, TemplateError> {
        self.text.push_str(text);
        if self.text.len() > LONGEST { Err(TemplateError::Bound("says too much")) } else { Ok(Flow::On) }
    }

    /// Does `act`, and forgets the variables that it declared.
    fn scoped(&mut self, act: impl FnOnce(&mut Self) -> Result<Flow, TemplateError>) -> Result<Flow, TemplateError> {
        let known = self.variables.len();
        let flow = act(self);
        self.variables.truncate(known);
        flow
    }

    fn bind(&mut self, name: &str, value: Value, binding: Binding) -> Result<(), TemplateError> {
        match binding {
            Binding::Declare => self.variables.push((name.to_owned(), value)),
            Binding::Assign => match self.variables.iter_mut().rev().find(|(known, _)| known == name) {
                Some((_, known)) => *known = value,
                None if name == WHOLE => self.whole = Cow::Owned(value),
                None => return Err(TemplateError::NoVariable(name.to_owned())),
            },
        }
        Ok(())
    }

    /// `if` or `with`.
    fn branch(&mut self, branch: &Branch, dot: &Value, inside: Inside) -> Result<Flow, TemplateError> {
        let value = self.condition(&branch.pipe, dot)?;
        if !is_true(&value) {
            return self.nodes(&branch.otherwise, dot);
        }
        if let Some(name) = branch.pipe.variables.first() {
            self.bind(name, value.clone(), branch.pipe.binding)?;
        }
        self.nodes(&branch.body, if inside == Inside::Value { &value } else { dot })
    }

    /// The value of a condition. A field that is not there is nothing: Docker leaves out what does not apply.
    fn condition(&mut self, pipe: &Pipe, dot: &Value) -> Result<Value, TemplateError> {
        match self.pipe(pipe, dot) {
            Err(TemplateError::NoField { .. }) => Ok(Value::Null),
            outcome => outcome,
        }
    }

    fn range(&mut self, branch: &Branch, dot: &Value) -> Result<Flow, TemplateError> {
        let items: Vec<(Value, Value)> = match self.pipe(&branch.pipe, dot)? {
            Value::Array(items) => items.into_iter().enumerate().map(|(index, item)| (index.into(), item)).collect(),
            Value::Object(fields) => fields.into_iter().map(|(key, value)| (key.into(), value)).collect(),
            Value::Null => Vec::new(),
            // Go 1.22 and later count up to a number.
            Value::Number(number) => {
                let most = number.as_u64().filter(|most| *most <= MOST_STEPS as u64);
                let most = most.ok_or(TemplateError::Bound("counts too far"))?;
                (0..most).map(|index| (index.into(), index.into())).collect()
            }
            // The head of a column stands for all of its values.
            head @ Value::String(_) if self.mode == Mode::Heads => vec![(Value::from(0), head)],
            other => {
                let reason = format!("{} has no items", printed(&other));
                return Err(TemplateError::Operation { what: "range".to_owned(), reason });
            }
        };
        self.step(items.len())?;
        if items.is_empty() {
            return self.nodes(&branch.otherwise, dot);
        }
        for (key, item) in items {
            let known = self.variables.len();
            match branch.pipe.variables.as_slice() {
                [] => {}
                [value] => self.bind(value, item.clone(), branch.pipe.binding)?,
                [first, second, ..] => {
                    self.bind(first, key, branch.pipe.binding)?;
                    self.bind(second, item.clone(), branch.pipe.binding)?;
                }
            }
            let flow = self.nodes(&branch.body, &item)?;
            self.variables.truncate(known);
            if flow == Flow::Break {
                break;
            }
        }
        Ok(Flow::On)
    }

    fn pipe(&mut self, pipe: &Pipe, dot: &Value) -> Result<Value, TemplateError> {
        let mut value = None;
        for command in &pipe.commands {
            value = Some(self.command(command, dot, value)?);
        }
        Ok(value.unwrap_or_default())
    }

    fn command(&mut self, command: &Command, dot: &Value, piped: Option<Value>) -> Result<Value, TemplateError> {
        let Operand::Function(name) = command.head else {
            if command.arguments.is_empty() {
                return self.operand(&command.head, dot);
            }
            return self.method(command, dot);
        };
        // These look at no more arguments than they need.
        if matches!(name, "and" | "or") {
            let mut last = None;
            for argument in &command.arguments {
                let value = self.operand(argument, dot)?;
                if is_true(&value) == (name == "or") {
                    return Ok(value);
                }
                last = Some(value);
            }
            return piped.or(last).ok_or_else(|| TemplateError::Operation {
                what: name.to_owned(),
                reason: "it was given nothing".to_owned(),
            });
        }
        let mut arguments = Vec::new();
        for argument in &command.arguments {
            arguments.push(self.operand(argument, dot)?);
        }
        arguments.extend(piped);
        let value = functions::call(name, &arguments, self.mode)?;
        match &value {
            Value::String(text) if text.len() > LONGEST => Err(TemplateError::Bound("says too much")),
            _ => Ok(value),
        }
    }

    /// A field with an argument: `.Label "key"`.
    fn method(&mut self, command: &Command, dot: &Value) -> Result<Value, TemplateError> {
        let (Operand::Field(path) | Operand::Variable(_, path)) = &command.head else {
            return Err(TemplateError::Operation {
                what: "a value that is no function".to_owned(),
                reason: "it takes no arguments".to_owned(),
            });
        };
        let name = path.last().map_or("", String::as_str);
        let refused = |reason: &str| TemplateError::Operation { what: format!(".{name}"), reason: reason.to_owned() };
        let [argument] = command.arguments.as_slice() else { return Err(refused("it takes one argument")) };
        let Value::String(key) = self.operand(argument, dot)? else { return Err(refused("its argument is a text")) };
        if self.mode == Mode::Heads {
            let head = key.rsplit('.').next().unwrap_or(&key);
            return Ok(head.replace(['-', '_'], " ").into());
        }
        let answers = self.filling.methods.get(name).ok_or_else(|| refused("it takes no arguments"))?;
        Ok(answers.get(&key).cloned().unwrap_or_else(|| "".into()))
    }

    fn operand(&mut self, operand: &Operand, dot: &Value) -> Result<Value, TemplateError> {
        self.step(1)?;
        match operand {
            Operand::Constant(value) => Ok(value.clone()),
            Operand::Field(path) => look_up(dot, path).cloned(),
            Operand::Variable(name, path) => {
                let known = self.variables.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value);
                let value = known.or((name == WHOLE).then_some(&*self.whole));
                look_up(value.ok_or_else(|| TemplateError::NoVariable(name.clone()))?, path).cloned()
            }
            Operand::Nested(pipe, path) => {
                let value = self.pipe(pipe, dot)?;
                look_up(&value, path).cloned()
            }
            Operand::Function(name) => functions::call(name, &[], self.mode),
        }
    }
}

/// The value at `path`. Docker takes `.ID` and `.Id` for the same field.
fn look_up<'a>(value: &'a Value, path: &[String]) -> Result<&'a Value, TemplateError> {
    let mut value = value;
    for name in path {
        let fields = value.as_object();
        let same = |fields: &'a Map<String, Value>| {
            fields.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
        };
        let found = fields.and_then(|fields| fields.get(name).or_else(|| same(fields)));
        value = found.ok_or_else(|| TemplateError::NoField {
            field: format!(".{}", path.join(".")),
            known: fields.map_or_else(
                || "none".to_owned(),
                |fields| fields.keys().map(String::as_str).collect::<Vec<_>>().join(", "),
            ),
        })?;
    }
    Ok(value)
}
