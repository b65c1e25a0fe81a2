//! Remedies for refusals: which flag leaves out the member of a request that a server's words name.

use crate::network::secret::key_remedy;
use crate::request::{Failure, FailureKind};
use crate::settings::served::{BodyField, OutputTokenField};
use crate::targets::openai::options::{Endpoint, OpenAiOptions, PromptAs};

/// The status of a proxy that wants to know who asks.
const PROXY_WANTS_TO_KNOW: &str = "HTTP 407";
/// The longest part of a server's words that is kept before a remedy.
const WORDS: usize = 220;

/// Members that requests have, each with what to do where a server refuses it.
#[derive(Debug, Clone)]
pub struct Remedies {
    fields: Vec<(String, String)>,
    key: &'static str,
    /// Where requests go through a proxy, what it may want.
    proxy: Option<String>,
}

impl Remedies {
    /// For requests with these options.
    pub fn of(options: &OpenAiOptions) -> Self {
        let mut fields = Vec::new();
        if options.endpoint.has_output() {
            let (name, other) = (options.output_token_field, options.output_token_field.other());
            let remedy = format!("give `--output-token-field {}`", other.name());
            fields.push((name.name().to_owned(), remedy));
            let sent = BodyField::ALL.into_iter().filter(|field| !options.omit.contains(field));
            fields.extend(
                sent.filter_map(|field| Some((field.name().to_owned(), remedy_of(field)?))),
            );
            fields.extend(["stream", "streaming"].map(|name| {
                (name.to_owned(), "ask for whole answers with `--no-streaming`".to_owned())
            }));
        }
        let as_ids = options.prompt_as == PromptAs::Ids;
        fields.extend(prompt_member(options.endpoint).filter(|_| as_ids).map(|name| {
            let remedy = "send prompts as text with `--prompts text` and `--tokenizer FILE`";
            (name.to_owned(), remedy.to_owned())
        }));
        let extra = options.extra_inputs.keys();
        fields.extend(
            extra.map(|name| (name.clone(), format!("take `{name}` out of `--extra-inputs`"))),
        );
        let key = key_remedy(options.api_key.is_some());
        let proxy = options.proxy.as_ref().map(|proxy| {
            format!(
                "the proxy that `{}` names wants a user and password: write them into it as \
                 http://USER:PASSWORD@HOST:PORT, or go to the server itself with `--no-proxy`",
                proxy.variable
            )
        });
        Self { fields, key, proxy }
    }

    /// The failure, with the flag that mends it where the server's words name a member of the request.
    pub fn explain(&self, failure: Failure) -> Failure {
        let remedy = match failure.kind {
            FailureKind::HttpClient if failure.message.starts_with(PROXY_WANTS_TO_KNOW) => {
                self.proxy.clone()
            }
            FailureKind::HttpClient => self.remedy_in(&failure.message),
            FailureKind::HttpServer | FailureKind::ErrorInStream if self.can_mend(&failure) => {
                self.remedy_in(&failure.message)
            }
            FailureKind::Unauthorized => Some(self.key.to_owned()),
            _ => None,
        };
        match remedy {
            None => failure,
            Some(remedy) => {
                let words = &failure.message;
                let cut = words.floor_char_boundary(WORDS.min(words.len()));
                let more = if cut < words.len() { "…" } else { "" };
                Failure::new(failure.kind, format!("{}{more}; {remedy}", &words[..cut]))
            }
        }
    }

    /// Whether a refusal names members of the request, and those that ask for usage are not among them.
    pub fn blames_no_usage(&self, words: &str) -> bool {
        let asks = ["stream_options", "include_usage", "continuous_usage_stats"];
        !asks.iter().any(|name| words.contains(name)) && self.remedy_in(words).is_some()
    }

    /// Whether a server broke over a member of the request that can be left out, and not over something that may be gone later.
    pub fn can_mend(&self, failure: &Failure) -> bool {
        const OF_MEMBERS: [&str; 8] = [
            "unexpected keyword",
            "unrecognized",
            "unknown",
            "unsupported",
            "not supported",
            "not permitted",
            "not allowed",
            "extra ",
        ];
        let words = failure.message.to_lowercase();
        // Some servers refuse with a 200 and an error object.
        matches!(failure.kind, FailureKind::HttpServer | FailureKind::ErrorInStream)
            && OF_MEMBERS.iter().any(|phrase| words.contains(phrase))
            && self.remedy_in(&failure.message).is_some()
    }

