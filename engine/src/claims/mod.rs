//! Tests of the whole engine through its public interface.

mod batching;
mod correctness;
mod directory;
mod endings;
mod harness;
mod reference;
mod refusals;
