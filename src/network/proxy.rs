//! HTTP proxies as the environment names them, read as curl reads it.

use std::fmt;
use std::net::IpAddr;

use crate::network::base64;

/// A proxy that speaks HTTP. Its password is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    /// Name or number of its host.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The variable that names it.
    pub variable: &'static str,
    /// The value of a `Proxy-Authorization` header.
    authorization: Option<String>,
}

/// Why a proxy that the environment names cannot be used. The message names the variable and the remedy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{variable}` names a proxy that cannot be used ({reason}): give one like http://host:port, or `--no-proxy` to go to the \
     server itself"
)]
pub struct BadProxy {
    variable: &'static str,
    reason: &'static str,
}

/// The port of a proxy that has none in its URL, as in curl.
const DEFAULT_PORT: u16 = 1080;

impl Proxy {
    /// The proxy on the way to a server; `None` where the environment names none, or excludes the server. `HTTP_PROXY` in
    /// capitals is not read: a web server sets it from a request's header.
    ///
    /// # Errors
    /// When it names one that speaks something else than HTTP, or none that can be understood.
    pub fn on_the_way_to(
        host: &str,
        https: bool,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Option<Self>, BadProxy> {
        let set = |name: &str| environment(name).filter(|value| !value.trim().is_empty());
        let excluded = set("no_proxy").or_else(|| set("NO_PROXY")).unwrap_or_default();
        if is_excluded(host, &excluded) {
            return Ok(None);
        }
        let own: &[&'static str] =
            if https { &["https_proxy", "HTTPS_PROXY"] } else { &["http_proxy"] };
        let mut names = own.iter().copied().chain(["all_proxy", "ALL_PROXY"]);
        let found = names.find_map(|name| Some((name, set(name)?)));
        found.map(|(name, url)| Self::parse(name, url.trim())).transpose()
    }

    fn parse(variable: &'static str, url: &str) -> Result<Self, BadProxy> {
        let bad = |reason| BadProxy { variable, reason };
        let rest = match url.split_once("://") {
            None => url,
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => rest,
            Some(_) => return Err(bad("only proxies that speak plain HTTP are known here")),
        };
        let rest = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let (user, place) = match rest.rsplit_once('@') {
            Some((user, place)) => (Some(user), place),
            None => (None, rest),
        };
        let (host, port) = split_port(place).ok_or_else(|| bad("its port is no number"))?;
        if host.is_empty() {
            return Err(bad("it has no host"));
        }
        let authorization =
            user.map(|user| format!("Basic {}", base64::encoded(&percent_decoded(user))));
        Ok(Self { host: host.to_owned(), port, variable, authorization })
    }

    /// The line of a request's head that says who asks; empty where the proxy does not want to know.
    pub fn authorization_line(&self) -> String {
        let line = |value: &String| format!("proxy-authorization: {value}\r\n");
        self.authorization.as_ref().map(line).unwrap_or_default()
    }
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}:{}", self.host, self.port)
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proxy({self}, from {})", self.variable)
    }
}

/// Host and port of `host`, `host:port`, `[::1]` or `[::1]:port`.
fn split_port(place: &str) -> Option<(&str, u16)> {
    let after_number = place.rfind(']').map_or(0, |at| at + 1);
    match place[after_number..].rfind(':') {
        None => Some((place, DEFAULT_PORT)),
        Some(at) => {
            let (host, port) = place.split_at(after_number + at);
            Some((host, port[1..].parse().ok()?))
        }
    }
}

/// Whether a list such as `localhost,.example.com,10.0.0.0/8` has this host: `*` has all, a name has its subdomains too.
fn is_excluded(host: &str, list: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
    let host = host.trim_end_matches('.');
    list.split([',', ' ']).map(str::trim).filter(|entry| !entry.is_empty()).any(|entry| {
        let entry = entry.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
        let name = entry.trim_start_matches('.').trim_end_matches('.');
        let below = || host.strip_suffix(name).is_some_and(|before| before.ends_with('.'));
        match host.parse::<IpAddr>() {
            _ if entry == "*" => true,
            Ok(number) => holds_number(name, number),
            Err(_) => host == name || below(),
        }
    })
}

