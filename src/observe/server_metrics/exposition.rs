//! Prometheus' text format: series with labels and values.

/// One line of the text.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Series<'a> {
    /// Its name.
    pub name: &'a str,
    /// What stands between the braces.
    pub labels: &'a str,
    /// Its value.
    pub value: f64,
}

impl<'a> Series<'a> {
    /// The value of a label.
    pub fn label(&self, name: &str) -> Option<&'a str> {
        let mut rest = self.labels;
        loop {
            let (key, after) = rest.split_once("=\"")?;
            let end = end_of_value(after)?;
            if key.trim_start_matches([',', ' ']) == name {
                return Some(&after[..end]);
            }
            rest = &after[end + 1..];
        }
    }

    /// Name and labels as they were written.
    pub fn key(&self) -> String {
        if self.labels.is_empty() {
            self.name.to_owned()
        } else {
            format!("{}{{{}}}", self.name, self.labels)
        }
    }
}

/// Where a quoted value ends; a quotation mark within it stands behind a backslash.
fn end_of_value(text: &str) -> Option<usize> {
    let mut is_escaped = false;
    text.bytes().position(|byte| {
        let ends = byte == b'"' && !is_escaped;
        is_escaped = byte == b'\\' && !is_escaped;
        ends
    })
}

/// Every series of a text; lines that are none are left out, and so are values that are no number.
pub fn parse(text: &str) -> impl Iterator<Item = Series<'_>> {
    text.lines().filter_map(line)
}

fn line(line: &str) -> Option<Series<'_>> {
    let line = line.trim();
    if line.starts_with('#') {
        return None;
    }
    let name_end = line.find(['{', ' ', '\t'])?;
    let (name, rest) = line.split_at(name_end);
    let (labels, rest) = match rest.strip_prefix('{') {
        None => ("", rest),
        Some(rest) => rest.split_at(labels_end(rest)?),
    };
    // A stamp may follow.
    let value = rest.trim_start_matches('}').split_whitespace().next()?;
    let value: f64 = value.parse().ok()?;
    (!name.is_empty() && value.is_finite()).then_some(Series { name, labels, value })
}

/// Where the labels end; a brace may stand in a value.
fn labels_end(text: &str) -> Option<usize> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    text.bytes().position(|byte| {
        if byte == b'"' && !is_escaped {
            is_quoted = !is_quoted;
        }
        is_escaped = byte == b'\\' && !is_escaped;
        byte == b'}' && !is_quoted
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_has_a_name_labels_and_a_value_whatever_the_labels_hold() {
        let text = "# HELP a x\n# TYPE a gauge\na 1\n\
                    b{model=\"org/m{1}, \\\"q\\\"\",rank=\"0\"} 2.5e3 1712345678\n\
                    c{x=\"1\"}NaN\nd{\n\n e{} 4\n";
        let read: Vec<Series<'_>> = parse(text).collect();
        let short: Vec<(&str, f64)> = read.iter().map(|it| (it.name, it.value)).collect();
        assert_eq!(short, [("a", 1.0), ("b", 2500.0), ("e", 4.0)]);
        assert_eq!(read[1].label("rank"), Some("0"));
        assert_eq!(read[1].label("model"), Some("org/m{1}, \\\"q\\\""));
        assert_eq!(read[1].label("ran"), None);
        assert_eq!((read[0].key(), read[2].key()), ("a".into(), "e".into()));
    }
}
