//! Rows of requests: every request survives being written and read.

use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

use super::*;
use crate::record::oddity::{Oddities, Oddity};

fn written(rows: &[(u32, RequestRecord)]) -> String {
    let mut writer = RowWriter::new(Vec::new()).unwrap();
    for (point, record) in rows {
        writer.write(*point, record).unwrap();
    }
    String::from_utf8(writer.finish().unwrap()).unwrap()
}

fn read(text: &str) -> Result<Vec<(u32, RequestRecord)>, RowError> {
    RowReader::new(text.as_bytes())?.collect()
}

/// A request drawn from everything that a record can hold.
fn any_record(id: u32, rng: &mut Xoshiro256PlusPlus) -> RequestRecord {
    fn maybe<T>(rng: &mut Xoshiro256PlusPlus, value: T) -> Option<T> {
        rng.random_bool(0.6).then_some(value)
    }
    let instant = |rng: &mut Xoshiro256PlusPlus| {
        let at = MonoNs(rng.random());
        maybe(rng, at)
    };
    let alphabet: Vec<char> = "ab,\"'\n\r\t ;é…\\0".chars().collect();
    let words = (0..rng.random_range(0..12))
        .map(|_| alphabet[rng.random_range(0..alphabet.len())])
        .collect();
    let kinds = FailureKind::ALL;
    let outcome = match rng.random_range(0..11) {
        0 => Outcome::Completed(FinishReason::Length),
        1 => Outcome::Completed(FinishReason::EndToken),
        2 => Outcome::Completed(FinishReason::Other(rng.random())),
        3 => Outcome::Cancelled,
        4 => Outcome::TimedOut,
        5 => Outcome::NotSent(NotSentReason::NotReached),
        6 => Outcome::NotSent(NotSentReason::Missed),
        7 => Outcome::NotSent(NotSentReason::TargetFailed),
        8 => Outcome::NotSent(NotSentReason::Interrupted),
        _ => {
            let kind = kinds[rng.random_range(0..kinds.len())];
            Outcome::Failed(Failure { kind, message: words })
        }
    };
    let times = EngineTimes {
        arrival: Some(MonoNs(rng.random())),
        first_scheduled: instant(rng),
        first_token: instant(rng),
        last_token: instant(rng),
    };
    let counts = EngineUse {
        kv_total_blocks: rng.random(),
        kv_new_blocks: 0,
        kv_reused_blocks: rng.random(),
        kv_missed_blocks: maybe(rng, 7),
        draft_tokens: rng.random(),
        accepted_draft_tokens: rng.random(),
    };
    let took = Nanos(rng.random());
    let opened = [None, Some(Opened::Ahead(took)), Some(Opened::Inside(took))];
    let opened = opened[rng.random_range(0..3)];
    let sources =
        [TokenSource::Ids, TokenSource::Usage, TokenSource::Retokenized, TokenSource::Chunks];
    let stamps = [StampSource::Engine, StampSource::Kernel, StampSource::User];
    RequestRecord {
        id: RequestId(id),
        part: Part::ALL[rng.random_range(0..Part::ALL.len())],
        prompt_tokens: rng.random(),
        requested_tokens: rng.random(),
        intended: instant(rng),
        ready: instant(rng),
        submit: instant(rng),
        first_token: instant(rng),
        first_tokens: rng.random(),
        last_token: instant(rng),
        end: instant(rng),
        cancel_asked: instant(rng),
        workload: maybe(rng, 3),
        output_tokens: rng.random(),
        token_source: sources[rng.random_range(0..sources.len())],
        other_counts: OtherCounts {
            recounted: maybe(rng, 7),
            prompt: maybe(rng, 9),
            cached: maybe(rng, 8),
        },
        token_hash: TokenHash(rng.random()),
        stamp_source: stamps[rng.random_range(0..stamps.len())],
        max_pull_lag_ns: rng.random(),
        outcome,
        oddities: Oddity::ALL
            .into_iter()
            .filter(|_| rng.random())
            .fold(Oddities::NONE, Oddities::with),
        engine_times: maybe(rng, times),
        engine_use: maybe(rng, counts),
        connection: ConnectionUse { resent: rng.random_range(0..3), opened },
    }
}

