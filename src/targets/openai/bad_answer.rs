//! Failures of answers that cannot be understood, in the server's own words as far as there are any.

use serde::de::IgnoredAny;

use crate::request::{Failure, FailureKind};

/// Longest part of an answer that is shown.
pub const SHOWN: usize = 200;

/// Objects came, of another API.
pub const NOT_OPENAI: &str =
    "the answer has no `choices`, which an OpenAI API answers with (its URL often ends in /v1)";
/// An answer without output.
pub const NOTHING_CAME: &str = "the answer ended and held no token";

/// The beginning of an answer.
pub fn shown(text: &[u8]) -> String {
    let text = text.trim_ascii();
    String::from_utf8_lossy(&text[..text.len().min(SHOWN)]).into_owned()
}

/// A page for people came, which begins so.
#[cold]
pub fn web_page(begin: &[u8]) -> Failure {
    let called = title_of(begin).map_or_else(String::new, |title| format!(" (\"{title}\")"));
    let message = format!(
        "the answer is a web page{called}: does the URL name the API of the server (often …/v1), or does a login or a proxy \
         answer in its place?"
    );
    Failure::new(FailureKind::Malformed, message)
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

/// The finish reason stands for a failure.
#[cold]
pub fn given_up(json: &[u8]) -> Failure {
    let message = format!("the finish_reason says that the server gave up: {}", shown(json));
    Failure::new(FailureKind::Engine, message)
}

/// What came is no JSON object, from this byte on.
#[cold]
pub fn not_json(text: &[u8], at: usize) -> Failure {
    if let Some(known) = known_by_its_beginning(text) {
        return known;
    }
    let follows = at > 0 && text[at..].trim_ascii_start().starts_with(b"{");
    let what = if follows {
        "several JSON objects in a row, in place of one or of server-sent events (`data: …`); another API of the server writes \
         so: is the URL that of its OpenAI API (often …/v1)?"
    } else {
        "no JSON object"
    };
    Failure::new(FailureKind::Malformed, format!("{what} (byte {at}): {}", shown(text)))
}

/// Whether one JSON object has ended and something follows, which begins at that byte.
pub fn end_of_first(document: &[u8]) -> Option<usize> {
    let mut values = serde_json::Deserializer::from_slice(document).into_iter::<IgnoredAny>();
    let is_whole = values.next().is_some_and(|first| first.is_ok());
    let at = values.byte_offset();
    (is_whole && !document[at..].trim_ascii().is_empty()).then_some(at)
}

/// A body ended that holds no server-sent event and begins so.
#[cold]
pub fn no_event(begin: &[u8]) -> Failure {
    if begin.trim_ascii().is_empty() {
        let message =
            "the body of the answer is empty: does a proxy or filter before the server swallow it?";
        return Failure::new(FailureKind::Empty, message);
    }
    known_by_its_beginning(begin).unwrap_or_else(|| {
        let message = format!(
            "the answer is neither a JSON object nor server-sent events (`data: …`); is the URL that of an OpenAI API (often \
             …/v1)? It begins with: {}",
            shown(begin)
        );
        Failure::new(FailureKind::Malformed, message)
    })
}

/// What cannot be an answer, and shows what it is by how it begins.
pub fn known_by_its_beginning(text: &[u8]) -> Option<Failure> {
    let message = match text.trim_ascii_start() {
        [0x1f, 0x8b, ..] => compressed("gzip"),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => compressed("zstd"),
        [0x78, 0x01 | 0x9c | 0xda, ..] => compressed("deflate"),
        [b'<', ..] => return Some(web_page(text)),
        [b'[', ..] => format!(
            "the answer is a JSON list, in place of an object or of server-sent events (`data: …`); is the URL that of an OpenAI \
             API (often …/v1), and `--endpoint` the one that it has? It begins with: {}",
            shown(text)
        ),
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => "the answer is text in UTF-16, and JSON is UTF-8".to_owned(),
        other if is_binary(other) => "the answer is no text: something between the server and here packs it, or the URL names \
             something else"
            .to_owned(),
        _ => return None,
    };
    Some(Failure::new(FailureKind::Malformed, message))
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

/// Fewer vectors or scores than texts.
#[cold]
pub fn short_of(items: u32, expected: u32) -> Failure {
    let message = format!("the answer holds {items} vectors or scores for {expected} texts");
    let kind = if items == 0 { FailureKind::Empty } else { FailureKind::Malformed };
    Failure::new(kind, message)
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
            let failure = no_event(body);
            assert!(failure.message.contains(named), "{}", failure.message);
        }
        assert_eq!(no_event(b"").kind, FailureKind::Empty);
    }

    #[test]
    fn a_second_object_behind_the_first_is_seen_before_the_end() {
        assert_eq!(end_of_first(b"{\"a\":1}\n{\"a\":"), Some(7));
        for whole_or_less in ["{\"a\":1}\n", "{\"a\":{\"b\":1}", ""] {
            assert_eq!(end_of_first(whole_or_less.as_bytes()), None, "{whole_or_less}");
        }
    }
}
