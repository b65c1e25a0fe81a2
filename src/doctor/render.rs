//! Rendering of the doctor report: text and JSON.

use std::fmt::Write as _;

use serde::Serialize;

use crate::doctor::Report;
use crate::doctor::check_result::{CheckResult, Status};
use crate::specs::MeasuredGpu;

/// Width that longer texts are wrapped at.
const WIDTH: usize = 110;

/// For people: a line for each finding, and under those that did not pass why it matters and what mends it.
pub fn text(report: &Report) -> String {
    let mut text = String::new();
    let mut area = None;
    for result in &report.results {
        if area.replace(result.area) != Some(result.area) {
            let _infallible = writeln!(text, "{}", result.area.word());
        }
        text.push_str(&lines(result));
    }
    let count = |status| report.results.iter().filter(|f| f.status == status).count();
    let _infallible = writeln!(
        text,
        "\n{} pass, {} warn, {} fail, {} not checked; nothing was changed",
        count(Status::Pass),
        count(Status::Warn),
        count(Status::Fail),
        count(Status::Skip),
    );
    text
}

fn lines(result: &CheckResult) -> String {
    let name = result.id.replace('_', " ");
    let mut text = wrapped(&format!("  {}  {name:17} ", result.status.word()), &result.sentence);
    if let Some(remedy) = &result.remedy {
        text.push_str(&wrapped(&format!("{:26}why: ", ""), result.why));
        // A command is never broken, so that it can be copied.
        let _infallible = writeln!(text, "{:26}do:  {remedy}", "");
    }
    text
}

/// `head` and a text wrapped under its first word.
fn wrapped(head: &str, sentence: &str) -> String {
    let indent = head.chars().count();
    let mut text = head.to_owned();
    let mut column = indent;
    for word in sentence.split_whitespace() {
        let length = word.chars().count();
        if column > indent {
            if column + 1 + length > WIDTH {
                let _infallible = write!(text, "\n{:indent$}", "");
                column = indent;
            } else {
                text.push(' ');
                column += 1;
            }
        }
        text.push_str(word);
        column += length;
    }
    text.push('\n');
    text
}

/// The shape of `bareflight doctor --json`.
#[derive(Serialize)]
struct Json<'a> {
    schema_version: u32,
    status: Status,
    #[serde(rename = "findings")]
    results: &'a [CheckResult],
    /// With `--probe-gpu`.
    #[serde(skip_serializing_if = "<[MeasuredGpu]>::is_empty")]
    measured: &'a [MeasuredGpu],
}

/// For scripts.
///
/// # Panics
/// Never: every key is a string.
pub fn json(report: &Report) -> String {
    let Report { results, measured } = report;
    let shape = Json { schema_version: 1, status: report.status(), results, measured };
    let mut text = serde_json::to_string_pretty(&shape)
        .expect("every key is a string, and a string in memory takes any length");
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::check_result::{Area, Check};

    fn report() -> Report {
        let check = |area, id| Check { area, id, why: "it costs time" };
        let host = check(Area::Host, "governor").warn("it is `powersave`", "sudo mend --now");
        let gpu = check(Area::Gpu, "gpu").skip("no GPU here: not checked");
        Report { results: vec![host, gpu], measured: Vec::new() }
    }

    #[test]
    fn what_did_not_pass_stands_with_its_reason_and_its_command() {
        let shown = text(&report());
        assert!(shown.starts_with("host\n  warn  governor "), "{shown}");
        assert!(shown.contains("why: it costs time\n"), "{shown}");
        assert!(shown.contains("do:  sudo mend --now\n"), "{shown}");
        assert!(shown.contains("0 pass, 1 warn, 0 fail, 1 not checked"), "{shown}");
        assert_eq!(shown.matches("why:").count(), 1, "{shown}");
    }

    #[test]
    fn scripts_find_the_status_by_the_lines_name() {
        let value: serde_json::Value = serde_json::from_str(&json(&report())).expect("JSON");
        assert_eq!(value["status"], "warn");
        assert_eq!(value["findings"][0]["id"], "governor");
        assert_eq!(value["findings"][1]["remedy"], serde_json::Value::Null);
    }

    #[test]
    fn long_sentences_are_wrapped_under_their_first_word() {
        let long = wrapped("  pass  x ", &"word ".repeat(60));
        assert!(long.lines().count() > 2 && long.lines().all(|line| line.len() <= WIDTH));
        assert!(long.lines().skip(1).all(|line| line.starts_with("          word")));
    }
}
