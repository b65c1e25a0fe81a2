//! Checks of the network path to a server: reachability, round trip, keep-alive, delayed acknowledgements.

use crate::clock::Nanos;
use crate::console::shell_word::quoted;
use crate::doctor::check_result::{Area, Check, CheckResult};
use crate::doctor::exchange::{Exchange, NetworkFacts};

/// Linux delays an acknowledgement by 40 ms. Held against the rest of an answer it shows as a plateau from there on.
const PLATEAU: std::ops::Range<Nanos> = Nanos::from_millis(30)..Nanos::from_millis(75);
/// The share of exchanges on the plateau from which it is one.
const PLATEAU_SHARE: f64 = 0.1;
/// A round trip above this is a visible part of most first tokens.
const LONG_WAY: Nanos = Nanos::from_millis(5);

/// Everything about one server and the way to it.
pub fn check_results(facts: &NetworkFacts) -> Vec<CheckResult> {
    let mut all = vec![reach(facts)];
    if let Some(way) = way(facts) {
        all.push(way);
    }
    if !facts.exchanges.is_empty() {
        all.extend([keep_alive(facts), delayed_acknowledgement(facts), first_byte(facts)]);
    }
    all
}

fn median(mut spans: Vec<Nanos>) -> Option<Nanos> {
    spans.sort_unstable();
    spans.get(spans.len() / 2).copied()
}

fn reach(facts: &NetworkFacts) -> CheckResult {
    let check = Check {
        area: Area::Network,
        id: "reach",
        why: "a server that does not answer now will not answer the first request either",
    };
    let place = &facts.place;
    match (&facts.failure, facts.status) {
        (Some(sentence), _) => {
            check.fail(format!("`{place}`: {sentence}"), format!("curl -v {}", quoted(place, "")))
        }
        (None, Some(status @ 500..)) => check.warn(
            format!("`{place}` answers with status {status}"),
            format!("read the server's log; then: curl -v {}", quoted(place, "")),
        ),
        (None, Some(status)) => check.pass(format!("`{place}` answers (status {status})")),
        (None, None) => check.pass(format!("`{place}` accepts connections")),
    }
}

fn way(facts: &NetworkFacts) -> Option<CheckResult> {
    let check = Check {
        area: Area::Network,
        id: "round_trip",
        why: "one round trip is part of every time to first token, and two more of every new connection",
    };
    let typical = median(facts.connects.clone())?;
    let place = if facts.loopback { "on this machine" } else { "over the network" };
    let count = facts.connects.len();
    let sentence = format!("{place}: connecting takes {typical} at the median of {count}");
    Some(if typical <= LONG_WAY {
        check.pass(sentence)
    } else {
        check.warn(sentence, "run bareflight on the server's machine, or on one beside it")
    })
}

fn keep_alive(facts: &NetworkFacts) -> CheckResult {
    let check = Check {
        area: Area::Network,
        id: "keep_alive",
        why: "a server that closes after each answer adds a connection to each request",
    };
    if facts.closed_by_server {
        return check.warn(
            "the server closes the connection after an answer",
            "let the server, or the proxy before it, keep connections alive (nginx: `keepalive_timeout 600s;`)",
        );
    }
    check.pass(format!("{} answers on one connection", facts.exchanges.len()))
}

/// The rest of an answer waits for the acknowledgement of its beginning, and the acknowledgement waits for company.
fn delayed_acknowledgement(facts: &NetworkFacts) -> CheckResult {
    let check = Check {
        area: Area::Network,
        id: "delayed_ack",
        why: "without TCP_NODELAY at the sender a small part of an answer waits for the acknowledgement of the one before \
              it, which Linux delays by 40 ms: such gaps then pass for time of the engine",
    };
    let way = median(facts.connects.clone()).unwrap_or(Nanos::ZERO);
    let of_answers: Vec<Nanos> = facts
        .exchanges
        .iter()
        .map(|Exchange { first_byte, complete }| Nanos(complete.0 - first_byte.0))
        .collect();
    let on_plateau = |gap: &&Nanos| PLATEAU.contains(&Nanos(gap.0 - way.0));
    let count = of_answers.iter().filter(on_plateau).count();
    let all = of_answers.len();
    let typical = median(of_answers).unwrap_or(Nanos::ZERO);
    if count as f64 >= PLATEAU_SHARE * all as f64 {
        return check.warn(
            format!(
                "in {count} of {all} answers the rest came about 40 ms after the first bytes: Nagle's algorithm at the \
                 server against our delayed acknowledgement"
            ),
            "set TCP_NODELAY in the server or in the proxy before it (nginx: `tcp_nodelay on;`), or have it write head and \
             body at once",
        );
    }
    check.pass(format!(
        "no plateau at 40 ms: the rest of an answer comes {typical} after its first bytes, at the median of {all}"
    ))
}

