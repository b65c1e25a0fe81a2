//! HOT PATH. Bytes of a body that are no part of an answer: what comes before it, ends it, or keeps a connection alive.

/// How a text in UTF-8 may begin.
pub const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// White space, or a part of a byte-order mark.
pub fn is_before_a_body(byte: u8) -> bool {
    byte.is_ascii_whitespace() || BYTE_ORDER_MARK.contains(&byte)
}

/// What some proxies send inside data to keep a connection alive: a comment, white space, `null`.
#[inline]
pub fn is_nothing(data: &[u8]) -> bool {
    match data.first() {
        Some(b'{') => false,
        Some(b':') => true,
        _ => matches!(data.trim_ascii(), b"" | b"null"),
    }
}

/// `[DONE]`, in any case of letters and perhaps as a JSON string.
#[inline]
pub fn is_end_marker(data: &[u8]) -> bool {
    let data = data.trim_ascii();
    let bare = data.strip_prefix(b"\"").and_then(|it| it.strip_suffix(b"\"")).unwrap_or(data);
    bare.eq_ignore_ascii_case(b"[DONE]")
}
