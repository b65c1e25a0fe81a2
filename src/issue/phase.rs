//! Phase of a run, from its first shot to its records; the same for warm-up and measurement.

use std::sync::Arc;

use crate::issue::conversations::play_conversations;
use crate::issue::issuer::play;
use crate::issue::live_phase::{InFlight, LivePhase};
use crate::issue::pace::{Pace, Played};
use crate::issue::shots::Shots;
use crate::issue::stop::Stop;
use crate::issue::workers::{Workers, WorkersError};
use crate::load::Load;
use crate::load::plan::{Shot, ShotFacts};
use crate::observe::gpu::sampler::LatestSamples;
use crate::record::backpressure::Waited;
use crate::record::gate::Gate;
use crate::record::log::RecordLog;
use crate::record::nvtx_ranges::Tool;
use crate::record::recorder::{PhaseRecords, Recorder};
use crate::record::request_table::PlannedRequest;
use crate::record::sink::Sink;
use crate::targets::{Drain, EngineStatistics, KvEvents, Prepare, Session, Target, TargetError};
use crate::workload::seeds::Phase;

/// An opened target with everything around it that turns shots into records: in this process, or in several.
pub struct Stage(Players);

enum Players {
    Here(Box<Here>),
    Workers(Box<Workers>),
}

/// A target that is opened in this process.
struct Here {
    session: Box<dyn Session>,
    issuer: Sink,
    gate: Arc<Gate>,
    recorder: Recorder,
    stop: Stop,
}

/// What is kept of answers while they come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// Counts and hashes.
    Nothing,
    /// All of each, since later prompts repeat them.
    Answers,
}

