//! Note on a server's own metrics of which no answer fell into a window.

use crate::observe::server_metrics::over_window::ServerUse;
use crate::report::PointReport;
use crate::report::figures::{counted, figure};

/// Why a server's levels are not known; `None` where they are, or where nobody asked.
pub(super) fn note(point: &PointReport) -> Option<String> {
    let told = point.summary.server.as_ref().filter(|told| told.answers == 0)?;
    Some(format!("{}: {}", point.label, reason(told, point.summary.window_s)))
}

fn reason(told: &ServerUse, window_s: Option<f64>) -> String {
    let window = window_s.map_or_else(String::new, |s| format!(" of {} s", figure(s)));
    let why = match told.unanswered {
        0 => format!("the server is asked twice a second, and never was within the window{window}"),
        missing => {
            format!("{} within the window{window} had no answer", counted(missing, "question"))
        }
    };
    format!(
        "how many requests ran and waited and how much KV cache was held is not known from {}'s own metrics: {why}; what its \
         counters gained is from the answers around it",
        told.server
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_without_an_answer_is_told_with_its_reason() {
        let mut told = ServerUse { server: "vLLM".into(), ..ServerUse::default() };
        let words = reason(&told, Some(0.25));
        assert!(words.contains("vLLM's own metrics: the server is asked twice"), "{words}");
        told.unanswered = 3;
        assert!(reason(&told, None).contains("3 questions within the window had no answer"));
    }
}
