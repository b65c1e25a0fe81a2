//! What a run is, resolved: target, engine, workload, loads, sizes, limits, output.

pub mod cells;
pub mod declared;
pub mod engine;
pub mod engine_arg;
pub mod export;
pub mod gpu_choice;
pub mod human_duration;
pub mod launch;
pub mod load_rules;
pub mod masking;
pub mod objective;
pub mod otlp_address;
pub mod profile_window;
pub mod scrape_address;
pub mod seed_choice;
pub mod served;
pub mod server_metrics;
pub mod slo;
pub mod stages_text;
pub mod time_unit;
pub mod ui;
pub mod upload_place;
pub mod warm_up_end;
pub mod window_rule;

use std::path::PathBuf;

use crate::clock::Nanos;
use crate::load::course::{Course, WindowKind};
use crate::load::plan::{MAX_PLAN_SHOTS, PlanSize, Pool};
use crate::load::stages::{Stages, StagesOf};
use crate::load::{Arrivals, Load};
use crate::settings::declared::Declared;
use crate::settings::engine::EngineSettings;
use crate::settings::export::{ExportFormat, PlotFormat};
use crate::settings::gpu_choice::GpuChoice;
use crate::settings::launch::LaunchSettings;
use crate::settings::load_rules::requests_of_slots;
use crate::settings::otlp_address::OtlpAddress;
use crate::settings::profile_window::ProfileWindow;
use crate::settings::scrape_address::ScrapeAddress;
use crate::settings::served::ServedSettings;
use crate::settings::slo::Slos;
use crate::settings::time_unit::TimeUnit;
use crate::settings::ui::Ui;
use crate::settings::upload_place::UploadPlace;
use crate::settings::warm_up_end::{MOST_WARM_UP_REQUESTS, WarmUpEnd};
use crate::settings::window_rule::{MOST_WINDOWS, WindowRule};
use crate::specs::MachineFigures;
use crate::warning::Code;
use crate::workload::Workload;
use crate::workload::scenario::Scenario;

/// Concurrencies of a closed loop where none is given.
pub const DEFAULT_CONCURRENCIES: [u32; 6] = [1, 2, 4, 8, 16, 32];
/// The target of a first run: no file, no GPU, no download.
pub const DEFAULT_TARGET: &str = "local:dummy-nano";
/// Lengths where none are given.
pub const DEFAULT_SCENARIO: &str = "D(128,64)";
pub(crate) const DEFAULT_SEED: u64 = 42;
pub(crate) const DEFAULT_TIMEOUT: Nanos = Nanos::from_millis(600_000);
pub(crate) const DEFAULT_DRAIN: Nanos = Nanos::from_millis(30_000);
pub(crate) const DEFAULT_OPEN_LOOP_DURATION: Nanos = Nanos::from_millis(30_000);
pub(crate) const DEFAULT_BATCH_REQUESTS: u32 = 100;

/// Everything that a run needs to know, with no value left open but those that are the engine's own.
#[derive(Debug, Clone, PartialEq)]
pub struct Resolved {
    /// What answers.
    pub target: String,
    /// How it is set up.
    pub engine: EngineSettings,
    /// The GPU that the engine runs on, where the user gives it.
    pub gpu: Option<MachineFigures>,
    /// What an hour of one GPU costs, where the user gives it.
    pub gpu_hour_price: Option<f64>,
    /// Memory bandwidth of this host in GB/s, where the user gives it.
    pub memory_bandwidth_gbps: Option<f64>,
    /// How a server is asked.
    pub served: ServedSettings,
    /// The server that is started for it.
    pub launch: Option<LaunchSettings>,
    /// What is asked.
    pub workload: Workload,
    /// How long prompts and outputs are, each with every load; the first one is that of the workload.
    pub scenarios: Vec<Scenario>,
    /// Each scenario and load has a folder of its own, even where there is one scenario.
    pub cells: bool,
    /// When it is asked: one run for each.
    pub loads: Vec<Load>,
    /// Texts of each request of a batch: each load is played with each of them; empty where requests have one text.
    pub batch_sizes: Vec<u32>,
    /// Measured requests of each run; `None` has a default that differs between the loads, or a duration is given.
    pub requests: Option<u32>,
    /// Measured requests for each slot of a closed loop, instead.
    pub requests_per_slot: Option<u32>,
    /// How long each run sends requests.
    pub duration: Option<Nanos>,
    /// Requests before each run; `None` has a default that differs between the loads.
    pub warmup: Option<u32>,
    /// When a warm-up ends, where that is not after a number of requests.
    pub warmup_until: Option<WarmUpEnd>,
    /// How long the ramp of each run is; `None` follows from what is measured.
    pub ramp: Option<Nanos>,
    /// Slots that a closed loop starts each second, which gives each run a ramp of its own.
    pub spawn_rate: Option<f64>,
    /// Stages of a load that changes with time; the only load is then their mean rate or their most slots.
    pub stages: Option<Stages>,
    /// Runs of each load.
    pub repeat: u32,
    /// Windows that end a run as soon as three of them agree.
    pub windows: Option<WindowRule>,
    /// A rate that is found to be too high ends its run.
    pub stop_when_saturated: bool,
    /// Pause between two points.
    pub cool_down: Option<Nanos>,
    /// Command that runs between two points, or the name of one.
    pub between: Option<String>,
    /// What rates are taken over.
    pub window: WindowKind,
    /// Longest time of one request.
    pub timeout: Nanos,
    /// How long answers are awaited at the end.
    pub drain: Nanos,
    /// What a good request meets.
    pub slos: Slos,
    /// Which GPUs are watched.
    pub gpu_telemetry: GpuChoice,
    /// NVIDIA's management library, where it is not the system's.
    pub nvml_library: Option<PathBuf>,
    /// When a profiler looks.
    pub profile_window: Option<ProfileWindow>,
    /// Phases and requests are marked for a profiler.
    pub nvtx: bool,
    /// NVIDIA's driver library, where it is not the system's.
    pub cuda_library: Option<PathBuf>,
    /// Processes that send the load together; `None` sends it from this one.
    pub workers: Option<u32>,
    /// Where run directories are made.
    pub out: PathBuf,
    /// Keep the stamp of each delivery.
    pub keep_deliveries: bool,
    /// Tools in whose shapes results are written too.
    pub export: Vec<ExportFormat>,
    /// Formats in which plots are written too.
    pub plots: Vec<PlotFormat>,
    /// Where metrics are answered while a run goes on.
    pub prometheus: Option<ScrapeAddress>,
    /// The collector that metrics go to.
    pub otlp: Option<OtlpAddress>,
    /// Where run directories are uploaded to.
    pub upload: Option<UploadPlace>,
    /// What the user says of server and run.
    pub declared: Declared,
    /// What latencies are shown in, on the console and in Markdown.
    pub time_unit: TimeUnit,
    /// Warning codes that end a run with exit code 4.
    pub deny: Vec<Code>,
    /// Warning codes that are known and do not decide the verdict.
    pub allow: Vec<Code>,
    /// How progress is shown.
    pub ui: Ui,
    /// No progress.
    pub quiet: bool,
    /// The bounds as they were typed.
    pub slo_text: Option<String>,
}

