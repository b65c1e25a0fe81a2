//! Scraper of a server's metrics: a thread that asks twice a second, from before a point until after it.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use serde::Serialize;

use crate::clock::{self, MonoNs, Nanos};
use crate::network::plain_get;
use crate::observe::server_metrics::names::{self, Levels, Reading};
use crate::settings::server_metrics::MetricsUrl;
use crate::threads::Own;

/// Between two questions.
const PERIOD: Nanos = Nanos::from_millis(500);
/// Longest wait for an answer: a server that is busy with requests answers this late.
const LIMIT: Duration = Duration::from_secs(2);

/// An answer, or that there was none.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Scrape {
    /// When it was asked for, monotonic nanoseconds.
    pub at_ns: MonoNs,
    /// How long the answer took, in milliseconds.
    pub took_ms: f64,
    /// Normalised.
    #[serde(flatten)]
    pub levels: Levels,
    /// As the server named them.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub raw: BTreeMap<String, f64>,
    /// Why there was no answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}

/// A place that answers with metrics that are known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Where.
    pub url: MetricsUrl,
    /// Whose names they are.
    pub server: &'static str,
}

/// Why a place is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoMetrics {
    /// It does not answer.
    #[error("{0} does not answer: {1}")]
    Silent(MetricsUrl, String),
    /// It answers with something else.
    #[error("{0} is answered with status {1}")]
    Status(MetricsUrl, u16),
    /// It answers with metrics of nobody known.
    #[error(
        "{0} has no metric of a server that is known (vLLM, SGLang, TensorRT-LLM, Triton, llama.cpp)"
    )]
    Unknown(MetricsUrl),
}

impl Place {
    /// Asks once.
    ///
    /// # Errors
    /// When there is no answer that can be used.
    pub fn find(url: MetricsUrl) -> Result<Self, NoMetrics> {
        let server = ask(&url)?.server;
        Ok(Self { url, server })
    }

    /// Starts to scrape; returns before the first answer.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn start(&self) -> io::Result<Scraping> {
        let stop = Arc::new(AtomicBool::new(false));
        let (url, stopped) = (self.url.clone(), Arc::clone(&stop));
        let work = move || {
            let mut scrapes = Vec::new();
            let mut due = clock::now();
            loop {
                // The order matters: the last one is asked for after the stop was seen.
                let is_last = stopped.load(Ordering::Acquire);
                scrapes.push(scrape(&url));
                if is_last {
                    return scrapes;
                }
                due = (due + PERIOD).max(clock::now());
                let until = Duration::from_nanos((due - clock::now()).0.max(0).unsigned_abs());
                thread::park_timeout(until);
            }
        };
        let thread = Own::Scrape.builder().spawn(work)?;
        Ok(Scraping { stop, thread })
    }
}

/// A thread that scrapes.
#[derive(Debug)]
pub struct Scraping {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Vec<Scrape>>,
}

impl Scraping {
    /// Asks a last time, and hands out all answers in order of time.
    ///
    /// # Panics
    /// When the thread has panicked, which would be a fault of this program.
    pub fn finish(self) -> Vec<Scrape> {
        self.stop.store(true, Ordering::Release);
        self.thread.thread().unpark();
        self.thread.join().expect("the scraping thread does not panic")
    }
}

fn ask(url: &MetricsUrl) -> Result<Reading, NoMetrics> {
    let answer = plain_get::get(&url.authority, &url.path, LIMIT)
        .map_err(|error| NoMetrics::Silent(url.clone(), error.to_string()))?;
    if !answer.is_success() {
        return Err(NoMetrics::Status(url.clone(), answer.status));
    }
    let text = String::from_utf8_lossy(&answer.body);
    names::read(&text).ok_or_else(|| NoMetrics::Unknown(url.clone()))
}

fn scrape(url: &MetricsUrl) -> Scrape {
    let at_ns = clock::now();
    let answer = ask(url);
    let took_ms = (clock::now() - at_ns).as_millis_f64();
    match answer {
        Ok(Reading { levels, raw, .. }) => Scrape { at_ns, took_ms, levels, raw, failure: None },
        Err(error) => Scrape {
            at_ns,
            took_ms,
            levels: Levels::default(),
            raw: BTreeMap::new(),
            failure: Some(error.to_string()),
        },
    }
}
