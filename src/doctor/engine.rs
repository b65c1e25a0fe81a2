//! Checks of an engine directory against library, ranks and GPUs, without loading it.

use std::path::Path;

use crate::doctor::DoctorOptions;
use crate::doctor::check_result::{Area, Check, CheckResult};
use crate::engine_directory;
use crate::engine_directory::fit::gib;
use crate::engine_directory::memory::{DEFAULT_KV_FRACTION, KvBound};
use crate::engine_directory::{EngineDirectory, EngineDirectoryError, Severity};
use crate::observe::gpu::known::KnownGpus;
use crate::settings::engine::EngineSettings;
use crate::specs::GpuMemory;
use crate::workload::scenario::{Lengths, Scenario};

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
    pub gpus: Option<KnownGpus>,
    /// How much of their memory the KV cache may take.
    pub settings: EngineSettings,
    /// Planned load, where it was given.
    pub load: Option<PlannedLoad>,
}

/// A load in two numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PlannedLoad {
    /// Lengths of its requests.
    pub scenario: Scenario,
    /// Requests in flight.
    pub concurrency: u32,
}

impl EngineFacts {
    /// Reads the directory.
    pub fn gather(
        path: &Path,
        library_version: Option<String>,
        ranks: Option<u32>,
        gpus: Option<KnownGpus>,
        options: &DoctorOptions,
    ) -> Self {
        let settings = EngineSettings {
            kv_fraction: options.kv_fraction,
            kv_tokens: options.kv_tokens,
            ..EngineSettings::default()
        };
        let directory = EngineDirectory::read(path);
        Self { directory, library_version, ranks, gpus, settings, load: options.load }
    }

    /// Ranks that it was built for.
    pub fn built_ranks(&self) -> Option<u32> {
        self.directory.as_ref().ok().map(|directory| directory.config.mapping.world_size())
    }
}

