//! Would this engine load here? Its configuration against the library, the ranks and the GPUs; nothing is loaded.

use std::path::Path;

use crate::doctor::finding::{Area, Finding, Look};
use crate::observe::gpu::state::GpuState;
use crate::target::engine_directory::{Asked, EngineDirectory, EngineDirectoryError, Severity};
use crate::target::settings::EngineSettings;

/// Weights, and next to them what the runtime and its activations take at least.
const BESIDE_WEIGHTS: u64 = 2 << 30;

/// What was found of an engine and of what it would run on.
#[derive(Debug)]
pub struct EngineFacts {
    /// The directory, or why it cannot be read.
    pub directory: Result<EngineDirectory, EngineDirectoryError>,
    /// Version of the library that would load it.
    pub library_version: Option<String>,
    /// Ranks that a launcher has started.
    pub ranks: Option<u32>,
    /// GPUs of this machine.
    pub gpus: Vec<GpuState>,
}

impl EngineFacts {
    /// Reads the directory.
    pub fn gather(
        path: &Path,
        library_version: Option<String>,
        ranks: Option<u32>,
        gpus: Vec<GpuState>,
    ) -> Self {
        Self { directory: EngineDirectory::read(path), library_version, ranks, gpus }
    }

    /// Ranks that it was built for.
    pub fn built_ranks(&self) -> Option<u32> {
        self.directory.as_ref().ok().map(|directory| directory.config.mapping.world_size())
    }
}

/// Everything about the engine.
pub fn findings(facts: &EngineFacts) -> Vec<Finding> {
    let look = Look {
        area: Area::Engine,
        id: "engine",
        why: "an engine runs on the TensorRT-LLM version, the number of ranks and the GPU architecture it was built for",
    };
    let directory = match &facts.directory {
        Ok(directory) => directory,
        Err(error) => {
            return vec![look.fail(error.to_string(), "trtllm-build --output_dir ENGINE_DIR …")];
        }
    };
    let settings = EngineSettings::default();
    let asked = Asked {
        ranks: facts.ranks,
        library_version: facts.library_version.as_deref(),
        ..Asked::settings(&settings)
    };
    let mut all: Vec<Finding> = directory
        .check(&asked)
        .into_iter()
        .map(|finding| match finding.severity {
            Severity::Warn => look.warn(finding.sentence, finding.remedy),
            Severity::Refuse => look.fail(finding.sentence, finding.remedy),
        })
        .collect();
    if all.is_empty() {
        all.push(look.pass(described(directory, facts.library_version.as_deref())));
    }
    all.extend([gpu_count(directory, &facts.gpus), memory(directory, &facts.gpus), architecture()]);
    all
}

fn described(directory: &EngineDirectory, library: Option<&str>) -> String {
    let config = &directory.config;
    let built = config.version.as_deref().unwrap_or("an unknown version");
    let against = match library {
        Some(library) => format!("as the library ({library})"),
        None => "and no library is here to hold that against".to_owned(),
    };
    format!(
        "{} {}, built with TensorRT-LLM {built}, {against}",
        config.model.architecture,
        config.model.dtype.word()
    )
}

fn gpu_count(directory: &EngineDirectory, gpus: &[GpuState]) -> Finding {
    let look = Look {
        area: Area::Engine,
        id: "gpus_for_ranks",
        why: "each rank of the engine takes a GPU of its own",
    };
    let ranks = directory.config.mapping.world_size();
    let words = format!("the engine has {ranks} ranks, and {} GPUs are here", gpus.len());
    match gpus.len() {
        0 => look.skip("no GPU here: not checked"),
        here if (here as u32) < ranks => look.fail(
            words,
            format!("trtllm-build … --tp_size {here}  (or run on {ranks} GPUs: `docker run --gpus all …`)"),
        ),
        _ => look.pass(words),
    }
}

