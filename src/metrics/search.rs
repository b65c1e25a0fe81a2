//! Search for the highest load that meets objectives: what has been probed, what to probe next, and what came of it.
//!
//! A pure function of the probes, so that a search which was ended goes on from its file.

use serde::{Deserialize, Serialize};

use crate::load::Load;
use crate::metrics::early_stopping::Decision;
use crate::metrics::summary::Mark;
use crate::settings::objective::Objectives;
use crate::warning::{Code, Note};

/// What is searched over.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Axis {
    /// Arrivals per second of an open loop.
    #[default]
    Rate,
    /// Requests in flight of a closed loop.
    Concurrency,
}

impl Axis {
    /// What a load is called along it.
    pub const fn unit(self) -> &'static str {
        match self {
            Self::Rate => "requests/s",
            Self::Concurrency => "requests in flight",
        }
    }

    /// A load with the digits that tell probes apart.
    pub fn shown(self, at: f64) -> String {
        match self {
            Self::Concurrency => format!("{at}"),
            Self::Rate if at >= 1_000.0 => format!("{at:.0}"),
            Self::Rate if at >= 100.0 => format!("{at:.1}"),
            Self::Rate if at >= 10.0 => format!("{at:.2}"),
            Self::Rate => format!("{at:.4}"),
        }
    }
}

/// What a search asks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Question {
    /// Over rates or concurrencies.
    pub axis: Axis,
    /// What a load must meet.
    pub objectives: Objectives,
    /// The search ends where the lowest load that missed is within this share of the highest that met.
    pub precision: f64,
    /// Requests in flight of the flood.
    pub flood: u32,
    /// Probes at most.
    pub most_probes: u32,
}

/// Why a load was probed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// One request after the other: what no load is faster than.
    Sequential,
    /// As much as goes through: a load above it lets a queue grow.
    Flood,
    /// Between the highest load that met and the lowest that missed.
    Between,
    /// Above every load that met, since none is known to miss.
    Above,
    /// Below every load that missed, since none is known to meet.
    Below,
    /// An end of the interval once more, with other requests.
    Confirm,
    /// A load whose result contradicts another's.
    Again,
}

impl Role {
    /// As printed.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Sequential => "sequential",
            Self::Flood => "flood",
            Self::Between => "between",
            Self::Above => "above",
            Self::Below => "below",
            Self::Confirm => "confirm",
            Self::Again => "again",
        }
    }
}

/// One objective in one probe.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Count {
    /// Which objective, as text.
    pub objective: String,
    /// Requests that missed it, of those that were counted.
    pub over: u64,
    /// What that decides.
    pub decision: Decision,
}

/// A load that was played.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Probe {
    /// From 1.
    pub number: u32,
    /// Why it was played.
    pub role: Role,
    /// What was played.
    pub load: Load,
    /// Where it lies on the axis of the search; `None` where it only brackets a rate.
    pub at: Option<f64>,
    /// Requests that were counted: from the first on, without a gap, until a decision or the end.
    pub counted: u64,
    /// Of these, requests that met every bound.
    pub good: u64,
    /// Each objective.
    pub counts: Vec<Count>,
    /// Whether every objective was met.
    pub meets: bool,
    /// The binomial rule says so at 99 %; otherwise the probe came to its limit, and the shares that were seen say so.
    pub certain: bool,
    /// Completed requests per second: over the window, or, where the probe was cut short, over everything that it sent.
    pub throughput: Option<f64>,
    /// Seconds that it took, with its warm-up.
    pub seconds: f64,
    /// The run folder and the point in it.
    pub folder: String,
    /// The point in the folder.
    pub point: u32,
}

/// What to do next.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Play a load.
    Play(Role, Next),
    /// Nothing more.
    Done(Outcome),
}

/// A load to be played.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Next {
    /// So many in flight.
    InFlight(u32),
    /// So many arrivals per second.
    PerSecond(f64),
}

