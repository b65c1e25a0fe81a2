//! Experiments to render: requests of an engine that exists on paper only, summarised by the real code.

use bareflight::clock::MonoNs;
use bareflight::clock::Window;
use bareflight::load::Load;
use bareflight::metrics::{RunFacts, TargetFacts, summarise};
use bareflight::observe::health::{Health, NullRate};
use bareflight::record::event::TokenHash;
use bareflight::record::oddity::Oddities;
use bareflight::record::request_record::{
    Arrival, ConnectionUse, FinishReason, NotSentReason, OtherCounts, Outcome, Part, Records,
    RequestRecord, StampSource, TokenSource,
};
use bareflight::report::{Experiment, FileNote, PointReport};
use bareflight::request::RequestId;
use bareflight::request::{Failure, FailureKind, Limits};
use bareflight::settings::declared::Declared;
use bareflight::settings::slo::Slos;
use bareflight::settings::time_unit::TimeUnit;
use bareflight::targets::TargetInfo;

/// One run of the engine on paper.
#[derive(Clone)]
pub struct Paper {
    pub load: Load,
    pub requests: u32,
    pub output_tokens: u32,
    /// Every so many requests one fails; 0: none, 1: all.
    pub fails_every: u32,
    pub streaming: bool,
    pub complete: bool,
    pub simulated: bool,
    pub gpus: u32,
    pub slos: &'static str,
    pub health: Health,
}

impl Paper {
    pub fn closed(concurrency: u32, requests: u32) -> Self {
        Self {
            load: Load::Closed { concurrency },
            requests,
            output_tokens: 48,
            fails_every: 0,
            streaming: true,
            complete: true,
            simulated: true,
            gpus: 0,
            slos: "",
            health: Health {
                null_rate: Some(NullRate { requests_per_s: 150_000.0, tokens_per_s: 2_000_000.0 }),
                harness_cpu: Some(0.04),
                cgroup_throttled: Some(0),
                steal: Some(0.0),
                involuntary_switches: Some(0),
                ..Health::default()
            },
        }
    }

    /// Plays it: slots that each take the next request as soon as the last one ended, and an engine that grows slower
    /// with every sequence in the batch.
    pub fn play(&self, point: u32) -> PointReport {
        let slots = match self.load {
            Load::Closed { concurrency } => concurrency,
            Load::Open { .. } => 8,
            Load::Batch => self.requests,
        };
        let mut free_at = vec![0_i64; slots.max(1) as usize];
        let mut chance = Chance(u64::from(slots) + 11);
        let mut rows = Vec::new();
        for id in 0..self.requests {
            let slot = (0..free_at.len()).min_by_key(|slot| free_at[*slot]).unwrap();
            let arrival = match self.load {
                Load::Open { rate, .. } => (f64::from(id) / rate * 1e9) as i64,
                Load::Closed { .. } | Load::Batch => free_at[slot],
            };
            let row = self.request(id, arrival, free_at[slot].max(arrival), slots, &mut chance);
            free_at[slot] = row.0.end.map_or(arrival, |at| at.0);
            rows.push(row);
        }
        let end = free_at.into_iter().max().unwrap_or(0);
        let facts = self.facts(point, Window { start: MonoNs(0), end: MonoNs(end + 1) });
        let summary = summarise(&Records::new(rows), &facts, &self.health);
        PointReport { label: self.load.to_string(), summary }
    }

    fn facts(&self, point: u32, window: Window) -> RunFacts {
        let target = TargetFacts::from(&target(self.simulated));
        RunFacts {
            point,
            gpus: self.gpus,
            streaming: self.streaming,
            slos: self.slos.parse::<Slos>().unwrap(),
            complete: self.complete,
            ..RunFacts::plain(target, self.load, window, u64::from(self.requests))
        }
    }

