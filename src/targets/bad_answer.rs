//! Failures of answers that cannot be understood, in the server's own words as far as there are any.

use http::{HeaderMap, header};
use serde::de::IgnoredAny;

use crate::request::{Failure, FailureKind};

/// Longest part of an answer that is shown.
pub const SHOWN: usize = 200;

/// Whether a failure of this kind meets every request: what is busy now may not be later.
pub const fn is_lasting(kind: FailureKind) -> bool {
    matches!(
        kind,
        FailureKind::Connect
            | FailureKind::Tls
            | FailureKind::HttpClient
            | FailureKind::Unauthorized
            | FailureKind::NotFound
            // It speaks something else than HTTP, or no answer of this API.
            | FailureKind::Malformed
    )
}

/// The API that a target asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Api {
    /// OpenAI's, of an `openai:` target.
    OpenAi,
    /// The generate endpoints of a `triton:http://` target.
    Generate,
}

impl Api {
    /// What to look at where something else answers.
    const fn question(self) -> &'static str {
        match self {
            Self::OpenAi => "is the URL that of its OpenAI API (often …/v1)?",
            Self::Generate => "is the address that of Triton's HTTP port (often 8000)?",
        }
    }

    /// A page for people came, which begins so.
    #[cold]
    pub fn web_page(self, begin: &[u8]) -> Failure {
        let called = title_of(begin).map_or_else(String::new, |title| format!(" (\"{title}\")"));
        let message = format!(
            "the answer is a web page{called}: {} Or does a login or a proxy answer in its place?",
            self.question()
        );
        Failure::new(FailureKind::Malformed, message)
    }

    /// What came is no JSON object, from this byte on.
    #[cold]
    pub fn not_json(self, text: &[u8], at: usize) -> Failure {
        if let Some(known) = self.known_by_its_beginning(text) {
            return known;
        }
        let follows = at > 0 && text[at..].trim_ascii_start().starts_with(b"{");
        let what = if follows {
            format!(
                "several JSON objects in a row, in place of one or of server-sent events (`data: …`); another API of the \
                 server writes so: {}",
                self.question()
            )
        } else {
            "no JSON object".to_owned()
        };
        Failure::new(FailureKind::Malformed, format!("{what} (byte {at}): {}", shown(text)))
    }

    /// A body ended that holds no server-sent event and begins so.
    #[cold]
    pub fn no_event(self, begin: &[u8]) -> Failure {
        if begin.trim_ascii().is_empty() {
            let message = "the body of the answer is empty: does a proxy or filter before the server swallow it?";
            return Failure::new(FailureKind::Empty, message);
        }
        self.known_by_its_beginning(begin).unwrap_or_else(|| {
            let message = format!(
                "the answer is neither a JSON object nor server-sent events (`data: …`): {} It begins with: {}",
                self.question(),
                shown(begin)
            );
            Failure::new(FailureKind::Malformed, message)
        })
    }

    /// What cannot be an answer, and shows what it is by how it begins.
    pub fn known_by_its_beginning(self, text: &[u8]) -> Option<Failure> {
        let message = match text.trim_ascii_start() {
            [0x1f, 0x8b, ..] => compressed("gzip"),
            [0x28, 0xb5, 0x2f, 0xfd, ..] => compressed("zstd"),
            [0x78, 0x01 | 0x9c | 0xda, ..] => compressed("deflate"),
            [b'<', ..] => return Some(self.web_page(text)),
            [b'[', ..] => {
                let endpoint = match self {
                    Self::OpenAi => " And is `--endpoint` the one that it has?",
                    Self::Generate => "",
                };
                format!(
                    "the answer is a JSON list, in place of an object or of server-sent events (`data: …`): {}{endpoint} It \
                     begins with: {}",
                    self.question(),
                    shown(text)
                )
            }
            [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => {
                "the answer is text in UTF-16, and JSON is UTF-8".to_owned()
            }
            other if is_binary(other) => {
                "the answer is no text: something between the server and here packs it, or the URL names something else"
                    .to_owned()
            }
            _ => return None,
        };
        Some(Failure::new(FailureKind::Malformed, message))
    }

    /// Refuses what is no answer by its head alone: a compressed body, or a page for people.
    ///
    /// # Errors
    /// When it is one of these.
    pub fn refuse_what_cannot_be_read(self, headers: &HeaderMap) -> Result<(), Failure> {
        if kind_is(headers, "text/html") {
            return Err(self.web_page(b""));
        }
        let Some(coding) = headers.get(header::CONTENT_ENCODING) else { return Ok(()) };
        let coding = String::from_utf8_lossy(coding.as_bytes());
        if !coding.split(',').any(is_compression) {
            return Ok(());
        }
        let message = format!(
            "the server compressed its answer ({coding}) although `accept-encoding: identity` was sent: \
             compression holds tokens back, switch it off in the server or the proxy before it"
        );
        Err(Failure::new(FailureKind::Malformed, message))
    }
}

