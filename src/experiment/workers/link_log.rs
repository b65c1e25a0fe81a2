//! Log of a worker's records: they go to the leading process, with the ids of the whole plan.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::console;
use crate::issue::live_phase::InFlight;
use crate::issue::workers::link::Outbox;
use crate::issue::workers::message::{RecordsPart, Report, send, send_records};
use crate::load::plan::ShotList;
use crate::record::log::{Batch, RecordLog};
use crate::record::request_record::Outcome;
use crate::request::RequestId;

/// The way to the leading process, for every thread of a worker.
#[derive(Clone)]
pub(super) struct SharedOutbox(Arc<Mutex<Box<dyn Outbox>>>);

impl SharedOutbox {
    pub(super) fn new(outbox: Box<dyn Outbox>) -> Self {
        Self(Arc::new(Mutex::new(outbox)))
    }

    fn lock(&self) -> MutexGuard<'_, Box<dyn Outbox>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says something.
    pub(super) fn say(&self, report: &Report) -> io::Result<()> {
        send(&mut **self.lock(), report)
    }
}

/// Records of one phase on their way.
pub(super) struct LinkLog {
    outbox: SharedOutbox,
    counted: ShotList,
    fill: Option<ShotList>,
    in_flight: InFlight,
    ended: u32,
    ended_counted: u32,
}

impl LinkLog {
    pub(super) fn new(
        outbox: SharedOutbox,
        counted: &ShotList,
        fill: Option<&ShotList>,
        in_flight: InFlight,
    ) -> Self {
        let (counted, fill) = (counted.clone(), fill.cloned());
        Self { outbox, counted, fill, in_flight, ended: 0, ended_counted: 0 }
    }

    /// The id in the whole plan of a place in the phase.
    fn whole_id(&self, place: usize) -> RequestId {
        match (place.checked_sub(self.counted.len()), &self.fill) {
            (Some(fill_place), Some(fill)) => fill.whole_id(fill_place),
            _ => self.counted.whole_id(place),
        }
    }
}

impl RecordLog for LinkLog {
    fn write(&mut self, first: u32, batch: &Batch) -> io::Result<()> {
        let mut ended = batch.ended.clone();
        for record in &mut ended {
            let place = (record.id.0 - first) as usize;
            record.id = self.whole_id(place);
            let was_sent = !matches!(record.outcome, Outcome::NotSent(_));
            self.ended += u32::from(was_sent);
            self.ended_counted += u32::from(was_sent && place < self.counted.len());
        }
        let deliveries = batch.deliveries.iter();
        let in_flight = self.in_flight.now();
        let records = RecordsPart {
            sent: self.ended + in_flight,
            counted: self.ended_counted,
            in_flight,
            ended,
            deliveries: deliveries.map(|(at, it)| (self.whole_id(*at as usize), *it)).collect(),
        };
        send_records(&mut **self.outbox.lock(), &records)
    }

    fn report(&self, error: &io::Error) {
        console::print_notice(format_args!(
            "records cannot be sent to the leading process: {error}"
        ));
    }
}
