//! Search: probes of one opened target, each a point of one run folder, until the limit is known.

use std::slice;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::clock::{self, Nanos};
use crate::experiment::between;
use crate::experiment::calibrate;
use crate::experiment::open_files;
use crate::experiment::point_runner::{Beginning, PointRunner, Room};
use crate::experiment::preflight::Ready;
use crate::experiment::sweep::{
    ExperimentError, Watch, calibrate_client, keep_engine_log, save_before_the_first_request,
};
use crate::experiment::tally::{Tallied, Tally};
use crate::issue::live_phase::LivePhase;
use crate::issue::stop::Stop;
use crate::load::course::Course;
use crate::load::plan::{Plan, PlanSize, PlanStart};
use crate::load::{Arrivals, Load};
use crate::metrics::Summary;
use crate::metrics::definition::Rate;
use crate::metrics::search::{Axis, Next, Probe, Role, Search, Step, next, outcome};
use crate::request::RequestId;
use crate::settings::Resolved;
use crate::store::manifest::{Manifest, PointEntry};
use crate::store::measured_run::MeasuredRun;
use crate::store::run_directory::RunDirectory;
use crate::store::write::WriteError;
use crate::targets::TargetInfo;
use crate::workload::Workload;
use crate::workload::prompts::PromptSource;

/// How probes are played.
pub struct Terms<'a> {
    /// What is asked and how.
    pub resolved: &'a Resolved,
    /// The same as TOML.
    pub settings: &'a str,
    /// Longest time that a probe sends.
    pub duration: Nanos,
    /// The search's own folder.
    pub directory: &'a RunDirectory,
}

/// Saves a search as far as it has come.
pub type Save<'a> = dyn FnMut(&Search) -> Result<(), WriteError> + 'a;

/// Plays probes until the search is done or the end is asked for. `search` may hold finished ones, which are not repeated; it
/// is saved after each.
///
/// # Errors
/// When the target cannot be opened, a file not be written, or a probe not be planned.
pub fn play(
    search: &mut Search,
    terms: &Terms<'_>,
    ready: Ready,
    stop: &Stop,
    watch: &mut dyn Watch,
    save: &mut Save<'_>,
) -> Result<MeasuredRun, ExperimentError> {
    let Ready { opening, plans, warnings, roofline, kv: _, source, launched } = ready;
    let info = opening.target.describe().clone();
    between::check(terms.resolved, stop)?;
    let (folder, directory) = new_folder(terms.directory)?;
    keep_engine_log(&directory)?;
    let workload = &terms.resolved.workload;
    let mut manifest = Manifest::begin(info.clone(), search.title.clone(), workload);
    manifest.launch = launched;
    manifest.warnings = warnings;
    manifest.gpu_hour_price = terms.resolved.gpu_hour_price;
    manifest.keep_wishes(terms.resolved);
    save_before_the_first_request(&directory, terms.settings, &manifest)?;
    watch.begun(&info, &directory);
    manifest.null_rate = Some(calibrate::null_rate()?);
    calibrate_client(&mut manifest, terms.resolved, &plans);
    let room = room(search);
    let beginning = Beginning::Closed(opening, room);
    let runner = PointRunner::begin(terms.resolved, beginning, directory, manifest, stop)?
        .with_roofline(roofline);
    let mut player =
        Player { terms, info, source, folder, room, runner, stop, next_id: RequestId(0), point: 0 };
    let mut is_first = true;
    while player.runner.can_go_on() {
        search.outcome = outcome(&search.question, &search.probes);
        let (role, at) = match next(&search.question, &search.probes) {
            Step::Done(outcome) => {
                search.outcome = outcome;
                save(search)?;
                break;
            }
            Step::Play(role, at) => (role, at),
        };
        if !std::mem::take(&mut is_first) {
            player.runner.rest();
        }
        let Some(probe) = player.probe(search, role, at, watch)? else { break };
        search.probes.push(probe);
        search.outcome = outcome(&search.question, &search.probes);
        save(search)?;
    }
    Ok(player.runner.close())
}

/// The first of `probes`, `probes-2`, … that is not there.
fn new_folder(directory: &RunDirectory) -> Result<(String, RunDirectory), ExperimentError> {
    let mut number = 1;
    loop {
        let name = if number == 1 { "probes".to_owned() } else { format!("probes-{number}") };
        if !directory.file(&name).exists() {
            let made = directory.below(&name)?;
            return Ok((name, made));
        }
        number += 1;
    }
}

