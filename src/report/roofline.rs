//! One-line text of a roofline, for console and page.

use crate::metrics::definition::Unit;
use crate::metrics::roofline::{Bound, OfMeasured, Roofline};
use crate::report::figures::{figure, with_unit};

/// Its parts, the most telling first: floors with the share that was reached, and utilisations.
pub fn parts(roofline: &Roofline) -> Vec<String> {
    let measured = |of: fn(&OfMeasured) -> Option<f64>| roofline.measured.as_ref().and_then(of);
    let mut parts = Vec::new();
    if let Some(decode) = &roofline.decode {
        let load = format!(
            "batch {} at {:.0} tokens, {}",
            figure(decode.batch),
            decode.context_tokens,
            decode.bound.word()
        );
        let of_measured = measured(|it| it.decode_share);
        parts.push(floor("decode", decode.floor_ms, &load, decode.share, of_measured));
    }
    if let Some(prefill) = &roofline.prefill {
        let load = format!("{:.0} tokens, {}", prefill.prompt_tokens, prefill.bound.word());
        let of_measured = measured(|it| it.prefill_share);
        parts.push(floor("prefill", prefill.floor_ms, &load, prefill.share, of_measured));
    }
    // Where the memory is what holds decoding back, its share says the same.
    let decode = roofline.decode.filter(|decode| decode.bound == Bound::Compute);
    if let Some(used) = decode.and_then(|decode| decode.bandwidth_utilisation) {
        let beside = beside(measured(|it| it.bandwidth_utilisation));
        parts.push(format!("memory bandwidth {}{beside}", share(used)));
    }
    if let Some(used) = roofline.flop_utilisation {
        let beside = beside(measured(|it| it.flop_utilisation));
        parts.push(format!("arithmetic {} of peak (MFU){beside}", share(used)));
    }
    parts
}

fn floor(
    what: &str,
    ms: f64,
    load: &str,
    reached: Option<f64>,
    of_measured: Option<f64>,
) -> String {
    let beside = beside(of_measured);
    let reached = reached.map_or_else(String::new, |it| format!(", {} reached{beside}", share(it)));
    format!("{what} floor {} ms ({load}){reached}", figure(ms))
}

/// The share of what the machine was measured to do, behind that of its datasheet.
fn beside(of_measured: Option<f64>) -> String {
    of_measured.map_or_else(String::new, |it| format!(" ({} of measured)", share(it)))
}

fn share(value: f64) -> String {
    with_unit(value, Unit::Fraction)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::roofline::{Decode, Floor};

    #[test]
    fn a_roofline_says_what_holds_back_and_how_much_was_reached() {
        let decode = Decode {
            batch: 7.5,
            context_tokens: 1_000.4,
            floor: Floor { memory_ms: 2.0, compute_ms: Some(4.0) },
            floor_ms: 4.0,
            bound: Bound::Compute,
            step_ms: Some(8.0),
            share: Some(0.5),
            bandwidth_utilisation: Some(0.25),
        };
        let roofline = Roofline {
            machine: "H200 SXM".into(),
            machine_from: None,
            decode: Some(decode),
            prefill: None,
            flop_utilisation: Some(0.031),
            measured: None,
        };
        assert_eq!(
            parts(&roofline),
            [
                "decode floor 4.00 ms (batch 7.50 at 1000 tokens, compute), 50.0 % reached",
                "memory bandwidth 25.0 %",
                "arithmetic 3.1 % of peak (MFU)",
            ]
        );
        let of_measured = OfMeasured {
            source: "measured at noon".into(),
            decode_floor_ms: None,
            decode_share: Some(0.6),
            bandwidth_utilisation: Some(0.28),
            prefill_floor_ms: None,
            prefill_share: None,
            flop_utilisation: Some(0.04),
        };
        let both = Roofline { measured: Some(of_measured), ..roofline };
        assert_eq!(
            parts(&both),
            [
                "decode floor 4.00 ms (batch 7.50 at 1000 tokens, compute), 50.0 % reached (60.0 % of measured)",
                "memory bandwidth 25.0 % (28.0 % of measured)",
                "arithmetic 3.1 % of peak (MFU) (4.0 % of measured)",
            ]
        );
    }
}
