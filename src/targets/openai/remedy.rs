//! Remedies for refusals: which flag leaves out the member of a request that a server's words name.

use crate::request::{Failure, FailureKind};
use crate::settings::served::BodyField;
use crate::targets::openai::options::OpenAiOptions;

/// The longest part of a server's words that is kept before a remedy.
const WORDS: usize = 220;

/// Members that requests have, each with what to do where a server refuses it.
#[derive(Debug, Clone)]
pub struct Remedies {
    fields: Vec<(String, String)>,
    key: &'static str,
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
        }
        let extra = options.extra_inputs.keys();
        fields.extend(
            extra.map(|name| (name.clone(), format!("take `{name}` out of `--extra-inputs`"))),
        );
        let key = if options.api_key.is_some() {
            "the key that was sent is not the one it wants: see `--api-key-env`"
        } else {
            "no key was sent: name the variable that holds it with `--api-key-env`, or a file with `--api-key-file`"
        };
        Self { fields, key }
    }

    /// The failure, with the flag that mends it where the server's words name a member of the request.
    pub fn explain(&self, failure: Failure) -> Failure {
        let remedy = match failure.kind {
            FailureKind::HttpClient => self.remedy_in(&failure.message),
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

    /// What to do about every member that is named.
    fn remedy_in(&self, words: &str) -> Option<String> {
        let named = self.fields.iter().filter(|(field, _)| is_named(field, words));
        let remedies: Vec<&str> = named.map(|(_, remedy)| &**remedy).collect();
        (!remedies.is_empty()).then(|| remedies.join(", "))
    }
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