/// Enough for every probe that a search may need: a request is a byte.
fn room(search: &Search) -> Room {
    let (probes, flood) =
        (search.question.most_probes as usize + 1, search.question.flood.max(2) as usize);
    let requests = search.requests as usize + search.longest as usize;
    let cap = match search.open_loop {
        Load::Open { max_in_flight, .. } => max_in_flight.unwrap_or(0) as usize,
        Load::Closed { .. } | Load::Batch => 0,
    };
    let requests = probes * (4 * requests + 2_048) + 2_000 * flood;
    Room { requests, slots: (128 * flood).max(cap) }
}

struct Player<'a> {
    terms: &'a Terms<'a>,
    info: TargetInfo,
    source: PromptSource,
    folder: String,
    room: Room,
    runner: PointRunner<'a>,
    stop: &'a Stop,
    next_id: RequestId,
    point: u32,
}

impl Player<'_> {
    /// Plays one; `None` where the end was asked for or the target has failed meanwhile.
    fn probe(
        &mut self,
        search: &Search,
        role: Role,
        at: Next,
        watch: &mut dyn Watch,
    ) -> Result<Option<Probe>, ExperimentError> {
        let short = self.played(search, role, at, search.requests, watch)?;
        let may_rise = matches!(at, Next::PerSecond(_));
        let (Some(probe), tallied) = short else { return Ok(None) };
        if !(may_rise && tallied.rises && search.longest > search.requests) {
            return Ok(Some(judged(probe, may_rise && tallied.grows)));
        }
        let before = probe.seconds;
        let (long, tallied) = self.played(search, role, at, search.longest, watch)?;
        let Some(long) = long else { return Ok(None) };
        let probe = Probe { seconds: before + long.seconds, ..long };
        Ok(Some(judged(probe, tallied.grows)))
    }

    /// Plays a load as a point; no probe where the end was asked for or the target has failed meanwhile.
    fn played(
        &mut self,
        search: &Search,
        role: Role,
        at: Next,
        requests: u32,
        watch: &mut dyn Watch,
    ) -> Result<(Option<Probe>, Tallied), ExperimentError> {
        let number = search.probes.len() as u32 + 1;
        let plan = self.plan(search, (role, at), requests, number)?;
        let load = plan.load();
        let only_brackets = role == Role::Flood && search.question.axis == Axis::Rate;
        let first = plan.shots().facts().next().map_or(0, |shot| shot.id.0);
        let streaming = self.terms.resolved.workload.streaming;
        let horizon = match at {
            Next::PerSecond(_) => u64::from(search.longest.max(requests)),
            Next::InFlight(_) => plan.shots().len() as u64,
        };
        let tally = Tally::new(&search.question.objectives, streaming, first, horizon);
        let tally = Arc::new(Mutex::new(tally));
        let (heard, stop) = (Arc::clone(&tally), self.stop.clone());
        self.runner.listen(Box::new(move |record| {
            let mut tally = lock(&heard);
            tally.add(record);
            // A throughput is wanted of the flood, which takes all of it.
            if tally.is_decided() && !only_brackets {
                stop.set_enough(true);
            }
        }));
        let began = clock::now();
        let mut seen = Seen { watch, measured: None };
        let label = format!("probe {number}, {}: {load}", role.word());
        let played = self.runner.play(&plan, label, &mut seen);
        self.stop.set_enough(false);
        played?;
        let measured = seen.measured;
        let tallied = lock(&tally).finish();
        if !self.runner.can_go_on() {
            return Ok((None, tallied));
        }
        if tallied.counted == 0 {
            return Err(ExperimentError::Unheard(number));
        }
        let throughput = measured.and_then(|rates| {
            let was_cut = lock(&tally).is_decided() && !only_brackets;
            rates.of_probe(was_cut)
        });
        self.point += 1;
        let probe = Probe {
            number,
            role,
            load,
            at: on_axis(search.question.axis, &load),
            counted: tallied.counted,
            good: tallied.good,
            counts: tallied.counts.clone(),
            meets: tallied.meets,
            certain: tallied.certain,
            throughput,
            seconds: (clock::now() - began).as_secs_f64(),
            folder: self.folder.clone(),
            point: plan.point(),
        };
        Ok((Some(probe), tallied))
    }

    fn plan(
        &mut self,
        search: &Search,
        (role, at): (Role, Next),
        requests: u32,
        number: u32,
    ) -> Result<Plan, ExperimentError> {
        let resolved = self.terms.resolved;
        let (load, requests) = match at {
            Next::InFlight(concurrency) => {
                (Load::Closed { concurrency }, requests.max(2 * concurrency))
            }
            Next::PerSecond(rate) => (at_rate(search.open_loop, rate), requests),
        };
        let requests = match (role, search.question.axis) {
            (Role::Flood, Axis::Rate) => 2 * search.question.flood.max(2),
            _ => requests,
        };
        let size = PlanSize {
            requests: Some(requests),
            duration: Some(self.terms.duration),
            warmup: resolved.size(&load).warmup,
            course: Course::of(&load, resolved.window, resolved.ramp),
            stages: None,
        };
        let start = PlanStart { point: self.point, first_id: self.next_id };
        let workload = Workload {
            // Lengths and gaps follow from the seed: what is asked again is asked with others.
            seed: match role {
                Role::Confirm | Role::Again => {
                    resolved.workload.seed.wrapping_add(u64::from(number)) & (i64::MAX as u64)
                }
                _ => resolved.workload.seed,
            },
            ..resolved.workload.clone()
        };
        let plan = Plan::draw(&workload, &load, size, start, &self.source)?;
        plan.check(&self.info.limits)?;
        open_files::raise(&self.info, slice::from_ref(&plan))?;
        let slots = match load {
            Load::Closed { concurrency } => concurrency as usize,
            Load::Open { max_in_flight, .. } => max_in_flight.unwrap_or(0) as usize,
            Load::Batch => 0,
        };
        self.next_id = plan.next_id();
        if plan.next_id().0 as usize > self.room.requests || slots > self.room.slots {
            return Err(ExperimentError::Room(number));
        }
        Ok(plan)
    }
}

