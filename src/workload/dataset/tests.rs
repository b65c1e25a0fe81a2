//! Claims about files of a workload: formats, entries, errors with their line.

use std::io::Write;
use std::path::PathBuf;

use super::*;
use crate::tokenizer::tokenize::{Tokenize, TokenizeError};
use crate::workload::PromptKind;
use crate::workload::dataset::FileSource;
use crate::workload::dataset::entries::Content;
use crate::workload::seeds::Phase;

/// Each word is a token, by its length.
struct Words;

impl Tokenize for Words {
    fn encode(&self, text: &str) -> Result<Vec<u32>, TokenizeError> {
        Ok(text.split_whitespace().map(|word| word.len() as u32).collect())
    }

    fn decode(&self, ids: &[u32]) -> Result<String, TokenizeError> {
        Ok(ids.iter().map(|id| "x".repeat(*id as usize)).collect::<Vec<_>>().join(" "))
    }

    fn vocab_size(&self) -> u32 {
        1_000
    }

    fn special_ids(&self) -> Vec<u32> {
        Vec::new()
    }
}

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/workloads").join(name)
}

fn in_order(kind: &str, path: PathBuf) -> FileWorkload {
    let source: FileSource = format!("{kind}:{}", path.display()).parse().expect("a source");
    FileWorkload { order: FileOrder::File, ..FileWorkload::new(source) }
}

fn counter() -> Counter {
    let tokenizer: std::sync::Arc<dyn Tokenize> = std::sync::Arc::new(Words);
    Counter {
        tokenizer: Some(tokenizer),
        prompts: PromptKind::Ids,
        vocabulary: None,
        has_output: true,
    }
}

fn chosen(file: &FileWorkload, most: usize) -> Result<Chosen, DatasetError> {
    choose(file, &counter(), &Seeds::from_root(7), most)
}

fn lengths(chosen: &Chosen) -> Vec<(u32, u32)> {
    let of = |entry: &Entry| (entry.lengths.input, entry.lengths.output);
    chosen.entries.all().iter().map(of).collect()
}

#[test]
fn every_published_shape_gives_its_lengths() {
    for (kind, file, expected) in [
        ("sharegpt", "sharegpt.json", vec![(3, 2), (2, 4), (5, 3)]),
        ("openorca", "openorca.jsonl", vec![(4, 1), (3, 2)]),
        ("cnn-dailymail", "cnn_dailymail.csv", vec![(4, 2), (2, 1)]),
        ("csv", "prompts.csv", vec![(2, 3), (3, 5)]),
        ("trtllm-bench", "trtllm_bench.jsonl", vec![(4, 3), (2, 5), (3, 2)]),
        ("gpt-manager", "gpt_manager.json", vec![(3, 4), (2, 6)]),
        ("lengths", "lengths.csv", vec![(12, 3), (700, 5), (33, 9)]),
        ("mooncake", "mooncake.jsonl", vec![(1100, 5), (1030, 4), (512, 3), (1500, 2)]),
        ("burstgpt", "burstgpt.csv", vec![(20, 8), (40, 6)]),
        ("plan", "plan.csv", vec![(9, 3), (5, 2), (9, 3)]),
        ("azure-llm", "azure_llm_2023.csv", vec![(37, 4), (20, 10)]),
        ("azure-llm", "azure_llm_2024.csv", vec![(23, 2), (25, 3)]),
    ] {
        let file = in_order(kind, fixture(file));
        assert_eq!(lengths(&chosen(&file, 100).expect(kind)), expected, "{kind}");
    }
    for (kind, file, expected) in [
        ("text", "prompts.txt", vec![(2, 9), (3, 9)]),
        ("genai-perf", "genai_perf.jsonl", vec![(3, 9), (1, 9), (2, 9)]),
    ] {
        let file = FileWorkload { output_tokens: Some(9), ..in_order(kind, fixture(file)) };
        assert_eq!(lengths(&chosen(&file, 100).expect(kind)), expected, "{kind}");
    }
}

#[test]
fn what_asks_nothing_or_is_empty_is_counted_and_left_out() {
    let tally = chosen(&in_order("sharegpt", fixture("sharegpt.json")), 100).expect("read").tally;
    assert_eq!((tally.read, tally.nothing_asked, tally.empty), (5, 1, 1));
    let failed = chosen(&in_order("burstgpt", fixture("burstgpt.csv")), 100).expect("read").tally;
    assert_eq!(failed.to_string(), "of 3 entries looked at, 1 ask nothing");
}

