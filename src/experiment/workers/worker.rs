//! Worker: plays its slice of each plan when it is told, and sends its records to the leading process.

use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};

use super::link_log::{LinkLog, SharedOutbox};
use crate::clock;
use crate::experiment::calibrate::null_rate;
use crate::experiment::client_rate::client_rate;
use crate::experiment::point_runner::Room;
use crate::experiment::preflight;
use crate::issue::drawing::Drawing;
use crate::issue::pace::{Graces, Pace, RampPace};
use crate::issue::phase::{Keep, Stage};
use crate::issue::stop::Stop;
use crate::issue::workers::link::{Inbox, Link};
use crate::issue::workers::message::{
    Calibration, Order, PlayOrder, PlayedPart, Report, next_order,
};
use crate::load::Load;
use crate::load::plan::{Plan, Slice};
use crate::observe::host::Host;
use crate::request::RequestId;
use crate::settings::Resolved;
use crate::settings::gpu_choice::GpuChoice;
use crate::store::plan_file::PlanWriter;
use crate::targets::{Drain, EngineStatistics, Target};
use crate::threads::Own;

/// Iterations in one message.
const ITERATIONS_AT_ONCE: usize = 1_000;

/// Takes part in a run until its end.
///
/// # Errors
/// When the leading process is gone. What else stands in the way is told to that process, which tells the user.
pub fn work(resolved: Resolved, link: Link) -> io::Result<()> {
    let Link { outbox, mut inbox } = link;
    let outbox = SharedOutbox::new(outbox);
    let Order::Begin { target, seed, slice } = next_order(&mut *inbox)? else {
        return Err(io::Error::other("the leading process does not begin"));
    };
    if let Some(own) = resolved.workers.filter(|own| *own != slice.workers) {
        return outbox.say(&Report::Refused(format!(
            "it was told `--workers {own}`, and the leading process has {}: give the same settings to all",
            slice.workers
        )));
    }
    let mut resolved = Resolved { target, ..resolved };
    resolved.workload.seed = seed;
    begin(inbox, &outbox, |outbox, stop| Worker::open(resolved, slice, outbox, stop))
}

/// Opens a worker, and plays what it is told.
pub(super) fn begin(
    mut inbox: Box<dyn Inbox>,
    outbox: &SharedOutbox,
    open: impl FnOnce(&SharedOutbox, &Stop) -> Result<Worker, String>,
) -> io::Result<()> {
    let tell = outbox.clone();
    let stop = Stop::never().in_company(move || {
        // A leading process that is gone ends this one by itself.
        let _is_gone = tell.say(&Report::CountedEnded);
    });
    let worker = match open(outbox, &stop) {
        Ok(worker) => worker,
        Err(words) => return outbox.say(&Report::Refused(words)),
    };
    let (orders, for_worker) = channel();
    let (answers, stops) = (outbox.clone(), stop);
    Own::Orders.builder().spawn(move || obey_at_once(&mut *inbox, &answers, &stops, &orders))?;
    worker.obey(&for_worker)
}

/// Does what needs no load, and passes on the rest. The end of the leading process is the end of the load.
fn obey_at_once(
    inbox: &mut dyn Inbox,
    answers: &SharedOutbox,
    stop: &Stop,
    orders: &Sender<Order>,
) {
    loop {
        let order = next_order(inbox);
        let received = clock::now();
        let is_heard = match order {
            Ok(Order::Ping(asked)) => {
                let pong = Report::Pong { asked, received, answered: clock::now() };
                answers.say(&pong).is_ok()
            }
            Ok(Order::EndTail) => {
                stop.set_others_ended(true);
                true
            }
            Ok(Order::Enough) => {
                stop.set_enough(true);
                true
            }
            Ok(Order::Stop) => {
                stop.ask();
                true
            }
            Ok(order) => {
                if matches!(order, Order::Play(_)) {
                    stop.set_others_ended(false);
                    stop.set_enough(false);
                }
                orders.send(order).is_ok()
            }
            Err(_) => false,
        };
        if !is_heard {
            stop.ask();
            stop.set_others_ended(true);
            return;
        }
    }
}

