//! Worked examples of rooflines.

use super::*;
use crate::metrics::roofline::{Bound, Roofline, floor};
use crate::record::request_record::{EngineTimes, EngineUse};
use crate::specs::{Arithmetic, MachineFigures, ModelFigures, PeakFlops, RooflineFacts};

/// 1 GB of weights and 1 MB of cache for each token, on a machine of 1 TB/s and 1 PFLOP/s.
fn known() -> RooflineFacts {
    RooflineFacts {
        model: ModelFigures {
            parameters: 1e9,
            active_parameters: 1e9,
            weight_bytes: 1e9,
            experts: None,
            kv_bytes_per_token: 1e6,
            attention_width: 1e5,
            arithmetic: Arithmetic::Float8,
        },
        machine: MachineFigures {
            name: "paper".into(),
            bandwidth_bytes_per_s: 1e12,
            peak: PeakFlops::only(Arithmetic::Float8, 1e15),
            source: "a sheet of paper".into(),
        },
        machine_from: None,
        measured: None,
        tensor_parallel: 1,
        pipeline_parallel: 1,
    }
}

/// Five tokens from `first` on, 10 ms apart.
fn five(id: u32, first: f64) -> Played {
    let deliveries = [0.0, 10.0, 20.0, 30.0, 40.0].map(|after| (first + after, 1));
    played(id, 0.0, &deliveries)
}

fn roofline_of(rows: Vec<Played>, known: Option<RooflineFacts>) -> Option<Roofline> {
    let mut facts = facts(closed(), 1_000.0, rows.len());
    facts.roofline = known;
    summary_of(rows, &facts).roofline
}

fn close(value: f64, expected: f64) {
    assert!((value / expected - 1.0).abs() < 1e-12, "{value} is not {expected}");
}

#[test]
fn without_a_model_or_a_machine_there_is_no_roofline() {
    assert_eq!(roofline_of(vec![five(0, 10.0)], None), None);
}

#[test]
fn the_batch_is_averaged_over_the_time_in_which_there_is_one() {
    // From 10 to 50 and from 30 to 70: 80 ms of decoding in 60 ms, at 100 + (1 + 5 − 1) ÷ 2 tokens each.
    let roofline = roofline_of(vec![five(0, 10.0), five(1, 30.0)], Some(known())).unwrap();
    let decode = roofline.decode.unwrap();
    close(decode.batch, 4.0 / 3.0);
    assert_eq!((decode.context_tokens, decode.step_ms), (102.5, Some(10.0)));
    // 1 GB of weights and 4/3 × 102.5 MB of cache.
    close(decode.floor.memory_ms, 1.0 + 0.410 / 3.0);
    close(decode.floor.compute_ms.unwrap(), 4.0 / 3.0 * 2.041e-3);
    assert_eq!(decode.bound, Bound::Memory);
    close(decode.share.unwrap(), (1.0 + 0.410 / 3.0) / 10.0);
    assert_eq!(decode.share, decode.bandwidth_utilisation);
}

#[test]
fn operations_count_in_the_window_of_their_tokens() {
    // Two prompts of 100 × 2 GFLOP and 2 × 1e5 × 100² for attention, eight tokens of 2.041 GFLOP, in a second.
    let rows = vec![five(0, 10.0), five(1, 30.0)];
    let roofline = roofline_of(rows, Some(known())).unwrap();
    close(roofline.flop_utilisation.unwrap(), (2.0 * 202e9 + 8.0 * 2.041e9) / 1e15);
    // The second request begins before the end of the window and goes on behind it.
    let rows = vec![five(0, 10.0), five(1, 980.0)];
    let roofline = roofline_of(rows, Some(known())).unwrap();
    close(roofline.flop_utilisation.unwrap(), (2.0 * 202e9 + 5.0 * 2.041e9) / 1e15);
}

#[test]
fn prefill_is_held_against_the_engines_own_time() {
    let rows = [five(0, 10.0), five(1, 30.0), five(2, 40.0)].map(|(mut record, arrivals)| {
        if record.id != RequestId(2) {
            record.engine_times = Some(EngineTimes {
                arrival: record.submit,
                first_scheduled: record.first_token.map(|at| at - Nanos::from_millis(5)),
                first_token: record.first_token,
                last_token: record.last_token,
            });
        }
        (record, arrivals)
    });
    let prefill = roofline_of(rows.into(), Some(known())).unwrap().prefill.unwrap();
    assert_eq!((prefill.prompt_tokens, prefill.measured_ms), (100.0, Some(5.0)));
    assert_eq!((prefill.floor_ms, prefill.bound), (1.0, Bound::Memory));
    close(prefill.floor.compute_ms.unwrap(), 0.202);
    close(prefill.share.unwrap(), 0.2);
    let unstamped = roofline_of(vec![five(0, 10.0)], Some(known())).unwrap().prefill.unwrap();
    assert_eq!((unstamped.floor_ms, unstamped.measured_ms, unstamped.share), (1.0, None, None));
}

