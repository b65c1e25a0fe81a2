//! Interrupts: what a person is told at the first one, and what manifests say after the second.

use crate::clock::Nanos;
use crate::console;
use crate::issue::stop::Stop;
use crate::settings::human_duration::HumanDuration;
use crate::store::manifest::mark_interrupted;
use crate::store::run_directory::{RunDirectory, file};
use crate::store::write::have_the_last_word;

/// At the first interrupt, says what is still awaited and for how long.
pub fn announce(stop: &Stop, drain: Nanos) {
    stop.at_first_signal(move || {
        let longest = HumanDuration(drain);
        console::print_notice(format_args!(
            "interrupted: no more requests are sent, those in flight are awaited for at most {longest} (`--drain`), and \
             everything is written; Ctrl-C again ends at once"
        ));
    });
}

/// At the second interrupt, leaves the manifest of this folder saying `interrupted`.
pub fn keep_manifest(stop: &Stop, directory: &RunDirectory) {
    let path = directory.file(file::MANIFEST);
    stop.at_second_signal(move || {
        have_the_last_word();
        if let Err(error) = mark_interrupted(&path) {
            console::print_notice(format_args!("`{}` still says running: {error}", path.display()));
        }
    });
}
