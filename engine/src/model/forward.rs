//! Forward pass of one iteration: all rows of the batch through one matrix product per weight, logits at the end.

use candle_core::quantized::QMatMul;
use candle_core::{DType, Device, Module, Result, Storage, Tensor};

use super::attention::{attend, store_keys_and_values};
use super::batch::Batch;
use super::elementwise::{add_assign, gated, rms_norm};
use super::rope::{Angles, Frequencies};
use super::shape::ModelShape;
use super::weights::{LayerWeights, ModelWeights};
use crate::kv::KvStore;

/// A model ready to run.
pub(crate) struct Model {
    shape: ModelShape,
    weights: ModelWeights,
    frequencies: Frequencies,
    angles: Angles,
}

impl Model {
    pub(crate) fn new(shape: ModelShape, weights: ModelWeights) -> Model {
        let frequencies = Frequencies::new(shape.rope, shape.head_dim);
        Model { shape, weights, frequencies, angles: Angles::default() }
    }

    pub(crate) fn shape(&self) -> &ModelShape {
        &self.shape
    }

    /// Runs the batch, writes its keys and values into `kv`, and leaves the logits of `batch.logit_rows`,
    /// `[logit_rows, vocab]`, in `logits`.
    pub(crate) fn forward(
        &mut self,
        batch: &Batch,
        kv: &mut KvStore,
        logits: &mut Vec<f32>,
    ) -> Result<()> {
        logits.clear();
        self.frequencies.fill(&batch.positions, &mut self.angles);
        let mut hidden = self.embed(&batch.tokens)?;
        let last = self.weights.layers.len() - 1;
        for (index, layer) in self.weights.layers.iter().enumerate() {
            let mut attended = self.attention(index, layer, batch, &hidden, kv)?;
            if index == last {
                // Past the last attention only the rows that choose a token matter.
                if batch.logit_rows.is_empty() {
                    return Ok(());
                }
                hidden = pick_rows(&hidden, &batch.logit_rows, self.shape.hidden);
                attended = pick_rows(&attended, &batch.logit_rows, self.shape.q_width());
            }
            multiply(&layer.output, attended, |product| add_assign(&mut hidden, product))?;
            let normed = rms_norm(&hidden, &layer.mlp_norm, self.shape.norm_eps);
            let activated =
                multiply(&layer.gate_up, normed, |both| gated(both, self.shape.intermediate))?;
            multiply(&layer.down, activated, |product| add_assign(&mut hidden, product))?;
        }
        let normed = rms_norm(&hidden, &self.weights.norm, self.shape.norm_eps);
        multiply(&self.weights.head, normed, |product| logits.extend_from_slice(product))
    }

    /// `[rows, hidden]`.
    fn embed(&self, tokens: &[u32]) -> Result<Vec<f32>> {
        let ids = Tensor::from_slice(tokens, tokens.len(), &Device::Cpu)?;
        let rows = self.weights.embedding.index_select(&ids, 0)?;
        rows.to_dtype(DType::F32)?.flatten_all()?.to_vec1()
    }

    fn attention(
        &self,
        index: usize,
        layer: &LayerWeights,
        batch: &Batch,
        hidden: &[f32],
        kv: &mut KvStore,
    ) -> Result<Vec<f32>> {
        let normed = rms_norm(hidden, &layer.attention_norm, self.shape.norm_eps);
        let queries = multiply(&layer.qkv, normed, |qkv| {
            store_keys_and_values(&self.shape, layer, index, batch, &self.angles, qkv, kv)
        })?;
        Ok(attend(&self.shape, index, batch, &queries, kv))
    }
}

/// `rows` (`[n, columns of matrix]`) times the matrix; `then` reads the product.
fn multiply<R>(matrix: &QMatMul, rows: Vec<f32>, then: impl FnOnce(&[f32]) -> R) -> Result<R> {
    let width = match matrix {
        QMatMul::QTensor(quantised) => quantised.shape().dims2()?.1,
        QMatMul::Tensor(plain) | QMatMul::TensorF16(plain) => plain.dim(1)?,
    };
    let count = rows.len() / width;
    let product = matrix.forward(&Tensor::from_vec(rows, (count, width), &Device::Cpu)?)?;
    let (storage, layout) = product.storage_and_layout();
    let Storage::Cpu(storage) = &*storage else {
        candle_core::bail!("a product is not in CPU memory")
    };
    let values = storage.as_slice::<f32>()?;
    Ok(then(&values[layout.start_offset()..layout.start_offset() + layout.shape().elem_count()]))
}

fn pick_rows(from: &[f32], rows: &[u32], width: usize) -> Vec<f32> {
    let mut picked = Vec::with_capacity(rows.len() * width);
    for &row in rows {
        picked.extend_from_slice(&from[row as usize * width..(row as usize + 1) * width]);
    }
    picked
}
