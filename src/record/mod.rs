//! Events from the threads that see them, and the record of every request.

pub mod answers;
pub mod backpressure;
pub mod disk;
pub mod event;
pub mod gate;
pub mod iteration;
pub mod kv_event;
pub mod live;
pub mod log;
pub mod nvtx_ranges;
pub mod oddity;
pub mod recorder;
pub mod request_record;
pub mod request_table;
pub mod side_facts;
pub mod sink;
pub mod unsent;
