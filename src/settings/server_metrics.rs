//! Choice of the server's own metrics: where they are scraped, or that they are not.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What was asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum ServerMetricsChoice {
    /// Where the server answers with metrics that are known.
    #[default]
    Auto,
    /// Nowhere.
    Off,
    /// There.
    At(MetricsUrl),
}

/// A URL without TLS, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetricsUrl {
    /// `host:port`.
    pub authority: String,
    /// The path.
    pub path: String,
}

/// A choice that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no place of metrics: give `auto`, `off`, or a URL without TLS such as `http://127.0.0.1:8000/metrics`"
)]
pub struct NoMetricsPlace(String);

impl MetricsUrl {
    /// Of `host:port`.
    pub fn new(authority: &str, path: &str) -> Self {
        Self { authority: authority.to_owned(), path: path.to_owned() }
    }
}

impl FromStr for MetricsUrl {
    type Err = NoMetricsPlace;

    fn from_str(text: &str) -> Result<Self, NoMetricsPlace> {
        let wrong = || NoMetricsPlace(text.to_owned());
        let uri: http::Uri = text.parse().map_err(|_| wrong())?;
        let authority = uri.authority().filter(|it| !it.as_str().contains('@'));
        let (Some("http"), Some(authority)) = (uri.scheme_str(), authority) else {
            return Err(wrong());
        };
        let port = authority.port_u16().unwrap_or(80);
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let path = if path == "/" { "/metrics" } else { path };
        Ok(Self { authority: format!("{}:{port}", authority.host()), path: path.to_owned() })
    }
}

impl fmt::Display for MetricsUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}{}", self.authority, self.path)
    }
}

impl FromStr for ServerMetricsChoice {
    type Err = NoMetricsPlace;

    fn from_str(text: &str) -> Result<Self, NoMetricsPlace> {
        match text {
            "auto" => Ok(Self::Auto),
            "off" => Ok(Self::Off),
            url => Ok(Self::At(url.parse()?)),
        }
    }
}

impl fmt::Display for ServerMetricsChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Off => f.write_str("off"),
            Self::At(url) => write!(f, "{url}"),
        }
    }
}

impl TryFrom<String> for ServerMetricsChoice {
    type Error = NoMetricsPlace;
    fn try_from(text: String) -> Result<Self, NoMetricsPlace> {
        text.parse()
    }
}

impl From<ServerMetricsChoice> for String {
    fn from(choice: ServerMetricsChoice) -> Self {
        choice.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_is_a_word_or_a_url_and_reads_back() {
        for text in ["auto", "off", "http://127.0.0.1:8002/metrics", "http://h:80/a?b=c"] {
            let choice: ServerMetricsChoice = text.parse().expect(text);
            assert_eq!(choice.to_string(), text);
        }
        let bare: MetricsUrl = "http://[::1]".parse().expect("a URL");
        assert_eq!(bare.to_string(), "http://[::1]:80/metrics");
        for text in ["on", "https://h/metrics", "h:80", "http://me:secret@h"] {
            assert!(text.parse::<ServerMetricsChoice>().is_err(), "{text}");
        }
    }
}