fn first_byte(facts: &NetworkFacts) -> CheckResult {
    let check = Check {
        area: Area::Network,
        id: "first_byte",
        why: "a proxy with Nagle's algorithm behind it delays whole answers by 40 ms, whatever the engine does",
    };
    let way = median(facts.connects.clone()).unwrap_or(Nanos::ZERO);
    let firsts: Vec<Nanos> = facts.exchanges.iter().map(|exchange| exchange.first_byte).collect();
    let least = firsts.iter().min().copied().unwrap_or(Nanos::ZERO);
    let typical = median(firsts).unwrap_or(Nanos::ZERO);
    let sentence =
        format!("an empty question is answered in {typical} at the median, {least} at best");
    // The server itself may take as long: only a floor that jumps by the delay is a symptom.
    let jumps = PLATEAU.contains(&Nanos(typical.0 - least.0)) && least < Nanos(way.0 + 10_000_000);
    if jumps {
        return check.warn(
            format!("{sentence}: a jump of about 40 ms"),
            "set TCP_NODELAY on every hop between client and engine (nginx: `tcp_nodelay on;`, towards the upstream too)",
        );
    }
    check.pass(sentence)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::check_result::Status;

    fn server(gaps_ms: &[i64], firsts_ms: &[i64]) -> NetworkFacts {
        let exchange = |(gap, first): (&i64, &i64)| Exchange {
            first_byte: Nanos::from_millis(*first),
            complete: Nanos::from_millis(first + gap),
        };
        NetworkFacts {
            place: "http://localhost:8000/v1/models".into(),
            loopback: true,
            connects: vec![Nanos::from_micros(60); 5],
            exchanges: gaps_ms.iter().zip(firsts_ms).map(exchange).collect(),
            status: Some(200),
            closed_by_server: false,
            failure: None,
        }
    }

    fn not_passed(facts: &NetworkFacts) -> Vec<(&'static str, Status)> {
        let found = check_results(facts);
        found.iter().filter(|f| f.status != Status::Pass).map(|f| (f.id, f.status)).collect()
    }

    #[test]
    fn a_quick_server_on_this_machine_passes() {
        assert_eq!(not_passed(&server(&[0; 20], &[1; 20])), []);
    }

    #[test]
    fn a_rest_that_waits_forty_milliseconds_is_named() {
        let mut gaps = [0; 20];
        gaps[3..9].fill(41);
        assert_eq!(not_passed(&server(&gaps, &[1; 20])), [("delayed_ack", Status::Warn)]);
    }

    #[test]
    fn a_long_way_is_not_taken_for_a_delayed_acknowledgement() {
        let mut far = server(&[41; 20], &[41; 20]);
        far.connects = vec![Nanos::from_millis(40); 5];
        assert_eq!(not_passed(&far), [("round_trip", Status::Warn)]);
    }

    #[test]
    fn whole_answers_that_jump_by_forty_milliseconds_are_named_and_a_slow_server_is_not() {
        let mut firsts = [42; 20];
        firsts[0] = 1;
        assert_eq!(not_passed(&server(&[0; 20], &firsts)), [("first_byte", Status::Warn)]);
        assert_eq!(not_passed(&server(&[0; 20], &[45; 20])), []);
    }

    #[test]
    fn nobody_there_fails_and_says_nothing_more() {
        let facts = NetworkFacts {
            failure: Some("connection refused".into()),
            status: None,
            exchanges: Vec::new(),
            connects: Vec::new(),
            ..server(&[], &[])
        };
        assert_eq!(not_passed(&facts), [("reach", Status::Fail)]);
    }
}
