//! D-Bus messages as bytes (the D-Bus specification, "Message Protocol"): as much of it as calls to systemd and its answers take.
//!
//! Numbers are in this machine's byte order, which the first byte tells; a peer on the same machine has no other.

use std::io;

use rustix::io::Errno;

/// The first byte of every message.
const ORDER: u8 = if cfg!(target_endian = "little") { b'l' } else { b'B' };
/// The bytes before the header's array.
pub(super) const FIXED: usize = 16;
/// The longest message that is read. systemd's answers to our calls and its signals are far below.
const LONGEST: usize = 4 << 20;

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Call,
    Reply,
    Error,
    Signal,
}

/// The value of a unit's property.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// `b`
    Bool(bool),
    /// `i`
    Signed(i32),
    /// `u`
    Number(u32),
    /// `t`
    Long(u64),
    /// `s`
    Text(String),
    /// `as`
    Texts(Vec<String>),
    /// `au`
    Numbers(Vec<u32>),
    /// `ay`
    Bytes(Vec<u8>),
    /// `a(ss)`
    Pairs(Vec<(String, String)>),
}

impl Value {
    /// Its type in D-Bus's letters.
    fn signature(&self) -> &'static str {
        match self {
            Self::Bool(_) => "b",
            Self::Signed(_) => "i",
            Self::Number(_) => "u",
            Self::Long(_) => "t",
            Self::Text(_) => "s",
            Self::Texts(_) => "as",
            Self::Numbers(_) => "au",
            Self::Bytes(_) => "ay",
            Self::Pairs(_) => "a(ss)",
        }
    }
}

/// Bytes of a header or a body in the making; everything is aligned to their beginning.
#[derive(Debug, Default)]
pub(super) struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    fn align(&mut self, to: usize) {
        self.bytes.resize(self.bytes.len().next_multiple_of(to), 0);
    }

    pub(super) fn number(&mut self, number: u32) {
        self.align(4);
        self.bytes.extend(number.to_ne_bytes());
    }

    pub(super) fn flag(&mut self, flag: bool) {
        self.number(u32::from(flag));
    }

    /// A string or an object's path.
    pub(super) fn text(&mut self, text: &str) {
        self.number(length(text.len()));
        self.bytes.extend(text.as_bytes());
        self.bytes.push(0);
    }

    fn signature(&mut self, signature: &str) {
        // All signatures are constants of this room's.
        self.bytes.push(signature.len() as u8);
        self.bytes.extend(signature.as_bytes());
        self.bytes.push(0);
    }

    /// An array of elements that are aligned to `alignment`.
    fn array<T>(&mut self, alignment: usize, elements: &[T], mut write: impl FnMut(&mut Self, &T)) {
        self.number(0);
        let at = self.bytes.len();
        self.align(alignment);
        let start = self.bytes.len();
        for element in elements {
            self.align(alignment);
            write(self, element);
        }
        let bytes = length(self.bytes.len() - start).to_ne_bytes();
        self.bytes[at - 4..at].copy_from_slice(&bytes);
    }

    /// A variant.
    pub(super) fn value(&mut self, value: &Value) {
        self.signature(value.signature());
        match value {
            Value::Bool(flag) => self.flag(*flag),
            Value::Signed(number) => self.number(number.cast_unsigned()),
            Value::Number(number) => self.number(*number),
            Value::Long(number) => {
                self.align(8);
                self.bytes.extend(number.to_ne_bytes());
            }
            Value::Text(text) => self.text(text),
            Value::Texts(texts) => self.array(4, texts, |writer, text| writer.text(text)),
            Value::Numbers(numbers) => self.array(4, numbers, |writer, number| writer.number(*number)),
            Value::Bytes(bytes) => self.array(1, bytes, |writer, byte| writer.bytes.push(*byte)),
            Value::Pairs(pairs) => self.array(8, pairs, |writer, (first, second)| {
                writer.text(first);
                writer.text(second);
            }),
        }
    }

    /// `a(sv)`.
    pub(super) fn properties(&mut self, properties: &[(String, Value)]) {
        self.array(8, properties, |writer, (name, value)| {
            writer.text(name);
            writer.value(value);
        });
    }

    /// `a(sa(sv))` without elements.
    pub(super) fn no_units(&mut self) {
        self.array(8, &[(); 0], |_, ()| {});
    }
}