    /// What to do about every member that is named.
    fn remedy_in(&self, words: &str) -> Option<String> {
        let blames = |field: &str| !is_prompt(field) || is_about_type(words);
        let named = self.fields.iter().filter(|(field, _)| is_named(field, words) && blames(field));
        let remedies: Vec<&str> = named
            .map(|(field, remedy)| {
                let other_lengths = "ask for other lengths with `--scenario`";
                if is_about_length(field, words) { other_lengths } else { &**remedy }
            })
            .collect();
        (!remedies.is_empty()).then(|| remedies.join(", "))
    }
}

/// The member that holds prompts, where they can be token ids.
fn prompt_member(endpoint: Endpoint) -> Option<&'static str> {
    match endpoint {
        Endpoint::Completions => Some("prompt"),
        Endpoint::Embeddings => Some("input"),
        Endpoint::Chat | Endpoint::Rerank => None,
    }
}

fn is_prompt(field: &str) -> bool {
    [Endpoint::Completions, Endpoint::Embeddings].map(prompt_member).contains(&Some(field))
}

/// Whether a list in place of a text is refused. Prompts are named in refusals that are about something else, such as their length.
fn is_about_type(words: &str) -> bool {
    const OF_TYPES: [&str; 6] = ["string", "str", "text", "array", "list", "sequence"];
    let words = words.to_lowercase();
    !is_about_numbers(&words) && OF_TYPES.iter().any(|word| is_named(word, &words))
}

/// Whether the number of tokens is refused, and not the member that says it.
fn is_about_length(field: &str, words: &str) -> bool {
    let bounds = [OutputTokenField::MaxTokens, OutputTokenField::MaxCompletionTokens];
    let is_bound = bounds.iter().any(|bound| bound.name() == field);
    is_bound && is_about_numbers(&words.to_lowercase())
}

fn is_about_numbers(words: &str) -> bool {
    const OF_NUMBERS: [&str; 10] = [
        "at least",
        "at most",
        "too large",
        "too small",
        "too many",
        "maximum",
        "minimum",
        "greater than",
        "less than",
        "exceed",
    ];
    OF_NUMBERS.iter().any(|phrase| words.contains(phrase))
}

/// Whether a text has this word, not as a part of a longer one.
fn is_named(field: &str, words: &str) -> bool {
    let inside = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    words.match_indices(field).any(|(at, _)| {
        let before = words[..at].bytes().next_back();
        let after = words[at + field.len()..].bytes().next();
        !before.is_some_and(inside) && !after.is_some_and(inside)
    })
}

