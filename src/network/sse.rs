//! HOT PATH. Incremental parser of server-sent events, for bytes cut at any place.
//!
//! Follows the HTML standard's grammar: lines end in LF, CR or CRLF; `data` lines of one event are joined with LF; an
//! empty line ends the event; lines that begin with a colon are comments. An event whose line came whole in one
//! read is handed out in place; only what a read cuts is copied.
//!
//! Beyond the standard, a whole JSON object is an event without its empty line too, which some servers leave out.

use serde::de::IgnoredAny;

use crate::request::{Failure, FailureKind};

/// Longest event that is kept while it arrives.
pub const MAX_EVENT: usize = 16 << 20;

/// One event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SseEvent<'a> {
    /// The joined `data` lines; never empty.
    pub data: &'a [u8],
    /// Its `event` field was `error`.
    pub is_error: bool,
    /// Its `event` field was another name than `message`.
    pub is_named: bool,
}

/// An event grew beyond [`MAX_EVENT`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventTooLong;

impl From<EventTooLong> for Failure {
    fn from(_: EventTooLong) -> Self {
        Self::new(FailureKind::Malformed, format!("an event is longer than {MAX_EVENT} bytes"))
    }
}

/// Cuts a stream of bytes into events.
#[derive(Debug, Default)]
pub struct SseReader {
    /// A line that has begun and not ended.
    line: Vec<u8>,
    /// The `data` lines of the current event, where they could not be handed out in place.
    data: Vec<u8>,
    data_lines: u32,
    is_error: bool,
    is_named: bool,
    /// The last byte was CR: an LF that follows belongs to it.
    after_cr: bool,
    begun: bool,
    had_event: bool,
}

impl SseReader {
    /// Resets and keeps the memory.
    pub fn restart(&mut self) {
        self.line.clear();
        self.data.clear();
        (self.data_lines, self.is_error, self.is_named) = (0, false, false);
        (self.after_cr, self.begun) = (false, false);
        self.had_event = false;
    }

    /// Whether an event has been handed out.
    pub fn had_event(&self) -> bool {
        self.had_event
    }

    /// Takes the next bytes and hands out every event that they complete.
    ///
    /// # Errors
    /// What `event` returns, and [`EventTooLong`] as that error.
    #[inline]
    pub fn feed<E: From<EventTooLong>>(
        &mut self,
        bytes: &[u8],
        mut event: impl FnMut(SseEvent<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut rest = bytes;
        if self.after_cr && !rest.is_empty() {
            self.after_cr = false;
            rest = rest.strip_prefix(b"\n").unwrap_or(rest);
        }
        // The `data` line of the current event, as long as it is its only one.
        let mut in_place: Option<&[u8]> = None;
        while let Some(end) = memchr::memchr2(b'\n', b'\r', rest) {
            let (line, ending) = rest.split_at(end);
            rest = self.skip_line_ending(ending);
            if self.line.is_empty() {
                self.take_line(line, &mut in_place, &mut event)?;
            } else {
                self.line.extend_from_slice(line);
                let whole = std::mem::take(&mut self.line);
                let mut copied = None;
                let taken = self.take_line(&whole, &mut copied, &mut event);
                self.keep(copied);
                self.line = whole;
                self.line.clear();
                taken?;
            }
        }
        if rest.is_empty() && self.line.is_empty() {
            self.end_what_is_whole(&mut in_place, &mut event)?;
        }
        self.keep(in_place);
        self.line.extend_from_slice(rest);
        if self.line.len() + self.data.len() > MAX_EVENT {
            return Err(EventTooLong.into());
        }
        Ok(())
    }

    /// The stream is over: what a server left without its empty line is handed out too.
    ///
    /// # Errors
    /// What `event` returns.
    pub fn end<E: From<EventTooLong>>(
        &mut self,
        event: impl FnMut(SseEvent<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.after_cr = false;
        let closing: &[u8] = if self.line.is_empty() { b"\n" } else { b"\n\n" };
        self.feed(closing, event)
    }

    #[inline]
    fn skip_line_ending<'a>(&mut self, ending: &'a [u8]) -> &'a [u8] {
        match ending {
            [b'\r', b'\n', rest @ ..] | [b'\n', rest @ ..] => rest,
            [_, rest @ ..] => {
                self.after_cr = rest.is_empty();
                rest
            }
            [] => ending,
        }
    }

