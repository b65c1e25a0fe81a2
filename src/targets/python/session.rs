//! Session over an engine's thread in Python.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::json;

use crate::clock::{MonoNs, now};
use crate::load::plan::Shot;
use crate::record::iteration::{Iteration, ReportedIteration};
use crate::record::kv_event::{KvChange, KvEvent};
use crate::request::spec::RequestSpec;
use crate::request::{Failure, Prepared, RequestId};
use crate::targets::python::desk::{Desk, ToPrepare};
use crate::targets::python::host;
use crate::targets::{Drain, EngineStatistics, KvEvents, Prepare, Session};

/// How long an idle engine may take to make one request ready.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long an engine may take to close, whatever the time of the session: its last step, its workers, its memory.
const CLOSE_WITHIN: Duration = Duration::from_secs(20);

/// An opened engine.
pub struct PythonSession {
    desk: Arc<Desk>,
    says: Says,
}

/// What an engine was asked to say beside its output.
#[derive(Debug, Clone, Copy, Default)]
pub struct Says {
    /// Statistics of iterations.
    pub statistics: bool,
    /// Events of its KV cache.
    pub kv_events: bool,
}

impl PythonSession {
    /// A session over `desk`.
    pub fn new(desk: Arc<Desk>, says: Says) -> Self {
        Self { desk, says }
    }
}

/// A request that the engine's thread has, or will make ready before it starts it.
struct Ordered;

fn to_prepare(id: RequestId, request: &RequestSpec) -> ToPrepare {
    let (output, sampling) = (request.output, request.sampling);
    let mut terms = json!({ "min_tokens": output.min_tokens, "ignore_eos": output.ignore_eos });
    if let Some(temperature) = sampling.temperature {
        terms["temperature"] = json!(temperature);
        terms["seed"] = json!(sampling.seed);
    }
    if let Some(top_p) = sampling.top_p {
        terms["top_p"] = json!(top_p);
    }
    if let Some(top_k) = sampling.top_k {
        terms["top_k"] = json!(top_k);
    }
    ToPrepare {
        index: id.0,
        prompt: Arc::clone(&request.prompt.ids),
        max_tokens: output.max_tokens,
        terms: terms.to_string(),
        streaming: request.streaming,
    }
}

impl Session for PythonSession {
    fn submit(&mut self, shot: &Shot) -> Result<(), Failure> {
        if shot.prepared.get::<Ordered>().is_some() {
            self.desk.add(shot.id.0);
        } else {
            self.desk.prepare_and_add(to_prepare(shot.id, &shot.request));
        }
        Ok(())
    }

    fn cancel(&mut self, id: RequestId) {
        self.desk.cancel(id.0);
    }

    fn preparer(&self) -> Option<Box<dyn Prepare>> {
        Some(Box::new(Preparer { desk: Arc::clone(&self.desk), gave_up: false }))
    }

    fn facts(&self) -> Option<serde_json::Value> {
        // The host has made it with a writer of JSON.
        self.desk.facts().and_then(|text| serde_json::from_str(&text).ok())
    }

    fn statistics(&self) -> Option<Box<dyn EngineStatistics>> {
        let desk = Arc::clone(&self.desk);
        self.says.statistics.then(|| Box::new(Statistics(desk)) as Box<dyn EngineStatistics>)
    }

    fn kv_events(&self) -> Option<Box<dyn KvEvents>> {
        let desk = Arc::clone(&self.desk);
        self.says.kv_events.then(|| Box::new(CacheEvents(desk)) as Box<dyn KvEvents>)
    }

    fn finish(self: Box<Self>, by: MonoNs) -> Drain {
        let left = Duration::from_nanos((by - now()).0.max(0).unsigned_abs());
        match self.desk.close(left.max(CLOSE_WITHIN)) {
            Some(Ok(())) => Drain::Clean,
            Some(Err(words)) => Drain::Forced(words),
            None => {
                host::leave_thread();
                Drain::Forced(
                    "the engine's thread did not come back from its adapter (`step`, `add` or `close`); it was left behind"
                        .into(),
                )
            }
        }
    }
}

struct Preparer {
    desk: Arc<Desk>,
    gave_up: bool,
}

impl Prepare for Preparer {
    fn prepare(&mut self, shot: &Shot) -> Prepared {
        if self.gave_up {
            return Prepared::default();
        }
        self.gave_up = !self.desk.prepare(to_prepare(shot.id, &shot.request), PATIENCE);
        // It lies at the desk either way, before whatever comes later.
        Prepared::new(Ordered)
    }
}

struct Statistics(Arc<Desk>);

