//! Notes of a report: failed checks with their remedies, and explanations of marks.

use std::collections::BTreeSet;

use crate::metrics::definition::{Quantity, Rate};
use crate::metrics::percentile::{Percentile, certification_floor};
use crate::metrics::pooled::EXACT_GAPS;
use crate::metrics::summary::{Check, CheckId, Counts, PromptSurplus, Status};
use crate::record::request_record::TokenSource;
use crate::report::figures::{self, counted, figure};
use crate::report::{Experiment, PointReport, in_python, json_word, odd_answers, unseen_server};
use crate::settings::slo::GOOD_FRACTION;
use crate::warning::{Code, Note};

/// A check that did not pass at one or more points.
#[derive(Debug, Clone, PartialEq)]
pub struct Concern<'a> {
    /// How it stands at the worst point.
    pub worst: &'a Check,
    /// The points, by their labels.
    pub labels: Vec<&'a str>,
    /// Points of the experiment.
    points: usize,
}

/// Every check that did not pass somewhere, in the order of reports.
pub fn concerns(experiment: &Experiment) -> Vec<Concern<'_>> {
    CheckId::ALL.into_iter().filter_map(|id| Concern::of(experiment, id)).collect()
}

impl<'a> Concern<'a> {
    fn of(experiment: &'a Experiment, id: CheckId) -> Option<Self> {
        let concerns: Vec<(&str, &Check)> = experiment
            .points
            .iter()
            .flat_map(|point| point.summary.checks.iter().map(|check| (&*point.label, check)))
            .filter(|(_, check)| check.id == id)
            .filter(|(_, check)| matches!(check.status, Status::Warn | Status::Fail))
            .collect();
        let failed = concerns.iter().find(|(_, check)| check.status == Status::Fail);
        let (_, worst) = *failed.or(concerns.first())?;
        let labels = concerns.iter().map(|(label, _)| *label).collect();
        Some(Self { worst, labels, points: experiment.points.len() })
    }

    /// `W005 warning[headroom]` or `W005 invalid[headroom]`: words that scripts can look for.
    pub fn code(&self) -> String {
        let word = match (self.worst.allowed, self.worst.status) {
            (true, _) => "allowed",
            (false, Status::Fail) => "invalid",
            (false, _) => "warning",
        };
        format!("{} {word}[{}]", self.worst.code, json_word(&self.worst.id))
    }

    /// Where it was seen, in brackets; empty where there is only one point.
    pub fn place(&self) -> String {
        match self.labels.as_slice() {
            _ if self.points == 1 => String::new(),
            labels if labels.len() == self.points => " (at every point)".to_owned(),
            [first, rest @ ..] if !rest.is_empty() => format!(" ({first} and {} more)", rest.len()),
            labels => format!(" ({})", labels.concat()),
        }
    }
}

/// Everything that came up, checks first, each with its code.
pub fn all(experiment: &Experiment) -> Vec<Note> {
    let concerns = concerns(experiment).into_iter().map(|concern| {
        Note::new(concern.worst.code, format!("{}{}", concern.worst.sentence, concern.place()))
    });
    concerns.chain(notes(experiment)).collect()
}

/// The codes of one point: of its checks that did not pass, its marks and its notes, in the order of numbers.
pub fn codes_of(point: &PointReport) -> Vec<Code> {
    let summary = &point.summary;
    let checks = summary.checks.iter().filter(|check| check.is_concern()).map(|check| check.code);
    let marks = summary.marks.iter().map(|mark| mark.code());
    let notes = of_points(std::slice::from_ref(point)).into_iter().map(|note| note.code);
    let codes: BTreeSet<Code> = checks.chain(marks).chain(notes).collect();
    codes.into_iter().collect()
}

/// Everything else that a reader should not have to find out.
pub fn notes(experiment: &Experiment) -> Vec<Note> {
    let mut notes: Vec<Note> = experiment
        .marks()
        .into_iter()
        .map(|mark| {
            let words = format!("{}: {}", mark.description().to_uppercase(), mark.sentence());
            Note::new(mark.code(), words)
        })
        .chain(experiment.warnings.iter().cloned())
        .collect();
    notes.extend(
        in_python::sentence(&experiment.target).map(|words| Note::new(Code::InPython, words)),
    );
    notes.extend(about_proxy(experiment).map(|words| Note::new(Code::Proxy, words)));
    notes.extend(of_points(&experiment.points));
    notes
}