/// Where latencies still rise when a probe ends, a longer one would miss: the queue grows.
fn judged(probe: Probe, grows: bool) -> Probe {
    if grows { Probe { meets: false, certain: false, ..probe } } else { probe }
}

/// The same load at another rate.
fn at_rate(open_loop: Load, rate: f64) -> Load {
    match open_loop {
        Load::Open { arrivals, max_in_flight, .. } => Load::Open { arrivals, rate, max_in_flight },
        Load::Closed { .. } | Load::Batch => {
            Load::Open { arrivals: Arrivals::Poisson, rate, max_in_flight: None }
        }
    }
}

fn lock(tally: &Mutex<Tally>) -> MutexGuard<'_, Tally> {
    tally.lock().unwrap_or_else(PoisonError::into_inner)
}

fn on_axis(axis: Axis, load: &Load) -> Option<f64> {
    match (axis, *load) {
        (Axis::Rate, Load::Open { rate, .. }) => Some(rate),
        (Axis::Concurrency, Load::Closed { concurrency }) => Some(f64::from(concurrency)),
        _ => None,
    }
}

/// Completed requests per second of a point.
#[derive(Debug, Clone, Copy)]
struct Rates {
    of_window: Option<f64>,
    of_whole_run: Option<f64>,
}

impl Rates {
    /// A probe that was decided has been cut short, often before a request had ended in its window, which would then tell of a
    /// throughput of 0: there everything counts that was sent.
    fn of_probe(self, was_cut: bool) -> Option<f64> {
        let of_window = self.of_window.filter(|rate| !was_cut && *rate > 0.0);
        of_window.or(self.of_whole_run)
    }
}

/// Sees the throughput of a point.
struct Seen<'a> {
    watch: &'a mut dyn Watch,
    measured: Option<Rates>,
}

impl Watch for Seen<'_> {
    fn begun(&mut self, target: &TargetInfo, directory: &RunDirectory) {
        self.watch.begun(target, directory);
    }

    fn phase(&mut self, label: &str, shots: u64, duration: Option<Nanos>, live: &LivePhase) {
        self.watch.phase(label, shots, duration, live);
    }

    fn phase_over(&mut self) {
        self.watch.phase_over();
    }

    fn measured(&mut self, entry: &PointEntry, summary: &Summary) {
        let whole = summary.whole_run.as_ref();
        self.measured = Some(Rates {
            of_window: summary.rate(Rate::RequestThroughput),
            of_whole_run: whole
                .and_then(|it| it.rates.get(&Rate::RequestThroughput).copied().flatten()),
        });
        self.watch.measured(entry, summary);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_that_was_cut_short_tells_of_everything_it_sent_and_never_of_an_empty_window() {
        let rates = |of_window| Rates { of_window, of_whole_run: Some(40.0) };
        assert_eq!(rates(Some(50.0)).of_probe(false), Some(50.0));
        assert_eq!(rates(Some(900.0)).of_probe(true), Some(40.0));
        assert_eq!(rates(Some(0.0)).of_probe(false), Some(40.0));
        assert_eq!(rates(None).of_probe(false), Some(40.0));
    }
}
