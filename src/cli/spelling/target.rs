//! Target without a kind: a URL or `HOST:PORT` is an OpenAI-compatible server.

use crate::targets::registry;

const OPENAI: &str = "openai:";
/// Of a server for HTTP.
const LOWEST_PORT: u16 = 80;

/// The target with its kind; unchanged where it has one, or where it is no address.
pub fn with_kind(target: &str) -> String {
    if !has_kind(target) && is_address(target) {
        format!("{OPENAI}{target}")
    } else {
        target.to_owned()
    }
}

/// Whether its kind is one that there is.
pub fn has_kind(target: &str) -> bool {
    registry::kind_of(target).is_some()
}

/// With its kind, as `with_kind`, of what can only be a URL.
pub fn of_url(url: &str) -> String {
    if has_kind(url) { url.to_owned() } else { format!("{OPENAI}{url}") }
}

/// `http://…`, `https://…`, or `HOST:PORT` with or without a path.
fn is_address(target: &str) -> bool {
    let scheme = target.split_once("://").map(|(scheme, _)| scheme);
    if let Some(scheme) = scheme {
        return matches!(scheme, "http" | "https");
    }
    let authority = target.split('/').next().unwrap_or_default();
    let Some((host, port)) = authority.rsplit_once(':').filter(|(host, _)| !host.is_empty()) else {
        return false;
    };
    // A bare word may as well be a kind that does not exist: servers listen on port 80 or above.
    let is_host = host == "localhost" || host.contains('.') || host.starts_with('[');
    port.parse::<u16>().is_ok_and(|port| is_host || port >= LOWEST_PORT)
}

/// As it may be printed: an address with a password stays out.
pub fn shown(word: &str) -> &str {
    if word.contains("://") && word.contains('@') { "…" } else { word }
}