/// A worker with an open target.
pub(super) struct Worker {
    resolved: Resolved,
    slice: Slice,
    /// The whole plans, and its slice of each.
    plans: Vec<(Plan, Plan)>,
    stage: Stage,
    statistics: Option<Box<dyn EngineStatistics>>,
    outbox: SharedOutbox,
    /// What is drawn ahead, and of which plan.
    drawing: Option<(usize, Drawing<io::Sink>)>,
}

impl Worker {
    fn open(
        mut resolved: Resolved,
        slice: Slice,
        outbox: &SharedOutbox,
        stop: &Stop,
    ) -> Result<Self, String> {
        // Whatever is watched beside requests, the leading process watches.
        resolved.gpu_telemetry = GpuChoice::None;
        let ready = preflight::prepare(&mut resolved).map_err(|error| error.to_string())?;
        let target = ready.opening.target;
        Self::with(resolved, slice, target, ready.plans, outbox, stop)
    }

    /// Opens a target to play its slice of these plans.
    pub(super) fn with(
        resolved: Resolved,
        slice: Slice,
        target: Box<dyn Target>,
        whole: Vec<Plan>,
        outbox: &SharedOutbox,
        stop: &Stop,
    ) -> Result<Self, String> {
        let mut first = RequestId(0);
        let mut plans = Vec::new();
        for plan in whole {
            let own = plan.slice(slice, first).map_err(|error| error.to_string())?;
            first = own.next_id();
            plans.push((plan, own));
        }
        let own: Vec<Plan> = plans.iter().map(|(_, own)| own.clone()).collect();
        let Room { requests, slots } = Room::of(&own);
        let stage = Stage::open_heard(target, requests, slots, stop.clone(), None, Keep::Nothing)
            .map_err(|error| error.to_string())?;
        let (statistics, outbox) = (stage.statistics(), outbox.clone());
        let mut worker = Self { resolved, slice, plans, stage, statistics, outbox, drawing: None };
        worker.draw(0)?;
        let host = Host::read();
        let ready = Report::Ready {
            plans: worker.plans.iter().map(|(whole, _)| whole.hash().to_owned()).collect(),
            facts: worker.stage.facts(),
            has_statistics: worker.statistics.is_some(),
            process: std::process::id(),
            cores: host.usable_cores.map_or(1, |cores| cores as u32),
            host: host.name,
        };
        worker.outbox.say(&ready).map_err(|error| error.to_string())?;
        Ok(worker)
    }

    /// Draws a plan ahead, where there is such a one and it is not drawn already.
    fn draw(&mut self, number: usize) -> Result<(), String> {
        if self.drawing.as_ref().is_some_and(|(drawn, _)| *drawn == number) {
            return Ok(());
        }
        self.drawing = None;
        let Some((_, plan)) = self.plans.get(number) else { return Ok(()) };
        let file = PlanWriter::new(io::sink());
        let drawing = Drawing::start(plan, file, self.stage.preparer());
        self.drawing = Some((number, drawing.map_err(|error| error.to_string())?));
        Ok(())
    }

    /// Plays what it is told to, until it is told to finish or nobody is left to tell it.
    fn obey(mut self, orders: &Receiver<Order>) -> io::Result<()> {
        while let Ok(order) = orders.recv() {
            match order {
                Order::Play(order) => {
                    let said = match self.play(&order) {
                        Ok(part) => Report::Played(Box::new(part)),
                        Err(words) => Report::Refused(words),
                    };
                    self.tell_iterations()?;
                    self.outbox.say(&said)?;
                }
                Order::Connect { load, shots } => {
                    let load = self.slice.load(load).unwrap_or(Load::Closed { concurrency: 1 });
                    let shots = shots.div_ceil(self.slice.workers as usize);
                    self.stage.connect(&load, shots);
                    self.outbox.say(&Report::Connected)?;
                }
                Order::Calibrate => {
                    self.outbox.say(&Report::Calibrated(self.calibrate()))?;
                }
                Order::Finish => break,
                Order::Begin { .. }
                | Order::BeginSide(_)
                | Order::Ping(_)
                | Order::EndTail
                | Order::Enough
                | Order::Stop => {}
            }
        }
        let Self { stage, statistics, outbox, drawing, .. } = self;
        drop((drawing, statistics));
        let words = match stage.finish() {
            Drain::Clean => None,
            Drain::Forced(words) => Some(words),
        };
        outbox.say(&Report::Closed(words))
    }

