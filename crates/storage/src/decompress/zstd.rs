//! Zstandard streams of many frames, with a bound on the memory.
//!
//! The crate `ruzstd` (no C, no dependencies) decodes the blocks. It knows one frame at a time and checks the window of
//! the first one not at all, so what stands before the blocks of a frame (RFC 8878, 3.1.1.1) is looked at here first.

use std::io::{self, Read};

use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

/// The largest window that a frame may ask for, in bytes: the decoder's own bound for all frames but the first. Level 19
/// uses 8 MiB, and only `--ultra` or `--long` more than this.
const LARGEST_WINDOW: u64 = 100 << 20;

/// The first bytes of a frame.
const MAGIC: u32 = 0xfd2f_b528;
/// The first of the sixteen numbers that frames without data for us start with.
const SKIPPABLE: u32 = 0x184d_2a50;

/// A stream that is no Zstandard, or one that this reader does not take.
#[derive(Debug, thiserror::Error)]
enum Malformed {
    #[error("no zstd frame where one should start")]
    Magic,
    #[error("a zstd frame needs a window of {0} bytes, {LARGEST_WINDOW} are the most")]
    Window(u64),
    #[error("a zstd frame is broken")]
    Frame(#[source] ruzstd::decoding::errors::FrameDecoderError),
}

/// All frames of a stream in turn, those without data left out.
pub(super) struct Frames<R> {
    from: R,
    decoder: FrameDecoder,
}

impl<R: Read> Frames<R> {
    pub(super) fn new(from: R) -> Self {
        Self { from, decoder: FrameDecoder::new() }
    }

    /// Starts the next frame; `false` at the end of the stream.
    fn start(&mut self) -> io::Result<bool> {
        loop {
            let mut head = Vec::with_capacity(14);
            if self.take(&mut head, 1)? == 0 {
                return Ok(false);
            }
            self.need(&mut head, 3)?;
            let magic = u32::from_le_bytes([head[0], head[1], head[2], head[3]]);
            if magic & !0xf == SKIPPABLE {
                self.need(&mut head, 4)?;
                let length = u64::from(u32::from_le_bytes([head[4], head[5], head[6], head[7]]));
                if io::copy(&mut (&mut self.from).take(length), &mut io::sink())? < length {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                continue;
            }
            if magic != MAGIC {
                return Err(io::Error::other(Malformed::Magic));
            }
            self.frame_header(&mut head)?;
            self.decoder.init(head.as_slice()).map_err(|error| io::Error::other(Malformed::Frame(error)))?;
            return Ok(true);
        }
    }

    /// Reads the rest of the header of a frame with data into `head`, and checks the window.
    fn frame_header(&mut self, head: &mut Vec<u8>) -> io::Result<()> {
        self.need(head, 1)?;
        let descriptor = head[4];
        let single_segment = descriptor & 0x20 != 0;
        let dictionary = [0, 1, 2, 4][usize::from(descriptor & 3)];
        let content = match descriptor >> 6 {
            0 => usize::from(single_segment),
            flag => 1 << flag,
        };
        self.need(head, usize::from(!single_segment) + dictionary + content)?;
        let window = if single_segment {
            let size = &head[head.len() - content..];
            let size = size.iter().rev().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
            if content == 2 { size + 256 } else { size }
        } else {
            let base = 1_u64 << (10 + u32::from(head[5] >> 3));
            base + base / 8 * u64::from(head[5] & 7)
        };
        if window > LARGEST_WINDOW { Err(io::Error::other(Malformed::Window(window))) } else { Ok(()) }
    }

    /// Reads up to `count` more bytes and tells how many came.
    fn take(&mut self, head: &mut Vec<u8>, count: usize) -> io::Result<usize> {
        (&mut self.from).take(count as u64).read_to_end(head)
    }

    /// Reads `count` more bytes.
    fn need(&mut self, head: &mut Vec<u8>, count: usize) -> io::Result<()> {
        if self.take(head, count)? == count { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }
}

impl<R: Read> Read for Frames<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            while self.decoder.can_collect() < buffer.len() && !self.decoder.is_finished() {
                let wanted = BlockDecodingStrategy::UptoBytes(buffer.len() - self.decoder.can_collect());
                let decoded = self.decoder.decode_blocks(&mut self.from, wanted);
                decoded.map_err(|error| io::Error::other(Malformed::Frame(error)))?;
            }
            let count = self.decoder.read(buffer)?;
            if count > 0 {
                return Ok(count);
            }
            if !self.start()? {
                return Ok(0);
            }
        }
    }
}