/// What is seen in the points themselves.
fn of_points(points: &[PointReport]) -> Vec<Note> {
    let mut notes: Vec<Note> = Vec::new();
    let mut tell = |code: Code, words: Vec<String>| {
        notes.extend(words.into_iter().map(|text| Note { code, text }));
    };
    let of_each = |of: fn(&PointReport) -> Option<String>| points.iter().filter_map(of).collect();
    if points.iter().any(has_uncertified) {
        let words = format!(
            "`~` marks a percentile that so few samples cannot certify ({}, and samples that tell of each other count as fewer)",
            floors()
        );
        tell(Code::Uncertified, vec![words]);
    }
    tell(Code::Histogram, from_histograms(points).into_iter().collect());
    if points.iter().any(|point| !point.summary.streaming && !point.summary.is_without_output()) {
        let words = "output was not streamed: no TTFT, ITL or TPOT exists";
        tell(Code::NotStreamed, vec![words.to_owned()]);
    }
    tell(Code::Failures, points.iter().flat_map(failures).collect());
    tell(Code::FailedAround, of_each(failed_around));
    for (code, words) in odd_answers::notes(points) {
        tell(code, vec![words]);
    }
    tell(Code::MissedSlo, of_each(missed_slo));
    for (code, words) in about_gpus(points) {
        tell(code, vec![words]);
    }
    tell(Code::UnseenServer, of_each(unseen_server::note));
    tell(Code::PromptCounts, about_prompts(points));
    for (code, words) in about_connections(points) {
        tell(code, vec![words]);
    }
    tell(Code::HeldAfterCancel, of_each(held_after_cancel));
    for note in &COUNT_NOTES {
        tell(note.code, note.of(points).into_iter().collect());
    }
    tell(Code::Saturated, of_each(saturated));
    tell(Code::StableWindows, of_each(stable_windows));
    notes
}

/// A sentence on a count of requests, told where it is not 0.
struct CountNote {
    code: Code,
    count: fn(&Counts) -> u64,
    before: &'static str,
    after: &'static str,
}

const COUNT_NOTES: [CountNote; 4] = [
    CountNote {
        code: Code::CountDiffers,
        count: |counts| counts.token_mismatches,
        before: "in",
        after: "our tokenizer counts another number of output tokens than the server; the server's count stands",
    },
    CountNote {
        code: Code::ChunksCounted,
        count: |counts| counts.token_sources.get(&TokenSource::Chunks).copied().unwrap_or(0),
        before: "output tokens of",
        after: "were counted as chunks with text, for want of ids, usage or a `--tokenizer`: a chunk is not a token",
    },
    CountNote {
        code: Code::TimedOut,
        count: |counts| counts.timed_out,
        before: "",
        after: "took longer than a request may, which `--timeout` says, and counted as timed out",
    },
    CountNote {
        code: Code::DeliveriesMissing,
        count: |counts| counts.deliveries_missing,
        before: "the deliveries of",
        after: "were not kept: ITL, ICL, stall and token throughput are left out",
    },
];

impl CountNote {
    fn of(&self, points: &[PointReport]) -> Option<String> {
        let requests = points.iter().map(|point| (self.count)(&point.summary.counts)).sum();
        let words = format!("{} {} {}", self.before, counted(requests, "request"), self.after);
        (requests > 0).then(|| words.trim_start().to_owned())
    }
}

/// By how much a server counts prompts otherwise than they were planned: once where it is the same everywhere.
fn about_prompts(points: &[PointReport]) -> Vec<String> {
    let mut notes: Vec<String> = Vec::new();
    for note in points.iter().filter_map(about_prompts_of) {
        if !notes.contains(&note) {
            notes.push(note);
        }
    }
    notes
}

fn about_prompts_of(point: &PointReport) -> Option<String> {
    let counts = &point.summary.counts;
    let PromptSurplus { requests, tokens, alike } = counts.prompt_surplus?;
    let of_each = match tokens {
        0 => "as many prompt tokens as".to_owned(),
        1.. => format!("{} more than", counted(tokens.unsigned_abs(), "prompt token")),
        _ => format!("{} fewer than", counted(tokens.unsigned_abs(), "prompt token")),
    };
    let applies = "lengths are as planned, input and total throughput as counted";
    if alike == requests {
        let why = if tokens > 0 {
            "as a chat template or a start token adds them"
        } else {
            "as a server does that counts a part of what it is sent, or with another tokenizer"
        };
        return (tokens != 0).then(|| {
            format!("the server counts {of_each} planned in every request, {why}; {applies}")
        });
    }
    Some(format!(
        "{}: the server counts {of_each} planned at the median, and exactly so in {alike} of {requests} requests; {applies}",
        point.label
    ))
}