    #[inline]
    fn take_line<'a, E>(
        &mut self,
        line: &'a [u8],
        in_place: &mut Option<&'a [u8]>,
        event: &mut impl FnMut(SseEvent<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let line = self.without_byte_order_mark(line);
        if line.is_empty() {
            return self.dispatch(in_place.take(), event);
        }
        if let Some(value) = field(line, b"data") {
            self.end_what_is_whole(in_place, event)?;
            if self.data_lines > 0 || in_place.is_some() {
                self.keep(in_place.take());
                self.data.push(b'\n');
                self.data.extend_from_slice(value);
            } else {
                *in_place = Some(value);
            }
        } else if let Some(value) = field(line, b"event") {
            self.end_what_is_whole(in_place, event)?;
            self.is_error = value == b"error";
            self.is_named = !matches!(value, b"" | b"message");
        }
        Ok(())
    }

    /// A line of the next event has come, and the empty line before it has not.
    #[inline]
    fn end_what_is_whole<E>(
        &mut self,
        in_place: &mut Option<&[u8]>,
        event: &mut impl FnMut(SseEvent<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let has_begun = self.data_lines > 0 || in_place.is_some();
        if has_begun && is_whole_object(in_place.unwrap_or(&self.data)) {
            return self.dispatch(in_place.take(), event);
        }
        Ok(())
    }

    #[inline]
    fn dispatch<E>(
        &mut self,
        in_place: Option<&[u8]>,
        event: &mut impl FnMut(SseEvent<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let is_error = std::mem::take(&mut self.is_error);
        let is_named = std::mem::take(&mut self.is_named);
        let kept_lines = std::mem::take(&mut self.data_lines);
        let data = if kept_lines > 0 { self.data.as_slice() } else { in_place.unwrap_or_default() };
        self.had_event |= !data.is_empty();
        let handed_out =
            if data.is_empty() { Ok(()) } else { event(SseEvent { data, is_error, is_named }) };
        self.data.clear();
        handed_out
    }

    /// Keeps a first `data` line beyond the bytes that held it.
    #[inline]
    fn keep(&mut self, in_place: Option<&[u8]>) {
        if let Some(value) = in_place {
            self.data.extend_from_slice(value);
            self.data_lines = 1;
        }
    }

    #[inline]
    fn without_byte_order_mark<'a>(&mut self, line: &'a [u8]) -> &'a [u8] {
        if std::mem::replace(&mut self.begun, true) {
            return line;
        }
        line.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(line)
    }
}

/// Whether this is a JSON object and nothing else.
#[cold]
fn is_whole_object(data: &[u8]) -> bool {
    data.starts_with(b"{")
        && data.ends_with(b"}")
        && serde_json::from_slice::<IgnoredAny>(data).is_ok()
}

