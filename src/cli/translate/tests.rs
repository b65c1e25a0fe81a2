//! Tests of translations: commands as their documentation has them, and nothing that is dropped without a word.

use super::translate;

fn words(command: &str) -> Vec<String> {
    command.split_whitespace().map(str::to_owned).collect()
}

fn translated(command: &str) -> (String, Vec<String>) {
    let text = translate(&words(command)).expect(command);
    let mut lines = text.lines().map(str::to_owned);
    (lines.next().expect("a command"), lines.collect())
}

fn left_out(comments: &[String], what: &str) -> bool {
    comments.iter().any(|line| line.starts_with(&format!("# left out: {what}")))
}

#[test]
fn genai_perf_against_triton() {
    let (ours, comments) = translated(
        "genai-perf profile -m ensemble --service-kind triton --backend tensorrtllm --num-prompts 100 --random-seed 123 \
         --synthetic-input-tokens-mean 200 --synthetic-input-tokens-stddev 0 --streaming --output-tokens-mean 100 \
         --output-tokens-stddev 0 --output-tokens-mean-deterministic --tokenizer /models/llama --concurrency 1 \
         --measurement-interval 4000 --profile-export-file my_profile_export.json --url localhost:8001",
    );
    assert_eq!(
        ours,
        "bareflight run --target triton:localhost:8001/ensemble --scenario 'D(200,100)' --concurrency 1 --num-prompts 100 --seed 123 \
         --tokenizer /models/llama --measurement-interval 4000ms --export genai-perf --prompts text"
    );
    assert!(left_out(&comments, "--backend tensorrtllm"));
    assert_eq!(comments.len(), 1, "{comments:?}");
}

#[test]
fn aiperf_against_a_chat_server_streams_only_if_told() {
    let whole = "aiperf profile --model m --url http://h:8000 --endpoint-type chat --isl 550 --isl-stddev 50 --osl 256 \
                 --concurrency 1,4,16 --request-count 64 --extra-inputs ignore_eos:true --ui none --tokenizer /t";
    let (ours, comments) = translated(whole);
    assert_eq!(
        ours,
        "bareflight run --target openai:http://h:8000 --model m --endpoint chat --scenario 'N(550,50)/(256,0)' \
         --concurrency 1,4,16 --requests 64 --tokenizer /t --no-streaming"
    );
    assert!(comments.is_empty(), "{comments:?}");
    let (streaming, _) = translated(&format!("{whole} --streaming"));
    assert!(!streaming.contains("--no-streaming"));
}

#[test]
fn genai_bench_with_repeated_flags() {
    let (ours, comments) = translated(
        "genai-bench benchmark --api-backend openai --api-base http://localhost:8082 --api-key secret --api-model-name m \
         --model-tokenizer /models/m --task text-to-text --traffic-scenario D(100,100) --traffic-scenario N(480,240)/(300,150) \
         --num-concurrency 1 --num-concurrency 8 --max-time-per-run 15 --max-requests-per-run 300 --server-engine vLLM \
         --server-gpu-count 4",
    );
    assert!(!ours.contains("secret") && ours.contains("--api-key-env API_KEY"), "{ours}");
    assert!(ours.contains("--scenario 'D(100,100)' --scenario 'N(480,240)/(300,150)'"), "{ours}");
    assert!(
        ours.contains("--concurrency 1,8") && ours.contains("--duration 15m --requests 300"),
        "{ours}"
    );
    assert!(ours.contains("--server-engine vLLM --server-gpu-count 4"), "{ours}");
    assert_eq!(comments.len(), 1, "the key: {comments:?}");
}

