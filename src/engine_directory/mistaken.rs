//! Folders that are given for an engine and are none, told apart by their content, each with the command or the folder that
//! leads to an engine.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::console::shell_word::{self, quoted};

/// What was found instead of an engine. Displayed as what it is, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Mistaken {
    /// Weights in TensorRT-LLM's own format, of which an engine is still to be built.
    #[error(
        "`{}` is a checkpoint of TensorRT-LLM and no engine yet: build one with `trtllm-build --checkpoint_dir {} \
         --output_dir ENGINE_DIR`, and name that folder",
        .0.display(), shell_word::path(.0)
    )]
    Checkpoint(PathBuf),
    /// A model as Hugging Face distributes it.
    #[error(
        "`{}` is a Hugging Face model and no engine: make a checkpoint of it (`convert_checkpoint.py --model_dir {} \
         --output_dir CHECKPOINT`, in TensorRT-LLM's examples for its architecture) and an engine of that \
         (`trtllm-build --checkpoint_dir CHECKPOINT --output_dir ENGINE_DIR`), or run the model itself with \
         `--target {}`",
        .0.display(), shell_word::path(.0), quoted(&format!("local:{}", .0.display()), "")
    )]
    HuggingFace(PathBuf),
    /// A model repository of Triton, or one model of it.
    #[error("`{}` is a model repository of Triton and no engine: {remedy}", folder.display())]
    Triton {
        /// Which folder.
        folder: PathBuf,
        /// What to do.
        remedy: String,
    },
    /// What is meant lies further down.
    #[error("`{}` is no engine itself; below it {}: name that folder", folder.display(), found(inside))]
    Parent {
        /// Which folder.
        folder: PathBuf,
        /// Engines below it.
        inside: Vec<PathBuf>,
    },
    /// What is meant is the folder around a file.
    #[error("`{}` is one file of an engine: name its folder, `{}`", file.display(), folder.display())]
    FileOfEngine {
        /// Which file.
        file: PathBuf,
        /// Where it lies.
        folder: PathBuf,
    },
}

/// A few of them are enough to see what is meant.
const NAMED: usize = 8;
/// Folders that a search for engines descends.
const DEPTH: u32 = 3;
/// Folders that are looked at, so that the root of a disk is no endless search.
const LOOKED_AT: usize = 2_000;

fn found(engines: &[PathBuf]) -> String {
    let names: Vec<String> =
        engines.iter().take(NAMED).map(|it| format!("`{}`", it.display())).collect();
    let more = if engines.len() > NAMED { ", …" } else { "" };
    match &*names {
        [one] => format!("lies the engine {one}"),
        all => format!("lie engines, of which one is meant ({}{more})", all.join(", ")),
    }
}

impl Mistaken {
    /// What a path is that holds no readable engine; `None` where its content says nothing.
    pub fn of(path: &Path) -> Option<Self> {
        if path.is_file() {
            let folder = path.parent().filter(|folder| kind_of(folder) == Some(Kind::Engine))?;
            return Some(Self::FileOfEngine { file: path.into(), folder: folder.into() });
        }
        match kind_of(path) {
            Some(Kind::Checkpoint) => return Some(Self::Checkpoint(path.into())),
            Some(Kind::HuggingFace) => return Some(Self::HuggingFace(path.into())),
            Some(Kind::Engine) => return None,
            None => {}
        }
        if let Some(remedy) = triton(path) {
            return Some(Self::Triton { folder: path.into(), remedy });
        }
        let inside = below(path, Kind::Engine);
        if !inside.is_empty() {
            return Some(Self::Parent { folder: path.into(), inside });
        }
        // A cache of models, or a folder of checkpoints: the first of each kind says the way.
        let first = |kind| below(path, kind).into_iter().next();
        first(Kind::Checkpoint)
            .map(Self::Checkpoint)
            .or_else(|| first(Kind::HuggingFace).map(Self::HuggingFace))
    }
}

/// The surer one first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Engine,
    Checkpoint,
    HuggingFace,
}

/// By the keys of its `config.json`, and of a folder without one by its weights.
fn kind_of(folder: &Path) -> Option<Kind> {
    let Ok(text) = fs::read_to_string(folder.join("config.json")) else {
        return by_its_weights(folder);
    };
    let config: Value = serde_json::from_str(&text).ok()?;
    let has = |key: &str| config.get(key).is_some();
    if has("pretrained_config") || has("builder_config") {
        Some(Kind::Engine)
    } else if has("architectures") || has("model_type") {
        Some(Kind::HuggingFace)
    } else if has("architecture") && (has("num_hidden_layers") || has("mapping")) {
        Some(Kind::Checkpoint)
    } else {
        None
    }
}

