//! Resolution of request settings: ranges, and the way back to flags.

use crate::cli::resolve::SettingsError;
use crate::cli::typed::RequestFlags;
use crate::clock::Nanos;
use crate::request::terms::Terms;
use crate::settings::human_duration::HumanDuration;
use crate::workload::Workload;
use crate::workload::priorities::PriorityMix;
use crate::workload::stop_texts::StopTexts;

/// Terms of every request.
pub(super) fn terms(typed: &RequestFlags) -> Result<Terms, SettingsError> {
    hold_ranges(typed)?;
    Ok(Terms {
        beam_width: typed.beam_width.filter(|beams| *beams > 1),
        min_p: typed.min_p,
        repetition_penalty: typed.repetition_penalty,
        presence_penalty: typed.presence_penalty,
        frequency_penalty: typed.frequency_penalty,
        length_penalty: typed.length_penalty,
        stop_words: typed.stop_words.clone(),
        bad_words: typed.bad_words.clone(),
        allotted: typed.allotted_time.map(|span| span.0),
    })
}

/// Words as text; their ids are known when the target's tokenizer is.
pub(super) fn stop_texts(typed: &RequestFlags) -> Result<StopTexts, SettingsError> {
    let texts = |flag, typed: &Option<Vec<String>>| {
        let texts = typed.clone().unwrap_or_default();
        if texts.iter().any(String::is_empty) {
            let (given, range) = ("''".into(), "at least one character");
            return Err(SettingsError::Range { flag, given, range });
        }
        Ok(texts)
    };
    Ok(StopTexts {
        stop: texts("--stop-text", &typed.stop_text)?,
        bad: texts("--bad-text", &typed.bad_text)?,
    })
}

fn hold_ranges(typed: &RequestFlags) -> Result<(), SettingsError> {
    let refuse = |flag, given: String, range| Err(SettingsError::Range { flag, given, range });
    if let Some(beams) = typed.beam_width.filter(|beams| !(1..=1024).contains(beams)) {
        return refuse("--beam-width", beams.to_string(), "a whole number from 1 to 1024");
    }
    let priorities = typed.priority.iter().flat_map(PriorityMix::priorities);
    let shares = priorities.map(|priority| ("--priority", priority));
    for (flag, share) in shares.chain(typed.min_p.map(|share| ("--min-p", share))) {
        if !(0.0..=1.0).contains(&share) {
            return refuse(flag, share.to_string(), "a number from 0 to 1");
        }
    }
    if let Some(factor) = typed.repetition_penalty.filter(|it| !(*it > 0.0 && it.is_finite())) {
        return refuse("--repetition-penalty", factor.to_string(), "a number above 0");
    }
    for (flag, value) in [
        ("--presence-penalty", typed.presence_penalty),
        ("--frequency-penalty", typed.frequency_penalty),
        ("--length-penalty", typed.length_penalty),
    ] {
        if let Some(value) = value.filter(|value| !value.is_finite()) {
            return refuse(flag, value.to_string(), "a finite number");
        }
    }
    if typed.allotted_time.is_some_and(|span| span.0 == Nanos::ZERO) {
        return refuse("--allotted-time", "0".into(), "for example `2s`");
    }
    Ok(())
}

/// As they would have to be typed.
pub(super) fn to_flags(workload: &Workload) -> RequestFlags {
    let terms = &workload.terms;
    let texts = |texts: &[String]| (!texts.is_empty()).then(|| texts.to_vec());
    RequestFlags {
        beam_width: terms.beam_width,
        min_p: terms.min_p,
        repetition_penalty: terms.repetition_penalty,
        presence_penalty: terms.presence_penalty,
        frequency_penalty: terms.frequency_penalty,
        length_penalty: terms.length_penalty,
        stop_words: terms.stop_words.clone(),
        bad_words: terms.bad_words.clone(),
        stop_text: texts(&workload.stop_texts.stop),
        bad_text: texts(&workload.stop_texts.bad),
        priority: workload.priorities.clone(),
        allotted_time: terms.allotted.map(HumanDuration),
        lora: workload.adapters.clone(),
    }
}