/// What came of a search.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// The highest load that met the objectives; `None` where none did.
    pub limit: Option<f64>,
    /// The limit is not below this one, which is `limit`, and below this one: the lowest load that missed.
    pub interval: (Option<f64>, Option<f64>),
    /// Probes whose results contradict each other, in words.
    pub contradictions: Vec<String>,
    /// What else must be said of it.
    pub notes: Vec<Note>,
    /// It came to an end by itself; otherwise it ran out of probes.
    pub converged: bool,
}

/// Times that one load is probed at most.
const MOST_OF_ONE: usize = 3;
/// Before anything is known, the first rate is this share of the flood's throughput: with steady arrivals the limit lies close
/// to it.
const FIRST_GUESS: f64 = 0.8;
/// A rate so far above the flood's throughput makes a queue grow.
const BEYOND_FLOOD: f64 = 1.05;
/// Rates that are lower than the sequential run's by more are not looked for.
const LOWEST: f64 = 1.0 / 64.0;
/// Loads that are higher than the flood by more are not looked for.
const HIGHEST: f64 = 32.0;
/// Where no more than so many loads were played besides sequential run and flood, the lowest that missed is confirmed too.
const FEW_PROBES: usize = 8;

/// A load with the results of all its probes.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Known {
    at: f64,
    meets: usize,
    misses: usize,
}

impl Known {
    fn probes(&self) -> usize {
        self.meets + self.misses
    }

    /// The majority; `None` where there is none.
    fn verdict(&self) -> Option<bool> {
        (self.meets != self.misses).then_some(self.meets > self.misses)
    }
}

/// Every load on the axis, from the lowest.
fn known(probes: &[Probe]) -> Vec<Known> {
    let mut all: Vec<Known> = Vec::new();
    for probe in probes {
        let Some(at) = probe.at else { continue };
        let place =
            all.iter().position(|known| known.at.to_bits() == at.to_bits()).unwrap_or_else(|| {
                all.push(Known { at, meets: 0, misses: 0 });
                all.len() - 1
            });
        if probe.meets {
            all[place].meets += 1;
        } else {
            all[place].misses += 1;
        }
    }
    all.sort_by(|a, b| a.at.total_cmp(&b.at));
    all
}

/// What to do after these probes.
pub fn next(question: &Question, probes: &[Probe]) -> Step {
    let of = |role| probes.iter().find(|probe| probe.role == role);
    let Some(sequential) = of(Role::Sequential) else {
        return Step::Play(Role::Sequential, Next::InFlight(1));
    };
    if !sequential.meets {
        let mut notes = vec![Note::new(
            Code::NeverMet,
            "one request at a time misses the objectives already, so no load can meet them: loosen `--slo`, or ask for \
             shorter answers",
        )];
        if !sequential.certain {
            let words = "that one request at a time misses was not sure at 99 %: raise `--requests` or `--duration`";
            notes.push(Note::new(Code::UndecidedEnds, words));
        }
        return Step::Done(Outcome { converged: true, notes, ..outcome(question, probes) });
    }
    let Some(flood) = of(Role::Flood) else {
        return Step::Play(Role::Flood, Next::InFlight(question.flood.max(2)));
    };
    let known = known(probes);
    let step = unclear(&known).map_or_else(
        || narrow(question, &known, sequential, flood),
        |at| play(question, Role::Again, at),
    );
    match step {
        Step::Play(..) if probes.len() >= question.most_probes as usize => {
            let mut outcome = outcome(question, probes);
            outcome.converged = false;
            let words = format!(
                "the search ran out of probes: raise `--max-probes` above {}",
                question.most_probes
            );
            outcome.notes.push(Note::new(Code::OutOfProbes, words));
            Step::Done(outcome)
        }
        Step::Done(narrowed) => {
            let mut outcome = outcome(question, probes);
            outcome.notes.extend(narrowed.notes);
            outcome.converged = true;
            Step::Done(outcome)
        }
        play @ Step::Play(..) => play,
    }
}

