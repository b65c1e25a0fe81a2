//! Server address: host, port and paths of a typed URL.

use std::fmt;

use http::Uri;

use crate::targets::openai::options::Endpoint;

/// A server: its URL without the path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// Through TLS.
    pub https: bool,
    /// The host's name or number; an IPv6 number in brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

/// An endpoint of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// The server.
    pub origin: Origin,
    /// Path and query of the endpoint.
    pub path: String,
    /// Path and query of the list of models.
    pub models_path: String,
}

/// What is wrong with a URL. The text names it and the remedy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{url}` is no URL of a server: {reason}; write it like http://localhost:8000/v1")]
pub struct BadUrl {
    url: String,
    reason: String,
}

impl BadUrl {
    fn new(url: &str, reason: impl Into<String>) -> Self {
        Self { url: without_password(url), reason: reason.into() }
    }
}

/// Without a scheme it is `http`.
fn uri_of(url: &str) -> Result<Uri, BadUrl> {
    let full = if url.contains("://") { url.to_owned() } else { format!("http://{url}") };
    full.parse().map_err(|error| BadUrl::new(url, format!("{error}")))
}

impl Origin {
    /// The server of a URL, whatever its path.
    ///
    /// # Errors
    /// When it is no URL, not HTTP, or holds a password.
    pub fn parse(url: &str) -> Result<Self, BadUrl> {
        Self::of(&uri_of(url)?).map_err(|reason| BadUrl::new(url, reason))
    }

    fn of(uri: &Uri) -> Result<Self, &'static str> {
        let https = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err("only http and https are known"),
        };
        let authority = uri.authority().ok_or("it has no host")?;
        if authority.as_str().contains('@') {
            return Err("it holds a user or password; give the key in a variable or a file");
        }
        let host = authority.host().to_owned();
        if host.is_empty() {
            return Err("it has no host");
        }
        let port = match authority.as_str()[host.len()..].strip_prefix(':') {
            None if https => 443,
            None => 80,
            Some(port) => port.parse().map_err(|_| "its port is no number below 65536")?,
        };
        Ok(Self { https, host, port })
    }

    /// `http` or `https`.
    pub const fn scheme(&self) -> &'static str {
        if self.https { "https" } else { "http" }
    }

    /// The value of the `Host` header.
    pub fn host_header(&self) -> String {
        match (self.https, self.port) {
            (true, 443) | (false, 80) => self.host.clone(),
            (_, port) => format!("{}:{port}", self.host),
        }
    }
}

/// `http://host`, with the port where it is not the scheme's own.
impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme(), self.host_header())
    }
}

impl Address {
    /// Takes a URL apart. Without a scheme it is `http`; without a path it is `/v1`; a path that ends in an
    /// endpoint's own is taken as it is.
    ///
    /// # Errors
    /// When it is no URL, not HTTP, holds a password, or names another endpoint.
    pub fn parse(url: &str, endpoint: Endpoint) -> Result<Self, BadUrl> {
        let uri = uri_of(url)?;
        let origin = Origin::of(&uri).map_err(|reason| BadUrl::new(url, reason))?;
        let base = base_of(uri.path(), endpoint).map_err(|reason| BadUrl::new(url, reason))?;
        let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
        Ok(Self {
            origin,
            path: format!("{base}{}{query}", endpoint.path()),
            models_path: format!("{base}/models{query}"),
        })
    }

    /// The base path that was given.
    pub fn base(&self, endpoint: Endpoint) -> &str {
        let path = self.path.split('?').next().unwrap_or_default();
        path.strip_suffix(endpoint.path()).unwrap_or(path)
    }

    /// Base paths that may have been meant in its place, the likeliest first: up to the first `/v1`, and where servers and gateways
    /// have theirs.
    pub fn likely_bases(&self, endpoint: Endpoint) -> Vec<String> {
        const USUAL: [&str; 4] = ["/v1", "/api/v1", "/openai/v1", "/api"];
        let base = self.base(endpoint);
        let to_first = base.find("/v1").map(|at| &base[..at + "/v1".len()]);
        let mut likely: Vec<String> = Vec::new();
        for it in to_first.into_iter().chain(USUAL).filter(|it| *it != base) {
            if !likely.iter().any(|before| before == it) {
                likely.push(it.to_owned());
            }
        }
        likely
    }

