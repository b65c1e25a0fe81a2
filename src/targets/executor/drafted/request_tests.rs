//! Tests of drafted requests, without engines.

use super::*;
use crate::targets::executor::request::plain_head;

const PROMPT: [i32; 3] = [7, 8, 9];
const DONE: Ending = Ending::Completed(FinishReason::Length);
const GOES_ON: Ending = Ending::Completed(FinishReason::Unknown);

fn head(max_tokens: i32) -> RequestHead {
    let plain = plain_head(5, PROMPT.len() as u32, max_tokens);
    RequestHead { end_id: 2, lora_task: 3, ..plain }
}

fn request_of(head: RequestHead, stop: &str) -> DraftedRequest {
    let terms = Terms {
        stop_words: (!stop.is_empty()).then(|| stop.parse().expect("token ids")),
        ..Terms::default()
    };
    DraftedRequest::new(head, PROMPT.to_vec(), Arc::new(terms), 4, MonoNs(0))
}

fn request(max_tokens: i32) -> DraftedRequest {
    request_of(head(max_tokens), "")
}

#[track_caller]
fn call_of(next: Next) -> EngineCall {
    match next {
        Next::Call(call) => call,
        Next::End(ending) => panic!("it is over: {ending:?}"),
    }
}

#[track_caller]
fn ended(next: Next) -> Ending {
    match next {
        Next::End(ending) => ending,
        Next::Call(call) => panic!("it goes on: {call:?}"),
    }
}

fn drafted(request: &mut DraftedRequest, drafts: &[i32]) -> Next {
    request.drafted(drafts, DONE, EngineTimes::default(), MonoNs(0))
}

fn verified(request: &mut DraftedRequest, tokens: &[i32], end: Ending) -> Next {
    request.verified(tokens, end, EngineTimes::default(), EngineUse::default(), MonoNs(0))
}

#[test]
fn a_round_drafts_after_all_so_far_and_has_the_target_verify_it() {
    let mut request = request(20);
    let call = call_of(request.begin(MonoNs(0)));
    assert_eq!((call.side, call.head.max_tokens, &call.tokens[..]), (Side::Draft, 4, &PROMPT[..]));
    assert_eq!((call.head.end_id, call.head.lora_task), (-1, 0), "the target's affairs");
    let call = call_of(drafted(&mut request, &[11, 12, 13, 14]));
    assert_eq!((call.side, call.head.max_tokens), (Side::Target, 5));
    assert_eq!(call.tokens, [7, 8, 9, 11, 12, 13, 14]);
    assert_eq!((call.head.prompt_len, call.head.draft_start, call.head.draft_len), (3, 3, 4));
    assert_eq!((call.head.end_id, call.head.lora_task), (2, 3));
    let call = call_of(verified(&mut request, &[11, 12, 20], GOES_ON));
    assert_eq!((call.side, &call.tokens[..]), (Side::Draft, &[7, 8, 9, 11, 12, 20][..]));
    assert_eq!(request.take_output(false), [11, 12, 20]);
    let (_, counts) = request.engine_report();
    assert_eq!((counts.draft_tokens, counts.accepted_draft_tokens), (4, 2));
}

#[test]
fn an_answer_to_an_earlier_round_is_known_as_such() {
    let mut request = request(20);
    let first = call_of(request.begin(MonoNs(0))).head.id;
    call_of(drafted(&mut request, &[1]));
    let second = call_of(verified(&mut request, &[1, 2], GOES_ON)).head.id;
    assert_ne!(first, second);
    assert_eq!((first as u32, second as u32), (5, 5), "and is still the request's own");
    assert_eq!(request.place(), (Side::Draft, second));
}

#[test]
fn the_last_tokens_are_not_drafted_in_vain() {
    let mut request = request(3);
    let call = call_of(request.begin(MonoNs(0)));
    assert_eq!(call.head.max_tokens, 2, "one comes from the target itself");
    call_of(drafted(&mut request, &[1, 2]));
    let call = call_of(verified(&mut request, &[1, 5], GOES_ON));
    assert_eq!((call.side, call.head.max_tokens, call.head.draft_len), (Side::Target, 1, 0));
    assert_eq!(ended(verified(&mut request, &[6], GOES_ON)), DONE);
}

#[test]
fn the_output_ends_with_the_target_s_end_token_and_with_what_adds_nothing() {
    for (ended_with, expected) in [
        (Ending::Completed(FinishReason::EndToken), FinishReason::EndToken),
        (Ending::Completed(FinishReason::StopWords), FinishReason::StopWords),
        (GOES_ON, FinishReason::Unknown),
    ] {
        let mut request = request(20);
        call_of(request.begin(MonoNs(0)));
        call_of(drafted(&mut request, &[1]));
        let ending = ended(verified(&mut request, &[], ended_with));
        assert_eq!(ending, Ending::Completed(expected));
    }
}

