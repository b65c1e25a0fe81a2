//! Worked examples read from files: the same numbers as from memory.

use super::*;
use crate::metrics::observed::ObservedPoint;
use crate::metrics::plot_samples::PlotSamples;
use crate::metrics::point_records::{PointRecords, collect};
use crate::metrics::{Definition, Rate};
use crate::record::request_record::{EngineTimes, EngineUse};
use crate::store::deliveries_file::{DeliveriesWriter, Delivery};
use crate::store::point_files;
use crate::store::requests_csv::RequestsCsv;
use crate::store::run_directory::{RunDirectory, file};
use crate::store::stored_point::StoredPoint;

/// A run with something of everything.
fn mixed() -> Records {
    let mut rows: Vec<Played> = (0..400)
        .map(|id| {
            let from = f64::from(id) * 7.3;
            let first = from + 5.0 + f64::from((id * 37) % 101) / 3.0;
            let gap = 1.0 + f64::from((id * 13) % 7) / 7.0;
            let deliveries: Vec<(f64, u32)> =
                (0..=id % 9).map(|k| (first + gap * f64::from(k), (id + k) % 3)).collect();
            let mut request = played(id, from, &deliveries);
            if request.0.output_tokens == 0 {
                request = failed(request);
            }
            request
        })
        .collect();
    rows[5] = unsent(5, NotSentReason::NotReached);
    rows[6] = ended(rows[6].clone(), Outcome::TimedOut);
    rows[7].0.output_tokens += 3;
    rows[7].0.token_source = TokenSource::Usage;
    rows[8].0.engine_times = Some(EngineTimes {
        arrival: rows[8].0.submit,
        first_scheduled: None,
        first_token: rows[8].0.first_token,
        last_token: None,
    });
    rows[8].0.engine_use = Some(EngineUse { draft_tokens: 4, ..EngineUse::default() });
    Records::new(rows)
}

fn json(records: &Records, facts: &RunFacts) -> String {
    serde_json::to_string_pretty(&summarise(records, facts, &healthy())).unwrap()
}

#[test]
fn a_summary_made_from_files_is_byte_equal_to_the_one_made_from_memory() {
    let records = mixed();
    let mut facts = facts(open(137.3), 2_345.6, records.len());
    facts.slos = "ttft<20ms,stall<1.5ms".parse().unwrap();
    let summary = summarise(&records, &facts, &healthy());

    let folder = tempfile::tempdir().unwrap();
    let directory = RunDirectory::existing(folder.path());
    let observed = ObservedPoint::read(&records, &facts).unwrap();
    point_files::append(&directory, &records, &observed, &facts, &summary, true).unwrap();
    let saved_facts = serde_json::to_string(&facts).unwrap();

    let stored = StoredPoint::find(&directory, facts.point).unwrap();
    let read = collect(&stored).unwrap();
    let read_facts: RunFacts = serde_json::from_str(&saved_facts).unwrap();

    assert_eq!(read, records);
    assert_eq!(json(&read, &read_facts), json(&records, &facts));
}

#[test]
fn points_that_follow_each_other_in_the_files_are_read_back_one_by_one() {
    let folder = tempfile::tempdir().unwrap();
    let directory = RunDirectory::existing(folder.path());
    let all = [mixed(), Records::new([played(7, 0.0, &[(10.0, 1), (20.0, 1)])])];
    for (point, records) in (0..).zip(&all) {
        let facts = RunFacts { point, ..facts(closed(), 1_000.0, records.len()) };
        let summary = summarise(records, &facts, &healthy());
        let observed = ObservedPoint::read(records, &facts).unwrap();
        point_files::append(&directory, records, &observed, &facts, &summary, true).unwrap();
    }
    for (point, records) in (0..).zip(&all) {
        assert_eq!(collect(&StoredPoint::find(&directory, point).unwrap()).unwrap(), *records);
    }
    assert!(StoredPoint::find(&directory, 9).unwrap().is_empty());
}

#[test]
fn deliveries_of_another_run_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let directory = RunDirectory::existing(folder.path());
    let facts = facts(closed(), 1_000.0, 1);
    let records = Records::new([played(9_999, 0.0, &[(10.0, 1)])]);
    let summary = summarise(&records, &facts, &healthy());
    let observed = ObservedPoint::read(&records, &facts).unwrap();
    point_files::append(&directory, &records, &observed, &facts, &summary, true).unwrap();
    let path = directory.file(file::DELIVERIES);
    let mut deliveries = DeliveriesWriter::after_header(
        std::fs::OpenOptions::new().append(true).open(path).unwrap(),
    );
    let arrival = Arrival { at: at(1.0), tokens: 1 };
    deliveries.write(Delivery { point: facts.point, id: RequestId(3), arrival }).unwrap();
    deliveries.finish().unwrap();
    let stored = StoredPoint::find(&directory, facts.point).unwrap();
    let error = collect(&stored).unwrap_err().to_string();
    assert!(error.contains("not of one run"), "{error}");
}

/// What a file holds of a summary: all but what only plots need.
fn without_samples(mut summary: Summary) -> Summary {
    summary.samples = PlotSamples::default();
    for distribution in summary.distributions.values_mut().flatten() {
        distribution.curve.clear();
    }
    summary
}

