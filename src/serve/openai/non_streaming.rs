//! Non-streamed response: the whole output in one JSON object.

use serde_json::json;

use crate::serve::admission::{Completion, ResponseHandle, ResponsePart};
use crate::serve::openai::response_state::{Endpoint, ResponseState, finish_word, timing};
use crate::serve::refusal::Refusal;

/// Waits for the whole answer and writes it.
///
/// # Errors
/// When the engine fails, or the server ends first.
pub async fn answer(
    mut answer: ResponseHandle,
    mut state: ResponseState,
) -> Result<String, Refusal> {
    let (mut text, mut all_ids) = (String::new(), Vec::new());
    let Completion { how, times, used } = loop {
        match answer.next().await {
            ResponsePart::Accepted => {}
            ResponsePart::Output { ids, .. } => {
                state.text.push(ids.as_slice(), &mut text);
                all_ids.extend_from_slice(ids.as_slice());
            }
            ResponsePart::End(end) => break end,
        }
    };
    let reason = finish_word(how?);
    state.text.finish(&mut text);
    state.tokens = all_ids.len() as u32;
    let mut one = json!({ "index": 0, "logprobs": null, "finish_reason": reason });
    match state.endpoint {
        Endpoint::Chat => one["message"] = json!({ "role": "assistant", "content": text }),
        Endpoint::Completions => one["text"] = text.into(),
    }
    if state.options.return_token_ids {
        one["token_ids"] = all_ids.into();
        one["prompt_token_ids"] = state.prompt_ids.take().into();
    }
    let mut whole = state.head(false);
    whole["choices"] = json!([one]);
    whole["usage"] = state.usage(used);
    if let Some(times) = times {
        whole["x-bareflight-timing"] = timing(times);
    }
    Ok(whole.to_string())
}