    /// What the engine did during a phase, behind it: nothing is sent beside the load for that.
    fn tell_iterations(&mut self) -> io::Result<()> {
        let Some(statistics) = &mut self.statistics else { return Ok(()) };
        let mut told = Vec::new();
        statistics.iterations(&mut told).map_err(io::Error::other)?;
        for part in told.chunks(ITERATIONS_AT_ONCE) {
            let texts = part.iter().map(|it| it.raw_json.clone()).collect();
            self.outbox.say(&Report::Iterations(texts))?;
        }
        Ok(())
    }

    /// What this process could send and read, as one that works alone finds out before its load.
    fn calibrate(&self) -> Calibration {
        let own: Vec<Plan> = self.plans.iter().map(|(_, own)| own.clone()).collect();
        let (null, of_null) = match null_rate() {
            Ok(rate) => (Some(rate), None),
            Err(error) => (None, Some(error.to_string())),
        };
        let (client, of_client) = match client_rate(&self.resolved, &own) {
            Ok(rate) => (rate, None),
            Err(words) => (None, Some(words)),
        };
        Calibration { null, client, fault: of_null.or(of_client) }
    }

    fn play(&mut self, order: &PlayOrder) -> Result<PlayedPart, String> {
        let is_it =
            |list: &crate::load::plan::ShotList| !list.is_empty() && list.first_id() == order.first;
        let found = self.plans.iter().enumerate().find_map(|(number, (whole, _))| {
            let warm_up = is_it(whole.warmup());
            (warm_up || is_it(whole.shots())).then_some((number, warm_up))
        });
        let (number, is_warm_up) =
            found.ok_or_else(|| format!("no plan begins with request {}", order.first.0))?;
        self.draw(number)?;
        let pace = self.pace(order, number, is_warm_up);
        let Self { plans, stage, outbox, drawing, .. } = self;
        let plan = &plans[number].1;
        let (_, drawing) = drawing.as_mut().ok_or("nothing is drawn")?;
        let in_flight = stage.in_flight();
        let (list, fill) =
            if is_warm_up { (plan.warmup(), None) } else { (plan.shots(), Some(plan.fill())) };
        let log = LinkLog::new(outbox.clone(), list, fill, in_flight);
        let mut shots = if is_warm_up { drawing.shots(list) } else { drawing.measured(plan) };
        let (played, phase) = stage.play(&mut shots, &pace, Some(Box::new(log)));
        if is_warm_up {
            drawing.wait_until_ahead();
        } else {
            self.draw(number + 1)?;
        }
        Ok(PlayedPart {
            played,
            late_events: phase.late_events,
            waited: self.stage.waited(),
            stray_ends: self.stage.stray_ends(),
            broken: self.stage.broken().map(str::to_owned),
            recorder_cpu: phase.recorder_cpu,
        })
    }

    fn pace(&self, order: &PlayOrder, number: usize, is_warm_up: bool) -> Pace {
        let plan = &self.plans[number].1;
        // A warm-up may have fewer slots than there are workers.
        let load = if is_warm_up {
            self.slice.load(order.load).unwrap_or(Load::Closed { concurrency: 1 })
        } else {
            plan.load()
        };
        let at_most = plan.ramp_at_most();
        Pace {
            load,
            ramp: order.ramp.map(|ramp| RampPace { over: ramp.over, at_most, then: ramp.then }),
            tail: order.tail,
            stages: None,
            duration: order.duration,
            timeout: self.resolved.timeout,
            drain: self.resolved.drain,
            graces: Graces::OF_RUNS,
            begin_at: Some(order.at),
        }
    }
}
