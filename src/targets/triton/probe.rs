//! Probe: a request before any load, so that what cannot answer stops the run and not each of its requests.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tonic::{Status, Streaming};

use crate::load::plan::Shot;
use crate::network::thread;
use crate::request::{Failure, FailureKind};
use crate::targets::bad_answer::{SHOWN, is_lasting, shown};
use crate::targets::triton::call::{failure_of, stream, unary};
use crate::targets::triton::connect::{Link, connector};
use crate::targets::triton::encoded::{Encoded, Encoder};
use crate::targets::triton::generate::{Reader, ask_once};
use crate::targets::triton::kserve::{ModelInferRequest, ModelInferResponse, StreamResponse, path};
use crate::targets::triton::options::TritonOptions;
use crate::targets::triton::request::RequestTemplate;
use crate::targets::triton::response::{JsonResponse, Reading, is_final};
use crate::threads::Own;

/// How long the probe waits: a server that is slower refuses nothing yet.
const LIMIT: Duration = Duration::from_secs(10);

/// Why the server would fail every request like this one, if it would. What is no answer may be a slip of something on the way:
/// it is asked once more.
///
/// # Errors
/// [`FailureKind::Refused`] when the model cannot take what the shot asks.
pub fn why_it_cannot_answer(
    options: &TritonOptions,
    template: &RequestTemplate,
    shot: &Shot,
) -> Result<Option<Failure>, Failure> {
    let (template, protocol) = (Arc::new(template.clone()), options.address.protocol);
    let encoded = Encoder { template: Arc::clone(&template), protocol }.request_of(shot)?;
    let once = || {
        let (options, template) = (options.clone(), Arc::clone(&template));
        let encoded = encoded.clone();
        let asked = thread::wait_for(Own::AskTriton.builder(), move || async move {
            let asking = async {
                match encoded {
                    Encoded::Message(message) => over_grpc(&options, &template, message).await,
                    Encoded::Body(body) => over_http(&options, &template, body).await,
                }
            };
            tokio::time::timeout(LIMIT, asking).await.unwrap_or(Ok(()))
        });
        let answer = asked.unwrap_or_else(|error| {
            Err(Failure::new(FailureKind::Connect, format!("no thread to ask from: {error}")))
        });
        answer.err().filter(meets_all)
    };
    let first = once();
    Ok(match first.as_ref().map(|failure| failure.kind) {
        Some(FailureKind::Malformed | FailureKind::Empty | FailureKind::Refused) => once(),
        _ => first,
    })
}

/// Whether a failure meets every request: a refusal does, unless its words say that the server is busy.
fn meets_all(failure: &Failure) -> bool {
    const BUSY: [&str; 5] = ["queue", "busy", "overload", "unavailable", "timeout"];
    let says = |word: &&str| failure.message.to_ascii_lowercase().contains(*word);
    match failure.kind {
        FailureKind::Refused => !BUSY.iter().any(says),
        FailureKind::Empty => true,
        kind => is_lasting(kind),
    }
}

/// What came over a generate endpoint.
#[derive(Default)]
struct Came {
    holds_output: bool,
    complains: bool,
    /// The first object.
    first: Vec<u8>,
}

impl Reader for Came {
    fn comes_whole(&mut self) {}

    fn response(&mut self, response: &JsonResponse, written: &[u8]) {
        self.holds_output |= response.holds_output();
        self.complains |= response.complains();
        if self.first.is_empty() {
            self.first.extend_from_slice(&written[..written.len().min(SHOWN)]);
        }
    }
}

async fn over_http(
    options: &TritonOptions,
    template: &RequestTemplate,
    body: Bytes,
) -> Result<(), Failure> {
    let mut came = Came::default();
    ask_once(options, template, body, &mut came).await?;
    // An output of no token is one: a longer one may hold some.
    if came.holds_output || came.complains || came.first.is_empty() {
        return Ok(());
    }
    let asked = template.model_io().requested.join("`, `");
    let message = format!(
        "the answer has none of the outputs that the model was asked for (`{asked}`); something else may answer there: {}",
        shown(&came.first)
    );
    Err(Failure::new(FailureKind::Empty, message))
}

async fn over_grpc(
    options: &TritonOptions,
    template: &RequestTemplate,
    message: ModelInferRequest,
) -> Result<(), Failure> {
    let link = Link::open(options, connector(options, b"h2")?).await?;
    let failed = |status: Status| failure_of(&status);
    if !template.model_io().decoupled {
        let reply: ModelInferResponse =
            unary(link.channel, path::MODEL_INFER, message).await.map_err(failed)?;
        return readable(&reply);
    }
    let only = tokio_stream::once(message);
    let mut responses: Streaming<StreamResponse> =
        stream(link.channel, path::MODEL_STREAM_INFER, only).await.map_err(failed)?;
    let mut has_begun = false;
    while let Some(response) = responses.message().await.map_err(failed)? {
        let infer = response.infer_response.as_ref();
        let ends = infer.is_some_and(is_final);
        match infer {
            // Before any response and without the mark of an end the server itself refuses the request.
            _ if !response.error_message.is_empty() => {
                let is_refused = !has_begun && !ends;
                let kind =
                    if is_refused { FailureKind::Refused } else { FailureKind::ErrorInStream };
                return Err(Failure::new(kind, response.error_message));
            }
            Some(infer) => readable(infer)?,
            None => {
                let message = "a stream response held neither an error nor a response";
                return Err(Failure::new(FailureKind::Malformed, message));
            }
        }
        if ends {
            break;
        }
        has_begun = true;
    }
    Ok(())
}

/// Whether the tensors of a response are what their heads say.
fn readable(response: &ModelInferResponse) -> Result<(), Failure> {
    let read = Reading::of(response);
    read.map(drop).map_err(|message| Failure::new(FailureKind::Malformed, message))
}
