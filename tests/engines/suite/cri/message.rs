//! Protocol buffers as far as the Container Runtime Interface needs them: messages of numbers, texts and messages.

/// A message that is being put together.
#[derive(Clone, Default)]
pub(crate) struct Message(Vec<u8>);

impl Message {
    /// Adds field `number` with a number.
    #[must_use]
    pub(crate) fn number(mut self, number: u64, value: u64) -> Self {
        self.varint(number << 3);
        self.varint(value);
        self
    }

    /// Adds field `number` with a text.
    #[must_use]
    pub(crate) fn text(self, number: u64, value: &str) -> Self {
        self.bytes(number, value.as_bytes())
    }

    /// Adds field `number` once for each text.
    #[must_use]
    pub(crate) fn texts(self, number: u64, values: &[&str]) -> Self {
        values.iter().fold(self, |message, value| message.text(number, value))
    }

    /// Adds field `number` with a message.
    #[must_use]
    pub(crate) fn message(self, number: u64, value: &Self) -> Self {
        self.bytes(number, &value.0)
    }

    fn bytes(mut self, number: u64, value: &[u8]) -> Self {
        self.varint(number << 3 | 2);
        self.varint(value.len() as u64);
        self.0.extend(value);
        self
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    /// As gRPC sends it: not compressed, with its length before it.
    pub(crate) fn framed(&self) -> Vec<u8> {
        let length = u32::try_from(self.0.len()).expect("messages of tests are short").to_be_bytes();
        [&[0], &length[..], &self.0].concat()
    }
}

/// A message that was received.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    numbers: Vec<(u64, u64)>,
    bytes: Vec<(u64, Vec<u8>)>,
}

impl Answer {
    /// Takes one message off its frame; an empty one if there is none.
    ///
    /// # Panics
    /// If it is not a message.
    pub(crate) fn framed(frame: &[u8]) -> Self {
        Self::parse(frame.get(5..).unwrap_or_default())
    }

    fn parse(mut rest: &[u8]) -> Self {
        let mut answer = Self::default();
        while !rest.is_empty() {
            let key = varint(&mut rest);
            match key & 7 {
                0 => answer.numbers.push((key >> 3, varint(&mut rest))),
                2 => {
                    let length = usize::try_from(varint(&mut rest)).expect("a length fits");
                    let (value, after) = rest.split_at(length);
                    answer.bytes.push((key >> 3, value.to_owned()));
                    rest = after;
                }
                other => panic!("the wire type {other} is not of this interface"),
            }
        }
        answer
    }

    /// Field `number` as a number; 0, which is not sent, if there is none.
    pub(crate) fn number(&self, number: u64) -> u64 {
        self.numbers.iter().find(|(field, _)| *field == number).map_or(0, |(_, value)| *value)
    }

    /// Field `number` as a text; empty if there is none.
    pub(crate) fn text(&self, number: u64) -> String {
        String::from_utf8_lossy(self.field(number)).into_owned()
    }

    /// Field `number` as a message; an empty one if there is none.
    pub(crate) fn message(&self, number: u64) -> Self {
        Self::parse(self.field(number))
    }

    fn field(&self, number: u64) -> &[u8] {
        self.bytes.iter().find(|(field, _)| *field == number).map_or(&[], |(_, value)| value.as_slice())
    }
}

fn varint(rest: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, after) = rest.split_first().expect("a number has an end");
        *rest = after;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return value;
        }
    }
    panic!("a number has ten bytes at most")
}

#[test]
fn what_is_put_together_can_be_read() {
    let inner = Message::default().number(1, 300).text(2, "text");
    let whole = Message::default().message(15, &inner).texts(3, &["a", "b"]).number(7, u64::MAX);
    let answer = Answer::framed(&whole.framed());
    assert_eq!((answer.message(15).number(1), answer.message(15).text(2)), (300, "text".to_owned()));
    assert_eq!((answer.text(3), answer.number(7), answer.number(9)), ("a".to_owned(), u64::MAX, 0));
}
