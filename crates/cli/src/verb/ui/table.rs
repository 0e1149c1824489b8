//! The list, which of it is chosen, and what each key means. No terminal here.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use stockade_engine::ContainerId;

/// A container as it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) id: ContainerId,
    pub(super) name: String,
    pub(super) image: String,
    pub(super) status: String,
    pub(super) running: bool,
    pub(super) cpu: String,
    pub(super) memory: String,
    pub(super) network: String,
    pub(super) pids: String,
    /// The grade of its walls, and what of them is weaker than asked.
    pub(super) walls: String,
}

/// What a key asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Deed {
    /// Nothing beyond the table itself.
    Nothing,
    /// The end of the screen.
    Leave,
    /// A command that runs while the screen stays; `what` names it.
    Behind {
        /// For the user: `stop web`.
        what: String,
        /// Its words.
        words: Vec<String>,
    },
    /// A command that has the terminal until it ends.
    Before(Vec<String>),
}

/// A question that waits for its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Question {
    what: String,
    words: Vec<String>,
}

/// The list. What is chosen is a container, not a line: it stays chosen when lines move.
#[derive(Debug, Default)]
pub(super) struct Table {
    rows: Vec<Row>,
    chosen: Option<ContainerId>,
    message: String,
    question: Option<Question>,
}

/// The keys, as the last line shows them.
pub(super) const KEYS: &str = "↑↓ choose  s stop  t start  k kill  l logs  e exec sh  i inspect  a audit  q leave";

impl Table {
    /// Takes the containers as they are now.
    pub(super) fn update(&mut self, rows: Vec<Row>) {
        let was = self.place();
        self.rows = rows;
        if self.place().is_none() {
            // Where it was there is another now, or the last.
            let place = was.unwrap_or_default().min(self.rows.len().saturating_sub(1));
            self.chosen = self.rows.get(place).map(|row| row.id.clone());
            self.question = None;
        }
    }

    /// The lines.
    pub(super) fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// Which line is chosen; none if there is none.
    pub(super) fn place(&self) -> Option<usize> {
        self.rows.iter().position(|row| Some(&row.id) == self.chosen.as_ref())
    }

    /// Shows this until the next.
    pub(super) fn say(&mut self, message: String) {
        self.message = message;
    }

    /// The last line but one: a question or what happened last.
    pub(super) fn message(&self) -> String {
        match &self.question {
            Some(question) => format!("{}? y: yes, any other key: no", question.what),
            None => self.message.clone(),
        }
    }

    /// What the key asks for.
    pub(super) fn press(&mut self, key: KeyEvent) -> Deed {
        if key.modifiers.contains(KeyModifiers::CONTROL) && key.code == KeyCode::Char('c') {
            return Deed::Leave;
        }
        if let Some(Question { what, words }) = self.question.take() {
            return match key.code {
                KeyCode::Char('y' | 'Y') => Deed::Behind { what, words },
                _ => Deed::Nothing,
            };
        }
        match key.code {
            KeyCode::Char('q') | KeyCode::Esc => return Deed::Leave,
            KeyCode::Up => self.go(|place, _| place.saturating_sub(1)),
            KeyCode::Down => self.go(|place, last| (place + 1).min(last)),
            KeyCode::Home => self.go(|_, _| 0),
            KeyCode::End => self.go(|_, last| last),
            KeyCode::Char(letter) => return self.letter(letter),
            _ => {}
        }
        Deed::Nothing
    }

    fn go(&mut self, to: impl FnOnce(usize, usize) -> usize) {
        let place = to(self.place().unwrap_or_default(), self.rows.len().saturating_sub(1));
        self.chosen = self.rows.get(place).map(|row| row.id.clone());
    }

    fn letter(&mut self, letter: char) -> Deed {
        let Some(row) = self.place().map(|place| &self.rows[place]) else { return Deed::Nothing };
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        let (id, name, running) = (row.id.as_str(), row.name.clone(), row.running);
        match letter {
            's' | 'k' | 'e' | 'a' if !running => self.say(format!("{name} does not run")),
            't' if running => self.say(format!("{name} runs already")),
            's' => self.question = Some(Question { what: format!("stop {name}"), words: words(&["stop", id]) }),
            'k' => self.question = Some(Question { what: format!("kill {name}"), words: words(&["kill", id]) }),
            't' => return Deed::Behind { what: format!("start {name}"), words: words(&["start", id]) },
            'l' => return Deed::Before(words(&["logs", "--follow", "--tail", "200", id])),
            'e' => return Deed::Before(words(&["exec", "-it", id, "sh"])),
            'i' => return Deed::Before(words(&["inspect", id])),
            'a' => return Deed::Before(words(&["audit", "--all", id])),
            _ => {}
        }
        Deed::Nothing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(digit: char, running: bool) -> Row {
        Row {
            id: digit.to_string().repeat(64).try_into().unwrap(),
            name: format!("name{digit}"),
            image: "busybox".to_owned(),
            status: String::new(),
            running,
            cpu: String::new(),
            memory: String::new(),
            network: String::new(),
            pids: String::new(),
            walls: String::new(),
        }
    }

    fn press(table: &mut Table, code: KeyCode) -> Deed {
        table.press(KeyEvent::new(code, KeyModifiers::NONE))
    }

    #[test]
    fn what_is_chosen_stays_so_when_lines_move_and_the_neighbour_takes_its_place() {
        let mut table = Table::default();
        table.update(vec![row('a', true), row('b', true), row('c', false)]);
        assert_eq!(table.place(), Some(0));
        press(&mut table, KeyCode::Down);
        table.update(vec![row('b', true), row('a', true), row('c', false)]);
        assert_eq!(table.place(), Some(0));
        press(&mut table, KeyCode::End);
        table.update(vec![row('b', true), row('a', true)]);
        assert_eq!(table.place(), Some(1));
        press(&mut table, KeyCode::Down);
        assert_eq!(table.place(), Some(1));
        table.update(Vec::new());
        assert_eq!((table.place(), press(&mut table, KeyCode::Char('s'))), (None, Deed::Nothing));
    }

    #[test]
    fn nothing_is_stopped_without_a_yes_and_never_another_than_was_asked_for() {
        let mut table = Table::default();
        table.update(vec![row('a', true), row('b', false)]);
        assert_eq!(press(&mut table, KeyCode::Char('s')), Deed::Nothing);
        assert_eq!(table.message(), "stop namea? y: yes, any other key: no");
        assert_eq!(press(&mut table, KeyCode::Char('n')), Deed::Nothing);
        assert_eq!(press(&mut table, KeyCode::Char('y')), Deed::Nothing);
        press(&mut table, KeyCode::Char('k'));
        let words = vec!["kill".to_owned(), "a".repeat(64)];
        assert_eq!(press(&mut table, KeyCode::Char('y')), Deed::Behind { what: "kill namea".to_owned(), words });
        // The container of the question has gone meanwhile.
        press(&mut table, KeyCode::Char('s'));
        table.update(vec![row('b', false)]);
        assert_eq!(press(&mut table, KeyCode::Char('y')), Deed::Nothing);
        assert_eq!(press(&mut table, KeyCode::Char('e')), Deed::Nothing);
        assert_eq!(table.message(), "nameb does not run");
        assert_eq!(table.press(KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL)), Deed::Leave);
    }
}
