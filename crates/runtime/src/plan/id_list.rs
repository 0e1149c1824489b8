//! Lists of processors and memory nodes, `0-2,7`, as single numbers.

use super::PlanError;

/// The numbers of `text`, ascending and each once; none above `highest`.
///
/// # Errors
/// [`PlanError::Invalid`] for an empty list, other letters, a descending range or a number above `highest`.
pub(super) fn parse(path: &str, text: &str, highest: u32) -> Result<Vec<u32>, PlanError> {
    let wrong = || PlanError::invalid(path, text, format!("a list like 0-2,7 of numbers up to {highest}"));
    let mut wanted = vec![false; highest as usize + 1];
    for part in text.split(',') {
        let (low, high) = part.split_once('-').unwrap_or((part, part));
        let (low, high) = (number(low).ok_or_else(wrong)?, number(high).ok_or_else(wrong)?);
        let range = wanted.get_mut(low..=high).filter(|_| low <= high).ok_or_else(wrong)?;
        range.fill(true);
    }
    Ok((0..=highest).zip(wanted).filter_map(|(id, wanted)| wanted.then_some(id)).collect())
}

/// A plain decimal number of at most five digits.
fn number(text: &str) -> Option<usize> {
    let text = text.trim_matches(' ');
    let plain = !text.is_empty() && text.len() <= 5 && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_flattened() {
        assert_eq!(parse("x", "0-2,7", 7).unwrap(), [0, 1, 2, 7]);
        assert_eq!(parse("x", "3, 1,3", 7).unwrap(), [1, 3]);
        for wrong in ["", ",", "1-", "-1", "2-1", "8", "0-8", "a", "1,,2", "+1", "99999999999", "1--2", "3-1,0"] {
            assert_eq!(parse("x.y", wrong, 7).unwrap_err().path(), "x.y", "{wrong}");
        }
    }
}
