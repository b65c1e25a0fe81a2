//! Places where a served target's own metrics may be.

use crate::settings::server_metrics::MetricsUrl;
use crate::targets::openai::address::Origin;
use crate::targets::triton::address::Address as TritonAddress;

/// Paths on the port of an OpenAI-compatible server; TensorRT-LLM has JSON at the first.
const OPENAI_PATHS: [&str; 2] = ["/metrics", "/prometheus/metrics"];
/// Where Triton listens for this, unless it is told otherwise.
const TRITON_PORT: u16 = 8002;

/// Where to look, in turn, for a target such as `openai:http://host:8000/v1` or `triton:host:8001/model`; none behind TLS.
pub fn of_target(target: &str) -> Vec<MetricsUrl> {
    if let Some(url) = target.strip_prefix("openai:") {
        let Some(server) = Origin::parse(url).ok().filter(|it| !it.https) else {
            return Vec::new();
        };
        let place = format!("{}:{}", server.host, server.port);
        return OPENAI_PATHS.iter().map(|path| MetricsUrl::new(&place, path)).collect();
    }
    let address = target.strip_prefix("triton:").and_then(|it| it.parse::<TritonAddress>().ok());
    let Some(address) = address.filter(|it| !it.tls) else { return Vec::new() };
    vec![MetricsUrl::new(&format!("{}:{TRITON_PORT}", address.host), OPENAI_PATHS[0])]
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
