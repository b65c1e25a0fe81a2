//! Git revision of the build, written into every manifest; a build from a tarball says `unknown`.

use std::path::Path;
use std::process::Command;

/// Hands the revision to the program.
pub fn stamp() {
    let revision = git(&["rev-parse", "--short=12", "HEAD"]).unwrap_or_else(|| "unknown".into());
    let dirty = git(&["status", "--porcelain"]).is_some_and(|changes| !changes.is_empty());
    let mark = if dirty { "-dirty" } else { "" };
    println!("cargo:rustc-env=BAREFLIGHT_REVISION={revision}{mark}");
    if Path::new(".git/HEAD").exists() {
        println!("cargo:rerun-if-changed=.git/HEAD");
        println!("cargo:rerun-if-changed=.git/index");
    }
}

fn git(arguments: &[&str]) -> Option<String> {
    // `status` would write the index again, which is watched: the next build would compile everything of ours once more.
    let output = Command::new("git").arg("--no-optional-locks").args(arguments).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
