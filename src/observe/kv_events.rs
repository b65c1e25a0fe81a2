//! Events of an engine's KV cache, as a source of the statistics collector.

use crate::observe::collector::Source;
use crate::record::kv_event::{KvEvent, KvTally};
use crate::targets::KvEvents;
use crate::threads::Own;

impl Source for Box<dyn KvEvents> {
    type Item = KvEvent;
    type Summary = KvTally;
    const WHAT: &'static str = "events of the KV cache";
    const THREAD: Own = Own::KvEvents;

    fn read(&mut self, into: &mut Vec<KvEvent>) -> Result<(), String> {
        self.events(into)
    }

    fn summary(item: KvEvent) -> KvTally {
        item.tally()
    }
}
