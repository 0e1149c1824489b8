//! The bytes of netlink messages: requests put together, answers taken apart with every length checked.

use std::io;

use rustix::io::Errno;

/// `NLMSG_ERROR`: an acknowledgement, also that of success.
const NLMSG_ERROR: u16 = 2;
/// `NLMSG_DONE`: the end of a list.
const NLMSG_DONE: u16 = 3;
/// `NLM_F_CAPPED`: the acknowledgement repeats the header of the request only.
const NLM_F_CAPPED: u16 = 0x100;
/// `NLM_F_ACK_TLVS`: attributes follow in the acknowledgement.
const NLM_F_ACK_TLVS: u16 = 0x200;
/// `NLMSGERR_ATTR_MSG`.
const NLMSGERR_ATTR_MSG: u16 = 1;
/// The size of `struct nlmsghdr`.
const HEADER: usize = 16;
/// The two bits of an attribute's type that are flags (`NLA_F_NESTED`, `NLA_F_NET_BYTEORDER`).
const TYPE_MASK: u16 = 0x3fff;

/// `NLA_F_NESTED`.
const NESTED: u16 = 0x8000;

/// A request under construction.
#[derive(Clone, Debug, Default)]
pub struct Builder {
    bytes: Vec<u8>,
}

impl Builder {
    /// A request of `kind` whose fixed part is `body`.
    #[must_use]
    pub fn new(kind: u16, flags: u16, body: &[u8]) -> Self {
        let mut bytes = vec![0; HEADER];
        bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
        bytes[6..8].copy_from_slice(&flags.to_ne_bytes());
        bytes.extend_from_slice(body);
        Self { bytes }
    }

    /// Adds an attribute; values here are far below the 64 KiB that one may have.
    #[must_use]
    pub fn attribute(mut self, kind: u16, value: &[u8]) -> Self {
        self.bytes.resize(aligned(self.bytes.len()), 0);
        self.bytes.extend_from_slice(&((value.len() + 4) as u16).to_ne_bytes());
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(value);
        self
    }

    /// Adds a string with its ending zero.
    #[must_use]
    pub fn string(self, kind: u16, value: &str) -> Self {
        self.attribute(kind, &[value.as_bytes(), &[0]].concat())
    }

    /// Adds an attribute that has those of `inner` within it.
    #[must_use]
    pub fn nested(self, kind: u16, inner: &Attributes) -> Self {
        self.attribute(kind | NESTED, &inner.0.bytes)
    }

    /// The whole message.
    #[must_use]
    pub fn finish(mut self, sequence: u32) -> Vec<u8> {
        let length = self.bytes.len() as u32;
        self.bytes[..4].copy_from_slice(&length.to_ne_bytes());
        self.bytes[8..12].copy_from_slice(&sequence.to_ne_bytes());
        self.bytes
    }
}

/// Attributes that stand within another.
#[derive(Clone, Debug, Default)]
pub struct Attributes(Builder);

impl Attributes {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// None yet, behind a fixed part.
    #[must_use]
    pub fn behind(body: &[u8]) -> Self {
        Self(Builder { bytes: body.to_vec() })
    }

    /// As [`Builder::attribute`].
    #[must_use]
    pub fn attribute(self, kind: u16, value: &[u8]) -> Self {
        Self(self.0.attribute(kind, value))
    }

    /// As [`Builder::string`].
    #[must_use]
    pub fn string(self, kind: u16, value: &str) -> Self {
        Self(self.0.string(kind, value))
    }

    /// As [`Builder::nested`].
    #[must_use]
    pub fn nested(self, kind: u16, inner: &Self) -> Self {
        Self(self.0.nested(kind, inner))
    }
}

/// One message of an answer.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer<'bytes> {
    /// The request is done, or it failed with an errno and perhaps the kernel's words.
    Acknowledged(Result<(), (Errno, Option<String>)>),
    /// The list is complete.
    Done,
    /// An object: its type, and its fixed part with its attributes.
    Object(u16, &'bytes [u8]),
}

/// Takes the messages out of `datagram`; those of other requests are passed over.
///
/// # Errors
/// `EBADMSG` if a length does not fit.
pub fn answers(mut datagram: &[u8], sequence: u32) -> io::Result<Vec<Answer<'_>>> {
    let mut all = Vec::new();
    while !datagram.is_empty() {
        let length = number(datagram, 0).ok_or(Errno::BADMSG)? as usize;
        let message = datagram.get(..length).filter(|message| message.len() >= HEADER).ok_or(Errno::BADMSG)?;
        if number(message, 8) == Some(sequence) {
            all.push(answer(message).ok_or(Errno::BADMSG)?);
        }
        datagram = datagram.get(aligned(length)..).unwrap_or_default();
    }
    Ok(all)
}

