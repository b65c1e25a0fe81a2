//! Elements of a JSON array, cut out of a stream one at a time with the line where each begins.

use std::io::{self, BufRead, Read as _};

/// Longest element that is kept: a broken file may never end one.
pub(super) const LONGEST: usize = 64 << 20;

/// Where a JSON file has its records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// In the array that the file is, or in the one under a name of the object that it is.
    Array,
    /// A value on each line.
    Lines,
}

/// Why the elements of a file end before their end.
#[derive(Debug)]
pub(super) enum CutError {
    /// The file cannot be read.
    Read(io::Error),
    /// It is no such JSON.
    Form(u64, String),
}

/// Whether a file that begins with an object may have one on each line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lines {
    /// It is one object.
    Never,
    /// Its first line tells.
    Possible,
    /// Its name says so, unless its first line holds the list as a whole.
    Named,
}

/// Cuts values out of a stream of JSON.
pub(super) struct Elements {
    bytes: Box<dyn BufRead>,
    line: u64,
    first: bool,
}

impl Elements {
    /// # Errors
    /// When the file cannot be read, or begins with no JSON.
    pub(super) fn new(
        bytes: Box<dyn BufRead>,
        members: &[&str],
        lines: Lines,
    ) -> Result<(Place, Self), CutError> {
        let mut it = Self { bytes, line: 1, first: true };
        let place = match it.peek_past_space()? {
            Some(b'[') => {
                it.take()?;
                Place::Array
            }
            Some(b'{') if !members.is_empty() => {
                if lines != Lines::Never && it.begins_lines(members, lines)? {
                    Place::Lines
                } else {
                    it.enter_member(members)?;
                    Place::Array
                }
            }
            _ => Place::Lines,
        };
        Ok((place, it))
    }

    /// The bytes from here on, and the line that they begin on.
    pub(super) fn into_lines(self) -> (Box<dyn BufRead>, u64) {
        (self.bytes, self.line)
    }

    /// The next element and its line; `None` after the last.
    pub(super) fn next(&mut self) -> Result<Option<(u64, Vec<u8>)>, CutError> {
        match self.peek_past_space()? {
            Some(b']') => return Ok(None),
            Some(b',') if !self.first => {
                self.take()?;
                self.peek_past_space()?;
            }
            Some(_) if self.first => {}
            Some(_) => return Err(self.bad("a comma between two entries is missing")),
            None => return Err(self.bad("the file ends within its list")),
        }
        self.first = false;
        let line = self.line;
        Ok(Some((line, self.value()?)))
    }

    /// Whether the file is one of lines: its first line is an object by itself that has none of these lists, or is broken as no
    /// part of a larger object is. Where the line may be the beginning of a larger object, the name of the file tells.
    fn begins_lines(&mut self, members: &[&str], lines: Lines) -> Result<bool, CutError> {
        let mut line = Vec::new();
        let mut bytes = std::mem::replace(&mut self.bytes, Box::new(io::empty()));
        (&mut bytes).take(LONGEST as u64).read_until(b'\n', &mut line).map_err(CutError::Read)?;
        let object = serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(&line);
        let has_list = |object: &serde_json::Map<String, serde_json::Value>| {
            members.iter().any(|name| object.get(*name).is_some_and(serde_json::Value::is_array))
        };
        let are_lines = match object {
            Ok(object) => !has_list(&object),
            Err(error) if error.is_eof() => lines == Lines::Named,
            Err(_) => true,
        };
        self.bytes = Box::new(io::Cursor::new(line).chain(bytes));
        Ok(are_lines)
    }

    fn bad(&self, why: &str) -> CutError {
        CutError::Form(self.line, why.to_owned())
    }

    fn peek(&mut self) -> Result<Option<u8>, CutError> {
        Ok(self.bytes.fill_buf().map_err(CutError::Read)?.first().copied())
    }

    fn take(&mut self) -> Result<Option<u8>, CutError> {
        let byte = self.peek()?;
        if let Some(byte) = byte {
            self.bytes.consume(1);
            self.line += u64::from(byte == b'\n');
        }
        Ok(byte)
    }

    fn peek_past_space(&mut self) -> Result<Option<u8>, CutError> {
        loop {
            match self.peek()? {
                Some(b' ' | b'\t' | b'\r' | b'\n') => self.take()?,
                other => return Ok(other),
            };
        }
    }

