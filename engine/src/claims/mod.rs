//! Does the engine keep its promises? Claims about the whole engine, made through its public interface.

mod batching;
mod correctness;
mod directory;
mod endings;
mod harness;
mod reference;
mod refusals;