/// The beginning of an answer.
pub fn shown(text: &[u8]) -> String {
    let text = text.trim_ascii();
    String::from_utf8_lossy(&text[..text.len().min(SHOWN)]).into_owned()
}

/// What a page calls itself.
fn title_of(page: &[u8]) -> Option<String> {
    let page = String::from_utf8_lossy(page);
    let lower = page.to_ascii_lowercase();
    let open = lower.find("<title")?;
    let from = open + lower[open..].find('>')? + 1;
    let title = &page[from..from + lower[from..].find('<')?];
    let title = shown(title.as_bytes());
    (!title.is_empty()).then_some(title)
}

/// Whether one JSON object has ended and something follows, which begins at that byte.
pub fn end_of_first(document: &[u8]) -> Option<usize> {
    let mut values = serde_json::Deserializer::from_slice(document).into_iter::<IgnoredAny>();
    let is_whole = values.next().is_some_and(|first| first.is_ok());
    let at = values.byte_offset();
    (is_whole && !document[at..].trim_ascii().is_empty()).then_some(at)
}

fn compressed(coding: &str) -> String {
    format!(
        "the answer is compressed ({coding}) although `accept-encoding: identity` was sent, and no `content-encoding` says so: \
         compression holds tokens back, switch it off in the server or the proxy before it"
    )
}

/// Whether a text begins with bytes that no text has.
fn is_binary(text: &[u8]) -> bool {
    text.iter().take(16).any(|byte| matches!(byte, 0..=8 | 0x0e..=0x1a | 0x1c..=0x1f))
}

/// Whether a coding packs a body. Others are said of bodies as they are: `identity`, `none` (against compression on the way), `utf-8`.
fn is_compression(coding: &str) -> bool {
    const KNOWN: [&str; 8] =
        ["gzip", "x-gzip", "deflate", "compress", "x-compress", "br", "zstd", "aws-chunked"];
    KNOWN.iter().any(|known| coding.trim().eq_ignore_ascii_case(known))
}

fn kind_is(headers: &HeaderMap, name: &str) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).map(|kind| kind.as_bytes().to_ascii_lowercase());
    kind.is_some_and(|kind| kind.starts_with(name.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_an_answer_is_named_by_how_it_begins() {
        for (body, named) in [
            (b"\x1f\x8b\x08\x00".as_slice(), "gzip"),
            (b"\x28\xb5\x2f\xfd\x04", "zstd"),
            (b"\x78\x9c\xab\x56", "deflate"),
            (b"[{\"generated_text\":\" a\"}]", "JSON list"),
            (b"\xff\xfe{\x00", "UTF-16"),
            (b"\x00\x00\x00\x00\x05hello", "no text"),
            (b"<HTML><head><TITLE lang=\"en\"> Sign in </title>", "\"Sign in\""),
            (b" \r\n", "empty"),
            (b"upstream is gone", "upstream is gone"),
        ] {
            let failure = Api::OpenAi.no_event(body);
            assert!(failure.message.contains(named), "{}", failure.message);
        }
        assert_eq!(Api::OpenAi.no_event(b"").kind, FailureKind::Empty);
    }

    #[test]
    fn what_to_look_at_depends_on_the_api_that_was_asked() {
        let page = |api: Api| api.no_event(b"<html>").message;
        assert!(page(Api::OpenAi).contains("/v1"), "{}", page(Api::OpenAi));
        assert!(page(Api::Generate).contains("8000"), "{}", page(Api::Generate));
    }

    #[test]
    fn a_second_object_behind_the_first_is_seen_before_the_end() {
        assert_eq!(end_of_first(b"{\"a\":1}\n{\"a\":"), Some(7));
        for whole_or_less in ["{\"a\":1}\n", "{\"a\":{\"b\":1}", ""] {
            assert_eq!(end_of_first(whole_or_less.as_bytes()), None, "{whole_or_less}");
        }
    }
}