    fn request(
        &self,
        id: u32,
        intended: i64,
        taken_up: i64,
        batch: u32,
        chance: &mut Chance,
    ) -> (RequestRecord, Vec<Arrival>) {
        let submit = intended + 20_000;
        let prefill = 18e6 * (1.0 + f64::from(batch) / 12.0) * (0.7 + 0.6 * chance.draw());
        let mut at = taken_up + 20_000 + prefill as i64;
        let mut arrivals = Vec::new();
        for _ in 0..self.output_tokens {
            arrivals.push(Arrival { at: MonoNs(at), tokens: 1 });
            let step = 4e6 * (1.0 + f64::from(batch) / 16.0) * (0.9 + 0.2 * chance.draw());
            let hiccup = if chance.draw() > 0.995 { 5.0 } else { 1.0 };
            at += (step * hiccup) as i64;
        }
        let failed = self.fails_every > 0 && id % self.fails_every == self.fails_every - 1;
        let missed = !self.complete && id + 3 > self.requests;
        let (first, last) = (arrivals.first().copied(), arrivals.last().copied());
        let mut record = RequestRecord {
            id: RequestId(id),
            part: Part::Measured,
            prompt_tokens: 128,
            requested_tokens: self.output_tokens,
            intended: Some(MonoNs(intended)),
            ready: Some(MonoNs(intended)),
            submit: Some(MonoNs(submit)),
            first_token: first.map(|it| it.at),
            first_tokens: 1,
            last_token: last.map(|it| it.at),
            end: last.map(|it| it.at),
            cancel_asked: None,
            workload: None,
            output_tokens: self.output_tokens,
            token_source: TokenSource::Ids,
            other_counts: OtherCounts::default(),
            token_hash: TokenHash::EMPTY,
            stamp_source: StampSource::Engine,
            max_pull_lag_ns: 0,
            outcome: Outcome::Completed(FinishReason::Length),
            oddities: Oddities::NONE,
            engine_times: None,
            engine_use: None,
            connection: ConnectionUse::NOTHING,
        };
        if missed {
            record.outcome = Outcome::NotSent(NotSentReason::Interrupted);
            (record.submit, record.end, record.intended) = (None, None, None);
        } else if failed {
            record.outcome =
                Outcome::Failed(Failure::new(FailureKind::QueueFull, "the queue holds 4"));
            record.end = Some(MonoNs(submit + 50_000));
        } else {
            return (record, arrivals);
        }
        (record.first_token, record.last_token) = (None, None);
        (record.first_tokens, record.output_tokens) = (0, 0);
        (record, Vec::new())
    }
}

/// The classic 64-bit linear congruential generator: the same numbers on every machine.
struct Chance(u64);

impl Chance {
    /// From 0 up to 1.
    fn draw(&mut self) -> f64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 40) as f64 / (1_u64 << 24) as f64
    }
}

pub fn target(simulated: bool) -> TargetInfo {
    TargetInfo {
        name: if simulated { "sim:paper" } else { "local:dummy-nano" }.to_owned(),
        kind: if simulated { "sim" } else { "local" }.to_owned(),
        title: "an engine on paper, batch 64, 4 ms per step".to_owned(),
        simulated,
        dummy_weights: !simulated,
        gpus: 0,
        limits: Limits { max_batch_size: Some(64), ..Limits::default() },
        details: serde_json::json!({"profile": "paper", "step_ms": 4.0}),
    }
}

pub fn experiment(runs: &[Paper]) -> Experiment {
    let points = runs.iter().zip(0..).map(|(run, point)| run.play(point)).collect();
    let simulated = runs.first().is_none_or(|run| run.simulated);
    Experiment {
        title: "sim:paper, D(128,48)".to_owned(),
        target: target(simulated),
        points,
        incomplete: runs.iter().any(|run| !run.complete),
        warnings: Vec::new(),
        declared: Declared::default(),
        time_unit: TimeUnit::default(),
        manifest: serde_json::json!({
            "schema_version": 2,
            "tool": {"name": "bareflight", "version": "0.1.0", "revision": "0123abcd"},
            "host": {"cpu": "Paper & Pencil <2>", "cores": 2, "kernel": "6.1"},
            "seed": 42,
            "plan_sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        }),
        folder: "runs/x".into(),
        files: vec![
            FileNote { name: "requests.csv".into(), holds: "one row per request".into() },
            FileNote { name: "report.html".into(), holds: "this report with plots".into() },
        ],
    }
}

/// The usual sweep.
pub fn sweep() -> Experiment {
    experiment(
        &[1, 2, 4, 8, 16, 32].map(|concurrency| Paper::closed(concurrency, 60 + 20 * concurrency)),
    )
}
