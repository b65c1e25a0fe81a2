//! `triton:HOST:PORT/MODEL`: a Triton server, over gRPC (KServe v2) or its HTTP generate endpoint.

pub mod address;
mod call;
mod connect;
pub(crate) mod datatype;
pub(crate) mod encoded;
mod extra_inputs;
mod generate;
pub(crate) mod in_flight;
pub(crate) mod in_flight_request;
pub mod kserve;
pub(crate) mod metadata;
pub(crate) mod metadata_json;
pub mod model_io;
pub mod options;
pub(crate) mod output_counter;
mod probe;
pub(crate) mod request;
pub(crate) mod response;
mod session;
pub mod statistics;
mod streams;
pub mod tensor_roles;
mod text_so_far;

use serde_json::json;

use crate::network::secret::key_remedy;
use crate::network::socket::StampKeeper;
use crate::record::request_record::{StampSource, TokenSource};
use crate::record::sink::Sink;
use crate::request::{Failure, Limits};
use crate::targets::named::Named;
use crate::targets::registry::{Abilities, Kind, ServerProtocol};
use crate::targets::triton::address::Protocol;
use crate::targets::triton::connect::connector;
use crate::targets::triton::in_flight::SessionSettings;
use crate::targets::triton::metadata::ServerFacts;
use crate::targets::triton::model_io::{ModelIo, OutputAs};
use crate::targets::triton::options::{AskOptions, StreamUse, TritonOptions};
use crate::targets::triton::request::RequestTemplate;
use crate::targets::triton::session::TritonSession;
use crate::targets::triton::statistics::StatisticsReader;
use crate::targets::triton::tensor_roles::Role;
use crate::targets::{Session, Shot, Target, TargetError, TargetInfo};

/// `triton:HOST:PORT/MODEL`.
pub const KIND: Kind = Kind {
    name: "triton",
    help: "`triton:HOST:PORT/MODEL` (Triton server)",
    has_argument: true,
    describe: |name, engine, served| {
        let mut options = served.triton(name.argument)?;
        options.asking.engine_stamps = engine.perf_metrics;
        Ok(Named::served(TritonTarget::new(options)?, served))
    },
    abilities: Abilities {
        extra_inputs: true,
        engine_stamps: true,
        server: Some(ServerProtocol::Grpc),
        ..Abilities::NONE
    },
};

/// One model of a Triton server.
#[derive(Debug)]
pub struct TritonTarget {
    options: TritonOptions,
    template: RequestTemplate,
    info: TargetInfo,
}

impl TritonTarget {
    /// Queries the server's metadata; nothing is inferred. Blocks for at most the connect timeout per query.
    ///
    /// # Errors
    /// When the server cannot be reached or is not ready, or the model is no known kind of language model; with the
    /// server's message.
    pub fn new(options: TritonOptions) -> Result<Self, TargetError> {
        let facts =
            metadata::query_model(&options).map_err(|failure| unusable(&options, &failure))?;
        let explain = |reason: String| TargetError::Unusable { name: name_of(&options), reason };
        let filled = options.asking.extra_inputs.keys().map(String::as_str);
        let model_io =
            ModelIo::choose(&facts.model, filled, options.asking.engine_stamps).map_err(explain)?;
        let info = info_of(&options, &facts, &model_io);
        let template =
            RequestTemplate::new(model_io, &facts.model, &options.address.version, &options.asking)
                .map_err(explain)?;
        Ok(Self { options, template, info })
    }

    /// Reader of the server's own counters, before and after a load.
    pub fn statistics_reader(&self) -> StatisticsReader {
        StatisticsReader::new(self.options.clone())
    }

    fn settings(&self, stamps: StampSource) -> Result<SessionSettings, Failure> {
        Ok(SessionSettings {
            timeouts: self.options.timeouts,
            count_tokens: self.options.asking.count_tokens.clone(),
            same_host: connector(&self.options, b"h2")?.is_loopback(),
            stamps,
            tokens: token_source(&self.options.asking, self.template.model_io()),
        })
    }
}

fn name_of(options: &TritonOptions) -> String {
    format!("triton:{}", options.address)
}