fn memory(directory: &EngineDirectory, gpus: &[GpuState]) -> Finding {
    let look = Look {
        area: Area::Engine,
        id: "memory_plan",
        why: "the KV cache gets 90 % of what the engine leaves free; with little left, few requests run at once",
    };
    let free = gpus.iter().filter_map(|gpu| gpu.memory_free_bytes).min();
    let largest = directory.files.ranks.iter().filter_map(|rank| rank.bytes).max();
    let Some((free, needed)) = free.zip(largest.map(|bytes| bytes + BESIDE_WEIGHTS)) else {
        return look
            .skip("no GPU, or no file of the engine, to hold against the other: not checked");
    };
    let gib = |bytes: u64| bytes as f64 / (1_u64 << 30) as f64;
    let words = format!(
        "the largest rank wants {:.1} GiB or more, and {:.1} GiB are free on the fullest GPU",
        gib(needed),
        gib(free)
    );
    if free < needed {
        return look.fail(
            words,
            "nvidia-smi  (stop what holds the memory, or build for more GPUs with --tp_size)",
        );
    }
    if free - needed < needed / 4 {
        return look.warn(
            words,
            "build with quantised weights (`--qformat fp8`), or for more GPUs with --tp_size",
        );
    }
    look.pass(words)
}

/// The configuration does not say it, so this is told and never guessed.
fn architecture() -> Finding {
    let look = Look {
        area: Area::Engine,
        id: "architecture",
        why: "an engine built on one GPU architecture does not load on another",
    };
    look.skip("an engine does not say for which GPU it was built: loading it is the test")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::Status;
    use std::fs;

    /// An engine of two ranks, each of three bytes.
    fn engine() -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        let config = serde_json::json!({
            "version": "1.2.1",
            "pretrained_config": {
                "architecture": "LlamaForCausalLM", "dtype": "bfloat16", "vocab_size": 128_256,
                "hidden_size": 4_096, "num_hidden_layers": 32, "num_attention_heads": 32,
                "num_key_value_heads": 8, "head_size": 128,
                "mapping": {"world_size": 2, "tp_size": 2, "pp_size": 1},
                "quantization": {"quant_algo": null, "kv_cache_quant_algo": null},
            },
            "build_config": {
                "max_input_len": 1_024, "max_seq_len": 2_048, "max_batch_size": 8,
                "max_num_tokens": 8_192, "max_beam_width": 1,
                "plugin_config": {
                    "gpt_attention_plugin": "auto", "remove_input_padding": true,
                    "paged_kv_cache": true, "tokens_per_block": 32,
                    "context_fmha": true, "use_paged_context_fmha": true,
                },
            },
        });
        fs::write(folder.path().join("config.json"), config.to_string()).expect("written");
        for rank in 0..2 {
            fs::write(folder.path().join(format!("rank{rank}.engine")), "abc").expect("written");
        }
        folder
    }

    fn told(version: Option<&str>, ranks: Option<u32>) -> Vec<(&'static str, Status)> {
        let folder = engine();
        let facts =
            EngineFacts::gather(folder.path(), version.map(str::to_owned), ranks, Vec::new());
        assert_eq!(facts.built_ranks(), Some(2), "{:?}", facts.directory);
        findings(&facts).into_iter().map(|finding| (finding.id, finding.status)).collect()
    }

    #[test]
    fn an_engine_of_the_librarys_own_version_passes_and_another_fails() {
        assert_eq!(told(Some("1.2.1"), Some(2))[0], ("engine", Status::Pass));
        assert_eq!(told(Some("1.1.0"), Some(2))[0], ("engine", Status::Fail));
        assert_eq!(told(Some("1.2.1"), Some(1))[0], ("engine", Status::Fail));
    }

    #[test]
    fn without_a_gpu_nothing_is_said_of_gpus() {
        let rest = &told(None, None)[1..];
        let skipped =
            ["gpus_for_ranks", "memory_plan", "architecture"].map(|id| (id, Status::Skip));
        assert_eq!(rest, skipped);
    }

    #[test]
    fn a_directory_that_holds_no_engine_fails_by_name() {
        let facts = EngineFacts::gather(Path::new("no/such/engine"), None, None, Vec::new());
        let found = findings(&facts);
        assert_eq!((found.len(), found[0].status), (1, Status::Fail));
        assert!(found[0].sentence.contains("no/such/engine"));
    }
}