#[test]
fn workers_of_genai_bench_are_ours_where_each_can_have_a_request() {
    let command = |more: &str| {
        translated(&format!(
            "genai-bench benchmark --api-base http://h:1 --api-model-name m --task text-to-text --master-port 5557 --model-tokenizer /t {more}"
        ))
    };
    let (ours, comments) = command("--traffic-scenario D(8,8) --num-concurrency 8 --num-workers 4");
    assert!(ours.contains("--concurrency 8 --tokenizer /t --workers 4"), "{ours}");
    assert!(comments.is_empty(), "{comments:?}");
    for (more, why) in [
        ("--traffic-scenario D(8,8) --num-concurrency 1 --num-workers 4", "a request in flight"),
        (
            "--traffic-scenario D(8,8) --traffic-scenario D(9,9) --num-concurrency 8 --num-workers 4",
            "one scenario",
        ),
    ] {
        let (ours, comments) = command(more);
        assert!(!ours.contains("--workers"), "{ours}");
        assert!(
            comments.iter().any(|it| it.contains("4 workers") && it.contains(why)),
            "{comments:?}"
        );
    }
    let (ours, comments) = command("--traffic-scenario D(8,8) --num-workers 0");
    assert!(!ours.contains("--workers") && comments.is_empty(), "{ours} {comments:?}");
}

#[test]
fn vllm_bench_serve_with_and_without_a_rate() {
    let closed = "vllm bench serve --backend vllm --host 10.0.0.1 --port 8001 --model m --dataset-name random \
                  --random-input-len 1024 --random-output-len 128 --num-prompts 200 --max-concurrency 32 --ignore-eos";
    let (ours, comments) = translated(closed);
    assert_eq!(
        ours,
        "bareflight run --target openai:http://10.0.0.1:8001 --model m --endpoint completions --scenario 'D(1024,128)' \
         --concurrency 32 --requests 200"
    );
    assert!(comments.is_empty(), "{comments:?}");
    let (open, _) = translated(&format!("{closed} --request-rate 5 --burstiness 2"));
    assert!(
        open.contains("--rate 5 --max-in-flight 32")
            && open.contains("--arrivals gamma --burstiness 2"),
        "{open}"
    );
    let (script, _) =
        translated("python3 benchmarks/benchmark_serving.py --backend openai-chat --model m");
    assert!(script.contains("--endpoint chat"), "{script}");
}

#[test]
fn trtllm_bench_becomes_an_engine_in_this_process() {
    let (ours, comments) = translated(
        "trtllm-bench --model meta-llama/Llama-3.1-8B throughput --dataset data.jsonl --engine_dir /e --concurrency 64 \
         --num_requests 512 --streaming --kv_cache_free_gpu_mem_fraction 0.9 --report_json out.json",
    );
    assert_eq!(
        ours,
        "bareflight run --target trtllm:/e --workload trtllm-bench:data.jsonl --concurrency 64 --requests 512 --kv-fraction 0.9 \
         --export trtllm-bench"
    );
    assert!(comments.is_empty(), "{comments:?}");
    let (torch, _) = translated(
        "trtllm-bench --model meta-llama/Llama-3.1-8B --model_path /m throughput --backend pytorch --concurrency 8",
    );
    assert_eq!(torch, "bareflight run --target trtllm-torch:/m --concurrency 8 --no-streaming");
}

#[test]
fn a_file_of_prompts_is_a_workload_and_its_shape_is_named() {
    for (command, workload) in [
        ("aiperf profile -m m --input-file p.jsonl --osl 9", "genai-perf:p.jsonl"),
        (
            "aiperf profile -m m --input-file t.jsonl --custom-dataset-type mooncake_trace",
            "mooncake:t.jsonl --replay",
        ),
        (
            "vllm bench serve --model m --dataset-name sharegpt --dataset-path s.json --tokenizer /t",
            "sharegpt:s.json",
        ),
        (
            "genai-bench benchmark --traffic-scenario dataset --dataset-path p.csv --dataset-prompt-column q --num-concurrency 3",
            "csv:p.csv --concurrency 3 --prompt-column q",
        ),
    ] {
        let (ours, comments) = translated(command);
        assert!(ours.contains(&format!("--workload {workload}")), "{ours}");
        let lengths = "outputs that end by themselves";
        assert_eq!(left_out(&comments, lengths), workload.starts_with("csv:"), "{comments:?}");
        assert!(!ours.contains("--scenario") && comments.len() < 2, "{ours} {comments:?}");
    }
    let (drawn, comments) = translated(
        "genai-bench benchmark --traffic-scenario D(100,100) --dataset-path p.csv --batch-size 1 --batch-size 8",
    );
    assert!(drawn.contains("--scenario 'D(100,100)' --batch-size 1,8"), "{drawn}");
    assert!(left_out(&comments, "the file p.csv"), "{comments:?}");
}

