//! WHAT happened: events from the threads that see them, and the record of every request.

pub mod deliveries_file;
pub mod event;
pub mod request_record;
pub mod rows;
pub mod sink;
