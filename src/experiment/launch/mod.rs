//! Launch of a server that is then measured: command line, guard, readiness, and its end.

mod echo;
pub mod guard;
mod guarded;
mod last_lines;
pub mod places;
pub mod preset;
mod program;
mod readiness;
pub mod server;
mod version;
pub mod words;
