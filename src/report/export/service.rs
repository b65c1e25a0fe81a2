//! What was asked, in the words of tools that know servers: a kind of service and its endpoint.

use crate::targets::TargetInfo;
use crate::targets::registry::{self, ServerProtocol};

/// A kind of service, and what of it was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Service {
    /// GenAI-Perf's `service_kind`, which perf_analyzer writes too.
    pub(super) kind: &'static str,
    /// What GenAI-Perf names a folder by: the endpoint of a server of OpenAI's protocol, else the backend.
    pub(super) endpoint: &'static str,
    /// What aiperf calls the endpoint.
    pub(super) aiperf: &'static str,
    /// Where it is asked, from the server's root.
    pub(super) path: &'static str,
    /// What `vllm bench serve` calls a server that is asked so.
    pub(super) backend: &'static str,
    /// genai-bench's task.
    pub(super) task: &'static str,
    /// Whether answers are text.
    pub(super) writes: bool,
}

const CHAT: Service = Service {
    kind: "openai",
    endpoint: "chat",
    aiperf: "chat",
    path: "v1/chat/completions",
    backend: "openai-chat",
    task: "text-to-text",
    writes: true,
};
const COMPLETIONS: Service = Service {
    endpoint: "completions",
    aiperf: "completions",
    path: "v1/completions",
    backend: "openai",
    ..CHAT
};
const EMBEDDINGS: Service = Service {
    endpoint: "embeddings",
    aiperf: "embeddings",
    path: "v1/embeddings",
    backend: "openai-embeddings",
    task: "text-to-embeddings",
    writes: false,
    ..CHAT
};
const RERANK: Service = Service {
    endpoint: "rankings",
    aiperf: "cohere_rankings",
    path: "v1/rerank",
    backend: "vllm-rerank",
    task: "text-to-rerank",
    writes: false,
    ..CHAT
};
/// Triton over gRPC, where perf_analyzer leaves the endpoint empty.
const TRITON: Service =
    Service { kind: "triton", endpoint: "tensorrtllm", path: "", ..COMPLETIONS };

impl Service {
    /// Of a target. These tools ask servers: an engine in this process is written as a server of completions, which takes ids too.
    pub(super) fn of(target: &TargetInfo) -> Self {
        let protocol = registry::find(&target.kind).and_then(|kind| kind.abilities.server);
        let endpoint = target.details.get("endpoint").and_then(serde_json::Value::as_str);
        match (protocol, endpoint) {
            (Some(ServerProtocol::Grpc), _) => TRITON,
            (Some(ServerProtocol::Http), Some("chat")) => CHAT,
            (_, Some("embeddings")) => EMBEDDINGS,
            (_, Some("rerank")) => RERANK,
            _ => COMPLETIONS,
        }
    }
}