/// Shorter than this, a cancel took effect at once.
const CANCEL_AT_ONCE_S: f64 = 0.001;

/// That cancelled requests went on in the target, which nothing else could use meanwhile.
fn held_after_cancel(point: &PointReport) -> Option<String> {
    let held = point.summary.counts.cancelled_still_running;
    (held.max_s >= CANCEL_AT_ONCE_S).then(|| {
        format!(
            "{}: {} held a slot of the target after the cancel, for {} s together and {} s at most: a cancel takes effect \
             when the target comes to it",
            point.label,
            counted(held.requests, "request"),
            figure(held.total_s),
            figure(held.max_s)
        )
    })
}

/// That something stood between us and the server.
fn about_proxy(experiment: &Experiment) -> Option<String> {
    let proxy = experiment.target.details.get("proxy").filter(|proxy| proxy.is_object())?;
    let text = |key: &str| proxy.get(key).and_then(serde_json::Value::as_str).unwrap_or_default();
    Some(format!(
        "requests went through the proxy {}, which `{}` names: its time is in every latency (`--no-proxy` goes to the server \
         itself)",
        text("url"),
        text("named_by")
    ))
}

/// What connections cost beside the answers.
fn about_connections(points: &[PointReport]) -> Vec<(Code, String)> {
    let sum = |of: fn(&Counts) -> u64| points.iter().map(|it| of(&it.summary.counts)).sum::<u64>();
    let (resent, inside) = (sum(|it| it.resent), sum(|it| it.connected_inside));
    let mut notes = Vec::new();
    if resent > 0 {
        notes.push((Code::Resent, format!(
            "{} sent again, since the server was closing the idle connection at that moment or did not process the stream",
            if resent == 1 { "1 request was".to_owned() } else { format!("{resent} requests were") }
        )));
    }
    if inside > 0 {
        let largest = points
            .iter()
            .filter_map(|it| it.summary.distribution(Quantity::Connect))
            .max_by(|a, b| a.max.total_cmp(&b.max));
        let spans = largest.map_or_else(String::new, |all| {
            format!(" (on average {} ms, at most {} ms)", figure(all.mean), figure(all.max))
        });
        notes.push((Code::ConnectedInside, format!(
            "{} opened a connection of their own after they were submitted: their TTFT and latency hold it{spans}",
            counted(inside, "request")
        )));
    }
    notes
}

/// Kinds of failure of a point, each with the message of the first.
fn failures(point: &PointReport) -> Vec<String> {
    let counts = &point.summary.counts;
    let failures = counts.failed_by_kind.iter().map(|(kind, count)| {
        let message = counts.failure_messages.get(kind).map_or("", |text| text.trim());
        let message = if message.is_empty() { "no message" } else { message };
        format!(
            "{}: {} failed as {kind}, the first: {message}",
            point.label,
            counted(*count, "request")
        )
    });
    failures.collect()
}

/// That fewer requests than wanted met the SLO, which ends the program with a code of its own.
/// What ended a point before its time.
fn saturated(point: &PointReport) -> Option<String> {
    let found = point.summary.saturated?;
    Some(format!(
        "{}: SATURATED, ended after {} s: {:.0} requests were due and had not ended, and latencies had risen by {} %; its numbers \
         are those of a queue that grows",
        point.label,
        figure(found.after_s),
        found.backlog,
        figures::share(found.rise)
    ))
}

fn stable_windows(point: &PointReport) -> Option<String> {
    let windows = point.summary.windows.as_ref().filter(|windows| windows.stable)?;
    let (count, rule) = (windows.windows.len(), windows.rule);
    Some(format!(
        "{}: stable after {count} windows of {} s: the last three agree within {} %",
        point.label,
        figure(rule.interval.as_secs_f64()),
        rule.percent
    ))
}

fn missed_slo(point: &PointReport) -> Option<String> {
    let summary = &point.summary;
    if !summary.misses_slo() {
        return None;
    }
    let good = summary.rate(Rate::GoodFraction).map_or_else(
        || {
            let why = match summary.counts.attempted {
                0 => "no request was asked",
                _ => "a bound is on what no request of this run has",
            };
            why.to_owned()
        },
        |good| format!("{} % of the requests met it", figures::share(good)),
    );
    Some(format!(
        "{}: SLO MISSED: {good}, and {:.0} % are wanted",
        point.label,
        100.0 * GOOD_FRACTION
    ))
}

