//! Tests of normalisation, with texts in the shape of each server's answer.

use super::*;

fn levels(text: &str, server: &str) -> Levels {
    let reading = read(text).expect(server);
    assert_eq!(reading.server, server);
    assert!(reading.raw.keys().all(|key| !key.contains("_bucket")), "{:?}", reading.raw);
    reading.levels
}

#[test]
fn vllm_counts_prefix_tokens_and_several_engines_add_up() {
    let text = r#"# HELP vllm:num_requests_running Requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="org/m"} 3.0
vllm:num_requests_running{engine="1",model_name="org/m"} 4.0
vllm:num_requests_waiting{engine="0",model_name="org/m"} 2.0
vllm:num_requests_waiting_by_reason{engine="0",reason="capacity"} 9.0
vllm:kv_cache_usage_perc{engine="0",model_name="org/m"} 0.25
vllm:kv_cache_usage_perc{engine="1",model_name="org/m"} 0.75
vllm:prefix_cache_queries_total{engine="0",model_name="org/m"} 1000.0
vllm:prefix_cache_queries_created{engine="0",model_name="org/m"} 1.7e+09
vllm:prefix_cache_hits_total{engine="0",model_name="org/m"} 850.0
vllm:num_preemptions_total{engine="0",model_name="org/m"} 5.0
vllm:request_queue_time_seconds_bucket{engine="0",le="0.3",model_name="org/m"} 7.0
vllm:request_queue_time_seconds_count{engine="0",model_name="org/m"} 8.0
vllm:request_queue_time_seconds_sum{engine="0",model_name="org/m"} 0.5
python_gc_objects_collected_total{generation="0"} 12.0
"#;
    let levels = levels(text, "vLLM");
    assert_eq!((levels.running, levels.waiting), (Some(7.0), Some(2.0)));
    assert_eq!(levels.kv_used, Some(0.5));
    assert_eq!((levels.prefix_hits, levels.prefix_queries), (Some(850.0), Some(1000.0)));
    assert_eq!(levels.preemptions, Some(5.0));
    assert_eq!((levels.queue_s, levels.queued), (Some(0.5), Some(8.0)));
}

#[test]
fn older_vllm_has_other_names_for_the_same() {
    let text = "vllm:gpu_cache_usage_perc{model_name=\"m\"} 0.62\nvllm:gpu_prefix_cache_hit_rate{model_name=\"m\"} 0.4\n";
    let levels = levels(text, "vLLM");
    assert_eq!((levels.kv_used, levels.prefix_hit_rate), (Some(0.62), Some(0.4)));
    assert_eq!(levels.running, None);
}

#[test]
fn sglang_tells_a_hit_rate_and_retractions() {
    let text = r#"# TYPE sglang:num_running_reqs gauge
sglang:num_running_reqs{engine_type="unified",model_name="m",tp_rank="0"} 162.0
sglang:num_queue_reqs{model_name="m"} 28.0
sglang:token_usage{model_name="m"} 0.28
sglang:cache_hit_rate{model_name="m"} 0.0075
sglang:queue_time_seconds_sum{model_name="m"} 12.5
sglang:queue_time_seconds_count{model_name="m"} 50.0
sglang:prompt_tokens_total{model_name="m"} 8.128902e+06
"#;
    let levels = levels(text, "SGLang");
    assert_eq!((levels.running, levels.waiting), (Some(162.0), Some(28.0)));
    assert_eq!((levels.kv_used, levels.prefix_hit_rate), (Some(0.28), Some(0.0075)));
    assert_eq!((levels.queue_s, levels.queued), (Some(12.5), Some(50.0)));
    assert_eq!(levels.prefix_queries, None, "without hits it says nothing");
}