#[test]
fn a_stop_word_that_began_in_an_earlier_round_ends_the_output_where_it_ends() {
    let mut request = request_of(head(20), "50,51;60");
    call_of(request.begin(MonoNs(0)));
    call_of(drafted(&mut request, &[1]));
    call_of(verified(&mut request, &[1, 50], GOES_ON));
    call_of(drafted(&mut request, &[51, 52]));
    let ending = ended(verified(&mut request, &[51, 52, 53], GOES_ON));
    assert_eq!(ending, Ending::Completed(FinishReason::StopWords));
    assert_eq!(request.take_output(true), [1, 50, 51]);
    assert_eq!(request.engine_report().1.accepted_draft_tokens, 2, "and 52 was not kept");
}

#[test]
fn a_stop_word_does_not_end_what_must_be_longer() {
    let mut request = request_of(RequestHead { min_tokens: 3, ..head(20) }, "50");
    call_of(request.begin(MonoNs(0)));
    let call = call_of(drafted(&mut request, &[1]));
    assert_eq!(call.head.min_tokens, 2, "as far as one step goes");
    let call = call_of(verified(&mut request, &[1, 50], GOES_ON));
    assert_eq!(call.side, Side::Draft);
    let call = call_of(drafted(&mut request, &[]));
    assert_eq!(call.head.min_tokens, 1, "what is missing");
}

#[test]
fn a_cancel_takes_effect_with_the_next_answer_unless_that_completes_the_output() {
    let mut request = request(20);
    call_of(request.begin(MonoNs(0)));
    request.cancel();
    assert_eq!(ended(drafted(&mut request, &[1, 2])), Ending::Cancelled);

    let mut request = self::request(1);
    assert_eq!(call_of(request.begin(MonoNs(0))).side, Side::Target);
    request.cancel();
    assert_eq!(ended(verified(&mut request, &[1], GOES_ON)), DONE);
}

#[test]
fn time_is_allotted_to_all_rounds_together() {
    let mut request = request_of(RequestHead { allotted_ms: 10, ..head(20) }, "");
    assert_eq!(call_of(request.begin(MonoNs(0))).head.allotted_ms, 10);
    let next = request.drafted(&[1], DONE, EngineTimes::default(), MonoNs(4_000_000));
    assert_eq!(call_of(next).head.allotted_ms, 6);
    let (times, counts) = (EngineTimes::default(), EngineUse::default());
    let next = request.verified(&[1, 2], GOES_ON, times, counts, MonoNs(10_000_000));
    assert_eq!(ended(next), Ending::TimedOut);
    assert_eq!(request.take_output(true), [1, 2], "what had come is kept");
}

#[test]
fn what_does_not_stream_comes_at_the_end() {
    let mut request = request_of(RequestHead { streaming: false, ..head(3) }, "");
    call_of(request.begin(MonoNs(0)));
    call_of(drafted(&mut request, &[1, 2]));
    call_of(verified(&mut request, &[1, 4], GOES_ON));
    assert!(request.take_output(false).is_empty());
    ended(verified(&mut request, &[5], DONE));
    assert_eq!(request.take_output(true), [1, 4, 5]);
}

#[test]
fn stamps_are_the_draft_s_first_and_the_target_s_last_and_blocks_those_of_the_prompt() {
    let mut request = request(20);
    call_of(request.begin(MonoNs(0)));
    let at = |stamp| Some(MonoNs(stamp));
    let times = |from| EngineTimes {
        arrival: at(from),
        first_scheduled: at(from + 1),
        first_token: at(from + 2),
        last_token: at(from + 3),
    };
    call_of(request.drafted(&[1], DONE, times(10), MonoNs(0)));
    let used = EngineUse { kv_reused_blocks: 2, kv_missed_blocks: Some(1), ..EngineUse::default() };
    call_of(request.verified(&[1, 2], GOES_ON, times(20), used, MonoNs(0)));
    let later = EngineUse { kv_reused_blocks: 90, ..used };
    call_of(request.verified(&[1, 2], GOES_ON, times(40), later, MonoNs(0)));
    let (times, counts) = request.engine_report();
    let expected = EngineTimes {
        arrival: at(10),
        first_scheduled: at(11),
        first_token: at(22),
        last_token: at(43),
    };
    assert_eq!(times, expected);
    assert_eq!((counts.kv_reused_blocks, counts.kv_missed_blocks), (2, Some(1)));
}

#[test]
fn each_round_draws_afresh_where_tokens_are_drawn() {
    for (temperature, differs) in [(-1.0, false), (0.0, false), (0.7, true)] {
        let mut request = request_of(RequestHead { temperature, ..head(20) }, "");
        let first = call_of(request.begin(MonoNs(0))).head.seed;
        assert_eq!(call_of(drafted(&mut request, &[1])).head.seed, first, "both engines alike");
        let second = call_of(verified(&mut request, &[2], GOES_ON)).head.seed;
        assert_eq!(first != second, differs, "temperature {temperature}");
    }
}
