//! HOT PATH. Writer of KServe responses: one per delivery, only the tokens are encoded again.

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use prost::Message;

use crate::record::request_record::{EngineTimes, EngineUse};
use crate::serve::admission::{Completion, ResponsePart};
use crate::serve::kserve::model::{Model, VERSION, perf_type};
use crate::serve::refusal::Refusal;
use crate::serve::service::Service;
use crate::targets::triton::kserve::{
    Choice, FINAL_RESPONSE, ModelInferResponse, OutputTensor, Parameter, ParameterEntry,
    StreamResponse,
};
use crate::targets::triton::tensor_roles::PERF_OUTPUTS;
use crate::tokenizer::text_stream::TextStream;

/// Outputs that the client asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResponseSelection {
    /// Outputs by name; all where it is empty.
    pub outputs: Vec<String>,
    /// The engine's stamps and counts.
    pub perf: bool,
    /// A last response that holds nothing.
    pub empty_final: bool,
    /// The prompt before the output; only where it comes at once.
    pub prompt: Option<(Vec<u32>, String)>,
}

impl ResponseSelection {
    fn wants(&self, name: &str) -> bool {
        self.outputs.is_empty() || self.outputs.iter().any(|wanted| wanted == name)
    }
}

/// The responses of one request.
#[derive(Debug)]
pub struct ResponseWriter {
    model: Model,
    wanted: ResponseSelection,
    text: TextStream,
    /// The response as it was sent last; only what changes is written again.
    message: StreamResponse,
    ids: Vec<u32>,
    piece: String,
}

impl ResponseWriter {
    /// To a request with this id.
    pub fn new(service: &Service, model: Model, id: &str, wanted: ResponseSelection) -> Self {
        let outputs = model
            .outputs()
            .iter()
            .filter(|(name, _, _)| wanted.wants(name))
            .map(|(name, datatype, rank)| OutputTensor {
                name: (*name).to_owned(),
                datatype: (*datatype).to_owned(),
                shape: vec![1; *rank],
            })
            .collect::<Vec<_>>();
        let response = ModelInferResponse {
            model_name: model.name().to_owned(),
            model_version: VERSION.to_owned(),
            id: id.to_owned(),
            parameters: vec![ParameterEntry::new(FINAL_RESPONSE, Choice::Bool(false))],
            raw_output_contents: vec![Bytes::new(); outputs.len()],
            outputs,
        };
        let (ids, piece) = wanted.prompt.clone().unwrap_or_default();
        Self {
            model,
            wanted,
            text: TextStream::new(Arc::clone(&service.text)),
            message: StreamResponse {
                error_message: String::new(),
                infer_response: Some(response),
            },
            ids,
            piece,
        }
    }

    /// Appends the responses that these pieces make, each as a message of a gRPC stream; `true` after the last.
    pub fn stream(
        &mut self,
        pieces: impl Iterator<Item = ResponsePart>,
        out: &mut BytesMut,
    ) -> bool {
        for piece in pieces {
            match piece {
                ResponsePart::Accepted => {}
                ResponsePart::Output { ids, is_last, .. } => {
                    self.take(ids.as_slice());
                    // The last tokens go into the last response.
                    if !is_last {
                        self.flush(out);
                    }
                }
                ResponsePart::End(end) => {
                    if self.end(end) {
                        put_message(out, &self.message);
                    }
                    return true;
                }
            }
        }
        false
    }

    /// The answer as a whole.
    ///
    /// # Errors
    /// When the engine failed.
    pub fn whole(
        mut self,
        pieces: impl Iterator<Item = ResponsePart>,
    ) -> Result<ModelInferResponse, Refusal> {
        for piece in pieces {
            match piece {
                ResponsePart::Accepted => {}
                ResponsePart::Output { ids, .. } => self.take(ids.as_slice()),
                ResponsePart::End(Completion { how: Err(refusal), .. }) => return Err(refusal),
                ResponsePart::End(end) => {
                    self.end(end);
                }
            }
        }
        Ok(self.message.infer_response.unwrap_or_default())
    }

