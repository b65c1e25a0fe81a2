//! HOT PATH. HTTP/1.1 body framing: which bytes of a connection are the body, and where it ends.

use http::{HeaderMap, HeaderValue, StatusCode, header};

/// Longest line of a chunk's size or of a trailer.
const MAX_LINE: usize = 8 << 10;
/// Bytes that hold the size of a chunk, and no more than the beginning of its data.
const SIZE_LINE: usize = 16;
/// A part of a body without a chunk boundary.
const PIECE: usize = 128;

/// Where the body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// In chunks, each after its size.
    Chunked(ChunkState),
    /// After so many more bytes.
    Length(u64),
    /// With the connection.
    UntilClose,
    /// It has ended.
    Done,
}

/// Where in the chunked coding the next byte stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChunkState {
    /// In the hexadecimal size: its value so far, its digits, and all characters of the line.
    Size(u64, u8, usize),
    /// After the size, before the end of its line.
    Extension(u64, usize),
    /// In the data, so many bytes before its end.
    Data(u64),
    /// In the end of the line after the data.
    DataEnd,
    /// In a trailer line of so many characters.
    Trailer(usize),
}

/// The bytes break the framing; the text says how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadFraming(pub &'static str);

impl Framing {
    /// The framing that the head of a response announces.
    ///
    /// # Errors
    /// When the head contradicts itself.
    pub fn of(status: StatusCode, headers: &HeaderMap) -> Result<Self, BadFraming> {
        if status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED {
            return Ok(Self::Done);
        }
        // `identity` is what an old standard calls a body as it is.
        let coded = headers.get(header::TRANSFER_ENCODING).filter(|it| !is(it, b"identity"));
        if let Some(coding) = coded {
            if !is(coding, b"chunked") {
                return Err(BadFraming("a transfer-encoding other than chunked (such as gzip)"));
            }
            return Ok(Self::Chunked(ChunkState::Size(0, 0, 0)));
        }
        Ok(match length_of(headers)? {
            None => Self::UntilClose,
            Some(0) => Self::Done,
            Some(length) => Self::Length(length),
        })
    }

    /// Whether the body has ended.
    #[inline]
    pub fn is_done(self) -> bool {
        self == Self::Done
    }

    /// How many bytes to read so that none of the next chunk comes along, unless chunks are shorter than their sizes'
    /// lines may be.
    #[inline]
    pub fn bytes_to_boundary(self) -> usize {
        let bytes = match self {
            Self::Chunked(ChunkState::Data(left)) => left.saturating_add(2),
            Self::Chunked(_) => return SIZE_LINE,
            Self::Length(_) | Self::UntilClose | Self::Done => return PIECE,
        };
        usize::try_from(bytes).unwrap_or(usize::MAX)
    }

    /// The next part of the body in `bytes` from `at` on, which it moves past what it took; `None` where more bytes
    /// are needed, or the body has ended.
    ///
    /// # Errors
    /// When the bytes follow no framing.
    #[inline]
    pub fn next<'b>(
        &mut self,
        bytes: &'b [u8],
        at: &mut usize,
    ) -> Result<Option<&'b [u8]>, BadFraming> {
        while let Some(&byte) = bytes.get(*at) {
            let rest = &bytes[*at..];
            match self {
                Self::Done => return Ok(None),
                Self::UntilClose => {
                    *at = bytes.len();
                    return Ok(Some(rest));
                }
                Self::Length(left) => {
                    let part = up_to(rest, *left);
                    *at += part.len();
                    *left -= part.len() as u64;
                    if *left == 0 {
                        *self = Self::Done;
                    }
                    return Ok(Some(part));
                }
                Self::Chunked(ChunkState::Data(left)) => {
                    let part = up_to(rest, *left);
                    *at += part.len();
                    *left -= part.len() as u64;
                    if *left == 0 {
                        *self = Self::Chunked(ChunkState::DataEnd);
                    }
                    return Ok(Some(part));
                }
                Self::Chunked(state) => {
                    *at += 1;
                    *self = state.after(byte)?;
                }
            }
        }
        Ok(None)
    }
}

