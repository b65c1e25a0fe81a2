//! Architecture and sizes of a model, without its weights.

/// The families this engine computes. They share one block and differ in a bias and two norms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Architecture {
    Llama,
    Mistral,
    /// Llama with a bias on q, k and v.
    Qwen2,
    /// Llama with an RMS norm on each head of q and k.
    Qwen3,
}

impl Architecture {
    pub(crate) const ALL: [Architecture; 4] =
        [Architecture::Llama, Architecture::Mistral, Architecture::Qwen2, Architecture::Qwen3];

    pub(crate) fn hugging_face_name(self) -> &'static str {
        match self {
            Architecture::Llama => "LlamaForCausalLM",
            Architecture::Mistral => "MistralForCausalLM",
            Architecture::Qwen2 => "Qwen2ForCausalLM",
            Architecture::Qwen3 => "Qwen3ForCausalLM",
        }
    }

    pub(crate) fn has_qkv_bias(self) -> bool {
        self == Architecture::Qwen2
    }

    pub(crate) fn has_qk_norm(self) -> bool {
        self == Architecture::Qwen3
    }
}

/// Rotary position embedding: base and how long contexts stretch it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Rope {
    pub theta: f32,
    pub scaling: RopeScaling,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum RopeScaling {
    None,
    /// All frequencies divided by `factor`.
    Linear {
        factor: f32,
    },
    /// Llama 3.1: long wavelengths divided by `factor`, short ones kept, a smooth step between.
    Llama3 {
        factor: f32,
        low_freq_factor: f32,
        high_freq_factor: f32,
        original_max_seq_len: f32,
    },
}

/// Sizes of one model. Widths are elements of f32 per token.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ModelShape {
    pub name: String,
    pub architecture: Architecture,
    pub vocab: usize,
    pub hidden: usize,
    pub intermediate: usize,
    pub layers: usize,
    pub heads: usize,
    pub kv_heads: usize,
    pub head_dim: usize,
    pub max_seq_len: usize,
    pub norm_eps: f32,
    pub rope: Rope,
    /// The head is the embedding.
    pub tied: bool,
    pub eos: Vec<u32>,
}

impl ModelShape {
    pub(crate) fn q_width(&self) -> usize {
        self.heads * self.head_dim
    }

    pub(crate) fn kv_width(&self) -> usize {
        self.kv_heads * self.head_dim
    }

    pub(crate) fn qkv_width(&self) -> usize {
        self.q_width() + 2 * self.kv_width()
    }

    /// Parameters, a tied head counted once.
    pub(crate) fn parameters(&self) -> u64 {
        let embedding = self.vocab * self.hidden;
        let attention = self.hidden * (self.qkv_width() + self.q_width());
        let bias = if self.architecture.has_qkv_bias() { self.qkv_width() } else { 0 };
        let head_norms = if self.architecture.has_qk_norm() { 2 * self.head_dim } else { 0 };
        let block =
            attention + bias + head_norms + 3 * self.hidden * self.intermediate + 2 * self.hidden;
        let heads = if self.tied { 1 } else { 2 };
        (heads * embedding + self.layers * block + self.hidden) as u64
    }
}
