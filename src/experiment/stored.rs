//! Comparison of stored runs, load by load, each split into blocks of its plan.

use std::ops::Range;
use std::path::Path;

use serde_json::{Map, Value};

use crate::clock::Window;
use crate::clock::{MonoNs, Nanos};
use crate::experiment::interleave::LEAD_IN_LABEL;
use crate::load::Load;
use crate::metrics::Summary;
use crate::metrics::compare::BLOCKS_FOR_A_VERDICT;
use crate::metrics::comparison;
use crate::metrics::comparison::{Comparison, Measured, Question};
use crate::metrics::fairness::Item;
use crate::metrics::point_records::RecordsError;
use crate::metrics::sides::Terms;
use crate::metrics::summarise;
use crate::metrics::summary::Mark;
use crate::metrics::threshold::Threshold;
use crate::record::request_record::Records;
use crate::store::manifest::PointEntry;
use crate::store::measured_run::{MeasuredPoint, MeasuredRun, RecordsAt};
use crate::store::read_back::{ReadError, read_back};
use crate::warning::{Code, Note};

/// Stretches that a point is cut into, where it has requests enough.
const STRETCHES: usize = 8;
/// Fewer requests than this make no stretch.
const REQUESTS_OF_A_STRETCH: usize = 5;

/// A stored run with the records of its points in memory.
struct Loaded {
    run: MeasuredRun,
    points: Vec<Point>,
}

/// A point with its records.
#[derive(Debug, Clone)]
struct Point {
    records: Records,
    summary: Summary,
}

/// Two stored runs, cut alike: what they measured at one load that both have.
pub struct Common {
    /// The load.
    pub load: Load,
    /// The first that was named: what is compared with.
    pub baseline: MeasuredRun,
    /// The other.
    pub candidate: MeasuredRun,
}

/// Why stored runs cannot be compared.
#[derive(Debug, thiserror::Error)]
pub enum StoredError {
    /// A run cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Its records cannot be read.
    #[error(transparent)]
    Records(#[from] RecordsError),
    /// What watched it slowed it down.
    #[error(
        "`{0}` was profiled, which slows what is watched: compare runs made without `--profile-window`, `--nvtx` or a profiler around them"
    )]
    Profiled(String),
    /// They share no load.
    #[error(
        "`{0}` and `{1}` have no load in common: compare runs with a concurrency or a rate that both have"
    )]
    NothingInCommon(String, String),
}

/// Reads two runs and cuts what they have in common. Where both have several points of one load, as sides of a comparison
/// do, each point is a block; otherwise the point is cut into stretches of equally many requests in the order of the plan.
///
/// # Errors
/// When a run cannot be read, or they have no load in common.
pub fn read(baseline: &Path, candidate: &Path) -> Result<Vec<Common>, StoredError> {
    let (a, b) = (load(baseline)?, load(candidate)?);
    for (path, loaded) in [(baseline, &a), (candidate, &b)] {
        if loaded.points.iter().any(|point| point.summary.marks.contains(&Mark::Profiled)) {
            return Err(StoredError::Profiled(path.display().to_string()));
        }
    }
    let mut loads: Vec<Load> = Vec::new();
    for entry in &a.run.manifest.points {
        let load = entry.facts.load;
        if !loads.contains(&load) && b.run.manifest.points.iter().any(|it| it.facts.load == load) {
            loads.push(load);
        }
    }
    if loads.is_empty() {
        let name = |path: &Path| path.display().to_string();
        return Err(StoredError::NothingInCommon(name(baseline), name(candidate)));
    }
    Ok(loads.into_iter().map(|load| common(load, &a, &b)).collect())
}

fn load(path: &Path) -> Result<Loaded, StoredError> {
    let run = read_back(path)?;
    let records = run.load_records()?;
    let summaries = run.points.iter().map(|point| point.summary.clone());
    let points = records.into_iter().zip(summaries);
    Ok(Loaded {
        points: points.map(|(records, summary)| Point { records, summary }).collect(),
        run,
    })
}

fn common(load: Load, a: &Loaded, b: &Loaded) -> Common {
    let (a_points, b_points) = (points_at(a, load), points_at(b, load));
    let blocks = a_points.len().min(b_points.len());
    if blocks > 1 {
        return Common {
            load,
            baseline: with_points(a, owned(&a_points[..blocks])),
            candidate: with_points(b, owned(&b_points[..blocks])),
        };
    }
    let requests = |points: &[(&PointEntry, &Point)]| {
        points.iter().map(|(_, point)| sent(&point.records)).min().unwrap_or(0)
    };
    let fewest = requests(&a_points).min(requests(&b_points));
    let stretches = (fewest / REQUESTS_OF_A_STRETCH).clamp(1, STRETCHES);
    let cut = |points: Vec<(&PointEntry, &Point)>| {
        let of = |(entry, point)| cut_into(stretches, entry, point);
        points.into_iter().take(1).flat_map(of).collect::<Vec<_>>()
    };
    Common {
        load,
        baseline: with_points(a, cut(a_points)),
        candidate: with_points(b, cut(b_points)),
    }
}

