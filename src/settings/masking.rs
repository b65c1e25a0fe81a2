//! Masking of secrets in command lines and environments before they are written.

/// What stands in place of a secret.
pub const HIDDEN: &str = "(hidden)";

/// Parts of a variable's name that mean that its value is a secret.
const IN_VARIABLES: [&str; 8] =
    ["KEY", "TOKEN", "SECRET", "PASSWORD", "PASSWD", "CREDENTIAL", "COOKIE", "AUTH"];
/// Words of a flag's name that mean that its value is a secret; `--max-num-tokens` and `--tokenizer` have none of them.
const IN_FLAGS: [&str; 7] =
    ["key", "apikey", "token", "secret", "password", "passwd", "credential"];

/// The same of a header's name.
const IN_HEADERS: [&str; 4] = ["authorization", "auth", "cookie", "bearer"];

/// The value of a variable, unless its name says that it is a secret.
pub fn value_of_variable(name: &str, value: &str) -> String {
    if is_secret_variable(name) { HIDDEN.to_owned() } else { without_password(value) }
}

/// Whether the name of a variable says that its value is a secret.
pub fn is_secret_variable(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    IN_VARIABLES.iter().any(|part| name.contains(part))
}

/// Arguments without the values of flags, variables and headers whose names say that they are secrets.
pub fn arguments<S: AsRef<str>>(arguments: &[S]) -> Vec<String> {
    let mut mask = Mask::default();
    arguments.iter().map(|argument| mask.argument(argument.as_ref())).collect()
}

/// The same for a command line as one text.
pub fn command(text: &str) -> String {
    Mask::default().words(&without_secret_members(text))
}

/// What the words before one say of it.
#[derive(Debug, Default, Clone, Copy)]
enum Next {
    #[default]
    Open,
    Secret,
    /// Up to the word that ends with this quotation mark.
    SecretUntil(char),
}

#[derive(Debug, Default)]
struct Mask {
    next: Next,
}

impl Mask {
    /// One argument, which may hold a command line or a header.
    fn argument(&mut self, argument: &str) -> String {
        let argument = &*without_secret_members(argument);
        if !argument.contains(char::is_whitespace) {
            return self.word(argument);
        }
        if matches!(std::mem::take(&mut self.next), Next::Secret) {
            return HIDDEN.to_owned();
        }
        // All that stands behind a secret's name is the secret.
        if let Some((name, _)) = argument.split_once('=').filter(|(name, _)| is_secret_name(name)) {
            return format!("{name}={HIDDEN}");
        }
        // A header, also as the value of a flag.
        let begin = argument.split_once(':').map(|(begin, _)| begin);
        let header = begin.map(|begin| begin.rsplit_once('=').map_or(begin, |(_, name)| name));
        if let Some(begin) = begin.filter(|_| header.is_some_and(is_secret_header)) {
            return format!("{begin}: {HIDDEN}");
        }
        // What is quoted in it is open or hidden within it alone.
        Self::default().words(argument)
    }

    fn words(&mut self, text: &str) -> String {
        let parts = text.split_inclusive(char::is_whitespace).map(|part| {
            let word = part.trim_end();
            if word.is_empty() { part.to_owned() } else { self.word(word) + &part[word.len()..] }
        });
        parts.collect()
    }

    fn word(&mut self, word: &str) -> String {
        match std::mem::take(&mut self.next) {
            Next::Secret if !word.starts_with('-') => return self.hidden(word),
            Next::SecretUntil(quote) => {
                if !word.ends_with(quote) {
                    self.next = Next::SecretUntil(quote);
                    return HIDDEN.to_owned();
                }
                return format!("{HIDDEN}{quote}");
            }
            Next::Open | Next::Secret => {}
        }
        if let Some((name, value)) = word.split_once('=') {
            let value = if is_secret_name(name) { self.hidden(value) } else { self.value(value) };
            return format!("{name}={value}");
        }
        if is_secret_flag(word) {
            self.next = Next::Secret;
        }
        self.value(word)
    }

