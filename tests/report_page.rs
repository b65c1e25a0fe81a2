//! Claims about the page that a person opens in a browser.

mod report_fixture;

use bareflight::load::{Arrivals, Load};
use bareflight::metrics::{Quantity, Rate};
use bareflight::report::{Experiment, html, write};
use report_fixture::{Paper, experiment, sweep};

fn open_loops() -> Experiment {
    let at = |rate| Paper {
        load: Load::Open { arrivals: Arrivals::Poisson, rate, max_in_flight: None },
        slos: "ttft<400ms,itl<40ms",
        ..Paper::closed(8, 300)
    };
    experiment(&[at(5.0), at(10.0), at(15.0), at(20.0)])
}

#[test]
fn pages_are_kept_for_the_eye() {
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"));
    let one = Paper { complete: false, fails_every: 7, simulated: false, ..Paper::closed(8, 90) };
    for (name, experiment) in
        [("sweep.html", sweep()), ("open.html", open_loops()), ("one.html", experiment(&[one]))]
    {
        write::write_whole(&folder.join(name), html::render(&experiment).as_bytes()).unwrap();
    }
}
