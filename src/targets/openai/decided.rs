//! Members of a request that the run decides: `--extra-inputs` that give them are refused with the flag that does.

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

/// The first member of `--extra-inputs` that the run decides, and what to do about it. One that `--omit` leaves out is no longer
/// the run's.
pub fn decided_by(options: &OpenAiOptions) -> Option<BadRequestOption> {
    let is_given = |field: &str| options.extra_inputs.contains_key(field);
    let omissible = |field: &str| BodyField::ALL.into_iter().find(|it| it.name() == field);
    let is_left_out = |field: &str| omissible(field).is_some_and(|it| options.omit.contains(&it));
    let (field, by) =
        DECIDED.into_iter().find(|(field, _)| is_given(field) && !is_left_out(field))?;
    let remedy = match omissible(field) {
        None => by.to_owned(),
        Some(_) => format!("{by} (with `--omit {field}` it is yours)"),
    };
    Some(BadRequestOption::Decided { field, remedy })
}
