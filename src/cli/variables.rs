//! Variables of the environment in settings files: `${VAR}` and `${VAR:-default}`; `$${` is `${` itself.

/// Why a variable cannot be put in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VariableError {
    /// It is not set and has no default.
    #[error(
        "line {line}: the variable `{name}` is not set: set it, or write `${{{name}:-default}}`"
    )]
    Unset {
        /// Where.
        line: usize,
        /// Which.
        name: String,
    },
    /// No closing brace, or no name.
    #[error(
        "line {line}: `{text}` is no variable: write `${{NAME}}` or `${{NAME:-default}}`, or `$${{` for the characters"
    )]
    Malformed {
        /// Where.
        line: usize,
        /// As it is written.
        text: String,
    },
    /// Its value would end the text around it.
    #[error(
        "line {line}: the value of `{name}` has a quote, a backslash or a line break, which a settings file cannot take"
    )]
    Unquotable {
        /// Where.
        line: usize,
        /// Which.
        name: String,
    },
}

/// Puts variables into a file, comments left out.
///
/// # Errors
/// With the line and the variable.
pub fn expand(
    text: &str,
    value_of: impl Fn(&str) -> Option<String>,
) -> Result<String, VariableError> {
    let mut expanded = String::with_capacity(text.len());
    for (index, line) in text.split_inclusive('\n').enumerate() {
        let (code, comment) = line.split_at(comment_start(line));
        expand_line(index + 1, code, &value_of, &mut expanded)?;
        expanded.push_str(comment);
    }
    Ok(expanded)
}

/// The opposite, for a file whose values are as they are.
pub fn escape(text: &str) -> String {
    text.replace("${", "$${")
}

/// Where the comment of a line begins: at a `#` outside quotes.
fn comment_start(line: &str) -> usize {
    let mut quote = None;
    let mut escaped = false;
    for (at, c) in line.char_indices() {
        match (quote, c) {
            (Some('"'), '\\') if !escaped => {
                escaped = true;
                continue;
            }
            (Some(open), c) if c == open && !escaped => quote = None,
            (None, '"' | '\'') => quote = Some(c),
            (None, '#') => return at,
            _ => {}
        }
        escaped = false;
    }
    line.len()
}

fn expand_line(
    line: usize,
    code: &str,
    value_of: &impl Fn(&str) -> Option<String>,
    expanded: &mut String,
) -> Result<(), VariableError> {
    let mut rest = code;
    while let Some(at) = rest.find("${") {
        if let Some(before) = rest[..at].strip_suffix('$') {
            expanded.push_str(before);
            expanded.push_str("${");
            rest = &rest[at + 2..];
            continue;
        }
        expanded.push_str(&rest[..at]);
        let inside = &rest[at + 2..];
        let malformed =
            || VariableError::Malformed { line, text: rest[at..].trim_end().to_owned() };
        let end = inside.find('}').ok_or_else(malformed)?;
        let (name, default) = match inside[..end].split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (&inside[..end], None),
        };
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if name.is_empty() || !name.chars().all(is_name) {
            return Err(malformed());
        }
        let set = value_of(name).filter(|value| !value.is_empty() || default.is_none());
        if set.as_ref().is_some_and(|value| value.contains(['"', '\'', '\\', '\n', '\r'])) {
            return Err(VariableError::Unquotable { line, name: name.to_owned() });
        }
        match (set, default) {
            (Some(value), _) => expanded.push_str(&value),
            (None, Some(default)) => expanded.push_str(default),
            (None, None) => return Err(VariableError::Unset { line, name: name.to_owned() }),
        }
        rest = &inside[end + 1..];
    }
    expanded.push_str(rest);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(text: &str) -> Result<String, VariableError> {
        expand(text, |name| match name {
            "HOST" => Some("node7".to_owned()),
            "EMPTY" => Some(String::new()),
            "BAD" => Some("a\"b".to_owned()),
            _ => None,
        })
    }

    #[test]
    fn a_variable_is_its_value_or_its_default() {
        for (text, meant) in [
            ("target = \"openai:http://${HOST}:8000\"", "target = \"openai:http://node7:8000\""),
            ("seed = ${SEED:-7}", "seed = 7"),
            ("out = \"${EMPTY:-runs}\"", "out = \"runs\""),
            ("out = \"${HOST:-runs}\" # ${UNSET}", "out = \"node7\" # ${UNSET}"),
            ("between = \"echo $${PWD} # ${HOST}\"", "between = \"echo ${PWD} # node7\""),
            ("a = 1\nb = ${X:-2}\n", "a = 1\nb = 2\n"),
        ] {
            assert_eq!(put(text).as_deref(), Ok(meant));
        }
    }

    #[test]
    fn what_cannot_be_put_in_is_named_with_its_line() {
        for (text, said) in [
            ("a = 1\nseed = ${SEED}", "line 2: the variable `SEED` is not set"),
            ("a = \"${HOST\"", "line 1: `${HOST"),
            ("a = \"${}\"", "is no variable"),
            ("a = \"${BAD}\"", "a quote"),
        ] {
            let error = put(text).expect_err(text).to_string();
            assert!(error.contains(said), "{error}");
        }
    }

    #[test]
    fn what_is_escaped_is_read_as_it_was() {
        let text = "between = \"echo ${PWD}\"";
        assert_eq!(put(&escape(text)).as_deref(), Ok(text));
    }
}
