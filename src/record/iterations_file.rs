//! What did the engine say of each of its iterations? One line of JSON for each, written while it runs and read back.

use std::io::{self, BufRead, Write};

use serde::{Deserialize, Serialize};

use crate::clock::{MonoNs, Nanos};
use crate::record::json_lines::{self, LinesError};

/// One iteration of an engine's loop, as every engine would say it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Iteration {
    /// Its number; engines count without gaps, so a gap is what was lost.
    pub iteration: u64,
    /// Its end, where the engine stamps it; else when it was read.
    #[serde(rename = "at_ns")]
    pub at: MonoNs,
    /// How long it took.
    #[serde(rename = "latency_ns")]
    pub latency: Nanos,
    /// Requests in work, whether or not this iteration worked on them.
    pub active: u32,
    /// Requests that wait.
    pub queued: u32,
    /// Requests that ended in it.
    pub completed: u32,
    /// Requests that it could have worked on; `None` where the engine does not say.
    pub max_batch_size: Option<u32>,
    /// What it worked on; `None` where the engine does not say.
    pub batch: Option<BatchMix>,
    /// The KV cache at its end; `None` where the engine does not say.
    pub kv: Option<KvLevel>,
}

/// What one iteration worked on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchMix {
    /// Requests with a piece of their prompt in it.
    pub context_requests: u32,
    /// Prompt tokens in it.
    pub context_tokens: u32,
    /// Requests that went on with their output.
    pub generation_requests: u32,
    /// Requests that it set aside because KV-cache memory was short.
    pub paused: u32,
}

impl BatchMix {
    /// Requests that the iteration worked on.
    pub fn requests(&self) -> u32 {
        self.context_requests + self.generation_requests
    }
}

/// Blocks of the KV cache.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KvLevel {
    /// Held by requests.
    pub used_blocks: u32,
    /// That there are.
    pub max_blocks: u32,
}

/// Head of a line: everything but the engine's own words, which follow under `engine`.
#[derive(Serialize, Deserialize)]
struct Head {
    point: u32,
    #[serde(flatten)]
    iteration: Iteration,
}

/// Writes one line; `words` is the JSON object in which the engine said it.
///
/// # Errors
/// When `out` refuses.
pub fn write_line(
    out: &mut impl Write,
    point: u32,
    iteration: Iteration,
    words: &str,
) -> io::Result<()> {
    let head = serde_json::to_string(&Head { point, iteration })?;
    let open = head.strip_suffix('}').unwrap_or(&head);
    // Within JSON strings a line break is always escaped, so any other one is mere layout.
    let words = words.replace(['\n', '\r'], " ");
    writeln!(out, "{open},\"engine\":{words}}}")
}

/// Reads all lines back, each with its point; the engine's own words are skipped.
///
/// # Errors
/// At the first line that cannot be read.
pub fn read_all(from: impl BufRead) -> Result<Vec<(u32, Iteration)>, LinesError> {
    let lines: Vec<Head> = json_lines::read_all(from)?;
    Ok(lines.into_iter().map(|head| (head.point, head.iteration)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some(number: u64) -> Iteration {
        Iteration {
            iteration: number,
            at: MonoNs(77_000_000_123_456_789),
            latency: Nanos(12_345_678),
            active: 3,
            queued: 1,
            completed: 0,
            max_batch_size: (number > 1).then_some(64),
            batch: (number > 1).then(BatchMix::default),
            kv: (number > 2).then_some(KvLevel { used_blocks: 7, max_blocks: 9 }),
        }
    }

    #[test]
    fn a_line_that_was_cut_short_is_an_error_that_names_it() {
        let mut text = Vec::new();
        write_line(&mut text, 0, some(1), "{}").unwrap();
        text.extend_from_slice(b"{\"point\":0,\"iter");
        let error = read_all(text.as_slice()).unwrap_err().to_string();
        assert!(error.contains("line 2"), "{error}");
    }

    #[test]
    fn every_iteration_is_read_back_as_it_was_said_whatever_the_engine_wrote_beside_it() {
        let mut text = Vec::new();
        let words =
            ["{}", "{\"iter\": 1,\n \"text\": \"a\\nb }\"}", "{\"engine\": {\"point\": 9}}"];
        for (number, words) in (1..).zip(words) {
            write_line(&mut text, 4, some(number), words).unwrap();
        }
        let back = read_all(text.as_slice()).unwrap();
        assert_eq!(back, (1..=3).map(|number| (4, some(number))).collect::<Vec<_>>());
        let lines = String::from_utf8(text).unwrap();
        let raw: Vec<serde_json::Value> =
            lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(raw[1]["engine"]["text"], "a\nb }");
    }
}
