//! Parquet, in a build without it: refused with the command that builds it.

use std::fs;
use std::process::Command;

use crate::support::left_behind::words;

#[test]
fn a_build_without_parquet_refuses_it_with_the_command_that_builds_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let named = folder.path().join("a.parquet");
    fs::write(&named, "no matter what").expect("a file");
    let unnamed = folder.path().join("b.json");
    fs::write(&unnamed, "PAR1 and more").expect("a file");
    let out = folder.path().join("runs");
    for asked in [
        vec!["--workload".to_owned(), format!("parquet:{}", named.display())],
        vec!["--workload".to_owned(), format!("openorca:{}", named.display())],
        vec!["--workload".to_owned(), format!("jsonl:{}", unnamed.display())],
        vec!["--export".to_owned(), "parquet".to_owned()],
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bareflight"));
        command.args(["run", "--target", "sim:null", "--quiet", "--out"]).arg(&out).args(&asked);
        let output = command.env("CI", "1").output().expect("the binary runs");
        let message = words(&output.stderr);
        assert!(matches!(output.status.code(), Some(2 | 3)), "{asked:?}: {message}");
        assert!(message.contains("--features parquet"), "{asked:?}: {message}");
    }
    assert!(!out.exists(), "nothing was sent");
}
