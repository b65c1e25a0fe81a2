//! Settings of a served target: endpoint, model, keys, headers, connections, TLS, tokenizer.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::workload::PromptKind;

/// Settings of a server; secrets are named by variable or file and never held.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ServedSettings {
    /// The model's name, where the server has several.
    pub model: Option<String>,
    /// Which endpoint of an OpenAI-compatible server.
    pub endpoint: ServedEndpoint,
    /// The environment variable that holds the key.
    pub api_key_env: Option<String>,
    /// The file that holds the key.
    pub api_key_file: Option<PathBuf>,
    /// Further headers, `Name: value`.
    pub headers: Vec<String>,
    /// Further parameters of every request, a JSON object.
    pub extra_inputs: Option<String>,
    /// `tokenizer.json`, or a folder that holds it.
    pub tokenizer: Option<PathBuf>,
    /// A new connection for each request.
    pub fresh_connections: bool,
    /// HTTP/2, without TLS by prior knowledge.
    pub http2: bool,
    /// Certificates to trust.
    pub ca_file: Option<PathBuf>,
    /// Trust any certificate.
    pub insecure: bool,
    /// `libtritonserver.so` or its folder, for a core in this process.
    pub triton_library: Option<PathBuf>,
    /// Folder of Triton backends, for a core in this process.
    pub triton_backends: Option<PathBuf>,
    /// Prompts are drawn as this.
    pub prompts: Option<PromptKind>,
    /// Outputs run to their asked length.
    pub ignore_eos: bool,
}

/// Which endpoint of an OpenAI-compatible server is asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum ServedEndpoint {
    /// `/v1/chat/completions`.
    #[default]
    Chat,
    /// `/v1/completions`.
    Completions,
    /// `/v1/embeddings`.
    Embeddings,
}