    #[inline]
    fn take(&mut self, ids: &[u32]) {
        match self.model {
            Model::Ids => self.ids.extend_from_slice(ids),
            Model::Text => self.text.push(ids, &mut self.piece),
        }
    }

    /// Appends a response with the tokens that are due, if there are any.
    #[inline]
    fn flush(&mut self, out: &mut BytesMut) {
        if !self.ids.is_empty() || !self.piece.is_empty() {
            self.fill();
            put_message(out, &self.message);
        }
    }

    /// Puts the tokens that are due into the response.
    #[inline]
    fn fill(&mut self) {
        let Self { message, ids, piece, .. } = self;
        let Some(response) = message.infer_response.as_mut() else { return };
        let tensors = response.outputs.iter_mut().zip(&mut response.raw_output_contents);
        for (head, raw) in tensors {
            *raw = match head.name.as_str() {
                "output_ids" => {
                    head.shape[2] = ids.len() as i64;
                    ids.iter().flat_map(|id| id.to_le_bytes()).collect()
                }
                "sequence_length" => Bytes::copy_from_slice(&(ids.len() as u32).to_le_bytes()),
                "text_output" => {
                    let mut raw = BytesMut::with_capacity(4 + piece.len());
                    raw.put_u32_le(piece.len() as u32);
                    raw.put_slice(piece.as_bytes());
                    raw.freeze()
                }
                _ => continue,
            };
        }
        ids.clear();
        piece.clear();
    }

    /// The last response: what tokens are due, maybe none, and the engine's stamps and counts. Whether it is to be sent.
    fn end(&mut self, end: Completion) -> bool {
        self.text.finish(&mut self.piece);
        let has_output = !self.ids.is_empty() || !self.piece.is_empty();
        let is_due = has_output || self.wanted.perf || self.wanted.empty_final || end.how.is_err();
        self.fill();
        let Some(response) = self.message.infer_response.as_mut() else { return false };
        response.parameters = vec![final_flag()];
        match end.how {
            Ok(_) if self.wanted.perf => self.put_perf(end.times, end.used),
            Ok(_) => {}
            Err(refusal) => {
                response.outputs.clear();
                response.raw_output_contents.clear();
                self.message.error_message = refusal.to_string();
            }
        }
        is_due
    }

    fn put_perf(&mut self, times: Option<EngineTimes>, used: Option<EngineUse>) {
        let Some(response) = self.message.infer_response.as_mut() else { return };
        for name in PERF_OUTPUTS.into_iter().filter(|name| self.wanted.wants(name)) {
            let Some(number) = perf_value(name, times, used) else { continue };
            let raw = match perf_type(name) {
                "INT64" => Bytes::copy_from_slice(&number.to_le_bytes()),
                _ => Bytes::copy_from_slice(&(number as i32).to_le_bytes()),
            };
            response.outputs.push(OutputTensor {
                name: name.to_owned(),
                datatype: perf_type(name).to_owned(),
                shape: vec![1, 1],
            });
            response.raw_output_contents.push(raw);
        }
    }
}

/// One of [`PERF_OUTPUTS`], where the engine reported it; a stamp that was never reached is 0, as in TensorRT-LLM.
fn perf_value(name: &str, times: Option<EngineTimes>, used: Option<EngineUse>) -> Option<i64> {
    let stamp = |at: fn(EngineTimes) -> Option<crate::clock::MonoNs>| {
        times.map(|times| at(times).map_or(0, |at| at.0))
    };
    let count = |count: fn(EngineUse) -> u32| used.map(|used| i64::from(count(used)));
    match name {
        "arrival_time_ns" => stamp(|times| times.arrival),
        "first_scheduled_time_ns" => stamp(|times| times.first_scheduled),
        "first_token_time_ns" => stamp(|times| times.first_token),
        "last_token_time_ns" => stamp(|times| times.last_token),
        "kv_cache_alloc_total_blocks" => count(|used| used.kv_total_blocks),
        "kv_cache_alloc_new_blocks" => count(|used| used.kv_new_blocks),
        "kv_cache_reused_blocks" => count(|used| used.kv_reused_blocks),
        "total_draft_tokens" => count(|used| used.draft_tokens),
        "total_accepted_draft_tokens" => count(|used| used.accepted_draft_tokens),
        _ => None,
    }
}