#[test]
fn goodput_and_stability_are_bounds_and_windows_of_ours() {
    let (ours, comments) = translated(
        "genai-perf profile -m m --service-kind openai --endpoint-type chat --streaming --concurrency 4 -s 20 \
         --goodput time_to_first_token:100 inter_token_latency:20 output_token_throughput:5",
    );
    assert!(ours.contains("--stability-percentage 20 --measurement-interval 5s"), "{ours}");
    assert!(ours.contains("--slo 'ttft<100ms,tpot<20ms'"), "{ours}");
    assert!(left_out(&comments, "--goodput output_token_throughput:5"), "{comments:?}");
}

#[test]
fn perf_analyzer_s_ranges_become_lists() {
    let (ours, _) = translated(
        "perf_analyzer -m tensorrt_llm -u h:8001 -i grpc --streaming --async --concurrency-range 2:8:3",
    );
    assert_eq!(ours, "bareflight run --target triton:h:8001/tensorrt_llm --concurrency 2,5,8");
}

#[test]
fn what_is_not_known_is_left_out_by_its_name_with_its_values() {
    let (_, comments) =
        translated("aiperf profile -m m --brand-new 1 2 --osl 8 --streaming --tokenizer /t");
    assert_eq!(comments, ["# left out: --brand-new 1 2: it is not known here"]);
}

#[test]
fn a_value_that_makes_no_sense_and_a_program_that_is_not_known_are_errors_that_name_them() {
    let why = |command: &str| translate(&words(command)).unwrap_err();
    assert!(why("perf_analyzer -m m --concurrency-range 8:2").contains("--concurrency-range 8:2"));
    assert!(why("aiperf profile --endpoint-type rankings").contains("`rankings`"));
    assert!(why("aiperf profile -m").contains("`-m` has no value"));
    let unknown = why("wrk -c 4 http://h");
    assert!(unknown.contains("`wrk`") && unknown.contains("vllm bench serve"), "{unknown}");
}

#[test]
fn the_prefixes_of_vllm_s_prefix_repetition_are_groups() {
    let (ours, comments) = translated(
        "vllm bench serve --model m --dataset-name prefix_repetition --num-prompts 100 --prefix-repetition-prefix-len 512 \
         --prefix-repetition-suffix-len 128 --prefix-repetition-num-prefixes 5 --prefix-repetition-output-len 64",
    );
    for part in ["D(640,64)", "--prefix-tokens 512", "--prefix-groups 5", "--requests 100"] {
        assert!(ours.contains(part), "{part}: {ours}");
    }
    assert!(comments.is_empty(), "{comments:?}");
}

#[test]
fn what_a_server_of_text_needs_is_named_where_no_tokenizer_is() {
    for (command, needs) in [
        ("aiperf profile -m m --endpoint-type chat --osl 8 --streaming", true),
        ("aiperf profile -m m --endpoint-type completions --osl 8 --streaming", false),
        ("aiperf profile -m m --endpoint-type chat --endpoint /v1/chat/completions --osl 8", true),
        ("genai-perf profile -m ensemble --osl 8", true),
        ("genai-perf profile -m tensorrt_llm --osl 8", false),
    ] {
        let (_, comments) = translated(command);
        assert_eq!(left_out(&comments, "the tokenizer of the model"), needs, "{command}");
    }
    let (text, comments) = translated(
        "guidellm benchmark --target http://h:1 --data org/set --data-column-mapper text_column=q --profile synchronous",
    );
    assert!(!text.contains("--prompt-column"), "{text}");
    assert!(left_out(&comments, "--prompt-column q"), "{comments:?}");
}

