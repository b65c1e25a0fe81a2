//! Weights of a model, fused and quantised, ready for the forward pass.

use std::sync::Arc;

use candle_core::quantized::{GgmlDType, QMatMul, QTensor};
use candle_core::{DType, Device, Module, Tensor};

use super::checkpoint::Checkpoint;
use super::dummy;
use super::shape::ModelShape;
use crate::config::Quantization;
use crate::error::OpenError;

/// Where tensors come from.
pub(crate) enum TensorSource {
    Dummy { seed: u64 },
    Checkpoint(Checkpoint),
}

pub(crate) struct ModelWeights {
    /// `[vocab, hidden]`, in the dtype it was stored in.
    pub embedding: Tensor,
    pub layers: Vec<LayerWeights>,
    pub norm: Vec<f32>,
    pub head: QMatMul,
}

pub(crate) struct LayerWeights {
    pub attention_norm: Vec<f32>,
    /// q, k and v stacked: `[qkv_width, hidden]`.
    pub qkv: QMatMul,
    /// `[qkv_width]`, Qwen2 only.
    pub qkv_bias: Option<Vec<f32>>,
    /// Norms over one head of q and of k, `[head_dim]` each; Qwen3 only.
    pub qk_norm: Option<(Vec<f32>, Vec<f32>)>,
    /// `[hidden, q_width]`.
    pub output: QMatMul,
    pub mlp_norm: Vec<f32>,
    /// gate and up stacked: `[2 * intermediate, hidden]`.
    pub gate_up: QMatMul,
    /// `[hidden, intermediate]`.
    pub down: QMatMul,
}

/// Q8_0 stores rows in blocks of 32: refuses a model whose rows are not whole blocks.
pub(crate) fn check_rows(shape: &ModelShape, quantization: Quantization) -> Result<(), OpenError> {
    let rows = [
        ("hidden_size", shape.hidden),
        ("intermediate_size", shape.intermediate),
        ("heads x head_dim", shape.q_width()),
    ];
    let odd =
        rows.into_iter().find(|(_, width)| !width.is_multiple_of(GgmlDType::Q8_0.block_size()));
    match (quantization, odd) {
        (Quantization::Q8_0, Some((name, width))) => Err(OpenError::Config(format!(
            "{} has {name} = {width}, and Q8_0 needs multiples of 32; use F32 for it",
            shape.name
        ))),
        _ => Ok(()),
    }
}

impl ModelWeights {
    pub(crate) fn build(
        shape: &ModelShape,
        source: &mut TensorSource,
        quantization: Quantization,
    ) -> Result<ModelWeights, OpenError> {
        let embedding = source.matrix("model.embed_tokens.weight", shape.vocab, shape.hidden)?;
        let head = if shape.tied {
            embedding.clone()
        } else {
            source.matrix("lm_head.weight", shape.vocab, shape.hidden)?
        };
        let layers = (0..shape.layers)
            .map(|layer| LayerWeights::build(shape, layer, source, quantization))
            .collect::<Result<_, _>>()?;
        Ok(ModelWeights {
            embedding,
            layers,
            norm: source.vector("model.norm.weight", shape.hidden)?,
            head: linear(&[head], quantization)?,
        })
    }
}

impl LayerWeights {
    fn build(
        shape: &ModelShape,
        layer: usize,
        source: &mut TensorSource,
        quantization: Quantization,
    ) -> Result<LayerWeights, OpenError> {
        let name = |part: &str| format!("model.layers.{layer}.{part}");
        let (hidden, q, kv) = (shape.hidden, shape.q_width(), shape.kv_width());
        let qkv = [
            source.matrix(&name("self_attn.q_proj.weight"), q, hidden)?,
            source.matrix(&name("self_attn.k_proj.weight"), kv, hidden)?,
            source.matrix(&name("self_attn.v_proj.weight"), kv, hidden)?,
        ];
        let qkv_bias = if shape.architecture.has_qkv_bias() {
            let mut bias = source.vector(&name("self_attn.q_proj.bias"), q)?;
            bias.extend(source.vector(&name("self_attn.k_proj.bias"), kv)?);
            bias.extend(source.vector(&name("self_attn.v_proj.bias"), kv)?);
            Some(bias)
        } else {
            None
        };
        let qk_norm = if shape.architecture.has_qk_norm() {
            Some((
                source.vector(&name("self_attn.q_norm.weight"), shape.head_dim)?,
                source.vector(&name("self_attn.k_norm.weight"), shape.head_dim)?,
            ))
        } else {
            None
        };
        let gate_up = [
            source.matrix(&name("mlp.gate_proj.weight"), shape.intermediate, hidden)?,
            source.matrix(&name("mlp.up_proj.weight"), shape.intermediate, hidden)?,
        ];
        let output = source.matrix(&name("self_attn.o_proj.weight"), hidden, q)?;
        let down = source.matrix(&name("mlp.down_proj.weight"), hidden, shape.intermediate)?;
        Ok(LayerWeights {
            attention_norm: source.vector(&name("input_layernorm.weight"), hidden)?,
            qkv: linear(&qkv, quantization)?,
            qkv_bias,
            qk_norm,
            output: linear(&[output], quantization)?,
            mlp_norm: source.vector(&name("post_attention_layernorm.weight"), hidden)?,
            gate_up: linear(&gate_up, quantization)?,
            down: linear(&[down], quantization)?,
        })
    }
}

impl TensorSource {
    fn matrix(&mut self, name: &str, rows: usize, columns: usize) -> Result<Tensor, OpenError> {
        match self {
            TensorSource::Dummy { seed } => Tensor::from_vec(
                dummy::matrix(name, *seed, rows, columns),
                (rows, columns),
                &Device::Cpu,
            )
            .map_err(building),
            TensorSource::Checkpoint(checkpoint) => checkpoint.tensor(name, &[rows, columns]),
        }
    }

    /// A norm or a bias; dummies have norms of 1 and, being Llama, no bias.
    fn vector(&mut self, name: &str, length: usize) -> Result<Vec<f32>, OpenError> {
        match self {
            TensorSource::Dummy { .. } => Ok(vec![1.0; length]),
            TensorSource::Checkpoint(checkpoint) => checkpoint
                .tensor(name, &[length])?
                .to_dtype(DType::F32)
                .and_then(|tensor| tensor.to_vec1())
                .map_err(building),
        }
    }
}

/// Stacks `parts` (`[rows, columns]`, equal columns) into one matrix to multiply with.
///
/// Multiplies once at the end: candle repacks a quantised matrix for the CPU at first use, which belongs to loading.
fn linear(parts: &[Tensor], quantization: Quantization) -> Result<QMatMul, OpenError> {
    let build = || -> candle_core::Result<QMatMul> {
        let parts = parts
            .iter()
            .map(|part| part.to_dtype(DType::F32))
            .collect::<candle_core::Result<Vec<_>>>()?;
        let stacked = match parts.as_slice() {
            [only] => only.clone(),
            several => Tensor::cat(several, 0)?,
        };
        let matrix = match quantization {
            Quantization::F32 => QMatMul::Tensor(stacked.clone()),
            Quantization::Q8_0 => {
                QMatMul::QTensor(Arc::new(QTensor::quantize(&stacked, GgmlDType::Q8_0)?))
            }
        };
        matrix.forward(&Tensor::zeros((1, stacked.dim(1)?), DType::F32, &Device::Cpu)?)?;
        Ok(matrix)
    };
    build().map_err(building)
}

fn building(source: candle_core::Error) -> OpenError {
    OpenError::Arithmetic { doing: "building the weights", source }
}
