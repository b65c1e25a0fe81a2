//! Stand-in of Python: a host whose engines are threads in Rust, so that every suite holds `py:` to the contract of all targets.

use std::collections::HashMap;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use bareflight::clock::{MonoNs, now};
use bareflight::record::request_record::EngineTimes;
use bareflight::request::RequestId;
use bareflight::targets::python::desk::Stage;
use bareflight::targets::python::engine_end::{EngineEnd, Step, ToldAtEnd};
use bareflight::targets::python::host::{Asked, PythonHost, install};
use serde_json::{Value, json};

/// Names the stand-in as the host of this process; the first call does it.
pub fn hold_this_process() {
    install(Box::new(StandIn));
}

struct StandIn;

/// A number among the options of a target.
fn option(asked: &Asked, key: &str, default: u64) -> u64 {
    let settings: Value = serde_json::from_str(&asked.settings).expect("settings");
    let told = settings["options"][key].as_str().map(|text| text.parse().expect("a number"));
    told.unwrap_or(default)
}

impl PythonHost for StandIn {
    fn describe(&self, _asked: &Asked) -> Result<String, String> {
        let limits = json!({ "vocab_size": 1_000 });
        Ok(json!({ "title": "an engine in Rust behind the desk", "limits": limits }).to_string())
    }

    fn examine(&self, _module: &str) -> Result<Vec<(String, String)>, String> {
        Ok(Vec::new())
    }

    fn check(&self, asked: &Asked) -> Result<String, String> {
        Err(format!("`{}` is no Python", asked.module))
    }

    fn served(&self, asked: &Asked, _name: &str) -> Result<String, String> {
        Err(format!("`{}` is no Python", asked.module))
    }

    fn start(&self, asked: &Asked, end: EngineEnd) -> Result<(), String> {
        let engine = Engine {
            step: Duration::from_micros(option(asked, "step_us", 300)),
            longest_prompt: option(asked, "longest_prompt", u64::MAX),
            ready: HashMap::new(),
            running: Vec::new(),
        };
        thread::spawn(move || engine.run(end));
        Ok(())
    }
}

/// One token of each request in every step.
struct Engine {
    step: Duration,
    longest_prompt: u64,
    /// Tokens to make and length of the prompt.
    ready: HashMap<u32, (u32, u64)>,
    running: Vec<Running>,
}

struct Running {
    id: u32,
    left: u32,
    arrival: MonoNs,
    first_token: Option<MonoNs>,
}

impl Engine {
    fn run(mut self, mut end: EngineEnd) {
        const IDLE: Duration = Duration::from_millis(50);
        let desk = Arc::clone(end.desk());
        desk.note_stage(Stage::Open);
        loop {
            let orders = desk.take(if self.running.is_empty() { IDLE } else { Duration::ZERO });
            end.note_taken(&orders);
            for request in &orders.prepare {
                let shape = (request.max_tokens, request.prompt.len() as u64);
                self.ready.insert(request.index, shape);
            }
            desk.note_prepared(orders.prepare.len());
            for id in orders.added {
                self.add(id, &mut end);
            }
            for id in orders.cancelled.into_iter().filter(|id| end.is_open(*id)).collect::<Vec<_>>()
            {
                self.running.retain(|running| running.id != id);
                end.end(id, now(), "cancelled", ToldAtEnd::default()).expect("it was open");
            }
            if orders.stop {
                return end.ended(None);
            }
            if !self.running.is_empty() {
                self.step(&mut end);
            }
        }
    }

    fn add(&mut self, id: u32, end: &mut EngineEnd) {
        let (left, length) = self.ready.remove(&id).expect("it was made ready");
        if length > self.longest_prompt {
            let id = RequestId(id);
            return end.refuse(id.0, &format!("a prompt of {length} tokens is too long"));
        }
        self.running.push(Running { id, left, arrival: now(), first_token: None });
    }

    fn step(&mut self, end: &mut EngineEnd) {
        thread::sleep(self.step);
        let at = now();
        let ids: Vec<u32> = self.running.iter().map(|running| running.id).collect();
        end.deliver(Step { at, ids: &ids, counts: &[], tokens: &ids }).expect("they are open");
        for running in &mut self.running {
            running.left -= 1;
            running.first_token.get_or_insert(at);
            if running.left == 0 {
                let times = EngineTimes {
                    arrival: Some(running.arrival),
                    first_scheduled: Some(running.arrival),
                    first_token: running.first_token,
                    last_token: Some(at),
                };
                let told = ToldAtEnd { times: Some(times), counts: None };
                end.end(running.id, at, "length", told).expect("it was open");
            }
        }
        self.running.retain(|running| running.left > 0);
    }
}
