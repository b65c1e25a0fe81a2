//! Hermetic suite: integration tests that need no network and no package but those of `.ci/setup test`.
//!
//! One binary, since each further one is linked anew. A test here sets no environment variable, working directory or
//! signal handler of its own process; it gives them to the processes that it starts.

#[path = "../support/mod.rs"]
mod support;

mod bad_values;
mod bridge_symbols;
mod cells;
mod command_line;
mod compare;
mod conversations;
mod curl;
mod cut_short;
mod damaged_runs;
mod declared;
mod distributions;
mod doctor;
mod documents;
mod drafting;
mod embeddings;
mod endings;
mod engine_log;
mod engine_threads;
mod exports;
mod fidelity;
mod formats;
mod full_view;
mod gpu_memory;
mod gpu_telemetry;
mod help;
mod inspect;
mod interrupts;
mod ipv6;
mod ladder;
mod launch;
mod launch_commands;
mod mixtures;
mod no_answers;
mod nvtx;
mod odd_answers;
mod odd_bodies;
mod odd_counts;
mod odd_sides;
mod openai_contract;
mod openai_faults;
mod otlp;
#[cfg(not(feature = "parquet"))]
mod parquet;
mod pictures;
mod prefix_groups;
mod profiling;
mod prometheus;
mod proxies;
mod real_executor;
mod recovery;
mod repeats;
mod report_console;
mod report_files;
mod report_page;
mod repository_index;
mod running_usage;
mod search;
mod serve;
mod serve_told;
mod server_metrics;
mod spelling;
mod stages;
mod sweep_rules;
mod target_contract;
mod tasks;
mod tls;
mod triton_bindings;
mod triton_c;
mod triton_faults;
mod trtllm_discovery;
mod uncounted_text;
mod unprocessed;
mod upload;
mod warnings;
mod wire;
mod workers;
mod workloads;
