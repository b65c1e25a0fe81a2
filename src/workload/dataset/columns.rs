//! Columns of a record: by name, with the reason where one is missing or no number.

use serde_json::Value;

/// Names of columns that were typed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Columns {
    pub(super) prompt: Option<String>,
    pub(super) output: Option<String>,
    pub(super) image: Option<String>,
}

/// Names of a record that a message shows.
const MOST_NAMES: usize = 12;

fn member<'a>(record: &'a Value, name: &str) -> Result<Option<&'a Value>, String> {
    match record {
        Value::Object(members) => Ok(members.get(name).filter(|value| !value.is_null())),
        _ => Err("it is no JSON object".to_owned()),
    }
}

/// The first of these columns that the record has.
pub(super) fn first<'a>(record: &'a Value, names: &[&str]) -> Result<Option<&'a Value>, String> {
    for name in names {
        if let Some(value) = member(record, name)? {
            return Ok(Some(value));
        }
    }
    Ok(None)
}

/// A column that must be there.
pub(super) fn needed<'a>(record: &'a Value, names: &[&str]) -> Result<&'a Value, String> {
    let missing = || format!("`{}` is missing{}", names.join("` or `"), what_is_there(record));
    first(record, names)?.ok_or_else(missing)
}

/// Names that a record has instead, so that a misspelt one is seen.
fn what_is_there(record: &Value) -> String {
    let Value::Object(members) = record else { return String::new() };
    let names: Vec<&str> = members.keys().map(String::as_str).take(MOST_NAMES).collect();
    let more = if members.len() > names.len() { " and more" } else { "" };
    if names.is_empty() {
        ", and nothing else is there".to_owned()
    } else {
        format!(", and there is `{}`{more}", names.join("`, `"))
    }
}

/// A text that must be there.
pub(super) fn text(record: &Value, names: &[&str]) -> Result<String, String> {
    let value = needed(record, names)?;
    value
        .as_str()
        .map(str::to_owned)
        .ok_or_else(|| format!("`{}` is no text", names.join("` or `")))
}

/// Number of tokens: a whole number, as a number or in a table as text.
pub(super) fn count(value: &Value, name: &str) -> Result<u32, String> {
    let number = match value {
        Value::String(text) => text.trim().parse::<f64>().ok(),
        other => other.as_f64(),
    };
    number
        .filter(|it| it.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(it))
        .map(|it| it as u32)
        .ok_or_else(|| format!("`{name}` is {value}, and no number of tokens"))
}

/// A number that must be there.
pub(super) fn needed_count(record: &Value, names: &[&str]) -> Result<u32, String> {
    count(needed(record, names)?, names[0])
}

/// Token ids: a list of whole numbers.
pub(super) fn ids(value: &Value, name: &str) -> Result<Vec<u32>, String> {
    let id = |value: &Value| value.as_u64().and_then(|id| u32::try_from(id).ok());
    value
        .as_array()
        .and_then(|ids| ids.iter().map(id).collect())
        .ok_or_else(|| format!("`{name}` is no list of token ids"))
}

/// Seconds that must be there.
pub(super) fn seconds(record: &Value, names: &[&str]) -> Result<f64, String> {
    let value = needed(record, names)?;
    let number = match value {
        Value::String(text) => text.trim().parse::<f64>().ok(),
        other => other.as_f64(),
    };
    number
        .filter(|it| it.is_finite())
        .ok_or_else(|| format!("`{}` is {value}, and no time", names[0]))
}
