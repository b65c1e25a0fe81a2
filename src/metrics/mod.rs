//! Metrics: pure functions of records, and one definition for each number.

mod aligned_iterations;
pub mod binomial;
pub mod compare;
pub mod comparison;
pub mod counts;
pub mod definition;
pub mod dependence;
pub mod distribution;
pub mod early_stopping;
pub mod effective;
pub mod facts;
pub mod fairness;
mod goodput;
pub mod iterations;
pub mod kv_events;
pub mod ladder;
pub mod log_histogram;
mod lost;
pub mod measure;
pub mod measurement_windows;
mod mixture;
pub mod observed;
pub mod over_time;
pub mod per_request;
pub mod percentile;
pub mod plot_samples;
pub mod point_records;
pub mod pooled;
pub mod rates;
pub mod repeats;
pub mod roofline;
pub mod saturation;
pub mod search;
pub mod sides;
mod spans;
pub mod stages;
pub mod summarise;
pub mod summary;
pub mod threshold;
pub mod trend;
pub mod validity;
pub mod withheld;

pub use definition::{Definition, Quantity, Rate};
pub use facts::{RunFacts, TargetFacts};
pub use per_request::Derived;
pub use percentile::Percentile;
pub use summarise::{summarise, summarise_observed};
pub use summary::Summary;

#[cfg(test)]
mod coverage;
#[cfg(test)]
mod worked;
