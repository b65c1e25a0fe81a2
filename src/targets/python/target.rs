//! Target of an engine in Python, as its adapter describes it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::record::sink::Sink;
use crate::request::Limits;
use crate::settings::engine::{DEFAULT_ITERATION_STATS, EngineSettings};
use crate::settings::engine_arg::EngineArg;
use crate::settings::served::ServedSettings;
use crate::targets::deployment::{Deployment, Placement};
use crate::targets::named::{Named, Tokens};
use crate::targets::python::desk::Desk;
use crate::targets::python::engine_end::EngineEnd;
use crate::targets::python::host::{Asked, Teller};
use crate::targets::python::model_figures;
use crate::targets::python::session::{PythonSession, Says};
use crate::targets::registry::TargetName;
use crate::targets::{Session, Target, TargetError, TargetInfo};

/// What to do where Python does not hold this program.
pub(super) const NO_HOST: &str = "its engine lives in Python, and this is the plain program: run `pip install .` in bareflight's source folder \
     with the pip of the engine's environment, then start that environment's `bareflight`, or name its Python here with \
     `--python` (docs/PYTHON_ENGINES.md)";

/// An engine in Python, not yet opened.
pub struct PythonTarget {
    teller: Teller,
    asked: Asked,
    info: TargetInfo,
    says: Says,
}

/// An adapter, and what it is asked to open.
#[derive(Debug, Clone, Copy)]
pub struct Adapter<'a> {
    /// The kind of target.
    pub kind: &'a str,
    /// Its module.
    pub module: &'a str,
    /// A model, or nothing.
    pub model: &'a str,
    /// `KEY=VALUE,…`.
    pub options: &'a str,
}

/// What an adapter says before anything is loaded.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Description {
    title: String,
    #[serde(default)]
    simulated: bool,
    #[serde(default)]
    dummy_weights: bool,
    #[serde(default)]
    gpus: u32,
    #[serde(default)]
    limits: Limits,
    #[serde(default)]
    special_ids: Vec<u32>,
    #[serde(default)]
    details: serde_json::Value,
}

impl PythonTarget {
    /// Asks an adapter what it would open.
    ///
    /// # Errors
    /// When Python does not hold this program, or the adapter refuses.
    pub fn describe(
        adapter: Adapter<'_>,
        name: &TargetName<'_>,
        settings: &EngineSettings,
        served: &ServedSettings,
    ) -> Result<Named, TargetError> {
        let Adapter { kind, module, model, options } = adapter;
        let given = name.whole.to_owned();
        let Some(teller) = Teller::of(settings) else {
            return Err(TargetError::Elsewhere { given, remedy: NO_HOST });
        };
        let unusable = |reason: String| TargetError::Unusable { name: given.clone(), reason };
        let wanted = settings_of(options, settings).map_err(&unusable)?;
        let wanted_options = all_options(options, &settings.engine_args).map_err(&unusable)?;
        let asked = Asked {
            module: module.to_owned(),
            model: model.to_owned(),
            settings: wanted.to_string(),
        };
        let said = teller.host().describe(&asked).map_err(&unusable)?;
        let described: Description = serde_json::from_str(&said).map_err(|error| {
            unusable(format!("what its adapter says of itself: {error}: {said}"))
        })?;
        let deployment = deployment(model, &wanted_options, described.gpus);
        let mut details = details(module, &wanted, &described.details, settings);
        if let Some(Err(why)) = &deployment {
            details["no_roofline"] = json!(why);
        }
        let info = TargetInfo {
            name: given.clone(),
            kind: kind.to_owned(),
            title: described.title,
            simulated: described.simulated,
            dummy_weights: described.dummy_weights,
            gpus: described.gpus,
            limits: described.limits,
            details,
        };
        let says = Says {
            statistics: wants_statistics(settings),
            kv_events: settings.kv_events.is_some(),
        };
        let target = Self { teller, asked, info, says };
        let tokens = Tokens::named(name.whole, &with_tokenizer_of(model, served), None);
        let named = Named::new(target, described.special_ids, tokens);
        Ok(named.deployed(deployment.and_then(Result::ok)))
    }
}

/// Model and machine of an engine that loads a model's folder; `None` where it loads none, and an error says what is not known.
fn deployment(
    model: &str,
    options: &BTreeMap<&str, &str>,
    gpus: u32,
) -> Option<Result<Deployment, String>> {
    if model.is_empty() {
        return None;
    }
    let share = |name: &str| options.get(name).and_then(|text| text.parse().ok()).unwrap_or(1);
    let figures = if Path::new(model).is_dir() {
        model_figures::of(Path::new(model), options)
    } else {
        Err("it is no folder here: give the model's folder instead of its name".into())
    };
    Some(figures.map(|model| Deployment {
        model,
        placement: if gpus == 0 { Placement::Host } else { Placement::Gpus(None) },
        tensor_parallel: share("tensor_parallel_size"),
        pipeline_parallel: share("pipeline_parallel_size"),
    }))
}

