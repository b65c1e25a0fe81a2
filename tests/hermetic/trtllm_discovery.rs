//! Discovery of TensorRT-LLM: found where it lies, and everything that is missing named at once. The build's own search, on
//! folders made here.

use std::fs;
use std::path::{Path, PathBuf};

#[path = "../../build/installation.rs"]
mod installation;
#[path = "../../build/library.rs"]
mod library;
#[path = "../../build/library_version.rs"]
mod library_version;
#[path = "../../build/version.rs"]
mod version;

use installation::{Installation, LIBRARY, Machine, PLUGINS, find};
use library::{Executor, executor_among, executor_of};
use tempfile::TempDir;

fn write(folder: &Path, file: &str, text: &str) {
    let path = folder.join(file);
    fs::create_dir_all(path.parent().expect("a file lies in a folder")).expect("made");
    fs::write(path, text).expect("written");
}

fn libraries(folder: &Path) {
    write(folder, LIBRARY, "");
    write(folder, PLUGINS, "");
}

fn headers(include: &Path) {
    write(include, "tensorrt_llm/executor/executor.h", "");
    write(include, "tensorrt_llm/executor/types.h", "#include <cuda_fp16.h>\n");
}

fn versioned(include: &Path, version: &str) {
    let text = format!("static auto constexpr kTensorRtLlmVersion = \"{version}\";\n");
    write(include, "tensorrt_llm/executor/version.h", &text);
}

/// A machine with CUDA and nothing else.
fn machine(folder: &TempDir) -> Machine {
    write(folder.path(), "cuda/include/cuda_fp16.h", "");
    Machine {
        container: folder.path().join("app/tensorrt_llm"),
        cuda: vec![folder.path().join("cuda/include")],
        ..Machine::default()
    }
}

/// What is said of a machine on which something is missing.
fn missing(machine: &Machine) -> String {
    find(machine).expect_err("something is missing").to_string()
}

#[test]
fn without_any_installation_one_message_names_every_place_and_the_remedy() {
    let folder = tempfile::tempdir().expect("a folder");
    let message = missing(&machine(&folder));
    for named in [
        "TRTLLM_ROOT: not set",
        "app/tensorrt_llm: no such folder",
        "python3",
        "Remedy",
        "TRTLLM_INCLUDE",
    ] {
        assert!(message.contains(named), "{named} is missing: {message}");
    }
}

#[test]
fn a_named_root_is_the_only_place_that_is_looked_at() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut machine = machine(&folder);
    libraries(&machine.container.join("lib"));
    machine.root = Some(folder.path().join("elsewhere"));
    let message = missing(&machine);
    assert!(
        message.contains("TRTLLM_ROOT") && message.contains("elsewhere: no such folder"),
        "{message}"
    );
    assert!(!message.contains("app/tensorrt_llm"), "{message}");
}

#[test]
fn the_container_is_found_with_the_version_of_its_generated_header() {
    let folder = tempfile::tempdir().expect("a folder");
    let machine = machine(&folder);
    let root = machine.container.clone();
    libraries(&root.join("lib"));
    headers(&root.join("include"));
    versioned(&root.join("include"), "1.2.1");
    let expected = Installation {
        include: root.join("include"),
        libraries: root.join("lib"),
        cuda: Some(folder.path().join("cuda/include")),
        version: "1.2.1".into(),
    };
    assert_eq!(find(&machine), Ok(expected));
}

/// The Python package beside a source tree.
fn wheel_and_source(folder: &TempDir, wheel_version: &str, source_version: &str) -> Machine {
    let wheel = folder.path().join("site-packages/tensorrt_llm");
    libraries(&wheel.join("libs"));
    write(&wheel, "version.py", &format!("__version__ = \"{wheel_version}\"\n"));
    let source = folder.path().join("source");
    headers(&source.join("cpp/include"));
    write(&source, "tensorrt_llm/version.py", &format!("__version__ = \"{source_version}\"\n"));
    Machine { wheel: Some(wheel), include: Some(source.join("cpp/include")), ..machine(folder) }
}

#[test]
fn a_wheel_and_the_headers_of_its_source_tree_belong_together_when_their_versions_do() {
    let folder = tempfile::tempdir().expect("a folder");
    let found = find(&wheel_and_source(&folder, "1.2.1", "1.2.1")).expect("both are there");
    assert_eq!(found.version, "1.2.1");
    let message = missing(&wheel_and_source(&folder, "1.2.1", "1.1.0"));
    assert!(
        message.contains("1.2.1") && message.contains("1.1.0"),
        "both versions are named: {message}"
    );
}