#[test]
fn lengths_that_are_not_said_are_the_other_program_s_own() {
    for (command, ours) in [
        ("aiperf profile -m m --isl 100 --osl 20 --streaming", "'D(100,20)'"),
        ("aiperf profile -m m --osl 20 --streaming", "'D(550,20)'"),
        ("aiperf profile -m m --endpoint-type embeddings --isl 64 --streaming", "'E(64)'"),
        ("vllm bench serve --model m", "'D(1024,128)' --batch --requests 1000"),
        ("python3 -m sglang.bench_serving --dataset-name random", "'U(1,1024)/(1,1024)' --batch"),
    ] {
        let (text, _) = translated(command);
        assert!(text.contains(&format!("--scenario {ours}")), "{text}");
    }
    let (text, comments) = translated("aiperf profile -m m --isl 100 --streaming");
    assert!(text.contains("'D(100,64)'"), "{text}");
    assert!(left_out(&comments, "outputs that end by themselves"), "{comments:?}");
}

#[test]
fn loads_that_are_not_said_are_the_other_program_s_own() {
    for (command, ours) in [
        ("aiperf profile -m m --osl 8", "--concurrency 1 "),
        ("genai-perf profile -m m --osl 8", "--concurrency 1 "),
        ("perf_analyzer -m m", "--concurrency 1 "),
        ("trtllm-bench -m m throughput --dataset d.jsonl", "--batch "),
        ("trtllm-bench -m m throughput --dataset d.jsonl --concurrency -1", "--batch "),
        ("genai-bench benchmark --task text-to-text", "--concurrency 1,2,4,8,16,32,64,128,256"),
        ("genai-bench benchmark --task text-to-rerank", "--scenario 'R(64,100)'"),
        ("genai-bench benchmark --task text-to-embeddings", "--batch-size 1,2,4,8,24,48,96"),
    ] {
        let (text, _) = translated(command);
        assert!(text.contains(ours), "{command}: {text}");
    }
    let (replay, _) =
        translated("aiperf profile -m m --input-file t --custom-dataset-type mooncake_trace");
    assert!(!replay.contains("--concurrency"), "{replay}");
}

#[test]
fn ratios_of_random_lengths_are_the_bounds_that_each_program_makes_of_them() {
    let lengths =
        "--dataset-name random --random-input-len 100 --random-output-len 10 --max-concurrency 2";
    for (program, ratio, ours) in [
        ("vllm bench serve --model m", "0.5", "'U(50,150)/(5,15)'"),
        ("vllm bench serve --model m", "{\"input\":0.5,\"output\":0}", "'U(50,150)/(10,10)'"),
        ("vllm bench serve --model m", "0", "'D(100,10)'"),
        // Below version 0.9 it is that of the shortest to the longest.
        ("python3 benchmark_serving.py --model m", "1.0", "'D(100,10)'"),
        ("python3 -m sglang.bench_serving", "0.5", "'U(50,100)/(5,10)'"),
        ("python3 -m sglang.bench_serving", "1", "'D(100,10)'"),
    ] {
        let (text, _) = translated(&format!("{program} {lengths} --random-range-ratio {ratio}"));
        assert!(text.contains(&format!("--scenario {ours}")), "{ratio}: {text}");
    }
}

#[test]
fn a_ratio_with_two_meanings_says_which_one_was_taken() {
    let command = "vllm bench serve --model m --dataset-name random --random-input-len 100 --random-output-len 10 --random-range-ratio";
    let (_, comments) = translated(&format!("{command} 0.2"));
    let told = |line: &String| {
        line.starts_with("# note: --random-range-ratio")
            && line.contains("--scenario 'U(20,100)/(2,10)'")
    };
    assert!(comments.iter().any(told), "{comments:?}");
    for one_meaning in ["0", "1"] {
        let (_, comments) = translated(&format!("{command} {one_meaning}"));
        assert!(comments.is_empty(), "{comments:?}");
    }
}

