//! Members of a request that the run decides: `--extra-inputs` that give them are refused with the flag that does.

use serde_json::{Map, Value};

use crate::settings::served::BodyField;
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

/// `--extra-inputs` without what the run writes in just that way. A member that says the same as the run changes no number, and
/// commands of other benchmarks give such members.
///
/// # Errors
/// For the first member that the run decides otherwise, with what to do about it. One that `--omit` leaves out is no longer the
/// run's.
pub fn beside_the_run(options: &OpenAiOptions) -> Result<Map<String, Value>, BadRequestOption> {
    let mut beside = options.extra_inputs.clone();
    let omissible = |field: &str| BodyField::ALL.into_iter().find(|it| it.name() == field);
    let is_left_out = |field: &str| omissible(field).is_some_and(|it| options.omit.contains(&it));
    for (field, by) in DECIDED {
        let Some(given) = beside.get(field).filter(|_| !is_left_out(field)) else { continue };
        if is_same(options.in_every_request(field).as_ref(), given) {
            beside.remove(field);
        } else if !means_nothing(options, field, given) {
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
    let is_written = options.in_every_request(field).is_some();
    let default = match field {
        "n" => Value::from(1),
        "ignore_eos" => Value::from(false),
        "min_tokens" => Value::from(0),
        _ => return false,
    };
    !is_written && options.endpoint.has_output() && is_same(Some(&default), given)
}
