//! Tests of the chunk parser.

use super::*;

fn chunk(json: &str) -> Chunk {
    let mut chunk = Chunk::default();
    chunk.read(json.as_bytes()).unwrap();
    chunk
}

fn text(json: &str) -> String {
    String::from_utf8(chunk(json).text).unwrap()
}

#[test]
fn every_kind_of_generated_text_counts_as_output() {
    for (json, expected) in [
        (r#"{"choices":[{"delta":{"content":"a\n"}}]}"#, "a\n"),
        (r#"{"choices":[{"delta":{"role":"assistant","reasoning":"b"}}]}"#, "b"),
        (r#"{"choices":[{"delta":{"reasoning_content":"c","content":null}}]}"#, "c"),
        (r#"{"choices":[{"delta":{"refusal":"d"}}]}"#, "d"),
        (
            r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"id":"x","type":"function","function":{"name":"f","arguments":"{"}}]}}]}"#,
            "f{",
        ),
        (r#"{"choices":[{"delta":{"content":[{"type":"text","text":"e"}]}}]}"#, "e"),
        (r#"{"choices":[{"text":"g","index":0}]}"#, "g"),
        (r#"{"choices":[{"message":{"role":"assistant","content":"h"}}]}"#, "h"),
        (r#"{"choices":[{"text":"i","delta":{"content":"i"},"message":{"content":"i"}}]}"#, "i"),
        (r#"{"choices":[{"text":"j"},{"text":"j"}]}"#, "jj"),
    ] {
        assert_eq!(text(json), expected, "{json}");
    }
}

#[test]
fn output_tokens_are_those_that_are_not_of_the_prompt_where_only_both_together_are_told() {
    let told = |usage: &str| {
        let usage = chunk(&format!(r#"{{"choices":[],"usage":{usage}}}"#)).usage;
        usage.and_then(|usage| usage.completion)
    };
    assert_eq!(told(r#"{"prompt_tokens":3,"total_tokens":7}"#), Some(4));
    assert_eq!(told(r#"{"total_tokens":7,"prompt_tokens":3,"completion_tokens":5}"#), Some(5));
    assert_eq!(told(r#"{"total_tokens":7}"#), None);
}

#[test]
fn role_empty_and_usage_chunks_carry_no_output() {
    for json in [
        r#"{"choices":[{"delta":{"role":"assistant","content":""}}]}"#,
        r#"{"choices":[{"delta":{"role":"assistant","content":null}}]}"#,
        r#"{"choices":[{"delta":{},"finish_reason":"stop"}]}"#,
        r#"{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4}}"#,
        r#"{"choices":null}"#,
        "{}",
    ] {
        assert!(!chunk(json).has_output(), "{json}");
    }
}

#[test]
fn usage_is_found_wherever_it_stands_and_zeros_do_not_hide_it() {
    let usage = |json: &str| chunk(json).usage;
    let four = Some(Usage { prompt: Some(3), completion: Some(4), cached: None, total: None });
    assert_eq!(usage(r#"{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4}}"#), four);
    assert_eq!(
        usage(r#"{"choices":[{"usage":{"prompt_tokens":3,"completion_tokens":4.0}}]}"#),
        four
    );
    assert_eq!(
        usage(
            r#"{"usage":{"prompt_tokens":0,"completion_tokens":0},"choices":[{"usage":{"prompt_tokens":3,"completion_tokens":4}}]}"#
        ),
        four
    );
    assert_eq!(usage(r#"{"usage":null}"#), None);
}

#[test]
fn tokens_of_the_prompt_that_were_cached_are_read_where_they_are_a_number() {
    let cached = |details: &str| {
        let json = format!(
            r#"{{"choices":[],"usage":{{"prompt_tokens":30,"prompt_tokens_details":{details},"completion_tokens":4}}}}"#
        );
        let usage = chunk(&json).usage.expect("usage");
        assert_eq!((usage.prompt, usage.completion), (Some(30), Some(4)), "{details}");
        usage.cached
    };
    assert_eq!(cached(r#"{"audio_tokens":null,"cached_tokens":16}"#), Some(16));
    assert_eq!(cached(r#"{"cached_tokens":"16"}"#), Some(16), "some write numbers as texts");
    assert_eq!(cached(r#"{"cached_tokens":0}"#), Some(0));
    for untold in [
        "null",
        "{}",
        "[]",
        "16",
        r#"{"cached_tokens":null}"#,
        r#"{"cached_tokens":"some"}"#,
        r#"{"cached_tokens":true}"#,
        r#"{"cached_tokens":-1}"#,
        r#"{"cached_tokens":{"a":1}}"#,
    ] {
        assert_eq!(cached(untold), None, "{untold}");
    }
}

#[test]
fn what_was_cached_is_read_where_other_servers_say_it() {
    for json in [
        r#"{"choices":[],"usage":{"prompt_tokens":30,"prompt_cache_hit_tokens":16,"prompt_cache_miss_tokens":14}}"#,
        r#"{"choices":[],"usage":{"input_tokens":30,"input_tokens_details":{"cached_tokens":16}}}"#,
        r#"{"choices":[],"usage":{"input_tokens":30,"cache_read_input_tokens":16}}"#,
        r#"{"choices":[],"usage":{"prompt_tokens":30},"timings":{"cache_n":16,"prompt_n":14,"prompt_ms":1.5}}"#,
    ] {
        let usage = chunk(json).usage.expect("usage");
        assert_eq!((usage.prompt, usage.cached), (Some(30), Some(16)), "{json}");
    }
    assert_eq!(chunk(r#"{"choices":[],"timings":{"prompt_ms":1.5}}"#).usage, None);
}

#[test]
fn an_error_is_seen_in_each_of_its_shapes() {
    for json in [
        r#"{"error":{"message":"m","type":"t","code":500}}"#,
        r#"{"error":"m"}"#,
        r#"{"object":"error","message":"m"}"#,
        r#"{"choices":[{"error":{"message":"m"}}]}"#,
    ] {
        assert!(chunk(json).is_error, "{json}");
    }
    for nothing in ["null", "\"\"", "{}", "[]", "false", "0"] {
        let beside = format!(r#"{{"error":{nothing},"choices":[{{"error":{nothing}}}]}}"#);
        assert!(!chunk(&beside).is_error, "{beside}");
    }
}

#[test]
fn a_finish_reason_that_is_null_and_one_that_is_missing_are_distinguished() {
    let null = chunk(r#"{"choices":[{"finish_reason":null}]}"#);
    assert_eq!((null.knows_finish, null.finish), (true, None));
    let missing = chunk(r#"{"choices":[{}]}"#);
    assert_eq!((missing.knows_finish, missing.finish), (false, None));
    assert_eq!(chunk(r#"{"choices":[{"finish_reason":"abort"}]}"#).finish, Some(Finish::Aborted));
}

#[test]
fn ids_embeddings_and_engine_stamps_are_taken() {
    assert_eq!(chunk(r#"{"choices":[{"text":"","token_ids":[5,0,7]}]}"#).token_ids, [5, 0, 7]);
    assert_eq!(
        chunk(r#"{"data":[{"embedding":[0.1,-2e-3]},{"embedding":"AAA="},{}]}"#).embeddings,
        2
    );
    let times = chunk(r#"{"x-bareflight-timing":{"arrival":1,"last_token":null}}"#).times.unwrap();
    assert_eq!((times.arrival, times.last_token), (Some(MonoNs(1)), None));
}

#[test]
fn contents_of_the_last_chunk_are_dropped() {
    let mut one =
        chunk(r#"{"choices":[{"text":"a","token_ids":[1],"finish_reason":"stop"}],"usage":{}}"#);
    one.read(b"{}").unwrap();
    assert_eq!(one, Chunk::default());
}

#[test]
fn a_stream_read_by_pattern_equals_each_chunk_read_alone() {
    let choice = |delta: &str| {
        format!(r#"{{"id":"x","choices":[{{"delta":{{{delta}}},"finish_reason":null}}]}}"#)
    };
    let stream = [
        choice(r#""role":"assistant","content":"""#),
        choice(r#""content":" a""#),
        choice(r#""content":" b""#),
        choice(r#""content":"""#),
        choice(r#""content":" c\n""#),
        choice(r#""content":" d""#),
        choice(r#""content":"","token_ids":[7]"#),
        choice(r#""content":"","token_ids":[8]"#),
        choice(r#""content":" e","reasoning":" f""#),
        choice(r#""content":" g""#),
        r#"{"choices":[],"usage":{"completion_tokens":9}}"#.to_owned(),
        r#"{"choices":[],"usage":{"completion_tokens":8}}"#.to_owned(),
    ];
    let contents = |chunk: &Chunk| {
        let text = String::from_utf8(chunk.text.clone()).unwrap();
        let counts = (chunk.choices, chunk.embeddings, chunk.usage);
        (text, chunk.token_ids.clone(), counts, chunk.knows_finish, chunk.finish)
    };
    let mut one_after_the_other = Chunk::default();
    for json in &stream {
        one_after_the_other.read(json.as_bytes()).unwrap();
        assert_eq!(contents(&one_after_the_other), contents(&chunk(json)), "{json}");
    }
}

#[test]
fn what_is_no_object_is_refused() {
    let mut chunk = Chunk::default();
    for json in ["", "[]", "{\"choices\":[{]}", "{} {}", "<html>"] {
        assert!(chunk.read(json.as_bytes()).is_err(), "{json}");
    }
}

#[test]
fn a_text_under_two_names_is_read_once() {
    for delta in [
        r#""reasoning":" a","reasoning_content":" a""#,
        r#""content":"","reasoning":" a","reasoning_details":[{"type":"reasoning.text","text":" a"}]"#,
        r#""thinking_blocks":[{"type":"thinking","thinking":" a"}],"reasoning_content":" a""#,
        r#""reasoning":"","thinking":" a""#,
    ] {
        assert_eq!(text(&format!(r#"{{"choices":[{{"delta":{{{delta}}}}}]}}"#)), " a", "{delta}");
    }
    let different = r#"{"choices":[{"delta":{"reasoning":" a","content":" a"}}]}"#;
    assert_eq!(text(different), " a a", "what is said is not what is thought");
}

#[test]
fn sound_is_output_with_its_words_or_without() {
    assert_eq!(text(r#"{"choices":[{"delta":{"audio":{"id":"a","transcript":" hi"}}}]}"#), " hi");
    let sound = chunk(r#"{"choices":[{"delta":{"audio":{"data":"AAAA"}}}]}"#);
    assert!(sound.has_output() && sound.text.is_empty());
    for none in [r#"{"id":"a"}"#, r#"{"data":""}"#, "null", r#"{"expires_at":9}"#] {
        let json = format!(r#"{{"choices":[{{"delta":{{"audio":{none}}}}}]}}"#);
        assert!(!chunk(&json).has_output(), "{none}");
    }
}

#[test]
fn a_complaint_in_place_of_an_answer_is_an_error_under_any_name() {
    for json in [
        r#"{"detail":"boom"}"#,
        r#"{"detail":[{"msg":"boom"}]}"#,
        r#"{"code":1302,"msg":"boom","success":false}"#,
        r#"{"message":"boom","status":"UNAVAILABLE"}"#,
        r#"{"type":"error","message":"boom"}"#,
        r#"{"errors":[{"message":"boom"}]}"#,
    ] {
        assert!(chunk(json).is_error, "{json}");
    }
    for json in [
        r#"{"code":0,"message":"success","choices":[{"text":"a"}]}"#,
        r#"{"code":200,"message":"ok"}"#,
        r#"{"status":"success","msg":"x"}"#,
        r#"{"message":"warming up"}"#,
        r#"{"code":7}"#,
        r#"{"detail":null,"errors":[]}"#,
        r#"{"code":7,"message":"x","choices":[{"text":"a"}]}"#,
    ] {
        assert!(!chunk(json).is_error, "{json}");
    }
}

#[test]
fn finish_reasons_are_known_in_any_case_of_letters() {
    let finish =
        |word: &str| chunk(&format!(r#"{{"choices":[{{"finish_reason":"{word}"}}]}}"#)).finish;
    for (word, meaning) in [
        ("LENGTH", Finish::Length),
        ("max_tokens", Finish::Length),
        ("STOP", Finish::Stop),
        ("end_turn", Finish::Stop),
        ("canceled", Finish::Aborted),
        ("ERROR", Finish::Aborted),
        ("insufficient_system_resource", Finish::Aborted),
        ("content_filter", Finish::Other),
    ] {
        assert_eq!(finish(word), Some(meaning), "{word}");
    }
    for none in ["", "null", "None"] {
        assert_eq!(finish(none), None, "{none}");
    }
}

#[test]
fn counts_are_found_under_other_names_and_in_other_places() {
    for json in [
        r#"{"choices":[],"usage":{"input_tokens":3,"output_tokens":4}}"#,
        r#"{"choices":[],"x_groq":{"usage":{"prompt_tokens":3,"completion_tokens":4}}}"#,
    ] {
        let usage = chunk(json).usage.unwrap();
        assert_eq!((usage.prompt, usage.completion), (Some(3), Some(4)), "{json}");
    }
}