#[test]
fn the_name_at_the_server_counts_wherever_it_stands() {
    for command in [
        "vllm bench serve --served-model-name short --model org/long",
        "vllm bench serve --model org/long --served-model-name short",
        "python -m vllm.entrypoints.cli.main bench serve --model org/long --served-model-name short",
    ] {
        let (ours, _) = translated(command);
        assert!(ours.contains("--model short --endpoint"), "{ours}");
    }
}

#[test]
fn variables_of_a_pasted_text_stay_variables() {
    let text = "for c in 1 2; do\n  vllm bench serve --model \"$MODEL\" --port ${PORT:-8000} --dataset-name random \\\n \
                --random-input-len $ISL --random-output-len 16 --max-concurrency $c --num-prompts 5\ndone";
    let ours = translate(&[text.to_owned()]).expect("translated");
    let begin = "bareflight run --target \"openai:http://localhost:${PORT:-8000}\" --model \"$MODEL\" --endpoint completions \
                 --scenario \"D($ISL,16)\" --concurrency \"$c\" --requests 5\n";
    assert!(ours.starts_with(begin), "{ours}");
    // A shell has put them in before words come as words.
    let (ours, _) = translated("vllm bench serve --model a$b --num-prompts 5");
    assert!(ours.contains("--model 'a$b'"), "{ours}");
}

#[test]
fn a_command_of_a_shell_is_read_and_what_is_none_is_named() {
    let text = "docker exec x bash -lc 'python3 benchmark_serving.py --model m --num-prompts 3'";
    let ours = translate(&[text.to_owned()]).expect("translated");
    assert!(ours.starts_with("bareflight run") && ours.contains("--requests 3"), "{ours}");
    let error = translate(&words("vllm bench throughput --model m")).expect_err("offline");
    assert!(error.starts_with("`vllm bench throughput` is no command"), "{error}");
    let error = translate(&[String::new()]).expect_err("nothing");
    assert!(error.starts_with("there is no command"), "{error}");
}

#[test]
fn sglang_s_prefixes_ports_and_endpoints() {
    let (ours, comments) = translated(
        "python3 -m sglang.bench_serving --backend vllm-chat --model m --dataset-name generated-shared-prefix \
         --gsp-num-groups 6 --gsp-system-prompt-len 200 --gsp-question-len 12 --gsp-output-len 8 --num-prompts 24 \
         --max-concurrency 4 --disable-ignore-eos --disable-stream --tokenizer /t",
    );
    assert_eq!(
        ours,
        "bareflight run --target openai:http://localhost:8000 --model m --endpoint chat --scenario 'D(212,8)' --concurrency 4 \
         --prefix-groups 6 --prefix-tokens 200 --requests 24 --stop-at-eos --tokenizer /t --no-streaming"
    );
    assert!(comments.is_empty(), "{comments:?}");
    let (own, comments) = translated("python3 -m sglang.bench_serving --dataset-name random");
    assert!(own.contains("openai:http://localhost:30000 --endpoint completions"), "{own}");
    assert!(left_out(&comments, "SGLang's own `/generate`"), "{comments:?}");
    let (triton, _) =
        translated("python3 -m sglang.bench_serving --backend trt --dataset-name random");
    assert!(triton.contains("--target triton:http://localhost:30000/ensemble"), "{triton}");
}

