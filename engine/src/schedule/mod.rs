//! Scheduler loop of the engine: take in, admit, pack, compute, sample, deliver.

mod packing;
mod run;
mod sequence;
mod waiting;

pub(crate) use run::Loop;