#[test]
fn tensorrt_llm_counts_blocks_that_were_reused_and_missed() {
    let text = r#"trtllm_request_success_total{engine_type="trtllm",finished_reason="stop",model_name="m"} 150.0
trtllm_request_queue_time_seconds_bucket{engine_type="trtllm",le="1.0",model_name="m"} 140.0
trtllm_request_queue_time_seconds_count{engine_type="trtllm",model_name="m"} 150.0
trtllm_request_queue_time_seconds_sum{engine_type="trtllm",model_name="m"} 32.1
trtllm_kv_cache_utilization{engine_type="trtllm",model_name="m"} 0.31
trtllm_kv_cache_reused_blocks_total{engine_type="trtllm",model_name="m"} 90.0
trtllm_kv_cache_missed_blocks_total{engine_type="trtllm",model_name="m"} 10.0
"#;
    let levels = levels(text, "TensorRT-LLM");
    assert_eq!((levels.queue_s, levels.queued), (Some(32.1), Some(150.0)));
    assert_eq!(levels.kv_used, Some(0.31));
    assert_eq!((levels.prefix_hits, levels.prefix_queries), (Some(90.0), Some(100.0)));
}

#[test]
fn triton_tells_by_labels_and_every_model_of_an_ensemble_counts_a_request_again() {
    let text = r#"# TYPE nv_inference_request_success counter
nv_inference_request_success{model="ensemble",version="1"} 40
nv_inference_request_success{model="tensorrt_llm",version="1"} 40
nv_inference_queue_duration_us{model="ensemble",version="1"} 0
nv_inference_queue_duration_us{model="tensorrt_llm",version="1"} 80000
nv_inference_pending_request_count{model="tensorrt_llm",version="1"} 6
nv_trt_llm_request_metrics{model="tensorrt_llm",request_type="scheduled",version="1"} 3
nv_trt_llm_request_metrics{model="tensorrt_llm",request_type="max",version="1"} 512
nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type="used",model="tensorrt_llm",version="1"} 25
nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type="max",model="tensorrt_llm",version="1"} 100
nv_gpu_utilization{gpu_uuid="GPU-1"} 0.5
"#;
    let older = levels(text, "Triton");
    assert_eq!((older.running, older.waiting), (Some(3.0), Some(6.0)));
    assert_eq!(older.kv_used, Some(0.25));
    assert_eq!((older.queue_s, older.queued), (Some(0.08), Some(40.0)));
    let newer = format!(
        "{text}nv_trt_llm_kv_cache_block_metrics{{kv_cache_block_type=\"fraction\",model=\"tensorrt_llm\"}} 0.26\n\
         nv_trt_llm_request_metrics{{model=\"tensorrt_llm\",request_type=\"waiting\"}} 4\n"
    );
    let newer = levels(&newer, "Triton");
    assert_eq!((newer.waiting, newer.kv_used), (Some(4.0), Some(0.26)));
}

#[test]
fn llama_cpp_and_our_own_server_tell_what_runs_and_what_waits() {
    let text = "llamacpp:requests_processing 2\nllamacpp:requests_deferred 1\nllamacpp:kv_cache_usage_ratio 0.1\nllamacpp:prompt_tokens_total 30\nllamacpp:prompt_tokens_cached_total 10\n";
    let llama = levels(text, "llama.cpp");
    assert_eq!((llama.running, llama.waiting, llama.kv_used), (Some(2.0), Some(1.0), Some(0.1)));
    assert_eq!((llama.prefix_hits, llama.prefix_queries), (Some(10.0), Some(40.0)));
    let text = "bareflight_num_requests_running 5\nbareflight_num_requests_waiting 1\n";
    let ours = levels(text, "bareflight");
    assert_eq!((ours.running, ours.waiting), (Some(5.0), Some(1.0)));
}

#[test]
fn an_answer_without_a_known_metric_is_none_and_json_is_no_exposition() {
    for text in ["", "process_cpu_seconds_total 3\n", "[{\"iter\": 3, \"gpuMemUsage\": 5}]"] {
        assert_eq!(read(text), None, "{text}");
    }
}
