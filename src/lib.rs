//! bareflight: what a large-language-model engine can do with nothing in the way, and what everything in the way
//! costs.
//!
//! The folders say how a number comes about:
//! [`workload`] is asked, at the instants of [`load`], of a [`target`]; what happened is in [`record`]; what it
//! means is in [`metrics`]; how it is shown is in [`report`].

pub mod cli;
pub mod clock;
pub mod doctor;
pub mod engine_directory;
pub mod experiment;
#[path = "../ffi/mod.rs"]
pub mod ffi;
pub mod issue;
pub mod load;
pub mod metrics;
pub mod network;
pub mod observe;
pub mod record;
pub mod report;
pub mod request;
pub mod serve;
pub mod settings;
pub mod specs;
pub mod store;
pub mod targets;
pub mod tokenizer;
pub mod workload;
