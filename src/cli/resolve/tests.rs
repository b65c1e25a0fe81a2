//! Tests of resolution: accepted settings, refused settings, and the round trip through a file.

use super::*;
use crate::load::course::{Course, Ramp, Tail};
use crate::settings::DEFAULT_CONCURRENCIES;
use crate::settings::human_duration::HumanDuration;

fn typed(toml: &str) -> Settings {
    toml::from_str(toml).expect("the test's own settings")
}

#[test]
fn contradictions_are_refused_by_name() {
    for (settings, named) in [
        ("concurrency = [1]\nrate = [2.0]", "--rate"),
        ("concurrency = [1]\nbatch = true", "--batch"),
        ("concurrency = [0]", "--concurrency"),
        ("concurrency = []", "--concurrency"),
        ("arrivals = 'poisson'", "--arrivals"),
        ("max_in_flight = 3", "--max-in-flight"),
        ("rate = [1.0]\nburstiness = 2.0", "--burstiness"),
        ("rate = [1.0]\narrivals = 'gamma'", "--burstiness"),
        ("requests = 0", "--requests"),
        ("duration = '0s'", "--duration"),
        ("concurrency = [4, 64]\nrequests = 10", "--requests 64"),
        ("batch = true\nduration = '5s'", "--requests"),
        ("batch = true\nramp = '5s'", "--ramp"),
        ("batch = true\nwindow = 'steady'", "--window"),
        ("threads = 0", "--threads"),
        ("model = ' '", "--model"),
        ("gpu_hour_price = 0", "--gpu-hour-price"),
        ("concurrency = [2]\nspawn_rate = 0", "--spawn-rate"),
        ("rate = [2.0]\nspawn_rate = 1", "--spawn-rate"),
        ("concurrency = [2]\nspawn_rate = 1\nramp = '1s'", "--ramp"),
        ("rate = [2.0]\nrequests = '5x'", "--requests Nx"),
    ] {
        let error = resolve(&typed(settings)).expect_err(settings).to_string();
        assert!(error.contains(named), "{settings}: {error}");
    }
}

#[test]
fn nothing_typed_is_a_closed_loop_on_the_embedded_engine() {
    let resolved = resolve(&Settings::default()).expect("defaults make sense");
    assert_eq!(resolved.target, "local:dummy-nano");
    assert_eq!(resolved.loads.len(), DEFAULT_CONCURRENCIES.len());
    assert_eq!(resolved.size(&Load::Closed { concurrency: 32 }).requests, Some(128));
}

#[test]
fn a_few_requests_leave_out_default_concurrencies_that_they_do_not_fill() {
    let resolved = resolve(&typed("requests = 5")).expect("no concurrency was typed");
    let slots = resolved.loads.iter().map(|load| match load {
        Load::Closed { concurrency } => *concurrency,
        other => panic!("{other} is no closed loop"),
    });
    assert_eq!(slots.collect::<Vec<_>>(), [1, 2, 4]);
}

#[test]
fn a_window_of_the_whole_leaves_out_ramp_and_tail_and_a_batch_has_neither() {
    let course = |settings: &str| {
        let resolved = resolve(&typed(settings)).expect(settings);
        resolved.size(&resolved.loads[0]).course
    };
    let over = |ms| Ramp::Over(Nanos::from_millis(ms));
    for (settings, ramp, tail) in [
        ("concurrency = [2]", Ramp::Estimated, Tail::UntilMeasuredEnd),
        ("rate = [2.0]\nramp = '3s'", over(3_000), Tail::UntilMeasuredEnd),
        ("concurrency = [2]\nramp = '0s'", Ramp::None, Tail::UntilMeasuredEnd),
        ("concurrency = [2]\nwindow = 'whole'", Ramp::None, Tail::None),
        ("concurrency = [2]\nwindow = 'whole'\nramp = '1s'", over(1_000), Tail::None),
        ("batch = true\nrequests = 3", Ramp::None, Tail::None),
    ] {
        assert_eq!(course(settings), Course { ramp, tail }, "{settings}");
    }
}

