//! Watch of a server's own metrics at each point: answers into `server_metrics.jsonl`, their summary into the health of the point.

use std::fs::File;
use std::io::{self, BufWriter, Write};

use serde::Serialize;

use crate::clock::Window;
use crate::observe::server_metrics::over_window::ServerUse;
use crate::observe::server_metrics::places;
use crate::observe::server_metrics::scraper::{NoMetrics, Place, Scrape, Scraping};
use crate::record::disk::remedy;
use crate::settings::Resolved;
use crate::settings::server_metrics::ServerMetricsChoice;
use crate::store::run_directory::{RunDirectory, file};

/// A server whose metrics are followed, and the file that they go to.
pub struct ServerWatch {
    place: Place,
    lines: BufWriter<File>,
}

/// Why metrics cannot be followed.
#[derive(Debug, thiserror::Error)]
pub enum ServerWatchError {
    /// The place that was named is none.
    #[error("`--server-metrics`: {0}: name another URL, or leave it out")]
    Place(#[from] NoMetrics),
    /// The file.
    #[error("`server_metrics.jsonl` cannot be written: {0}{then}", then = remedy(.0))]
    File(#[from] io::Error),
}

/// One line of `server_metrics.jsonl`.
#[derive(Serialize)]
struct Line<'a> {
    point: u32,
    server: &'a str,
    #[serde(flatten)]
    scrape: &'a Scrape,
}

impl ServerWatch {
    /// Finds the metrics of what is measured, where it has any or they were asked for.
    ///
    /// # Errors
    /// When the place that was named does not answer with metrics, or the file cannot be made.
    pub fn open(
        resolved: &Resolved,
        directory: &RunDirectory,
    ) -> Result<Option<Self>, ServerWatchError> {
        let place = match &resolved.served.server_metrics {
            ServerMetricsChoice::Off => None,
            ServerMetricsChoice::At(url) => Some(Place::find(url.clone())?),
            ServerMetricsChoice::Auto => {
                let launched = resolved.launch.as_ref().and_then(|it| it.metrics.clone());
                let beside = places::of_target(&resolved.target);
                launched.into_iter().chain(beside).find_map(|url| Place::find(url).ok())
            }
        };
        let Some(place) = place else { return Ok(None) };
        let lines = BufWriter::new(File::create(directory.file(file::SERVER_METRICS))?);
        Ok(Some(Self { place, lines }))
    }

    /// Starts to follow them.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn start(&self) -> Result<Scraping, ServerWatchError> {
        Ok(self.place.start()?)
    }

    /// Ends the scraping of a point, and writes every answer; what is known of the window stands where they cannot be written.
    pub fn finish(
        &mut self,
        scraping: Scraping,
        point: u32,
        window: Window,
    ) -> (ServerUse, Result<(), ServerWatchError>) {
        let scrapes = scraping.finish();
        let written = self.write(point, &scrapes);
        let Place { url, server } = &self.place;
        (ServerUse::of(server, url.to_string(), &scrapes, window), written.map_err(Into::into))
    }

    fn write(&mut self, point: u32, scrapes: &[Scrape]) -> io::Result<()> {
        let server = &self.place.server;
        for scrape in scrapes {
            writeln!(self.lines, "{}", serde_json::to_string(&Line { point, server, scrape })?)?;
        }
        self.lines.flush()
    }
}
