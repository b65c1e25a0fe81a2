//! Stages as they are typed: `60s:5,60s:20,30s:0`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::clock::Nanos;
use crate::load::stages::{LoadStage, MOST_STAGES, StageList};
use crate::settings::human_duration::HumanDuration;

/// Stages as typed and as written into files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct StagesText(pub StageList);

/// A text that is no list of stages.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no list of stages ({1}): write SPAN:LEVEL with commas between, at most {MOST_STAGES}, e.g. `60s:5,60s:20,30s:0`"
)]
pub struct StagesTextError(String, String);

impl FromStr for StagesText {
    type Err = StagesTextError;

    fn from_str(text: &str) -> Result<Self, StagesTextError> {
        let wrong = |why: String| StagesTextError(text.to_owned(), why);
        let stages: Result<Vec<LoadStage>, String> = text.split(',').map(stage).collect();
        let list = StageList::try_from(stages.map_err(wrong)?)
            .map_err(|error| StagesTextError(text.to_owned(), error.to_string()))?;
        if list.highest() == 0.0 {
            return Err(StagesTextError(text.to_owned(), "nothing would ever be sent".to_owned()));
        }
        Ok(Self(list))
    }
}

fn stage(text: &str) -> Result<LoadStage, String> {
    let (span, level) =
        text.trim().split_once(':').ok_or_else(|| format!("`{}` has no colon", text.trim()))?;
    let span: HumanDuration = span
        .parse()
        .map_err(|error: crate::settings::human_duration::HumanDurationError| error.to_string())?;
    if span.0 == Nanos::ZERO {
        return Err(format!("`{}` lasts for no time", text.trim()));
    }
    let number: f64 = level.trim().parse().map_err(|_| format!("`{level}` is no number"))?;
    if !(0.0..=1e6).contains(&number) {
        return Err(format!("`{level}` is not between 0 and a million"));
    }
    Ok(LoadStage { span: span.0, millionths: (number * 1e6).round() as u64 })
}

impl fmt::Display for StagesText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, stage) in self.0.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            write!(f, "{comma}{}:{}", HumanDuration(stage.span), stage.level())?;
        }
        Ok(())
    }
}

impl TryFrom<String> for StagesText {
    type Error = StagesTextError;

    fn try_from(text: String) -> Result<Self, StagesTextError> {
        text.parse()
    }
}

impl From<StagesText> for String {
    fn from(stages: StagesText) -> Self {
        stages.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_are_spans_with_levels_and_come_back_as_they_were_typed() {
        let stages: StagesText = "60s:5, 500ms:2.5,30s:0".parse().expect("stages");
        assert_eq!(stages.to_string(), "1m:5,500ms:2.5,30s:0");
        let again: StagesText = stages.to_string().parse().expect("stages");
        assert_eq!(again, stages);
    }

    #[test]
    fn what_is_no_list_of_stages_is_refused_with_the_reason() {
        for (text, named) in [
            ("", "no colon"),
            ("5", "no colon"),
            ("1s:x", "`x` is no number"),
            ("1s:-1", "between 0"),
            ("0s:5", "no time"),
            ("1x:5", "no span"),
            ("1s:0,2s:0", "nothing would ever be sent"),
        ] {
            let error = text.parse::<StagesText>().expect_err(text).to_string();
            assert!(error.contains(named), "{text}: {error}");
        }
    }
}
