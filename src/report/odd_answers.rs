//! Notes on answers that are not what was asked for, and on numbers that depend on them.

use crate::metrics::definition::Quantity;
use crate::metrics::percentile::Percentile;
use crate::metrics::summarise::is_uneven;
use crate::metrics::summary::{Counts, OddRequests, Summary};
use crate::record::oddity::Oddity;
use crate::report::PointReport;
use crate::report::figures::{self, counted, figure};
use crate::warning::Code;

/// One note for each kind of oddity, and those on the close of streams, on bundled chunks and on what no request has.
pub(super) fn notes(points: &[PointReport]) -> Vec<(Code, String)> {
    let odd = |oddity: Oddity| Some((oddity.code(), of_kind(points, oddity)?));
    let mut notes: Vec<(Code, String)> = Oddity::ALL.into_iter().filter_map(odd).collect();
    let mut tell = |code: Code, words: Vec<String>| {
        notes.extend(words.into_iter().map(|text| (code, text)));
    };
    tell(Code::LateClose, points.iter().filter_map(late_close).collect());
    tell(Code::Approximate, points.iter().filter_map(bundled).collect());
    tell(Code::DeliverySums, other_sum(points).into_iter().collect());
    tell(Code::UnmeasuredBound, points.iter().flat_map(unmeasured).collect());
    notes
}

fn of_kind(points: &[PointReport], oddity: Oddity) -> Option<String> {
    let (mut odd, mut completed) = (OddRequests::default(), 0);
    for counts in points.iter().map(|point| &point.summary.counts) {
        completed += counts.completed;
        let Some(of) = counts.oddities.get(&oddity) else { continue };
        odd.requests += of.requests;
        odd.output_tokens += of.output_tokens;
        odd.requested_tokens += of.requested_tokens;
    }
    let is_told = odd.requests > 0 && !is_told_elsewhere(points, oddity);
    is_told.then(|| format!("{} of {completed} requests {}", odd.requests, words(oddity, odd)))
}

/// A burst is a check, which tells it where it is not rare; a target that replies at once sends nothing else.
fn is_told_elsewhere(points: &[PointReport], oddity: Oddity) -> bool {
    match oddity {
        Oddity::Burst => points.iter().any(|point| {
            point.summary.target.is_null() || point.summary.is_of_bursts(Quantity::Itl)
        }),
        // The note on our tokenizer's count says it already.
        Oddity::CountDiffers => true,
        Oddity::NotStreamed
        | Oddity::UsageWithoutText
        | Oddity::NoTokensInText
        | Oddity::LongerThanAsked
        | Oddity::ShorterThanAsked
        | Oddity::StreamedUnasked
        | Oddity::Uncounted => false,
    }
}

fn words(oddity: Oddity, odd: OddRequests) -> String {
    let mean = |tokens: u64| {
        let is_whole = tokens.is_multiple_of(odd.requests);
        if is_whole {
            (tokens / odd.requests).to_string()
        } else {
            figure(tokens as f64 / odd.requests as f64)
        }
    };
    let (came, asked) = (mean(odd.output_tokens), mean(odd.requested_tokens));
    match oddity {
        Oddity::NotStreamed => {
            "were not streamed although that was asked for: they have no TTFT, TPOT or ITL; serve with streaming (for \
             Triton: a decoupled model), or measure with `--no-streaming`"
                .to_owned()
        }
        Oddity::UsageWithoutText => format!(
            "brought no output although the server counts {came} tokens each: they have no TTFT, TPOT or ITL, and their \
             tokens are in no rate; is output hidden (reasoning, tool calls) or stopped at once?"
        ),
        Oddity::NoTokensInText => "brought text in which the tokenizer finds no token: its chunks were counted instead; \
             is `--tokenizer` that of the model?"
            .to_owned(),
        Oddity::LongerThanAsked => format!(
            "brought more tokens than were asked for ({came} instead of {asked} on average): the server ignores the \
             limit, or counts something else as output"
        ),
        Oddity::ShorterThanAsked => format!(
            "brought fewer tokens than were asked for ({came} instead of {asked} on average), although the end token was \
             to be ignored: does the server know `ignore_eos`, and does its context have room?"
        ),
        Oddity::Burst => "brought all their tokens at once at the end of their latency: something held them back".to_owned(),
        Oddity::StreamedUnasked => "were streamed although that was not asked for: the server, or something before it, ignores \
             `--no-streaming`, so that this is the cost of streaming; leave it out to see TTFT and ITL"
            .to_owned(),
        Oddity::CountDiffers => "are counted otherwise by our tokenizer than by the server".to_owned(),
        Oddity::Uncounted => "brought their text in one piece, and nobody counted its tokens (no usage, no ids): they have no \
             output length and are in no rate of tokens; give `--tokenizer`"
            .to_owned(),
    }
}