/// A length, which the kernel's own bound on what is sent keeps far below 2^32.
fn length(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

/// A method of an object of systemd's.
#[derive(Clone, Copy, Debug)]
pub(super) struct Method<'a> {
    pub(super) object: &'a str,
    pub(super) interface: &'a str,
    pub(super) member: &'a str,
    /// The types of its arguments.
    pub(super) signature: &'a str,
}

/// The message that calls `method` with the arguments in `body`.
pub(super) fn call(serial: u32, method: Method<'_>, body: Writer) -> Vec<u8> {
    let fields = [
        (1, Value::Text(method.object.to_owned()), "o"),
        (2, Value::Text(method.interface.to_owned()), "s"),
        (3, Value::Text(method.member.to_owned()), "s"),
        (6, Value::Text("org.freedesktop.systemd1".to_owned()), "s"),
        (8, Value::Text(method.signature.to_owned()), "g"),
    ];
    let mut message = Writer { bytes: vec![ORDER, 1, 0, 1] };
    message.number(length(body.bytes.len()));
    message.number(serial);
    message.array(8, &fields, |writer, (code, value, signature)| {
        writer.bytes.push(*code);
        writer.signature(signature);
        match value {
            Value::Text(text) if *signature == "g" => writer.signature(text),
            Value::Text(text) => writer.text(text),
            _ => {}
        }
    });
    message.align(8);
    message.bytes.extend(body.bytes);
    message.bytes
}

/// A message that came.
#[derive(Clone, Debug)]
pub(super) struct Message {
    pub(super) kind: Kind,
    /// The call that it answers.
    pub(super) reply_to: Option<u32>,
    /// The method, or the signal.
    pub(super) member: String,
    /// The name of the error.
    pub(super) error: String,
    body: Vec<u8>,
}

/// How long the message is that begins with these bytes.
///
/// # Errors
/// `EBADMSG` if they are none of this byte order and version, `EMSGSIZE` if it is too long.
pub(super) fn whole_length(fixed: &[u8; FIXED]) -> io::Result<usize> {
    if fixed[0] != ORDER || fixed[3] != 1 {
        return Err(Errno::BADMSG.into());
    }
    let mut reader = Reader::new(fixed);
    reader.at = 4;
    let body = reader.number()? as usize;
    reader.at = 12;
    let fields = reader.number()? as usize;
    let whole = FIXED.saturating_add(fields).next_multiple_of(8).saturating_add(body);
    if whole > LONGEST { Err(Errno::MSGSIZE.into()) } else { Ok(whole) }
}

impl Message {
    /// Reads a whole message.
    ///
    /// # Errors
    /// `EBADMSG` for bytes that are none.
    pub(super) fn parse(bytes: &[u8]) -> io::Result<Self> {
        let bad = || io::Error::from(Errno::BADMSG);
        let kind = match bytes.get(1).ok_or_else(bad)? {
            1 => Kind::Call,
            2 => Kind::Reply,
            3 => Kind::Error,
            4 => Kind::Signal,
            _ => return Err(bad()),
        };
        let mut reader = Reader::new(bytes);
        reader.at = 12;
        let fields = reader.number()? as usize;
        let end = FIXED.checked_add(fields).filter(|end| *end <= bytes.len()).ok_or_else(bad)?;
        let (mut reply_to, mut member, mut error) = (None, String::new(), String::new());
        while reader.at < end {
            reader.align(8);
            let code = reader.byte()?;
            match (code, reader.signature()?.as_str()) {
                (3, "s") => member = reader.text()?,
                (4, "s") => error = reader.text()?,
                (_, "s" | "o") => drop(reader.text()?),
                (5, "u") => reply_to = Some(reader.number()?),
                (_, "u") => drop(reader.number()?),
                (_, "g") => drop(reader.signature()?),
                _ => return Err(bad()),
            }
        }
        let body = bytes.get(end.next_multiple_of(8)..).ok_or_else(bad)?.to_vec();
        Ok(Self { kind, reply_to, member, error, body })
    }

