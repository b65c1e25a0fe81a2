//! Tests of response progress, event by event.

use std::sync::Arc;

use super::*;

const ROLE: &str =
    r#"{"choices":[{"delta":{"role":"assistant","content":""},"finish_reason":null}]}"#;
const LENGTH: &str = r#"{"choices":[{"delta":{},"finish_reason":"length"}]}"#;

fn token(text: &str) -> String {
    format!(r#"{{"choices":[{{"delta":{{"content":"{text}"}},"finish_reason":null}}]}}"#)
}

fn usage(tokens: u32) -> String {
    format!(r#"{{"choices":[],"usage":{{"prompt_tokens":1,"completion_tokens":{tokens}}}}}"#)
}

/// Plays events and closes the stream; the tokens of each event, and the ending.
fn play<S: AsRef<str>>(events: &[S], end: StreamEnd) -> (Vec<u32>, Result<Closing, Failure>) {
    let mut answer = ResponseReader::default();
    let mut tokens = Vec::new();
    for event in events {
        if let Err(failure) = answer.feed(format!("data: {}\n\n", event.as_ref()).as_bytes()) {
            return (tokens, Err(failure));
        }
        tokens.extend(answer.take_output(None).map(|output| output.tokens));
    }
    (tokens, answer.close(end, 3, None))
}

fn kind_of(ending: Result<Closing, Failure>) -> FailureKind {
    ending.unwrap_err().kind
}

#[test]
fn role_and_usage_chunks_are_no_deliveries() {
    let events = [ROLE, &token("a"), &token(""), &token("b"), LENGTH, &usage(2), "[DONE]"]
        .map(str::to_owned);
    let (tokens, closing) = play(&events, StreamEnd::Clean);
    assert_eq!(tokens, [1, 1]);
    let closing = closing.unwrap();
    assert_eq!(closing.tokens, (2, TokenSource::Usage));
    assert_eq!(closing.finish, FinishReason::Length);
}

#[test]
fn without_a_count_each_chunk_with_text_is_one_token() {
    let (_, closing) = play(&[token("a"), token("b"), LENGTH.to_owned()], StreamEnd::Clean);
    assert_eq!(closing.unwrap().tokens, (2, TokenSource::Chunks));
}

#[test]
fn usage_that_runs_along_says_how_many_tokens_a_chunk_carried() {
    let with_usage = |text: &str, tokens: u32| {
        token(text).replace("}]}", &format!("}}],\"usage\":{{\"completion_tokens\":{tokens}}}}}"))
    };
    let events = [with_usage("a", 1), with_usage("bcd", 4), LENGTH.to_owned()];
    let (tokens, closing) = play(&events, StreamEnd::Clean);
    assert_eq!(tokens, [1, 3]);
    assert_eq!(closing.unwrap().tokens, (4, TokenSource::Usage));
}

#[test]
fn usage_in_the_last_chunk_only_does_not_pour_all_missing_tokens_into_it() {
    let last = r#"{"choices":[{"delta":{"content":"c"},"finish_reason":"stop"}],"usage":{"completion_tokens":9}}"#;
    let (tokens, closing) = play(&[token("a"), token("b"), last.to_owned()], StreamEnd::Clean);
    assert_eq!(tokens, [1, 1, 1]);
    assert_eq!(closing.unwrap().tokens.0, 9);
}

#[test]
fn ids_are_counted_and_hashed_however_they_were_cut() {
    let chunk = |ids: &str| format!(r#"{{"choices":[{{"text":"x","token_ids":[{ids}]}}]}}"#);
    let mut answer = ResponseReader::default();
    let stream = format!("data: {}\n\ndata: {}\n\n", chunk("5"), chunk("0,7"));
    answer.feed(stream.as_bytes()).unwrap();
    let output = answer.take_output(None).unwrap();
    assert_eq!(output, Output { tokens: 3, hash: TokenHash::of([5, 0, 7].into_iter()) });
    answer.feed(b"data: [DONE]\n\n").unwrap();
    let closing = answer.close(StreamEnd::Clean, 3, None).unwrap();
    assert_eq!((closing.tokens, closing.finish), ((3, TokenSource::Ids), FinishReason::Length));
}

#[test]
fn ids_that_some_chunks_lack_are_no_count_and_text_that_was_held_back_lacks_none() {
    let chunk = |ids: &str| format!(r#"{{"choices":[{{"text":"x","token_ids":[{ids}]}}]}}"#);
    let tokens = |events: &[String]| play(events, StreamEnd::Clean).1.unwrap().tokens;
    let (with, without) = (chunk("5"), chunk(""));
    let done = "[DONE]".to_owned();
    let by_turns = [&with, &without, &with, &without, &with, &done].map(Clone::clone);
    assert_eq!(tokens(&by_turns), (5, TokenSource::Chunks));
    let counted = [&by_turns[..5], &[usage(5), done.clone()]].concat();
    assert_eq!(tokens(&counted), (5, TokenSource::Usage));
    let of_some = [with.clone(), with.clone(), with.clone(), usage(6), done.clone()];
    assert_eq!(tokens(&of_some), (6, TokenSource::Usage), "it gave ids of half of them");
    let end_token = [with.clone(), with.clone(), with.clone(), usage(4), done.clone()];
    assert_eq!(tokens(&end_token), (3, TokenSource::Ids), "an end token has no place in the text");
    let held_back = [&with, &with, &with, &without, &done].map(Clone::clone);
    assert_eq!(tokens(&held_back), (3, TokenSource::Ids));
}

#[test]
fn a_count_of_ours_that_differs_is_noted_beside_the_servers() {
    let words: CountTokens = Arc::new(|text: &str| text.split_whitespace().count());
    let close = |events: &[&str]| {
        let mut answer = ResponseReader::default();
        for event in events {
            answer.feed(format!("data: {event}\n\n").as_bytes()).unwrap();
        }
        answer.close(StreamEnd::Clean, 9, Some(&words)).unwrap()
    };
    let (a, b) = (token("one two"), token(" three"));
    let closing = close(&[&a, &b, LENGTH, &usage(4)]);
    assert_eq!((closing.tokens, closing.mismatch), ((4, TokenSource::Usage), Some((4, 3))));
    assert_eq!(close(&[&a, &b, LENGTH]).tokens, (3, TokenSource::Retokenized));
    assert_eq!(close(&[&a, &b, LENGTH, &usage(3)]).mismatch, None);
    assert_eq!(closing.prompt, Some(1), "the server's count of the prompt is kept");
    assert_eq!(close(&[&a, &b, LENGTH]).prompt, None);
}

#[test]
fn a_tokenizer_says_what_each_read_brought_where_nothing_else_does() {
    let words: CountTokens = Arc::new(|text: &str| text.split_whitespace().count());
    let mut answer = ResponseReader::default();
    let mut tokens_of = |events: &[String]| {
        for event in events {
            answer.feed(format!("data: {event}\n\n").as_bytes()).unwrap();
        }
        answer.take_output(Some(&words)).map(|output| output.tokens)
    };
    assert_eq!(tokens_of(&[token(" one two three")]), Some(3));
    assert_eq!(tokens_of(&[token(" four"), token(" five")]), Some(2));
    assert_eq!(tokens_of(&[token(" si")]), Some(1));
    assert_eq!(tokens_of(&[token("x")]), Some(0), "the rest of a word");
    let ids = r#"{"choices":[{"text":" a b","token_ids":[5]}]}"#;
    assert_eq!(tokens_of(&[ids.to_owned()]), Some(1), "ids are better");
}

#[test]
fn a_text_without_a_token_is_counted_by_its_chunks_and_marked() {
    let none: CountTokens = Arc::new(|_: &str| 0);
    let mut answer = ResponseReader::default();
    for event in [token("a"), token("b"), LENGTH.to_owned()] {
        answer.feed(format!("data: {event}\n\n").as_bytes()).unwrap();
    }
    let closing = answer.close(StreamEnd::Clean, 9, Some(&none)).unwrap();
    assert_eq!(closing.tokens, (2, TokenSource::Chunks));
    assert_eq!(closing.oddity, Some(Oddity::NoTokensInText));
}

#[test]
fn a_missing_done_is_fine_after_a_finish_reason_even_on_a_broken_connection() {
    let events = [token("a"), LENGTH.to_owned()];
    assert!(play(&events, StreamEnd::Clean).1.is_ok());
    assert!(play(&events, StreamEnd::Broken("reset".to_owned())).1.is_ok());
}

#[test]
fn an_answer_that_stops_early_is_truncated_or_disconnected() {
    let cut = [token("a")];
    assert_eq!(kind_of(play(&cut, StreamEnd::Clean).1), FailureKind::Truncated);
    let broken = StreamEnd::Broken("reset by peer".to_owned());
    assert_eq!(kind_of(play(&cut, broken).1), FailureKind::Disconnected);
    let done = [token("a"), "[DONE]".to_owned()];
    assert_eq!(kind_of(play(&done, StreamEnd::Clean).1), FailureKind::Truncated);
}

#[test]
fn done_alone_ends_the_answer_of_a_server_that_knows_no_finish_reason() {
    let events = [r#"{"choices":[{"text":"a"}]}"#, "[DONE]"];
    assert_eq!(play(&events, StreamEnd::Clean).1.unwrap().finish, FinishReason::Unknown);
}

#[test]
fn an_answer_without_a_token_is_empty_unless_the_server_counted_one() {
    let (empty, end_at_once) =
        ([ROLE, LENGTH, "[DONE]"], [ROLE.to_owned(), LENGTH.to_owned(), usage(1)]);
    assert_eq!(kind_of(play(&empty, StreamEnd::Clean).1), FailureKind::Empty);
    assert_eq!(kind_of(play(&[] as &[&str], StreamEnd::Clean).1), FailureKind::Empty);
    assert_eq!(play(&end_at_once, StreamEnd::Clean).1.unwrap().tokens.0, 1);
}

#[test]
fn an_error_inside_a_stream_is_a_failure_with_the_servers_words() {
    let error = r#"{"error":{"message":"out of blocks","code":500}}"#;
    let failure = play(&[&token("a"), error, "[DONE]"], StreamEnd::Clean).1.unwrap_err();
    assert_eq!(failure, Failure::new(FailureKind::ErrorInStream, "out of blocks (500)"));
    let mut answer = ResponseReader::default();
    let named = answer.feed(b"event: error\ndata: gone\n\n").unwrap_err();
    assert_eq!((named.kind, named.message.as_str()), (FailureKind::ErrorInStream, "gone"));
    let aborted = r#"{"choices":[{"delta":{},"finish_reason":"abort"}]}"#;
    assert_eq!(kind_of(play(&[aborted], StreamEnd::Clean).1), FailureKind::Engine);
}

#[test]
fn what_is_no_json_is_malformed_and_comments_in_data_are_not() {
    assert_eq!(kind_of(play(&["{\"choices\":["], StreamEnd::Clean).1), FailureKind::Malformed);
    let events = [": keep-alive".to_owned(), token("a"), LENGTH.to_owned()];
    assert!(play(&events, StreamEnd::Clean).1.is_ok());
}

#[test]
fn a_whole_answer_is_one_delivery_of_all_its_tokens() {
    let body = r#"{"choices":[{"message":{"content":"a b c"},"finish_reason":"stop"}],"usage":{"completion_tokens":3}}"#;
    let (output, closing) = ResponseReader::default().whole(body.as_bytes(), None, None).unwrap();
    assert_eq!((output.tokens, closing.finish), (3, FinishReason::EndToken));
    let embedding = r#"{"data":[{"embedding":[0.5]}],"usage":{"prompt_tokens":3}}"#;
    assert_eq!(
        ResponseReader::default().whole(embedding.as_bytes(), None, None).unwrap().0.tokens,
        0
    );
    let nothing = ResponseReader::default().whole(br#"{"choices":[]}"#, None, None).unwrap_err();
    assert_eq!(nothing.kind, FailureKind::Empty);
}

#[test]
fn an_answer_used_again_remembers_nothing() {
    let mut answer = ResponseReader::default();
    answer.feed(format!("data: {LENGTH}\n\ndata: [DONE]\n\ndata: half").as_bytes()).unwrap();
    answer.restart(RunningUsage::default());
    answer.feed(format!("data: {}\n\n", token("a")).as_bytes()).unwrap();
    assert_eq!(answer.take_output(None).unwrap().tokens, 1);
    assert!(!answer.is_done());
    assert_eq!(answer.close(StreamEnd::Clean, 3, None).unwrap_err().kind, FailureKind::Truncated);
}

/// Plays bytes in pieces of this size and reads the document that they are.
fn document_in_pieces(body: &[u8], size: usize) -> Result<(Output, Closing), Failure> {
    let mut answer = ResponseReader::default();
    for piece in body.chunks(size) {
        answer.feed(piece)?;
    }
    assert!(answer.is_document());
    answer.document(StreamEnd::Clean, None)
}

#[test]
fn a_document_in_place_of_a_stream_is_known_by_its_first_byte() {
    let body = "\u{feff}\n {\"choices\":[{\"text\":\" a b\",\"finish_reason\":\"length\"}],\n\"usage\":{\"completion_tokens\":2}}";
    for size in [1, 7, 1_000] {
        let (output, closing) = document_in_pieces(body.as_bytes(), size).unwrap();
        assert_eq!((output.tokens, closing.finish), (2, FinishReason::Length), "{size}");
    }
    let broken = StreamEnd::Broken("reset".to_owned());
    let mut cut = ResponseReader::default();
    cut.feed(&body.as_bytes()[..30]).unwrap();
    assert_eq!(cut.document(broken, None).unwrap_err().kind, FailureKind::Disconnected);
}

#[test]
fn what_came_in_place_of_an_answer_is_said() {
    let lines = "{\"choices\":[{\"text\":\"a\"}]}\n{\"choices\":[{\"text\":\"b\"}]}\n";
    let failure = document_in_pieces(lines.as_bytes(), 9).unwrap_err();
    assert!(failure.message.contains("several JSON objects in a row"), "{}", failure.message);
    let page = ResponseReader::default().feed(b"\n<!doctype html>").unwrap_err();
    assert!(page.message.contains("web page"), "{}", page.message);
    let ended = |bytes: &str| {
        let mut answer = ResponseReader::default();
        answer.feed(bytes.as_bytes()).unwrap();
        answer.close(StreamEnd::Clean, 3, None).unwrap_err()
    };
    let plain = ended("upstream is gone\n");
    assert_eq!(plain.kind, FailureKind::Malformed);
    assert!(plain.message.contains("It begins with: upstream is gone"), "{}", plain.message);
    let odd = ended("data: {\"notice\":\"try later\"}\n\ndata: [DONE]\n\n");
    assert!(odd.message.contains("try later"), "{}", odd.message);
}

#[test]
fn a_total_beside_each_chunk_is_no_running_count_once_that_is_known() {
    let each =
        r#"{"choices":[{"text":" a","finish_reason":null}],"usage":{"completion_tokens":3}}"#;
    let play = |usage: RunningUsage| {
        let mut answer = ResponseReader::default();
        answer.restart(usage);
        let mut tokens = Vec::new();
        for event in [each, each, each, LENGTH] {
            answer.feed(format!("data: {event}\n\n").as_bytes()).unwrap();
            tokens.extend(answer.take_output(None).map(|output| output.tokens));
        }
        let running = answer.had_running_usage();
        (tokens, running, answer.close(StreamEnd::Clean, 3, None).unwrap().tokens)
    };
    let (_, running, total) = play(RunningUsage::default());
    assert_eq!((running, total), (Some(false), (3, TokenSource::Usage)));
    assert_eq!(play(RunningUsage::apart()).0, [1, 1, 1]);
}

#[test]
fn a_count_in_a_read_of_its_own_belongs_to_the_output_handed_out_before() {
    let chunk = |text: &str| format!("data: {{\"choices\":[{{\"text\":\"{text}\"}}]}}\n\n");
    let count = |tokens: u32| {
        format!("data: {{\"choices\":[],\"usage\":{{\"completion_tokens\":{tokens}}}}}\n\n")
    };
    let play = |reads: &[String], count: Option<&CountTokens>| {
        let mut answer = ResponseReader::default();
        let mut seen = Vec::new();
        for read in reads {
            answer.feed(read.as_bytes()).unwrap();
            let tokens = |output: Output| output.tokens;
            seen.push((answer.take_belated().map(tokens), answer.take_output(count).map(tokens)));
        }
        (seen, answer.had_running_usage())
    };
    let apart = [chunk(" a b c"), count(3), chunk(" d"), count(4)];
    let told = vec![(None, Some(1)), (Some(2), None), (None, Some(1)), (None, None)];
    assert_eq!(play(&apart, None), (told, Some(true)));
    let with_the_next = [chunk(" a b c"), count(3) + &chunk(" d e"), count(5)];
    let told = vec![(None, Some(1)), (Some(2), Some(1)), (Some(1), None)];
    assert_eq!(play(&with_the_next, None), (told, Some(true)));
    let ahead = [count(3), chunk(" a b c"), count(4), chunk(" d")];
    let told = vec![(None, None), (None, Some(3)), (None, None), (None, Some(1))];
    assert_eq!(play(&ahead, None), (told, Some(true)));
    let words: CountTokens = std::sync::Arc::new(|text| text.split_whitespace().count());
    let told = vec![(None, Some(3)), (None, None), (None, Some(1)), (None, None)];
    assert_eq!(play(&apart, Some(&words)).0, told, "what the tokenizer told of is not added again");
}

#[test]
fn log_probabilities_tell_the_tokens_of_a_chunk_where_nothing_else_does() {
    let chat = r#"{"choices":[{"delta":{"content":" a b"},"logprobs":{"content":[{"token":" a"},{"token":" b"}]}}]}"#;
    let held_back =
        r#"{"choices":[{"delta":{"content":""},"logprobs":{"content":[{"token":"x"}]}}]}"#;
    let completion = r#"{"choices":[{"text":" c d e","finish_reason":"length","logprobs":{"tokens":[" c"," d"," e"]}}]}"#;
    let mut answer = ResponseReader::default();
    let mut told = Vec::new();
    for event in [chat, held_back, completion] {
        answer.feed(format!("data: {event}\n\n").as_bytes()).unwrap();
        told.push(answer.take_output(None).map(|output| output.tokens));
    }
    assert_eq!(told, [Some(2), None, Some(4)]);
    let words: CountTokens = std::sync::Arc::new(|text| text.split_whitespace().count());
    let closing = answer.close(StreamEnd::Clean, 6, Some(&words)).unwrap();
    assert_eq!(closing.tokens, (6, TokenSource::Usage), "the tokenizer counts five");
}

#[test]
fn each_of_several_outputs_that_nobody_asked_for_is_counted() {
    let two =
        r#"{"choices":[{"index":1,"text":" a"},{"index":0,"text":" b","finish_reason":"length"}]}"#;
    let mut answer = ResponseReader::default();
    answer.feed(format!("data: {two}\n\n").as_bytes()).unwrap();
    assert_eq!(answer.take_output(None).unwrap().tokens, 2);
    assert_eq!(answer.close(StreamEnd::Clean, 1, None).unwrap().tokens, (2, TokenSource::Chunks));
}

#[test]
fn named_events_without_an_object_and_odd_end_markers_harm_nothing() {
    for marker in ["[DONE]", "[done]", "\"[DONE]\""] {
        let ping = "event: ping\ndata: pong\n\nevent: heartbeat\ndata: 1700000000\n\n";
        let named = format!("event: chunk\ndata: {}\n\ndata: {LENGTH}\n\n", token(" a"));
        let mut answer = ResponseReader::default();
        answer.feed(format!("{ping}{named}{ping}data: {marker}\n\n").as_bytes()).unwrap();
        assert!(answer.is_done(), "{marker}");
        let closing = answer.close(StreamEnd::Clean, 3, None).unwrap();
        assert_eq!(closing.finish, FinishReason::Length, "{marker}");
    }
    let mut answer = ResponseReader::default();
    let unnamed = answer.feed(b"data: pong\n\n").unwrap_err();
    assert_eq!(unnamed.kind, FailureKind::Malformed);
}

#[test]
fn counts_that_are_written_as_texts_are_counts() {
    let usage = r#"{"choices":[],"usage":{"prompt_tokens":"16","completion_tokens":"8"}}"#;
    let mut answer = ResponseReader::default();
    let events = [&*token(" a"), LENGTH, usage].map(|event| format!("data: {event}\n\n"));
    answer.feed(events.concat().as_bytes()).unwrap();
    let closing = answer.close(StreamEnd::Clean, 8, None).unwrap();
    assert_eq!((closing.tokens, closing.prompt), ((8, TokenSource::Usage), Some(16)));
}

#[test]
fn an_error_inside_a_choice_or_its_delta_fails_with_its_words() {
    for choice in [
        r#"{"finish_reason":"error","error":{"message":"boomwords"}}"#,
        r#"{"delta":{"error":{"message":"boomwords"}},"finish_reason":"stop"}"#,
    ] {
        let event = format!("data: {{\"choices\":[{choice}]}}\n\n");
        let failure = ResponseReader::default().feed(event.as_bytes()).unwrap_err();
        assert_eq!((failure.kind, &*failure.message), (FailureKind::ErrorInStream, "boomwords"));
    }
}
