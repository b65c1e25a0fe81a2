//! WHAT it means: pure functions of records, and one definition for each number.

pub mod definition;
pub mod facts;
pub mod percentile;
pub mod slo;
pub mod summary;

pub use definition::{Definition, Quantity, Rate};
pub use facts::{RunFacts, TargetFacts, Window};
pub use percentile::Percentile;
pub use slo::{Slo, SloMetric, Slos};
pub use summary::Summary;
