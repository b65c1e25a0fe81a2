//! `perf_analyzer`, as it is used for models that stream.

use super::asked;
use super::draft::{Draft, Service};
use super::genai_perf::{interval, model, one_after_the_other, streaming, url};
use super::reader::Means::{Always, ItsOwn, ItsOwnSwitch, Nothing, Put, Same, Switch, Value};
use super::reader::{Dialect, flag};

pub const DIALECT: Dialect = Dialect {
    programs: &[&["perf_analyzer"], &["perf_client"]],
    service: Service::Triton,
    streams: false,
    flags: &[
        flag(&["-m"], Put(model)),
        flag(&["-u"], Put(url)),
        flag(&["-i"], Put(protocol)),
        flag(&["--service-kind"], Value(service)),
        flag(&["--streaming"], Switch(streaming)),
        flag(&["--async"], Always),
        flag(&["--concurrency-range"], Value(concurrency_range)),
        flag(&["--request-rate-range"], Value(rate_range)),
        flag(&["--request-distribution"], Same("--arrivals")),
        flag(&["--request-count"], Same("--requests")),
        flag(&["--warmup-request-count"], Same("--warmup")),
        flag(&["-p", "--measurement-interval"], Put(interval)),
        flag(&["--measurement-request-count"], Same("--requests")),
        flag(&["--measurement-mode", "--max-trials", "-r"], ItsOwn),
        flag(&["-s", "--stability-percentage"], Put(asked::stability)),
        flag(&["--percentile"], Nothing("all percentiles are reported")),
        flag(&["--max-threads"], Same("--client-threads")),
        flag(
            &["--input-data", "--shape", "--string-length", "--string-data"],
            Nothing(
                "prompts are drawn, of the lengths of `--scenario`; tensors are found in the model's metadata",
            ),
        ),
        flag(
            &["--request-parameter"],
            Nothing("give tensors as `--extra-inputs '{\"NAME\":VALUE}'`"),
        ),
        flag(&["--random-seed"], Same("--seed")),
        flag(&["--profile-export-file"], Put(asked::genai_perf_export)),
        flag(&["-f"], ItsOwn),
        flag(
            &["-v", "--verbose", "--verbose-csv", "--collect-metrics", "--no-verbose"],
            ItsOwnSwitch,
        ),
        flag(&["-H"], Put(asked::header)),
        flag(&["-b"], Nothing("a request has one prompt")),
    ],
    finish: one_after_the_other,
};

fn protocol(draft: &mut Draft, value: &str) {
    if !value.eq_ignore_ascii_case("grpc") {
        let remedy = "gRPC is asked; HTTP's `generate_stream` is `triton:http://HOST:PORT/MODEL`";
        draft.leave_out(&format!("-i {value}"), remedy);
    }
}

fn service(draft: &mut Draft, value: &str) -> Result<(), String> {
    match value {
        "triton" => {}
        "openai" => draft.service = Service::OpenAi,
        other => return Err(format!("there is no target for the service `{other}`")),
    }
    Ok(())
}

/// `START:END:STEP` as a list.
fn listed(value: &str) -> Result<Vec<f64>, String> {
    const MOST: usize = 1_000;
    let parts: Result<Vec<f64>, _> = value.split(':').map(str::parse).collect();
    let parts = parts.map_err(|_| "START:END:STEP is expected")?;
    let (start, end, step) = match parts[..] {
        [start] => (start, start, 1.0),
        [start, end] => (start, end, 1.0),
        [start, end, step] => (start, end, step),
        _ => return Err("START:END:STEP is expected".to_owned()),
    };
    if !(step > 0.0 && end >= start) || (end - start) / step > MOST as f64 {
        return Err(
            "END is at least START, STEP is above 0, and there are 1000 steps at most".to_owned()
        );
    }
    let count = ((end - start) / step).floor() as usize;
    Ok((0..=count).map(|i| start + i as f64 * step).collect())
}

fn concurrency_range(draft: &mut Draft, value: &str) -> Result<(), String> {
    draft.concurrencies = listed(value)?.iter().map(f64::to_string).collect();
    Ok(())
}

fn rate_range(draft: &mut Draft, value: &str) -> Result<(), String> {
    draft.rates = listed(value)?.iter().map(f64::to_string).collect();
    Ok(())
}
