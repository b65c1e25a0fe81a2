//! WHAT happened: events from the threads that see them, and the record of every request.

pub(crate) mod book;
pub mod deliveries_file;
pub mod event;
pub mod iterations_file;
pub mod json_lines;
pub mod kv_events_file;
pub mod live;
pub mod recorder;
pub mod request_record;
pub mod rows;
pub mod run_directory;
pub mod sink;