    /// Its arguments.
    pub(super) fn arguments(&self) -> Reader<'_> {
        Reader::new(&self.body)
    }
}

/// Bytes that are read from their beginning on.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    fn align(&mut self, to: usize) {
        self.at = self.at.next_multiple_of(to);
    }

    fn take(&mut self, count: usize) -> io::Result<&'a [u8]> {
        let end = self.at.checked_add(count).ok_or(Errno::BADMSG)?;
        let taken = self.bytes.get(self.at..end).ok_or(Errno::BADMSG)?;
        self.at = end;
        Ok(taken)
    }

    fn byte(&mut self) -> io::Result<u8> {
        Ok(self.take(1)?[0])
    }

    /// # Errors
    /// `EBADMSG` if there are no more bytes, as for the others.
    pub(super) fn number(&mut self) -> io::Result<u32> {
        self.align(4);
        let mut number = [0; 4];
        number.copy_from_slice(self.take(4)?);
        Ok(u32::from_ne_bytes(number))
    }

    /// A string or an object's path.
    pub(super) fn text(&mut self) -> io::Result<String> {
        let count = self.number()? as usize;
        let text = self.take(count)?.to_vec();
        self.take(1)?;
        String::from_utf8(text).map_err(|_no_text| Errno::BADMSG.into())
    }

    fn signature(&mut self) -> io::Result<String> {
        let count = usize::from(self.byte()?);
        let text = self.take(count)?.to_vec();
        self.take(1)?;
        String::from_utf8(text).map_err(|_no_text| Errno::BADMSG.into())
    }

    /// A variant that is a string.
    pub(super) fn text_value(&mut self) -> io::Result<String> {
        if self.signature()? == "s" { self.text() } else { Err(Errno::BADMSG.into()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_call_is_what_the_specification_says() {
        let mut body = Writer::default();
        body.text("a.scope");
        body.properties(&[("PIDs".to_owned(), Value::Numbers(vec![7])), ("Delegate".to_owned(), Value::Bool(true))]);
        let method = Method { object: "/o", interface: "i.f", member: "M", signature: "sa(sv)" };
        let message = call(5, method, body);
        let mut fixed = [0; FIXED];
        fixed.copy_from_slice(&message[..FIXED]);
        assert_eq!(whole_length(&fixed).unwrap(), message.len());
        let read = Message::parse(&message).unwrap();
        assert_eq!((read.kind, read.member.as_str(), read.reply_to), (Kind::Call, "M", None));
        let mut body = read.arguments();
        assert_eq!(body.text().unwrap(), "a.scope");
        // Length, padding to 8, "PIDs", "au", length and one number, padding, "Delegate", "b", padding, the flag.
        assert_eq!(body.number().unwrap(), (9 + 4 + 3 + 4 + 4) + (4 + 9 + 3 + 4));
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(message) = Message::parse(&bytes) {
                prop_assert!(message.body.len() <= bytes.len());
                let mut reader = message.arguments();
                while reader.text().is_ok() {}
            }
        }

        #[test]
        fn a_damaged_message_is_survived(at in 0..100usize, to in any::<u8>()) {
            let method = Method { object: "/o", interface: "i.f", member: "M", signature: "s" };
            let mut body = Writer::default();
            body.text("a.scope");
            let mut message = call(5, method, body);
            if let Some(byte) = message.get_mut(at) { *byte = to; }
            if let Ok(message) = Message::parse(&message) {
                prop_assert!(message.arguments().text().map_or(true, |text| text.len() < 100));
            }
        }
    }
}
