//! Point runner: an opened target with its folder and manifest, on which points are played one after another.

mod measuring;
mod opening;
mod pausing;
mod progress;
mod publishing;

pub use self::opening::{Beginning, OpenTarget, Opening, Room};
pub use self::pausing::PausedRunner;
use self::progress::RunProgress;
use crate::console;
use crate::experiment::between;
use crate::experiment::collectors::Collectors;
use crate::experiment::early_end::EarlyEnd;
use crate::experiment::listening_log::{Listener, heard};
use crate::experiment::sweep::{ExperimentError, Watch};
use crate::issue::drawing::Drawing;
use crate::issue::phase::Stage;
use crate::load::plan::Plan;
use crate::metrics::facts::SentBefore;
use crate::metrics::observed::ObservedPoint;
use crate::metrics::{iterations, kv_events, summarise_observed};
use crate::observe::health::Health;
use crate::record::log::RecordLog;
use crate::record::request_record::RequestRecord;
use crate::request::RequestId;
use crate::specs::RooflineFacts;
use crate::store::manifest::PointEntry;

/// An opened target, the folder that its records go to, and what is known of it so far.
pub struct PointRunner<'a> {
    /// Before `stage`, so that an error on the way ends them first: they read from its target.
    collectors: Collectors,
    stage: Stage,
    run: RunProgress<'a>,
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
    pub fn with_roofline(mut self, roofline: Option<RooflineFacts>) -> Self {
        self.run.roofline = roofline;
        self
    }

    /// With the run that sent the same prompts to the same server, where there was one.
    #[must_use]
    pub fn with_sent_before(mut self, sent_before: Option<SentBefore>) -> Self {
        self.run.sent_before = sent_before;
        self
    }

    /// The same, where other sides of a comparison send the same prompts to its server.
    #[must_use]
    pub fn with_also_sent_by(mut self, also_sent_by: Vec<String>) -> Self {
        self.run.also_sent_by = also_sent_by;
        self
    }

    /// What is to happen between two points. A point is measured all the same where it fails, and the run says so.
    pub fn rest(&mut self) {
        if let Some(text) = between::rest(self.run.resolved, self.run.stop) {
            console::print_notice(format_args!("{text}"));
            self.run.manifest.faults.push(text);
        }
    }

    /// Whether another point can be played: nobody has asked for the end, and the target still answers.
    pub fn can_go_on(&self) -> bool {
        !self.run.stop.is_asked() && !self.run.is_cut_off && self.stage.broken().is_none()
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
        let file = self.run.plan_file.take().expect("every point gives it back");
        let mut drawing = Drawing::start(plan, file, self.stage.preparer())?;
        let warmed = self.warm_up(plan, &mut drawing, &label, watch);
        if let Some(failure) = &warmed.failure {
            console::print_notice(format_args!("{label}: {failure}"));
        }
        drawing.wait_until_ahead();
        let entry = PointEntry {
            label,
            plan_hash: plan.hash().to_owned(),
            warmup_requests: match self.run.resolved.warmup_until {
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
                null_rate: self.run.manifest.null_rate,
                client_rate: self.run.manifest.client_rate,
                ..Health::default()
            },
        };
        let (files, log) = self.partial_files(plan, &entry).unzip();
        let log = match self.listener.take() {
            Some(listener) => log.map(|log| heard(log, listener)),
            None => log,
        };
        let early = EarlyEnd::of(self.run.resolved, plan);
        let log = self.ended_by(early.clone(), log);
        let measured = self.measure(plan, drawing, entry, (files, log), warmed, watch);
        if early.is_some() {
            // The next point has its own.
            self.run.stop.set_enough(false);
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
        let stop = self.run.stop.clone();
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
