//! HOT PATH. JSON pull scanner: one pass from front to back, nothing allocated.
//!
//! The caller visits the members of an object or the elements of an array, and reads or skips each. The scanner checks
//! the grammar of everything that it passes, except the exact form of numbers.

/// Deepest nesting that is followed.
const MAX_DEPTH: u8 = 64;

/// Not JSON, and the byte where that showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadJson {
    /// Offset from the start of the text.
    pub at: usize,
}

/// A position in a JSON text.
#[derive(Debug)]
pub struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
    depth: u8,
}

/// What kind of value comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `{…}`
    Object,
    /// `[…]`
    Array,
    /// `"…"`
    Text,
    /// A number, or what Python writes where there is none: `NaN`, `Infinity`, `-Infinity`.
    Number,
    /// `true` or `false`.
    Bool,
    /// `null`
    Null,
}

/// A string as it stands between its quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawText<'a> {
    /// Without the quotes, escapes as they are.
    pub raw: &'a [u8],
    has_escapes: bool,
}

impl<'a> Scanner<'a> {
    /// At the start of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, depth: 0 }
    }

    fn bad<T>(&self) -> Result<T, BadJson> {
        Err(BadJson { at: self.at })
    }

    #[inline]
    fn peek(&mut self) -> Option<u8> {
        loop {
            match self.bytes.get(self.at) {
                Some(b' ' | b'\n' | b'\r' | b'\t') => self.at += 1,
                other => return other.copied(),
            }
        }
    }

    #[inline]
    fn expect(&mut self, byte: u8) -> Result<(), BadJson> {
        if self.peek() != Some(byte) {
            return self.bad();
        }
        self.at += 1;
        Ok(())
    }

    /// What comes next, without taking it.
    ///
    /// # Errors
    /// When no value begins here.
    #[inline]
    pub fn kind(&mut self) -> Result<Kind, BadJson> {
        match self.peek() {
            Some(b'{') => Ok(Kind::Object),
            Some(b'[') => Ok(Kind::Array),
            Some(b'"') => Ok(Kind::Text),
            Some(b't' | b'f') => Ok(Kind::Bool),
            Some(b'n') => Ok(Kind::Null),
            // `NaN` and `Infinity` are no JSON, and servers in Python write them.
            Some(b'-' | b'0'..=b'9' | b'N' | b'I') => Ok(Kind::Number),
            _ => self.bad(),
        }
    }

    /// Takes an object; `member` must take or skip each value.
    ///
    /// # Errors
    /// When this is no object, or `member` fails.
    #[inline]
    pub fn object(
        &mut self,
        mut member: impl FnMut(&mut Self, &'a [u8]) -> Result<(), BadJson>,
    ) -> Result<(), BadJson> {
        self.nested(b'{', b'}', |scan| {
            let key = scan.text()?;
            scan.expect(b':')?;
            member(scan, key.raw)
        })
    }

    /// Takes an array; `element` must take or skip each value.
    ///
    /// # Errors
    /// When this is no array, or `element` fails.
    #[inline]
    pub fn array(
        &mut self,
        element: impl FnMut(&mut Self) -> Result<(), BadJson>,
    ) -> Result<(), BadJson> {
        self.nested(b'[', b']', element)
    }

    #[inline]
    fn nested(
        &mut self,
        open: u8,
        close: u8,
        mut item: impl FnMut(&mut Self) -> Result<(), BadJson>,
    ) -> Result<(), BadJson> {
        self.expect(open)?;
        if self.depth == MAX_DEPTH {
            return self.bad();
        }
        self.depth += 1;
        if self.peek() == Some(close) {
            self.at += 1;
        } else {
            loop {
                item(self)?;
                match self.peek() {
                    Some(b',') => self.at += 1,
                    Some(byte) if byte == close => {
                        self.at += 1;
                        break;
                    }
                    _ => return self.bad(),
                }
            }
        }
        self.depth -= 1;
        Ok(())
    }

    /// Takes a string.
    ///
    /// # Errors
    /// When this is no string.
    #[inline]
    pub fn text(&mut self) -> Result<RawText<'a>, BadJson> {
        self.expect(b'"')?;
        let start = self.at;
        let mut has_escapes = false;
        loop {
            let Some(found) = memchr::memchr2(b'"', b'\\', &self.bytes[self.at..]) else {
                self.at = self.bytes.len();
                return self.bad();
            };
            self.at += found + 1;
            if self.bytes[self.at - 1] == b'"' {
                let raw = &self.bytes[start..self.at - 1];
                return Ok(RawText { raw, has_escapes });
            }
            has_escapes = true;
            self.escape()?;
        }
    }

    /// Where the string that was taken last stands, without its quotes; `None` if it has escapes.
    #[inline]
    pub fn place_of(&self, text: RawText<'a>) -> Option<std::ops::Range<usize>> {
        let end = self.at - 1;
        (!text.has_escapes).then(|| end - text.raw.len()..end)
    }

    /// Passes what follows a backslash.
    fn escape(&mut self) -> Result<(), BadJson> {
        let length = match self.bytes.get(self.at) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => 1,
            Some(b'u') => 5,
            _ => return self.bad(),
        };
        let Some(escape) = self.bytes.get(self.at..self.at + length) else { return self.bad() };
        if !escape[1..].iter().all(u8::is_ascii_hexdigit) {
            return self.bad();
        }
        self.at += length;
        Ok(())
    }

    #[inline]
    fn number_text(&mut self) -> Result<&'a str, BadJson> {
        self.peek();
        let rest = &self.bytes[self.at..];
        for word in ["NaN", "Infinity", "-Infinity"] {
            if rest.starts_with(word.as_bytes()) {
                self.at += word.len();
                return Ok(word);
            }
        }
        let end = rest
            .iter()
            .position(|b| !matches!(b, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E'))
            .unwrap_or(rest.len());
        let number = &rest[..end];
        if !number.iter().any(u8::is_ascii_digit) {
            return self.bad();
        }
        self.at += end;
        std::str::from_utf8(number).map_err(|_| BadJson { at: self.at })
    }

    /// Takes a number; `None` where it is no whole number that fits.
    ///
    /// # Errors
    /// When this is no number.
    #[inline]
    pub fn whole_number(&mut self) -> Result<Option<i64>, BadJson> {
        let number = self.number_text()?;
        Ok(number.parse().ok().or_else(|| {
            let float: f64 = number.parse().ok()?;
            (float.fract() == 0.0 && float.abs() < 9e15).then_some(float as i64)
        }))
    }

    fn word(&mut self) -> Result<(), BadJson> {
        for word in [b"null".as_slice(), b"true", b"false"] {
            if self.bytes[self.at..].starts_with(word) {
                self.at += word.len();
                return Ok(());
            }
        }
        self.bad()
    }

    /// Passes one value of any kind.
    ///
    /// # Errors
    /// When none is here.
    pub fn skip(&mut self) -> Result<(), BadJson> {
        match self.kind()? {
            Kind::Object => self.object(|scan, _| scan.skip()),
            Kind::Array => self.array(Self::skip),
            Kind::Text => self.text().map(drop),
            Kind::Number => self.number_text().map(drop),
            Kind::Bool | Kind::Null => self.word(),
        }
    }

    /// Passes one value; whether it means something: not `null`, `""`, `{}`, `[]`, `false` or a number that is 0, nor an object
    /// of such members alone, as gateways send it with every answer.
    ///
    /// # Errors
    /// When none is here.
    pub fn skip_and_judge(&mut self) -> Result<bool, BadJson> {
        let mut is_empty = true;
        match self.kind()? {
            Kind::Object => self.object(|scan, _| {
                is_empty &= !scan.skip_and_judge()?;
                Ok(())
            })?,
            Kind::Array => self.array(|scan| {
                is_empty = false;
                scan.skip()
            })?,
            Kind::Text => is_empty = self.text()?.raw.is_empty(),
            Kind::Number => is_empty = self.number_text()?.parse() == Ok(0.0),
            Kind::Bool | Kind::Null => {
                is_empty = self.peek() != Some(b't');
                self.word()?;
            }
        }
        Ok(!is_empty)
    }

    /// Checks that nothing but white space is left.
    ///
    /// # Errors
    /// When something is.
    pub fn end(&mut self) -> Result<(), BadJson> {
        if self.peek().is_some() { self.bad() } else { Ok(()) }
    }
}

