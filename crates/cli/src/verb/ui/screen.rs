//! The terminal: its alternate screen in raw mode, which is left however this ends, and what is drawn on it.

use std::io::{self, BufRead, Stdout, Write};
use std::process::Command;
use std::time::Instant;

use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::event::{self, Event, KeyEvent, KeyEventKind};
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen};
use ratatui::layout::{Constraint, Layout};
use ratatui::style::{Style, Stylize};
use ratatui::text::Line;
use ratatui::widgets::{Cell, Row as Cells, Table as Widget, TableState};
use ratatui::{Frame, Terminal};
use stockade_kernel::terminal::{RawMode, size};

use super::table::{KEYS, Row, Table};
use crate::exit::{Failure, REFUSED};
use crate::say;
use crate::show::table::printable;

/// A screen that is ours until it is dropped.
pub(super) struct Screen {
    terminal: Terminal<CrosstermBackend<Stdout>>,
    mode: RawMode,
}

impl Screen {
    /// Takes the terminal.
    ///
    /// # Errors
    /// If standard input and output are none; as `write(2)` and `tcsetattr(3)`.
    pub(super) fn open() -> Result<Self, Failure> {
        let mode = match size(rustix::stdio::stdout())? {
            Some(_) => RawMode::enter(rustix::stdio::stdin())?,
            None => None,
        };
        let mode = mode.ok_or_else(|| {
            Failure::new(
                REFUSED,
                "ui needs a terminal for its input and output; use ps and stats --no-stream without one",
            )
        })?;
        execute!(io::stdout(), EnterAlternateScreen)?;
        let terminal = Terminal::new(CrosstermBackend::new(io::stdout()))?;
        Ok(Self { terminal, mode })
    }

    /// The next key, or `None` when it is time. A new size is drawn at once.
    ///
    /// # Errors
    /// If the terminal cannot be read.
    pub(super) fn key(&mut self, until: Instant) -> io::Result<Option<KeyEvent>> {
        while event::poll(until.saturating_duration_since(Instant::now()))? {
            match event::read()? {
                Event::Key(key) if key.kind == KeyEventKind::Press => return Ok(Some(key)),
                Event::Resize(..) => return Ok(None),
                _ => {}
            }
        }
        Ok(None)
    }

    /// Gives the terminal to `command` until it ends and the user has read it.
    ///
    /// # Errors
    /// If it cannot be started, or the terminal fails.
    pub(super) fn aside(&mut self, command: &mut Command) -> Result<(), Failure> {
        execute!(io::stdout(), LeaveAlternateScreen)?;
        self.mode.give_back()?;
        command.status()?;
        say::note("-- Enter: back to the list --");
        io::stdin().lock().read_line(&mut String::new())?;
        self.mode.take_again()?;
        execute!(io::stdout(), EnterAlternateScreen)?;
        self.terminal.clear()?;
        Ok(())
    }

    /// Draws it.
    ///
    /// # Errors
    /// As `write(2)`.
    pub(super) fn draw(&mut self, table: &Table) -> io::Result<()> {
        self.terminal.draw(|frame| draw(frame, table)).map(drop)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // Nobody can be told if the terminal has gone; the mode is given back by its own drop.
        drop(execute!(io::stdout(), LeaveAlternateScreen));
        drop(self.terminal.show_cursor());
        drop(io::stdout().flush());
    }
}

fn draw(frame: &mut Frame<'_>, table: &Table) {
    let [title, list, message, keys] =
        Layout::vertical([Constraint::Length(1), Constraint::Min(1), Constraint::Length(1), Constraint::Length(1)])
            .areas(frame.area());
    let running = table.rows().iter().filter(|row| row.running).count();
    let count = table.rows().len();
    frame.render_widget(Line::from(format!("Stockade: {running} of {count} containers run")).bold(), title);
    let heads = ["NAME", "IMAGE", "STATUS", "CPU", "MEMORY", "NETWORK", "PIDS", "WALLS"];
    let widths =
        [(3, 8), (3, 8), (3, 12), (0, 7), (0, 10), (0, 15), (0, 5), (2, 6)].map(|(share, least)| match share {
            0 => Constraint::Length(least),
            share => Constraint::Fill(share),
        });
    let widget = Widget::new(table.rows().iter().map(cells), widths)
        .header(Cells::new(heads).style(Style::new().dim()))
        .row_highlight_style(Style::new().reversed());
    let mut state = TableState::new().with_selected(table.place());
    frame.render_stateful_widget(widget, list, &mut state);
    frame.render_widget(Line::from(printable(&table.message())).yellow(), message);
    frame.render_widget(Line::from(KEYS).dim(), keys);
}

fn cells(row: &Row) -> Cells<'_> {
    let texts = [&row.name, &row.image, &row.status, &row.cpu, &row.memory, &row.network, &row.pids, &row.walls];
    let cells = Cells::new(texts.map(|text| Cell::from(printable(text))));
    if row.running { cells } else { cells.dim() }
}

#[cfg(test)]
mod tests {
    use ratatui::backend::TestBackend;

    use super::*;

    #[test]
    fn what_an_image_is_called_is_no_command_for_the_terminal() {
        let mut table = Table::default();
        let row = Row {
            id: "0".repeat(64).try_into().unwrap(),
            name: "web".to_owned(),
            image: "evil\x1b[2Jimage".to_owned(),
            status: "Up 3 seconds".to_owned(),
            running: true,
            cpu: "1.5%".to_owned(),
            memory: "3MiB".to_owned(),
            network: String::new(),
            pids: "1".to_owned(),
            walls: "B 21".to_owned(),
        };
        table.update(vec![row]);
        let mut terminal = Terminal::new(TestBackend::new(100, 8)).unwrap();
        terminal.draw(|frame| draw(frame, &table)).unwrap();
        let screen = terminal.backend().to_string();
        assert!(screen.contains("1 of 1 containers run") && screen.contains("Up 3 seconds"), "{screen}");
        assert!(screen.contains("WALLS") && screen.contains("B 21"), "{screen}");
        assert!(screen.contains("evil") && !screen.contains('\x1b'), "{screen}");
    }
}
