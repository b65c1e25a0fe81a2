//! Measuring of one point: warm-up, pace, the requests that count, and what is known of them.

use std::fs::File;

use super::opening::WARM_UP_CONCURRENCY;
use super::{PointRunner, first_id};
use crate::clock::{self, Nanos, Window};
use crate::experiment::collectors::CollectedStatistics;
use crate::experiment::early_end::EarlyEnd;
use crate::experiment::gpu_watch::GpuWatch;
use crate::experiment::listening_log::heard_alone;
use crate::experiment::server_watch::ServerWatch;
use crate::experiment::sweep::{ExperimentError, Watch};
use crate::experiment::warm_up::Warmed;
use crate::issue::drawing::Drawing;
use crate::issue::pace::{Graces, Pace, Played, RampPace};
use crate::load::Load;
use crate::load::course::{Ramp, Tail, WindowKind, window_of};
use crate::load::plan::Plan;
use crate::metrics::facts::PartFacts;
use crate::metrics::{RunFacts, TargetFacts};
use crate::observe::gpu::sampler::SamplingThread;
use crate::observe::health::Health;
use crate::observe::probe::Probe;
use crate::observe::profiler::{self, Profiler};
use crate::record::log::RecordLog;
use crate::record::recorder::PhaseRecords;
use crate::report::figures::counted;
use crate::settings::warm_up_end::WarmUpEnd;
use crate::settings::window_rule::{MOST_WINDOWS, WindowRule};
use crate::store::manifest::{PointEntry, Supply};
use crate::store::partial_files::PartialFiles;
use crate::store::stored_point::PartialPoint;
use crate::workload::Workload;

