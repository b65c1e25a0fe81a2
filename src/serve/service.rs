//! State shared by all endpoints: admission, model name, tokenizer, limits, metrics.

use std::sync::Arc;

use crate::network::secret::ApiKey;
use crate::request::spec::{Beside, OutputSpec, Prompt, RequestSpec, Sampling};
use crate::serve::admission::{Admission, ResponseHandle};
use crate::serve::chat::ChatTemplate;
use crate::serve::metrics::Metrics;
use crate::serve::refusal::Refusal;
use crate::targets::TargetInfo;
use crate::tokenizer::text_stream::Text;
use crate::workload::DEFAULT_PRIORITY;

/// Output tokens where neither the request nor the target sets an end.
pub const UNBOUNDED_OUTPUT: u32 = 1024;

/// State shared by all endpoints.
#[derive(Debug)]
pub struct Service {
    /// The model's name over OpenAI's protocol.
    pub model: String,
    /// What answers.
    pub info: TargetInfo,
    /// Ids that end an output unless they are ignored.
    pub end_ids: Vec<u32>,
    /// Text to ids and back.
    pub text: Arc<Text>,
    /// Messages to text.
    pub template: ChatTemplate,
    /// Key that clients must send; `None` lets everyone in.
    pub api_key: Option<ApiKey>,
    /// Who may come in.
    pub admission: Arc<Admission>,
    /// What was done.
    pub metrics: Arc<Metrics>,
    /// When it began, in seconds since 1970, for the list of models.
    pub created: i64,
}

/// A parsed request of any protocol.
#[derive(Debug, Clone, PartialEq)]
pub struct ParsedRequest {
    /// The prompt.
    pub prompt: Vec<u32>,
    /// What the prompt's field is called, for complaints.
    pub prompt_field: &'static str,
    /// Output tokens at most; `None` for all that fit.
    pub max_tokens: Option<u32>,
    /// What that field is called.
    pub max_tokens_field: &'static str,
    /// No end token before so many.
    pub min_tokens: u32,
    /// Completion tokens do not end the output.
    pub ignore_eos: bool,
    /// How tokens are chosen.
    pub sampling: Sampling,
    /// Output comes as it is made.
    pub streaming: bool,
}

impl Service {
    /// Whether its latencies are not those of an engine: a model of one answers, or nothing does.
    pub fn has_no_engine(&self) -> bool {
        self.info.simulated || self.info.abilities().replies_at_once
    }

    /// Checks the value of an `authorization` header.
    ///
    /// # Errors
    /// [`Refusal::Unauthorized`].
    pub fn check_key(&self, authorization: Option<&[u8]>) -> Result<(), Refusal> {
        match (&self.api_key, authorization) {
            (None, _) => Ok(()),
            (Some(key), Some(given)) if key.is_bearer(given) => Ok(()),
            (Some(_), _) => Err(Refusal::Unauthorized),
        }
    }

    /// Hands a question to the engine, if it fits.
    ///
    /// # Errors
    /// Why not.
    pub async fn submit(&self, parsed: ParsedRequest) -> Result<ResponseHandle, Refusal> {
        let request = self.request(parsed).inspect_err(|_| self.metrics.rejected())?;
        self.admission.submit(request).await
    }

    fn request(&self, parsed: ParsedRequest) -> Result<RequestSpec, Refusal> {
        let max_tokens = self.fitting(&parsed)?;
        let ParsedRequest {
            prompt, prompt_field, min_tokens, ignore_eos, sampling, streaming, ..
        } = parsed;
        if let Some(size) = self.info.limits.vocab_size
            && let Some(id) = prompt.iter().find(|id| **id >= size)
        {
            let message = format!("token id {id} is not in the vocabulary of {size} ids");
            return Err(Refusal::field(prompt_field, message));
        }
        if min_tokens > max_tokens {
            let message = format!("{min_tokens} tokens at least and {max_tokens} at most");
            return Err(Refusal::field("min_tokens", message));
        }
        Ok(RequestSpec {
            beside: Beside::Nothing,
            prompt: Prompt { ids: prompt.into(), text: None },
            output: OutputSpec { max_tokens, min_tokens, ignore_eos },
            sampling,
            streaming,
            priority: DEFAULT_PRIORITY,
            adapter: None,
            terms: Arc::default(),
        })
    }

    /// Output tokens that were asked for, or all that fit.
    fn fitting(&self, parsed: &ParsedRequest) -> Result<u32, Refusal> {
        let limits = self.info.limits;
        let prompt = parsed.prompt.len() as u32;
        if prompt == 0 {
            return Err(Refusal::field(parsed.prompt_field, "the prompt is empty"));
        }
        if let Some(most) = limits.max_prompt_tokens
            && prompt > most
        {
            let message =
                format!("this model takes prompts of at most {most} tokens; this one has {prompt}");
            return Err(Refusal::TooLong { field: parsed.prompt_field, message });
        }
        let left = limits.max_sequence_tokens.map(|most| most.saturating_sub(prompt));
        match (parsed.max_tokens, left) {
            (Some(0), _) => {
                Err(Refusal::field(parsed.max_tokens_field, "0 tokens are no output: ask for 1"))
            }
            (Some(asked), Some(left)) if asked > left => {
                let message = format!(
                    "this model's sequences have at most {} tokens; {prompt} in the prompt and {asked} in the output \
                     are {}",
                    left + prompt,
                    u64::from(prompt) + u64::from(asked),
                );
                Err(Refusal::TooLong { field: parsed.max_tokens_field, message })
            }
            (Some(asked), _) => Ok(asked),
            (None, Some(left)) => Ok(left.max(1)),
            (None, None) => Ok(UNBOUNDED_OUTPUT),
        }
    }
}
