//! How is an answer given at once?

use serde_json::json;

use crate::serve::admission::{Answer, End, Piece};
use crate::serve::openai::choice::{Choice, Endpoint, finish_word, timing};
use crate::serve::refusal::Refusal;

/// Waits for the whole answer and writes it.
///
/// # Errors
/// When the engine fails, or the server ends first.
pub async fn answer(mut answer: Answer, mut choice: Choice) -> Result<String, Refusal> {
    let (mut text, mut all_ids) = (String::new(), Vec::new());
    let End { how, times, .. } = loop {
        match answer.next().await {
            Piece::Accepted => {}
            Piece::Output { ids, .. } => {
                choice.text.push(ids.as_slice(), &mut text);
                all_ids.extend_from_slice(ids.as_slice());
            }
            Piece::End(end) => break end,
        }
    };
    let reason = finish_word(how?);
    choice.text.finish(&mut text);
    choice.tokens = all_ids.len() as u32;
    let mut one = json!({ "index": 0, "logprobs": null, "finish_reason": reason });
    match choice.endpoint {
        Endpoint::Chat => one["message"] = json!({ "role": "assistant", "content": text }),
        Endpoint::Completions => one["text"] = text.into(),
    }
    if choice.wishes.return_token_ids {
        one["token_ids"] = all_ids.into();
        one["prompt_token_ids"] = choice.prompt_ids.take().into();
    }
    let mut whole = choice.head(false);
    whole["choices"] = json!([one]);
    whole["usage"] = choice.usage();
    if let Some(times) = times {
        whole["x-bareflight-timing"] = timing(times);
    }
    Ok(whole.to_string())
}
