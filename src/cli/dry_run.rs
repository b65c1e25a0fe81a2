//! `bareflight plan`: resolved settings with their origins, limits of the target, and planned points.

use std::fmt::Write;

use crate::cli::origin::{self, Origins, as_map};
use crate::engine_directory::memory::KvEstimate;
use crate::experiment::estimate::estimate;
use crate::experiment::preflight::Ready;
use crate::settings::Resolved;

/// Every setting with its origin, and every point with its plan.
///
/// # Errors
/// When settings cannot be shown as text, which plain data always can.
pub fn render(
    resolved: &Resolved,
    origins: &Origins,
    ready: &Ready,
) -> Result<String, serde_json::Error> {
    let mut text = String::from("settings\n");
    for (key, value) in as_map(&resolved.to_settings())? {
        let origin = origin::of(origins, &key);
        // Writing to a string cannot fail, here and below.
        let _infallible = writeln!(text, "  {key:18} {value:<34} {origin}");
    }
    let target = ready.opening.target.describe();
    let _infallible = writeln!(text, "\ntarget\n  {}\n  {}", target.name, target.title);
    let limits = target.limits;
    for (name, limit) in [
        ("longest prompt", limits.max_prompt_tokens),
        ("longest sequence", limits.max_sequence_tokens),
        ("vocabulary", limits.vocab_size),
        ("batch", limits.max_batch_size),
        ("queue", limits.max_queue_size),
    ] {
        let limit = limit.map_or_else(|| "unknown".into(), |limit| limit.to_string());
        let _infallible = writeln!(text, "  {name:18} {limit}");
    }
    text.push_str("\nplan\n");
    let cells = resolved.grid();
    for (plan, cell) in ready.plans.iter().zip(&cells) {
        let (mut prompt, mut output) = (0_u64, 0_u64);
        for shot in plan.shots().facts() {
            prompt += u64::from(shot.prompt_tokens);
            output += u64::from(shot.output_tokens);
        }
        let prompt = match prompt {
            0 => "no counted".to_owned(),
            counted => counted.to_string(),
        };
        let around = if plan.fill().is_empty() { "" } else { ", between ramp and tail" };
        let _infallible = writeln!(
            text,
            "  {:28} {} requests after {} warm-up{around}, {prompt} prompt and {output} output tokens, \
             sha-256 {}",
            if resolved.has_cells() { cell.name.clone() } else { cell.label(plan.label()) },
            plan.shots().len(),
            plan.warmup().len(),
            &plan.hash()[..16],
        );
    }
    let _infallible = writeln!(text, "\ntime\n  {}", estimate(&ready.plans).sentence());
    if let Some(KvEstimate { room, need }) = &ready.kv {
        let _infallible = writeln!(
            text,
            "\nKV cache\n  holds at most       {} tokens\n  largest load takes  {} tokens, for {} requests in flight",
            room.tokens, need.tokens, need.in_flight
        );
    }
    for warning in &ready.warnings {
        let _infallible =
            writeln!(text, "\n{} warning[{}]: {warning}", warning.code, warning.about);
    }
    text.push_str("\nnothing was run\n");
    Ok(text)
}
