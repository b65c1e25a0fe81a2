//! Labels of an engine in Python: how it is driven, who takes stamps, what is a child process.

use serde_json::Value;

use crate::metrics::comparison::SideReport;
use crate::report::figures::figure;
use crate::targets::TargetInfo;
use crate::warning::{Code, Note};

/// One sentence of all labels; nothing where the engine does not live in Python.
pub fn sentence(target: &TargetInfo) -> Option<String> {
    let engine =
        target.details.get("engine").filter(|_| target.details.get("adapter").is_some())?;
    // What is known only since it was opened counts more.
    let opened = target.details.get("opened");
    let label = |key: &str| opened.and_then(|it| it.get(key)).or_else(|| engine.get(key));
    let text = |key: &str| label(key).and_then(Value::as_str).unwrap_or("not said");
    let no_roofline = target.details.get("no_roofline").and_then(Value::as_str);
    let no_roofline = no_roofline.map_or_else(String::new, |why| format!("; no roofline: {why}"));
    let interval = label("switch_interval_s").and_then(Value::as_f64);
    let interval =
        interval.map_or_else(|| "not said".to_owned(), |s| format!("{} ms", figure(s * 1e3)));
    let unproven = label("unproven").and_then(Value::as_str);
    let unproven = unproven.map_or_else(String::new, |what| format!("; UNPROVEN: {what}"));
    let child = target.details.get("child").and_then(|it| it.get("python")).and_then(Value::as_str);
    let place = child.map_or_else(
        || "in this process".to_owned(),
        |python| format!("in a child process of `{python}`, which plays whole blocks"),
    );
    let packages = label("packages").and_then(Value::as_object).filter(|it| !it.is_empty());
    let packages = packages.map_or_else(String::new, |all| {
        let each = all.iter().map(|(name, it)| format!("{name} {}", it.as_str().unwrap_or("?")));
        format!(" ({})", each.collect::<Vec<_>>().join(", "))
    });
    Some(format!(
        "the engine lives {place}, under Python {}{packages}: driver level {}; child processes: {}; stamps: {}; requests \
         prepared {}; switch interval {interval}; garbage collector {}{no_roofline}{unproven}",
        text("python"),
        text("driver_level"),
        text("child_processes"),
        text("stamps"),
        text("prepared"),
        text("garbage_collector"),
    ))
}

/// The same of every side of a comparison, by the side's name.
pub fn notes_of_sides(sides: &[SideReport]) -> impl Iterator<Item = Note> {
    sides.iter().filter_map(|side| {
        let words = format!("{}: {}", side.name, sentence(&side.target)?);
        Some(Note::new(Code::InPython, words))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::Limits;
    use serde_json::json;

    fn target(details: Value) -> TargetInfo {
        TargetInfo {
            name: "vllm:m".into(),
            kind: "vllm".into(),
            title: String::new(),
            simulated: false,
            dummy_weights: false,
            gpus: 1,
            limits: Limits::default(),
            details,
        }
    }

    #[test]
    fn every_label_of_an_engine_in_python_is_said_and_what_is_missing_is_not_made_up() {
        let engine = json!({
            "python": "3.12.1",
            "packages": { "torch": "2.13.0", "vllm": "0.32.0" },
            "driver_level": "EngineCore",
            "stamps": "engine's thread",
            "prepared": "before the clock",
            "switch_interval_s": 0.005,
            "unproven": "nobody has run it on a GPU",
        });
        let opened = json!({ "driver_level": "EngineCore, hooked" });
        let details = json!({ "adapter": "a", "engine": engine, "opened": opened });
        let said = sentence(&target(details.clone())).expect("labels");
        for label in [
            "lives in this process, under Python 3.12.1 (torch 2.13.0, vllm 0.32.0):",
            "driver level EngineCore, hooked;",
            "child processes: not said",
            "stamps: engine's thread",
            "prepared before the clock",
            "interval 5.00 ms",
            "UNPROVEN: nobody has run it on a GPU",
        ] {
            assert!(said.contains(label), "{label}: {said}");
        }
        let mut elsewhere = details;
        elsewhere["child"] = json!({ "python": "/envA/bin/python" });
        let said = sentence(&target(elsewhere)).expect("labels");
        assert!(said.contains("in a child process of `/envA/bin/python`"), "{said}");
        assert_eq!(sentence(&target(json!({ "engine": {} }))), None);
    }
}