    /// A header, a member of JSON, or a URL.
    fn value(&mut self, word: &str) -> String {
        let header = word.split_once(':').filter(|(name, _)| is_secret_header(name));
        let Some((name, value)) = header else { return without_password(word) };
        if value.contains(HIDDEN) {
            return word.to_owned();
        }
        if !value.is_empty() {
            return format!("{name}:{}", self.hidden(value));
        }
        let begin = name.trim_start_matches('\\').chars().next();
        self.next = match begin.filter(|first| is_quote(*first)) {
            Some(quote) => Next::SecretUntil(quote),
            None => Next::Secret,
        };
        word.to_owned()
    }

    fn hidden(&mut self, word: &str) -> String {
        let first = word.chars().next().filter(|first| is_quote(*first));
        if let Some(quote) = first.filter(|quote| !word[1..].contains(*quote)) {
            self.next = Next::SecretUntil(quote);
        }
        let last = word.chars().next_back().filter(|last| is_quote(*last) && first.is_none());
        last.map_or_else(|| HIDDEN.to_owned(), |quote| format!("{HIDDEN}{quote}"))
    }
}

fn is_quote(letter: char) -> bool {
    matches!(letter, '\'' | '"')
}

/// `Authorization`, `X-Api-Key`, also as a member of JSON.
fn is_secret_header(name: &str) -> bool {
    let name = name.trim_matches(['\'', '"', '{', '\\']).to_ascii_lowercase();
    let is_name = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
    let is_secret = |word: &str| IN_FLAGS.contains(&word) || IN_HEADERS.contains(&word);
    is_name && name.split(['-', '_']).any(is_secret)
}

/// The same for `NAME=VALUE,NAME=VALUE`.
pub fn variables(text: &str) -> String {
    let Ok(pairs) = crate::settings::launch::parse_env(text) else { return HIDDEN.to_owned() };
    let shown =
        pairs.iter().map(|(name, value)| format!("{name}={}", value_of_variable(name, value)));
    shown.collect::<Vec<_>>().join(",")
}

/// A text without the values of members of JSON whose names say that they are secrets, also where its quotation marks are escaped.
fn without_secret_members(text: &str) -> String {
    let mut shown = String::new();
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once('"') {
        shown += before;
        shown.push('"');
        rest = behind;
        let Some((name, value)) = behind.split_once('"') else { break };
        let value = value.trim_start();
        let Some(value) = value.strip_prefix(':').filter(|_| is_secret_header(name)) else {
            continue;
        };
        let value = value.trim_start();
        let mark = if name.ends_with('\\') { "\\\"" } else { "\"" };
        let end = match value.strip_prefix(mark) {
            Some(inside) => inside.find(mark).map(|end| end + 2 * mark.len()),
            None => value.find([',', '}', '\n']),
        };
        shown.extend([name, "\":", mark, HIDDEN, mark]);
        rest = &value[end.unwrap_or(value.len())..];
    }
    shown + rest
}

/// `NAME` or `--flag` before a `=`.
fn is_secret_name(name: &str) -> bool {
    is_secret_flag(name) || !name.starts_with('-') && is_variable(name)
}

fn is_variable(name: &str) -> bool {
    let is_upper = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    name.chars().all(is_upper) && is_secret_variable(name)
}

fn is_secret_flag(flag: &str) -> bool {
    let Some(name) = flag.strip_prefix('-') else { return false };
    let name = name.trim_start_matches('-').to_ascii_lowercase();
    name.split(['-', '_', '.']).any(|word| IN_FLAGS.contains(&word))
}