    /// `http://host:port/path`, without anything secret.
    pub fn shown(&self) -> String {
        let Origin { host, port, .. } = &self.origin;
        let path = self.path.split('?').next().unwrap_or_default();
        format!("{}://{host}:{port}{path}", self.origin.scheme())
    }
}

fn without_password(url: &str) -> String {
    match url.split_once('@') {
        Some((_, after)) => format!("…@{after}"),
        None => url.to_owned(),
    }
}

/// The path before the endpoint's own.
fn base_of(path: &str, endpoint: Endpoint) -> Result<String, String> {
    let path = path.trim_end_matches('/');
    if path.is_empty() {
        return Ok("/v1".to_owned());
    }
    // Chat first: its path ends in that of completions.
    for known in [Endpoint::Chat, Endpoint::Completions, Endpoint::Embeddings, Endpoint::Rerank] {
        if let Some(base) = path.strip_suffix(known.path()) {
            if known != endpoint {
                return Err(format!(
                    "it names {}, and {} is asked for",
                    known.path(),
                    endpoint.path()
                ));
            }
            return Ok(base.to_owned());
        }
    }
    Ok(path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path_of(url: &str) -> String {
        Address::parse(url, Endpoint::Chat).unwrap().path
    }

    #[test]
    fn every_usual_way_to_write_a_server_means_the_same_endpoint() {
        for url in [
            "localhost:8000",
            "http://localhost:8000/",
            "http://localhost:8000/v1",
            "http://localhost:8000/v1/",
            "http://localhost:8000/v1/chat/completions",
        ] {
            assert_eq!(path_of(url), "/v1/chat/completions", "{url}");
        }
        assert_eq!(
            path_of("https://h/openai/v1?api-version=2"),
            "/openai/v1/chat/completions?api-version=2"
        );
    }

    #[test]
    fn a_base_that_is_given_twice_or_is_another_page_has_a_likely_one() {
        let likely =
            |url: &str| Address::parse(url, Endpoint::Chat).unwrap().likely_bases(Endpoint::Chat);
        assert_eq!(likely("http://h/v1/v1")[0], "/v1");
        assert_eq!(likely("http://h/openai/v1/v1")[0], "/openai/v1");
        assert_eq!(likely("http://h/health")[0], "/v1");
        assert_eq!(likely("http://h/api/v1"), ["/v1", "/openai/v1", "/api"]);
        assert_eq!(likely("http://h/v1"), ["/api/v1", "/openai/v1", "/api"]);
    }

    #[test]
    fn host_and_port_follow_the_scheme() {
        let address = Address::parse("https://[::1]/v1", Endpoint::Embeddings).unwrap();
        let origin = &address.origin;
        assert_eq!((origin.host.as_str(), origin.port, origin.https), ("[::1]", 443, true));
        assert_eq!(origin.host_header(), "[::1]");
        assert_eq!(address.models_path, "/v1/models");
    }

    #[test]
    fn a_server_is_the_same_whatever_endpoint_its_url_names() {
        for url in ["h", "http://h:80/v1", "http://h/v1/completions", "http://h/v1/rerank?key=1"] {
            assert_eq!(Origin::parse(url).expect(url).to_string(), "http://h");
        }
        assert_eq!(
            Origin::parse("https://[::1]:8000/v1").unwrap().to_string(),
            "https://[::1]:8000"
        );
        for url in ["", "ftp://h", "http://", "http://h:99999", "http://me:secret@h"] {
            assert!(Origin::parse(url).is_err(), "{url}");
        }
    }

    #[test]
    fn a_url_that_cannot_be_meant_is_refused_without_repeating_a_password() {
        for url in ["", "ftp://h", "http://", "http://h:99999", "http://h/v1/completions"] {
            assert!(Address::parse(url, Endpoint::Chat).is_err(), "{url}");
        }
        let error = Address::parse("http://me:secret@h", Endpoint::Chat).unwrap_err().to_string();
        assert!(!error.contains("secret"), "{error}");
    }
}