    /// Goes through the members of an object until one of these names has an array, and into that.
    fn enter_member(&mut self, members: &[&str]) -> Result<(), CutError> {
        self.take()?;
        loop {
            let name = match self.peek_past_space()? {
                Some(b',') => {
                    self.take()?;
                    continue;
                }
                Some(b'"') => self.value()?,
                _ => {
                    let why = format!("the object has no list `{}`", members.join("` or `"));
                    return Err(self.bad(&why));
                }
            };
            if self.peek_past_space()? != Some(b':') {
                return Err(self.bad("a name without a value"));
            }
            self.take()?;
            let wanted = members.iter().any(|it| name == format!("\"{it}\"").as_bytes());
            if wanted && self.peek_past_space()? == Some(b'[') {
                self.take()?;
                return Ok(());
            }
            self.peek_past_space()?;
            self.value()?;
        }
    }

    /// One value, by its brackets and quotes; whether it is JSON inside is seen when it is read.
    fn value(&mut self) -> Result<Vec<u8>, CutError> {
        let mut value = Vec::new();
        let (mut depth, mut quoted, mut escaped) = (0_u32, false, false);
        loop {
            let Some(byte) = self.peek()? else {
                return Err(self.bad("the file ends within an entry"));
            };
            let ends = depth == 0 && !quoted && matches!(byte, b',' | b']' | b'}' | b':');
            if ends {
                return Ok(value);
            }
            self.take()?;
            value.push(byte);
            if value.len() > LONGEST {
                return Err(self.bad("an entry is longer than 64 MiB"));
            }
            if quoted {
                quoted = escaped || byte != b'"';
                escaped = !escaped && byte == b'\\';
                continue;
            }
            match byte {
                b'"' => quoted = true,
                b'[' | b'{' => depth += 1,
                b']' | b'}' => depth -= 1,
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(text: &str, members: &[&str]) -> Result<Vec<(u64, String)>, CutError> {
        let bytes: Box<dyn BufRead> = Box::new(io::Cursor::new(text.to_owned().into_bytes()));
        let (place, mut elements) = Elements::new(bytes, members, Lines::Never)?;
        assert_eq!(place, Place::Array);
        let mut all = Vec::new();
        while let Some((line, value)) = elements.next()? {
            all.push((line, String::from_utf8(value).expect("text").trim().to_owned()));
        }
        Ok(all)
    }

    #[test]
    fn elements_have_the_line_that_they_begin_on_whatever_stands_in_their_texts() {
        let all = cut("[\n {\"a\": \"],}\\\"\"},\r\n\n [1,\n2] , 7\n]\n", &[]).expect("an array");
        let lines: Vec<u64> = all.iter().map(|(line, _)| *line).collect();
        assert_eq!(lines, [2, 4, 5]);
        assert_eq!(all[0].1, r#"{"a": "],}\""}"#);
        assert_eq!(all[2].1, "7");
        assert_eq!(cut("[]", &[]).expect("empty"), []);
    }

    #[test]
    fn a_list_within_an_object_is_found_behind_other_members() {
        let text = r#"{"metadata": {"samples": [9]}, "n": 3, "samples": [{"x": 1}, {"x": 2}]}"#;
        assert_eq!(cut(text, &["samples"]).expect("a list").len(), 2);
        let lacking = cut(r#"{"n": 3}"#, &["samples"]).expect_err("no list");
        assert!(matches!(lacking, CutError::Form(1, why) if why.contains("`samples`")));
    }

    #[test]
    fn an_object_on_the_first_line_without_the_list_begins_a_file_of_lines() {
        assert_eq!(place("{\"data\": 1}\n{\"data\": 2}\n", Lines::Possible), Place::Lines);
        assert_eq!(place("\n{\"data\": [1]}", Lines::Possible), Place::Array);
        assert_eq!(place("{\n\"data\": [\n1]}", Lines::Possible), Place::Array);
    }

    fn place(text: &str, lines: Lines) -> Place {
        let bytes: Box<dyn BufRead> = Box::new(io::Cursor::new(text.to_owned().into_bytes()));
        Elements::new(bytes, &["data"], lines).map(|(place, _)| place).expect("JSON")
    }

    #[test]
    fn a_broken_first_line_is_a_line_where_no_larger_object_begins_so_or_the_name_says_lines() {
        // A text that is cut off, a word that is none, something behind the object.
        for broken in ["{\"prompt\": \"a b\n{}\n", "{\"prompt\": no}\n{}\n", "{} x\n{}\n"] {
            assert_eq!(place(broken, Lines::Possible), Place::Lines, "{broken}");
        }
        let cut_off = "{\"prompt\": \"a\",\n{\"prompt\": \"b\"}\n";
        assert_eq!(place(cut_off, Lines::Named), Place::Lines);
        assert_eq!(place("{\"data\": [1, 2]}", Lines::Named), Place::Array);
    }

    #[test]
    fn a_file_that_is_cut_off_says_where() {
        for text in ["[{\"a\": 1},\n{\"a\"", "[1,\n", "[1\n"] {
            assert!(matches!(cut(text, &[]), Err(CutError::Form(2, _))), "{text}");
        }
    }
}