fn is(value: &HeaderValue, word: &[u8]) -> bool {
    value.as_bytes().trim_ascii().eq_ignore_ascii_case(word)
}

/// The length that a head announces; a proxy may say it twice, and must then say the same.
fn length_of(headers: &HeaderMap) -> Result<Option<u64>, BadFraming> {
    let mut length = None;
    let values = headers.get_all(header::CONTENT_LENGTH).into_iter();
    for part in values.flat_map(|value| value.as_bytes().split(|byte| *byte == b',')) {
        let digits = part.trim_ascii();
        let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
        let said = std::str::from_utf8(digits).ok().filter(|_| is_number);
        let said = said.and_then(|text| text.parse().ok());
        let said = said.ok_or(BadFraming("a content-length that is no number"))?;
        if length.is_some_and(|before| before != said) {
            return Err(BadFraming("two content-lengths that differ"));
        }
        length = Some(said);
    }
    Ok(length)
}

#[inline]
fn up_to(bytes: &[u8], most: u64) -> &[u8] {
    let take = usize::try_from(most).unwrap_or(usize::MAX).min(bytes.len());
    &bytes[..take]
}

impl ChunkState {
    /// The state after a byte that is not data.
    #[inline]
    fn after(self, byte: u8) -> Result<Framing, BadFraming> {
        let next = match (self, byte) {
            (Self::Size(_, 0, _) | Self::DataEnd, b'\n') if self != Self::DataEnd => {
                return Err(BadFraming("a chunk without a size"));
            }
            (Self::Size(size, _, _) | Self::Extension(size, _), b'\n') => match size {
                0 => Self::Trailer(0),
                size => Self::Data(size),
            },
            (Self::Size(size, digits, line), byte) => match char::from(byte).to_digit(16) {
                Some(_) if digits == 15 => return Err(BadFraming("a chunk of absurd size")),
                Some(digit) => Self::Size(size << 4 | u64::from(digit), digits + 1, line + 1),
                None if digits == 0 => return Err(BadFraming("a chunk without a size")),
                None if matches!(byte, b'\r' | b';' | b' ' | b'\t') => Self::Extension(size, line),
                None => return Err(BadFraming("a chunk size that is no number")),
            },
            (Self::Extension(size, line), _) if line < MAX_LINE => Self::Extension(size, line + 1),
            (Self::DataEnd, b'\r') => Self::DataEnd,
            (Self::DataEnd, b'\n') => Self::Size(0, 0, 0),
            (Self::DataEnd, _) => return Err(BadFraming("a chunk longer than its size")),
            (Self::Trailer(0), b'\n') => return Ok(Framing::Done),
            (Self::Trailer(_), b'\n') => Self::Trailer(0),
            (Self::Trailer(length), b'\r') => Self::Trailer(length),
            (Self::Trailer(length), _) if length < MAX_LINE => Self::Trailer(length + 1),
            _ => return Err(BadFraming("an endless line between chunks")),
        };
        Ok(Framing::Chunked(next))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{Rng, SeedableRng};

    const START: Framing = Framing::Chunked(ChunkState::Size(0, 0, 0));

    fn decode<'a>(
        mut framing: Framing,
        pieces: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<(String, bool), BadFraming> {
        let mut body = Vec::new();
        for piece in pieces {
            let mut at = 0;
            while let Some(part) = framing.next(piece, &mut at)? {
                body.extend_from_slice(part);
            }
        }
        Ok((String::from_utf8(body).unwrap(), framing.is_done()))
    }

    #[test]
    fn chunks_extensions_and_trailers_are_separated_from_the_body() {
        let wire = "5;x=y\r\nhello\r\n1\r\n \r\n00A\r\n0123456789\r\n0\r\nx-t: 1\r\n\r\n";
        assert_eq!(decode(START, [wire.as_bytes()]), Ok(("hello 0123456789".to_owned(), true)));
        assert_eq!(decode(START, [b"2\nab\n0\n\n".as_slice()]), Ok(("ab".to_owned(), true)));
    }

    #[test]
    fn any_cut_of_the_wire_gives_the_same_body() {
        let wire =
            "5;x=y\r\nhello\r\n1\r\n \r\n00A\r\n0123456789\r\n0\r\nx-t: 1\r\n\r\n".as_bytes();
        let mut random = rand_xoshiro::Xoshiro256PlusPlus::seed_from_u64(1);
        for _ in 0..300 {
            let mut pieces = Vec::new();
            let mut rest = wire;
            while !rest.is_empty() {
                let (piece, after) = rest.split_at(random.random_range(1..=rest.len().min(6)));
                pieces.push(piece);
                rest = after;
            }
            assert_eq!(decode(START, pieces), Ok(("hello 0123456789".to_owned(), true)));
        }
    }

    #[test]
    fn reading_to_the_boundary_never_brings_two_chunks_at_once() {
        let (first, second) = ("a".repeat(20), "b".repeat(40));
        let wire = format!("14\r\n{first}\r\n28;x=y\r\n{second}\r\n0\r\n\r\n");
        let (mut framing, mut from, mut body) = (START, 0, Vec::new());
        while !framing.is_done() {
            let read = &wire.as_bytes()[from..wire.len().min(from + framing.bytes_to_boundary())];
            from += read.len();
            let (mut at, mut brought) = (0, Vec::new());
            while let Some(part) = framing.next(read, &mut at).unwrap() {
                brought.extend_from_slice(part);
            }
            assert!(!(brought.contains(&b'a') && brought.contains(&b'b')), "{brought:?}");
            body.extend(brought);
        }
        assert_eq!(body, format!("{first}{second}").as_bytes());
    }

    #[test]
    fn a_body_that_was_cut_is_not_done() {
        assert_eq!(decode(START, [b"5\r\nhel".as_slice()]), Ok(("hel".to_owned(), false)));
        assert_eq!(
            decode(START, [b"5\r\nhello\r\n0\r\n".as_slice()]),
            Ok(("hello".to_owned(), false))
        );
        assert_eq!(decode(Framing::Length(9), [b"abc".as_slice()]), Ok(("abc".to_owned(), false)));
    }

    #[test]
    fn a_length_said_twice_is_one_and_two_that_differ_are_refused() {
        let announced = |lines: &[(&'static str, &'static str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in lines {
                headers.append(*name, HeaderValue::from_static(value));
            }
            Framing::of(StatusCode::OK, &headers)
        };
        let length = "content-length";
        for lines in [&[(length, "5")][..], &[(length, "5"), (length, "5")], &[(length, "5, 5")]] {
            assert_eq!(announced(lines), Ok(Framing::Length(5)));
        }
        let coded = ("transfer-encoding", "identity");
        assert_eq!(announced(&[coded]), Ok(Framing::UntilClose));
        assert_eq!(announced(&[coded, (length, "5")]), Ok(Framing::Length(5)));
        for bad in [&[(length, "5"), (length, "6")][..], &[(length, "+5")], &[(length, "")]] {
            assert!(announced(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn bytes_after_the_body_are_left_alone() {
        let mut framing = Framing::Length(3);
        let mut at = 0;
        assert_eq!(framing.next(b"abcdef", &mut at), Ok(Some(b"abc".as_slice())));
        assert_eq!((framing.next(b"abcdef", &mut at), at), (Ok(None), 3));
    }

    #[test]
    fn what_follows_no_framing_is_refused() {
        for wire in ["x\r\n", "\r\n", "5\r\nhello!", "fffffffffffffffff\r\n", "5x\r\n"] {
            assert!(decode(START, [wire.as_bytes()]).is_err(), "{wire:?}");
        }
    }
}