impl RawText<'_> {
    /// Appends the string without its escapes. Half of a surrogate pair becomes U+FFFD.
    #[inline]
    pub fn append_to(self, out: &mut Vec<u8>) {
        if self.has_escapes {
            self.append_unescaped_to(out);
        } else {
            out.extend_from_slice(self.raw);
        }
    }

    fn append_unescaped_to(self, out: &mut Vec<u8>) {
        let mut rest = self.raw;
        while let Some(found) = memchr::memchr(b'\\', rest) {
            out.extend_from_slice(&rest[..found]);
            rest = &rest[found + 1..];
            let (character, taken) = match rest.first() {
                Some(b'b') => ('\u{8}', 1),
                Some(b'f') => ('\u{c}', 1),
                Some(b'n') => ('\n', 1),
                Some(b'r') => ('\r', 1),
                Some(b't') => ('\t', 1),
                Some(b'u') => unescape_unicode(rest),
                Some(&other) => (char::from(other), 1),
                None => break,
            };
            out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            rest = &rest[taken..];
        }
        out.extend_from_slice(rest);
    }
}

/// `rest` begins with a `u` and four hexadecimal digits, which the scanner has checked.
fn unescape_unicode(rest: &[u8]) -> (char, usize) {
    let unit = |at: usize| {
        let digits = std::str::from_utf8(rest.get(at..at + 4)?).ok()?;
        u32::from_str_radix(digits, 16).ok()
    };
    let first = unit(1).unwrap_or(0xFFFD);
    if (0xD800..0xDC00).contains(&first)
        && rest.get(5..7) == Some(b"\\u")
        && let Some(second @ 0xDC00..0xE000) = unit(7)
    {
        let code = 0x1_0000 + ((first - 0xD800) << 10) + (second - 0xDC00);
        return (char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER), 11);
    }
    (char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER), 5)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{Rng, SeedableRng};
    use serde_json::Value;

    fn accepts(text: &str) -> bool {
        let mut scan = Scanner::new(text.as_bytes());
        scan.skip().and_then(|()| scan.end()).is_ok()
    }

    fn unescaped(text: &str) -> String {
        let mut out = Vec::new();
        Scanner::new(text.as_bytes()).text().unwrap().append_to(&mut out);
        String::from_utf8(out).unwrap()
    }

    fn random_value(random: &mut impl Rng, depth: u8) -> Value {
        match random.random_range(0..if depth == 0 { 4 } else { 6 }) {
            0 => Value::Null,
            1 => Value::Bool(random.random()),
            2 => serde_json::json!(random.random_range(-1e9..1e9)),
            3 => Value::String(
                (0..random.random_range(0..9)).map(|_| random.random::<char>()).collect(),
            ),
            4 => (0..random.random_range(0..4)).map(|_| random_value(random, depth - 1)).collect(),
            _ => Value::Object(
                (0..random.random_range(0..4))
                    .map(|i| (format!("k{i}\"\\"), random_value(random, depth - 1)))
                    .collect(),
            ),
        }
    }

    #[test]
    fn whatever_serde_json_writes_is_accepted_and_no_half_of_it_is() {
        let mut random = rand_xoshiro::Xoshiro256PlusPlus::seed_from_u64(5);
        for _ in 0..500 {
            let text = serde_json::json!({ "v": random_value(&mut random, 3) }).to_string();
            assert!(accepts(&text), "{text}");
            let cut = text.floor_char_boundary(random.random_range(0..text.len()));
            assert!(!accepts(&text[..cut]), "{}", &text[..cut]);
        }
    }

    #[test]
    fn strings_come_out_as_serde_json_reads_them() {
        let mut random = rand_xoshiro::Xoshiro256PlusPlus::seed_from_u64(6);
        for _ in 0..500 {
            let length = random.random_range(0..20);
            let text: String = (0..length)
                .map(|_| {
                    if random.random() {
                        random.random_range('\0'..'\u{80}')
                    } else {
                        random.random()
                    }
                })
                .collect();
            assert_eq!(unescaped(&serde_json::to_string(&text).unwrap()), text);
        }
        assert_eq!(
            unescaped(r#""\ud83d\ude00 \u00e9 \/ \ud83d x""#),
            "\u{1f600} \u{e9} / \u{fffd} x"
        );
    }

    #[test]
    fn numbers_that_are_none_in_python_are_passed() {
        for text in ["[NaN,-Infinity, Infinity ]", r#"{"a":NaN,"b":1}"#] {
            assert!(accepts(text), "{text}");
        }
        for text in ["[Nan]", "[-NaN]", "[NaN1]", "[Inf]"] {
            assert!(!accepts(text), "{text}");
        }
        assert_eq!(Scanner::new(b"NaN").whole_number(), Ok(None));
    }

    #[test]
    fn a_value_means_nothing_where_python_says_so() {
        let judged = |text: &str| Scanner::new(text.as_bytes()).skip_and_judge().unwrap();
        for text in [
            "null",
            "\"\"",
            "{}",
            "[ ]",
            "false",
            "0",
            "0.0",
            "-0",
            "{\"a\":null,\"b\":{\"c\":\"\"}}",
        ] {
            assert!(!judged(text), "{text}");
        }
        for text in ["true", "\" \"", "{\"a\":null,\"b\":1}", "[0]", "1", "NaN", "0.5"] {
            assert!(judged(text), "{text}");
        }
    }

    #[test]
    fn what_is_no_json_is_refused() {
        for text in [
            "",
            "{",
            "}",
            "[1,]",
            "{\"a\"}",
            "{\"a\":}",
            "nul",
            "\"\\x\"",
            "\"\\u12g4\"",
            "1 2",
            "{a:1}",
        ] {
            assert!(!accepts(text), "{text}");
        }
        assert!(!accepts(&"[".repeat(1_000)));
    }
}