#[test]
fn a_summary_that_was_saved_is_read_back_equal() {
    let records = mixed();
    let summary = summarise(&records, &facts(open(99.7), 2_345.6, records.len()), &healthy());
    let text = serde_json::to_string(&summary).unwrap();
    assert_eq!(serde_json::from_str::<Summary>(&text).unwrap(), without_samples(summary));
}

#[test]
fn derived_columns_stand_behind_the_raw_ones_and_are_empty_where_absent() {
    let records = Records::new([
        played(0, 0.0, &[(10.0, 1), (20.0, 1)]),
        unsent(1, NotSentReason::Missed),
        played(2, 0.0, &[(10.0, 1)]),
    ]);
    let facts = facts(closed(), 1_000.0, 3);
    let mut out = RequestsCsv::new(Vec::new()).unwrap();
    let observed = ObservedPoint::read(&records, &facts).unwrap();
    out.write(&records, &observed, &facts, &summarise(&records, &facts, &healthy())).unwrap();
    let bytes = out.finish().unwrap();
    let mut reader = csv::Reader::from_reader(bytes.as_slice());
    let header = reader.headers().unwrap().clone();
    let rows: Vec<_> = reader.records().map(Result::unwrap).collect();
    let cell = |row: usize, name: &str| {
        rows[row].get(header.iter().position(|column| column == name).unwrap()).unwrap().to_owned()
    };
    assert_eq!((header.get(0), header.get(1)), (Some("point"), Some("request_id")));
    assert_eq!((cell(0, "ttft_ms"), cell(0, "tpot_ms")), ("10".to_owned(), "10".to_owned()));
    assert_eq!((cell(1, "e2e_ms"), cell(2, "tpot_ms")), (String::new(), String::new()));
    assert_eq!(
        (cell(1, "outcome"), cell(1, "reason")),
        ("not_sent".to_owned(), "missed".to_owned())
    );
    let unique: std::collections::BTreeSet<_> = header.iter().collect();
    assert_eq!(unique.len(), header.len(), "{header:?}");
}

#[test]
fn an_outlier_is_labelled_in_its_row() {
    let rows = (0..30).map(|id| {
        let from = f64::from(id) * 10.0;
        let latency = if id == 17 { 500.0 } else { 5.0 + f64::from(id % 4) };
        played(id, from, &[(from + latency, 1)])
    });
    let records = Records::new(rows);
    let facts = facts(closed(), 1_000.0, 30);
    let summary = summarise(&records, &facts, &healthy());
    assert_eq!(summary.distribution(Quantity::E2e).unwrap().outliers.above, 1);
    let mut out = RequestsCsv::new(Vec::new()).unwrap();
    let observed = ObservedPoint::read(&records, &facts).unwrap();
    out.write(&records, &observed, &facts, &summary).unwrap();
    let text = String::from_utf8(out.finish().unwrap()).unwrap();
    let labelled: Vec<&str> = text.lines().filter(|line| line.ends_with(",high")).collect();
    assert_eq!(labelled.len(), 1);
    assert!(labelled[0].starts_with("3,17,"));
}

fn keys(value: &serde_json::Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

#[test]
fn every_number_in_the_json_is_one_of_the_registry_under_its_key() {
    let records = mixed();
    let summary = summarise(&records, &facts(open(99.7), 2_345.6, records.len()), &healthy());
    let json = serde_json::to_value(&summary).unwrap();
    let of = |definitions: Vec<&'static Definition>| -> Vec<&str> {
        definitions.into_iter().map(|definition| definition.key).collect()
    };
    let quantities = of(Quantity::ALL.into_iter().map(Quantity::definition).collect());
    let rates = of(Rate::ALL.into_iter().map(Rate::definition).collect());
    assert_eq!(keys(&json["distributions"]), quantities);
    assert_eq!(keys(&json["rates"]), rates);
}

#[test]
fn nothing_in_the_json_of_a_broken_run_is_out_of_range() {
    use rand::{Rng, SeedableRng};
    let mut rng = rand_xoshiro::Xoshiro256PlusPlus::seed_from_u64(3);
    for round in 0..200 {
        let rows = (0..rng.random_range(0..12)).map(|id| {
            let mut some =
                |odds: f64| rng.random_bool(odds).then(|| at(f64::from(rng.random_range(-50..50))));
            let mut request = played(id, 0.0, &[]);
            let record = &mut request.0;
            (record.submit, record.first_token) = (some(0.8), some(0.8));
            (record.last_token, record.end) = (some(0.8), some(0.8));
            let stamps: Vec<_> = (0..4).filter_map(|_| some(0.5)).collect();
            record.output_tokens = rng.random_range(0..4);
            record.first_tokens = rng.random_range(0..4);
            let arrivals =
                stamps.into_iter().map(|at| Arrival { at, tokens: rng.random_range(0..3) });
            (request.0, arrivals.collect())
        });
        let rows: Vec<Played> = rows.collect();
        let mut facts = facts(open(10.0), f64::from(round % 40), rows.len());
        facts.slos = "ttft<2s,tpot<1ms".parse().unwrap();
        let summary = summarise(&Records::new(rows), &facts, &healthy());
        // A NaN or an infinity would be written as null, which no plain number reads back from.
        let text = serde_json::to_string(&summary).unwrap();
        assert_eq!(serde_json::from_str::<Summary>(&text).unwrap(), without_samples(summary));
    }
}