#[test]
fn a_wheel_alone_has_no_headers_and_the_message_says_where_to_get_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let message =
        missing(&Machine { include: None, ..wheel_and_source(&folder, "1.2.1", "1.2.1") });
    assert!(
        message.contains("headers were not") && message.contains("TRTLLM_INCLUDE: not set"),
        "{message}"
    );
}

/// NVIDIA's image: headers without `version.h`, and a link to the libraries of the Python package.
fn image(folder: &TempDir) -> Machine {
    let machine = machine(folder);
    headers(&machine.container.join("include"));
    let package = folder.path().join("dist-packages/tensorrt_llm");
    libraries(&package.join("libs"));
    let link = machine.container.join("lib");
    std::os::unix::fs::symlink(package.join("libs"), link).expect("linked");
    Machine { wheel: Some(package), ..machine }
}

fn version_of(machine: &Machine) -> String {
    find(machine).expect("all is there").version
}

#[test]
fn in_the_image_the_package_around_the_libraries_says_the_version() {
    let folder = tempfile::tempdir().expect("a folder");
    let image = image(&folder);
    write(folder.path(), "dist-packages/tensorrt_llm/version.py", "# c\n__version__ = '1.2.1'\n");
    let of_image = Machine { image_version: Some("1.1.0".into()), ..image };
    assert_eq!(version_of(&of_image), "1.2.1");
    versioned(&of_image.container.join("include"), "1.2.1rc1");
    let message = missing(&of_image);
    assert!(message.contains("1.2.1rc1"), "the header is believed before the package: {message}");
}

#[test]
fn a_version_is_found_however_python_spells_its_assignment() {
    for text in [
        "# __version__ is written by the release script\n__version__ = \"1.2.0rc2\"\n",
        "__all__ = [\"__version__\"]\n__version__: Final[str] = '1.2.0rc2'  # keep\n",
        "__version__ = version = \"1.2.0rc2\"\n",
        "__version__ = (\n    \"1.2.0rc2\"\n)\n",
        "if __version__ == \"0\":\n    pass\n__version__=\"v1.2.0rc2\"\n",
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        let image = image(&folder);
        write(folder.path(), "dist-packages/tensorrt_llm/version.py", text);
        assert_eq!(version_of(&image), "1.2.0rc2", "{text}");
    }
}

#[test]
fn what_is_no_version_is_passed_over_and_told_if_nothing_else_says_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let unfilled = Machine { image_version: Some("jenkinsBuildVersion".into()), ..image(&folder) };
    versioned(&unfilled.container.join("include"), "@TRTLLM_VERSION@");
    let parts = "__version__ = \".\".join(str(part) for part in PARTS)\n";
    write(folder.path(), "dist-packages/tensorrt_llm/version.py", parts);
    let message = missing(&unfilled);
    for named in [
        "version.h: says `@TRTLLM_VERSION@`, which is no version",
        "TRT_LLM_VERSION: says `jenkinsBuildVersion`, which is no version",
        "Remedy: set TRTLLM_VERSION",
    ] {
        assert!(message.contains(named), "{named} is missing: {message}");
    }
    write(folder.path(), "dist-packages/tensorrt_llm-1.3.0a1.dist-info/METADATA", "");
    assert_eq!(version_of(&unfilled), "1.3.0a1");
}

#[test]
fn a_label_of_the_build_is_no_other_version() {
    let folder = tempfile::tempdir().expect("a folder");
    let image = image(&folder);
    versioned(&image.container.join("include"), "1.2.1");
    write(
        folder.path(),
        "dist-packages/tensorrt_llm/version.py",
        "__version__ = \"1.2.1+cu130\"\n",
    );
    assert_eq!(
        version_of(&Machine { version: Some("v1.2.1+here".into()), ..image.clone() }),
        "1.2.1"
    );
    write(folder.path(), "dist-packages/tensorrt_llm/version.py", "__version__ = \"1.2.1rc1\"\n");
    assert!(missing(&image).contains("different versions"));
}

#[test]
fn a_version_that_is_set_by_hand_and_is_none_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let image = image(&folder);
    versioned(&image.container.join("include"), "1.2.1");
    let message = missing(&Machine { version: Some("latest".into()), ..image });
    assert!(message.contains("TRTLLM_VERSION: says `latest`, which is no version"), "{message}");
}

#[test]
fn what_the_installer_of_the_package_noted_is_the_next_source() {
    let folder = tempfile::tempdir().expect("a folder");
    let image = image(&folder);
    write(folder.path(), "dist-packages/tensorrt_llm-1.2.0.dist-info/METADATA", "");
    assert_eq!(version_of(&image), "1.2.0");
}

