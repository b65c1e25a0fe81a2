//! Point runner: an opened target with its folder and manifest, on which points are played one after another.

mod measuring;
mod opening;
mod pausing;
mod publishing;

use std::fs::File;

pub use self::opening::{Beginning, OpenTarget, Opening, Room};
pub use self::pausing::PausedRunner;
use crate::console;
use crate::experiment::between;
use crate::experiment::collectors::Collectors;
use crate::experiment::early_end::EarlyEnd;
use crate::experiment::gpu_watch::GpuWatch;
use crate::experiment::listening_log::{Listener, heard};
use crate::experiment::server_watch::ServerWatch;
use crate::experiment::sweep::{ExperimentError, Watch};
use crate::issue::drawing::Drawing;
use crate::issue::phase::Stage;
use crate::issue::stop::Stop;
use crate::load::plan::Plan;
use crate::metrics::facts::SentBefore;
use crate::metrics::observed::ObservedPoint;
use crate::metrics::{iterations, kv_events, summarise_observed};
use crate::observe::health::Health;
use crate::observe::profiler::Profiler;
use crate::record::log::RecordLog;
use crate::record::nvtx_ranges::Tool;
use crate::record::request_record::RequestRecord;
use crate::request::RequestId;
use crate::settings::Resolved;
use crate::specs::RooflineFacts;
use crate::store::manifest::{Manifest, PointEntry};
use crate::store::measured_run::MeasuredPoint;
use crate::store::plan_file::PlanWriter;
use crate::store::run_directory::RunDirectory;
use crate::targets::TargetInfo;

/// An opened target, the folder that its records go to, and what is known of it so far.
pub struct PointRunner<'a> {
    resolved: &'a Resolved,
    info: TargetInfo,
    /// Before `stage`, so that an error on the way ends them first: they read from its target.
    collectors: Collectors,
    stage: Stage,
    directory: RunDirectory,
    manifest: Manifest,
    gpus: Option<GpuWatch>,
    server: Option<ServerWatch>,
    profiler: Option<Profiler>,
    tool: Option<Tool>,
    stop: &'a Stop,
    roofline: Option<RooflineFacts>,
    sent_before: Option<SentBefore>,
    also_sent_by: Vec<String>,
    /// Measured points and what is known of each.
    points: Vec<MeasuredPoint>,
    entries: Vec<PointEntry>,
    /// Something could not be written.
    incomplete: bool,
    /// `plan.csv`, between two points.
    plan_file: Option<PlanWriter<File>>,
    /// A prompt could not be drawn.
    is_cut_off: bool,
    /// Hears of the requests of the next point.
    listener: Option<Listener>,
}

impl PointRunner<'_> {
    /// Lets somebody hear of every request of the next point as soon as it has ended.
    pub fn listen(&mut self, listener: Listener) {
        self.listener = Some(listener);
    }

    /// The same, with the model and machine that points are held against.
    #[must_use]
    pub fn with_roofline(self, roofline: Option<RooflineFacts>) -> Self {
        Self { roofline, ..self }
    }

    /// With the run that sent the same prompts to the same server, where there was one.
    #[must_use]
    pub fn with_sent_before(self, sent_before: Option<SentBefore>) -> Self {
        Self { sent_before, ..self }
    }

    /// The same, where other sides of a comparison send the same prompts to its server.
    #[must_use]
    pub fn with_also_sent_by(self, also_sent_by: Vec<String>) -> Self {
        Self { also_sent_by, ..self }
    }

    /// What is to happen between two points. A point is measured all the same where it fails, and the run says so.
    pub fn rest(&mut self) {
        if let Some(text) = between::rest(self.resolved, self.stop) {
            console::print_notice(format_args!("{text}"));
            self.manifest.faults.push(text);
        }
    }

    /// Whether another point can be played: nobody has asked for the end, and the target still answers.
    pub fn can_go_on(&self) -> bool {
        !self.stop.is_asked() && !self.is_cut_off && self.stage.broken().is_none()
    }

    /// Plays one point: warm-up, then the measurement. When it returns, the point is on disk, complete.
    ///
    /// # Errors
    /// When the plan cannot be drawn or saved, samples not be written, or records not be read again.
    ///
    /// # Panics
    /// If the drawing thread has panicked, which is a bug.
    pub fn play(
        &mut self,
        plan: &Plan,
        label: String,
        watch: &mut dyn Watch,
    ) -> Result<(), ExperimentError> {
        let file = self.plan_file.take().expect("every point gives it back");
        let mut drawing = Drawing::start(plan, file, self.stage.preparer())?;
        let warmed = self.warm_up(plan, &mut drawing, &label, watch);
        if let Some(failure) = &warmed.failure {
            console::print_notice(format_args!("{label}: {failure}"));
        }
        drawing.wait_until_ahead();
        let entry = PointEntry {
            label,
            plan_hash: plan.hash().to_owned(),
            warmup_requests: match self.resolved.warmup_until {
                None => plan.warmup().len() as u32,
                Some(_) => warmed.sent,
            },
            warmup_completed: warmed.completed,
            ran_out: false,
            supply: None,
            late_events: 0,
            iteration_before: None,
            kv_event_before: None,
            facts: self.facts(plan, warmed.failure.clone()),
            health: Health {
                null_rate: self.manifest.null_rate,
                client_rate: self.manifest.client_rate,
                ..Health::default()
            },
        };
        let (files, log) = self.partial_files(plan, &entry).unzip();
        let log = match self.listener.take() {
            Some(listener) => log.map(|log| heard(log, listener)),
            None => log,
        };
        let early = EarlyEnd::of(self.resolved, plan);
        let log = self.ended_by(early.clone(), log);
        let measured = self.measure(plan, drawing, entry, (files, log), warmed, watch);
        if early.is_some() {
            // The next point has its own.
            self.stop.set_enough(false);
        }
        let (mut entry, records, collected) = measured?;
        if let Some(early) = early {
            early.note(&mut entry.facts);
        }
        let observed = ObservedPoint::read(&records, &entry.facts)?;
        let mut summary = summarise_observed(&observed, &entry.facts, &entry.health);
        let window = entry.facts.window;
        summary.iterations =
            iterations::of(&collected.iterations.items, entry.iteration_before, window);
        summary.kv_events =
            kv_events::of(&collected.kv_events.items, entry.kv_event_before, window);
        watch.measured(&entry, &summary);
        self.publish(entry, summary, &observed, records);
        Ok(())
    }
}

impl PointRunner<'_> {
    /// The log of a point that ends as soon as enough is known.
    fn ended_by(
        &self,
        early: Option<EarlyEnd>,
        log: Option<Box<dyn RecordLog>>,
    ) -> Option<Box<dyn RecordLog>> {
        let Some(early) = early else { return log };
        let stop = self.stop.clone();
        let listener = move |record: &RequestRecord| {
            if early.add(record) {
                stop.set_enough(true);
            }
        };
        log.map(|log| heard(log, Box::new(listener)))
    }
}

/// Id of the first measured request.
fn first_id(plan: &Plan) -> RequestId {
    plan.shots().facts().next().map_or(RequestId(0), |shot| shot.id)
}
