//! Tests of the request bytes.

use std::sync::Arc;

use super::*;
use crate::network::secret::ApiKey;
use crate::request::spec::{Beside, OutputSpec, Prompt, RequestSpec, Sampling};

fn shot(text: Option<&str>) -> Shot {
    Shot::new(
        RequestId(0),
        RequestSpec {
            beside: Beside::Nothing,
            prompt: Prompt { ids: [3, 1, 4].into(), text: text.map(Arc::from) },
            output: OutputSpec { max_tokens: 8, min_tokens: 8, ignore_eos: true },
            sampling: Sampling::greedy(7),
            streaming: true,
            priority: 0.5,
            adapter: None,
            terms: Arc::default(),
        },
    )
}

fn writer(change: impl FnOnce(&mut OpenAiOptions)) -> Result<RequestWriter, BadRequestOption> {
    let mut options = OpenAiOptions::new("http://h:8/v1");
    options.model = Some("m".to_owned());
    change(&mut options);
    let address = Address::parse(&options.url, options.endpoint).unwrap();
    RequestWriter::new(&options, &address)
}

fn body(change: impl FnOnce(&mut OpenAiOptions), shot: &Shot) -> Value {
    let message = writer(change).unwrap().post(shot).unwrap();
    serde_json::from_slice(&message.wire[message.body_at..]).unwrap()
}

#[test]
fn a_chat_request_holds_only_what_every_server_takes() {
    let expected = serde_json::json!({
        "model": "m", "messages": [{"role": "user", "content": "say \"hi\""}], "max_tokens": 8,
        "temperature": 0.0, "stream": true, "stream_options": {"include_usage": true},
    });
    assert_eq!(body(|_| {}, &shot(Some("say \"hi\""))), expected);
}

#[test]
fn usage_in_each_chunk_is_asked_for_only_where_the_server_is_known_to_take_it() {
    let mut writer = writer(|_| {}).unwrap();
    writer.ask_for_running_usage();
    let message = writer.post(&shot(Some("x"))).unwrap();
    let body: Value = serde_json::from_slice(&message.wire[message.body_at..]).unwrap();
    let asked = serde_json::json!({"include_usage": true, "continuous_usage_stats": true});
    assert_eq!(body["stream_options"], asked);
}

#[test]
fn ignore_eos_and_min_tokens_are_sent_only_when_configured() {
    let extended =
        body(|options| (options.ignore_eos, options.min_tokens) = (true, true), &shot(Some("x")));
    assert_eq!((&extended["ignore_eos"], &extended["min_tokens"]), (&true.into(), &8.into()));
    assert!(body(|_| {}, &shot(Some("x"))).get("ignore_eos").is_none());
}

#[test]
fn completions_and_embeddings_take_token_ids() {
    let ids = |endpoint| {
        move |options: &mut OpenAiOptions| {
            (options.endpoint, options.prompt_as) = (endpoint, PromptAs::Ids);
        }
    };
    assert_eq!(
        body(ids(Endpoint::Completions), &shot(None))["prompt"],
        serde_json::json!([3, 1, 4])
    );
    let embed = body(ids(Endpoint::Embeddings), &shot(None));
    assert_eq!(embed, serde_json::json!({"model": "m", "input": [3, 1, 4]}));
}

#[test]
fn a_prompt_without_text_is_refused_where_text_is_sent() {
    let refusal = writer(|_| {}).unwrap().post(&shot(None)).unwrap_err();
    assert_eq!(refusal.kind, FailureKind::Refused);
    let ids_for_chat = writer(|options| options.prompt_as = PromptAs::Ids);
    assert!(matches!(ids_for_chat, Err(BadRequestOption::ChatIds)));
}

#[test]
fn extra_inputs_are_added_and_stand_where_ours_are_left_out() {
    let extra = serde_json::json!({"temperature": 0.7, "logit_bias": {"2": 100}});
    let change = |options: &mut OpenAiOptions| {
        options.omit = vec![BodyField::Temperature];
        options.extra_inputs = extra.as_object().unwrap().clone();
    };
    let sent = body(change, &shot(Some("x")));
    assert_eq!((&sent["temperature"], &sent["logit_bias"]["2"]), (&0.7.into(), &100.into()));
}

#[test]
fn extra_inputs_that_the_run_decides_are_refused_with_the_flag_that_does() {
    for (field, flag) in [
        ("max_tokens", "--output-token-field max_tokens"),
        ("max_completion_tokens", "--output-token-field max_completion_tokens"),
        ("prompt", "--prompts"),
        ("messages", "--prompts"),
        ("stream", "--no-streaming"),
        ("n", "leave it out"),
        ("model", "--model"),
        ("ignore_eos", "--stop-at-eos"),
        ("min_tokens", "--min-tokens"),
        ("temperature", "--temperature"),
        ("top_p", "--top-p"),
        ("top_k", "--top-k"),
        ("seed", "--seed"),
        ("stream_options", "--omit stream_options"),
    ] {
        let refused = writer(|options| {
            options.extra_inputs.insert(field.to_owned(), 3.into());
        });
        let words = refused.unwrap_err().to_string();
        assert!(words.contains(flag) && words.contains(field), "{words}");
    }
}