fn owned(points: &[(&PointEntry, &Point)]) -> Vec<(PointEntry, Point)> {
    points.iter().map(|(entry, point)| ((*entry).clone(), (*point).clone())).collect()
}

fn points_at(loaded: &Loaded, load: Load) -> Vec<(&PointEntry, &Point)> {
    let entries = loaded.run.manifest.points.iter().zip(&loaded.points);
    entries.filter(|(entry, _)| entry.facts.load == load && entry.label != LEAD_IN_LABEL).collect()
}

/// Requests that were sent; in the order of a plan they are the first ones.
fn sent(records: &Records) -> usize {
    records.measured().iter().take_while(|record| record.submit.is_some()).count()
}

fn with_points(
    loaded: &Loaded,
    points: impl IntoIterator<Item = (PointEntry, Point)>,
) -> MeasuredRun {
    let (entries, points): (_, Vec<Point>) = points.into_iter().unzip();
    let mut manifest = loaded.run.manifest.clone();
    manifest.points = entries;
    let points = points.into_iter().map(|Point { records, summary }| MeasuredPoint {
        summary,
        records: RecordsAt::Memory(records),
    });
    MeasuredRun { directory: loaded.run.directory.clone(), manifest, points: points.collect() }
}

/// Stretches of equally many sent requests; what is left over belongs to the last one.
fn cut_into(stretches: usize, entry: &PointEntry, point: &Point) -> Vec<(PointEntry, Point)> {
    let sent = sent(&point.records);
    let bound = |index: usize| if index == stretches { sent } else { index * (sent / stretches) };
    (0..stretches).map(|index| stretch(bound(index)..bound(index + 1), entry, point)).collect()
}

/// Latencies are those of the stretch's own requests; rates are those of everything that happened from its first request
/// to the first of the next, since requests of neighbours overlap.
fn stretch(range: Range<usize>, entry: &PointEntry, point: &Point) -> (PointEntry, Point) {
    let requests = point.records.measured();
    let begins = |index: usize| -> Option<MonoNs> { requests.get(index)?.submit };
    let window = entry.facts.window;
    let start =
        if range.start == 0 { window.start } else { begins(range.start).unwrap_or(window.start) };
    let end = begins(range.end).unwrap_or(window.end).max(start + Nanos(1));
    let mut facts = entry.facts.clone();
    facts.window = Window { start, end };
    let all = summarise(&point.records, &facts, &entry.health);
    (facts.planned, facts.unsent) = (range.len() as u64, Vec::new());
    let own = point.records.iter().enumerate().filter(|(index, _)| range.contains(index));
    let records =
        Records::new(own.map(|(_, (record, arrivals))| (record.clone(), arrivals.to_vec())));
    let mut summary = summarise(&records, &facts, &entry.health);
    summary.rates = all.rates;
    // Checks cover the whole run.
    summary.verdict = point.summary.verdict;
    summary.checks.clone_from(&point.summary.checks);
    (PointEntry { facts, ..entry.clone() }, Point { records, summary })
}

impl Common {
    /// Conditions beside those that every comparison tells: the machine, the program, the time.
    pub fn circumstances(&self) -> Vec<Item> {
        let (a, b) = (&self.baseline.manifest, &self.candidate.manifest);
        let item = |condition: &str, baseline: String, candidate: String, same: bool| Item {
            condition: condition.to_owned(),
            baseline,
            candidate,
            same: Some(same),
        };
        let cpu = |host: &crate::observe::host::Host| host.cpu.clone().unwrap_or_default();
        let build =
            |build: &crate::observe::host::Build| format!("{} {}", build.version, build.revision);
        vec![
            item("machine", cpu(&a.host), cpu(&b.host), a.host == b.host),
            item("this program", build(&a.tool), build(&b.tool), a.tool == b.tool),
            item("time", a.started.clone(), b.started.clone(), a.started == b.started),
        ]
    }
}

/// A run that is there has the requests that it has.
fn remedy() -> String {
    let requests = BLOCKS_FOR_A_VERDICT * REQUESTS_OF_A_STRETCH;
    format!(
        "a stored point is cut into stretches of {REQUESTS_OF_A_STRETCH} requests or more, so compare runs with \
         {requests} or more sent at each load"
    )
}