#[test]
fn a_bad_line_is_named_or_counted() {
    let columns = FileWorkload {
        prompt_column: Some("ask".into()),
        output_column: Some("limit".into()),
        ..in_order("jsonl", fixture("prompts.jsonl"))
    };
    let error = chosen(&columns, 100).expect_err("nine is no number").to_string();
    assert!(error.contains("prompts.jsonl`, line 4: `limit` is \"nine\""), "{error}");
    assert!(error.contains("--skip-bad-lines"), "{error}");
    let skipping = FileWorkload { skip_bad_lines: true, ..columns };
    let found = chosen(&skipping, 100).expect("the others are good");
    assert_eq!(lengths(&found), [(3, 7), (4, 3), (2, 4)]);
    assert_eq!((found.tally.bad, found.tally.first_bad.map(|it| it.0)), (1, Some(4)));
}

#[test]
fn a_file_of_another_kind_and_a_missing_column_say_so() {
    for (kind, file, said) in [
        ("sharegpt", "trtllm_bench.jsonl", "line 1: `conversations` or `conversation` is missing"),
        ("jsonl", "prompts.jsonl", "--prompt-column"),
        ("gpt-manager", "genai_perf.jsonl", "no list `samples`"),
        ("text", "prompts.txt", "--output-tokens N"),
        ("text", "no_such_file", "cannot be read"),
        ("mooncake", "burstgpt.csv", "line 1: it is no JSON"),
    ] {
        let error = chosen(&in_order(kind, fixture(file)), 9).expect_err(kind).to_string();
        assert!(error.contains(said) && error.contains(file), "{kind}: {error}");
    }
}

#[test]
fn text_without_a_tokenizer_names_the_flag_and_ids_need_none() {
    let without = Counter { tokenizer: None, vocabulary: Some(15), ..counter() };
    let seeds = Seeds::from_root(1);
    let file = in_order("sharegpt", fixture("sharegpt.json"));
    let error = choose(&file, &without, &seeds, 9).expect_err("text").to_string();
    assert!(error.contains("--tokenizer"), "{error}");
    let ids = in_order("gpt-manager", fixture("gpt_manager.json"));
    let error = choose(&ids, &without, &seeds, 9).expect_err("id 15").to_string();
    assert!(error.contains("token id 15") && error.contains("line 4"), "{error}");
    let larger = Counter { vocabulary: Some(16), ..without };
    let entries = choose(&ids, &larger, &seeds, 9).expect("ids of the model").entries;
    let Content::Prompt(prompt) = &entries.all()[0].content else { panic!("a prompt") };
    assert_eq!((&*prompt.ids, &prompt.text), (&[11, 12, 13][..], &None));
}

#[test]
fn a_longer_run_takes_the_same_entries_first_whatever_the_file_s_size() {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    for number in 1..=500 {
        writeln!(file, "{{\"prompt\": [1], \"output_tokens\": {number}}}").expect("written");
    }
    let source = in_order("jsonl", file.path().to_owned()).source;
    let shuffled = FileWorkload::new(source);
    let outputs = |most, root| -> Vec<u32> {
        let chosen = choose(&shuffled, &counter(), &Seeds::from_root(root), most).expect("read");
        chosen.entries.all().iter().map(|entry| entry.lengths.output).collect()
    };
    let (few, all) = (outputs(20, 7), outputs(1_000, 7));
    assert_eq!((few.len(), all.len()), (20, 500));
    assert_eq!(few[..], all[..20]);
    assert!(!all.is_sorted());
    assert_ne!(few, outputs(20, 8));
    let mut sorted = all;
    sorted.sort_unstable();
    assert!(sorted.into_iter().eq(1..=500), "each once");
}

#[test]
fn bounds_leave_out_entries_and_count_them() {
    let file = FileWorkload {
        max_input: Some(4),
        max_output: Some(3),
        ..in_order("sharegpt", fixture("sharegpt.json"))
    };
    let found = chosen(&file, 100).expect("one is left");
    assert_eq!(lengths(&found), [(3, 2)]);
    assert_eq!((found.tally.long_input, found.tally.long_output), (1, 1));
    let none = FileWorkload { max_input: Some(1), ..file };
    let error = chosen(&none, 100).expect_err("none is left").to_string();
    assert!(error.contains("3 are above `--max-isl`"), "{error}");
}

#[test]
fn compressed_files_read_as_they_are_published() {
    let plain = std::fs::read(fixture("trtllm_bench.jsonl")).expect("a fixture");
    let folder = tempfile::tempdir().expect("a folder");
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&plain).expect("in memory");
    let gzip = gzip.finish().expect("in memory");
    let level = ruzstd::encoding::CompressionLevel::Fastest;
    let frame = ruzstd::encoding::compress_to_vec(&plain[..], level);
    for (name, bytes) in [
        ("one.jsonl.gz", gzip.clone()),
        ("one.jsonl.zst", frame.clone()),
        ("two.jsonl.gz", [gzip.clone(), gzip].concat()),
        ("two.jsonl.zst", [frame.clone(), frame].concat()),
    ] {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).expect("written");
        let read = chosen(&in_order("trtllm-bench", path), 100).expect(name);
        let copies = if name.starts_with("one") { 1 } else { 2 };
        assert_eq!(lengths(&read), [(4, 3), (2, 5), (3, 2)].repeat(copies), "{name}");
    }
}

