//! Masking of secrets in command lines and environments before they are written.

/// What stands in place of a secret.
pub const HIDDEN: &str = "(hidden)";

/// Parts of a variable's name that mean that its value is a secret.
const IN_VARIABLES: [&str; 8] =
    ["KEY", "TOKEN", "SECRET", "PASSWORD", "PASSWD", "CREDENTIAL", "COOKIE", "AUTH"];
/// Words of a flag's name that mean that its value is a secret; `--max-num-tokens` and `--tokenizer` have none of them.
const IN_FLAGS: [&str; 7] =
    ["key", "apikey", "token", "secret", "password", "passwd", "credential"];

/// The value of a variable, unless its name says that it is a secret.
pub fn value_of_variable(name: &str, value: &str) -> String {
    if is_secret_variable(name) { HIDDEN.to_owned() } else { without_password(value) }
}

/// Whether the name of a variable says that its value is a secret.
pub fn is_secret_variable(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    IN_VARIABLES.iter().any(|part| name.contains(part))
}

/// Arguments without the values of flags and variables whose names say that they are secrets.
pub fn arguments<S: AsRef<str>>(arguments: &[S]) -> Vec<String> {
    let mut is_value_secret = false;
    let mask = |argument: &str| {
        if std::mem::take(&mut is_value_secret) && !argument.starts_with('-') {
            return HIDDEN.to_owned();
        }
        if let Some((name, value)) = argument.split_once('=') {
            let is_secret = is_secret_flag(name) || !name.starts_with('-') && is_variable(name);
            return if is_secret {
                format!("{name}={HIDDEN}")
            } else {
                format!("{name}={}", without_password(value))
            };
        }
        is_value_secret = is_secret_flag(argument);
        without_password(argument)
    };
    arguments.iter().map(AsRef::as_ref).map(mask).collect()
}

/// The same for a command line as one text.
pub fn command(text: &str) -> String {
    let words: Vec<&str> = text.split(' ').collect();
    arguments(&words).join(" ")
}

/// The same for `NAME=VALUE,NAME=VALUE`.
pub fn variables(text: &str) -> String {
    let Ok(pairs) = crate::settings::launch::parse_env(text) else { return HIDDEN.to_owned() };
    let shown =
        pairs.iter().map(|(name, value)| format!("{name}={}", value_of_variable(name, value)));
    shown.collect::<Vec<_>>().join(",")
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
