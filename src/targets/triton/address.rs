//! Address of `triton:…`: a server, a model on it, and the protocol.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Protocol of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// KServe v2 over gRPC.
    Grpc,
    /// `/v2/models/…/generate_stream` over HTTP/1.1.
    HttpGenerate,
}

/// `HOST:PORT/MODEL[/VERSION]`, with `http://`, `https://` or `grpcs://` before it where it is not plain gRPC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// Its protocol.
    pub protocol: Protocol,
    /// Through TLS.
    pub tls: bool,
    /// A name or an address; IPv6 in brackets.
    pub host: String,
    /// The TCP port.
    pub port: u16,
    /// The model's name.
    pub model: String,
    /// The model's version; empty leaves the choice to the server.
    pub version: String,
}

/// Error in an address. The message shows the right form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{reason}: write `triton:HOST:PORT/MODEL` (gRPC, Triton's port 8001), or `triton:http://HOST:PORT/MODEL` \
     (HTTP generate_stream, port 8000)"
)]
pub struct AddressError {
    reason: String,
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let wrong = |reason: String| AddressError { reason };
        let (scheme, rest) = text.split_once("://").unwrap_or(("grpc", text));
        let (protocol, tls) = match scheme {
            "grpc" => (Protocol::Grpc, false),
            "grpcs" => (Protocol::Grpc, true),
            "http" => (Protocol::HttpGenerate, false),
            "https" => (Protocol::HttpGenerate, true),
            other => return Err(wrong(format!("`{other}://` is no protocol of Triton"))),
        };
        let (place, model) =
            rest.split_once('/').ok_or_else(|| wrong(format!("`{text}` names no model")))?;
        let (host, port) =
            place.rsplit_once(':').ok_or_else(|| wrong(format!("`{place}` names no port")))?;
        let port = port.parse().map_err(|_| wrong(format!("`{port}` is no port")))?;
        let (model, version) = model.split_once('/').unwrap_or((model, ""));
        if host.is_empty() || model.is_empty() || version.contains('/') {
            return Err(wrong(format!("`{text}` names no host, no model, or more than a version")));
        }
        Ok(Self {
            protocol,
            tls,
            host: host.to_owned(),
            port,
            model: model.to_owned(),
            version: version.to_owned(),
        })
    }
}

impl Address {
    /// `http://HOST:PORT`, which both protocols start from.
    pub fn origin(&self) -> String {
        let scheme = if self.tls { "https" } else { "http" };
        format!("{scheme}://{}:{}", self.host, self.port)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match (self.protocol, self.tls) {
            (Protocol::Grpc, false) => "",
            (Protocol::Grpc, true) => "grpcs://",
            (Protocol::HttpGenerate, false) => "http://",
            (Protocol::HttpGenerate, true) => "https://",
        };
        write!(f, "{scheme}{}:{}/{}", self.host, self.port, self.model)?;
        if self.version.is_empty() { Ok(()) } else { write!(f, "/{}", self.version) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named() {
        for (text, part) in [
            ("127.0.0.1:8001", "names no model"),
            ("127.0.0.1/ensemble", "names no port"),
            ("host:99999/m", "`99999` is no port"),
            ("ftp://host:1/m", "`ftp://` is no protocol"),
            (":8001/m", "names no host"),
        ] {
            let error = text.parse::<Address>().unwrap_err().to_string();
            assert!(error.contains(part) && error.contains("triton:HOST:PORT/MODEL"), "{error}");
        }
    }

    #[test]
    fn an_address_reads_back_as_it_was_written() {
        for text in [
            "127.0.0.1:8001/ensemble",
            "[::1]:8001/tensorrt_llm/2",
            "http://box:8000/tensorrt_llm_bls",
            "grpcs://box:443/m",
        ] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
    }
}