/// The value of a line that has the field `name`; one space after the colon belongs to the colon.
#[inline]
fn field<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    match line.strip_prefix(name)? {
        [] => Some(&[]),
        [b':', b' ', value @ ..] | [b':', value @ ..] => Some(value),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{Rng, SeedableRng};

    fn events_of<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<(String, bool)> {
        let mut reader = SseReader::default();
        let mut events = Vec::new();
        let mut note = |event: SseEvent<'_>| -> Result<(), EventTooLong> {
            events.push((String::from_utf8_lossy(event.data).into_owned(), event.is_error));
            Ok(())
        };
        for piece in pieces {
            reader.feed(piece, &mut note).unwrap();
        }
        reader.end(&mut note).unwrap();
        events
    }

    fn data_of(stream: &str) -> Vec<String> {
        events_of([stream.as_bytes()]).into_iter().map(|(data, _)| data).collect()
    }

    #[test]
    fn several_events_in_one_read_are_all_found() {
        assert_eq!(data_of("data: a\n\ndata: b\n\ndata: [DONE]\n\n"), ["a", "b", "[DONE]"]);
    }

    #[test]
    fn objects_whose_empty_line_is_left_out_are_events_as_soon_as_they_are_whole() {
        let stream = "data: {\"a\":1}\ndata: {\"b\":{}}\ndata: [DONE]\n";
        assert_eq!(data_of(stream), ["{\"a\":1}", "{\"b\":{}}", "[DONE]"]);
        let mut reader = SseReader::default();
        let mut count = 0;
        let mut note = |_: SseEvent<'_>| -> Result<(), EventTooLong> {
            count += 1;
            Ok(())
        };
        reader.feed(b"data: {\"a\":1}\n", &mut note).unwrap();
        reader.feed(b"\ndata: {\"b\":\ndata: {}}\n", &mut note).unwrap();
        reader.feed(b"\n", &mut note).unwrap();
        assert_eq!(count, 2, "the first before its empty line, the second in two lines");
    }

    #[test]
    fn every_line_ending_of_the_standard_ends_a_line() {
        for stream in [
            "data: a\r\n\r\ndata: b\r\n\r\n",
            "data: a\r\rdata: b\r\r",
            "data: a\n\r\ndata: b\r\n\n",
        ] {
            assert_eq!(data_of(stream), ["a", "b"], "{stream:?}");
        }
    }

    #[test]
    fn comments_empty_data_and_unknown_fields_are_no_events() {
        assert_eq!(
            data_of(": ping\n\ndata:\n\ndata\n\nid: 7\nretry: 1\n\n:\n\ndata: x\n\n"),
            ["x"]
        );
    }

    #[test]
    fn the_space_after_the_colon_is_optional_and_only_one_is_taken() {
        assert_eq!(data_of("data:{}\n\ndata:  x\n\n"), ["{}", " x"]);
    }

    #[test]
    fn data_lines_of_one_event_are_joined() {
        assert_eq!(data_of("data: {\ndata:  \"a\":1\ndata: }\n\n"), ["{\n \"a\":1\n}"]);
    }

    #[test]
    fn a_last_event_without_its_empty_line_is_still_handed_out() {
        assert_eq!(data_of("data: a\n\ndata: [DONE]\n"), ["a", "[DONE]"]);
        assert_eq!(data_of("data: a\n\ndata: [DONE]"), ["a", "[DONE]"]);
    }

    #[test]
    fn an_error_event_says_so_and_the_next_one_does_not() {
        let events = events_of([b"event: error\ndata: bad\n\ndata: fine\n\n".as_slice()]);
        assert_eq!(events, [("bad".to_owned(), true), ("fine".to_owned(), false)]);
    }

    #[test]
    fn a_byte_order_mark_at_the_start_is_skipped() {
        assert_eq!(data_of("\u{feff}data: a\n\n"), ["a"]);
    }

    #[test]
    fn an_event_that_never_ends_is_refused_before_it_fills_the_memory() {
        let mut reader = SseReader::default();
        let piece = vec![b'x'; 1 << 20];
        let fed = (0..=MAX_EVENT >> 20)
            .try_for_each(|_| reader.feed(&piece, |_| Ok::<(), EventTooLong>(())));
        assert_eq!(fed, Err(EventTooLong));
    }

    #[test]
    fn any_cut_of_the_bytes_gives_the_same_events() {
        are_the_same_however_they_are_cut(&[
            "data: {\"a\":\"\u{e9}\u{1f600}\"}",
            "data:x",
            ": comment",
            "event: error",
            "data",
            "data: ",
            "id: 1",
            "\r\n",
            "\n",
            "\r",
            "\n\n",
            "\r\n\r\n",
            "\r\r",
            "retry: 3",
        ]);
        are_the_same_however_they_are_cut(&[
            "data: {\"a\":\"\u{e9}\u{1f600}\"}\n\n",
            "data: {\"b\":{}}\n",
            "data: {\"c\":\r\ndata: [{}]}\r\n\r\n",
            "event: error\ndata: {\"d\":1}\n\n",
            "data: [DONE]\n",
            ": comment\n",
            "\n",
        ]);
    }

    fn are_the_same_however_they_are_cut(parts: &[&str]) {
        let mut random = rand_xoshiro::Xoshiro256PlusPlus::seed_from_u64(3);
        for _ in 0..2_000 {
            let stream: String = (0..random.random_range(1..12))
                .map(|_| parts[random.random_range(0..parts.len())])
                .collect();
            let whole = events_of([stream.as_bytes()]);
            let mut cuts = stream.as_bytes();
            let mut pieces = Vec::new();
            while !cuts.is_empty() {
                let (piece, rest) = cuts.split_at(random.random_range(1..=cuts.len().min(7)));
                pieces.push(piece);
                cuts = rest;
            }
            assert_eq!(events_of(pieces), whole, "{stream:?}");
        }
    }
}