#[test]
fn no_member_that_the_run_writes_can_be_overridden() {
    let whole =
        |options: &mut OpenAiOptions| (options.ignore_eos, options.min_tokens) = (true, true);
    let mut asked = shot(Some("x"));
    asked.request.sampling.temperature = Some(0.5);
    (asked.request.sampling.top_p, asked.request.sampling.top_k) = (Some(0.9), Some(5));
    for endpoint in [Endpoint::Chat, Endpoint::Completions, Endpoint::Embeddings] {
        let sent = body(
            |options| {
                whole(options);
                options.endpoint = endpoint;
            },
            &asked,
        );
        for field in sent.as_object().unwrap().keys() {
            let refused = writer(|options| {
                options.endpoint = endpoint;
                options.extra_inputs.insert(field.clone(), 1.into());
            });
            assert!(matches!(refused, Err(BadRequestOption::Decided { .. })), "{field}");
        }
    }
}

#[test]
fn a_header_given_twice_is_sent_twice_and_a_second_key_is_refused() {
    let twice = writer(|options| {
        for value in ["1", "2"] {
            options.headers.push(("X-A".to_owned(), value.to_owned()));
        }
    });
    let message = twice.unwrap().post(&shot(Some("x"))).unwrap();
    let head = String::from_utf8_lossy(&message.wire[..message.body_at]).into_owned();
    assert!(head.contains("x-a: 1\r\n") && head.contains("x-a: 2\r\n"), "{head}");
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("key");
    std::fs::write(&key, "sk-1").unwrap();
    let refused = writer(|options| {
        options.api_key = Some(ApiKey::from_file(&key).unwrap());
        options.headers.push(("Authorization".to_owned(), "Bearer x".to_owned()));
    });
    let words = refused.unwrap_err().to_string();
    assert!(words.contains("--api-key-env") && words.contains("Authorization"), "{words}");
}

#[test]
fn the_output_s_bound_is_called_as_asked_and_has_the_plan_s_own_value() {
    let sent = body(
        |options| options.output_token_field = OutputTokenField::MaxCompletionTokens,
        &shot(Some("x")),
    );
    assert_eq!(sent["max_completion_tokens"], 8);
    assert!(sent.get("max_tokens").is_none());
}

#[test]
fn what_is_omitted_is_not_sent() {
    let all = |omit: Vec<BodyField>| {
        move |options: &mut OpenAiOptions| {
            (options.ignore_eos, options.min_tokens, options.omit) = (true, true, omit);
        }
    };
    let mut asked = shot(Some("x"));
    asked.request.sampling.temperature = Some(0.5);
    (asked.request.sampling.top_p, asked.request.sampling.top_k) = (Some(0.9), Some(5));
    let whole = body(all(Vec::new()), &asked);
    for field in BodyField::ALL {
        assert!(whole.get(field.name()).is_some(), "{}", field.name());
        let less = body(all(vec![field]), &asked);
        assert!(less.get(field.name()).is_none(), "{}", field.name());
        let (all, left) = (whole.as_object().unwrap(), less.as_object().unwrap());
        assert_eq!(left.len(), all.len() - 1);
    }
}

#[test]
fn a_prepared_request_is_sent_as_it_was_written_and_one_that_cannot_be_written_says_why() {
    let mut writer = writer(|_| {}).unwrap();
    let plain = shot(Some("x"));
    let written = writer.post(&plain).unwrap();
    let prepared = Shot { prepared: writer.prepare(&plain), ..plain };
    let sent = writer.message_of(&prepared).unwrap();
    assert_eq!(sent.wire, written.wire);
    assert_eq!(sent.wire.as_ptr(), writer.message_of(&prepared).unwrap().wire.as_ptr());

    let without_text = shot(None);
    let prepared = Shot { prepared: writer.prepare(&without_text), ..without_text };
    assert_eq!(writer.message_of(&prepared).unwrap_err().kind, FailureKind::Refused);
}

#[test]
fn a_proxy_that_reads_requests_gets_whole_urls() {
    let mut writer = writer(|_| {}).unwrap();
    let environment = |name: &str| (name == "http_proxy").then(|| "http://me:x@p:1".to_owned());
    let proxy = Proxy::on_the_way_to("h", false, environment).unwrap().unwrap();
    writer.ask_through(&proxy, &Address::parse("http://h:8/v1", Endpoint::Chat).unwrap());
    let message = writer.post(&shot(Some("x"))).unwrap();
    let head = std::str::from_utf8(&message.wire[..message.body_at]).unwrap();
    assert!(head.starts_with("POST http://h:8/v1/chat/completions HTTP/1.1\r\n"), "{head}");
    assert!(head.contains("proxy-authorization: Basic bWU6eA==\r\n"), "{head}");
}

#[test]
fn the_head_names_the_host_the_length_and_refuses_compression() {
    let message = writer(|options| options.headers.push(("X-A".to_owned(), "b".to_owned())))
        .unwrap()
        .post(&shot(Some("x")))
        .unwrap();
    let head = std::str::from_utf8(&message.wire[..message.body_at]).unwrap();
    assert!(head.starts_with("POST /v1/chat/completions HTTP/1.1\r\nhost: h:8\r\n"), "{head}");
    for line in ["accept-encoding: identity\r\n", "x-a: b\r\n"] {
        assert!(head.contains(line), "{head}");
    }
    let length = message.wire.len() - message.body_at;
    assert!(head.ends_with(&format!("content-length: {length}\r\n\r\n")), "{head}");
}

#[test]
fn headers_that_break_the_exchange_are_refused() {
    for (name, value) in [("Content-Length", "1"), ("a b", "c"), ("x", "a\nb")] {
        let refused = writer(|options| options.headers.push((name.to_owned(), value.to_owned())));
        assert!(refused.is_err(), "{name}");
    }
}
