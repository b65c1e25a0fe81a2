//! Calibration of a client: the same kind of target, asking a server of our own on loopback for requests of the run's sizes.
//!
//! The stub is `bareflight serve` on a simulated engine, in a thread of this process. What it costs does not matter: the rate
//! is taken from the CPU time of the client's threads, so that it is what they could read and not what the stub could write.

use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

use crate::clock::{self, Nanos};
use crate::issue::pace::{Graces, Pace};
use crate::issue::phase::Stage;
use crate::issue::stop::Stop;
use crate::load::Load;
use crate::load::course::Tail;
use crate::load::plan::{Plan, Shot};
use crate::observe::health::ClientRate;
use crate::observe::process::cpu_of_own_threads;
use crate::record::recorder::PhaseRecords;
use crate::record::request_record::Outcome;
use crate::request::RequestId;
use crate::request::spec::{OutputSpec, Prompt, RequestSpec};
use crate::serve::chat::ChatTemplate;
use crate::serve::{ReadyServer, ServeOptions, serve};
use crate::settings::Resolved;
use crate::settings::engine::EngineSettings;
use crate::settings::served::ServedSettings;
use crate::targets::registry::{self, ServerProtocol};
use crate::threads::{self, Own};
use crate::workload::PromptKind;

/// How long tokens are read, and then answers of one token.
const SPAN: Nanos = Nanos::from_millis(150);
/// How long what is open when that is over may go on, and how long a request may take at all.
const DRAIN: Nanos = Nanos::from_millis(200);
const TIMEOUT: Nanos = Nanos::from_millis(5_000);
/// Requests in flight at most. More make a read cheaper, not dearer.
const MOST_IN_FLIGHT: u32 = 64;
/// Between two tokens of a request, for each request in flight: the stub then writes each token by itself and in time.
const STEP_US_PER_REQUEST: u32 = 20;
const LEAST_STEP_US: u32 = 200;
/// Requests that are prepared for the tokens, and for the answers of one token.
const MOST_REQUESTS: usize = 2_048;
/// Prompt tokens that are prepared at most.
const MOST_PROMPT_TOKENS: u64 = 1 << 20;
/// Ids that the stub knows. Those of prompts are folded into them.
const VOCABULARY: u32 = 4_096;
/// The threads that send and read.
const CLIENT_THREADS: [Own; 2] = [Own::Net, Own::Triton];

/// What the client of these plans reads at most on this machine; `None` where the target has no client, or speaks what the stub
/// does not.
///
/// # Errors
/// With the reason, when the stub or the client cannot be started. The run can go on without.
pub fn client_rate(resolved: &Resolved, plans: &[Plan]) -> Result<Option<ClientRate>, String> {
    let busiest = plans.iter().max_by_key(|plan| in_flight(plan.load()));
    let Some(plan) = busiest else { return Ok(None) };
    let Some((kind, name)) = registry::kind_of(&resolved.target) else { return Ok(None) };
    let Some(protocol) = kind.abilities.server else { return Ok(None) };
    let is_url = name.argument.starts_with("http://") || name.argument.starts_with("https://");
    let is_spoken = match protocol {
        // The stub sees no images.
        ServerProtocol::Http => {
            resolved.served.endpoint.has_output() && !resolved.workload.has_images()
        }
        ServerProtocol::Grpc => !is_url,
    };
    if !is_spoken {
        return Ok(None);
    }
    let in_flight = in_flight(plan.load()).min(MOST_IN_FLIGHT);
    let shots = shots(plan).map_err(|error| error.to_string())?;
    let longest = shots.iter().map(|shot| {
        let Prompt { ids, text } = &shot.request.prompt;
        let bytes = text.as_ref().filter(|_| ids.is_empty()).map_or(0, |text| text.len());
        (ids.len() + bytes) as u64 + u64::from(shot.request.output.max_tokens)
    });
    let stub = Stub::start(in_flight, longest.max().unwrap_or(1))?;
    let client = Client {
        target: stub.target(protocol, resolved.workload.prompts),
        served: served_by_the_stub(&resolved.served),
        in_flight,
    };
    let rate = client.rate(&shots);
    stub.stop();
    rate.map(Some)
}

fn in_flight(load: Load) -> u32 {
    match load {
        Load::Closed { concurrency } => concurrency,
        Load::Open { max_in_flight, .. } => max_in_flight.unwrap_or(MOST_IN_FLIGHT),
        Load::Batch => MOST_IN_FLIGHT,
    }
}

