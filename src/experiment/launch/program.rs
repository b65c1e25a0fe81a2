//! Search for the program of a command line.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Where a program is; `path` is the variable `PATH` that counts for it.
pub fn find(program: &str, path: Option<&str>) -> Option<PathBuf> {
    if program.contains('/') {
        return Some(PathBuf::from(program)).filter(|path| is_program(path));
    }
    let path = match path {
        Some(path) => path.into(),
        None => std::env::var_os("PATH")?,
    };
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|path| is_program(path))
}

fn is_program(path: &Path) -> bool {
    path.metadata().is_ok_and(|it| it.is_file() && it.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_found_in_the_path_that_counts_for_it() {
        assert!(find("sh", None).is_some());
        assert_eq!(find("sh", Some("/nowhere")), None);
        assert_eq!(find("/bin/sh", Some("/nowhere")), Some("/bin/sh".into()));
        assert_eq!(find("/etc/passwd", None), None, "it cannot be run");
        assert_eq!(find("no-such-program-at-all", None), None);
    }
}