fn unusable(options: &TritonOptions, failure: &Failure) -> TargetError {
    use crate::request::FailureKind::{Connect, Disconnected, Malformed, NotFound, Unauthorized};
    let remedy = match failure.kind {
        Connect => {
            "is Triton running there, and is this its gRPC port (8001) or, with http://, its HTTP port (8000)?"
        }
        Disconnected | Malformed => match options.address.protocol {
            Protocol::Grpc => {
                "something other than Triton's gRPC may listen there: for its HTTP port write triton:http://…"
            }
            Protocol::HttpGenerate => {
                "something other than Triton's HTTP may listen there: for its gRPC port leave `http://` out"
            }
        },
        Unauthorized => key_remedy(options.headers.contains_key(http::header::AUTHORIZATION)),
        NotFound => "name a model that the server has loaded",
        _ => "see the server's log",
    };
    let reason = format!("{} ({remedy})", failure.message);
    TargetError::Unusable { name: name_of(options), reason }
}

/// Default source of token counts.
pub(crate) fn token_source(asking: &AskOptions, model_io: &ModelIo) -> TokenSource {
    if model_io.output == OutputAs::Ids {
        TokenSource::Ids
    } else if model_io.has(Role::CountTokens) {
        TokenSource::Usage
    } else if asking.count_tokens.is_some() {
        TokenSource::Retokenized
    } else {
        TokenSource::Chunks
    }
}

fn info_of(options: &TritonOptions, facts: &ServerFacts, model_io: &ModelIo) -> TargetInfo {
    let (model, server) = (&facts.model, &facts.server);
    let call = match (options.address.protocol, model_io.decoupled) {
        (Protocol::Grpc, true) => "ModelStreamInfer",
        (Protocol::Grpc, false) => "ModelInfer, all tokens at once",
        (Protocol::HttpGenerate, true) => "generate_stream",
        (Protocol::HttpGenerate, false) => "generate, all tokens at once",
    };
    let streams = match options.streams {
        StreamUse::PerRequest => json!("per request"),
        StreamUse::Shared(count) => json!(count),
    };
    TargetInfo {
        title: format!(
            "Triton {}, model `{}` ({}), {call}",
            server.version, model.name, model.runs_on
        ),
        name: name_of(options),
        kind: "triton".into(),
        simulated: model.simulated,
        dummy_weights: model.dummy_weights,
        // A server does not say how many GPUs a model uses.
        gpus: 0,
        limits: Limits {
            max_batch_size: u32::try_from(model.max_batch_size).ok().filter(|size| *size > 0),
            vocab_size: model.vocab_size,
            ..Limits::default()
        },
        details: json!({
            "server": server.name,
            "server_version": server.version,
            "model": model.name,
            "runs_on": model.runs_on,
            "decoupled": model.decoupled,
            "inputs": model_io.inputs.iter().map(|input| &input.name).collect::<Vec<_>>(),
            "outputs": model_io.requested,
            "token_source": token_source(&options.asking, model_io),
            "accumulates_text": model_io.accumulates,
            "can_ignore_eos": model_io.can_ignore_eos(),
            "streams": streams,
            "proxy": options.proxy.as_ref().map(|proxy| {
                json!({"url": proxy.to_string(), "named_by": proxy.variable})
            }),
            "headers": options.headers.keys().map(http::HeaderName::as_str).collect::<Vec<_>>(),
            "channels": options.channels,
            "io_threads": options.io_threads,
        }),
    }
}

impl Target for TritonTarget {
    fn describe(&self) -> &TargetInfo {
        &self.info
    }

    fn probe(&mut self, shot: &Shot) -> Result<(), TargetError> {
        let refused = |failure: Failure| TargetError::Refused {
            name: self.info.name.clone(),
            reason: failure.message,
        };
        match probe::why_it_cannot_answer(&self.options, &self.template, shot) {
            Ok(None) => Ok(()),
            Ok(Some(failure)) | Err(failure) => Err(refused(failure)),
        }
    }

    fn open(self: Box<Self>, sink: Sink) -> Result<Box<dyn Session>, TargetError> {
        let keeper = StampKeeper::start();
        let stamps = if keeper.works() { StampSource::Kernel } else { StampSource::User };
        let failed = |failure: Failure| unusable(&self.options, &failure);
        let settings = self.settings(stamps).map_err(failed)?;
        sink.set_stamp_source(stamps);
        sink.tokens_come_from(settings.tokens);
        let template = self.template.clone();
        let session = TritonSession::open(&self.options, template, settings, &sink, keeper)
            .map_err(failed)?;
        Ok(Box::new(session))
    }
}
