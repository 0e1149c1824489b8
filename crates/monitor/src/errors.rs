//! Errors as text, and keeping those that stop nothing.

use std::error::Error;

use jiff::Timestamp;

use crate::folder::Folder;
use stockade_kernel::chain::chain;
use stockade_monitor::TROUBLES;

/// The most lines that are kept of one container.
const MOST: usize = 100;

/// What went wrong without stopping anything.
#[derive(Debug, Default)]
pub(crate) struct Troubles {
    /// Lines that could not be written yet: a disk that was full may have room later.
    unwritten: String,
    count: usize,
}

impl Troubles {
    /// Keeps `text`.
    pub(crate) fn note(&mut self, folder: &Folder, text: &str) {
        self.count += 1;
        if self.count <= MOST {
            self.unwritten += &format!("{} {}\n", Timestamp::now(), text.replace('\n', " "));
        }
        self.write(folder);
    }

    /// Keeps the error of `result`.
    pub(crate) fn note_error<E: Error>(&mut self, folder: &Folder, result: Result<(), E>) {
        if let Err(error) = result {
            self.note(folder, &chain(&error));
        }
    }

    /// Writes what could not be written before. If it still can not, there is nobody left to tell.
    pub(crate) fn write(&mut self, folder: &Folder) {
        if !self.unwritten.is_empty() && folder.append(TROUBLES, self.unwritten.as_bytes()).is_ok() {
            self.unwritten.clear();
        }
    }
}
