//! Support of the test suites: servers that misbehave, recorders, fixtures, and what a run left behind.

#![allow(dead_code)] // Each suite uses a part of it.

pub mod contract;
pub mod fault_server;
pub mod launches;
pub mod left_behind;
pub mod made_up;
#[cfg(feature = "upload")]
pub mod object_server;
pub mod python_stand_in;
pub mod report_fixture;
pub mod serve_process;
pub mod served_run;
pub mod stand_in;
pub mod triton_fault_server;
pub mod watch;

/// Where nobody listens, ever: a port that was merely freed may be another test's by the time that it is asked, and this one is
/// given to nobody who asks for any.
pub const NOBODY: &str = "127.0.0.1:1";