#[test]
fn guidellm_of_both_generations() {
    let (old, comments) = translated(
        "guidellm benchmark --target http://h:1 --rate-type concurrent --rate 1,4 --max-requests 20 --model m \
         --data prompt_tokens=64,output_tokens=8,output_tokens_stdev=2 --random-seed 42 --output-dir out --processor /t",
    );
    assert_eq!(
        old,
        "bareflight run --target openai:http://h:1 --model m --endpoint chat --scenario 'N(64,0)/(8,2)' --concurrency 1,4 \
         --requests 20 --seed 42 --out out --tokenizer /t"
    );
    assert!(comments.is_empty(), "{comments:?}");
    let (new, comments) = translated(
        "guidellm run --backend kind=openai_http,target=http://h:1,model=m --profile {\"kind\":\"constant\",\"rate\":[5,10]} \
         --constraint kind=max_duration,seconds=30 --seed kind=static,value=7 \
         --data kind=synthetic_text,prompt_tokens=64,output_tokens=8,prompt_tokens_min=32,prompt_tokens_max=96 --tokenizer kind=huggingface_auto,model=/t",
    );
    assert_eq!(
        new,
        "bareflight run --target openai:http://h:1 --model m --endpoint chat --scenario 'U(32,96)/(8,8)' --rate 5,10 \
         --duration 30s --seed 7 --tokenizer /t --arrivals constant"
    );
    assert!(comments.is_empty(), "{comments:?}");
    let (sweep, comments) = translated(
        "guidellm benchmark --target http://h:1 --data org/set --brand 3 --max-seconds 9",
    );
    assert!(!sweep.contains("--rate") && sweep.contains("--duration 9s"), "{sweep}");
    for what in ["the profile sweep", "the prompts of org/set", "--brand 3"] {
        assert!(left_out(&comments, what), "{what}: {comments:?}");
    }
}

#[test]
fn headers_are_kept_all_and_a_key_among_them_is_not_printed() {
    let text = translate(&[
        "genai-perf profile -m m --endpoint-type chat --osl 8 --streaming -H 'X-A: 1' -- --max-threads=2 -H 'X-B: 2' \
         -H 'Authorization: Bearer secret' -v"
            .to_owned(),
    ])
    .expect("a command");
    for part in
        ["--header 'X-A: 1'", "--header 'X-B: 2'", "--api-key-env API_KEY", "--client-threads 2"]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!text.contains("secret"), "{text}");
}

#[test]
fn a_command_in_one_text_is_read_as_a_shell_reads_it() {
    let pasted = "HF_TOKEN=secret CUDA_VISIBLE_DEVICES=0 \\\n  vllm bench serve --model='my model' \\\n \
                  --dataset-name=random --random-input-len=128 --random-output-len 64 --num-prompts=100 --max-concurrency=8 # note\n";
    let text = translate(&[pasted.to_owned()]).expect("a command");
    let ours = text.lines().next().expect("a command");
    for part in
        ["--model 'my model'", "--scenario 'D(128,64)'", "--concurrency 8", "--requests 100"]
    {
        assert!(ours.contains(part), "{part}: {text}");
    }
    assert!(
        text.contains("# left out: the variable HF_TOKEN") && !text.contains("secret"),
        "{text}"
    );
    assert!(text.contains("# left out: the variable CUDA_VISIBLE_DEVICES"), "{text}");
}

#[test]
fn what_stands_around_a_command_is_told() {
    let (ours, comments) = translated(
        "sudo docker run --rm -it image env A=1 python3 /w/benchmark_serving.py --backend vllm --model m --dataset-name random \
         --random-input-len 8 --random-output-len 8 --num-prompts 10 | tee log.txt",
    );
    assert!(ours.starts_with("bareflight run --target openai:"), "{ours}");
    assert!(left_out(&comments, "the variable A"), "{comments:?}");
    assert!(left_out(&comments, "sudo docker run --rm -it image"), "{comments:?}");
    assert!(left_out(&comments, "| tee log.txt"), "{comments:?}");
}

#[test]
fn a_text_without_a_known_command_is_refused() {
    for text in ["wrk -t2 http://x", "genai-perf 'profile"] {
        let why = translate(&[text.to_owned()]).expect_err(text);
        assert!(why.contains("known") || why.contains("not closed"), "{why}");
    }
}
