//! Conversations of several turns: ShareGPT's shape, messages with roles, or turns of our own.

use serde_json::Value;

use crate::clock::Nanos;
use crate::workload::dataset::columns::{self, Columns};
use crate::workload::dataset::format::{Format, Given, RawEntry, RawOutput, Shape};

pub(in super::super) struct Conversation;

/// Names of the list of what was said, in the shapes that have roles.
const LISTS: [&str; 3] = ["conversations", "conversation", "messages"];
const ASKS: [&str; 2] = ["human", "user"];
const SYSTEM: &str = "system";
/// Names of what a turn of our own asks, and was answered.
const ASKED: [&str; 4] = ["user", "prompt", "text", "input"];
const ANSWERED: [&str; 2] = ["assistant", "answer"];

impl Format for Conversation {
    fn shape(&self, _: bool) -> Shape {
        Shape::Json(&[])
    }

    fn entry(&self, record: &Value, _: &Columns) -> Result<Option<RawEntry>, String> {
        let turns = match columns::first(record, &["turns"])? {
            Some(turns) => own_turns(turns)?,
            None => said_turns(columns::needed(record, &LISTS)?)?,
        };
        let mut turns = turns.into_iter();
        Ok(turns.next().map(|first| RawEntry { later: turns.collect(), ..first }))
    }
}

/// `{"turns": [{"user": …, "assistant": …, "output_tokens": …, "think_s": …}, …]}`; a turn may be a text alone.
fn own_turns(turns: &Value) -> Result<Vec<RawEntry>, String> {
    let turns = turns.as_array().ok_or("`turns` is no list")?;
    turns.iter().map(own_turn).collect()
}

fn own_turn(turn: &Value) -> Result<RawEntry, String> {
    if let Some(text) = turn.as_str() {
        return Ok(RawEntry::new(Given::Text(text.to_owned()), RawOutput::Unknown));
    }
    let asked = match columns::needed(turn, &ASKED)? {
        Value::String(text) => Given::Text(text.clone()),
        ids => Given::Ids(columns::ids(ids, "user")?),
    };
    let answer = columns::first(turn, &ANSWERED)?.and_then(Value::as_str).map(str::to_owned);
    let length = columns::first(turn, &["output_tokens", "output_length", "max_tokens"])?;
    let output = match (length, &answer) {
        (Some(length), _) => RawOutput::Tokens(columns::count(length, "output_tokens")?),
        (None, Some(answer)) => RawOutput::Text(answer.clone()),
        (None, None) => RawOutput::Unknown,
    };
    let think = match columns::first(turn, &["think_s"])? {
        None => None,
        Some(_) => Some(Nanos::from_secs_f64(columns::seconds(turn, &["think_s"])?.max(0.0))),
    };
    Ok(RawEntry { answer, think, ..RawEntry::new(asked, output) })
}

/// What was said by roles: each question with the answer behind it. What the system said stands before the first question; a
/// question without an answer ends the conversation.
fn said_turns(said: &Value) -> Result<Vec<RawEntry>, String> {
    let said = said.as_array().ok_or("what was said is no list")?;
    let member = |one: &Value, names: [&str; 2]| {
        names.iter().find_map(|name| one.get(*name)?.as_str()).map(str::to_owned)
    };
    let mut turns: Vec<RawEntry> = Vec::new();
    let (mut before, mut asked) = (None, None);
    for one in said {
        let words = member(one, ["value", "content"]).ok_or("a turn has no `value`")?;
        let role = member(one, ["from", "role"]).unwrap_or_default();
        if role == SYSTEM {
            before = Some(words);
        } else if ASKS.contains(&role.as_str()) {
            let words = match before.take() {
                Some(system) => format!("{system}\n{words}"),
                None => words,
            };
            asked = Some(words);
        } else if let Some(question) = asked.take() {
            let answer = Some(words.clone());
            let turn = RawEntry::new(Given::Text(question), RawOutput::Text(words));
            turns.push(RawEntry { answer, ..turn });
        }
    }
    Ok(turns)
}
