//! The server's own metrics beside a run: scraped as Prometheus text, normalised, summarised over the window.

pub mod exposition;
pub mod names;
pub mod over_window;
pub mod places;
pub mod scraper;