/// What comes after the last token is no part of the latency, and is told where it is long.
fn late_close(point: &PointReport) -> Option<String> {
    let summary = &point.summary;
    let share = summary.late_close()?;
    let close = summary.percentile(Quantity::StreamClose, Percentile::P50)?.value;
    Some(format!(
        "{}: the server ends its streams {} ms (p50) after the last token, {:.0} % of the request latency, which does not \
         hold it (`stream_close`); a slot of a closed loop waits for it",
        point.label,
        figure(close),
        100.0 * share
    ))
}

/// That chunks hold several tokens, and nothing says how many each.
fn bundled(point: &PointReport) -> Option<String> {
    let Summary { approximate, counts: Counts { tokens_per_chunk, .. }, .. } = &point.summary;
    let each = tokens_per_chunk.filter(|_| *approximate)?;
    if !is_uneven(Some(each)) {
        return Some(format!(
            "{}: `{}` marks what depends on how many tokens a chunk held, which nothing told: each counted as one. A server that \
             sends usage tells it, and so does a `--tokenizer`",
            point.label,
            figures::roughly(true),
        ));
    }
    Some(format!(
        "{}: `{}` marks what spreads tokens evenly over chunks, of which each held {} on average: nothing told how many \
         each held. TTFT is that of the first chunk, whatever it held. A server that sends cumulative usage or token ids tells it, and so does a `--tokenizer`",
        point.label,
        figures::roughly(true),
        figure(each)
    ))
}

/// That what deliveries held does not add up to what the target counted: where chunks hold several tokens, and where a few
/// tokens had no text.
fn other_sum(points: &[PointReport]) -> Option<String> {
    let differs: u64 = points.iter().map(|it| it.summary.counts.token_count_differs).sum();
    let is_approximate = points.iter().any(|it| it.summary.approximate);
    let of_what = if is_approximate {
        "those that `≈` is about: each chunk counts for its share of the target's count"
    } else {
        "the target's count stands, and each delivery counts for its share of it"
    };
    (differs > 0).then(|| {
        format!(
            "in {} what the deliveries held adds up to another number of tokens than the target counted; {of_what}",
            counted(differs, "request")
        )
    })
}

/// How many requests lack what a bound is about: they are not good.
fn unmeasured(point: &PointReport) -> Vec<String> {
    let summary = &point.summary;
    let lacking =
        summary.slos.iter().filter(|result| result.met.is_some() && result.unmeasured > 0);
    let told = lacking.map(|result| {
        let name = figures::short_name(result.slo.metric.quantity());
        let completed = counted(summary.counts.completed, "request");
        let bursts = summary.counts.oddities.get(&Oddity::Burst).map_or(0, |odd| odd.requests);
        let held_back = if result.slo.metric.is_of_gaps() && bursts > 0 {
            format!(" ({bursts} came in a burst, whose gaps are not the engine's)")
        } else {
            String::new()
        };
        format!(
            "{}: {} of {completed} have no {name}{held_back}, and what was not measured meets no bound",
            point.label, result.unmeasured
        )
    });
    told.collect()
}
