//! Any JSON objects, in an array or one a line, with chosen columns for the prompt and the output's length.

use serde_json::Value;

use crate::workload::dataset::columns::{self, Columns};
use crate::workload::dataset::format::{Format, Given, RawEntry, RawOutput, Shape};

pub(in super::super) struct Json;

/// Names of prompts and of output lengths where none is typed.
const PROMPTS: [&str; 5] = ["prompt", "text", "text_input", "question", "input"];
const OUTPUTS: [&str; 3] = ["output_tokens", "output_length", "max_tokens"];

impl Format for Json {
    fn shape(&self, _: bool) -> Shape {
        Shape::Json(&["data"])
    }

    fn entry(&self, record: &Value, columns: &Columns) -> Result<Option<RawEntry>, String> {
        of_columns(record, columns).map(Some)
    }
}

/// What a record asks by its columns: a prompt as text or as token ids.
pub(super) fn of_columns(record: &Value, columns: &Columns) -> Result<RawEntry, String> {
    let prompt = match &columns.prompt {
        Some(name) => columns::needed(record, &[name])?,
        None => columns::needed(record, &PROMPTS).map_err(|why| {
            if why.contains("missing") {
                format!("{why}: name it with `--prompt-column`")
            } else {
                why
            }
        })?,
    };
    let given = match prompt {
        Value::String(text) => Given::Text(text.clone()),
        ids => Given::Ids(columns::ids(ids, "prompt")?),
    };
    let output = match &columns.output {
        Some(name) => Some(columns::needed(record, &[name])?),
        None => columns::first(record, &OUTPUTS)?,
    };
    let name = columns.output.as_deref().unwrap_or("output_tokens");
    let output = output.map(|value| columns::count(value, name)).transpose()?;
    let images = columns.image.as_deref().map_or(Ok(Vec::new()), |name| images(record, name))?;
    let output = output.map_or(RawOutput::Unknown, RawOutput::Tokens);
    Ok(RawEntry { images, ..RawEntry::new(given, output) })
}

/// One image, or a list of them.
fn images(record: &Value, name: &str) -> Result<Vec<String>, String> {
    let none = || format!("`{name}` is no address or file of an image, and no list of them");
    let one = |value: &Value| {
        // As datasets on Hugging Face hold images.
        let value = value.get("bytes").filter(|it| !it.is_null()).unwrap_or(value);
        value.as_str().filter(|it| !it.is_empty()).map(str::to_owned)
    };
    match columns::needed(record, &[name])? {
        Value::Array(list) if !list.is_empty() => list.iter().map(one).collect::<Option<_>>(),
        value => one(value).map(|image| vec![image]),
    }
    .ok_or_else(none)
}
