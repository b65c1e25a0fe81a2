//! HOW it is shown: one exporter per file.

pub mod requests_csv;
