//! Server address: host, port and paths of a typed URL.

use http::Uri;

use crate::targets::openai::options::Endpoint;

/// A server's address, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// Through TLS.
    pub https: bool,
    /// The host's name or number; an IPv6 number in brackets.
    pub host: String,
    /// The port.
    pub port: u16,
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

impl Address {
    /// Takes a URL apart. Without a scheme it is `http`; without a path it is `/v1`; a path that ends in an
    /// endpoint's own is taken as it is.
    ///
    /// # Errors
    /// When it is no URL, not HTTP, holds a password, or names another endpoint.
    pub fn parse(url: &str, endpoint: Endpoint) -> Result<Self, BadUrl> {
        let bad = |reason: &str| BadUrl { url: without_password(url), reason: reason.to_owned() };
        let full = if url.contains("://") { url.to_owned() } else { format!("http://{url}") };
        let uri: Uri = full.parse().map_err(|error| bad(&format!("{error}")))?;
        let https = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(bad("only http and https are known")),
        };
        let authority = uri.authority().ok_or_else(|| bad("it has no host"))?;
        if authority.as_str().contains('@') {
            return Err(bad("it holds a user or password; give the key in a variable or a file"));
        }
        let host = authority.host().to_owned();
        if host.is_empty() {
            return Err(bad("it has no host"));
        }
        let port = match authority.as_str()[host.len()..].strip_prefix(':') {
            None => {
                if https {
                    443
                } else {
                    80
                }
            }
            Some(port) => port.parse().map_err(|_| bad("its port is no number below 65536"))?,
        };
        let base = base_of(uri.path(), endpoint).map_err(|reason| bad(&reason))?;
        let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
        Ok(Self {
            https,
            host,
            port,
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

    /// `http://host:port`.
    pub fn origin(&self) -> String {
        let scheme = if self.https { "https" } else { "http" };
        format!("{scheme}://{}:{}", self.host, self.port)
    }

    /// `http://host:port/path`, without anything secret.
    pub fn shown(&self) -> String {
        let scheme = if self.https { "https" } else { "http" };
        let path = self.path.split('?').next().unwrap_or_default();
        format!("{scheme}://{}:{}{path}", self.host, self.port)
    }

    /// The value of the `Host` header.
    pub fn host_header(&self) -> String {
        match (self.https, self.port) {
            (true, 443) | (false, 80) => self.host.clone(),
            (_, port) => format!("{}:{port}", self.host),
        }
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
        assert_eq!((address.host.as_str(), address.port, address.https), ("[::1]", 443, true));
        assert_eq!(address.host_header(), "[::1]");
        assert_eq!(address.models_path, "/v1/models");
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
