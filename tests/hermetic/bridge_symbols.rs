//! Link symbols: what the engine needs of TensorRT-LLM 1.2 and what our library defines, held against a list.
//!
//! `needed_symbols.txt` holds the mangled names that a wrapper compiled against TensorRT-LLM's own headers of that
//! release needed. `documented_symbols.txt` holds those that follow from the documented signatures of the same API and
//! that no such wrapper has needed yet. `needed_plugin_symbols.txt` is what is needed of the plugin library. A mangled name spells out the parameter list, so equal names are equal
//! signatures.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const NEEDED: &str = include_str!("../needed_symbols.txt");
const OF_PLUGINS: &str = include_str!("../needed_plugin_symbols.txt");
const DOCUMENTED: &str = include_str!("../documented_symbols.txt");

fn listed() -> BTreeSet<&'static str> {
    NEEDED.split_whitespace().chain(DOCUMENTED.split_whitespace()).collect()
}

fn scratch(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bridge_symbols").join(name);
    std::fs::create_dir_all(&folder).expect("the target folder can be written");
    folder
}

/// The package's root under the name `bareflight`, as `#include "bareflight/cpp/engine.h"` wants it.
fn include_root() -> PathBuf {
    let root = scratch("include");
    let link = root.join("bareflight");
    // A target folder that was copied from another checkout has a link to that one.
    let leads_here =
        || std::fs::read_link(&link).is_ok_and(|it| it == Path::new(env!("CARGO_MANIFEST_DIR")));
    if !leads_here() {
        // Two tests may get here at once: a link takes the other's place whole.
        let fresh = root.join(format!("fresh-{:?}", std::thread::current().id()));
        let _left_over = std::fs::remove_file(&fresh);
        std::os::unix::fs::symlink(env!("CARGO_MANIFEST_DIR"), &fresh).expect("linked");
        std::fs::rename(&fresh, &link).expect("it takes the place");
    }
    root
}

/// Compiles without the macro that renames the namespace, as for the real library.
fn compile(source: &Path, object: &Path) -> Output {
    Command::new(std::env::var("CXX").unwrap_or_else(|_| "g++".into()))
        .args(["-std=c++17", "-Wall", "-Wextra", "-DBAREFLIGHT_HEADERS_VERSION=\"1.2\"", "-c"])
        .arg("-I")
        .arg(include_root())
        .arg("-I")
        .arg(env!("BAREFLIGHT_CXX_INCLUDE"))
        .arg("-I")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("cpp/simulated/include"))
        .arg(source)
        .arg("-o")
        .arg(object)
        .output()
        .expect("a C++ compiler (`$CXX` or `g++`) is needed for this test")
}

/// Names of `nm` with `flag`, of `object`.
fn symbols(flag: &str, object: &Path) -> BTreeSet<String> {
    let output =
        Command::new("nm").arg(flag).arg(object).output().expect("`nm` is needed for this test");
    assert!(output.status.success(), "nm {flag} {} failed", object.display());
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| line.split_whitespace().last().map(str::to_owned))
        .collect()
}

fn compiled(folder: &str, sources: &[PathBuf]) -> Vec<PathBuf> {
    let folder = scratch(folder);
    sources
        .iter()
        .map(|source| {
            let stem = source.file_stem().expect("a source has a name").to_string_lossy();
            let object = folder.join(format!("{stem}.o"));
            let output = compile(source, &object);
            let message = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{} does not compile:\n{message}", source.display());
            assert!(message.is_empty(), "{} compiles with warnings:\n{message}", source.display());
            object
        })
        .collect()
}

fn cpp(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("cpp").join(path)
}

fn simulated_sources() -> Vec<PathBuf> {
    let mut sources: Vec<PathBuf> = std::fs::read_dir(cpp("simulated"))
        .expect("the package ships its C++ sources")
        .map(|entry| entry.expect("the folder can be listed").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "cc"))
        .collect();
    sources.sort();
    sources
}

fn is_executor_symbol(name: &str) -> bool {
    name.contains("12tensorrt_llm") || name == "initTrtLlmPlugins"
}

#[test]
fn the_engine_needs_no_symbol_that_tensorrt_llm_1_2_does_not_have() {
    let sources = ["executor_engine.cc", "convert.cc", "library.cc"].map(cpp);
    let objects = compiled("engine", &sources);
    let all = |flag| -> BTreeSet<String> {
        objects.iter().flat_map(|object| symbols(flag, object)).collect()
    };
    // Our own functions carry the library's types in their names.
    let needed: BTreeSet<String> = all("-u").difference(&all("--defined-only")).cloned().collect();
    let needed: BTreeSet<&str> =
        needed.iter().map(String::as_str).filter(|name| is_executor_symbol(name)).collect();
    assert!(
        needed.len() > 30,
        "only {} executor symbols: the check looks at nothing",
        needed.len()
    );
    let known = listed().into_iter().chain(OF_PLUGINS.split_whitespace()).collect();
    let unknown: Vec<_> = needed.difference(&known).copied().collect();
    assert!(unknown.is_empty(), "not in TensorRT-LLM 1.2: {unknown:#?}");
}

/// It has no plugins, and `extern "C"` knows no namespace: a definition would take the real one's place in a program that holds
/// both.
#[test]
fn the_simulated_library_defines_every_listed_symbol_and_none_of_the_plugins() {
    // As one source: most of the time goes into the headers that they share.
    let all = scratch("simulated").join("all.cc");
    let include = |source: &PathBuf| format!("#include \"{}\"\n", source.display());
    std::fs::write(&all, simulated_sources().iter().map(include).collect::<String>())
        .expect("the folder can be written");
    let defined = symbols("--defined-only", &compiled("simulated", &[all])[0]);
    let missing: Vec<_> = listed().into_iter().filter(|name| !defined.contains(*name)).collect();
    assert!(missing.is_empty(), "not defined by the simulated library: {missing:#?}");
    for name in OF_PLUGINS.split_whitespace() {
        assert!(!defined.contains(name), "{name} belongs to the plugin library alone");
    }
}