impl PointRunner<'_> {
    /// Sends the measured requests and returns what is known of them.
    pub(super) fn measure(
        &mut self,
        plan: &Plan,
        mut drawing: Drawing<File>,
        mut entry: PointEntry,
        (files, log): (Option<PartialFiles>, Option<Box<dyn RecordLog>>),
        warmed: Warmed,
        watch: &mut dyn Watch,
    ) -> Result<(PointEntry, PartialPoint, CollectedStatistics), ExperimentError> {
        let label = entry.label.clone();
        let (waited_before, stray_before) = (self.stage.waited(), self.stage.stray_ends());
        // What the engine did while it was warmed up is not part of the point.
        self.collectors.begin(plan.point());
        let sampling = self.run.gpus.as_ref().map(GpuWatch::start).transpose()?;
        let scraping = self.run.server.as_ref().map(ServerWatch::start).transpose()?;
        let profiling = self.run.profiler.as_ref().map(Profiler::begin);
        let probe = Probe::start();
        let gpus = sampling.as_ref().map(SamplingThread::latest);
        let live = self.stage.live(plan.load(), gpus);
        watch.phase(&label, plan.shots().len() as u64, plan.size().duration, &live);
        let marked = self.run.tool.map(|tool| tool.phase(&label));
        let pace = self.pace(plan, warmed.mean_latency);
        let mut shots = drawing.measured(plan);
        let (played, phase) = self.stage.play(&mut shots, &pace, log);
        drop(marked);
        let seen = probe.finish();
        let profiled = profiling.is_some_and(|begun| self.end_profiling(begun, &label));
        let collected = self.collectors.end();
        watch.phase_over();
        let window = window(entry.facts.window_kind, &played, &phase);
        entry.facts.window = window;
        let watched = self.run.gpus.as_mut().zip(sampling);
        let gpu = watched.map(|(gpus, sampling)| gpus.finish(sampling, plan.point(), window));
        // To draw and write what was not sent takes long: nothing is sampled any more.
        let in_plan_file = self.end_drawing(drawing, &label);
        if let Some(error) = &phase.log_error {
            self.run.fault(format!("records of point {label} are not all on disk: {error}"));
        }
        for text in [&collected.iterations.fault, &collected.kv_events.fault].into_iter().flatten()
        {
            self.run.manifest.faults.push(format!("point {label}: {text}"));
        }
        if played.ramp_ran_out {
            let why = "the load may be more than the target can take, or `--ramp` is too long";
            let most = plan.ramp_at_most();
            let text = format!("point {label}: the ramp ended early, after {most} requests: {why}");
            self.run.manifest.faults.push(text);
        }
        if played.given_up > 0 {
            let text = format!(
                "point {label}: the target went on with {} for more than {} s after they were cancelled, because their \
                 time or the drain's was up; each counts so, and is still the target's",
                counted(played.given_up, "request"),
                Graces::OF_RUNS.cancelled.as_secs_f64()
            );
            self.run.manifest.faults.push(text);
        }
        entry.facts.stages_start = entry.facts.stages.map(|_| played.start);
        if let Some(workers) = self.stage.workers() {
            self.run.manifest.workers = workers.entries();
            entry.facts.workers = workers.facts_of_workers();
        }
        entry.facts.complete = !played.interrupted && self.stage.broken().is_none();
        let waited = self.stage.waited() - waited_before;
        let asked = self.run.server.as_mut().zip(scraping);
        let server = asked.map(|(server, it)| server.finish(it, plan.point(), window));
        let server = server.map(|(seen, written)| self.run.told(seen, written));
        let gpu = gpu.map(|(seen, written)| self.run.told(seen, written));
        entry.health = Health {
            dropped_events: waited.lost,
            recorder_waits: waited.waits,
            recorder_wait_ms: waited.span.as_millis_f64(),
            stray_ends: self.stage.stray_ends() - stray_before,
            null_rate: self.run.manifest.null_rate,
            client_rate: self.run.manifest.client_rate,
            gpu,
            server,
            profiled: profiled || self.run.resolved.nvtx || profiler::is_attached(),
            ..seen
        };
        entry.facts.unsent = files.as_ref().map(PartialFiles::unsent).unwrap_or_default();
        entry.ran_out = played.ran_out && plan.is_pool();
        let requests = plan.shots().len() as u32;
        entry.supply = plan.is_pool().then_some(Supply { requests, in_plan_file });
        entry.late_events = phase.late_events;
        entry.iteration_before = collected.iterations.before.and_then(|it| it.last_number());
        entry.kv_event_before = collected.kv_events.before.map(|it| it.event);
        let first = first_id(plan);
        Ok((entry, PartialPoint::new(files, phase.records, first), collected))
    }

    pub(super) fn warm_up(
        &mut self,
        plan: &Plan,
        drawing: &mut Drawing<File>,
        label: &str,
        watch: &mut dyn Watch,
    ) -> Warmed {
        let shots = plan.warmup();
        if shots.is_empty() {
            return Warmed::default();
        }
        let concurrency = match plan.load() {
            Load::Closed { concurrency } => concurrency,
            Load::Open { .. } | Load::Batch => WARM_UP_CONCURRENCY,
        };
        let pace = Pace {
            load: Load::Closed { concurrency },
            ramp: None,
            tail: Tail::None,
            stages: None,
            duration: match self.run.resolved.warmup_until {
                None => None,
                Some(WarmUpEnd::After(span)) => Some(span),
                Some(WarmUpEnd::Stable) => {
                    Some(Nanos(self.warm_up_rule().interval.0 * MOST_WINDOWS))
                }
            },
            ..self.pace(plan, None)
        };
        let label = format!("{label}, warm-up");
        let live = self.stage.live(pace.load, None);
        watch.phase(&label, shots.len() as u64, None, &live);
        let _marked = self.run.tool.map(|tool| tool.phase(&label));
        let steady = matches!(self.run.resolved.warmup_until, Some(WarmUpEnd::Stable))
            .then(|| EarlyEnd::when_stable(self.warm_up_rule()));
        let log = self.heard_by(steady.clone());
        let (_, phase) = self.stage.play(&mut drawing.shots(shots), &pace, log);
        self.run.stop.set_enough(false);
        watch.phase_over();
        // A log that is there takes the records, even if it keeps none.
        let mut warmed = match &steady {
            Some(steady) => Warmed::of(&steady.take_kept()),
            None => Warmed::of(phase.records.requests()),
        };
        if let Some(words) = steady.and_then(|it| it.why_not_stable()) {
            warmed.failure.get_or_insert(words);
        }
        warmed
    }

    /// Windows of a warm-up that ends when it is stable.
    fn warm_up_rule(&self) -> WindowRule {
        const USUAL: WindowRule = WindowRule { interval: Nanos::from_millis(1_000), percent: 10.0 };
        self.run.resolved.windows.unwrap_or(USUAL)
    }

    /// A log that keeps nothing, and ends the phase as soon as enough is known.
    fn heard_by(&self, early: Option<EarlyEnd>) -> Option<Box<dyn RecordLog>> {
        let (early, stop) = (early?, self.run.stop.clone());
        Some(heard_alone(Box::new(move |record| {
            if early.keep(record) {
                stop.set_enough(true);
            }
        })))
    }

    pub(super) fn pace(&self, plan: &Plan, mean_latency: Option<Nanos>) -> Pace {
        let course = plan.size().course;
        let at_most = plan.ramp_at_most();
        let ramp = match (course.ramp, plan.load()) {
            (Ramp::None, _) => None,
            (Ramp::Over(span), _) => Some(RampPace { over: Some(span), at_most, then: None }),
            (Ramp::Estimated, Load::Closed { .. }) => {
                Some(RampPace { over: mean_latency, at_most, then: None })
            }
            // No worker sees all requests: as many have ended as are in flight after twice the mean latency.
            (Ramp::Estimated, Load::Open { .. } | Load::Batch)
                if self.stage.workers().is_some() =>
            {
                let over = Nanos(2 * mean_latency.unwrap_or(Nanos::ZERO).0);
                Some(RampPace { over: Some(over), at_most, then: None })
            }
            (Ramp::Estimated, Load::Open { .. } | Load::Batch) => {
                Some(RampPace { over: None, at_most, then: None })
            }
        };
        Pace {
            load: plan.load(),
            ramp,
            tail: course.tail,
            stages: plan.size().stages,
            duration: plan.size().duration,
            timeout: self.run.resolved.timeout,
            drain: self.run.resolved.drain,
            graces: Graces::OF_RUNS,
            begin_at: None,
        }
    }

    /// As the target knows them, else as the user says.
    fn gpus_in_use(&self) -> u32 {
        let said = self.run.resolved.declared.server.gpu_count;
        if self.run.info.gpus > 0 { self.run.info.gpus } else { said.unwrap_or(0) }
    }

    pub(super) fn facts(&self, plan: &Plan, warmup_failure: Option<String>) -> RunFacts {
        let now = clock::now();
        RunFacts {
            point: plan.point(),
            target: TargetFacts::from(&self.run.info),
            load: plan.load(),
            // Known at the end.
            window: Window { start: now, end: now },
            window_kind: match plan.size().stages {
                Some(_) => WindowKind::Whole,
                None => self.run.resolved.window.of(&plan.load()),
            },
            stages: plan.size().stages,
            stages_start: None,
            windows: None,
            saturated: None,
            workers: None,
            planned: plan.shots().len() as u64,
            unsent: Vec::new(),
            gpus: self.gpus_in_use(),
            streaming: self.run.resolved.workload.streaming,
            slos: self.run.resolved.slos.clone(),
            complete: false,
            stability_percent: RunFacts::STABILITY_PERCENT,
            roofline: self.run.roofline.clone(),
            shared_prefix_tokens: self.run.resolved.workload.prefix_tokens,
            documents: plan.workload().documents,
            images: plan.shots().images_each(),
            workloads: parts(plan.workload()),
            sent_before: self.run.sent_before.clone(),
            also_sent_by: self.run.also_sent_by.clone(),
            warmup_failure,
            allowed: self.run.resolved.allow.clone(),
        }
    }
}

/// The parts of a mixture.
fn parts(workload: &Workload) -> Vec<PartFacts> {
    let Some(mixture) = &workload.mixture else { return Vec::new() };
    let named = mixture.parts.iter().zip(mixture.shares());
    named.map(|(part, share)| PartFacts { name: part.source().to_string(), share }).collect()
}

/// The window of the rates; empty where no request that counts was submitted.
fn window(kind: WindowKind, played: &Played, phase: &PhaseRecords) -> Window {
    let nothing = Window { start: played.start, end: played.start };
    window_of(kind, phase.submissions, phase.last_end).unwrap_or(nothing)
}
