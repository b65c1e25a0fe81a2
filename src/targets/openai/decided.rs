//! Members of a request that the run decides: `--extra-inputs` that give them are refused with the flag that does.

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::load::plan::Shot;
use crate::request::RequestId;
use crate::request::spec::{Beside, OutputSpec, Prompt, RequestSpec, Sampling};
use crate::settings::served::{BodyField, SameInAll};
use crate::targets::openai::options::OpenAiOptions;
use crate::targets::openai::request_body::BadRequestOption;

/// Members of a request that the run decides, and with which flag.
const DECIDED: [(&str, &str); 17] = [
    (
        "max_tokens",
        "`--scenario` says how many, and `--output-token-field max_tokens` that they are called so",
    ),
    (
        "max_completion_tokens",
        "`--scenario` says how many, and `--output-token-field max_completion_tokens` that they are called so",
    ),
    ("prompt", "`--scenario` and `--prompts` draw prompts"),
    ("messages", "`--scenario` and `--prompts` draw prompts"),
    ("input", "`--scenario` and `--prompts` draw prompts"),
    ("query", "`--scenario` draws queries"),
    ("documents", "`--scenario` and `--batch-size` draw documents"),
    ("stream", "`--no-streaming` switches it off"),
    ("n", "every request is measured by its one output, so leave it out"),
    ("model", "`--model` names it"),
    ("ignore_eos", "`--stop-at-eos` lets an end token end an output; without it none does"),
    ("min_tokens", "`--min-tokens` gives it"),
    ("temperature", "`--temperature` gives it"),
    ("top_p", "`--top-p` gives it"),
    ("top_k", "`--top-k` gives it"),
    ("seed", "every request that is sampled gets one of its own, which follows from `--seed`"),
    ("stream_options", "a stream is asked for the server's own counts"),
];

/// Two requests of a run that differ in all that may differ between its requests.
pub fn two_of_a_run(same: Option<SameInAll>) -> [Shot; 2] {
    [1_u32, 2].map(|number| {
        let is_first = number == 1;
        let text = |text: &str| Prompt {
            ids: [number].into(),
            text: Some(Arc::from(format!("{text} {number}"))),
        };
        // Without a run to go by they are streamed, sampled and bounded each in its own way.
        let SameInAll { streaming, sampling, min_tokens } = same.unwrap_or_else(|| {
            let mut unlike = SameInAll { streaming: is_first, ..SameInAll::default() };
            unlike.sampling.temperature = Some(number as f32);
            unlike
        });
        let (temperature, top_p, top_k) = (sampling.temperature, sampling.top_p, sampling.top_k);
        let output = OutputSpec {
            max_tokens: u32::MAX - number,
            min_tokens,
            ignore_eos: same.is_some() || is_first,
        };
        let request = RequestSpec {
            prompt: text("prompt"),
            beside: Beside::Texts([text("document")].into()),
            output,
            sampling: Sampling { temperature, top_p, top_k, seed: number.into() },
            streaming,
            priority: 0.5,
            adapter: None,
            terms: Arc::default(),
        };
        Shot::new(RequestId(number), request)
    })
}

/// `--extra-inputs` without what the run writes in just that way, as `in_all` of its requests have it. A member that says the same
/// as the run changes no number, and commands of other benchmarks give such members.
///
/// # Errors
/// For the first member that the run decides otherwise, with what to do about it. One that `--omit` leaves out is no longer the
/// run's.
pub fn beside_the_run(
    options: &OpenAiOptions,
    in_all: &Map<String, Value>,
) -> Result<Map<String, Value>, BadRequestOption> {
    let mut beside = options.extra_inputs.clone();
    let omissible = |field: &str| BodyField::ALL.into_iter().find(|it| it.name() == field);
    let is_left_out = |field: &str| omissible(field).is_some_and(|it| options.omit.contains(&it));
    for (field, by) in DECIDED {
        let Some(given) = beside.get(field).filter(|_| !is_left_out(field)) else { continue };
        if is_same(in_all.get(field), given) {
            beside.remove(field);
        } else if in_all.contains_key(field) || !means_nothing(options, field, given) {
            let remedy = match omissible(field) {
                None => by.to_owned(),
                Some(_) => format!("{by} (with `--omit {field}` it is yours)"),
            };
            return Err(BadRequestOption::Decided { field, remedy });
        }
    }
    Ok(beside)
}

/// Whether both are one value; numbers are, however they are written.
fn is_same(ours: Option<&Value>, given: &Value) -> bool {
    let Some(ours) = ours else { return false };
    let numbers = ours.as_f64().zip(given.as_f64());
    numbers.map_or(ours == given, |(ours, given)| ours.total_cmp(&given).is_eq())
}

/// Whether a member that the run leaves out says what a server does without it: it is passed on.
fn means_nothing(options: &OpenAiOptions, field: &str, given: &Value) -> bool {
    let default = match field {
        "n" => Value::from(1),
        "ignore_eos" => Value::from(false),
        "min_tokens" => Value::from(0),
        _ => return false,
    };
    options.endpoint.has_output() && is_same(Some(&default), given)
}
