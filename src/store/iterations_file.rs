//! `iterations.jsonl`: engine iteration statistics, one line of JSON each, written while a run goes on and read back.

use std::io::{self, BufRead, Write};

use serde::{Deserialize, Serialize};

use crate::record::iteration::Iteration;
use crate::store::json_lines;
use crate::store::json_lines::LinesError;

/// Head of a line: everything but the engine's own words, which follow under `engine`.
#[derive(Serialize, Deserialize)]
struct Head {
    point: u32,
    #[serde(flatten)]
    iteration: Iteration,
}

/// Writes one line; `raw_json` is the JSON object that the engine reported.
///
/// # Errors
/// When `out` refuses.
pub fn write_line(
    out: &mut impl Write,
    point: u32,
    iteration: Iteration,
    raw_json: &str,
) -> io::Result<()> {
    let head = serde_json::to_string(&Head { point, iteration })?;
    let open = head.strip_suffix('}').unwrap_or(&head);
    // Within JSON strings a line break is always escaped, so any other one is mere layout.
    let raw_json = raw_json.replace(['\n', '\r'], " ");
    writeln!(out, "{open},\"engine\":{raw_json}}}")
}

/// Reads all lines back (see [`json_lines::read_all`]), each with its point; the engine's own words are skipped.
///
/// # Errors
/// At the first line that cannot be read.
pub fn read_all(
    from: impl BufRead,
    may_be_torn: bool,
) -> Result<Vec<(u32, Iteration)>, LinesError> {
    let lines: Vec<Head> = json_lines::read_all(from, may_be_torn)?;
    Ok(lines.into_iter().map(|head| (head.point, head.iteration)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{MonoNs, Nanos};
    use crate::record::iteration::{BatchMix, KvLevel, LatencyOf};

    fn some(number: u64) -> Iteration {
        Iteration {
            iteration: number,
            at: MonoNs(77_000_000_123_456_789),
            latency: Nanos(12_345_678),
            latency_of: if number > 1 {
                LatencyOf::IterationBefore
            } else {
                LatencyOf::ThisIteration
            },
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
        let error = read_all(text.as_slice(), false).unwrap_err().to_string();
        assert!(error.contains("line 2"), "{error}");
    }

    #[test]
    fn every_iteration_is_read_back_whatever_else_the_engine_wrote() {
        let mut text = Vec::new();
        let words =
            ["{}", "{\"iter\": 1,\n \"text\": \"a\\nb }\"}", "{\"engine\": {\"point\": 9}}"];
        for (number, words) in (1..).zip(words) {
            write_line(&mut text, 4, some(number), words).unwrap();
        }
        let back = read_all(text.as_slice(), false).unwrap();
        assert_eq!(back, (1..=3).map(|number| (4, some(number))).collect::<Vec<_>>());
        let lines = String::from_utf8(text).unwrap();
        let raw: Vec<serde_json::Value> =
            lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(raw[1]["engine"]["text"], "a\nb }");
    }
}
