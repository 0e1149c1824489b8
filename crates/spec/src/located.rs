//! Where in a document a reader stopped, as the path of a property.
//!
//! The reader of JSON knows line and column only. The path is found by going through the text once more, without types: a reader that
//! keeps the path to each value exists a second time for every structure, which made `stake` a sixth of a megabyte larger.

/// The path of the innermost value that the byte at `line` and `column`, both from 1, belongs to, for instance
/// `linux.namespaces[2].type`; `.` for the document itself.
///
/// `content` may be no JSON: then it is the path of what was begun there.
pub(crate) fn path(content: &[u8], line: usize, column: usize) -> String {
    let before: usize =
        content.split_inclusive(|byte| *byte == b'\n').take(line.saturating_sub(1)).map(<[u8]>::len).sum();
    let end = (before + column).min(content.len());
    let mut walk = Walk { content, at: 0, end, open: Vec::new() };
    walk.until_end();
    walk.path()
}

/// A list or an object that is open.
enum Open {
    /// How many of its elements are over.
    List(usize),
    Object {
        /// Its last key, if that is over.
        key: Option<String>,
        /// Whether what is next is a key.
        before_key: bool,
    },
}

struct Walk<'a> {
    content: &'a [u8],
    at: usize,
    /// Behind the last byte that counts.
    end: usize,
    open: Vec<Open>,
}

impl Walk<'_> {
    /// Goes on until the last byte was seen. What ends with that byte is still open.
    fn until_end(&mut self) {
        while self.at < self.end {
            match self.content[self.at] {
                b'"' => {
                    let start = self.at;
                    self.skip_string();
                    self.name(start);
                    continue;
                }
                b'{' => self.open.push(Open::Object { key: None, before_key: true }),
                b'[' => self.open.push(Open::List(0)),
                b'}' | b']' => {
                    self.open.pop();
                }
                b',' => self.next(),
                b':' => {
                    if let Some(Open::Object { before_key, .. }) = self.open.last_mut() {
                        *before_key = false;
                    }
                }
                _ => {}
            }
            self.at += 1;
        }
    }

    /// What comes is another element or key.
    fn next(&mut self) {
        match self.open.last_mut() {
            Some(Open::List(over)) => *over += 1,
            Some(Open::Object { key, before_key }) => (*key, *before_key) = (None, true),
            None => {}
        }
    }

    /// Takes the string from `start` on for the key, if it is one and it is over.
    fn name(&mut self, start: usize) {
        let text = &self.content[start..self.at];
        if let Some(Open::Object { key, before_key: true }) = self.open.last_mut() {
            *key = serde_json::from_slice(text).ok();
        }
    }

    /// Goes behind the string that begins here, or to the end.
    fn skip_string(&mut self) {
        self.at += 1;
        while self.at < self.end {
            match self.content[self.at] {
                b'\\' => self.at += 2,
                b'"' => {
                    self.at += 1;
                    return;
                }
                _ => self.at += 1,
            }
        }
        self.at = self.end;
    }

    fn path(&self) -> String {
        let mut path = String::new();
        for open in &self.open {
            match open {
                Open::List(over) => path.push_str(&format!("[{over}]")),
                Open::Object { key: Some(key), before_key: false } => {
                    if !path.is_empty() {
                        path.push('.');
                    }
                    path.push_str(key);
                }
                Open::Object { .. } => {}
            }
        }
        if path.is_empty() { ".".to_owned() } else { path }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_innermost_value_is_named() {
        let text = "{\"a\": {\"b\\\"]\": [1,\n [2, 3]], \"c\": \"}\"}, \"d\": [] }";
        let at = |line, column| path(text.as_bytes(), line, column);
        for (line, column, expected) in [
            (0, 0, "."),
            (1, 1, "."),
            (1, 3, "."),
            (1, 6, "a"),
            (1, 7, "a"),
            (1, 15, "a.b\"]"),
            (1, 16, "a.b\"][0]"),
            (1, 17, "a.b\"][0]"),
            (1, 18, "a.b\"][1]"),
            (2, 3, "a.b\"][1][0]"),
            (2, 6, "a.b\"][1][1]"),
            (2, 7, "a.b\"][1]"),
            (2, 8, "a.b\"]"),
            (2, 17, "a.c"),
            (2, 18, "a.c"),
            (2, 19, "a"),
            (2, 28, "d"),
            (2, 30, "."),
            (9, 9, "."),
        ] {
            assert_eq!(at(line, column), expected, "{line}:{column} {:?}", text.lines().nth(line.saturating_sub(1)));
        }
    }
    #[test]
    fn what_is_cut_off_has_a_path_too() {
        let text = r#"{"a": ["\\", {"\"b": 1}], "c": "\u00e9"}"#;
        for end in 0..=text.len() {
            for column in 0..=end + 2 {
                assert!(!path(&text.as_bytes()[..end], 1, column).is_empty());
            }
        }
        assert_eq!(path(&text.as_bytes()[..22], 1, 22), "a[1].\"b");
    }
}
