//! Presets of `--between`: a server is asked to empty its prefix cache, in the way that vLLM and SGLang have for it.
//!
//! vLLM: `POST /reset_prefix_cache`, a route of its development mode alone, answered by 200, at times with `{"success": …}`.
//! SGLang: `POST /flush_cache`, answered by 200, or by 400 while requests run or wait; a request's answer can come before the
//! server has put it away, so that a 400 is asked again for a while. Where SGLang has a key, this route wants it too.

use std::io::Write as _;
use std::process::{Command, Stdio};

use crate::clock::{self, Nanos};
use crate::issue::stop::Stop;
use crate::settings::Resolved;
use crate::settings::served::ServedSettings;
use crate::targets::TargetError;
use crate::targets::openai::address::{BadUrl, Origin};

/// Servers listen behind these kinds of target.
const SERVED: &str = "openai:";
/// How long a server that is busy is asked again, and how often.
const BUSY: Nanos = Nanos::from_millis(10_000);
const PAUSE: Nanos = Nanos::from_millis(200);
/// Seconds that one answer may take.
const LIMIT_S: &str = "60";
/// Characters of an answer that are shown.
const SHOWN: usize = 200;

/// How one kind of server empties its cache.
#[derive(Debug, PartialEq, Eq)]
pub struct CacheReset {
    /// The name of the preset.
    name: &'static str,
    path: &'static str,
    /// What it answers while it cannot.
    busy: Option<u16>,
    /// What to do where it has no such path.
    missing: &'static str,
}

const PRESETS: [CacheReset; 2] = [
    CacheReset {
        name: "vllm-reset",
        path: "/reset_prefix_cache",
        busy: None,
        missing: "vLLM has it in its development mode alone: start the server with the environment variable \
                  VLLM_SERVER_DEV_MODE=1",
    },
    CacheReset {
        name: "sglang-flush",
        path: "/flush_cache",
        busy: Some(400),
        missing: "every SGLang server has it: is this one, and does `--target` name the server itself and no router?",
    },
];

/// Why a cache was not emptied.
#[derive(Debug, thiserror::Error)]
pub enum ResetError {
    /// A preset asks a server.
    #[error(
        "`--between {0}` asks an OpenAI-compatible server: give `--target openai:URL`, or a command of your own"
    )]
    NoServer(&'static str),
    /// Its URL is none.
    #[error(transparent)]
    Url(#[from] BadUrl),
    /// Its key or headers cannot be used.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// The program that asks.
    #[error(
        "`--between {name}` cannot run `curl` ({reason}): install it, or give a command of your own"
    )]
    NoCurl {
        /// Of the preset.
        name: &'static str,
        /// The system's error.
        reason: std::io::Error,
    },
    /// No answer.
    #[error("`--between {name}`: {url} does not answer: {words}")]
    NoAnswer {
        /// Of the preset.
        name: &'static str,
        /// What was asked.
        url: String,
        /// What curl says.
        words: String,
    },
    /// The server has no such path.
    #[error("`--between {name}`: the server answers {status} to POST {url}: {remedy}")]
    Missing {
        /// Of the preset.
        name: &'static str,
        /// What was asked.
        url: String,
        /// 404 or 405.
        status: u16,
        /// What to do.
        remedy: &'static str,
    },
    /// It wants a key, or another one.
    #[error(
        "`--between {name}`: the server answers {status} to POST {url}: give a key that may do that with `--api-key-env` or \
         `--api-key-file`"
    )]
    NotAllowed {
        /// Of the preset.
        name: &'static str,
        /// What was asked.
        url: String,
        /// 401 or 403.
        status: u16,
    },
    /// It will not.
    #[error(
        "`--between {name}`: the server has not emptied its cache, and answers {status} to POST {url}: {words}"
    )]
    Refused {
        /// Of the preset.
        name: &'static str,
        /// What was asked.
        url: String,
        /// Its status.
        status: u16,
        /// Its words.
        words: String,
    },
}

/// What came back.
#[derive(Debug, PartialEq, Eq)]
struct Answer {
    status: u16,
    body: String,
}