/// The first measured requests of the plan, with ids that the stub knows.
fn shots(plan: &Plan) -> Result<Vec<Shot>, crate::load::plan::PlanError> {
    let mut tokens = 0;
    let list = plan.shots();
    let count = (0..list.len().min(MOST_REQUESTS)).take_while(|index| {
        let before = tokens;
        tokens += u64::from(list.facts_of(*index).prompt_tokens);
        before < MOST_PROMPT_TOKENS
    });
    count.map(|index| Ok(folded(index as u32, list.shot(index)?.request))).collect()
}

fn folded(id: u32, request: RequestSpec) -> Shot {
    let ids: Arc<[u32]> = request.prompt.ids.iter().map(|id| id % VOCABULARY).collect();
    let prompt = Prompt { ids, text: request.prompt.text };
    let output = OutputSpec { min_tokens: 0, ignore_eos: true, ..request.output };
    Shot::new(RequestId(id), RequestSpec { prompt, output, ..request })
}

/// What says how requests are written, without what is about the real server.
fn served_by_the_stub(served: &ServedSettings) -> ServedSettings {
    ServedSettings {
        model: None,
        api_key_env: None,
        api_key_file: None,
        headers: Vec::new(),
        extra_inputs: None,
        ca_file: None,
        insecure: false,
        no_proxy: true,
        connect_timeout: None,
        first_token_timeout: None,
        idle_timeout: None,
        ..served.clone()
    }
}

/// The server that is asked instead of the real one.
struct Stub {
    ready: ReadyServer,
    stop: Stop,
    thread: JoinHandle<Result<(), String>>,
}

impl Stub {
    fn start(in_flight: u32, longest: u64) -> Result<Self, String> {
        let step = (STEP_US_PER_REQUEST * in_flight).max(LEAST_STEP_US);
        // Blocks are filled one by one, and a cancelled request holds its own for a moment.
        let cache = (longest + 128) * u64::from(in_flight) * 2;
        let profile = format!(
            "sim:explicit,base_us={step},vocab={VOCABULARY},max_seq_len={},max_input_len={longest},kv_tokens={cache},\
             max_batch_size={MOST_IN_FLIGHT}",
            longest + 2
        );
        let stop = Stop::never();
        let (ready, began) = channel();
        let asked = stop.clone();
        let thread = threads::other("stub")
            .spawn(move || serve_until(&profile, asked, &ready))
            .map_err(|error| error.to_string())?;
        match began.recv() {
            Ok(ready) => Ok(Self { ready, stop, thread }),
            // It has dropped its end without a word, so it says why where it ends.
            Err(_) => Err(ended(thread)),
        }
    }

    /// The stub's name as a target that takes such prompts.
    fn target(&self, protocol: ServerProtocol, prompts: PromptKind) -> String {
        match (protocol, prompts) {
            (ServerProtocol::Http, _) => format!("openai:http://{}", self.ready.openai),
            (ServerProtocol::Grpc, PromptKind::Ids) => {
                format!("triton:{}/tensorrt_llm", self.ready.grpc)
            }
            (ServerProtocol::Grpc, PromptKind::Text) => {
                format!("triton:{}/ensemble", self.ready.grpc)
            }
        }
    }

    fn stop(self) {
        self.stop.ask();
        // The rate has been measured by then, however the stub ends.
        drop(self.thread.join());
    }
}

fn ended(thread: JoinHandle<Result<(), String>>) -> String {
    match thread.join() {
        Ok(Err(reason)) => reason,
        Ok(Ok(())) | Err(_) => "the stub ended before it served".to_owned(),
    }
}

fn serve_until(profile: &str, stop: Stop, ready: &Sender<ReadyServer>) -> Result<(), String> {
    let named = registry::describe(profile, &EngineSettings::default(), &ServedSettings::default())
        .map_err(|error| error.to_string())?;
    let options = ServeOptions {
        host: "127.0.0.1".to_owned(),
        port: 0,
        grpc_port: 0,
        model: None,
        tokenizer: None,
        write_tokenizer: None,
        template: ChatTemplate::Plain,
        api_key: None,
        max_queue: None,
        grace: Nanos::ZERO,
    };
    let begun = |server: &ReadyServer| {
        // Whoever asked waits for it.
        let _nobody_waits = ready.send(server.clone());
    };
    serve(named, options, stop, begun).map(drop).map_err(|error| error.to_string())
}

