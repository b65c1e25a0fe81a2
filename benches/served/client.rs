//! Client side of the served benchmarks: one load through `openai:` or through a raw reader, with its stamps and CPU time.

use std::sync::Arc;

use bareflight::clock::{MonoNs, Nanos, process_cpu};
use bareflight::issue::pace::{Graces, Pace};
use bareflight::issue::phase::Stage;
use bareflight::issue::stop::Stop;
use bareflight::load::Load;
use bareflight::load::course::Tail;
use bareflight::load::plan::Shot;
use bareflight::record::request_record::{Arrival, StampSource};
use bareflight::request::RequestId;
use bareflight::request::spec::{Beside, OutputSpec, Prompt, RequestSpec, Sampling};
use bareflight::targets::openai::{OpenAiOptions, OpenAiTarget};
use bareflight::workload::DEFAULT_PRIORITY;

const PROMPT_TOKENS: usize = 200;
const MODEL: &str = "a-model-of-8b";

/// Closed-loop load on the server.
#[derive(Debug, Clone, Copy)]
pub struct Asked {
    /// The number in the first prompt; the next ones follow.
    pub first_id: u32,
    /// Total requests.
    pub requests: u32,
    /// Concurrent requests.
    pub concurrency: u32,
    /// Tokens per response.
    pub tokens: u32,
}

/// One request as seen by a client.
#[derive(Debug, Clone)]
pub struct Seen {
    /// The number in its prompt.
    pub id: u32,
    /// Right before its first byte was written.
    pub sent: MonoNs,
    /// When the first token came, by the client's stamp.
    pub first: MonoNs,
    /// Every arrival of output; the raw reader keeps none.
    pub arrivals: Vec<Arrival>,
    /// How long after its stamp an arrival was looked at, at worst; the raw reader has no other stamp than its look.
    pub pull_lag: Nanos,
    /// Whether the kernel took the stamps.
    pub by_kernel: bool,
}

/// One pass over all requests.
#[derive(Debug, Clone)]
pub struct Pass {
    /// CPU time of the whole client, user and system.
    pub cpu: Nanos,
    /// One per request.
    pub seen: Vec<Seen>,
}

/// The text of a prompt: its number, and words to make up the length.
pub fn prompt(id: u32) -> String {
    format!("{id}{}", " word".repeat(PROMPT_TOKENS - 1))
}

/// Body of a request as JSON; close to what `openai:` writes.
pub fn body(id: u32, tokens: u32) -> String {
    let text = prompt(id);
    format!(
        r#"{{"model":"{MODEL}","messages":[{{"role":"user","content":"{text}"}}],"max_tokens":{tokens},"temperature":0.0,"stream":true,"stream_options":{{"include_usage":true}}}}"#
    )
}

/// Through the whole harness: issuer, `openai:`, ring, recorder, records.
pub fn through_openai(address: &str, asked: &Asked) -> Pass {
    let mut options = OpenAiOptions::new(format!("http://{address}"));
    options.model = Some(MODEL.to_owned());
    let target = OpenAiTarget::new(options).expect("the options make sense");
    let slots = asked.concurrency as usize;
    let mut stage = Stage::open(Box::new(target), asked.requests as usize, slots, Stop::never())
        .expect("the target opens");
    let pace = Pace {
        load: Load::Closed { concurrency: asked.concurrency },
        ramp: None,
        tail: Tail::None,
        stages: None,
        duration: None,
        timeout: Nanos::from_secs_f64(600.0),
        drain: Nanos::from_secs_f64(1.0),
        graces: Graces::OF_RUNS,
        begin_at: None,
    };
    let shots: Vec<Shot> = (0..asked.requests).map(|number| shot(number, asked)).collect();
    let before = process_cpu();
    let (_, sealed) = stage.run(&shots, &pace, None);
    let cpu = Nanos(process_cpu().0 - before.0);
    assert_eq!(stage.waited().waits, 0, "nothing waited for the recorder");
    assert_eq!(sealed.records.len(), asked.requests as usize, "every request is on record");
    stage.finish();
    let seen = sealed.records.iter().map(|(record, arrivals)| {
        assert!(record.outcome.is_completed(), "{:?}", record.outcome);
        assert_eq!(record.output_tokens, asked.tokens, "no token was lost");
        Seen {
            id: asked.first_id + record.id.0,
            sent: record.submit.expect("a completed request was sent"),
            first: record.first_token.expect("a completed request has tokens"),
            arrivals: arrivals.to_vec(),
            pull_lag: Nanos(record.max_pull_lag_ns.into()),
            by_kernel: record.stamp_source == StampSource::Kernel,
        }
    });
    Pass { cpu, seen: seen.collect() }
}

fn shot(number: u32, asked: &Asked) -> Shot {
    let text: Arc<str> = prompt(asked.first_id + number).into();
    Shot::new(
        RequestId(number),
        RequestSpec {
            beside: Beside::Nothing,
            prompt: Prompt { ids: vec![1; PROMPT_TOKENS].into(), text: Some(text) },
            output: OutputSpec { max_tokens: asked.tokens, min_tokens: 0, ignore_eos: false },
            sampling: Sampling::greedy(0),
            streaming: true,
            priority: DEFAULT_PRIORITY,
            adapter: None,
            terms: Arc::default(),
        },
    )
}

/// Reads the same responses, stamps each read, and throws the bytes away.
pub fn through_raw_reader(address: &str, asked: &Asked) -> Pass {
    let before = process_cpu();
    let seen = crate::raw_reader::read_all(address, asked).expect("the server stays");
    let cpu = Nanos(process_cpu().0 - before.0);
    assert_eq!(seen.len(), asked.requests as usize, "every request was answered");
    Pass { cpu, seen }
}
