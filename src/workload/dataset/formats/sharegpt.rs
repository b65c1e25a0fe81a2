//! ShareGPT's conversations: the first human turn is the prompt, the answer's tokens are the output's length.

use serde_json::Value;

use crate::workload::dataset::columns::{Columns, needed};
use crate::workload::dataset::format::{Format, Given, RawEntry, RawOutput, Shape};

pub(in super::super) struct ShareGpt;

const HUMAN: [&str; 2] = ["human", "user"];

impl Format for ShareGpt {
    fn shape(&self, _: bool) -> Shape {
        Shape::Json(&[])
    }

    fn entry(&self, record: &Value, _: &Columns) -> Result<Option<RawEntry>, String> {
        let turns = needed(record, &["conversations", "conversation"])?;
        let turns = turns.as_array().ok_or("`conversations` is no list")?;
        let said = |turn: &'_ Value, names: [&str; 2]| {
            names.iter().find_map(|name| turn.get(*name)?.as_str()).map(str::to_owned)
        };
        let speaker = |turn: &Value| said(turn, ["from", "role"]);
        let words = |turn: &Value| {
            said(turn, ["value", "content"]).ok_or_else(|| "a turn has no `value`".to_owned())
        };
        let is_human = |turn: &Value| speaker(turn).is_some_and(|it| HUMAN.contains(&it.as_str()));
        // A conversation that begins with an answer, or ends with a question, has nothing to ask.
        let Some(first) = turns.iter().position(is_human) else { return Ok(None) };
        let Some(answer) = turns.get(first + 1) else { return Ok(None) };
        let prompt = Given::Text(words(&turns[first])?);
        Ok(Some(RawEntry::new(prompt, RawOutput::Text(words(answer)?))))
    }
}
