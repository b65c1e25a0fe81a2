//! Conversion of a workload file into another format, entry by entry.

use std::io::{self, Write};

use serde_json::{Value, json};

use super::DatasetError;
use super::choice::FileWorkload;
use super::choose::Reading;
use super::entries::Tally;
use super::format::{Given, RawEntry, RawOutput};
use super::resolve::Counter;

/// A format that files are converted into.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum ConvertTo {
    /// `prompt` and `output_tokens`, a value a line.
    Jsonl,
    /// `trtllm-bench --dataset`.
    TrtllmBench,
    /// `--input-data` of GenAI-Perf and aiperf.
    GenaiPerf,
    /// Mooncake's trace.
    Mooncake,
    /// Pairs of lengths.
    Lengths,
}

/// Why a file cannot be converted.
#[derive(Debug, thiserror::Error)]
pub enum ConvertError {
    /// It cannot be read.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// The other format has no place for what it holds, or needs what it lacks.
    #[error("line {line}: {what}: convert to {other}")]
    NoPlace {
        /// From 1.
        line: u64,
        /// What is in the way.
        what: &'static str,
        /// What would do.
        other: &'static str,
    },
    /// The new file.
    #[error("the new file cannot be written: {0}")]
    Write(#[from] io::Error),
}

/// Writes every entry in the other format; what was read and left out.
///
/// # Errors
/// When the file cannot be read, an entry has no form there, or the new file cannot be written.
pub fn convert(
    file: &FileWorkload,
    counter: &Counter,
    to: ConvertTo,
    mut out: impl Write,
) -> Result<Tally, ConvertError> {
    let mut reading = Reading::open(file)?;
    if to == ConvertTo::Lengths {
        writeln!(out, "input_tokens,output_tokens")?;
    }
    let mut number = 0_u64;
    while let Some((line, entry)) = reading.read()? {
        if entry.bin.is_some() {
            let what = "a histogram has bins and no requests";
            return Err(ConvertError::NoPlace {
                line,
                what,
                other: "nothing, and play it as it is",
            });
        }
        if !entry.later.is_empty() {
            let what = "a conversation has several turns, and the other format has one a line";
            return Err(ConvertError::NoPlace {
                line,
                what,
                other: "nothing, and play it as it is",
            });
        }
        let output = match &entry.output {
            RawOutput::Unknown if file.output_tokens.is_none() => None,
            other => Some(counter.output(file, line, other.clone())?),
        };
        match to {
            ConvertTo::Lengths => {
                let (_, input) = counter.content(file, line, entry.given)?;
                let (input, output) = (input.unwrap_or(0), needed(output, line)?);
                writeln!(out, "{input},{output}")?;
            }
            ConvertTo::Mooncake => writeln!(out, "{}", trace(file, counter, line, entry, output)?)?,
            ConvertTo::Jsonl | ConvertTo::TrtllmBench | ConvertTo::GenaiPerf => {
                writeln!(out, "{}", asked(to, line, number, entry, output)?)?;
            }
        }
        number += 1;
    }
    out.flush()?;
    Ok(reading.tally)
}

fn needed(output: Option<u32>, line: u64) -> Result<u32, ConvertError> {
    let what =
        "it has no output length, which the other format needs (`--output-tokens N` gives one)";
    output.ok_or(ConvertError::NoPlace { line, what, other: "`jsonl`" })
}

fn trace(
    file: &FileWorkload,
    counter: &Counter,
    line: u64,
    entry: RawEntry,
    output: Option<u32>,
) -> Result<Value, ConvertError> {
    let at = entry.at.map_or(0.0, |at| at.as_secs_f64() * 1e3);
    let output = needed(output, line)?;
    let hash_ids = match &entry.given {
        Given::Blocks { ids, .. } => Some(ids.clone()),
        Given::Text(_) | Given::Ids(_) | Given::Length(_) => None,
    };
    let (_, input) = counter.content(file, line, entry.given)?;
    let input = input.unwrap_or(0);
    let mut value =
        json!({ "timestamp": at.round() as u64, "input_length": input, "output_length": output });
    if let Some(ids) = hash_ids {
        value["hash_ids"] = ids.into();
    }
    Ok(value)
}

fn asked(
    to: ConvertTo,
    line: u64,
    number: u64,
    entry: RawEntry,
    output: Option<u32>,
) -> Result<Value, ConvertError> {
    let (what, other) = ("it has lengths and no prompt", "`mooncake` or `lengths`");
    let prompt: Value = match entry.given {
        Given::Text(text) => text.into(),
        Given::Ids(ids) => ids.into(),
        Given::Length(_) | Given::Blocks { .. } => {
            return Err(ConvertError::NoPlace { line, what, other });
        }
    };
    let is_text = prompt.is_string();
    Ok(match to {
        ConvertTo::TrtllmBench => {
            let name = if is_text { "prompt" } else { "input_ids" };
            json!({ "task_id": number, name: prompt, "output_tokens": needed(output, line)? })
        }
        ConvertTo::GenaiPerf if !is_text => {
            let what = "its prompt is token ids, and the other format has text";
            return Err(ConvertError::NoPlace { line, what, other: "`jsonl` or `trtllm-bench`" });
        }
        ConvertTo::GenaiPerf => match output {
            Some(output) => json!({ "text": prompt, "output_length": output }),
            None => json!({ "text": prompt }),
        },
        ConvertTo::Jsonl | ConvertTo::Mooncake | ConvertTo::Lengths => match output {
            Some(output) => json!({ "prompt": prompt, "output_tokens": output }),
            None => json!({ "prompt": prompt }),
        },
    })
}
