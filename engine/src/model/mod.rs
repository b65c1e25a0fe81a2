//! Decoder-only transformer of the Llama family, on candle's CPU kernels.
//!
//! [`shape`] says what a model is, [`checkpoint`] and [`dummy`] where its numbers come from, [`weights`] holds them ready to
//! multiply, [`forward`] runs one iteration over a ragged batch, [`attention`] is the part candle does not have: attention
//! of many sequences over a paged KV cache.

pub(crate) mod attention;
pub(crate) mod batch;
pub(crate) mod checkpoint;
pub(crate) mod dummy;
pub(crate) mod elementwise;
pub(crate) mod forward;
pub(crate) mod hugging_face;
pub(crate) mod rope;
pub(crate) mod shape;
pub(crate) mod threads;
pub(crate) mod weights;

use crate::config::EngineConfig;
use crate::error::OpenError;
use crate::info::{ModelInfo, Weights};
use crate::source::ModelSource;
use shape::ModelShape;
use weights::{ModelWeights, TensorSource};

/// Facts about the model from its source, without its weights.
pub(crate) fn describe(
    source: &ModelSource,
    config: &EngineConfig,
) -> Result<(ModelShape, ModelInfo), OpenError> {
    let (shape, weights) = match source {
        ModelSource::Dummy(size) => (dummy::shape(*size), Weights::Dummy),
        ModelSource::Directory(path) => (hugging_face::read_shape(path)?, Weights::Loaded),
    };
    weights::check_rows(&shape, config.quantization)?;
    let info = ModelInfo::new(&shape, weights, config, threads::expected())?;
    Ok((shape, info))
}

/// Makes or reads the weights.
pub(crate) fn load(
    source: &ModelSource,
    shape: &ModelShape,
    config: &EngineConfig,
) -> Result<ModelWeights, OpenError> {
    let mut tensors = match source {
        ModelSource::Dummy(_) => TensorSource::Dummy { seed: config.seed },
        ModelSource::Directory(path) => {
            TensorSource::Checkpoint(checkpoint::Checkpoint::open(path)?)
        }
    };
    ModelWeights::build(shape, &mut tensors, config.quantization)
}