/// `rank0.engine`, `rank0.safetensors`, or weights under the names that Hugging Face gives them, in one file or many.
fn by_its_weights(folder: &Path) -> Option<Kind> {
    let entries = fs::read_dir(folder).ok()?.filter_map(Result::ok);
    let kinds = entries.filter_map(|entry| {
        let name = entry.file_name().to_str()?.to_owned();
        let (stem, ending) = name.rsplit_once('.')?;
        let of_rank = stem.strip_prefix("rank").is_some_and(|rank| rank.parse::<u32>().is_ok());
        match ending {
            "engine" if of_rank => Some(Kind::Engine),
            "safetensors" if of_rank => Some(Kind::Checkpoint),
            "safetensors" => Some(Kind::HuggingFace),
            "bin" | "pth" | "json" if stem.starts_with("pytorch_model") => Some(Kind::HuggingFace),
            "json" if stem == "model.safetensors.index" => Some(Kind::HuggingFace),
            _ => None,
        }
    });
    kinds.min()
}

/// Folders in it, sorted.
fn folders(path: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(path).into_iter().flatten().filter_map(Result::ok);
    let mut all: Vec<PathBuf> =
        entries.map(|entry| entry.path()).filter(|it| it.is_dir()).collect();
    all.sort();
    all
}

/// Folders of one kind below it, the nearest first.
fn below(path: &Path, kind: Kind) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut level = folders(path);
    let mut looked_at = 0;
    for _ in 0..DEPTH {
        let mut next = Vec::new();
        for folder in level {
            looked_at += 1;
            if looked_at > LOOKED_AT {
                return found;
            }
            match kind_of(&folder) {
                Some(found_kind) if found_kind == kind => found.push(folder),
                _ => next.extend(folders(&folder)),
            }
        }
        level = next;
    }
    found
}

/// The remedy for a model repository of Triton, where it is one, or one of its models.
fn triton(path: &Path) -> Option<String> {
    const CONFIGURATION: &str = "config.pbtxt";
    let is_model = |folder: &Path| folder.join(CONFIGURATION).is_file();
    let (repository, models) = if is_model(path) {
        (path.parent()?.to_owned(), vec![path.to_owned()])
    } else {
        let models: Vec<PathBuf> = folders(path).into_iter().filter(|it| is_model(it)).collect();
        (path.to_owned(), models)
    };
    let first = models.first()?;
    let configured = models.iter().find_map(|model| {
        let text = fs::read_to_string(model.join(CONFIGURATION)).ok()?;
        Some((model, engine_in(&text)?))
    });
    let (model, engine) = match configured {
        Some((model, engine)) => (model, Some(engine)),
        None => (first, below(path, Kind::Engine).first().map(|it| it.display().to_string())),
    };
    let name = model.file_name()?.to_string_lossy();
    let target = format!("triton-c:{}/{name}", repository.display());
    let served = format!("`--target {}`", quoted(&target, ""));
    Some(match engine {
        Some(engine) => {
            format!(
                "its engine is `{engine}`, name that, or measure it behind Triton with {served}"
            )
        }
        None => format!(
            "name the engine that `gpt_model_path` in its config.pbtxt is to lead to, or measure it behind Triton with \
             {served}"
        ),
    })
}

