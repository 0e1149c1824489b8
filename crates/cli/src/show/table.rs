//! Columns that are as wide as their widest cell, three spaces apart, as Go's `tabwriter` makes Docker's.

/// How wide a column is at least, with the spaces behind it.
const NARROWEST: usize = 10;

/// Lines of cells that are separated by tabs, aligned. Every cell but a line's last is padded.
pub(crate) fn aligned(lines: &[String]) -> String {
    let cells: Vec<Vec<&str>> = lines.iter().map(|line| line.split('\t').collect()).collect();
    let columns = cells.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| cells.iter().filter_map(|line| line.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| (width(column).unwrap_or(0) + 3).max(NARROWEST)).collect();
    let mut text = String::new();
    for line in &cells {
        for (index, cell) in line.iter().enumerate() {
            text.push_str(cell);
            if index + 1 < line.len() {
                text.extend(std::iter::repeat_n(' ', widths[index].saturating_sub(cell.chars().count())));
            }
        }
        text.push('\n');
    }
    text
}

/// At most `most` characters, the last of which tells that there were more.
pub(crate) fn ellipsis(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}

/// `text` without control characters, which would rule the terminal that it is shown on.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|sign| if sign.is_control() { '\u{fffd}' } else { sign }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_they_must_be() {
        let lines = ["ID\tNAME".to_owned(), "abc\tx".to_owned(), "ä\ty".to_owned()];
        assert_eq!(aligned(&lines), "ID        NAME\nabc       x\nä         y\n");
        assert_eq!(aligned(&["a long cell\tb".to_owned()]), "a long cell   b\n");
        assert_eq!(aligned(&[]), "");
        assert_eq!(ellipsis("abcdef", 4), "abc…");
        assert_eq!(ellipsis("abcd", 4), "abcd");
        assert_eq!(printable("a\u{1b}[0mb\n"), "a\u{fffd}[0mb\u{fffd}");
    }
}
