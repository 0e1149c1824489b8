//! Lines out of what was read, and the pieces of those that are long.
//!
//! A line that is longer than 16 KiB comes in pieces, of which only the last ends in `\n`; so does a line that the container did
//! not end. Pieces of a line have the time of the first. All of that is Docker's.

use jiff::Timestamp;

use crate::streams::Stream;

/// The longest piece of a line.
pub(super) const LONGEST: usize = 16 << 10;

/// A line, or a piece of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece<'a> {
    pub(super) stream: Stream,
    /// With the line's end, if it is there.
    pub(super) bytes: &'a [u8],
    /// When the line's first piece came.
    pub(super) time: Timestamp,
    pub(super) part: Part,
}

/// Which part of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// All of it.
    Whole,
    /// A piece, counted from one, that another one follows, or nothing.
    Open(u32),
    /// The last of several pieces.
    Last(u32),
}

/// What became of a piece that was given. It is taken in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// The next one can come.
    Yes,
    /// No other can come now.
    Last,
}

/// The lines of both streams that have not ended.
#[derive(Debug, Default)]
pub(super) struct Pieces([Line; 2]);

/// What was read of a line that has not ended.
#[derive(Debug, Default)]
struct Line {
    kept: Vec<u8>,
    /// When what is kept, or the first piece, came.
    since: Option<Timestamp>,
    /// How many pieces were given.
    given: u32,
}

impl Pieces {
    /// Gives every line, and every piece of a long one, that `bytes` completes, until `give` says that it takes no more; what of
    /// `bytes` is not looked at then.
    pub(super) fn take<'bytes>(
        &mut self,
        stream: Stream,
        mut bytes: &'bytes [u8],
        now: Timestamp,
        give: &mut dyn FnMut(Piece<'_>) -> Taken,
    ) -> &'bytes [u8] {
        let line = &mut self.0[stream.index()];
        while !bytes.is_empty() {
            let room = LONGEST - line.kept.len();
            let window = &bytes[..room.min(bytes.len())];
            let end = window.iter().position(|byte| *byte == b'\n');
            let length = end.map_or(window.len(), |end| end + 1);
            let time = *line.since.get_or_insert(now);
            if end.is_none() && length < room {
                line.kept.extend_from_slice(window);
                return &[];
            }
            // Most lines are whole in what was read, and need not be copied.
            let whole = if line.kept.is_empty() {
                &window[..length]
            } else {
                line.kept.extend_from_slice(&window[..length]);
                &line.kept
            };
            let part = match (end, line.given) {
                (Some(_), 0) => Part::Whole,
                (Some(_), given) => Part::Last(given + 1),
                (None, given) => Part::Open(given + 1),
            };
            let taken = give(Piece { stream, bytes: whole, time, part });
            line.kept.clear();
            if end.is_some() {
                line.since = None;
                line.given = 0;
            } else {
                line.given += 1;
            }
            bytes = &bytes[length..];
            if taken == Taken::Last {
                break;
            }
        }
        bytes
    }

    /// Gives the lines that did not end.
    pub(super) fn finish(&mut self, now: Timestamp, give: &mut dyn FnMut(Piece<'_>) -> Taken) {
        for stream in [Stream::Output, Stream::Error] {
            let line = std::mem::take(&mut self.0[stream.index()]);
            if !line.kept.is_empty() {
                let part = Part::Open(line.given + 1);
                // The end: whether another one could come is of no interest.
                give(Piece { stream, bytes: &line.kept, time: line.since.unwrap_or(now), part });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Given = (String, Stream, Part, i64);

    /// The pieces that come of `reads`, each of which comes a second after the one before.
    fn given(reads: &[(Stream, &[u8])]) -> Vec<Given> {
        let mut pieces = Pieces::default();
        let mut all = Vec::new();
        let mut give = |piece: Piece<'_>| {
            let text = String::from_utf8(piece.bytes.to_vec()).unwrap();
            all.push((text, piece.stream, piece.part, piece.time.as_second()));
            Taken::Yes
        };
        let second = |number: usize| Timestamp::from_second(number as i64).unwrap();
        for (number, (stream, bytes)) in reads.iter().enumerate() {
            assert_eq!(pieces.take(*stream, bytes, second(number), &mut give), b"");
        }
        pieces.finish(second(reads.len()), &mut give);
        all
    }

    #[test]
    fn lines_are_joined_from_reads_and_streams_do_not_mix() {
        use Stream::{Error, Output};
        let found = given(&[(Output, b"one"), (Error, b"err\n\n"), (Output, b" line\ntwo"), (Error, b"open")]);
        let expected = [
            ("err\n", Error, Part::Whole, 1),
            ("\n", Error, Part::Whole, 1),
            ("one line\n", Output, Part::Whole, 0),
            ("two", Output, Part::Open(1), 2),
            ("open", Error, Part::Open(1), 3),
        ];
        assert_eq!(found, expected.map(|(text, stream, part, time)| (text.to_owned(), stream, part, time)));
    }

    #[test]
    fn long_lines_are_split_at_16_kib_and_keep_their_time() {
        let long = vec![b'x'; LONGEST];
        let shape = |reads: &[&[u8]]| {
            let reads: Vec<_> = reads.iter().map(|read| (Stream::Output, *read)).collect();
            given(&reads).into_iter().map(|(text, _, part, time)| (text.len(), part, time)).collect::<Vec<_>>()
        };
        let whole = |length, time| (length, Part::Whole, time);
        assert_eq!(
            shape(&[&long, b"rest\n", b"next\n"]),
            [(LONGEST, Part::Open(1), 0), (5, Part::Last(2), 0), whole(5, 2)]
        );
        // The end of the line does not fit any more: a piece of its own.
        let ended = [&long[..], b"\n"].concat();
        assert_eq!(shape(&[&ended]), [(LONGEST, Part::Open(1), 0), (1, Part::Last(2), 0)]);
        assert_eq!(shape(&[&ended[1..]]), [whole(LONGEST, 0)]);
        let twice = [&long[..], &long[..]].concat();
        let expected = [(LONGEST, Part::Open(1), 0), (LONGEST, Part::Open(2), 0), (2, Part::Open(3), 0)];
        assert_eq!(shape(&[&twice[1..], b"abc"]), expected);
    }

    #[test]
    fn what_is_not_taken_now_is_given_back() {
        let mut pieces = Pieces::default();
        let mut count = 0;
        let mut give = |_: Piece<'_>| {
            count += 1;
            if count < 2 { Taken::Yes } else { Taken::Last }
        };
        let left = pieces.take(Stream::Output, b"a\nb\nc\nd", Timestamp::UNIX_EPOCH, &mut give);
        assert_eq!(left, b"c\nd");
        assert_eq!(pieces.take(Stream::Output, left, Timestamp::UNIX_EPOCH, &mut give), b"d");
    }
}
