//! What another benchmark's command asks besides lengths and load: the file that prompts come from, bounds of good requests.

use super::draft::{Draft, FileKind};

/// A key on a command line can be read by every user of the machine.
pub fn api_key(draft: &mut Draft, _value: &str) {
    draft.add("--api-key-env", "API_KEY");
    draft.leave_out("the API key itself", "put it into the environment: `export API_KEY=…`");
}

/// `NAME: VALUE` or `NAME:VALUE`.
pub fn header(draft: &mut Draft, value: &str) {
    match value.split_once(':') {
        Some((name, key))
            if name.eq_ignore_ascii_case("authorization") && key.trim().starts_with("Bearer ") =>
        {
            api_key(draft, key);
        }
        _ => draft.add_another("--header", value),
    }
}

/// A file of prompts.
pub fn path(draft: &mut Draft, value: &str) {
    draft.file = Some(value.to_owned());
}

/// A file of prompts of GenAI-Perf's shape, which aiperf and perf_analyzer's successors read too.
pub fn genai_perf_file(draft: &mut Draft, value: &str) {
    if draft.file_kind == FileKind::Unsaid {
        draft.file_kind = FileKind::Of("genai-perf");
    }
    path(draft, value);
}

/// Bounds such as `time_to_first_token:100`, in milliseconds.
///
/// # Errors
/// When there is no bound.
pub fn goodput(draft: &mut Draft, value: &str) -> Result<(), String> {
    for pair in value.split_whitespace() {
        let (name, bound) = pair.split_once(':').ok_or("NAME:MILLISECONDS is expected")?;
        let ours = match name {
            "ttft" | "time_to_first_token" => "ttft",
            // Theirs is the mean gap of a request.
            "tpot" | "inter_token_latency" => "tpot",
            "e2el" | "request_latency" => "e2e",
            _ => {
                let what = format!("--goodput {pair}");
                draft.leave_out(&what, "good requests are those of bounded latencies: `--slo`");
                continue;
            }
        };
        let bound: f64 = bound.parse().map_err(|_| format!("`{bound}` is no number"))?;
        draft.bounds.push(format!("{ours}<{bound}ms"));
    }
    Ok(())
}

/// How far windows may differ, in percent.
pub fn stability(draft: &mut Draft, value: &str) {
    draft.add("--stability-percentage", value);
}

/// Files of results in GenAI-Perf's shape.
pub fn genai_perf_export(draft: &mut Draft, _name: &str) {
    draft.add("--export", "genai-perf");
}

/// The page's plots as files.
pub fn plots(draft: &mut Draft) {
    draft.add("--plots", "svg");
}
