//! Twin of an engine in Python: the same engine with the same settings behind its own server, as its adapter describes it.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::settings::engine::EngineSettings;
use crate::targets::TargetError;
use crate::targets::python::host::{Asked, Teller};
use crate::targets::python::named_adapter;
use crate::targets::python::target::{NO_HOST, settings_of};

/// What starts a twin. Texts may hold `{port}` and `{folder}`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Twin {
    /// The command.
    pub argv: Vec<String>,
    /// Variables over those of this process.
    pub env: BTreeMap<String, String>,
    /// Files that the command reads: path and text.
    pub files: BTreeMap<String, String>,
    /// How an `openai:` target asks it, as settings of a run.
    pub ask: Map<String, Value>,
}

/// The twin of an engine, which calls its model `name` where it can.
///
/// # Errors
/// When the target is no engine in Python, Python does not hold this program, or the adapter knows no server.
pub fn of(target: &str, settings: &EngineSettings, name: &str) -> Result<Twin, TargetError> {
    let given = || target.to_owned();
    let unusable = |reason: String| TargetError::Unusable { name: given(), reason };
    let Some(adapter) = named_adapter(target) else {
        return Err(TargetError::Impossible {
            name: given(),
            flag: "--serve-twin",
            remedy: "only engines in Python (`vllm:`, `trtllm-torch:`, `py:`) bring a server of their own: name a server with another \
                     `--target`, or start one with `--launch`",
        });
    };
    let Some(teller) = Teller::of(settings) else {
        return Err(TargetError::Elsewhere { given: given(), remedy: NO_HOST });
    };
    let told = settings_of(adapter.options, settings).map_err(&unusable)?;
    let (module, model) = (adapter.module.to_owned(), adapter.model.to_owned());
    let asked = Asked { module, model, settings: told.to_string() };
    let said = teller.host().served(&asked, name).map_err(&unusable)?;
    let twin: Twin = serde_json::from_str(&said).map_err(|error| {
        unusable(format!("what its adapter says of its server: {error}: {said}"))
    })?;
    if twin.argv.is_empty() {
        return Err(unusable("its adapter's `served` gave no command".into()));
    }
    Ok(twin)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_engine_in_python_has_a_twin() {
        let settings = EngineSettings::default();
        for target in ["sim:null", "local:dummy-nano", "openai:http://a", "text:vllm:/m"] {
            let error = of(target, &settings, "twin").expect_err(target).to_string();
            assert!(
                error.contains("has no `--serve-twin`") && error.contains("`--launch`"),
                "{error}"
            );
        }
        let error = of("vllm:/models/tiny", &settings, "twin").expect_err("no host");
        assert!(matches!(error, TargetError::Elsewhere { .. }), "exit code 2");
    }

    #[test]
    fn what_an_adapter_says_of_its_server_is_read_whole() {
        let said = r#"{"argv":["a","--port={port}"],"env":{"E":"1"},"files":{"{folder}/f":"{}"},"ask":{"model":"twin","vocab_size":9}}"#;
        let twin: Twin = serde_json::from_str(said).expect("a twin");
        assert_eq!(twin.argv[1], "--port={port}");
        assert_eq!(twin.ask["vocab_size"], 9);
    }
}
