//! Revision check between builds: a new git revision alone runs the build script again, without a compiler.

use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};

/// Fingerprint of all files in `folders` and of the compiler's environment variables.
pub fn of(folders: &[&str]) -> String {
    let mut files = Vec::new();
    for folder in folders {
        collect(Path::new(folder), &mut files);
    }
    files.sort();
    let mut hasher = DefaultHasher::new();
    for file in files {
        file.hash(&mut hasher);
        fs::read(&file).unwrap_or_default().hash(&mut hasher);
    }
    for name in ["CXX", "CXXFLAGS", "TARGET", "DEBUG", "CARGO_FEATURE_TRTLLM"] {
        println!("cargo:rerun-if-env-changed={name}");
        std::env::var_os(name).hash(&mut hasher);
    }
    format!("{:016x}", hasher.finish())
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    let entries = fs::read_dir(folder).expect("the package ships its sources");
    for entry in entries {
        let path = entry.expect("the package's folders can be listed").path();
        if path.is_dir() {
            collect(&path, files);
        } else {
            files.push(path);
        }
    }
}