/// What the manifest keeps.
fn details(module: &str, wanted: &Value, engine: &Value, settings: &EngineSettings) -> Value {
    let mut details = json!({ "adapter": module, "settings": wanted, "engine": engine });
    if let Some(python) = &settings.python {
        details["child"] = json!({ "python": python });
    }
    details
}

/// What an adapter is told: settings of the run, and options.
///
/// # Errors
/// When an option is none, or stands twice.
pub(super) fn settings_of(options: &str, settings: &EngineSettings) -> Result<Value, String> {
    Ok(json!({
        "max_batch_size": settings.max_batch_size,
        "max_num_tokens": settings.max_num_tokens,
        "max_queue_size": settings.max_queue_size,
        "kv_reuse": settings.kv_reuse,
        "kv_tokens": settings.kv_tokens,
        // Where nobody has said it, the engine's own way.
        "chunked_context": (!settings.chunked_context).then_some(false),
        "cuda_graphs": settings.cuda_graphs.then_some(true),
        "kv_events": settings.kv_events,
        "iteration_stats": wants_statistics(settings),
        "engine_stamps": settings.perf_metrics,
        "options": all_options(options, &settings.engine_args)?,
    }))
}

fn wants_statistics(settings: &EngineSettings) -> bool {
    settings.iteration_stats.unwrap_or(DEFAULT_ITERATION_STATS) > 0
}

/// The tokenizer that was named, else the one that lies in the model's folder.
pub(super) fn with_tokenizer_of(model: &str, served: &ServedSettings) -> ServedSettings {
    let beside = Path::new(model).join("tokenizer.json");
    let found = (!model.is_empty() && beside.is_file()).then_some(beside);
    ServedSettings { tokenizer: served.tokenizer.clone().or(found), ..served.clone() }
}

/// `KEY=VALUE,…`.
pub(super) fn parse_options(text: &str) -> Result<BTreeMap<&str, &str>, String> {
    let words = text.split(',').filter(|word| !word.is_empty());
    words
        .map(|word| {
            word.split_once('=')
                .ok_or_else(|| format!("`{word}` is no option: write KEY=VALUE after a comma"))
        })
        .collect()
}

/// Those after the target's name, and those of `--engine-arg`.
fn all_options<'a>(
    text: &'a str,
    arguments: &'a [EngineArg],
) -> Result<BTreeMap<&'a str, &'a str>, String> {
    let mut all = parse_options(text)?;
    for EngineArg { key, value } in arguments {
        if all.insert(key, value).is_some() {
            return Err(format!(
                "`{key}` stands after the target's name and in `--engine-arg`: say it once"
            ));
        }
    }
    Ok(all)
}

impl Target for PythonTarget {
    fn describe(&self) -> &TargetInfo {
        &self.info
    }

    fn open(self: Box<Self>, sink: Sink) -> Result<Box<dyn Session>, TargetError> {
        let desk = Arc::new(Desk::default());
        let end = EngineEnd::new(Arc::clone(&desk), sink);
        let opened =
            self.teller.host().start(&self.asked, end).and_then(|()| desk.wait_until_open());
        match opened {
            Ok(()) => Ok(Box::new(PythonSession::new(desk, self.says))),
            Err(reason) => Err(TargetError::Unusable { name: self.info.name.clone(), reason }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::targets::registry;

    #[test]
    fn the_plain_program_refuses_an_engine_in_python_and_names_the_remedy() {
        for target in ["py:bareflight.fake", "vllm:/models/tiny", "trtllm-torch:/models/tiny"] {
            let (engine, served) = (EngineSettings::default(), ServedSettings::default());
            let error = registry::describe(target, &engine, &served).err().expect("no host");
            assert!(matches!(error, TargetError::Elsewhere { .. }), "exit code 2");
            assert!(error.to_string().contains("pip install ."), "{error}");
        }
    }

    #[test]
    fn options_follow_commas() {
        let options = parse_options("a=1,b=x=y").expect("two");
        assert_eq!(options, BTreeMap::from([("a", "1"), ("b", "x=y")]));
        assert!(parse_options("a").expect_err("no value").contains("`a` is no option"));
        let argument: EngineArg = "c=3".parse().expect("an argument");
        let all = all_options("a=1", std::slice::from_ref(&argument)).expect("two");
        assert_eq!(all, BTreeMap::from([("a", "1"), ("c", "3")]));
        let twice = all_options("c=1", &[argument]).expect_err("c stands twice");
        assert!(twice.contains("`c`"), "{twice}");
    }
}
