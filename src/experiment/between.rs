//! What happens between two points: a pause, and a command, such as one that empties a server's cache.

use std::process::{Command, Stdio};

use crate::clock::{self, Nanos};
use crate::console::shell_word::quoted;
use crate::issue::stop::Stop;
use crate::settings::Resolved;

/// Between two looks whether the end was asked for.
const LOOK: Nanos = Nanos::from_millis(50);
/// Servers listen behind these kinds of target.
const SERVED: &str = "openai:";

/// Presets of `--between`, each with the path that its server empties its cache at.
const PRESETS: [(&str, &str); 2] =
    [("vllm-reset", "/reset_prefix_cache"), ("sglang-flush", "/flush_cache")];

/// Why a preset cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`--between {0}` asks an OpenAI-compatible server: give `--target openai:URL`, or a command of your own"
)]
pub struct NoServer(String);

/// The command that `--between` stands for at this target, for a shell.
///
/// # Errors
/// When a preset asks a server and the target is none.
pub fn command(given: &str, target: &str) -> Result<String, NoServer> {
    let Some((_, path)) = PRESETS.iter().find(|(name, _)| *name == given) else {
        return Ok(given.to_owned());
    };
    let url = target.strip_prefix(SERVED).ok_or_else(|| NoServer(given.to_owned()))?;
    let url = if url.contains("://") { url.to_owned() } else { format!("http://{url}") };
    let after_scheme = url.find("://").map_or(0, |at| at + 3);
    let end = url[after_scheme..].find('/').map_or(url.len(), |at| after_scheme + at);
    let address = quoted(&format!("{}{path}", &url[..end]), "");
    Ok(format!("curl --fail --silent --show-error --request POST {address}"))
}

/// Waits for `--cool-down` and runs `--between`; what went wrong, where something did.
pub fn rest(resolved: &Resolved, stop: &Stop) -> Option<String> {
    if let Some(span) = resolved.cool_down {
        let until = clock::now() + span;
        while clock::now() < until && !stop.is_asked() {
            clock::sleep_until((clock::now() + LOOK).min(until));
        }
    }
    let given = resolved.between.as_deref().filter(|_| !stop.is_asked())?;
    let line = match command(given, &resolved.target) {
        Ok(line) => line,
        Err(error) => return Some(error.to_string()),
    };
    let output = Command::new("sh").arg("-c").arg(&line).stdin(Stdio::null()).output();
    match output {
        Ok(output) if output.status.success() => None,
        Ok(output) => {
            let words = String::from_utf8_lossy(&output.stderr);
            Some(format!("`--between` failed with {}: {line}: {}", output.status, words.trim()))
        }
        Err(error) => Some(format!("`--between` cannot be run: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_ask_the_server_that_is_measured_and_other_words_are_a_command() {
        let of = |given: &str, target: &str| command(given, target);
        for target in ["openai:http://host:8000", "openai:http://host:8000/v1", "openai:host:8000"]
        {
            let line = of("vllm-reset", target).expect(target);
            assert!(line.ends_with("POST http://host:8000/reset_prefix_cache"), "{line}");
        }
        assert!(
            of("sglang-flush", "openai:https://h/v1")
                .expect("a server")
                .contains("https://h/flush_cache")
        );
        assert_eq!(of("sync; true", "null:"), Ok("sync; true".into()));
        let error = of("vllm-reset", "null:").expect_err("no server").to_string();
        assert!(error.contains("openai:URL"), "{error}");
    }
}
