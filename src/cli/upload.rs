//! `bareflight upload`, and `--upload` after a run: a run directory goes to an object store or a folder.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;

use crate::cli::exit::{Coded, Exit};
use crate::console;
use crate::console::shell_word::quoted;
use crate::issue::stop::Stop;
use crate::settings::Resolved;
use crate::settings::upload_place::UploadPlace;
use crate::upload::{self, UploadError, Uploaded};

/// What is uploaded.
#[derive(Debug, Args)]
pub struct UploadArgs {
    /// A run directory, as named by `run`, `compare`, `ladder` or `search`; one whose upload was ended goes on
    #[arg(value_name = "RUN_DIR")]
    pub directory: PathBuf,
    /// Where to: `s3://BUCKET/PREFIX`, `gs://…`, `az://CONTAINER/…`, `oci://BUCKET@NAMESPACE/…`, `file:///FOLDER`
    #[arg(value_name = "URL")]
    pub place: UploadPlace,
    /// Say nothing unless it fails
    #[arg(long, short = 'q')]
    pub quiet: bool,
}

/// Uploads a run directory that is there.
///
/// # Errors
/// What stood in the way, with the exit code that it deserves.
pub fn run(arguments: &UploadArgs) -> Coded<Exit> {
    let UploadArgs { directory, place, quiet } = arguments;
    check_build(place)?;
    let stop = Stop::on_signals()
        .context("Ctrl-C cannot be handled")
        .map_err(|error| (Exit::Failure, error))?;
    Ok(bring(directory, place, *quiet, &stop))
}

/// Whether what `--upload` asks for can be done, before any load is sent.
///
/// # Errors
/// What stands in the way: the build, the credentials, the place.
pub(super) fn check<'a>(sides: impl IntoIterator<Item = &'a Resolved>) -> Coded<()> {
    let Some(place) = sides.into_iter().find_map(|side| side.upload.as_ref()) else {
        return Ok(());
    };
    check_build(place)?;
    let left = upload::probe(place).map_err(|error| {
        let error = anyhow::Error::new(error);
        (Exit::Preflight, error.context("`--upload` would fail after the run"))
    })?;
    if let Some(words) = left {
        console::print_notice(format_args!("{words}"));
    }
    Ok(())
}

fn check_build(place: &UploadPlace) -> Coded<()> {
    upload::check_build(place).map_err(|error| (Exit::Usage, error.into()))
}

/// An experiment whose directory is written. Whatever server was started for it is to be stopped before the upload: until then
/// its log and `launch.json` are not whole.
pub(super) struct Written {
    pub(super) resolved: Resolved,
    pub(super) directory: PathBuf,
    pub(super) exit: Exit,
}

impl Written {
    /// Uploads it where it was asked for.
    pub(super) fn upload(&self, stop: &Stop) -> Exit {
        after(&self.resolved, &self.directory, stop, self.exit)
    }
}

/// Uploads the directory of an experiment that has ended so, where it was asked for. What was measured decides the exit code, and
/// an upload that failed where nothing else did.
pub(super) fn after(resolved: &Resolved, directory: &Path, stop: &Stop, exit: Exit) -> Exit {
    let Some(place) = &resolved.upload else { return exit };
    if exit == Exit::Interrupted {
        console::print_notice(format_args!(
            "not uploaded, since it was interrupted: {} does it",
            command(directory, place)
        ));
        return exit;
    }
    // What has failed was the target.
    stop.forget_failure();
    match bring(directory, place, resolved.quiet, stop) {
        Exit::Ok => exit,
        failed if exit == Exit::Ok => failed,
        _ => exit,
    }
}

fn bring(directory: &Path, place: &UploadPlace, quiet: bool, stop: &Stop) -> Exit {
    let tell = |words: &str| {
        if !quiet {
            console::print_notice(format_args!("{words}"));
        }
    };
    tell(&format!("uploading {} to {place}", directory.display()));
    match upload::upload(directory, place, &|| stop.is_asked(), &tell) {
        Ok(uploaded) => {
            tell(&sentence(&uploaded));
            Exit::Ok
        }
        Err(error @ (UploadError::Folder(..) | UploadError::NoRun(_))) => {
            console::print_notice(format_args!("{error}"));
            Exit::Usage
        }
        Err(error) => {
            console::print_notice(format_args!(
                "{error}; {} is whole on this machine, and {} goes on where it stopped",
                directory.display(),
                command(directory, place)
            ));
            if matches!(error, UploadError::Interrupted { .. }) {
                Exit::Interrupted
            } else {
                Exit::Upload
            }
        }
    }
}

/// The command that does it, or goes on with it.
fn command(directory: &Path, place: &UploadPlace) -> String {
    let directory = quoted(&directory.display().to_string(), "");
    format!("`bareflight upload {directory} {}`", quoted(&place.to_string(), ""))
}

fn sentence(uploaded: &Uploaded) -> String {
    let Uploaded { place, files, were_there, bytes } = uploaded;
    let resumed = match were_there {
        0 => String::new(),
        count => format!("; {count} of them were there"),
    };
    format!("uploaded {files} files, {:.1} MB, to {place}{resumed}", *bytes as f64 / 1e6)
}
