//! Options of a Triton target.

use std::fmt;
use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use serde_json::{Map, Value};

use crate::network::proxy::Proxy;
use crate::network::tls::TlsOptions;
use crate::targets::triton::address::Address;

/// Which stream carries a request, over gRPC.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum StreamUse {
    /// Each request its own: a cancelled request ends at the server too.
    #[default]
    PerRequest,
    /// This many streams for all requests; a response is matched to its request by id.
    Shared(NonZeroU16),
}

/// Time limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// For connecting, and for each query before the load starts.
    pub connect: Duration,
    /// From sending a request to its first response.
    pub first_response: Duration,
    /// Between responses of one request.
    pub idle: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            first_response: Duration::from_secs(600),
            idle: Duration::from_secs(120),
        }
    }
}

/// Counts the tokens of a whole output text.
pub type CountTokens = Arc<dyn Fn(&str) -> u32 + Send + Sync>;

/// Settings of every request, over any transport.
#[derive(Clone)]
pub struct AskOptions {
    /// Ask for the engine's own stamps and cache counts (`return_perf_metrics`), where the model knows them.
    pub engine_stamps: bool,
    /// The end token, for models that have an input for it. Requests that ignore end tokens send −1.
    pub end_id: Option<i32>,
    /// The padding token, for models that have an input for it.
    pub pad_id: Option<i32>,
    /// Further input tensors by name; they replace ours of the same name.
    pub extra_inputs: Map<String, Value>,
    /// Further request parameters (KServe `parameters`).
    pub extra_parameters: Map<String, Value>,
    /// Counts tokens of text outputs, where the server does not.
    pub count_tokens: Option<CountTokens>,
}

impl Default for AskOptions {
    fn default() -> Self {
        Self {
            engine_stamps: true,
            end_id: None,
            pad_id: None,
            extra_inputs: Map::new(),
            extra_parameters: Map::new(),
            count_tokens: None,
        }
    }
}

impl fmt::Debug for AskOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AskOptions")
            .field("engine_stamps", &self.engine_stamps)
            .field("end_id", &self.end_id)
            .field("pad_id", &self.pad_id)
            .field("extra_inputs", &self.extra_inputs)
            .field("extra_parameters", &self.extra_parameters)
            .field("counts_tokens", &self.count_tokens.is_some())
            .finish()
    }
}

/// Options of a Triton target.
#[derive(Debug, Clone)]
pub struct TritonOptions {
    /// Server and model.
    pub address: Address,
    /// Headers of every call, which gRPC calls metadata. Their values are never shown.
    pub headers: HeaderMap,
    /// The proxy on the way to the server; it makes a tunnel.
    pub proxy: Option<Proxy>,
    /// Trust in certificates, for TLS addresses.
    pub tls: TlsOptions,
    /// Which stream carries a request.
    pub streams: StreamUse,
    /// gRPC connections, over which streams are spread. A connection carries many streams, but more than about 64 slow
    /// each other down: they share one receive window and one writer.
    pub channels: NonZeroU16,
    /// Threads that send and receive.
    pub io_threads: NonZeroU16,
    /// Time limits.
    pub timeouts: Timeouts,
    /// Settings of every request.
    pub asking: AskOptions,
}

impl TritonOptions {
    /// Defaults for a server and a model.
    pub fn new(address: Address) -> Self {
        Self {
            address,
            headers: HeaderMap::new(),
            proxy: None,
            tls: TlsOptions::default(),
            streams: StreamUse::default(),
            channels: NonZeroU16::MIN.saturating_add(7),
            io_threads: NonZeroU16::MIN,
            timeouts: Timeouts::default(),
            asking: AskOptions::default(),
        }
    }
}
