//! What was denied, each once.

use std::fmt;

use crate::denial::Denial;

/// How many different denials are kept: a program that tries more is not understood by reading on.
const MOST: usize = 1000;

/// All that was denied while a container was watched.
#[derive(Clone, Debug)]
pub struct Report {
    /// Each denial with how often it happened.
    pub denials: Vec<(Denial, u64)>,
    /// Of how many events nothing is known, because they came faster than they were read.
    pub lost: u64,
    knows_capabilities: bool,
}

impl Report {
    pub(super) fn new(knows_capabilities: bool) -> Self {
        Self { denials: Vec::new(), lost: 0, knows_capabilities }
    }

    /// Counts a denial; returns it if it is the first of its kind.
    pub(super) fn take(&mut self, denial: Denial) -> Option<Denial> {
        if let Some((_, count)) = self.denials.iter_mut().find(|(known, _)| *known == denial) {
            *count += 1;
            return None;
        }
        if self.denials.len() >= MOST {
            self.lost += 1;
            return None;
        }
        self.denials.push((denial.clone(), 1));
        Some(denial)
    }

    /// How much was denied, and by what that is known.
    #[must_use]
    pub fn head(&self) -> String {
        let count = match self.denials.len() {
            0 => "nothing was denied by a wall".to_owned(),
            1 => "1 thing was denied".to_owned(),
            count => format!("{count} things were denied"),
        };
        format!("explain: {count} ({})", self.means())
    }

    /// By what the container was watched.
    #[must_use]
    pub fn means(&self) -> &'static str {
        if self.knows_capabilities {
            "watched by the kernel's tracepoints sys_exit and cap_capable"
        } else {
            "watched by the kernel's tracepoint sys_exit; this kernel has no cap_capable, so that capabilities are inferred from failed calls"
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "{}", self.head())?;
        for (denial, count) in &self.denials {
            write!(out, "{denial}")?;
            if *count > 1 {
                writeln!(out, "  {count} times")?;
            }
        }
        if self.lost > 0 {
            writeln!(out, "{} events came faster than they could be read, and are not told", self.lost)?;
        }
        Ok(())
    }
}
