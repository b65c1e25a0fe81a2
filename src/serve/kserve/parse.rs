//! Parser of KServe inference requests.

use crate::request::spec::Sampling;
use crate::serve::kserve::model::Model;
use crate::serve::kserve::tensors::Tensors;
use crate::serve::refusal::Refusal;
use crate::serve::service::{ParsedRequest, Service};
use crate::targets::triton::tensor_roles::Role;

/// Reads a request; `streaming` allows an output in several responses.
///
/// # Errors
/// The first tensor that cannot be honoured.
pub fn read(
    service: &Service,
    model: Model,
    tensors: &Tensors<'_>,
    streaming: bool,
) -> Result<ParsedRequest, Refusal> {
    let (prompt, prompt_field, max_tokens_field) = match model {
        Model::Ids => (tensors.ids(Role::PromptIds)?, "input_ids", "request_output_len"),
        Model::Text => {
            let text = tensors.text(Role::PromptText)?;
            (service.text.encode(text, true)?, "text_input", "max_tokens")
        }
    };
    Ok(ParsedRequest {
        prompt,
        prompt_field,
        max_tokens: tensors.count(Role::MaxTokens)?,
        max_tokens_field,
        min_tokens: tensors.count(Role::MinTokens)?.unwrap_or(0),
        ignore_eos: ignores_eos(service, model, tensors)?,
        sampling: sampling(tensors)?,
        streaming: streaming && tensors.flag(Role::Streaming),
    })
}

/// Without `end_id`, an engine model does not stop at an end token; the ensemble uses its tokenizer's.
fn ignores_eos(service: &Service, model: Model, tensors: &Tensors<'_>) -> Result<bool, Refusal> {
    match tensors.whole(Role::EndId) {
        None => Ok(model == Model::Ids),
        Some(-1) => Ok(true),
        Some(id) if service.end_ids.iter().any(|end| i64::from(*end) == id) => Ok(false),
        Some(id) => {
            let ends = &service.end_ids;
            let message =
                format!("end_id {id}: this model's end tokens are {ends:?}; -1 is for none");
            Err(Refusal::field("end_id", message))
        }
    }
}

/// Greedy unless there is a choice among several candidates, as TensorRT-LLM has it.
fn sampling(tensors: &Tensors<'_>) -> Result<Sampling, Refusal> {
    let seed = tensors.whole(Role::Seed).unwrap_or(0).cast_unsigned();
    let top_k = tensors.count(Role::TopK)?.filter(|k| *k > 0);
    let top_p = tensors.number(Role::TopP).filter(|p| *p > 0.0 && *p < 1.0);
    let temperature = tensors.number(Role::Temperature);
    let greedy = temperature == Some(0.0)
        || top_k == Some(1)
        || (top_k.is_none() && top_p.is_none() && temperature.is_none());
    if greedy {
        return Ok(Sampling::greedy(seed));
    }
    if temperature.is_some_and(|value| !value.is_finite() || value < 0.0) {
        return Err(Refusal::field("temperature", "`temperature` is to be 0 or above"));
    }
    Ok(Sampling { temperature: Some(temperature.unwrap_or(1.0)), top_p, top_k, seed })
}
