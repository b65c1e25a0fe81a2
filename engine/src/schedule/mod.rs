//! What runs next? The loop of the engine: take in, admit, pack, compute, choose, deliver.

mod packing;
mod run;
mod sequence;
mod waiting;

pub(crate) use run::Loop;
