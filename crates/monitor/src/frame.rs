//! What clients and the monitor exchange at `attach.sock`: packets whose first byte tells the kind.
//!
//! A client may come at any time and any number of them may be there. Each gets what the container writes from then on, and the
//! end. Nothing of it is left out for a client. For clients that are behind 1 MiB is kept; then the monitor does not read the container's
//! output, and the container waits: without a limit for clients that came before its start, and for 10 seconds in which it takes nothing
//! for one that came later, which is dropped then, so that who looks on and falls asleep does not stop it. Once the container has ended nobody waits any more: its end is recorded, and a client gets the
//! rest whenever it takes it.
//!
//! A client's packets are taken in their order, and not before the container has taken the input before them. A client that
//! wants to send a signal while its input waits attaches once more for it.
//!
//! A client is dropped, and nothing else happens, if it sends what is none of these packets, one that only the monitor sends, or
//! the number of a signal that does not exist. Descriptors that it sends along are closed. There is room for 128 clients;
//! one more is disconnected at once.

/// The longest packet: the kind and this many bytes less one.
pub const LONGEST: usize = 32 << 10;

/// The kind of [`Frame::Output`], for who puts a packet together in place.
pub const OUTPUT: u8 = b'o';
/// The kind of [`Frame::ErrorOutput`].
pub const ERROR_OUTPUT: u8 = b'r';

/// One packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame<'bytes> {
    /// From a client: bytes for the container's standard input.
    Input(&'bytes [u8]),
    /// From a client: standard input ends.
    InputEnd,
    /// From a client: its terminal's size.
    Resize {
        /// Lines.
        rows: u16,
        /// Characters in a line.
        columns: u16,
    },
    /// From a client: a signal for the container's first process.
    Signal(i32),
    /// To a client: what the container wrote to standard output, or to its terminal.
    Output(&'bytes [u8]),
    /// To a client: what the container wrote to standard error.
    ErrorOutput(&'bytes [u8]),
    /// To a client, the last packet: the container has ended with this code, which is recorded.
    Exited(u8),
}

/// A packet that is none of [`Frame`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a packet of {length} bytes with the kind {kind:?} is unknown")]
pub struct Unknown {
    /// How long it is.
    pub length: usize,
    /// Its first byte, if there is one.
    pub kind: Option<u8>,
}

impl<'bytes> Frame<'bytes> {
    /// The packet's bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let (kind, rest): (u8, &[u8]) = match self {
            Self::Input(bytes) => (b'i', bytes),
            Self::InputEnd => (b'e', &[]),
            Self::Output(bytes) => (OUTPUT, bytes),
            Self::ErrorOutput(bytes) => (ERROR_OUTPUT, bytes),
            Self::Exited(code) => (b'x', &[*code]),
            Self::Signal(number) => return [b's'].into_iter().chain(number.to_le_bytes()).collect(),
            Self::Resize { rows, columns } => {
                return [b'w'].into_iter().chain(rows.to_le_bytes()).chain(columns.to_le_bytes()).collect();
            }
        };
        [&[kind], rest].concat()
    }

    /// Reads a packet.
    ///
    /// # Errors
    /// [`Unknown`].
    pub fn decode(packet: &'bytes [u8]) -> Result<Self, Unknown> {
        let unknown = || Unknown { length: packet.len(), kind: packet.first().copied() };
        let (kind, rest) = packet.split_first().ok_or_else(unknown)?;
        Ok(match (*kind, rest) {
            (b'i', bytes) => Self::Input(bytes),
            (b'e', []) => Self::InputEnd,
            (OUTPUT, bytes) => Self::Output(bytes),
            (ERROR_OUTPUT, bytes) => Self::ErrorOutput(bytes),
            (b'x', [code]) => Self::Exited(*code),
            (b's', &[a, b, c, d]) => Self::Signal(i32::from_le_bytes([a, b, c, d])),
            (b'w', &[a, b, c, d]) => {
                Self::Resize { rows: u16::from_le_bytes([a, b]), columns: u16::from_le_bytes([c, d]) }
            }
            _ => return Err(unknown()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_packet_reads_back() {
        for frame in [
            Frame::Input(b"typed"),
            Frame::Input(b""),
            Frame::InputEnd,
            Frame::Resize { rows: 24, columns: 300 },
            Frame::Signal(15),
            Frame::Output(b"\0\xff"),
            Frame::ErrorOutput(b"oops"),
            Frame::Exited(137),
        ] {
            assert_eq!(Frame::decode(&frame.encode()), Ok(frame));
        }
        for packet in [&b""[..], b"e1", b"x", b"xyz", b"s12", b"w12345", b"?"] {
            assert!(Frame::decode(packet).is_err(), "{packet:?}");
        }
    }
}
