//! Files of a run directory, in and out, written while the run goes on.

pub mod cells_index;
pub mod deliveries_file;
pub mod iterations_file;
pub mod json_lines;
pub mod kv_events_file;
pub mod launch_file;
pub mod line_log;
pub mod manifest;
pub mod measured_gpus;
pub mod measured_run;
pub mod parquet_tables;
pub mod partial_files;
pub mod plan_file;
pub mod point_files;
pub mod read_back;
pub mod requests_csv;
pub mod rows;
pub mod run_directory;
pub mod sent_before;
pub mod stored_point;
pub mod write;
