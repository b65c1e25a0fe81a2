//! State of one response: id, model, usage, and the fields shared by all its chunks.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::clock::MonoNs;
use crate::record::request_record::{EngineTimes, EngineUse, FinishReason};
use crate::serve::admission::RequestSerial;
use crate::serve::openai::parse::ResponseOptions;
use crate::serve::service::Service;
use crate::tokenizer::text_stream::TextStream;

/// Which endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Endpoint {
    /// `/v1/chat/completions`.
    Chat,
    /// `/v1/completions`.
    Completions,
}

/// State of one response.
#[derive(Debug)]
pub struct ResponseState {
    /// Which endpoint it is for.
    pub endpoint: Endpoint,
    /// How it is to look.
    pub options: ResponseOptions,
    /// Its text.
    pub text: TextStream,
    /// Ids so far.
    pub tokens: u32,
    id: String,
    created: i64,
    model: String,
    prompt_tokens: u32,
    /// Tokens of a block of the engine's KV cache, where the target says it.
    block_tokens: Option<u32>,
    /// The prompt's ids, where ids are wanted.
    pub prompt_ids: Option<Vec<u32>>,
}

impl ResponseState {
    /// Of an answer that begins.
    pub fn new(
        service: &Service,
        endpoint: Endpoint,
        options: ResponseOptions,
        serial: RequestSerial,
        prompt_tokens: u32,
        prompt_ids: Option<Vec<u32>>,
    ) -> Self {
        let kind = match endpoint {
            Endpoint::Chat => "chatcmpl",
            Endpoint::Completions => "cmpl",
        };
        Self {
            endpoint,
            options,
            text: TextStream::new(Arc::clone(&service.text)),
            tokens: 0,
            id: format!("{kind}-{:x}-{}", service.created, serial.0),
            created: crate::clock::utc_now().as_second(),
            model: service.model.clone(),
            prompt_tokens,
            block_tokens: block_tokens(&service.info.details),
            prompt_ids,
        }
    }

    /// The head of an object of this answer.
    pub fn head(&self, stream: bool) -> Value {
        let object = match (self.endpoint, stream) {
            (Endpoint::Chat, true) => "chat.completion.chunk",
            (Endpoint::Chat, false) => "chat.completion",
            (Endpoint::Completions, _) => "text_completion",
        };
        json!({ "id": self.id, "object": object, "created": self.created, "model": self.model })
    }

    /// What was used. What the engine found of the prompt in its cache is told where it looked.
    pub fn usage(&self, used: Option<EngineUse>) -> Value {
        let mut usage = json!({
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.tokens,
            "total_tokens": u64::from(self.prompt_tokens) + u64::from(self.tokens),
        });
        if let Some(cached) = self.cached_tokens(used) {
            usage["prompt_tokens_details"] = json!({ "cached_tokens": cached });
        }
        usage
    }

    fn cached_tokens(&self, used: Option<EngineUse>) -> Option<u32> {
        let used = used.filter(|used| used.kv_missed_blocks.is_some())?;
        let found = used.kv_reused_blocks.saturating_mul(self.block_tokens?);
        Some(found.min(self.prompt_tokens))
    }
}

/// Tokens of a block, from what an engine says of itself.
fn block_tokens(details: &Value) -> Option<u32> {
    let places = ["/tokens_per_block", "/limits/tokens_per_block"];
    let told = places.iter().find_map(|place| details.pointer(place)?.as_u64())?;
    u32::try_from(told).ok()
}

/// OpenAI's word for why an output stopped.
pub fn finish_word(reason: FinishReason) -> &'static str {
    match reason {
        FinishReason::EndToken | FinishReason::StopWords => "stop",
        FinishReason::Length | FinishReason::Unknown | FinishReason::Other(_) => "length",
    }
}

/// The engine's stamps, in nanoseconds of this machine's `CLOCK_MONOTONIC`.
pub fn timing(times: EngineTimes) -> Value {
    let ns = |at: Option<MonoNs>| at.map(|at| at.0);
    json!({
        "arrival": ns(times.arrival),
        "first_scheduled": ns(times.first_scheduled),
        "first_token": ns(times.first_token),
        "last_token": ns(times.last_token),
    })
}