/// A URL without user and password.
fn without_password(text: &str) -> String {
    let Some(scheme) = text.find("://") else { return text.to_owned() };
    let authority = &text[scheme + 3..];
    let end = authority.find('/').unwrap_or(authority.len());
    match authority[..end].rfind('@') {
        Some(at) => format!("{}{HIDDEN}{}", &text[..scheme + 3], &authority[at..]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_secret_flags_are_hidden_and_token_counts_are_not() {
        let typed = [
            "vllm",
            "serve",
            "m",
            "--api-key",
            "sk-1",
            "--max-num-batched-tokens",
            "8192",
            "--hf_token=hf-2",
            "--tokenizer",
            "dir",
            "HF_TOKEN=hf-3",
            "--seed",
            "1",
        ];
        let kept = arguments(&typed).join(" ");
        for secret in ["sk-1", "hf-2", "hf-3"] {
            assert!(!kept.contains(secret), "{kept}");
        }
        for open in ["--max-num-batched-tokens 8192", "--tokenizer dir", "--seed 1"] {
            assert!(kept.contains(open), "{kept}");
        }
        assert_eq!(command("a --api-key sk b"), "a --api-key (hidden) b");
    }

    #[test]
    fn headers_quoted_values_and_commands_within_a_command_are_hidden_too() {
        for text in [
            "s -H 'Authorization: Bearer sk-1' --seed 1",
            "s --header \"Cookie: a=sk-1; b=sk-2\" --seed 1",
            "s --header=X-Api-Key:sk-1 --seed 1",
            "s --api-key 'sk-1 sk-2' --seed 1",
            "s --api-key='sk-1 sk-2' --seed 1",
            "s HF_TOKEN=\"sk-1 sk-2\" --seed 1",
            "sh -c 'a --api-key sk-1 --seed 1'",
            "sh -c 'a --api-key=sk-1' --seed 1",
            "s --extra '{\"api_key\": \"sk-1\"}' --seed 1",
            "s --extra {\"api_key\":\"sk-1\"} --seed 1",
            "s --extra '{\"a\":1,\"api_key\":\"sk-1 sk-2\",\"b\":2}' --seed 1",
            "s --extra '{\"headers\":{\"Authorization\":\"Bearer sk-1\"}}' --seed 1",
            "s --extra \"{\\\"api_key\\\": \\\"sk-1 sk-2\\\"}\" --seed 1",
            "sh -c 'x\n--api-key  sk-1\n' --seed 1",
        ] {
            let kept = command(text);
            assert!(!kept.contains("sk-") && kept.contains("--seed 1"), "{kept}");
        }
        for words in [
            &["s", "-H", "Authorization: Bearer sk-1", "--seed"][..],
            &["s", "--header=Authorization: Bearer sk-1", "--seed"],
            &["sh", "-c", "vllm serve m --api-key sk-1 --x", "--seed"],
            &["s", "--api-key", "sk-1 sk-2", "--seed"],
            &["s", "--api-key=sk-1 sk-2", "--seed"],
            &["s", "PASSWORD=sk-1 sk-2", "--seed"],
            &["sh", "-c", "a\n\t--api-key  sk-1\n--x", "--seed"],
            &["s", "{\"a\": 1, \"api_key\": \"sk-1 sk-2\"}", "--seed"],
        ] {
            let kept = arguments(words);
            assert_eq!(kept.len(), words.len(), "{kept:?}");
            assert!(!kept.concat().contains("sk-") && kept.concat().contains("--seed"), "{kept:?}");
        }
        let open =
            "s --target openai:http://h:1 --limit max_tokens:64 -H 'Accept: text/plain' m:key";
        assert_eq!(command(open), open);
        let json = "s --extra '{\"a\": \"b c\",\n  \"max_tokens\": 4}'  --seed 1";
        assert_eq!(command(json), json);
        assert_eq!(
            command("s --extra '{\"a\":1,\"token\":\"x y\",\"b\":2}'"),
            "s --extra '{\"a\":1,\"token\":\"(hidden)\",\"b\":2}'"
        );
    }

    #[test]
    fn a_variable_is_a_secret_by_its_name_and_a_url_by_its_password() {
        for name in ["HF_TOKEN", "OPENAI_API_KEY", "my_secret", "PGPASSWORD"] {
            assert_eq!(value_of_variable(name, "x"), HIDDEN, "{name}");
        }
        assert_eq!(value_of_variable("HOME", "/root"), "/root");
        let proxy = value_of_variable("https_proxy", "http://me:pw@proxy:80/x");
        assert_eq!(proxy, "http://(hidden)@proxy:80/x");
        assert_eq!(variables("A=1,HF_TOKEN=x,B=2"), "A=1,HF_TOKEN=(hidden),B=2");
    }
}
