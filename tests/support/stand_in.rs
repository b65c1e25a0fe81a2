//! An engine directory whose profile stands in for the engine: what `trtllm:` is given where the library is simulated.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// For so many tensor-parallel ranks; the name of its target.
pub fn target(out: &TempDir, profile: &str, tensor_parallel: u32) -> String {
    format!("trtllm:{}", engine(out, "engine", profile, tensor_parallel, 0).display())
}

/// A directory of this name, built to verify so many drafts from outside.
pub fn engine(
    out: &TempDir,
    name: &str,
    profile: &str,
    tensor_parallel: u32,
    drafts: u32,
) -> PathBuf {
    let folder = out.path().join(name);
    fs::create_dir_all(&folder).expect("made");
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/engine_directories/llama3-8b-fp8-tp1/config.json");
    let text = fs::read_to_string(fixture).expect("a fixture");
    let mut config: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    config["simulated_profile"] = profile.into();
    config["pretrained_config"]["mapping"]["tp_size"] = tensor_parallel.into();
    config["pretrained_config"]["mapping"]["world_size"] = tensor_parallel.into();
    if drafts > 0 {
        config["build_config"]["max_draft_len"] = drafts.into();
        config["build_config"]["speculative_decoding_mode"] = 2.into();
    }
    fs::write(folder.join("config.json"), config.to_string()).expect("written");
    folder
}
