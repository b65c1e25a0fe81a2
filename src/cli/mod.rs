//! Command line: flags, their resolution into settings, commands, exit codes.

pub mod cells;
pub mod compare;
pub mod configuration;
pub mod doctor;
pub mod dry_run;
pub mod engine_log;
pub mod engine_threads;
pub mod exit;
pub mod inspect;
pub mod ladder;
pub mod load_number;
pub mod mpi_rank;
pub mod origin;
pub mod report;
pub mod resolve;
pub mod run;
pub mod search;
pub mod serve;
pub mod setting_key;
pub mod shell;
pub mod translate;
pub mod typed;
pub mod workload;
