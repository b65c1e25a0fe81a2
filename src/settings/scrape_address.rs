//! Address that Prometheus asks: `:9400` on every interface, `127.0.0.1:9400` on one.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Where metrics are answered while a run goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ScrapeAddress(pub SocketAddr);

/// A text that is no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no address to listen on: write `:9400`, or `127.0.0.1:9400` for this machine alone"
)]
pub struct ScrapeAddressError(String);

impl FromStr for ScrapeAddress {
    type Err = ScrapeAddressError;

    fn from_str(text: &str) -> Result<Self, ScrapeAddressError> {
        let wrong = || ScrapeAddressError(text.to_owned());
        let port_alone = text.strip_prefix(':').unwrap_or(text);
        if let Ok(port) = port_alone.parse() {
            return Ok(Self(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port)));
        }
        let local = text.strip_prefix("localhost:").map(|port| format!("127.0.0.1:{port}"));
        let address = local.as_deref().unwrap_or(text).parse().map_err(|_| wrong())?;
        Ok(Self(address))
    }
}

impl fmt::Display for ScrapeAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl TryFrom<String> for ScrapeAddress {
    type Error = ScrapeAddressError;

    fn try_from(text: String) -> Result<Self, ScrapeAddressError> {
        text.parse()
    }
}

impl From<ScrapeAddress> for String {
    fn from(address: ScrapeAddress) -> Self {
        address.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_alone_is_every_interface_and_a_host_is_its_own() {
        for (text, meant) in [
            (":9400", "0.0.0.0:9400"),
            ("9400", "0.0.0.0:9400"),
            ("localhost:9400", "127.0.0.1:9400"),
            ("[::1]:9400", "[::1]:9400"),
        ] {
            assert_eq!(text.parse::<ScrapeAddress>().expect(text).to_string(), meant);
        }
        for text in ["", "host", ":x", "99999", "http://h:1"] {
            assert!(text.parse::<ScrapeAddress>().is_err(), "{text}");
        }
    }
}
