//! What can be wrong with a result file of another tool: no JSON, cut short, of no known tool, without numbers, with impossible ones.

use serde_json::Value;

use super::{Number, Side, SideLoad};

const GIVE: &str = "give a JSON file of `vllm bench serve`, aiperf (`profile_export_aiperf.json`), GenAI-Perf (`profile_export_genai_perf.json`) \
     or genai-bench (one of a concurrency)";
/// Beyond this a number is none that a benchmark measures: 30 years in milliseconds, a million million tokens per second.
const MOST: f64 = 1e12;

/// Why a file is no result that can be read.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// It is no JSON.
    #[error("`{0}` is no JSON ({1}): {GIVE}")]
    NoJson(String, #[source] serde_json::Error),
    /// It begins as JSON.
    #[error(
        "`{0}` ends in the middle, in line {1}: it was not written to its end, or copied in part; take the whole file"
    )]
    CutShort(String, usize),
    /// No known tool writes such keys.
    #[error("`{0}` is no result that is known here: {GIVE}")]
    Unknown(String),
    /// Its keys are those of a tool, and nothing stands below them.
    #[error(
        "`{0}` has the shape of {1} and none of its numbers: no request completed, or another version wrote it"
    )]
    Empty(String, String),
    /// A number that nobody can have measured.
    #[error("`{0}` has {2:?} as `{1}`, which no benchmark can measure: the file is damaged")]
    Impossible(String, &'static str, f64),
    /// The same of what says how it was measured.
    #[error(
        "`{0}` names a concurrency, a batch size or a request rate that no load can have: the file is damaged"
    )]
    NoLoad(String),
}

/// The document of a file. `NaN` and `Infinity`, which Python writes and JSON has not, are values that are not there.
///
/// # Errors
/// When it is no JSON.
pub fn parsed(name: &str, text: &str) -> Result<Value, ImportError> {
    let error = match serde_json::from_str(text) {
        Ok(document) => return Ok(document),
        Err(error) => error,
    };
    if let Ok(document) = serde_json::from_str(&without_nan(text)) {
        return Ok(document);
    }
    if error.is_eof() && !text.trim().is_empty() {
        return Err(ImportError::CutShort(name.to_owned(), error.line()));
    }
    Err(ImportError::NoJson(name.to_owned(), error))
}

/// The text with `null` for each `NaN`, `Infinity` and `-Infinity` outside of strings.
fn without_nan(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for (part, is_string) in parts(text) {
        if is_string {
            plain.push_str(part);
        } else {
            let finite = part.replace("-Infinity", "null").replace("Infinity", "null");
            plain.push_str(&finite.replace("NaN", "null"));
        }
    }
    plain
}

/// The text cut where strings begin and end, each part with whether it is a string; quotes belong to it.
fn parts(text: &str) -> Vec<(&str, bool)> {
    let mut parts = Vec::new();
    let (mut from, mut in_string, mut escaped) = (0, false, false);
    for (place, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => {
                let to = if in_string { place + 1 } else { place };
                parts.push((&text[from..to], in_string));
                (from, in_string) = (to, !in_string);
            }
            _ => {}
        }
    }
    parts.push((&text[from..], in_string));
    parts
}

/// Whether somebody can have measured this.
///
/// # Errors
/// Where there is no number at all, or one that is none.
pub fn check(name: &str, side: &Side) -> Result<(), ImportError> {
    let impossible = |what, value| Err(ImportError::Impossible(name.to_owned(), what, value));
    let is_possible = |value: f64| (0.0..=MOST).contains(&value);
    for point in &side.points {
        for number in Number::ALL {
            match point.get(number) {
                Some(value) if !is_possible(value) => return impossible(number.label(), value),
                _ => {}
            }
        }
        if point.values.iter().all(Option::is_none) {
            let tool = side.measured_by.clone().unwrap_or_else(|| side.title.clone());
            return Err(ImportError::Empty(name.to_owned(), tool));
        }
        if let Some((_, attempted)) = point.requests
            && !is_possible(attempted as f64)
        {
            return impossible("requests", attempted as f64);
        }
        // Numbers below 0 and beyond all bounds have become the least and the most that there are.
        let is_count = |count: u32| count > 0 && count < u32::MAX;
        let has_load = match point.load {
            SideLoad::Concurrency(concurrency) => is_count(concurrency),
            SideLoad::BatchSize { size, concurrency } => is_count(size) && is_count(concurrency),
            SideLoad::Rate(rate) => rate > 0.0 && is_possible(rate),
            SideLoad::Unbounded => true,
        };
        if !has_load {
            return Err(ImportError::NoLoad(name.to_owned()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_python_writes_for_no_number_is_no_number_and_the_same_letters_in_text_stay() {
        let text = r#"{"a": NaN, "b": [-Infinity, Infinity, 1], "NaN \" NaN": "Infinity"}"#;
        let document = parsed("x.json", text).expect("JSON");
        assert_eq!(document, json!({"a": null, "b": [null, null, 1], "NaN \" NaN": "Infinity"}));
    }

    #[test]
    fn a_file_that_was_cut_short_is_told_from_one_that_is_none() {
        let said = |text| parsed("x.json", text).expect_err("none").to_string();
        assert!(said("{\"a\": 1,\n\"b\"").contains("ends in the middle, in line 2"));
        for text in ["", "Metric,avg\n", "{\"a\": 1e999}", "{\"a\": 1}\n{\"a\": 2}\n"] {
            assert!(said(text).contains("no JSON") && said(text).contains("aiperf"), "{text}");
        }
    }
}
