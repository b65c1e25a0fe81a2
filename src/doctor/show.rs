//! How is the report shown? Lines for people, JSON for scripts.

use std::fmt::Write as _;

use serde::Serialize;

use crate::doctor::Report;
use crate::doctor::finding::{Finding, Status};

/// Width that longer texts are wrapped at.
const WIDTH: usize = 110;

/// For people: a line for each finding, and under those that did not pass why it matters and what mends it.
pub fn text(report: &Report) -> String {
    let mut text = String::new();
    let mut area = None;
    for finding in &report.findings {
        if area.replace(finding.area) != Some(finding.area) {
            let _infallible = writeln!(text, "{}", finding.area.word());
        }
        text.push_str(&lines(finding));
    }
    let count = |status| report.findings.iter().filter(|f| f.status == status).count();
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

fn lines(finding: &Finding) -> String {
    let name = finding.id.replace('_', " ");
    let mut text = wrapped(&format!("  {}  {name:17} ", finding.status.word()), &finding.sentence);
    if let Some(remedy) = &finding.remedy {
        text.push_str(&wrapped(&format!("{:26}why: ", ""), finding.why));
        // A command is never broken, so that it can be copied.
        let _infallible = writeln!(text, "{:26}do:  {remedy}", "");
    }
    text
}

/// `head` and words, the further lines under the first word.
fn wrapped(head: &str, words: &str) -> String {
    let indent = head.chars().count();
    let mut text = head.to_owned();
    let mut column = indent;
    for word in words.split_whitespace() {
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
    findings: &'a [Finding],
}

/// For scripts.
///
/// # Panics
/// Never: every key is a string.
pub fn json(report: &Report) -> String {
    let shape = Json { schema_version: 1, status: report.status(), findings: &report.findings };
    let mut text = serde_json::to_string_pretty(&shape)
        .expect("every key is a string, and a string in memory takes any length");
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::{Area, Look};

    fn report() -> Report {
        let look = |area, id| Look { area, id, why: "it costs time" };
        let host = look(Area::Host, "governor").warn("it is `powersave`", "sudo mend --now");
        Report { findings: vec![host, look(Area::Gpu, "gpu").skip("no GPU here: not checked")] }
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
