//! Places where a served target's own metrics may be.

use crate::settings::server_metrics::MetricsUrl;

/// Paths on the port of an OpenAI-compatible server; TensorRT-LLM has JSON at the first.
const OPENAI_PATHS: [&str; 2] = ["/metrics", "/prometheus/metrics"];
/// Where Triton listens for this, unless it is told otherwise.
const TRITON_PORT: u16 = 8002;

/// Where to look, in turn, for a target such as `openai:http://host:8000/v1` or `triton:host:8001/model`; none behind TLS.
pub fn of_target(target: &str) -> Vec<MetricsUrl> {
    if let Some(url) = target.strip_prefix("openai:") {
        let Some(authority) = authority(url) else { return Vec::new() };
        return OPENAI_PATHS.iter().map(|path| MetricsUrl::new(&authority, path)).collect();
    }
    let Some(address) = target.strip_prefix("triton:") else { return Vec::new() };
    let Some(authority) = authority(address) else { return Vec::new() };
    let Some((host, _)) = authority.rsplit_once(':') else { return Vec::new() };
    vec![MetricsUrl::new(&format!("{host}:{TRITON_PORT}"), OPENAI_PATHS[0])]
}

/// `host:port` of an address without TLS.
fn authority(address: &str) -> Option<String> {
    let rest = match address.split_once("://") {
        Some(("http" | "grpc", rest)) => rest,
        Some(_) => return None,
        None => address,
    };
    let authority = rest.split('/').next()?;
    let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    match authority {
        "" => None,
        _ if has_port => Some(authority.to_owned()),
        host => Some(format!("{host}:80")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_looked_for_beside_the_api_and_on_tritons_own_port() {
        let texts = |target: &str| -> Vec<String> {
            of_target(target).iter().map(ToString::to_string).collect()
        };
        let both = ["http://h:8000/metrics", "http://h:8000/prometheus/metrics"];
        assert_eq!(texts("openai:http://h:8000/v1"), both);
        assert_eq!(texts("openai:h:8000"), both);
        assert_eq!(texts("openai:http://h")[0], "http://h:80/metrics");
        assert_eq!(texts("triton:[::1]:8001/ensemble"), ["http://[::1]:8002/metrics"]);
        for target in ["openai:https://h/v1", "null:", "triton-c:/repo/m", "openai:"] {
            assert!(of_target(target).is_empty(), "{target}");
        }
    }
}