impl CacheReset {
    /// The preset of this name.
    pub fn named(name: &str) -> Option<&'static Self> {
        PRESETS.iter().find(|preset| preset.name == name)
    }

    /// Asks the server that is measured, and again while it is busy.
    ///
    /// # Errors
    /// When its cache is not emptied.
    pub fn ask(&self, resolved: &Resolved, stop: &Stop) -> Result<(), ResetError> {
        let url = self.url(&resolved.target)?;
        let headers = resolved.served.header_lines(&resolved.target)?;
        let config = config(&url, &headers, &resolved.served);
        let give_up = clock::now() + BUSY;
        loop {
            let mut answer = self.answer(&url, &config)?;
            // Servers often repeat a refused header.
            for secret in headers.iter().filter_map(|(_, value)| value.split(' ').next_back()) {
                if !secret.is_empty() {
                    answer.body = answer.body.replace(secret, "[key]");
                }
            }
            let is_busy = Some(answer.status) == self.busy;
            if !is_busy || stop.is_asked() || clock::now() > give_up {
                return self.verdict(url, &answer);
            }
            clock::sleep(PAUSE);
        }
    }

    fn url(&self, target: &str) -> Result<String, ResetError> {
        let url = target.strip_prefix(SERVED).ok_or(ResetError::NoServer(self.name))?;
        Ok(format!("{}{}", Origin::parse(url)?, self.path))
    }

    fn answer(&self, url: &str, config: &str) -> Result<Answer, ResetError> {
        let no_curl = |reason| ResetError::NoCurl { name: self.name, reason };
        let mut child = Command::new("curl")
            .args(["--silent", "--show-error", "--max-time", LIMIT_S])
            .args(["--write-out", "\n%{http_code}", "--config", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(no_curl)?;
        if let Some(mut input) = child.stdin.take() {
            input.write_all(config.as_bytes()).map_err(no_curl)?;
        }
        let output = child.wait_with_output().map_err(no_curl)?;
        let text = String::from_utf8_lossy(&output.stdout);
        let answer = text.rsplit_once('\n').and_then(|(body, status)| {
            Some(Answer { status: status.trim().parse().ok()?, body: body.to_owned() })
        });
        answer.filter(|_| output.status.success()).ok_or_else(|| ResetError::NoAnswer {
            name: self.name,
            url: url.to_owned(),
            words: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        })
    }

    fn verdict(&self, url: String, answer: &Answer) -> Result<(), ResetError> {
        let (name, status) = (self.name, answer.status);
        match status {
            200..300 if !says_that_it_failed(&answer.body) => Ok(()),
            404 | 405 => Err(ResetError::Missing { name, url, status, remedy: self.missing }),
            401 | 403 => Err(ResetError::NotAllowed { name, url, status }),
            _ => {
                let words = answer.body.trim().chars().take(SHOWN).collect();
                Err(ResetError::Refused { name, url, status, words })
            }
        }
    }
}

/// `{"success": false}` with a status of success.
fn says_that_it_failed(body: &str) -> bool {
    let document = serde_json::from_str::<serde_json::Value>(body).unwrap_or_default();
    document["success"] == false
}

/// What curl is told on its standard input, where no other process can read a key.
fn config(url: &str, headers: &[(String, String)], served: &ServedSettings) -> String {
    let mut lines = vec![format!("url = {}", quoted(url)), "data = \"\"".to_owned()];
    lines.extend(
        headers
            .iter()
            .map(|(name, value)| format!("header = {}", quoted(&format!("{name}: {value}")))),
    );
    if let Some(path) = &served.ca_file {
        lines.push(format!("cacert = {}", quoted(&path.display().to_string())));
    }
    if served.insecure {
        lines.push("insecure".to_owned());
    }
    if served.no_proxy {
        lines.push("noproxy = \"*\"".to_owned());
    }
    lines.join("\n") + "\n"
}

/// A value in a configuration of curl.
fn quoted(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('"', "\\\"");
    format!("\"{}\"", escaped.replace('\n', "\\n").replace('\r', "\\r"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn preset(name: &str) -> &'static CacheReset {
        CacheReset::named(name).expect("a preset")
    }

    #[test]
    fn the_server_that_is_measured_is_asked_beside_its_api() {
        for url in
            ["http://host:8000", "http://host:8000/v1/completions", "host:8000", "host:8000?k=1"]
        {
            let asked = preset("vllm-reset").url(&format!("openai:{url}")).expect(url);
            assert_eq!(asked, "http://host:8000/reset_prefix_cache");
        }
        let url = preset("sglang-flush").url("openai:https://h/v1").expect("a server");
        assert_eq!(url, "https://h/flush_cache");
        let error = preset("vllm-reset").url("null:").expect_err("no server").to_string();
        assert!(error.contains("openai:URL"), "{error}");
    }

    #[test]
    fn an_answer_says_whether_the_cache_is_empty_and_what_the_server_needs() {
        let verdict = |name: &str, status: u16, body: &str| {
            let answer = Answer { status, body: body.to_owned() };
            preset(name).verdict("http://h/p".to_owned(), &answer).map_err(|it| it.to_string())
        };
        for body in ["", "Cache flushed.\n", r#"{"success": true}"#] {
            assert_eq!(verdict("vllm-reset", 200, body), Ok(()));
        }
        for (name, status, body, named) in [
            ("vllm-reset", 404, "", "VLLM_SERVER_DEV_MODE=1"),
            ("vllm-reset", 200, r#"{"success": false}"#, "has not emptied"),
            ("sglang-flush", 404, "", "SGLang"),
            ("sglang-flush", 401, "", "--api-key-env"),
            ("sglang-flush", 400, "requests are running", "requests are running"),
            ("vllm-reset", 500, "boom", "500"),
        ] {
            let error = verdict(name, status, body).expect_err(body);
            assert!(error.contains(named), "{name} {status}: {error}");
        }
    }

    #[test]
    fn what_curl_is_told_ends_no_line_early() {
        let headers = [("Authorization".to_owned(), "Bearer a\"b\\c\nurl = x".to_owned())];
        let text = config("http://h/p", &headers, &ServedSettings::default());
        assert_eq!(
            text,
            "url = \"http://h/p\"\ndata = \"\"\nheader = \"Authorization: Bearer a\\\"b\\\\c\\nurl = x\"\n"
        );
    }
}