/// The client under calibration.
struct Client {
    target: String,
    served: ServedSettings,
    in_flight: u32,
}

/// What a part of the calibration took.
struct Spent {
    completed: u64,
    tokens: u64,
    /// CPU time of the threads that send and read.
    client: Nanos,
    /// CPU time of the issuer, which is this thread.
    issuer: Nanos,
}

impl Client {
    fn rate(&self, shots: &[Shot]) -> Result<ClientRate, String> {
        let engine = EngineSettings { perf_metrics: false, ..EngineSettings::default() };
        let named = registry::describe(&self.target, &engine, &self.served)
            .map_err(|error| error.to_string())?;
        let (requests, slots) = (2 * shots.len(), self.in_flight as usize);
        let mut stage = Stage::open(named.target, requests, slots, Stop::never())
            .map_err(|error| error.to_string())?;
        let first = shots.len() as u32;
        let short = shots.iter().map(|shot| of_one_token(first, shot)).collect::<Vec<_>>();
        let whole = self.spend(&mut stage, shots);
        let short = self.spend(&mut stage, &short);
        stage.finish();
        let (whole, short) = (whole?, short?);
        let threads = self.served.client_threads.map_or(1, u32::from);
        // Threads beyond the cores take turns.
        let at_once = std::thread::available_parallelism().map_or(1, |cores| cores.get() as u32);
        let at_once = f64::from(threads.min(at_once));
        let by_clients = at_once * short.completed as f64 / seconds(short.client);
        let by_issuer = short.completed as f64 / seconds(short.issuer);
        Ok(ClientRate {
            requests_per_s: by_clients.min(by_issuer),
            tokens_per_s: at_once * whole.tokens as f64 / seconds(whole.client),
            threads,
        })
    }

    fn spend(&self, stage: &mut Stage, shots: &[Shot]) -> Result<Spent, String> {
        let prepared: Vec<Shot> = match stage.preparer() {
            Some(mut preparer) => {
                let prepare =
                    |shot: &Shot| Shot { prepared: preparer.prepare(shot), ..shot.clone() };
                shots.iter().map(prepare).collect()
            }
            None => shots.to_vec(),
        };
        let pace = Pace {
            load: Load::Closed { concurrency: self.in_flight },
            ramp: None,
            tail: Tail::None,
            stages: None,
            duration: Some(SPAN),
            timeout: TIMEOUT,
            drain: DRAIN,
            graces: Graces::OF_RUNS,
            begin_at: None,
        };
        let cpu = || {
            let client = cpu_of_own_threads(&CLIENT_THREADS)
                .ok_or("the kernel does not tell the CPU time of threads")?;
            Ok::<_, String>((client, clock::thread_cpu()))
        };
        let before = cpu()?;
        let (_, phase) = stage.run(&prepared, &pace, None);
        let after = cpu()?;
        let spent = spent(&phase, after.0.0 - before.0.0, after.1.0 - before.1.0);
        if spent.tokens == 0 { Err(why_nothing_came(&phase)) } else { Ok(spent) }
    }
}

fn of_one_token(first: u32, shot: &Shot) -> Shot {
    let output = OutputSpec { max_tokens: 1, ..shot.request.output };
    Shot::new(RequestId(first + shot.id.0), RequestSpec { output, ..shot.request.clone() })
}

fn spent(phase: &PhaseRecords, client_ns: i64, issuer_ns: i64) -> Spent {
    let records = phase.records.requests();
    let completed = records.iter().filter(|record| record.outcome.is_completed()).count() as u64;
    // What was cut off was read as well.
    let tokens = records.iter().map(|record| u64::from(record.output_tokens)).sum();
    Spent { completed, tokens, client: Nanos(client_ns), issuer: Nanos(issuer_ns) }
}

fn seconds(span: Nanos) -> f64 {
    span.as_secs_f64().max(1e-6)
}

fn why_nothing_came(phase: &PhaseRecords) -> String {
    let failure = phase.records.requests().iter().find_map(|record| match &record.outcome {
        Outcome::Failed(failure) => Some(failure.message.clone()),
        _ => None,
    });
    failure.unwrap_or_else(|| "no token came".to_owned())
}
