//! Console table of a ladder: table, waterfall, notes.

use std::fmt::Write as _;

use crate::metrics::ladder::{Ladder, Parts};
use crate::report::comparison::heading;
use crate::report::comparison::table::how;
use crate::report::figures::{ABSENT, figure, short_verdict};
use crate::report::ladder::{
    LEGEND, RungValue, SHOWN, added, difference, notes, row, slices, value,
};
use crate::report::table::lines::{coded, flowed, plain_table, printed, sentence};
use crate::report::table::titled;

/// Characters of the longest bar.
const LONGEST: f64 = 60.0;
const SHADES: [char; 4] = ['░', '▒', '█', '▓'];

/// The whole text.
pub fn render(ladder: &Ladder) -> String {
    let comparison = &ladder.comparison;
    let mut text = titled(&comparison.title, comparison.marks.iter().copied());
    text.push_str(&sentence("  ", &how(comparison)));
    text.push('\n');
    text.push_str(&values(ladder));
    text.push_str("\nwhat each layer adds, with 95 % intervals over blocks\n");
    text.push_str(&additions(ladder));
    text.push_str("\nwhere the milliseconds of a request go, means\n");
    text.push_str(&waterfall(ladder));
    text.push_str(&sentence("  ", LEGEND));
    text.push_str("\nnotes\n");
    text.extend(notes(ladder).iter().map(coded));
    text
}

fn values(ladder: &Ladder) -> String {
    let mut table = plain_table(&[
        "",
        "TTFT p50\nms",
        "ITL avg\nms",
        "latency\np50, ms",
        "output\ntokens/s",
        "CPU, here\nms/req.",
        "CPU, server\nms/req.",
        "verdict",
    ]);
    for rung in ladder.rungs.iter().filter(|rung| rung.side.is_some()) {
        let shown = |value: Option<f64>| value.map_or_else(|| ABSENT.to_owned(), figure);
        let mut cells = vec![rung.level.to_string()];
        cells.extend(SHOWN.map(|measure| {
            value(ladder, rung, measure).map_or_else(|| ABSENT.to_owned(), RungValue::text)
        }));
        cells.push(shown(rung.cpu.as_ref().map(|cpu| cpu.here_ms)));
        cells.push(shown(rung.cpu.as_ref().and_then(|cpu| cpu.server_ms)));
        let side = rung.side.map(|side| &ladder.comparison.sides[side]);
        let verdict = side.and_then(|side| side.verdict);
        cells.push(verdict.map_or(ABSENT, short_verdict).to_owned());
        table.add_row(cells);
    }
    printed(&table)
}

/// What each rung adds to the one that it stands on, one after the other.
fn additions(ladder: &Ladder) -> String {
    let mut text = String::new();
    for rung in &ladder.rungs {
        let below = ladder.rungs.iter().find(|it| it.side.is_some() && it.side == rung.stands_on);
        let Some(below) = below else { continue };
        let mut parts: Vec<String> = SHOWN
            .iter()
            .filter_map(|measure| row(ladder, rung, *measure))
            .map(|row| format!("{} {}", heading(row.metric), added(row)))
            .collect();
        let cpu = rung.cpu.as_ref().and_then(|cpu| cpu.adds_ms);
        parts.extend(cpu.map(|it| format!("CPU, ms {}", difference(it.mean, it.low, it.high))));
        let name = format!("  {} over {}: ", rung.level.name(), below.level.name());
        text.push_str(&flowed(&name, " · ", &parts));
    }
    text
}

fn waterfall(ladder: &Ladder) -> String {
    let longest = ladder.rungs.iter().filter_map(|rung| rung.parts.as_ref()).map(|it| it.e2e_ms);
    let longest = longest.fold(0.0, f64::max);
    let mut text = String::new();
    for rung in &ladder.rungs {
        let Some(parts) = &rung.parts else { continue };
        // Writing to a string cannot fail, here and below.
        let _infallible = writeln!(text, "  {:2} {}", rung.level.name(), bar(parts, longest));
        let part_texts: Vec<String> =
            slices(parts).iter().map(|(name, ms)| format!("{name} {}", figure(*ms))).collect();
        let (whole, pull) = (figure(parts.e2e_ms), figure(parts.pull_ms));
        let words = format!("{whole} ms = {}, then pull {pull}", part_texts.join(" · "));
        text.push_str(&sentence("     ", &words));
    }
    let legend: Vec<String> = ["queue", "prefill", "decode", "overhead"]
        .iter()
        .zip(SHADES)
        .map(|(name, shade)| format!("{shade} {name}"))
        .collect();
    let _infallible = writeln!(text, "     {}   · not broken down", legend.join("   "));
    text
}

/// A bar of whole characters; rounding is done on the running sum, so that bars of equal length stay equal.
fn bar(parts: &Parts, longest: f64) -> String {
    let place = |ms: f64| (ms.max(0.0) / longest.max(1e-9) * LONGEST).round() as usize;
    let (mut sum, mut drawn, mut bar) = (0.0, 0, String::new());
    let broken_down = parts.engine.is_some();
    for (index, (_, ms)) in slices(parts).into_iter().enumerate() {
        sum += ms;
        let until = place(sum);
        let shade = if broken_down { SHADES[index] } else { '·' };
        bar.extend(std::iter::repeat_n(shade, until.saturating_sub(drawn)));
        drawn = drawn.max(until);
    }
    if bar.is_empty() { "▏".to_owned() } else { bar }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::ladder::EngineParts;

    #[test]
    fn a_bar_is_as_long_as_its_latency_and_shows_each_part() {
        let engine =
            EngineParts { queue_ms: 10.0, prefill_ms: 20.0, decode_ms: 20.0, overhead_ms: 10.0 };
        let parts = Parts { requests: 1, e2e_ms: 60.0, engine: Some(engine), pull_ms: 0.0 };
        let drawn = bar(&parts, 120.0);
        assert_eq!(
            drawn,
            format!("{}{}{}{}", "░".repeat(5), "▒".repeat(10), "█".repeat(10), "▓".repeat(5))
        );
        assert_eq!(bar(&Parts { engine: None, ..parts }, 60.0), "·".repeat(60));
        assert_eq!(bar(&Parts { engine: None, e2e_ms: 0.001, ..parts }, 60.0), "▏");
    }
}
