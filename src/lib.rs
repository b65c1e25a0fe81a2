//! bareflight: benchmark of large-language-model engines, in process and served.
//!
//! A [`workload`] and a [`load`] make a plan of requests, which is sent to one of the [`targets`]. Events are kept in
//! [`record`], turned into numbers in [`metrics`], and shown by [`report`].

pub mod cli;
pub mod clock;
pub mod console;
pub mod doctor;
pub mod engine_directory;
pub mod experiment;
#[path = "../ffi/mod.rs"]
pub mod ffi;
pub mod host;
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
pub mod threads;
pub mod tokenizer;
pub mod upload;
pub mod warning;
pub mod workload;