/// Whose word the GPUs' numbers are, and why their energy is not known.
fn about_gpus(points: &[PointReport]) -> Vec<(Code, String)> {
    let mut notes = Vec::new();
    let watched = || points.iter().filter_map(|point| point.summary.gpu.as_ref());
    if let Some(named) = watched().map(|gpu| &gpu.driver).find(|driver| driver.named) {
        notes.push((Code::NamedGpuLibrary, format!(
            "power, clocks and energy come from `{}`, which was named with `--nvml-library`: they are as true as it is",
            named.library
        )));
    }
    if let Some(reason) = watched().flat_map(|gpu| &gpu.energy_reasons).next() {
        notes.push((
            Code::NoEnergy,
            format!("energy per token is left out where it is not known: {reason}"),
        ));
    }
    notes
}

/// Every way in which requests did not complete, where it occurred.
pub fn unsuccessful(counts: &Counts) -> Vec<(u64, String)> {
    let kinds: Vec<String> =
        counts.failed_by_kind.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
    let failed =
        if kinds.is_empty() { "failed".into() } else { format!("failed ({})", kinds.join(", ")) };
    [
        (counts.failed, failed),
        (counts.timed_out, "timed out".to_owned()),
        (counts.cancelled, "cancelled".to_owned()),
        (counts.missed, "due and not sent".to_owned()),
        (counts.not_reached, "not reached in time".to_owned()),
        (counts.interrupted, "not sent before the interrupt".to_owned()),
        (counts.target_failed, "not sent before the target failed as a whole".to_owned()),
        (counts.worker_lost, "not sent, or not told, by a lost worker".to_owned()),
    ]
    .into_iter()
    .filter(|(count, _)| *count > 0)
    .collect()
}

/// `ramp 32, tail 17`: what was sent around the measured requests; `None` where nothing was.
pub fn around(counts: &Counts) -> Option<String> {
    let parts: Vec<String> = [("ramp", counts.ramp), ("tail", counts.tail)]
        .into_iter()
        .filter(|(_, part)| part.sent > 0)
        .map(|(word, part)| format!("{word} {}", part.sent))
        .collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

/// Requests of ramp and tail that did not complete, which count nowhere else, with words that no measured one has said.
fn failed_around(point: &PointReport) -> Option<String> {
    let counts = &point.summary.counts;
    let failed = [counts.ramp, counts.tail].iter().map(|part| part.sent - part.completed).sum();
    let unheard = |kind| !counts.failed_by_kind.contains_key(kind);
    let words = counts.failure_messages.iter().find(|(kind, _)| unheard(kind));
    let words =
        words.map_or_else(String::new, |(_, words)| format!(", the first: {}", words.trim()));
    (failed > 0).then(|| {
        let failed = counted(failed, "request");
        format!(
            "{}: {failed} of ramp and tail did not complete and count in no share{words}",
            point.label
        )
    })
}

/// The percentiles that people look at, in the order of tables.
pub(super) const SHOWN: [Percentile; 4] =
    [Percentile::P99, Percentile::P90, Percentile::P75, Percentile::P50];

/// Whether a latency that every report shows is marked.
/// Percentiles that are not exact, where there were more samples than are kept.
fn from_histograms(points: &[PointReport]) -> Option<String> {
    let errors = points.iter().flat_map(|point| point.summary.distributions.values().flatten());
    let error = errors.filter_map(|values| values.relative_error).reduce(f64::max)?;
    Some(format!(
        "percentiles of ITL and ICL of more than {EXACT_GAPS} gaps come from a histogram: each is within {} % of the \
         exact one",
        error * 100.0
    ))
}

fn has_uncertified(report: &PointReport) -> bool {
    let rows =
        [Quantity::Ttft, Quantity::Itl, Quantity::Tpot, Quantity::E2e, Quantity::E2eIntended];
    rows.into_iter()
        .chain([Quantity::OutputTokens])
        .filter_map(|quantity| report.summary.distribution(quantity))
        .any(|values| {
            SHOWN.iter().any(|it| values.percentiles.get(it).is_some_and(|v| !v.certified))
        })
}

/// `p99 needs 662, …`: the smallest samples that certify.
fn floors() -> String {
    SHOWN.map(|which| format!("{} needs {}", which.label(), certification_floor(which))).join(", ")
}
