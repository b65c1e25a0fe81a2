//! HTML escaping.

/// With every character replaced that could end or begin markup, in text and in quoted attributes.
pub fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            other => safe.push(other),
        }
    }
    safe
}

/// The same for a name such as `sim:explicit,base_us=2000`: where a line is too short, it is broken behind a mark and not in a number.
pub fn name(text: &str) -> String {
    let mut safe = String::new();
    for part in text.split_inclusive([',', '=', ':', '/']) {
        if !safe.is_empty() && !part.starts_with([' ', '/']) {
            safe.push_str("<wbr>");
        }
        safe.push_str(&escape(part));
    }
    safe
}

/// The same for a sentence in which literals stand between backticks.
pub fn prose(sentence: &str) -> String {
    let parts = sentence.split('`').enumerate().map(|(index, part)| match index % 2 {
        0 => escape(part),
        _ => format!("<code>{}</code>", name(part)),
    });
    parts.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_in_text_stays_text() {
        assert_eq!(escape(r#"<a b="c" d='e'>&"#), "&lt;a b=&quot;c&quot; d=&#39;e&#39;&gt;&amp;");
    }

    #[test]
    fn a_name_is_broken_behind_its_marks_and_nowhere_else() {
        assert_eq!(name("sim:a,us=20, <b>"), "sim:<wbr>a,<wbr>us=<wbr>20, &lt;b&gt;");
        assert_eq!(name("openai:http://h"), "openai:<wbr>http://<wbr>h");
    }

    #[test]
    fn literals_in_a_sentence_are_set_as_code_and_stay_harmless() {
        assert_eq!(prose("set `--rate <r>` & go"), "set <code>--rate &lt;r&gt;</code> &amp; go");
    }
}