/// Whether a number, or a network such as `10.0.0.0/8`, holds an address.
fn holds_number(entry: &str, number: IpAddr) -> bool {
    let (network, bits) = match entry.split_once('/') {
        None => (entry, None),
        Some((network, bits)) => (network, bits.parse::<u32>().ok()),
    };
    let same = |a: u128, b: u128, width: u32| {
        let bits = bits.unwrap_or(width).min(width);
        bits == 0 || (a ^ b) >> (width - bits) == 0
    };
    match (network.parse::<IpAddr>(), number) {
        (Ok(IpAddr::V4(a)), IpAddr::V4(b)) => same(a.to_bits().into(), b.to_bits().into(), 32),
        (Ok(IpAddr::V6(a)), IpAddr::V6(b)) => same(a.to_bits(), b.to_bits(), 128),
        _ => false,
    }
}

fn percent_decoded(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let code = (*first == b'%').then(|| text_of(after.get(..2)?)).flatten();
        if let Some(byte) = code.and_then(|code| u8::from_str_radix(code, 16).ok()) {
            bytes.push(byte);
            rest = &after[2..];
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    bytes
}

fn text_of(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(host: &str, https: bool, set: &[(&str, &str)]) -> Result<Option<String>, BadProxy> {
        let value = |name: &str| {
            set.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        };
        Ok(Proxy::on_the_way_to(host, https, value)?.map(|it| format!("{it} {}", it.variable)))
    }

    #[test]
    fn the_variable_of_the_scheme_goes_before_that_of_all() {
        let both = [("http_proxy", "http://a:1"), ("all_proxy", "b")];
        assert_eq!(found("h", false, &both), Ok(Some("http://a:1 http_proxy".into())));
        assert_eq!(found("h", true, &both), Ok(Some("http://b:1080 all_proxy".into())));
        assert_eq!(
            found("h", true, &[("HTTPS_PROXY", "c:2/")]),
            Ok(Some("http://c:2 HTTPS_PROXY".into()))
        );
        assert_eq!(found("h", false, &[("HTTP_PROXY", "http://a:1")]), Ok(None), "as curl does");
        assert_eq!(found("h", false, &[("http_proxy", "")]), Ok(None));
        let v6 = [("http_proxy", "http://[::1]:3128")];
        assert_eq!(found("h", false, &v6), Ok(Some("http://[::1]:3128 http_proxy".into())));
    }

    #[test]
    fn what_no_proxy_lists_is_reached_without_one() {
        for (host, list, is_excluded) in [
            ("h", "*", true),
            ("localhost", "localhost,127.0.0.1", true),
            ("127.0.0.1", "localhost, 127.0.0.1", true),
            ("api.example.com", "example.com", true),
            ("api.example.com", ".example.com", true),
            ("badexample.com", "example.com", false),
            ("10.1.2.3", "10.0.0.0/8", true),
            ("11.1.2.3", "10.0.0.0/8", false),
            ("[::1]", "::1", true),
            ("h", "", false),
        ] {
            let set = [("http_proxy", "p:1"), ("no_proxy", list)];
            let found = found(host, false, &set).map(|it| it.is_none());
            assert_eq!(found, Ok(is_excluded), "{host} in {list}");
        }
    }

    #[test]
    fn another_protocol_is_refused_with_the_way_round_it() {
        for url in ["socks5://p:1", "https://p:1", "http://p:port", "http://"] {
            let error = found("h", false, &[("http_proxy", url)]).unwrap_err().to_string();
            assert!(error.contains("`http_proxy`") && error.contains("--no-proxy"), "{error}");
        }
    }

    #[test]
    fn a_password_is_sent_and_never_shown() {
        let set = |name: &str| (name == "http_proxy").then(|| "http://me:p%40ss@p:1".to_owned());
        let proxy = Proxy::on_the_way_to("h", false, set).unwrap().unwrap();
        assert_eq!(proxy.authorization_line(), "proxy-authorization: Basic bWU6cEBzcw==\r\n");
        assert!(!format!("{proxy} {proxy:?}").contains("ss"), "{proxy:?}");
    }
}