fn play(question: &Question, role: Role, at: f64) -> Step {
    Step::Play(
        role,
        match question.axis {
            Axis::Rate => Next::PerSecond(at),
            Axis::Concurrency => Next::InFlight(at as u32),
        },
    )
}

/// A load that has to be probed again: one without a majority, or one of two whose order is not that of their results.
fn unclear(known: &[Known]) -> Option<f64> {
    let tie = known.iter().find(|it| it.verdict().is_none() && it.probes() < MOST_OF_ONE);
    let out_of_order = || {
        let missed = known.iter().find(|it| it.verdict() == Some(false))?;
        let met = known.iter().rev().find(|it| it.verdict() == Some(true))?;
        if met.at < missed.at {
            return None;
        }
        let mut pair = [missed, met];
        pair.sort_by_key(|it| it.probes());
        pair.into_iter().find(|it| it.probes() < MOST_OF_ONE)
    };
    tie.or_else(out_of_order).map(|it| it.at)
}

/// The highest load that met below every one that missed, and the lowest that missed.
fn bracket(known: &[Known]) -> (Option<Known>, Option<Known>) {
    let missed = known.iter().find(|it| it.verdict() != Some(true)).copied();
    let met = known
        .iter()
        .rev()
        .find(|it| it.verdict() == Some(true) && missed.is_none_or(|missed| it.at < missed.at));
    (met.copied(), missed)
}

/// Probes of all loads on the axis.
fn played(known: &[Known]) -> usize {
    known.iter().map(Known::probes).sum()
}

fn narrow(question: &Question, known: &[Known], sequential: &Probe, flood: &Probe) -> Step {
    let done = |code: Code, words: &str| {
        Step::Done(Outcome { notes: vec![Note::new(code, words)], ..Outcome::default() })
    };
    let (met, missed) = bracket(known);
    let (bottom, top) = match question.axis {
        Axis::Rate => {
            let slowest = sequential.throughput.unwrap_or(1.0);
            let fastest = flood.throughput.unwrap_or(slowest).max(slowest);
            (slowest, fastest * BEYOND_FLOOD)
        }
        Axis::Concurrency => (1.0, f64::from(question.flood)),
    };
    let is_close = |low: f64, high: f64| match question.axis {
        Axis::Rate => high / low <= 1.0 + question.precision,
        Axis::Concurrency => high - low <= 1.0 || high / low <= 1.0 + question.precision,
    };
    match (met, missed) {
        (None, None) => play(question, Role::Between, top / BEYOND_FLOOD * FIRST_GUESS),
        (Some(met), None) if met.at > top * HIGHEST => done(
            Code::AlwaysMet,
            "every load that was tried met the objectives: the limit lies beyond them",
        ),
        (Some(met), None) if met.at >= top => {
            play(question, Role::Above, middle(question.axis, met.at, met.at * 4.0))
        }
        (Some(met), None) if is_close(met.at, top) => play(question, Role::Above, top),
        (Some(met), None) => play(question, Role::Between, middle(question.axis, met.at, top)),
        (None, Some(missed)) if missed.at <= bottom * LOWEST => done(
            Code::NeverMet,
            "no rate that was tried met the objectives, although single requests do",
        ),
        (None, Some(missed)) if missed.at <= bottom => play(question, Role::Below, missed.at / 4.0),
        (None, Some(missed)) if is_close(bottom, missed.at) => play(question, Role::Below, bottom),
        (None, Some(missed)) => {
            play(question, Role::Between, below(question.axis, bottom, missed.at))
        }
        (Some(met), Some(missed)) if !is_close(met.at, missed.at) => {
            play(question, Role::Between, middle(question.axis, met.at, missed.at))
        }
        (Some(met), Some(_)) if met.probes() < 2 => play(question, Role::Confirm, met.at),
        // What disturbs a machine makes loads miss and none meet.
        (Some(_), Some(missed)) if missed.probes() < 2 && played(known) <= FEW_PROBES => {
            play(question, Role::Confirm, missed.at)
        }
        (Some(_), Some(_)) => Step::Done(Outcome::default()),
    }
}