impl EngineStatistics for Statistics {
    fn iterations(&mut self, into: &mut Vec<ReportedIteration>) -> Result<(), String> {
        for raw_json in self.0.take_iterations() {
            let iteration: Iteration = serde_json::from_str(&raw_json)
                .map_err(|error| format!("the adapter's `iterations`: {error}: {raw_json}"))?;
            into.push(ReportedIteration { iteration, raw_json });
        }
        Ok(())
    }
}

struct CacheEvents(Arc<Desk>);

/// An event as an adapter says it.
#[derive(Deserialize)]
struct ToldEvent {
    event: u64,
    window: Option<u32>,
    #[serde(flatten)]
    change: KvChange,
}

impl KvEvents for CacheEvents {
    fn events(&mut self, into: &mut Vec<KvEvent>) -> Result<(), String> {
        for look in self.0.take_kv_looks() {
            for text in look.events {
                let ToldEvent { event, window, change } = serde_json::from_str(&text)
                    .map_err(|error| format!("the adapter's `kv_events`: {error}: {text}"))?;
                into.push(KvEvent { event, since: look.since, at: look.at, window, change });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::kv_event::BlockHash;
    use crate::request::spec::{Beside, OutputSpec, Prompt, Sampling};
    use crate::targets::python::desk::Stage;
    use serde_json::Value;

    fn spec(sampling: Sampling) -> RequestSpec {
        RequestSpec {
            prompt: Prompt { ids: Arc::from([1, 2, 3]), text: None },
            beside: Beside::Nothing,
            output: OutputSpec { max_tokens: 9, min_tokens: 4, ignore_eos: true },
            sampling,
            streaming: true,
            priority: 0.5,
            adapter: None,
            terms: Arc::default(),
        }
    }

    fn terms(sampling: Sampling) -> Value {
        let made = to_prepare(RequestId(7), &spec(sampling));
        assert_eq!((made.index, made.max_tokens, &made.prompt[..]), (7, 9, &[1, 2, 3][..]));
        serde_json::from_str(&made.terms).expect("JSON")
    }

    #[test]
    fn a_greedy_request_has_no_seed_and_one_that_samples_has_its_own() {
        let greedy = Sampling { temperature: None, top_p: None, top_k: None, seed: 5 };
        assert_eq!(terms(greedy), json!({ "min_tokens": 4, "ignore_eos": true }));
        let drawn =
            Sampling { temperature: Some(0.5), top_p: Some(0.25), top_k: Some(8), ..greedy };
        let expected = json!({
            "min_tokens": 4, "ignore_eos": true, "temperature": 0.5, "seed": 5, "top_p": 0.25, "top_k": 8
        });
        assert_eq!(terms(drawn), expected);
    }

    #[test]
    fn statistics_that_are_none_are_an_error_with_the_adapter_s_own_text() {
        let desk = Arc::new(Desk::default());
        desk.note_iterations(vec!["{\"iteration\": 1}".into()]);
        let mut statistics = Statistics(desk);
        let error = statistics.iterations(&mut Vec::new()).expect_err("it has no latency");
        assert!(
            error.contains("the adapter's `iterations`") && error.contains("{\"iteration\": 1}")
        );
    }

    #[test]
    fn events_of_the_kv_cache_are_read_as_they_are_written() {
        let desk = Arc::new(Desk::default());
        let says = Says { kv_events: true, ..Says::default() };
        let session = PythonSession::new(Arc::clone(&desk), says);
        let mut events = session.kv_events().expect("they were asked for");
        let text = r#"{"event": 4, "window": null, "what": "stored", "parent": "00000000000000ff",
                       "blocks": ["0000000000000100"], "beyond_gpu": 0}"#;
        desk.note_kv_events(vec![text.into()]);
        let mut found = Vec::new();
        events.events(&mut found).expect("it is one");
        let change = KvChange::Stored {
            parent: Some(BlockHash(255)),
            blocks: vec![BlockHash(256)],
            beyond_gpu: 0,
        };
        let [event] = &found[..] else { panic!("one, and not {found:?}") };
        assert_eq!((event.event, event.window, &event.change), (4, None, &change));
        desk.note_kv_events(vec![r#"{"event": 5, "what": "lost"}"#.into()]);
        let error = events.events(&mut found).expect_err("no event is called so");
        assert!(error.contains("the adapter's `kv_events`") && error.contains("lost"), "{error}");
    }

    #[test]
    fn an_engine_that_has_failed_is_closed_with_its_words() {
        let desk = Arc::new(Desk::default());
        desk.note_stage(Stage::Ended(Some("`step` raised".into())));
        let session = Box::new(PythonSession::new(desk, Says::default()));
        assert!(session.statistics().is_none() && session.kv_events().is_none());
        assert_eq!(session.finish(now()), Drain::Forced("`step` raised".into()));
    }
}