/// Value of the parameter `gpt_model_path`, unless it is still a template.
fn engine_in(configuration: &str) -> Option<String> {
    let (_, rest) = configuration.split_once("\"gpt_model_path\"")?;
    let (_, rest) = rest.split_once("string_value")?;
    let (_, rest) = rest.split_once('"')?;
    let (value, _) = rest.split_once('"')?;
    (!value.is_empty() && !value.contains("${")).then(|| value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHECKPOINT: &str = r#"{"architecture": "LlamaForCausalLM", "dtype": "bfloat16", "num_hidden_layers": 32,
        "mapping": {"world_size": 1, "tp_size": 1}}"#;
    const HUGGING_FACE: &str = r#"{"architectures": ["LlamaForCausalLM"], "model_type": "llama"}"#;
    const ENGINE: &str = r#"{"pretrained_config": {}, "build_config": {}}"#;

    fn write(folder: &Path, file: &str, text: &str) {
        let path = folder.join(file);
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(path, text).expect("written");
    }

    /// What is said of a folder with these files; `sub` is what was named.
    fn said(files: &[(&str, &str)], sub: &str) -> String {
        let folder = tempfile::tempdir().expect("a folder");
        for (file, text) in files {
            write(folder.path(), file, text);
        }
        let said = Mistaken::of(&folder.path().join(sub));
        said.map_or_else(|| "nothing".into(), |it| it.to_string())
    }

    #[test]
    fn a_checkpoint_is_told_with_the_command_that_builds_its_engine() {
        let files = [("config.json", CHECKPOINT), ("rank0.safetensors", "")];
        let said = said(&files, "");
        assert!(
            said.contains("checkpoint") && said.contains("trtllm-build --checkpoint_dir /"),
            "{said}"
        );
    }

    #[test]
    fn a_folder_with_spaces_is_one_word_of_the_commands_that_are_named() {
        let at = |name: &str| PathBuf::from(format!("/models/{name}"));
        let said = Mistaken::Checkpoint(at("my model")).to_string();
        assert!(said.contains("--checkpoint_dir '/models/my model' --output_dir"), "{said}");
        let said = Mistaken::HuggingFace(at("it's")).to_string();
        assert!(said.contains(r"--model_dir '/models/it'\''s' --output"), "{said}");
        assert!(said.contains(r"--target 'local:/models/it'\''s'`"), "{said}");
    }

    #[test]
    fn weights_of_ranks_alone_are_a_checkpoint_and_engines_alone_lack_their_config() {
        assert!(said(&[("rank0.safetensors", "")], "").contains("trtllm-build --checkpoint_dir /"));
        assert_eq!(said(&[("rank0.engine", "")], ""), "nothing");
    }

    #[test]
    fn a_hugging_face_folder_is_told_with_both_commands_and_with_what_runs_it_as_it_is() {
        for files in [
            [("config.json", HUGGING_FACE), ("model.safetensors", "")],
            [("model.safetensors.index.json", "{}"), ("tokenizer.json", "{}")],
            [("model-00001-of-00004.safetensors", ""), ("tokenizer.json", "{}")],
            [("pytorch_model-00001-of-00002.bin", ""), ("tokenizer.json", "{}")],
        ] {
            let said = said(&files, "");
            for named in ["convert_checkpoint.py --model_dir /", "trtllm-build", "local:/"] {
                assert!(said.contains(named), "{named}: {said}");
            }
        }
    }

    #[test]
    fn engines_below_a_folder_are_named() {
        let files = [("fp16/1-gpu/config.json", ENGINE), ("fp8/2-gpu/config.json", ENGINE)];
        let both = said(&files, "");
        assert!(both.contains("fp16/1-gpu`") && both.contains("fp8/2-gpu`"), "{both}");
        let one = said(&files, "fp16");
        assert!(one.contains("lies the engine") && one.contains("fp16/1-gpu`: name"), "{one}");
    }

    #[test]
    fn a_model_in_a_cache_is_found_where_it_lies() {
        let said = said(&[("models--x/snapshots/0a1b/config.json", HUGGING_FACE)], "");
        assert!(said.contains("snapshots/0a1b` is a Hugging Face model"), "{said}");
    }

    #[test]
    fn a_repository_of_triton_is_told_with_its_engine_and_the_target_that_serves_it() {
        let with = |path: &str| {
            format!(
                "parameters: {{\n  key: \"gpt_model_path\"\n  value: {{ string_value: \"{path}\" }}\n}}"
            )
        };
        let filled = with("/engines/llama");
        let files = [("preprocessing/config.pbtxt", ""), ("tensorrt_llm/config.pbtxt", &*filled)];
        for named in ["", "tensorrt_llm"] {
            let said = said(&files, named);
            assert!(said.contains("its engine is `/engines/llama`"), "{said}");
            assert!(said.contains("/tensorrt_llm`") && said.contains("triton-c:"), "{said}");
        }
        let template = with("${engine_dir}");
        let files =
            [("tensorrt_llm/config.pbtxt", &*template), ("tensorrt_llm/1/config.json", ENGINE)];
        let inside = said(&files, "");
        assert!(inside.contains("tensorrt_llm/1`, name that"), "{inside}");
        let open = said(&files[..1], "");
        assert!(open.contains("`gpt_model_path`"), "{open}");
    }

    #[test]
    fn a_file_of_an_engine_leads_to_its_folder() {
        let files = [("e/config.json", ENGINE), ("e/rank0.engine", "")];
        for file in ["e/rank0.engine", "e/config.json"] {
            assert!(said(&files, file).contains("name its folder"), "{file}");
        }
    }

    #[test]
    fn content_that_says_nothing_is_left_to_the_reader_of_engines() {
        assert_eq!(said(&[("config.json", "{}")], ""), "nothing");
        assert_eq!(said(&[("config.json", ENGINE)], ""), "nothing");
        assert_eq!(said(&[("notes.txt", "")], ""), "nothing");
    }
}