/// Why a stage could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    /// The target.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// Processes that should send the load together.
    #[error(transparent)]
    Workers(#[from] WorkersError),
    /// A thread.
    #[error("the recorder's thread cannot be started: {0}")]
    Thread(#[from] std::io::Error),
}

/// Requests that will be in flight. An open loop without a cap does not say: those of a second.
fn in_flight(load: &Load, shots: usize) -> usize {
    let most = match *load {
        Load::Closed { concurrency } => concurrency as usize,
        Load::Open { max_in_flight: Some(cap), .. } => cap as usize,
        Load::Open { rate, max_in_flight: None, .. } => rate.ceil() as usize,
        Load::Batch => shots,
    };
    most.min(shots)
}

impl Stage {
    /// Opens a target for a session of at most `requests` shots, of which at most `slots` go in a closed loop.
    ///
    /// # Errors
    /// When the target cannot be opened or a thread not be started.
    pub fn open(
        target: Box<dyn Target>,
        requests: usize,
        slots: usize,
        stop: Stop,
    ) -> Result<Self, StageError> {
        Self::open_heard(target, requests, slots, stop, None, Keep::Nothing)
    }

    /// The same, where a tool may listen to its requests.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_heard(
        target: Box<dyn Target>,
        requests: usize,
        slots: usize,
        stop: Stop,
        tool: Option<Tool>,
        keep: Keep,
    ) -> Result<Self, StageError> {
        let recorder = Recorder::start()?;
        let gate = Gate::new(requests, slots).with_ranges(tool);
        let gate = Arc::new(match keep {
            Keep::Nothing => gate,
            Keep::Answers => gate.keeping_answers(),
        });
        let issuer = recorder.sink(&gate);
        let _loading = tool.map(|tool| tool.phase("load"));
        let session = target.open(recorder.sink(&gate))?;
        Ok(Self(Players::Here(Box::new(Here { session, issuer, gate, recorder, stop }))))
    }

    /// Of several processes, each of which has opened the target.
    pub fn of_workers(workers: Workers) -> Self {
        Self(Players::Workers(Box::new(workers)))
    }

    /// The processes, where there are several.
    pub fn workers(&self) -> Option<&Workers> {
        match &self.0 {
            Players::Here(_) => None,
            Players::Workers(workers) => Some(workers),
        }
    }

    fn here(&self) -> Option<&Here> {
        match &self.0 {
            Players::Here(here) => Some(here),
            Players::Workers(_) => None,
        }
    }

    /// Opens what so many shots of a load will need, before they come.
    pub fn connect(&mut self, load: &Load, shots: usize) {
        match &mut self.0 {
            Players::Here(here) => here.session.connect(in_flight(load, shots)),
            // Each does so by itself when it is told to play.
            Players::Workers(_) => {}
        }
    }

    /// Plays shots and returns when each has its record.
    pub fn run(
        &mut self,
        shots: &[Shot],
        pace: &Pace,
        log: Option<Box<dyn RecordLog>>,
    ) -> (Played, PhaseRecords) {
        self.play(&mut Shots::ready(shots), pace, log)
    }

    /// The same, of shots that may be drawn meanwhile.
    pub fn play(
        &mut self,
        shots: &mut Shots<'_>,
        pace: &Pace,
        log: Option<Box<dyn RecordLog>>,
    ) -> (Played, PhaseRecords) {
        match &mut self.0 {
            Players::Here(here) => here.play(shots, pace, log),
            Players::Workers(workers) => workers.play(shots, pace, log),
        }
    }

    /// Makes the target's form of requests, for a thread of its own; `None` where there is nothing to make here.
    pub fn preparer(&self) -> Option<Box<dyn Prepare>> {
        self.here()?.session.preparer()
    }

    /// What is known of the engine only since it was opened.
    pub fn facts(&self) -> Option<serde_json::Value> {
        match &self.0 {
            Players::Here(here) => here.session.facts(),
            Players::Workers(workers) => workers.facts(),
        }
    }

    /// What the engine says of itself, for a thread of its own; `None` where it says nothing.
    pub fn statistics(&self) -> Option<Box<dyn EngineStatistics>> {
        match &self.0 {
            Players::Here(here) => here.session.statistics(),
            Players::Workers(workers) => workers.statistics(),
        }
    }

    /// What happens to blocks of the engine's KV cache, for a thread of its own; `None` where it was not asked.
    pub fn kv_events(&self) -> Option<Box<dyn KvEvents>> {
        self.here()?.session.kv_events()
    }

    /// Ends that belonged to no open request, so far.
    pub fn stray_ends(&self) -> u64 {
        match &self.0 {
            Players::Here(here) => here.gate.stray_ends(),
            Players::Workers(workers) => workers.stray_ends(),
        }
    }

    /// How long threads have waited for the recorder, so far.
    pub fn waited(&self) -> Waited {
        match &self.0 {
            Players::Here(here) => here.recorder.waited(),
            Players::Workers(workers) => workers.waited(),
        }
    }

    /// Why the target as a whole answers no more, or a process was lost, if so.
    pub fn broken(&self) -> Option<&str> {
        match &self.0 {
            Players::Here(here) => here.gate.broken(),
            Players::Workers(workers) => workers.broken(),
        }
    }

    /// For a live view of the phase that begins.
    pub fn live(&self, load: Load, gpus: Option<Arc<LatestSamples>>) -> LivePhase {
        match &self.0 {
            Players::Here(here) => LivePhase {
                load,
                snapshot: here.recorder.live(),
                in_flight: InFlight::Gate(Arc::clone(&here.gate)),
                backpressure: here.recorder.backpressure(),
                gpus,
            },
            Players::Workers(workers) => {
                let (snapshot, in_flight) = workers.live();
                let in_flight = InFlight::Workers(in_flight);
                LivePhase { load, snapshot, in_flight, backpressure: Arc::default(), gpus }
            }
        }
    }

    /// How many requests are in flight, now and later.
    pub fn in_flight(&self) -> InFlight {
        match &self.0 {
            Players::Here(here) => InFlight::Gate(Arc::clone(&here.gate)),
            Players::Workers(workers) => InFlight::Workers(workers.live().1),
        }
    }

    /// Closes the target.
    pub fn finish(self) -> Drain {
        match self.0 {
            Players::Here(here) => here.session.finish(crate::clock::now()),
            Players::Workers(workers) => workers.finish(),
        }
    }
}

impl Here {
    fn play(
        &mut self,
        shots: &mut Shots<'_>,
        pace: &Pace,
        log: Option<Box<dyn RecordLog>>,
    ) -> (Played, PhaseRecords) {
        let planned = |phase| {
            move |shot: ShotFacts| PlannedRequest {
                id: shot.id,
                phase,
                prompt_tokens: shot.prompt_tokens,
                requested_tokens: shot.output_tokens,
                workload: shot.workload,
            }
        };
        let counted = shots.facts().map(planned(Phase::Measure));
        let all: Vec<_> = counted.chain(shots.fill_facts().map(planned(Phase::Fill))).collect();
        self.session.connect(in_flight(&pace.load, all.len()));
        self.recorder.begin(all, log);
        let (session, issuer) = (&mut *self.session, &mut self.issuer);
        let played = if self.gate.answers().is_some() {
            play_conversations(shots, pace, session, issuer, &self.gate, &self.stop)
        } else {
            play(shots, pace, session, issuer, &self.gate, &self.stop)
        };
        (played, self.recorder.end())
    }
}