/// One whole message.
fn answer(message: &[u8]) -> Option<Answer<'_>> {
    let (kind, flags, body) = (short(message, 4)?, short(message, 6)?, message.get(HEADER..)?);
    match kind {
        NLMSG_ERROR => {
            let code = i32::from_ne_bytes(body.get(..4)?.try_into().ok()?);
            if code == 0 {
                return Some(Answer::Acknowledged(Ok(())));
            }
            let errno = Errno::from_raw_os_error(code.checked_neg().filter(|code| (1..4096).contains(code))?);
            Some(Answer::Acknowledged(Err((errno, words(body, flags)))))
        }
        NLMSG_DONE => {
            let code = body.get(..4).map_or(Some(0), |code| Some(i32::from_ne_bytes(code.try_into().ok()?)))?;
            let errno = code.checked_neg().filter(|code| (1..4096).contains(code)).map(Errno::from_raw_os_error);
            Some(errno.map_or(Answer::Done, |errno| Answer::Acknowledged(Err((errno, None)))))
        }
        _ => Some(Answer::Object(kind, body)),
    }
}

/// The kernel's explanation in an acknowledgement; a malformed one is none.
fn words(body: &[u8], flags: u16) -> Option<String> {
    if flags & NLM_F_ACK_TLVS == 0 {
        return None;
    }
    let request = if flags & NLM_F_CAPPED == 0 { number(body, 4)? as usize } else { HEADER };
    let text = find(body.get(aligned(request.checked_add(4)?)..)?, NLMSGERR_ATTR_MSG).ok()??;
    Some(String::from_utf8_lossy(text.strip_suffix(&[0]).unwrap_or(text)).into_owned())
}

/// The value of the first attribute of `kind` in `attributes`.
///
/// # Errors
/// `EBADMSG` if a length does not fit.
pub fn find(mut attributes: &[u8], kind: u16) -> io::Result<Option<&[u8]>> {
    while attributes.len() >= 4 {
        let (length, found) = (short(attributes, 0).unwrap_or(0), short(attributes, 2).unwrap_or(0));
        let value = attributes.get(4..usize::from(length)).ok_or(Errno::BADMSG)?;
        if found & TYPE_MASK == kind {
            return Ok(Some(value));
        }
        attributes = attributes.get(aligned(usize::from(length))..).unwrap_or_default();
    }
    Ok(None)
}

/// The 32-bit number at `offset`.
#[must_use]
pub fn number(bytes: &[u8], offset: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(offset..)?.get(..4)?.try_into().ok()?))
}

/// The 16-bit number at `offset`.
fn short(bytes: &[u8], offset: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(offset..)?.get(..2)?.try_into().ok()?))
}

/// `NLMSG_ALIGN`.
fn aligned(length: usize) -> usize {
    length.saturating_add(3) & !3
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An acknowledgement of `code` with the attributes `tail`, which repeats a request of `repeated` bytes.
    fn acknowledgement(code: i32, flags: u16, repeated: usize, tail: &[u8]) -> Vec<u8> {
        let mut request = vec![0; repeated];
        request[..4].copy_from_slice(&(repeated as u32).to_ne_bytes());
        Builder::new(NLMSG_ERROR, flags, &[&code.to_ne_bytes()[..], &request, tail].concat()).finish(7)
    }

    #[test]
    fn what_is_built_is_taken_apart_again() {
        let built = Builder::new(20, 1, &[1, 2, 3, 4]).attribute(5, b"abc").string(6, "eth0").finish(7);
        let answers = answers(&built, 7).unwrap();
        let [Answer::Object(20, body)] = answers[..] else { unreachable!() };
        assert_eq!(find(&body[4..], 5).unwrap(), Some(&b"abc"[..]));
        assert_eq!(find(&body[4..], 6).unwrap(), Some(&b"eth0\0"[..]));
        assert_eq!(find(&body[4..], 7).unwrap(), None);
        assert!(super::answers(&built, 8).unwrap().is_empty());
    }

    #[test]
    fn the_kernels_words_are_found() {
        let words = Builder::new(0, 0, &[]).string(NLMSGERR_ATTR_MSG, "no").finish(0);
        for (flags, repeated) in [(NLM_F_ACK_TLVS | NLM_F_CAPPED, 16), (NLM_F_ACK_TLVS, 32)] {
            let message = acknowledgement(-22, flags, repeated, &words[HEADER..]);
            let expected = Answer::Acknowledged(Err((Errno::INVAL, Some("no".to_owned()))));
            assert_eq!(answers(&message, 7).unwrap(), [expected]);
        }
        let message = acknowledgement(-22, NLM_F_ACK_TLVS, 16, &[255, 255, 1, 0]);
        assert_eq!(answers(&message, 7).unwrap(), [Answer::Acknowledged(Err((Errno::INVAL, None)))]);
    }

    #[test]
    fn no_length_is_believed() {
        for bytes in
            [&[0; 16][..], &[255; 16], &[17, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0], &[1], &[15, 0, 0, 0]]
        {
            assert!(answers(bytes, 7).is_err(), "{bytes:?}");
        }
        assert!(answers(&acknowledgement(i32::MIN, 0, 16, &[]), 7).is_err());
        assert!(answers(&acknowledgement(5, 0, 16, &[]), 7).is_err());
        for attribute in [&[0, 0, 0, 0][..], &[3, 0, 1, 0], &[9, 0, 1, 0, 0, 0, 0, 0]] {
            assert!(find(attribute, 1).is_err(), "{attribute:?}");
        }
        let whole = Builder::new(20, 1, &[1; 8]).attribute(5, b"abcdefgh").finish(7);
        for length in 0..whole.len() {
            assert_eq!(answers(&whole[..length], 7).is_err(), length != 0);
        }
    }
}
