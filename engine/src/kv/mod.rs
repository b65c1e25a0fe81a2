//! KV cache in blocks of tokens: [`BlockPool`] accounts for them, [`KvStore`] holds the numbers.

mod pool;
mod store;

pub(crate) use pool::{BlockPool, BlockTable};
pub(crate) use store::KvStore;