/// `None` for a member whose name stands in refusals that are about something else.
fn remedy_of(field: BodyField) -> Option<String> {
    let name = field.name();
    match field {
        BodyField::IgnoreEos => {
            Some("leave it out with `--stop-at-eos` or `--omit ignore_eos`".to_owned())
        }
        BodyField::MinTokens
        | BodyField::Seed
        | BodyField::StreamOptions
        | BodyField::Temperature
        | BodyField::TopK
        | BodyField::TopP => Some(format!("leave it out with `--omit {name}`")),
        BodyField::Model => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn explained(words: &str, change: impl FnOnce(&mut OpenAiOptions)) -> String {
        let mut options = OpenAiOptions::new("http://h");
        change(&mut options);
        Remedies::of(&options).explain(Failure::new(FailureKind::HttpClient, words)).message
    }

    #[test]
    fn the_flag_follows_the_field_that_is_named() {
        for (words, flag) in [
            ("extra field `ignore_eos` is not permitted", "--omit ignore_eos"),
            ("Unknown parameter: 'stream_options'.", "--omit stream_options"),
            ("temperature must be 1", "--omit temperature"),
            (
                "'max_tokens' is not supported. Use 'max_completion_tokens' instead.",
                "--output-token-field max_completion_tokens",
            ),
            (r#"[{"loc":["body","seed"],"type":"extra_forbidden"}]"#, "--omit seed"),
        ] {
            assert!(explained(words, |_| {}).contains(flag), "{words}");
        }
        let newer = |options: &mut OpenAiOptions| {
            options.output_token_field = options.output_token_field.other();
        };
        let words = explained("unknown: max_completion_tokens", newer);
        assert!(words.contains("--output-token-field max_tokens"), "{words}");
    }

    #[test]
    fn a_server_that_breaks_over_a_member_names_its_flag_and_one_that_is_busy_does_not() {
        let remedies = Remedies::of(&OpenAiOptions::new("http://h"));
        let failure = |words: &str| Failure::new(FailureKind::HttpServer, words);
        let broke = failure("generate() got an unexpected keyword argument 'ignore_eos'");
        assert!(remedies.can_mend(&broke));
        assert!(remedies.explain(broke).message.contains("--omit ignore_eos"));
        for words in ["overloaded", "seed is unlucky today", "unknown error"] {
            assert!(!remedies.can_mend(&failure(words)), "{words}");
        }
    }

    #[test]
    fn a_server_that_takes_no_ids_names_the_flag_for_text() {
        let ids = |endpoint| {
            move |options: &mut OpenAiOptions| {
                (options.endpoint, options.prompt_as) = (endpoint, PromptAs::Ids);
            }
        };
        for words in [
            r#"[{"type":"string_type","loc":["body","prompt"],"msg":"Input should be a valid string"}]"#,
            "prompt: invalid type: sequence, expected a string at line 1 column 30",
            "json: cannot unmarshal array into Go struct field CompletionRequest.prompt of type string",
            "'prompt' must be a string",
        ] {
            let said = explained(words, ids(Endpoint::Completions));
            assert!(said.contains("--prompts text"), "{said}");
            assert_eq!(explained(words, |_| {}), words, "prompts were text");
        }
        let said = explained("`input` must be text", ids(Endpoint::Embeddings));
        assert!(said.contains("--prompts text"), "{said}");
        let long = "the prompt has 4000 tokens, at most 2048 are possible for this type of model";
        assert_eq!(explained(long, ids(Endpoint::Completions)), long);
    }

    #[test]
    fn a_number_of_tokens_that_is_refused_is_no_wrong_name() {
        for words in [
            "max_tokens must be at least 16",
            "'max_tokens' is too large: 5000. This model's maximum context length is 2048 tokens",
        ] {
            let said = explained(words, |_| {});
            assert!(said.contains("`--scenario`") && !said.contains("--output-token"), "{said}");
        }
    }

    #[test]
    fn a_server_that_does_not_stream_names_the_flag_for_whole_answers() {
        for words in ["`stream` must be false", "streaming is not supported"] {
            assert!(explained(words, |_| {}).contains("--no-streaming"), "{words}");
        }
    }

    #[test]
    fn a_field_that_is_not_sent_or_not_named_is_not_blamed() {
        let omitted = |options: &mut OpenAiOptions| options.omit = vec![BodyField::Seed];
        assert_eq!(explained("seed", omitted), "seed");
        for words in ["the context is too long", "seeds", "my_seed", "model `m` does not exist"] {
            assert_eq!(explained(words, |_| {}), words);
        }
    }

    #[test]
    fn a_refusal_that_may_be_about_usage_is_told_from_one_that_names_something_else() {
        let remedies = Remedies::of(&OpenAiOptions::new("http://h"));
        assert!(remedies.blames_no_usage("extra field: ignore_eos"));
        for words in ["stream_options.continuous_usage_stats: seed", "bad request", ""] {
            assert!(!remedies.blames_no_usage(words), "{words}");
        }
    }

    #[test]
    fn several_fields_have_several_remedies_and_long_words_leave_room_for_them() {
        let words = format!("ignore_eos, top_k: {}", "not permitted ".repeat(60));
        let said = explained(&words, |_| {});
        assert!(said.contains("--omit ignore_eos") && said.contains("--omit top_k"), "{said}");
        assert!(said.len() <= Failure::MAX_MESSAGE);
    }
}
