//! Server: OpenAI and KServe endpoints in front of one in-process target.
//!
//! ```text
//! openai (HTTP) ─┐                                                   ┌─ record::Sink ◄─ engine's thread
//!                ├─► service ─► admission ─► dispatch ─► target::Session
//! kserve (gRPC) ─┘                  ▲            │                   └─► ring of ids ─┐
//!       └──────── events, responses ┴── pieces ──┴────────────────────────────────────┘
//! ```
//! One thread does all of it, the network included: a token costs one wake-up, one short text and one write. Whatever
//! implements the seam of [`crate::targets`] with token ids can be served without a line of its own.

pub mod admission;
pub mod chat;
pub mod dispatch;
mod kserve;
mod listen;
pub mod metrics;
mod openai;
pub mod refusal;
pub mod service;

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bareflight_engine::dummy_tokenizer;
use bareflight_engine::tokenizers::Tokenizer;
use tokio::runtime::Builder;

use crate::clock::{Nanos, utc_now};
use crate::issue::stop::Stop;
use crate::network::secret::ApiKey;
use crate::serve::admission::Admission;
use crate::serve::chat::ChatTemplate;
use crate::serve::dispatch::{Dispatcher, ServeOutcome};
use crate::serve::listen::Shutdown;
use crate::serve::metrics::Metrics;
use crate::serve::service::Service;
use crate::targets::TargetError;
use crate::targets::named::Named;
use crate::targets::registry;
use crate::tokenizer::files;
use crate::tokenizer::text_stream::Text;

/// Default of the requests that may wait.
const DEFAULT_QUEUE: u32 = 1024;
/// How long connections may take over their last bytes, when all requests are over.
const LAST_BYTES: Duration = Duration::from_secs(2);

/// How to serve.
#[derive(Debug)]
pub struct ServeOptions {
    /// Address to listen on.
    pub host: String,
    /// For OpenAI's protocol; 0 for any.
    pub port: u16,
    /// For KServe's protocol; 0 for any.
    pub grpc_port: u16,
    /// The model's name; the target's own by default.
    pub model: Option<String>,
    /// Tokenizer of the target; `None` where there is none, and each id is shown as one word.
    pub tokenizer: Option<Tokenizer>,
    /// Folder to write the tokenizer to.
    pub write_tokenizer: Option<PathBuf>,
    /// How messages become a prompt.
    pub template: ChatTemplate,
    /// Who knows it may ask.
    pub api_key: Option<ApiKey>,
    /// Requests that may wait beside those in the batch.
    pub max_queue: Option<u32>,
    /// How long requests may go on when the server is asked to stop.
    pub grace: Nanos,
}

/// Where it can be reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadyServer {
    /// For OpenAI's protocol.
    pub openai: SocketAddr,
    /// For KServe's protocol.
    pub grpc: SocketAddr,
    /// The model's name.
    pub model: String,
}

/// Why nothing is served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The target.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// A target that is a server already.
    #[error(
        "`{0}` is no engine in this process: serve `local:`, `sim:` or `null:`, and measure servers with `run`"
    )]
    NotInProcess(String),
    /// A port that cannot be had.
    #[error(
        "`{host}:{port}` cannot be listened on: {reason}; choose another with `{flag}` (0 for any)"
    )]
    Port {
        /// Where.
        host: String,
        /// Which port.
        port: u16,
        /// What was typed, or could be.
        flag: &'static str,
        /// Message of the system.
        reason: std::io::Error,
    },
    /// An address that is none of this machine.
    #[error(
        "`--host {host}` is no address of this machine ({reason}): give one, or 0.0.0.0 for all"
    )]
    Host {
        /// As it was typed.
        host: String,
        /// Message of the system.
        reason: std::io::Error,
    },
    /// Ids that nothing can turn into text.
    #[error("nothing says how many tokens `{0}` knows: name its tokenizer with `--tokenizer`")]
    NoVocabulary(String),
    /// The tokenizer's files.
    #[error(transparent)]
    Tokenizer(#[from] files::WriteError),
    /// Nothing to run on.
    #[error("the network cannot be used: {0}")]
    Runtime(std::io::Error),
}

