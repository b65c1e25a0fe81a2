//! Every page that the program makes, in Chromium: as a wide window, in the dark, on a phone and on paper.
//!
//! Screenshots stay in `target/tmp/pages/`, for the eye.

mod chromium;
mod pages;

use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use serde_json::json;

use chromium::Chromium;
use pages::Page;

tests! {
    a_page_asks_for_nothing_and_complains_of_nothing,
    every_plot_has_marks_inside_it,
    nothing_is_cut_or_covered_on_a_screen_a_phone_or_paper,
    text_and_marks_stand_out_in_light_and_dark,
}

/// What is wrong with a page, as a list of pairs of kind and sentence.
const CHECKS: &str = include_str!("checks.js");

/// One way to look at a page.
struct View {
    name: &'static str,
    width: u32,
    height: u32,
    media: &'static str,
    scheme: &'static str,
}

/// A4 has 718 CSS pixels between margins of one centimetre.
const VIEWS: [View; 4] = [
    View { name: "wide", width: 1240, height: 900, media: "screen", scheme: "light" },
    View { name: "dark", width: 1240, height: 900, media: "screen", scheme: "dark" },
    View { name: "phone", width: 360, height: 740, media: "screen", scheme: "light" },
    View { name: "paper", width: 718, height: 1040, media: "print", scheme: "light" },
];

/// Something that a reader would find wrong.
struct Fault {
    kind: String,
    text: String,
}

/// Made once, by the test that comes first.
static FAULTS: LazyLock<Vec<Fault>> = LazyLock::new(|| {
    let out = tempfile::tempdir().expect("a folder");
    let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join("pages");
    fs::create_dir_all(&kept).expect("a folder");
    let pages = pages::make(&out);
    let mut browser = Chromium::start();
    pages.iter().flat_map(|page| visit(&mut browser, page, &kept)).collect()
});

fn visit(browser: &mut Chromium, page: &Page, kept: &Path) -> Vec<Fault> {
    let complaints = browser.open(&page.file).into_iter();
    let mut faults: Vec<Fault> = complaints
        .map(|text| Fault { kind: "complaint".into(), text: format!("{}: {text}", page.name) })
        .collect();
    for view in &VIEWS {
        let scheme = json!([{"name": "prefers-color-scheme", "value": view.scheme}]);
        let media = json!({"media": view.media, "features": scheme});
        browser.ask("Emulation.setEmulatedMedia", &media);
        let (width, height) = (view.width, view.height);
        let is_phone = view.name == "phone";
        let metrics =
            json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": is_phone});
        browser.ask("Emulation.setDeviceMetricsOverride", &metrics);
        let found = browser.evaluate(&format!("({CHECKS})({:?})", view.name));
        faults.extend(found.as_array().expect("a list").iter().map(|fault| Fault {
            kind: fault[0].as_str().expect("a kind").to_owned(),
            text: format!("{}, {}: {}", page.name, view.name, fault[1].as_str().expect("a text")),
        }));
        let file = |ending: &str| kept.join(format!("{}-{}.{ending}", page.name, view.name));
        let (file, bytes) = match view.media {
            "print" => (file("pdf"), browser.paper()),
            _ => (file("png"), browser.screenshot()),
        };
        fs::write(file, bytes).expect("it is kept");
    }
    faults
}

fn none_of(kind: &str) {
    let texts: Vec<&str> =
        FAULTS.iter().filter(|fault| fault.kind == kind).map(|fault| fault.text.as_str()).collect();
    assert!(texts.is_empty(), "\n{}", texts.join("\n"));
}

fn a_page_asks_for_nothing_and_complains_of_nothing() {
    none_of("complaint");
}

fn every_plot_has_marks_inside_it() {
    none_of("marks");
}

fn nothing_is_cut_or_covered_on_a_screen_a_phone_or_paper() {
    none_of("layout");
}

fn text_and_marks_stand_out_in_light_and_dark() {
    none_of("contrast");
}