#[test]
fn what_is_written_into_a_run_directory_resolves_to_the_same_run() {
    for settings in [
        "",
        "rate = [1.5, 2.0]\narrivals = 'gamma'\nburstiness = 0.5\nduration = '90s'",
        "batch = true\nrequests = 7\nprompts = 'text'\nslo = 'ttft<2s,itl<40ms'",
        "target = 'openai:http://h'\nmodel = 'm'\nendpoint = 'completions'\nextra_inputs = '{}'",
        "concurrency = [3]\nworker = 'w'\nkv_reuse = true\ntemperature = 0.5\nthreads = 1\nno_streaming = true",
        "target = 'sim:null'\n[engine]\nkv_fraction = 0.5\nno_kv_partial_reuse = true\ncuda_graphs = true\n\
         weights_percent = 50.0\ndecoding = 'lookahead'\nlookahead = '4,3,4'\nattention_windows = [128, 256]\n\
         device_ids = [1]\nlora_dir = 'adapters'\niteration_stats = 7",
        "target = 'sim:null'\n[request]\nbeam_width = 4\nstop_words = '1,2;3'\npriority = 0.25\n\
         allotted_time = '2s'\nrepetition_penalty = 1.5\nlora = '1:0.5,0:0.5'\n[engine]\nlora_dir = 'a'",
        "target = 'sim:null'\nkv_reuse = true\n[engine]\nkv_events = 4096",
        "concurrency = [2]\nramp = '0s'\nwindow = 'whole'",
        "server_engine = 'x'\nserver_version = '1'\nserver_gpu_type = 'y'\nserver_gpu_count = 2\nnote = ['a=b', 'c=d=e']\n\
         deny = ['W005']\nallow = ['W012']\ntime_unit = 's'\nui = 'full'\nprometheus = ':9400'",
        "rate = [2.0]\nramp = '3s'\nwindow = 'steady'",
        "target = 'sim:null'\n[request]\npriority = '0.9:0.2,0.5:0.8'\nstop_text = ['END', ' ']\nbad_text = ['no']",
    ] {
        let resolved = resolve(&typed(settings)).expect(settings);
        let written = toml::to_string(&resolved.to_settings()).expect("plain data");
        let again = resolve(&typed(&written)).expect("what was written resolves");
        assert_eq!(again, resolved, "{written}");
    }
}

#[test]
fn an_unknown_key_of_a_file_is_refused() {
    assert!(toml::from_str::<Settings>("concurency = [1]").is_err());
}

#[test]
fn what_follows_from_a_single_load_and_the_embedded_engine_is_written_down() {
    let written = |settings: &str| resolve(&typed(settings)).expect(settings).to_settings();
    let closed = written("concurrency = [16]");
    assert_eq!((closed.fixed_requests(), closed.warmup), (Some(64), Some(16)));
    assert_eq!((closed.max_batch_size, closed.max_num_tokens), (Some(32), Some(256)));
    assert_eq!((closed.max_queue_size, closed.engine.iteration_stats), (Some(4096), Some(1000)));
    let open = written("rate = [1.0, 2.0]\ntarget = 'sim:null'");
    assert_eq!((open.requests, open.warmup), (None, Some(8)));
    assert_eq!(open.duration, Some(HumanDuration(crate::settings::DEFAULT_OPEN_LOOP_DURATION)));
    assert_eq!(open.max_batch_size, None, "a limit of the target's own");
    // No single number says what differs between loads.
    let several = written("concurrency = [1, 32]");
    assert_eq!((several.requests, several.warmup), (None, None));
}

#[test]
fn slots_that_start_at_a_rate_give_each_concurrency_a_ramp_of_its_own() {
    let resolved = resolve(&typed("concurrency = [4, 16]\nspawn_rate = 8")).expect("a rate");
    let ramps = resolved.loads.iter().map(|load| resolved.size(load).course.ramp);
    let half = Nanos::from_millis(500);
    assert_eq!(
        ramps.collect::<Vec<_>>(),
        [Ramp::Over(half), Ramp::Over(Nanos::from_millis(2_000))]
    );
    assert_eq!(resolve(&resolved.to_settings()).expect("as written"), resolved);
}

#[test]
fn presets_and_multiples_are_resolved_for_each_point() {
    let resolved = resolve(&typed("concurrency = ['quick', 2]\nrequests = '5x'")).expect("rules");
    let requests = |load: &Load| resolved.size(load).requests.expect("a number");
    let each: Vec<u32> = resolved.loads.iter().map(requests).collect();
    assert_eq!(each, [20, 40, 160, 320, 20]);
    assert_eq!(resolve(&resolved.to_settings()).expect("as written"), resolved);
}
