//! Interval log of HdrHistogram: a histogram for each second and each of TTFT, ITL, TPOT and latency, in nanoseconds.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;

use hdrhistogram::Histogram;

use super::answers::Answer;
use super::hdr_encoding::encoded;
use super::{ExportPoint, ExportRun, Exported, by_point, provenance, text_file};
use crate::clock::{MonoNs, Nanos};

/// Of an interval.
const INTERVAL: Nanos = Nanos(1_000_000_000);
/// Decimal digits of a value that buckets tell apart.
const DIGITS: u8 = 3;
/// Values up to an hour have a bucket in any log; longer ones make room for themselves.
const LEAST_HIGHEST_NS: u64 = 3_600_000_000_000;
/// The log has its largest values in milliseconds.
const MS: f64 = 1e6;
/// In the order in which lines of one interval stand.
const TAGS: [&str; 4] = ["TTFT", "ITL", "TPOT", "latency"];

pub(super) fn render(run: &ExportRun) -> Exported {
    let mut failed = Vec::new();
    let mut exported = by_point(run, |point| match log(run, point) {
        Ok(text) => vec![text_file("latency.hlog", text)],
        Err(error) => {
            failed.push(format!("{}: {error}", point.entry.label));
            Vec::new()
        }
    });
    exported.left_out.append(&mut failed);
    exported
}

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
enum LogError {
    #[error("a value has no place in a histogram ({0})")]
    Value(#[from] hdrhistogram::RecordError),
    #[error("the values need a wider histogram than there is ({0})")]
    Bounds(#[from] hdrhistogram::CreationError),
    #[error("a histogram cannot be packed ({0})")]
    Packing(#[from] io::Error),
}

/// A value with the instant at which it was complete, and how many times it counts.
struct Value {
    tag: usize,
    at: MonoNs,
    ns: u64,
    times: u64,
}

fn log(run: &ExportRun, point: &ExportPoint) -> Result<String, LogError> {
    let start = point.answers.iter().map(|answer| answer.start).min().unwrap_or(MonoNs(0));
    let values: Vec<Value> = point.completed().flat_map(values).collect();
    let largest = values.iter().map(|it| it.ns).max().unwrap_or(0);
    let highest = largest.saturating_add(1).max(LEAST_HIGHEST_NS);
    let mut intervals: BTreeMap<(i64, usize), Histogram<u64>> = BTreeMap::new();
    for Value { tag, at, ns, times } in values {
        let place = ((at - start).0 / INTERVAL.0, tag);
        let histogram = match intervals.entry(place) {
            std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::btree_map::Entry::Vacant(entry) => {
                entry.insert(Histogram::new_with_bounds(1, highest, DIGITS)?)
            }
        };
        histogram.record_n(ns, times)?;
    }
    let mut text = header(run, point, start);
    for ((second, tag), histogram) in &intervals {
        // Writing to a string cannot fail, here and below.
        let _infallible = writeln!(
            text,
            "Tag={},{:.3},{:.3},{:.3},{}",
            TAGS[*tag],
            *second as f64 * INTERVAL.as_secs_f64(),
            INTERVAL.as_secs_f64(),
            histogram.max() as f64 / MS,
            encoded(histogram)?
        );
    }
    Ok(text)
}

fn values(answer: &Answer) -> Vec<Value> {
    let ns = |span: Nanos| span.0.max(0) as u64;
    let mut all =
        vec![Value { tag: 3, at: answer.last, ns: ns(answer.last - answer.start), times: 1 }];
    all.extend(answer.first.map(|first| Value {
        tag: 0,
        at: first,
        ns: ns(first - answer.start),
        times: 1,
    }));
    let tokens = answer.chunk_tokens.iter().skip(1);
    all.extend(answer.chunks.windows(2).zip(tokens).map(|(pair, tokens)| Value {
        tag: 1,
        at: pair[1],
        ns: ns(pair[1] - pair[0]) / u64::from((*tokens).max(1)),
        times: u64::from(*tokens),
    }));
    all.extend(answer.per_token_s().map(|each| Value {
        tag: 2,
        at: answer.last,
        ns: ns(Nanos::from_secs_f64(each)),
        times: 1,
    }));
    all
}

fn header(run: &ExportRun, point: &ExportPoint, start: MonoNs) -> String {
    let mut text = String::new();
    for line in provenance::lines(run, Some(point)) {
        let _infallible = writeln!(text, "#[{line}]");
    }
    let wall_ns = run.wall_ns(start);
    let seconds = wall_ns as f64 / 1e9;
    let date = jiff::Timestamp::from_nanosecond(i128::from(wall_ns));
    let date = date.map_or_else(|_| String::new(), |at| format!(", {at:.0}"));
    let _infallible = write!(
        text,
        "#[Histogram log format version 1.3]\n\
         #[StartTime: {seconds:.3} (seconds since epoch){date}]\n\
         #[BaseTime: {seconds:.3} (seconds since epoch)]\n\
         \"StartTimestamp\",\"Interval_Length\",\"Interval_Max\",\"Interval_Compressed_Histogram\"\n"
    );
    text
}