impl Resolved {
    /// Whether slots of a closed loop open and close while it is measured.
    pub fn has_stages_of_a_closed_loop(&self) -> bool {
        self.stages.is_some_and(|it| it.of == StagesOf::Concurrency)
    }

    /// How much is asked at one load, defaults included.
    ///
    /// Where neither requests nor a duration are given: a closed loop gets four rounds and at least 40 requests, an
    /// open loop 30 seconds, a batch 100 requests. That is a first look; published figures want more (see the marks
    /// on percentiles).
    pub fn size(&self, load: &Load) -> PlanSize {
        let asked = match (self.requests_per_slot, load) {
            (Some(times), Load::Closed { concurrency }) => {
                Some(requests_of_slots(times, *concurrency))
            }
            _ => self.requests,
        };
        let limit = self.windows.map(|rule| Nanos(rule.interval.0.saturating_mul(MOST_WINDOWS)));
        let duration = self.duration.or(limit.filter(|_| asked.is_none()));
        let sessions = self.workload.conversation().and_then(|it| it.sessions);
        let (requests, duration) = match (asked, duration, load) {
            // As many as their conversations have.
            (None, None, _) if sessions.is_some() => (Some(MAX_PLAN_SHOTS), None),
            (None, None, Load::Closed { concurrency }) => {
                (Some(concurrency.saturating_mul(4).max(40)), None)
            }
            // As many as the trace has.
            (None, None, Load::Open { arrivals: Arrivals::Replay, .. }) => (None, None),
            (None, None, Load::Open { .. }) => (None, Some(DEFAULT_OPEN_LOOP_DURATION)),
            (None, None, Load::Batch) => (Some(DEFAULT_BATCH_REQUESTS), None),
            (requests, duration, _) => (requests, duration),
        };
        let warmup = match (self.warmup_until, load) {
            (Some(_), _) => self.warm_up_supply(),
            (None, Load::Closed { concurrency }) => {
                self.warmup.unwrap_or((*concurrency).clamp(2, 32))
            }
            (None, Load::Open { .. } | Load::Batch) => self.warmup.unwrap_or(8),
        };
        let ramp = match (self.spawn_rate, load) {
            (Some(each_second), Load::Closed { concurrency }) => {
                Some(Nanos::from_secs_f64(f64::from(*concurrency) / each_second))
            }
            // A load that may be too high has no steady state to be brought to.
            (_, Load::Open { .. }) if self.stop_when_saturated => self.ramp.or(Some(Nanos::ZERO)),
            _ => self.ramp,
        };
        if let Some(stages) = self.stages {
            let (course, duration) = (Course::default(), Some(stages.list.span()));
            return PlanSize { requests: None, duration, warmup, course, stages: Some(stages) };
        }
        let course = Course::of(load, self.window, ramp);
        PlanSize { requests, duration, warmup, course, stages: None }
    }

    /// Requests that a warm-up may need whose number is not known before.
    fn warm_up_supply(&self) -> u32 {
        let each = self.workload.scenario.mean().input.max(1);
        let room = Pool::of(self.workload.prompts).tokens / u64::from(each);
        (room.clamp(64, u64::from(MOST_WARM_UP_REQUESTS))) as u32
    }

    /// Says how much is asked where it follows from the load and is alike for all of them: one setting cannot say more.
    pub(crate) fn fill_in_sizes(&mut self) {
        if self
            .workload
            .file
            .as_ref()
            .is_some_and(|it| it.conversation.is_some_and(|it| it.sessions.is_some()))
        {
            return;
        }
        let sizes: Vec<PlanSize> = self.loads.iter().map(|load| self.size(load)).collect();
        let Some((first, others)) = sizes.split_first() else { return };
        if self.warmup_until.is_none() && others.iter().all(|it| it.warmup == first.warmup) {
            self.warmup = Some(first.warmup);
        }
        let end = |size: &PlanSize| (size.requests, size.duration);
        let by_rule = self.requests_per_slot.is_some();
        if !by_rule && others.iter().all(|size| end(size) == end(first)) {
            (self.requests, self.duration) = end(first);
        }
    }
}