#[test]
fn a_window_of_a_trace_starts_at_its_own_zero_and_time_is_scaled() {
    let file = FileWorkload {
        replay: true,
        time_scale: 2.0,
        window: Some("0.1..1".parse().expect("a window")),
        ..in_order("mooncake", fixture("mooncake.jsonl"))
    };
    let found = chosen(&file, 100).expect("two are inside");
    let instants = found.entries.instants().expect("a trace");
    assert_eq!(instants, [Nanos::ZERO, Nanos::from_millis(150)]);
    assert_eq!((lengths(&found), found.tally.outside_window), (vec![(1030, 4), (512, 3)], 2));
}

#[test]
fn each_phase_and_point_has_entries_of_its_own_while_there_are_enough() {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    for number in 1..=200 {
        writeln!(file, "{{\"prompt\": [1], \"output_tokens\": {number}}}").expect("written");
    }
    let found = chosen(&in_order("jsonl", file.path().to_owned()), 1_000).expect("read");
    let output = |entries: &Entries, phase, index| entries.of(phase, index).lengths.output;
    let first = &found.entries;
    assert_eq!(output(first, Phase::Measure, 0), 1);
    assert_eq!(output(first, Phase::Warmup, 0), 200);
    let next = first.behind(10, 3);
    assert_eq!(output(&next, Phase::Measure, 0), 11);
    assert_eq!(output(&next, Phase::Warmup, 0), 197);
    assert_eq!(output(&next, Phase::Measure, 190), 1, "behind the last the first comes again");
}

#[test]
fn a_histogram_gives_lengths_of_its_bins_by_their_counts() {
    let file = in_order("histogram", fixture("histogram.csv"));
    let drawn = lengths(&chosen(&file, 4_000).expect("it can be asked"));
    let short = drawn.iter().filter(|it| (1..=100).contains(&it.0) && it.1 == 7).count();
    let long = drawn.iter().filter(|it| (1_000..=1_999).contains(&it.0) && it.1 == 9).count();
    assert_eq!(short + long, 4_000);
    assert!((2_900..3_100).contains(&short), "{short} of 4000 where 3000 are due");
    let mean = drawn.iter().filter(|it| it.1 == 9).map(|it| f64::from(it.0)).sum::<f64>();
    assert!((mean / long as f64 - 1_499.5).abs() < 30.0, "uniform within a bin");
    assert_eq!(drawn[..10], lengths(&chosen(&file, 10).expect("it can be asked"))[..]);
    let bounded = FileWorkload { max_input: Some(100), ..file };
    let chosen = chosen(&bounded, 50).expect("short ones are left");
    assert!(chosen.entries.all().len() == 50 && chosen.tally.long_input > 0);
}

#[test]
fn a_histogram_may_tell_of_prompts_and_outputs_apart() {
    let made = |text: &str| {
        let mut made = tempfile::NamedTempFile::new().expect("a file");
        made.write_all(text.as_bytes()).expect("text");
        made
    };
    let whole =
        made("length,from,to,count\ninput,10,19,1\ninput,30,39,1\noutput,1,4,1\noutput,9,9,0\n");
    let drawn = chosen(&in_order("histogram", whole.path().to_owned()), 200).expect("drawn");
    let all = lengths(&drawn);
    assert!(all.iter().all(|(input, output)| matches!(input, 10..=19 | 30..=39) && *output <= 4));
    assert!(
        all.iter().any(|it| it.0 > 20 && it.1 == 1) && all.iter().any(|it| it.0 < 20 && it.1 == 4)
    );
    for (text, said) in [
        ("length,from,to,count\ninput,10,9,1\n", "from 10 to 9"),
        ("length,from,to,count\nboth,1,9,1\n", "`both`"),
        ("length,from,to,count\noutput,1,9,1\n", "no bin of prompts"),
        ("input_from,input_to,count\n1,9,1\n", "--output-tokens"),
        ("input_from,output_tokens,count\n1,9,1\n", "`input_from` and `input_to`"),
        ("input_tokens,output_tokens,count\n1,9,x\n", "`count`"),
        ("input_tokens,output_tokens,count\n1,9,0\n", "no bin of prompts"),
    ] {
        let file = made(text);
        let refused = chosen(&in_order("histogram", file.path().to_owned()), 5);
        let message = refused.map(|_| ()).expect_err(text).to_string();
        assert!(message.contains(said), "{text}: {message}");
    }
}