/// Where nothing has met yet. A limit lies more often near the flood than near a single stream, so that the first step down is no
/// more than a half where the middle is far away.
fn below(axis: Axis, bottom: f64, missed: f64) -> f64 {
    let middle = middle(axis, bottom, missed);
    if axis == Axis::Rate && middle * 4.0 < missed { missed / 2.0 } else { middle }
}

/// The middle by ratio.
fn middle(axis: Axis, low: f64, high: f64) -> f64 {
    let middle = (low * high).sqrt();
    match axis {
        Axis::Rate => middle,
        Axis::Concurrency => middle.round().clamp(low + 1.0, (high - 1.0).max(low + 1.0)),
    }
}

/// What these probes come to.
pub fn outcome(question: &Question, probes: &[Probe]) -> Outcome {
    let known = known(probes);
    let (met, missed) = bracket(&known);
    let limit = met.map(|met| met.at);
    let mut notes = Vec::new();
    let uncertain = probes
        .iter()
        .filter(|probe| !probe.certain && probe.at.is_some())
        .filter(|probe| probe.at == limit || probe.at == missed.map(|missed| missed.at))
        .count();
    if uncertain > 0 {
        let words = format!(
            "{uncertain} probes at the ends of the interval came to their limit before 99 % confidence: raise `--requests` \
             or `--duration`"
        );
        notes.push(Note::new(Code::UndecidedEnds, words));
    }
    Outcome {
        limit,
        interval: (limit, missed.map(|missed| missed.at)),
        contradictions: contradictions(question, &known),
        notes,
        converged: false,
    }
}

fn times(count: usize) -> String {
    if count == 1 { "once".to_owned() } else { format!("{count} times") }
}

/// Loads whose results contradict each other, or their own.
fn contradictions(question: &Question, known: &[Known]) -> Vec<String> {
    let (unit, shown) = (question.axis.unit(), |at| question.axis.shown(at));
    let own = known.iter().filter(|it| it.meets > 0 && it.misses > 0).map(|it| {
        let (met, missed) = (times(it.meets), times(it.misses));
        format!("{} {unit} met {met} and missed {missed}", shown(it.at))
    });
    let lowest_missed = known.iter().find(|it| it.verdict() == Some(false));
    let order = known.iter().filter(|it| it.verdict() == Some(true)).filter_map(|met| {
        let missed = lowest_missed.filter(|missed| missed.at < met.at)?;
        Some(format!(
            "{} {unit} met although {} missed: more load was not worse throughout, and the limit is the one below the \
             lowest that missed",
            shown(met.at),
            shown(missed.at)
        ))
    });
    own.chain(order).collect()
}

/// `search.json`: the question, every probe, and what they come to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Search {
    /// Version of the shape of the files.
    pub schema_version: u32,
    /// In a few words.
    pub title: String,
    /// What answered.
    pub target: String,
    /// The target is simulated.
    pub simulated: bool,
    /// Its weights are random.
    #[serde(default)]
    pub dummy_weights: bool,
    /// Requests of a probe at most.
    pub requests: u32,
    /// The same of a rate under which latencies rise towards their bound, which is then played again.
    #[serde(default)]
    pub longest: u32,
    /// Seconds of a probe at most.
    pub seconds: f64,
    /// How requests arrive in an open loop, whose rate each probe replaces; over concurrencies, the flood.
    pub open_loop: Load,
    /// What was asked.
    pub question: Question,
    /// Probes, as they were played.
    pub probes: Vec<Probe>,
    /// What they come to so far.
    pub outcome: Outcome,
}

impl Search {
    /// What every artefact must say of the target.
    pub fn marks(&self) -> impl Iterator<Item = Mark> + use<> {
        [(self.simulated, Mark::Simulated), (self.dummy_weights, Mark::DummyWeights)]
            .into_iter()
            .filter_map(|(is_so, mark)| is_so.then_some(mark))
    }
}

#[cfg(test)]
#[path = "search_tests.rs"]
mod tests;
