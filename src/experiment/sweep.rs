//! Sweep: calibrate, open the target, and for each point of load warm up, measure and write.

use crate::clock::Nanos;
use crate::console::streams;
use crate::experiment::between;
use crate::experiment::cache_reset::ResetError;
use crate::experiment::calibrate;
use crate::experiment::client_rate::client_rate;
use crate::experiment::launch::server::LaunchError;
use crate::experiment::open_files::TooFewOpenFiles;
use crate::experiment::point_runner::PointRunner;
use crate::experiment::preflight::{PreflightError, Ready};
use crate::experiment::server_watch::ServerWatchError;
use crate::ffi::cuda::CudaError;
use crate::issue::drawing::DrawingError;
use crate::issue::live_phase::LivePhase;
use crate::issue::phase::StageError;
use crate::issue::stop::Stop;
use crate::load::Load;
use crate::load::plan::{Plan, PlanError};
use crate::metrics::Summary;
use crate::metrics::point_records::RecordsError;
use crate::observe::gpu::library::NvmlUnavailable;
use crate::record::disk::remedy;
use crate::record::nvtx_ranges::NvtxError;
use crate::settings::Resolved;
use crate::store::manifest::{Manifest, PointEntry};
use crate::store::measured_run::MeasuredRun;
use crate::store::run_directory::{DirectoryError, RunDirectory, file};
use crate::store::sent_before::sent_before;
use crate::store::write::{WriteError, write_whole};
use crate::targets::TargetInfo;