#[test]
fn any_request_that_is_written_is_read_back_equal() {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(7);
    let rows: Vec<_> = (0..2_000).map(|id| (id % 3, any_record(id, &mut rng))).collect();
    assert_eq!(read(&written(&rows)).unwrap(), rows);
}

fn without_cached(record: RequestRecord) -> RequestRecord {
    let other_counts = OtherCounts { cached: None, ..record.other_counts };
    RequestRecord { other_counts, ..record }
}

#[test]
fn a_file_of_an_earlier_version_is_read_all_the_same() {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(11);
    let record = RequestRecord {
        part: Part::Measured,
        connection: ConnectionUse::NOTHING,
        oddities: Oddities::NONE,
        cancel_asked: None,
        workload: None,
        ..without_cached(any_record(0, &mut rng))
    };
    let text = written(&[(0, record.clone())]);
    let mut rows = csv::Reader::from_reader(text.as_bytes());
    let mut old = csv::Writer::from_writer(Vec::new());
    let known = |row: &StringRecord| {
        let fields = COLUMNS.iter().zip(row).filter(|(name, _)| !LATER.contains(*name));
        fields.map(|(_, field)| field.to_owned()).collect::<Vec<_>>()
    };
    old.write_record(known(rows.headers().unwrap())).unwrap();
    for row in rows.records() {
        old.write_record(known(&row.unwrap())).unwrap();
    }
    let old = String::from_utf8(old.into_inner().unwrap()).unwrap();
    assert_eq!(read(&old).unwrap(), [(0, record)]);
}

#[test]
fn a_file_without_a_column_is_named_as_no_file_of_requests() {
    let error = read("point,request_id\n0,1\n").unwrap_err().to_string();
    assert_eq!(error, "this is no file of requests: the column `prompt_tokens` is missing");
}

#[test]
fn rows_of_an_earlier_version_have_no_marks() {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(11);
    let record = RequestRecord {
        oddities: Oddities::NONE,
        cancel_asked: None,
        workload: None,
        ..without_cached(any_record(0, &mut rng))
    };
    let text = written(&[(0, record.clone())]);
    let earlier = text
        .replace(",oddities,cached_tokens,cancel_asked_ns,workload\n", "\n")
        .replace(",,,,\n", "\n");
    assert_ne!(text, earlier);
    assert_eq!(read(&earlier).unwrap(), [(0, record)]);
}

#[test]
fn a_field_that_makes_no_sense_is_named_with_its_line() {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(8);
    let rows = [(0, any_record(0, &mut rng)), (31_337, any_record(1, &mut rng))];
    let text = written(&rows).replace("31337,1,", "31337,one,");
    let error = read(&text).unwrap_err();
    let RowError::Field { column, value, expected, .. } = error else { panic!("{error}") };
    assert_eq!((column, value.as_str(), expected), ("request_id", "one", "a whole number"));
}

#[test]
fn a_row_cut_short_by_a_crash_is_an_error_and_not_a_request() {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(9);
    let text = written(&[(0, any_record(0, &mut rng)), (0, any_record(1, &mut rng))]);
    let cut = text.rfind(',').unwrap() - 12;
    assert!(matches!(read(&text[..cut]), Err(RowError::Csv(_))));
}

#[test]
fn columns_may_come_in_any_order_and_unknown_ones_are_skipped() {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(10);
    let record = any_record(3, &mut rng);
    let mut bytes = Vec::new();
    let mut out = csv::Writer::from_writer(&mut bytes);
    let row = fields(2, &record);
    out.write_record(COLUMNS.iter().rev().copied().chain(["ttft_ms"])).unwrap();
    let reversed: Vec<&str> = row.iter().collect();
    out.write_record(reversed.into_iter().rev().chain(["12.5"])).unwrap();
    out.flush().unwrap();
    drop(out);
    assert_eq!(read(std::str::from_utf8(&bytes).unwrap()).unwrap(), [(2, record)]);
}
