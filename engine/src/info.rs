//! Description of the opened model and its limits, for manifests and tables.

use serde::Serialize;

use crate::config::{EngineConfig, Quantization};
use crate::error::OpenError;
use crate::model::shape::ModelShape;

/// Where the weights came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Weights {
    /// Seeded random numbers: timings are real, text is meaningless.
    Dummy,
    /// Read from a model directory.
    Loaded,
}

/// A model as this engine runs it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ModelInfo {
    /// Library and device that compute: `candle-cpu`.
    pub engine: &'static str,
    /// The dummy's name, or the directory's last component.
    pub name: String,
    /// Hugging Face's name, e.g. `LlamaForCausalLM`.
    pub architecture: String,
    pub parameters: u64,
    pub layers: usize,
    pub hidden_size: usize,
    pub intermediate_size: usize,
    pub heads: usize,
    pub kv_heads: usize,
    pub head_dim: usize,
    pub vocab_size: usize,
    /// Prompt and output together at most, in tokens.
    pub max_seq_len: usize,
    pub eos_token_ids: Vec<u32>,
    pub weights: Weights,
    pub quantization: Quantization,
    pub threads: usize,
    pub max_batch_size: usize,
    pub max_num_tokens: usize,
    pub max_queue_size: usize,
    /// KV capacity in tokens, a multiple of `tokens_per_block`.
    pub kv_tokens: usize,
    pub tokens_per_block: usize,
    pub block_reuse: bool,
}

/// KV memory that a default capacity may grow to.
const DEFAULT_KV_BYTES: usize = 1 << 30;

impl ModelInfo {
    pub(crate) fn new(
        shape: &ModelShape,
        weights: Weights,
        config: &EngineConfig,
        threads: usize,
    ) -> Result<ModelInfo, OpenError> {
        let block = config.tokens_per_block;
        let wanted = config.kv_tokens.unwrap_or_else(|| default_kv_tokens(shape, config));
        let kv_tokens = wanted / block * block;
        if kv_tokens == 0 {
            return Err(OpenError::Config(format!(
                "kv_tokens is {wanted}, less than one block of {block} tokens"
            )));
        }
        Ok(ModelInfo {
            engine: "candle-cpu",
            name: shape.name.clone(),
            architecture: shape.architecture.hugging_face_name().to_string(),
            parameters: shape.parameters(),
            layers: shape.layers,
            hidden_size: shape.hidden,
            intermediate_size: shape.intermediate,
            heads: shape.heads,
            kv_heads: shape.kv_heads,
            head_dim: shape.head_dim,
            vocab_size: shape.vocab,
            max_seq_len: shape.max_seq_len,
            eos_token_ids: shape.eos.clone(),
            weights,
            quantization: config.quantization,
            threads,
            max_batch_size: config.max_batch_size,
            max_num_tokens: config.max_num_tokens,
            max_queue_size: config.max_queue_size,
            kv_tokens,
            tokens_per_block: block,
            block_reuse: config.block_reuse,
        })
    }

    /// Prompt and output of one request together at most, in tokens.
    pub fn max_total_tokens(&self) -> usize {
        self.max_seq_len.min(self.kv_tokens)
    }
}

/// As many tokens as 1 GiB holds: room for one context (of 4096 tokens, if it is longer) at least, and for a full context
/// of each request of the batch at most.
fn default_kv_tokens(shape: &ModelShape, config: &EngineConfig) -> usize {
    let context = |tokens: usize| tokens.next_multiple_of(config.tokens_per_block);
    let bytes_per_token = 2 * shape.layers * shape.kv_heads * shape.head_dim * size_of::<f32>();
    let (least, most) =
        (context(shape.max_seq_len.min(4096)), context(shape.max_seq_len) * config.max_batch_size);
    (DEFAULT_KV_BYTES / bytes_per_token).clamp(least, most)
}