/// The document of stored runs: for each load that both have, one pair of sides.
///
/// # Errors
/// When records cannot be read.
pub fn conclude(
    common: &[Common],
    (a, b): (&Map<String, Value>, &Map<String, Value>),
    terms: Terms,
    thresholds: &[Threshold],
) -> Result<Comparison, RecordsError> {
    let several = common.len() > 1;
    let name = |letter: &str, load: Load| {
        if several { format!("{letter} at {load}") } else { letter.to_owned() }
    };
    let records = common
        .iter()
        .map(|both| Ok([both.baseline.load_records()?, both.candidate.load_records()?]))
        .collect::<Result<Vec<_>, RecordsError>>()?;
    let measured: Vec<Measured> = common
        .iter()
        .zip(&records)
        .flat_map(|(both, [baseline, candidate])| {
            let name = |letter| name(letter, both.load);
            [
                both.baseline.measured(name("A"), a.clone(), baseline),
                both.candidate.measured(name("B"), b.clone(), candidate),
            ]
        })
        .collect();
    let targets = common.first().map_or((String::new(), String::new()), |both| {
        (both.candidate.manifest.title.clone(), both.baseline.manifest.title.clone())
    });
    let fewest = measured.iter().map(|side| side.blocks.len()).min().unwrap_or(0);
    let question = Question {
        title: format!("{} against {}, stored runs", targets.0, targets.1),
        interleaved: false,
        planned_blocks: fewest as u64,
        order: Vec::new(),
        terms,
        remedy: remedy(),
        thresholds,
        pairs: (0..common.len()).map(|place| (2 * place, 2 * place + 1)).collect(),
    };
    let mut comparison = comparison::conclude(&question, &measured);
    for (pair, both) in comparison.pairs.iter_mut().zip(common) {
        pair.fairness.extend(both.circumstances());
    }
    let words = "NOT INTERLEAVED: the runs were made at different times, so that a drift of the machine is part of every \
         difference; intervals tell of the spread within each run alone, and no answer is more than likely";
    comparison.notes.insert(0, Note::new(Code::NotInterleaved, words));
    Ok(comparison)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{RunFacts, TargetFacts};
    use crate::observe::health::Health;
    use crate::record::request_record::{Arrival, FinishReason, Outcome as Ended, RequestRecord};
    use crate::request::RequestId;

    fn point(requests: u32) -> (PointEntry, Point) {
        let at = |ms: u32| MonoNs(i64::from(ms) * 1_000_000);
        let records = Records::new((0..requests).map(|id| {
            let mut record = RequestRecord::planned(RequestId(id), 1, 1);
            (record.intended, record.ready, record.submit) =
                (Some(at(id * 10)), Some(at(id * 10)), Some(at(id * 10)));
            let end = at(id * 10 + 5 + id / 10);
            (record.first_token, record.last_token, record.end) = (Some(end), Some(end), Some(end));
            (record.first_tokens, record.output_tokens) = (1, 1);
            record.outcome = Ended::Completed(FinishReason::Length);
            (record, vec![Arrival { at: end, tokens: 1 }])
        }));
        let target = TargetFacts {
            name: "t".into(),
            kind: "local".into(),
            simulated: false,
            dummy_weights: false,
        };
        let window = Window { start: at(0), end: at(requests * 10) };
        let load = Load::Closed { concurrency: 1 };
        let facts = RunFacts::plain(target, load, window, requests.into());
        let health = Health::default();
        let summary = summarise(&records, &facts, &health);
        let entry = PointEntry {
            label: "concurrency 1".into(),
            plan_hash: "abc".into(),
            warmup_requests: 0,
            warmup_completed: 0,
            ran_out: false,
            supply: None,
            late_events: 0,
            iteration_before: None,
            kv_event_before: None,
            facts,
            health,
        };
        (entry, Point { records, summary })
    }

    #[test]
    fn stretches_hold_every_request_once_and_leave_no_gap_in_time() {
        let (entry, point) = point(43);
        let cut = cut_into(8, &entry, &point);
        let sizes: Vec<usize> = cut.iter().map(|(_, point)| point.records.len()).collect();
        assert_eq!(sizes, [5, 5, 5, 5, 5, 5, 5, 8]);
        for pair in cut.windows(2) {
            assert_eq!(pair[0].0.facts.window.end, pair[1].0.facts.window.start);
        }
        assert_eq!(cut[0].0.facts.window.start, entry.facts.window.start);
        assert_eq!(cut[7].0.facts.window.end, entry.facts.window.end);
    }

    #[test]
    fn a_stretch_has_the_latencies_of_its_own_requests() {
        use crate::metrics::Quantity;
        let (entry, point) = point(40);
        let cut = cut_into(4, &entry, &point);
        let mean = |index: usize| {
            cut[index].1.summary.distribution(Quantity::E2e).expect("requests completed").mean
        };
        assert_eq!([0, 1, 2, 3].map(|index| mean(index).round() as i64), [5, 6, 7, 8]);
    }
}