#[test]
fn an_installed_package_says_the_version_of_libraries_that_lie_elsewhere() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut machine = machine(&folder);
    headers(&machine.container.join("include"));
    libraries(&machine.container.join("lib"));
    let package = folder.path().join("dist-packages/tensorrt_llm");
    write(&package, "version.py", "__version__ = \"1.2.2\"\n");
    machine.wheel = Some(package);
    assert_eq!(version_of(&machine), "1.2.2");
}

#[test]
fn then_the_variable_of_the_image_and_the_one_that_is_set_by_hand() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut machine = image(&folder);
    machine.version = Some("1.2.0".into());
    assert_eq!(version_of(&machine), "1.2.0");
    machine.image_version = Some("1.2.0".into());
    assert_eq!(version_of(&machine), "1.2.0");
    machine.image_version = Some("1.2.1".into());
    let message = missing(&machine);
    for named in ["TRTLLM_VERSION: 1.2.0", "TRT_LLM_VERSION: 1.2.1", "unset TRTLLM_VERSION"] {
        assert!(message.contains(named), "{named} is missing: {message}");
    }
}

/// A library with the function `version()`.
fn compiled(library: &Path, optimised: &str) {
    let source = "namespace tensorrt_llm::executor { char const* version() noexcept { return \"1.2.3rc4\"; } }";
    let from = library.with_extension("cc");
    fs::write(&from, source).expect("written");
    let done = std::process::Command::new("g++")
        .args(["-shared", "-fPIC", optimised])
        .arg(&from)
        .arg("-o")
        .arg(library)
        .status();
    assert!(done.expect("`g++` is needed for this test").success());
}

#[test]
fn the_library_itself_is_the_last_source_and_is_not_loaded() {
    for optimised in ["-O0", "-O2", "-fcf-protection=full"] {
        let folder = tempfile::tempdir().expect("a folder");
        let image = image(&folder);
        compiled(&image.container.join("lib").join(LIBRARY), optimised);
        assert_eq!(version_of(&image), "1.2.3rc4", "{optimised}");
    }
}

#[test]
fn where_nothing_says_the_version_one_message_names_all_that_was_looked_at() {
    let folder = tempfile::tempdir().expect("a folder");
    let message = missing(&Machine { wheel: None, ..image(&folder) });
    for named in [
        "include/tensorrt_llm/executor/version.h: no such file",
        "dist-packages/tensorrt_llm/version.py: no such file",
        "tensorrt_llm-VERSION.dist-info: no such folder",
        "python3",
        "TRT_LLM_VERSION: not set",
        "TRTLLM_VERSION: not set",
        "its function `version()`: not a 64-bit ELF library",
        "Remedy: set TRTLLM_VERSION",
    ] {
        assert!(message.contains(named), "{named} is missing: {message}");
    }
}

#[test]
fn cudas_headers_are_looked_for_where_the_headers_want_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut machine = machine(&folder);
    let root = machine.container.clone();
    libraries(&root.join("lib"));
    headers(&root.join("include"));
    versioned(&root.join("include"), "1.2.1");
    machine.cuda = vec![PathBuf::from("/nowhere/include")];
    let message = missing(&machine);
    assert!(
        message.contains("/nowhere/include: no cuda_fp16.h") && message.contains("CUDA_HOME"),
        "{message}"
    );
    write(&root.join("include"), "tensorrt_llm/executor/types.h", "");
    assert_eq!(find(&machine).expect("not wanted").cuda, None);
}

#[test]
fn the_plugins_must_lie_beside_the_library() {
    let folder = tempfile::tempdir().expect("a folder");
    let machine = machine(&folder);
    write(&machine.container, &format!("lib/{LIBRARY}"), "");
    assert!(missing(&machine).contains(PLUGINS));
}

#[test]
fn the_abi_is_read_from_the_constructor_that_takes_a_path() {
    let name = |path: &str| {
        format!(
            "00 T _ZN12tensorrt_llm8executor8ExecutorC1ERKNSt10filesystem{path}ENS0_9ModelTypeE\n"
        )
    };
    let other = "00 T _ZN12tensorrt_llm8executor8ExecutorC1EOS1_\n";
    assert_eq!(executor_among(&format!("{other}{}", name("7__cxx114path"))), Executor::Cxx11);
    assert_eq!(executor_among(&format!("{other}{}", name("4path"))), Executor::OldAbi);
    assert_eq!(executor_among("00 T _ZN12tensorrt_llm8executor7versionEv\n"), Executor::None);
}

#[test]
fn a_file_that_is_no_library_is_refused_in_the_words_of_nm() {
    let folder = tempfile::tempdir().expect("a folder");
    write(folder.path(), LIBRARY, "version https://git-lfs.github.com/spec/v1\n");
    let message = executor_of(&folder.path().join(LIBRARY)).expect_err("it is text");
    assert!(message.contains(LIBRARY), "{message}");
}