/// Everything about the engine.
pub fn check_results(facts: &EngineFacts) -> Vec<CheckResult> {
    let check = Check {
        area: Area::Engine,
        id: "engine",
        why: "an engine runs on the TensorRT-LLM version, the number of ranks and the GPU architecture it was built for",
    };
    let directory = match &facts.directory {
        Ok(directory) => directory,
        Err(error) => {
            return vec![check.fail(error.to_string(), "trtllm-build --output_dir ENGINE_DIR …")];
        }
    };
    let options = engine_directory::PlannedUse {
        ranks: facts.ranks,
        library_version: facts.library_version.as_deref(),
        ..engine_directory::PlannedUse::settings(&facts.settings)
    };
    let mut all: Vec<CheckResult> = directory
        .check(&options)
        .into_iter()
        .map(|result| match result.severity {
            Severity::Warn => check.warn(result.sentence, result.remedy),
            Severity::Refuse => check.fail(result.sentence, result.remedy),
        })
        .collect();
    if all.is_empty() {
        all.push(check.pass(described(directory, facts.library_version.as_deref())));
    }
    let ranks = directory.config.mapping.world_size();
    let found = facts.gpus.as_ref().and_then(|gpus| gpus.memory_for(ranks));
    let gpus = facts.gpus.as_ref().map_or(0, |known| known.gpus.len());
    all.extend([
        gpu_count(directory, gpus),
        memory(directory, found),
        kv_capacity(directory, facts, found),
    ]);
    all.extend(kv_load(directory, facts, found));
    all.push(architecture());
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

fn gpu_count(directory: &EngineDirectory, gpus: usize) -> CheckResult {
    let check = Check {
        area: Area::Engine,
        id: "gpus_for_ranks",
        why: "each rank of the engine takes a GPU of its own",
    };
    let ranks = directory.config.mapping.world_size();
    let sentence = format!("the engine has {ranks} ranks, and {gpus} GPUs are here");
    match gpus {
        0 => check.skip("no GPU here: not checked"),
        here if (here as u32) < ranks => check.fail(
            sentence,
            format!("trtllm-build … --tp_size {here}  (or run on {ranks} GPUs: `docker run --gpus all …`)"),
        ),
        _ => check.pass(sentence),
    }
}

fn memory(directory: &EngineDirectory, memory: Option<GpuMemory>) -> CheckResult {
    let check = Check {
        area: Area::Engine,
        id: "memory_plan",
        why: "weights that do not fit end a run before it begins, and little beside them leaves no room for requests",
    };
    let weights = directory.weight_bytes(&EngineSettings::default());
    let Some((memory, weights)) = memory.zip(weights) else {
        return check
            .skip("no GPU, or no file of the engine, to hold against the other: not checked");
    };
    let (free, needed) = (memory.free_bytes, weights + BESIDE_WEIGHTS);
    let sentence = format!(
        "the largest rank wants {} or more, and {} of {} are free",
        gib(needed),
        gib(free),
        gib(memory.total_bytes)
    );
    if memory.total_bytes < needed {
        return check
            .fail(sentence, "trtllm-build … --tp_size 2  (or weights in 8 bits: `--qformat fp8`)");
    }
    if free < needed {
        return check.fail(sentence, "nvidia-smi  (stop what holds the memory)");
    }
    if free - needed < needed / 4 {
        return check.warn(
            sentence,
            "build with quantised weights (`--qformat fp8`), or for more GPUs with --tp_size",
        );
    }
    check.pass(sentence)
}

/// How many tokens the cache holds, and for how many requests of the longest sequence that is.
fn kv_capacity(
    directory: &EngineDirectory,
    facts: &EngineFacts,
    memory: Option<GpuMemory>,
) -> CheckResult {
    let check = Check {
        area: Area::Engine,
        id: "kv_room",
        why: "the KV cache gets a share of what the engine leaves free, and bounds how many requests run at once",
    };
    let Some(room) = directory.kv_capacity(&facts.settings, memory) else {
        return check.skip(
            "no GPU, no file of the engine, or a model of a shape that is not known: not checked",
        );
    };
    let limits = &directory.config.limits;
    let share = facts.settings.kv_fraction.unwrap_or(DEFAULT_KV_FRACTION) * 100.0;
    let per_token = match room.bound {
        KvBound::Memory { bytes_per_token, .. } => {
            format!(
                " at {:.1} KiB in {share:.0} % of what the weights leave",
                bytes_per_token / 1_024.0
            )
        }
        KvBound::Setting => " as `--kv-tokens` says".to_owned(),
    };
    let sentence = format!("room for {} tokens at most{per_token}", room.tokens);
    let longest = u64::from(limits.max_seq_len);
    if room.tokens < longest {
        return check.warn(
            format!("{sentence}: less than one sequence of the {longest} tokens that the engine was built for, which it then shortens"),
            "trtllm-build … --max_seq_len N  (or a cache in 8 bits: `--kv_cache_dtype fp8`, or more GPUs: `--tp_size`)",
        );
    }
    check.pass(format!(
        "{sentence}: {} requests of its longest sequence ({longest} tokens), and a batch is {}",
        room.tokens / longest,
        limits.max_batch_size
    ))
}

/// What the load that is planned needs of it.
fn kv_load(
    directory: &EngineDirectory,
    facts: &EngineFacts,
    memory: Option<GpuMemory>,
) -> Option<CheckResult> {
    let load = facts.load?;
    let check = Check {
        area: Area::Engine,
        id: "kv_load",
        why: "requests that find no room in the KV cache wait or are computed again, which their latencies count",
    };
    let Lengths { input, output } = load.scenario.mean();
    let batch = directory.config.limits.max_batch_size * directory.config.mapping.pipeline;
    let in_flight = load.concurrency.min(batch);
    let each = directory.kv_of_request(&facts.settings, input, output);
    let room = directory.kv_capacity(&facts.settings, memory);
    let Some((room, each)) = room.zip(each) else {
        return Some(check.skip("how much the KV cache holds is not known: not checked"));
    };
    let needed = each * u64::from(in_flight);
    let sentence = format!(
        "{in_flight} requests of {input} + {output} tokens take {needed} tokens of KV cache, which holds {} at most",
        room.tokens
    );
    Some(if each > room.tokens {
        check
            .fail(sentence, "give shorter lengths, or build with --kv_cache_dtype fp8 or --tp_size")
    } else if needed > room.tokens {
        let fit = room.tokens / each;
        check.warn(
            sentence,
            format!("bareflight run … --concurrency {fit}  (or raise `--kv-fraction`)"),
        )
    } else {
        check.pass(sentence)
    })
}

/// The configuration does not name it, so it is reported as unknown and never guessed.
fn architecture() -> CheckResult {
    let check = Check {
        area: Area::Engine,
        id: "architecture",
        why: "an engine built on one GPU architecture does not load on another",
    };
    check.skip("an engine does not say for which GPU it was built: loading it is the test")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::check_result::Status;
    use crate::observe::gpu::known::{KnownGpu, MemorySource};
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

    fn options(load: Option<PlannedLoad>) -> DoctorOptions {
        DoctorOptions { load, ..DoctorOptions::default() }
    }

    fn not_passed(version: Option<&str>, ranks: Option<u32>) -> Vec<(&'static str, Status)> {
        let folder = engine();
        let facts = EngineFacts::gather(
            folder.path(),
            version.map(str::to_owned),
            ranks,
            None,
            &options(None),
        );
        assert_eq!(facts.built_ranks(), Some(2), "{:?}", facts.directory);
        check_results(&facts).into_iter().map(|result| (result.id, result.status)).collect()
    }

    #[test]
    fn an_engine_of_the_librarys_own_version_passes_and_another_fails() {
        assert_eq!(not_passed(Some("1.2.1"), Some(2))[0], ("engine", Status::Pass));
        assert_eq!(not_passed(Some("1.1.0"), Some(2))[0], ("engine", Status::Fail));
        assert_eq!(not_passed(Some("1.2.1"), Some(1))[0], ("engine", Status::Fail));
    }

    #[test]
    fn without_a_gpu_there_are_no_gpu_checks() {
        let rest = &not_passed(None, None)[1..];
        let skipped = ["gpus_for_ranks", "memory_plan", "kv_room", "architecture"]
            .map(|id| (id, Status::Skip));
        assert_eq!(rest, skipped);
    }

    #[test]
    fn a_directory_that_holds_no_engine_fails_by_name() {
        let facts =
            EngineFacts::gather(Path::new("no/such/engine"), None, None, None, &options(None));
        let found = check_results(&facts);
        assert_eq!((found.len(), found[0].status), (1, Status::Fail));
        assert!(found[0].sentence.contains("no/such/engine"));
    }

    /// The result for the memory of two GPUs with so much free, of 80 GiB each.
    fn memory_of(free_gib: u64, rank_gib: u64, load: Option<PlannedLoad>) -> Vec<CheckResult> {
        let folder = engine();
        for rank in 0..2 {
            let file = fs::File::create(folder.path().join(format!("rank{rank}.engine")));
            file.expect("made").set_len(rank_gib << 30).expect("a file with a hole");
        }
        let memory = GpuMemory { free_bytes: free_gib << 30, total_bytes: 80 << 30 };
        let (uuid, name) = ("GPU-made-up".into(), "NVIDIA H100 80GB HBM3".into());
        let gpu = KnownGpu { uuid, name, memory: Some(memory) };
        let gpus = KnownGpus { teller: MemorySource::Nvml, gpus: vec![gpu.clone(), gpu] };
        let facts = EngineFacts::gather(folder.path(), None, None, Some(gpus), &options(load));
        let about_memory = ["memory_plan", "kv_room", "kv_load"];
        let all = check_results(&facts).into_iter();
        all.filter(|result| about_memory.contains(&result.id)).collect()
    }

    #[test]
    fn weights_that_do_not_fit_fail_and_say_whether_anything_helps() {
        let found = memory_of(79, 79, None);
        assert_eq!(found[0].status, Status::Fail, "{found:?}");
        assert!(found[0].remedy.as_ref().is_some_and(|it| it.contains("--tp_size")), "{found:?}");
        let found = memory_of(20, 30, None);
        assert_eq!(found[0].status, Status::Fail, "{found:?}");
        assert!(
            found[0].remedy.as_ref().is_some_and(|it| it.starts_with("nvidia-smi")),
            "{found:?}"
        );
    }

    #[test]
    fn kv_cache_capacity_is_reported_in_tokens_and_sequences() {
        let found = memory_of(78, 8, None);
        assert_eq!([found[0].status, found[1].status], [Status::Pass; 2], "{found:?}");
        // 0.9 × 70 GiB ÷ (2 × 32 layers × 4 of 8 heads × 128 × 2 B = 64 KiB), in blocks of 32; 2 048 tokens each.
        assert!(found[1].sentence.contains("room for 1032192 tokens"), "{found:?}");
        assert!(found[1].sentence.contains("504 requests of its longest"), "{found:?}");
        assert_eq!(memory_of(8, 8, None)[1].status, Status::Warn);
    }

    #[test]
    fn a_load_is_held_against_the_room() {
        let load = |concurrency, lengths: &str| {
            let scenario = lengths.parse().expect("a scenario");
            Some(PlannedLoad { scenario, concurrency })
        };
        let status = |free, load| memory_of(free, 8, load)[2].status;
        assert_eq!(status(78, load(8, "D(1000,200)")), Status::Pass);
        // 0.9 × 1 GiB holds 14 746 tokens in blocks: 461 of them, at 38 for each request.
        assert_eq!(status(9, load(8, "D(1000,200)")), Status::Pass);
        let found = memory_of(9, 8, load(8, "U(1500,2500)/(10,90)")).remove(2);
        assert_eq!(found.status, Status::Warn, "{found:?}");
        assert!(
            found.remedy.as_ref().is_some_and(|it| it.contains("--concurrency 7")),
            "{found:?}"
        );
        assert_eq!(status(9, load(1, "D(20000,10)")), Status::Fail);
    }
}