fn final_flag() -> ParameterEntry {
    ParameterEntry {
        key: FINAL_RESPONSE.to_owned(),
        value: Some(Parameter { choice: Some(Choice::Bool(true)) }),
    }
}

/// An error response to the request with this id.
pub fn refused(model_name: &str, id: &str, message: &str) -> StreamResponse {
    StreamResponse {
        error_message: message.to_owned(),
        infer_response: Some(ModelInferResponse {
            model_name: model_name.to_owned(),
            id: id.to_owned(),
            parameters: vec![final_flag()],
            ..ModelInferResponse::default()
        }),
    }
}

/// Appends a message with gRPC's five bytes before it.
pub fn put_message(out: &mut BytesMut, message: &impl Message) {
    let length = message.encoded_len();
    out.reserve(5 + length);
    out.put_u8(0);
    out.put_u32(length as u32);
    message.encode(out).expect("there is room for the message");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::now;
    use crate::record::event::FewIds;
    use crate::record::request_record::FinishReason;
    use crate::serve::admission::Admission;
    use crate::serve::chat::ChatTemplate;
    use crate::serve::metrics::Metrics;
    use crate::targets::Target;
    use crate::targets::null::NullTarget;
    use crate::tokenizer::text_stream::Text;

    fn service() -> Service {
        let metrics = Arc::new(Metrics::default());
        let (admission, _commands) = Admission::new(1, Arc::clone(&metrics));
        Service {
            model: "m".to_owned(),
            info: NullTarget::default().describe().clone(),
            end_ids: Vec::new(),
            text: Arc::new(Text::new(bareflight_engine::dummy_tokenizer(64))),
            template: ChatTemplate::Plain,
            api_key: None,
            admission: Arc::new(admission),
            metrics,
            created: 0,
        }
    }

    fn output(id: u32, is_last: bool) -> ResponsePart {
        ResponsePart::Output { at: now(), ids: FewIds::take(&mut std::iter::once(id)), is_last }
    }

    fn end() -> ResponsePart {
        let how = Ok(FinishReason::Length);
        ResponsePart::End(Completion { how, times: None, used: None })
    }

    /// The flag and the tokens of each response.
    fn responses(parts: Vec<ResponsePart>, empty_final: bool) -> Vec<(bool, i64)> {
        let wanted =
            ResponseSelection { outputs: Vec::new(), perf: false, empty_final, prompt: None };
        let mut writer = ResponseWriter::new(&service(), Model::Ids, "7", wanted);
        let mut out = BytesMut::new();
        for part in parts {
            writer.stream(std::iter::once(part), &mut out);
        }
        let mut seen = Vec::new();
        while !out.is_empty() {
            let length = u32::from_be_bytes([out[1], out[2], out[3], out[4]]) as usize;
            let message =
                StreamResponse::decode(&out.split_to(5 + length)[5..]).expect("a message");
            let response = message.infer_response.expect("a response");
            let is_final = response.parameters == [final_flag()];
            seen.push((is_final, response.outputs[0].shape[2]));
        }
        seen
    }

    #[test]
    fn the_last_tokens_come_with_the_final_flag_whenever_the_end_is_seen() {
        let parts = || vec![output(1, false), output(2, true), end()];
        for empty_final in [false, true] {
            assert_eq!(responses(parts(), empty_final), [(false, 1), (true, 1)]);
        }
    }

    #[test]
    fn an_empty_final_response_is_sent_only_where_it_was_asked_for() {
        let parts = || vec![output(1, false), end()];
        assert_eq!(responses(parts(), false), [(false, 1)]);
        assert_eq!(responses(parts(), true), [(false, 1), (true, 0)]);
    }
}
