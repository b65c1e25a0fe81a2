//! Address of an OpenTelemetry collector: `http://host:4318`, or what the environment names.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Where metrics go, with the path of metrics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtlpAddress {
    /// Whether it speaks TLS.
    pub is_tls: bool,
    /// Name or number of its host.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// From the slash on.
    pub path: String,
}

/// What `--otlp` says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum OtlpChoice {
    /// What `OTEL_EXPORTER_OTLP_ENDPOINT` names.
    Environment,
    /// This.
    Address(OtlpAddress),
}

/// A text that is no address of a collector.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no address of a collector: write `http://HOST:4318` or `https://HOST:4318`, which take OTLP over HTTP, without user and \
     password (headers are those of `OTEL_EXPORTER_OTLP_HEADERS`)"
)]
pub struct OtlpAddressError(String);

/// Path of metrics below an endpoint.
const METRICS: &str = "/v1/metrics";
/// Port of OTLP over HTTP.
const PORT: u16 = 4318;
/// The word for what the environment names.
const ENVIRONMENT: &str = "env";

impl OtlpAddress {
    /// As [`str::parse`], but that the path is taken as it stands.
    ///
    /// # Errors
    /// Where it is no address.
    pub fn whole(text: &str) -> Result<Self, OtlpAddressError> {
        let wrong = || OtlpAddressError(shown(text));
        let (scheme, rest) = text.trim().split_once("://").ok_or_else(wrong)?;
        let is_tls = match scheme {
            "http" => false,
            "https" => true,
            _ => return Err(wrong()),
        };
        let (place, path) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, "/"),
        };
        let (host, port) = match place.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => {
                (host, port.parse().map_err(|_| wrong())?)
            }
            _ => (place, PORT),
        };
        let is_odd = |c: char| c == '@' || c == '?' || c == '#' || c.is_whitespace();
        if host.is_empty() || rest.contains(is_odd) {
            return Err(wrong());
        }
        Ok(Self { is_tls, host: host.to_owned(), port, path: path.to_owned() })
    }
}

/// Without what stands before an `@`, which may be a secret.
fn shown(text: &str) -> String {
    match (text.split_once("://"), text.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, place))) => format!("{scheme}://…@{place}"),
        _ => text.to_owned(),
    }
}

impl FromStr for OtlpAddress {
    type Err = OtlpAddressError;

    /// An endpoint has the path of metrics below its own, as the specification of the variable wants it.
    fn from_str(text: &str) -> Result<Self, OtlpAddressError> {
        let mut address = Self::whole(text)?;
        if !address.path.ends_with(METRICS) {
            address.path = format!("{}{METRICS}", address.path.trim_end_matches('/'));
        }
        Ok(address)
    }
}

impl fmt::Display for OtlpAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_tls { "https" } else { "http" };
        write!(f, "{scheme}://{}:{}{}", self.host, self.port, self.path)
    }
}

impl OtlpChoice {
    /// The address; `None` where the environment is to name one and does not.
    ///
    /// # Errors
    /// Where the environment names none that can be used.
    pub fn resolve(
        &self,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Option<OtlpAddress>, OtlpAddressError> {
        let set = |name: &str| environment(name).filter(|value| !value.trim().is_empty());
        match self {
            Self::Address(address) => Ok(Some(address.clone())),
            Self::Environment => match set("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT") {
                Some(whole) => OtlpAddress::whole(&whole).map(Some),
                None => set("OTEL_EXPORTER_OTLP_ENDPOINT").map(|it| it.parse()).transpose(),
            },
        }
    }
}

impl FromStr for OtlpChoice {
    type Err = OtlpAddressError;

    fn from_str(text: &str) -> Result<Self, OtlpAddressError> {
        if text == ENVIRONMENT { Ok(Self::Environment) } else { text.parse().map(Self::Address) }
    }
}

impl TryFrom<String> for OtlpChoice {
    type Error = OtlpAddressError;

    fn try_from(text: String) -> Result<Self, OtlpAddressError> {
        text.parse()
    }
}

impl From<OtlpChoice> for String {
    fn from(choice: OtlpChoice) -> Self {
        match choice {
            OtlpChoice::Environment => ENVIRONMENT.to_owned(),
            OtlpChoice::Address(address) => address.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_has_the_path_of_metrics_below_its_own() {
        for (text, meant) in [
            ("http://h", "http://h:4318/v1/metrics"),
            ("https://h:443/otlp/", "https://h:443/otlp/v1/metrics"),
            ("http://h:1/v1/metrics", "http://h:1/v1/metrics"),
            ("http://[::1]:4318", "http://[::1]:4318/v1/metrics"),
            ("http://[::1]", "http://[::1]:4318/v1/metrics"),
        ] {
            assert_eq!(text.parse::<OtlpAddress>().expect(text).to_string(), meant);
        }
        for text in ["h:4318", "grpc://h", "http://", "http://me:secret@h", "http://h:x"] {
            let error = text.parse::<OtlpAddress>().expect_err(text).to_string();
            assert!(error.contains("4318") && !error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn the_environment_is_read_only_where_it_is_asked_for() {
        let set = |name: &str| match name {
            "OTEL_EXPORTER_OTLP_ENDPOINT" => Some("http://e".to_owned()),
            _ => None,
        };
        let own: OtlpChoice = "http://h".parse().expect("an address");
        let host = |choice: &OtlpChoice| choice.resolve(set).expect("fine").map(|it| it.host);
        assert_eq!(host(&own).as_deref(), Some("h"));
        assert_eq!(host(&OtlpChoice::Environment).as_deref(), Some("e"));
        assert_eq!(OtlpChoice::Environment.resolve(|_| None), Ok(None));
        let metrics = |name: &str| {
            (name == "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT").then(|| "http://m:1/own".to_owned())
        };
        let address = OtlpChoice::Environment.resolve(metrics).expect("fine").expect("set");
        assert_eq!(address.path, "/own");
    }
}