/// Why an experiment could not go on. What had been measured by then is on disk.
#[derive(Debug, thiserror::Error)]
pub enum ExperimentError {
    /// The target could not be opened.
    #[error(transparent)]
    Stage(#[from] StageError),
    /// The driver does not say in which state the GPUs are, so nothing was sent.
    #[error(transparent)]
    Gpu(#[from] NvmlUnavailable),
    /// A profiler cannot be switched, so nothing was sent.
    #[error("`--profile-window` cannot be kept to: {0}")]
    Profiler(#[from] CudaError),
    /// The server's metrics cannot be followed.
    #[error(transparent)]
    ServerMetrics(#[from] ServerWatchError),
    /// Nobody listens to ranges, so nothing was sent.
    #[error("`--nvtx` has no effect: {0}")]
    Ranges(#[from] NvtxError),
    /// No folder.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// A file.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The plan of a point could not be drawn or saved, so nothing of it was sent.
    #[error("the plan cannot be drawn and saved, so nothing of it was sent: {0}")]
    Plan(#[from] DrawingError),
    /// The load of a probe cannot be planned.
    #[error(transparent)]
    Probe(#[from] PlanError),
    /// What should run between two points cannot.
    #[error(transparent)]
    Between(#[from] ResetError),
    /// A search needs more room than a session was given.
    #[error(
        "probe {0} would be more than this session has room for: lower `--flood` or `--requests`, or go on with `--resume`"
    )]
    Room(u32),
    /// What is left of an earlier attempt stands in the way.
    #[error("the earlier folder of cell `{name}` cannot be renamed ({source}): move it away")]
    Keep {
        /// Of the cell.
        name: String,
        /// Why.
        source: std::io::Error,
    },
    /// Settings have no form as a file.
    #[error("settings cannot be written as TOML: {0}")]
    Settings(toml::ser::Error),
    /// A target that has failed cannot be opened again.
    #[error("the target cannot be set up again after it failed: {0}")]
    Again(String),
    /// More connections than the system allows files.
    #[error(transparent)]
    OpenFiles(#[from] TooFewOpenFiles),
    /// Nothing of a probe was heard.
    #[error(
        "no request of probe {0} was counted, so nothing is known of its load: see what the run folder says of it"
    )]
    Unheard(u32),
    /// The engine's own statistics could not be followed, so nothing was sent.
    #[error("`iterations.jsonl` cannot be written, so nothing was sent: {0}{then}", then = remedy(.0))]
    Iterations(std::io::Error),
    /// The events of the engine's KV cache could not be followed, so nothing was sent.
    #[error("`kv_events.jsonl` cannot be written, so nothing was sent: {0}{then}", then = remedy(.0))]
    KvEvents(std::io::Error),
    /// The engine's own log could not be kept, so nothing was sent.
    #[error("`engine.log` cannot be written, so nothing was sent: {0}{then}", then = remedy(.0))]
    EngineLog(std::io::Error),
    /// A target that was closed for another one's turn is not what it was.
    #[error("a side cannot be opened again: {0}")]
    ClosedBetween(#[from] Box<PreflightError>),
    /// The same of its server.
    #[error("a side cannot be opened again: {0}")]
    Server(#[from] Box<LaunchError>),
    /// What was recorded cannot be read again.
    #[error(transparent)]
    Records(#[from] RecordsError),
    /// GPUs could not be watched to the end.
    #[error("`gpu.jsonl` cannot be written: {0}{then}", then = remedy(.0))]
    GpuSamples(std::io::Error),
}

/// What a caller sees while an experiment goes on.
pub trait Watch {
    /// The folder exists and the target is about to be opened.
    fn begun(&mut self, target: &TargetInfo, directory: &RunDirectory);
    /// A phase begins: its label and shots, and where to look at it live.
    fn phase(&mut self, label: &str, shots: u64, duration: Option<Nanos>, live: &LivePhase);
    /// The phase is over.
    fn phase_over(&mut self);
    /// A point was measured.
    fn measured(&mut self, entry: &PointEntry, summary: &Summary);
    /// Nothing more is measured: results follow.
    fn ended(&mut self) {}
}

/// Runs everything that is ready and leaves a complete folder, whatever happens on the way. `settings` is what was
/// resolved, as TOML.
///
/// # Errors
/// When files cannot be written or the target cannot be opened.
pub fn run(
    resolved: &Resolved,
    settings: &str,
    ready: Ready,
    stop: &Stop,
    watch: &mut dyn Watch,
) -> Result<MeasuredRun, ExperimentError> {
    let Ready { opening, plans, warnings, roofline, kv: _, source: _, launched } = ready;
    between::check(resolved, stop)?;
    let info = opening.target.describe().clone();
    let sent_before = sent_before(&resolved.out, &info, &resolved.workload);
    let directory = create_directory(resolved, &info, &plans)?;
    keep_engine_log(&directory)?;
    let mut manifest = Manifest::begin(info.clone(), title(resolved), &resolved.workload);
    manifest.launch = launched;
    manifest.warnings = warnings;
    manifest.gpu_hour_price = resolved.gpu_hour_price;
    manifest.keep_wishes(resolved);
    save_before_the_first_request(&directory, settings, &manifest)?;
    watch.begun(&info, &directory);

    // Workers find out for themselves.
    if resolved.workers.is_none() {
        manifest.null_rate = Some(calibrate::null_rate()?);
        calibrate_client(&mut manifest, resolved, &plans);
    }
    let mut runner = PointRunner::open(resolved, opening, &plans, directory, manifest, stop)?
        .with_roofline(roofline)
        .with_sent_before(sent_before);
    let cells = resolved.grid();
    for (index, (plan, cell)) in plans.iter().zip(&cells).enumerate() {
        if index > 0 {
            runner.rest();
        }
        if !runner.can_go_on() {
            break;
        }
        runner.play(plan, cell.label(plan.label()), watch)?;
    }
    Ok(runner.close())
}

/// Measures what the client of a server can read; where that cannot be, the run goes on and says so.
pub(super) fn calibrate_client(manifest: &mut Manifest, resolved: &Resolved, plans: &[Plan]) {
    match client_rate(resolved, plans) {
        Ok(rate) => manifest.client_rate = rate,
        Err(reason) => {
            let fault = format!("what the client can read was not calibrated: {reason}");
            manifest.faults.push(fault);
        }
    }
}

fn create_directory(
    resolved: &Resolved,
    info: &TargetInfo,
    plans: &[Plan],
) -> Result<RunDirectory, DirectoryError> {
    let load = match (&resolved.loads[..], resolved.loads.first()) {
        _ if resolved.stages.is_some() => "stages".into(),
        ([_], Some(load)) => load.to_string(),
        (_, Some(Load::Closed { .. })) => "concurrency-sweep".into(),
        _ => "rate-sweep".into(),
    };
    let hash = plans.first().map_or("", Plan::hash);
    RunDirectory::create(&resolved.out, &info.name, &load, hash)
}

fn title(resolved: &Resolved) -> String {
    let how = match resolved.loads.first() {
        Some(Load::Closed { .. }) => "closed loop",
        Some(Load::Open { .. }) => "open loop",
        Some(Load::Batch) | None => "batch",
    };
    format!("{}, {}, {how}", resolved.target, resolved.workload.asked())
}

/// Before the target is opened, so that all it says is there.
pub(super) fn keep_engine_log(directory: &RunDirectory) -> Result<(), ExperimentError> {
    streams::keep_engine_log(&directory.file(file::ENGINE_LOG)).map_err(ExperimentError::EngineLog)
}

pub(super) fn save_before_the_first_request(
    directory: &RunDirectory,
    settings: &str,
    manifest: &Manifest,
) -> Result<(), ExperimentError> {
    write_whole(&directory.file(file::RESOLVED), settings.as_bytes())?;
    write_whole(&directory.file(file::MANIFEST), manifest.to_json().as_bytes())?;
    Ok(())
}
