//! Check of an engine in Python: its adapter, and the library that the adapter drives.

use crate::doctor::check_result::{Area, Check, CheckResult};
use crate::targets::python::{adapter_of, host_or_remedy};

const CHECK: Check = Check {
    area: Area::Engine,
    id: "python_engine",
    why: "an adapter drives a library beneath its public classes, where names move from version to version",
};
const REMEDY: &str =
    "install a version of the library that the adapter knows (docs/PYTHON_ENGINES.md)";

/// What the adapter of a target says; nothing where the target has none.
pub fn check_results(target: &str) -> Vec<CheckResult> {
    let Some(adapter) = adapter_of(target) else { return Vec::new() };
    let adapter = match adapter {
        Ok(adapter) => adapter,
        Err(reason) => return vec![CHECK.fail(reason, "write the target as `run` takes it")],
    };
    let host = match host_or_remedy() {
        Ok(host) => host,
        Err(remedy) => {
            return vec![CHECK.fail(format!("`{target}` is not in this program"), remedy)];
        }
    };
    match host.examine(&adapter.module) {
        Err(reason) => vec![CHECK.fail(reason, REMEDY)],
        Ok(findings) if findings.is_empty() => {
            vec![CHECK.skip(format!("`{}` examines nothing", adapter.module))]
        }
        Ok(findings) => {
            findings.into_iter().map(|(status, words)| finding(&status, words)).collect()
        }
    }
}

fn finding(status: &str, words: String) -> CheckResult {
    match status {
        "ok" => CHECK.pass(words),
        "warn" => CHECK.warn(words, REMEDY),
        _ => CHECK.fail(words, REMEDY),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::check_result::Status;

    #[test]
    fn the_plain_program_has_no_engine_in_python_and_says_what_has() {
        let found = check_results("vllm:/models/tiny");
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].status, Status::Fail);
        assert!(found[0].remedy.as_deref().is_some_and(|it| it.contains("pip install")));
        assert!(check_results("local:dummy-nano").is_empty());
    }
}
