//! Lengths of prompts and outputs as another benchmark says them, and the scenario that they are.

use super::draft::{Draft, FileKind};
use crate::console::shell_word::has_variable;
use crate::settings::DEFAULT_SCENARIO;

/// Files of prompts that seldom say how long outputs are.
const WITHOUT_LENGTHS: [FileKind; 5] = [
    FileKind::Of("csv"),
    FileKind::Of("genai-perf"),
    FileKind::Of("json"),
    FileKind::Of("jsonl"),
    FileKind::Of("text"),
];

/// A length in tokens, as it was typed.
#[derive(Debug, Clone, Default)]
pub struct Length {
    /// Its mean.
    pub mean: Option<String>,
    /// Its standard deviation.
    pub stddev: Option<String>,
    /// Bounds between which it is uniform.
    pub bounds: Option<(String, String)>,
}

impl Length {
    /// Makes it uniform between these times its mean; one that is no number is found later.
    pub fn spread(&mut self, from: f64, to: f64) {
        if let Some(mean) = self.mean.as_deref().and_then(|mean| number(mean).ok()) {
            let (least, most) = ((mean * from).floor().max(1.0), (mean * to).ceil().max(1.0));
            self.bounds = Some((least.to_string(), most.to_string()));
        }
    }

    /// Its bounds as a scenario has them; a length that does not vary lies between two that are equal.
    pub fn limits(&self) -> Option<String> {
        let mean = self.mean.as_deref().and_then(|mean| number(mean).ok())?;
        Some(self.bounded(mean))
    }

    /// Adds tokens to the mean.
    pub fn add(&mut self, tokens: &str) {
        let number = |text: &str| text.parse::<u64>().unwrap_or(0);
        let before = self.mean.as_deref().map_or(0, number);
        self.mean = Some((before + number(tokens)).to_string());
    }

    fn is_uniform(&self) -> bool {
        self.bounds.as_ref().is_some_and(|(least, most)| least != most)
    }

    /// Bounds of one that may be uniform beside one that is.
    fn bounded(&self, mean: f64) -> String {
        let (least, most) = self.bounds.clone().unwrap_or((mean.to_string(), mean.to_string()));
        format!("({least},{most})")
    }
}

/// `D` where lengths do not vary, `U` between bounds, else `N`. Outputs that end by themselves get the length of our default,
/// which is told.
///
/// # Errors
/// When a length is no number.
pub fn scenarios(draft: &mut Draft) -> Result<Vec<String>, String> {
    if !draft.scenarios.is_empty() {
        return Ok(draft.scenarios.clone());
    }
    let is_drawn = draft.file.is_none();
    if !is_drawn && draft.output.mean.is_none() && WITHOUT_LENGTHS.contains(&draft.file_kind) {
        let remedy = "give `--output-tokens N`, or `--output-tokens-column NAME` where the file has their lengths";
        draft.leave_out("outputs that end by themselves", remedy);
    }
    if is_drawn && let Some(scenario) = of_variables(draft) {
        return Ok(vec![scenario]);
    }
    let Some(mean) = draft.input.mean.clone() else {
        if let Some(output) = draft.output.mean.clone().filter(|_| is_drawn) {
            let remedy = "say how long prompts are too: `--scenario 'D(INPUT,OUTPUT)'`";
            draft.leave_out(&format!("outputs of {output} tokens"), remedy);
        }
        return Ok(Vec::new());
    };
    if draft.endpoint.as_deref() == Some("embeddings") {
        return Ok(vec![format!("E({})", number(&mean)?)]);
    }
    if draft.output.mean.is_none() {
        if !is_drawn {
            return Ok(Vec::new());
        }
        let ours = DEFAULT_SCENARIO.split([',', ')']).nth(1).unwrap_or_default();
        let remedy = format!("{ours} tokens are asked for; write the length that you expect");
        draft.leave_out("outputs that end by themselves", &remedy);
        draft.output.mean = Some(ours.to_owned());
    }
    let output_mean = draft.output.mean.as_deref().map_or(Ok(0.0), number)?;
    let (input, output) = (&draft.input, &draft.output);
    let spread = |length: &Length| number(length.stddev.as_deref().unwrap_or("0"));
    let (in_spread, out_spread) = (spread(input)?, spread(output)?);
    let mean = number(&mean)?;
    Ok(vec![if in_spread != 0.0 || out_spread != 0.0 {
        format!("N({mean},{in_spread})/({output_mean},{out_spread})")
    } else if input.is_uniform() || output.is_uniform() {
        format!("U{}/{}", input.bounded(mean), output.bounded(output_mean))
    } else {
        format!("D({mean},{output_mean})")
    }])
}

/// Lengths that only the shell knows which runs our command: they can be put together as they are where they do not vary.
fn of_variables(draft: &Draft) -> Option<String> {
    let (input, output) = (&draft.input, &draft.output);
    let means = (input.mean.as_deref()?, output.mean.as_deref()?);
    let varies = [input, output].iter().any(|it| it.stddev.is_some() || it.bounds.is_some());
    let holds_variable = has_variable(means.0) || has_variable(means.1);
    (holds_variable && !varies).then(|| format!("D({},{})", means.0, means.1))
}

fn number(text: &str) -> Result<f64, String> {
    text.parse().map_err(|_| format!("`{text}` is no number"))
}