#[test]
fn the_tokens_of_a_first_delivery_were_not_decoded() {
    // Tokens 4 and 5 were computed over 103 and 104.
    let rows = vec![played(0, 0.0, &[(10.0, 3), (20.0, 1), (30.0, 1)])];
    let decode = roofline_of(rows, Some(known())).unwrap().decode.unwrap();
    assert_eq!((decode.batch, decode.context_tokens), (1.0, 103.5));
}

#[test]
fn where_prompts_were_reused_their_operations_are_not_known() {
    let mut rows = vec![five(0, 10.0), five(1, 30.0)];
    rows[1].0.engine_use = Some(EngineUse { kv_reused_blocks: 1, ..EngineUse::default() });
    let roofline = roofline_of(rows, Some(known())).unwrap();
    assert_eq!((roofline.prefill, roofline.flop_utilisation), (None, None));
    assert!(roofline.decode.unwrap().share.is_some());
}

#[test]
fn where_nothing_was_decoded_there_is_no_decoding() {
    let roofline = roofline_of(vec![played(0, 0.0, &[(10.0, 4)])], Some(known())).unwrap();
    assert_eq!(roofline.decode, None);
    assert!(roofline_of(Vec::new(), Some(known())).unwrap().prefill.is_none());
}

#[test]
fn the_documented_example_is_what_the_program_computes() {
    const DOCUMENT: &str = include_str!("../../../docs/METRICS.md");
    let facts = RooflineFacts {
        model: ModelFigures {
            parameters: 8e9,
            active_parameters: 8e9,
            weight_bytes: 8e9,
            experts: None,
            kv_bytes_per_token: 65_536.0,
            attention_width: 131_072.0,
            arithmetic: Arithmetic::Float8,
        },
        machine: MachineFigures::gpu("h200").unwrap(),
        machine_from: None,
        measured: None,
        tensor_parallel: 1,
        pipeline_parallel: 1,
    };
    let (decode, prefill) = (floor::decode(&facts, 8.0, 1_000.0), floor::prefill(&facts, 1_000.0));
    let text = format!(
        "memory {:.3} ms, arithmetic {:.3} ms, so the floor is {:.3} ms; a measured step of 2.5 ms reaches {:.1} %",
        decode.memory_ms,
        decode.compute_ms.unwrap(),
        decode.ms(),
        decode.ms() / 2.5 * 100.0
    );
    assert!(DOCUMENT.contains(&text), "{text}");
    let text = format!(
        "memory {:.3} ms, arithmetic {:.3} ms, so the floor is {:.3} ms",
        prefill.memory_ms,
        prefill.compute_ms.unwrap(),
        prefill.ms()
    );
    assert!(DOCUMENT.contains(&text), "{text}");
}

#[test]
fn the_same_run_is_held_against_what_the_machine_was_measured_to_do() {
    let measured = |float8| MachineFigures {
        bandwidth_bytes_per_s: 8e11,
        peak: PeakFlops { float8, ..PeakFlops::default() },
        source: "measured at noon".into(),
        ..known().machine
    };
    let rows = || vec![five(0, 10.0)];
    let with = |float8| RooflineFacts { measured: Some(measured(float8)), ..known() };
    let paper = roofline_of(rows(), Some(known())).unwrap();
    assert_eq!(paper.measured, None);
    let both = roofline_of(rows(), Some(with(Some(5e14)))).unwrap();
    assert_eq!((&both.decode, both.flop_utilisation), (&paper.decode, paper.flop_utilisation));
    let found = both.measured.unwrap();
    // Memory holds a step of one sequence back, and it was measured at 80 %.
    close(found.decode_share.unwrap(), paper.decode.unwrap().share.unwrap() / 0.8);
    close(found.flop_utilisation.unwrap(), paper.flop_utilisation.unwrap() / 0.5);
    // Without FP8 nobody knows whether the memory is what holds it back.
    let found = roofline_of(rows(), Some(with(None))).unwrap().measured.unwrap();
    assert_eq!(
        (found.decode_share, found.prefill_floor_ms, found.flop_utilisation),
        (None, None, None)
    );
    close(
        found.bandwidth_utilisation.unwrap(),
        paper.decode.unwrap().bandwidth_utilisation.unwrap() / 0.8,
    );
}
