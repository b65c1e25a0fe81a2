//! Answers of a point as other tools see them: when each was asked, and when its chunks came.

use crate::clock::MonoNs;
use crate::network::refusal::status_in;
use crate::record::request_record::{
    Arrival, Outcome, Part, Records, RequestRecord, STAMP_RESOLUTION, TokenSource,
};

/// One measured request that was sent.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// Which shot of the plan.
    pub id: u32,
    /// When the harness was free to send it.
    pub ready: MonoNs,
    /// When it was sent.
    pub start: MonoNs,
    /// First delivery with a token; `None` where output was not streamed or there was none.
    pub first: Option<MonoNs>,
    /// Last delivery with a token; the end where there was none.
    pub last: MonoNs,
    /// The final event.
    pub end: MonoNs,
    /// Instants of the deliveries with tokens; empty where they were not kept or not streamed.
    pub chunks: Vec<MonoNs>,
    /// Tokens of each of these.
    pub chunk_tokens: Vec<u32>,
    /// Prompt length in tokens.
    pub prompt_tokens: u32,
    /// Output tokens asked for.
    pub requested_tokens: u32,
    /// Output tokens that came.
    pub output_tokens: u32,
    /// Counts of the server itself, where it gives both: of the prompt and of the output.
    pub usage: Option<(u32, u32)>,
    /// Why it failed: kind and words. `None` of what completed.
    pub failure: Option<(&'static str, String)>,
}

impl Answer {
    /// Seconds from the request to the first token.
    pub fn ttft_s(&self) -> Option<f64> {
        self.first.map(|first| (first - self.start).as_secs_f64())
    }

    /// Seconds from the request to its last token.
    pub fn latency_s(&self) -> f64 {
        (self.last - self.start).as_secs_f64()
    }

    /// The status of HTTP that it failed with, where it did so with one.
    pub fn http_status(&self) -> Option<u16> {
        let (_, words) = self.failure.as_ref()?;
        status_in(words)
    }

    /// Seconds from the request to the end of its stream.
    pub fn whole_s(&self) -> f64 {
        (self.end - self.start).as_secs_f64()
    }

    /// Seconds between successive chunks.
    pub fn gaps_s(&self) -> Vec<f64> {
        self.chunks.windows(2).map(|pair| (pair[1] - pair[0]).as_secs_f64()).collect()
    }

    /// Seconds per token behind the first one, spread evenly: (latency − TTFT) ÷ (tokens − 1).
    pub fn per_token_s(&self) -> Option<f64> {
        let decode = self.latency_s() - self.ttft_s()?;
        (self.output_tokens > 1).then(|| decode / f64::from(self.output_tokens - 1))
    }
}

/// The measured requests of a point that were sent, in the order of the plan.
pub fn of(records: &Records, streaming: bool) -> Vec<Answer> {
    let measured = records.iter().filter(|(record, _)| record.part == Part::Measured);
    measured.filter_map(|(record, arrivals)| answer(record, arrivals, streaming)).collect()
}

fn answer(record: &RequestRecord, arrivals: &[Arrival], streaming: bool) -> Option<Answer> {
    let start = record.submit?;
    let end = record.end.or(record.last_token)?;
    let (chunks, chunk_tokens) = if streaming { chunks(arrivals) } else { Default::default() };
    Some(Answer {
        id: record.id.0,
        ready: record.ready.unwrap_or(start),
        start,
        first: record.first_token.filter(|_| streaming),
        last: if streaming { record.last_token.unwrap_or(end) } else { end },
        end,
        chunks,
        chunk_tokens,
        prompt_tokens: match record.prompt_tokens {
            0 => record.other_counts.prompt.unwrap_or(0),
            planned => planned,
        },
        requested_tokens: record.requested_tokens,
        output_tokens: record.output_tokens,
        usage: record
            .other_counts
            .prompt
            .filter(|_| record.token_source == TokenSource::Usage)
            .map(|prompt| (prompt, record.output_tokens)),
        failure: failure(&record.outcome),
    })
}

/// Deliveries with tokens; what came at one instant, as far as stamps tell instants apart, is one chunk.
fn chunks(arrivals: &[Arrival]) -> (Vec<MonoNs>, Vec<u32>) {
    let mut chunks: Vec<MonoNs> = Vec::with_capacity(arrivals.len());
    let mut tokens: Vec<u32> = Vec::with_capacity(arrivals.len());
    for arrival in arrivals.iter().filter(|arrival| arrival.tokens > 0) {
        match (chunks.last(), tokens.last_mut()) {
            (Some(last), Some(held)) if arrival.at - *last < STAMP_RESOLUTION => {
                *held += arrival.tokens;
            }
            _ => {
                chunks.push(arrival.at);
                tokens.push(arrival.tokens);
            }
        }
    }
    (chunks, tokens)
}

fn failure(outcome: &Outcome) -> Option<(&'static str, String)> {
    match outcome {
        Outcome::Completed(_) => None,
        Outcome::Failed(failure) => Some((failure.kind.word(), failure.message.clone())),
        Outcome::Cancelled => Some(("cancelled", "cancelled at the end of the drain".to_owned())),
        Outcome::TimedOut => Some(("timed_out", "took longer than `--timeout` allows".to_owned())),
        Outcome::NotSent(_) => Some(("not_sent", "never sent".to_owned())),
    }
}
