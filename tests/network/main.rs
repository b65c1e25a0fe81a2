//! Network suite: real servers and clients, from Python packages of the package index, and pages in a real browser.
//!
//! What is missing fails a test. With `BAREFLIGHT_SKIP_NETWORK=1` each test is ignored by name in the runner's count; this
//! is decided when the suite runs, so that nothing is built anew for it. Programs that are too large to be fetched are named by
//! variables, and their tests ignored without them (`launch_presets.rs`).

#[path = "../support/mod.rs"]
mod support;

/// Lists the tests of a module. One that is left out is never used, and a lint says so.
macro_rules! tests {
    ($($test:ident),+ $(,)?) => {
        pub const TESTS: &[(&str, fn())] =
            &[$((concat!(module_path!(), "::", stringify!($test)), $test)),+];
    };
}

mod browser;
mod export_readers;
mod launch;
mod launch_presets;
mod llamacpp_workloads;
mod openai_server;
mod peers;
mod python;
mod serve_clients;
mod triton;
mod triton_core;
mod triton_server;

use libtest_mimic::{Arguments, Trial};

const SKIP: &str = "BAREFLIGHT_SKIP_NETWORK";

fn main() {
    if let Some(test) = std::env::var_os(triton_core::IN_CHILD) {
        return triton_core::child::run(&test.to_string_lossy());
    }
    let skipped = std::env::var_os(SKIP).is_some_and(|value| value == "1");
    let all = [
        browser::TESTS,
        export_readers::TESTS,
        launch::TESTS,
        launch_presets::TESTS,
        llamacpp_workloads::TESTS,
        openai_server::TESTS,
        peers::TESTS,
        serve_clients::TESTS,
        triton_core::TESTS,
        triton_server::TESTS,
    ];
    let trials = all.concat().into_iter().map(|(name, test)| {
        let ignored = skipped || !launch_presets::is_possible(name);
        let name = name.trim_start_matches("network::");
        Trial::test(name, move || {
            test();
            Ok(())
        })
        .with_ignored_flag(ignored)
    });
    libtest_mimic::run(&Arguments::from_args(), trials.collect()).exit();
}