/// Whether a target of this name is an engine in this process.
///
/// # Errors
/// [`ServeError::NotInProcess`].
pub fn check_kind(target: &str) -> Result<(), ServeError> {
    if registry::abilities_of(target).in_process {
        Ok(())
    } else {
        Err(ServeError::NotInProcess(target.to_owned()))
    }
}

/// Serves `named` on the calling thread until `stop` is asked. `ready` is called when requests can come.
///
/// # Errors
/// When the target cannot be opened, or a port not be listened on.
pub fn serve(
    named: Named,
    options: ServeOptions,
    stop: Stop,
    ready: impl FnOnce(&ReadyServer),
) -> Result<ServeOutcome, ServeError> {
    let runtime = Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()
        .map_err(ServeError::Runtime)?;
    runtime.block_on(serve_here(named, options, stop, ready))
}

async fn serve_here(
    named: Named,
    options: ServeOptions,
    stop: Stop,
    ready: impl FnOnce(&ReadyServer),
) -> Result<ServeOutcome, ServeError> {
    let info = named.target.describe().clone();
    check_kind(&info.name)?;
    let (host, grace) = (options.host, options.grace);
    let port = |port: u16, flag: &'static str| {
        let host = host.clone();
        async move {
            let bound = listen::bind(&host, port).await;
            bound.map_err(|reason| match reason.kind() {
                ErrorKind::AddrInUse | ErrorKind::PermissionDenied => {
                    ServeError::Port { host, port, flag, reason }
                }
                _ => ServeError::Host { host, reason },
            })
        }
    };
    let (http, openai) = port(options.port, "--port").await?;
    let (http2, grpc) = port(options.grpc_port, "--grpc-port").await?;
    let tokenizer = match (options.tokenizer, info.limits.vocab_size) {
        (Some(tokenizer), _) => tokenizer,
        (None, Some(size)) => dummy_tokenizer(size as usize),
        (None, None) => return Err(ServeError::NoVocabulary(info.name)),
    };
    if let Some(folder) = &options.write_tokenizer {
        files::write(&tokenizer, folder)?;
    }
    let waiting = options.max_queue.or(info.limits.max_queue_size).unwrap_or(DEFAULT_QUEUE);
    let capacity = info.limits.max_batch_size.unwrap_or(0).saturating_add(waiting).max(1);
    let metrics = Arc::new(Metrics::default());
    let (admission, commands) = Admission::new(capacity as usize, Arc::clone(&metrics));
    let admission = Arc::new(admission);
    let end_ids: Vec<u32> = named.special_ids().collect();
    let dispatcher = Dispatcher::open(
        named.target,
        end_ids.clone(),
        Arc::clone(&admission),
        Arc::clone(&metrics),
    )?;
    let model = options.model.unwrap_or_else(|| name_of(&info.name));
    let service = Arc::new(Service {
        model: model.clone(),
        info,
        end_ids,
        text: Arc::new(Text::new(tokenizer)),
        template: options.template,
        api_key: options.api_key,
        admission,
        metrics,
        created: utc_now().as_second(),
    });
    let closing = Shutdown::default();
    tokio::spawn(listen::accept(http, openai::router(Arc::clone(&service)), closing.clone()));
    tokio::spawn(listen::accept(http2, kserve::router(service), closing.clone()));
    ready(&ReadyServer { openai, grpc, model });
    let served = dispatcher.run(commands, stop, grace).await;
    closing.begin();
    closing.done(LAST_BYTES).await;
    Ok(served)
}

/// The target's name without its kind and without settings, and of a path only the last part: clients take a comma for the
/// beginning of another model's name.
fn name_of(target: &str) -> String {
    let (kind, rest) = target.split_once(':').unwrap_or(("", target));
    let rest = rest.split(',').next().unwrap_or_default();
    let last = rest.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    if last.is_empty() { kind.to_owned() } else { last.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_named_after_its_target() {
        assert_eq!(name_of("null:"), "null");
        assert_eq!(name_of("sim:h200-llama3-8b-fp8"), "h200-llama3-8b-fp8");
        assert_eq!(name_of("sim:explicit,base_us=2000"), "explicit");
        assert_eq!(name_of("local:/models/tiny-llama/"), "tiny-llama");
    }
}
