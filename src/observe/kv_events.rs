//! What does an engine say of the blocks of its KV cache? Event by event.

use std::io::{self, Write};

use crate::observe::scribe::Speaker;
use crate::record::kv_events_file::{KvEvent, KvTally, write_line};
use crate::record::run_directory::file;
use crate::target::KvEvents;

impl Speaker for Box<dyn KvEvents> {
    type Said = KvEvent;
    type Gist = KvTally;
    const WHAT: &'static str = "events of the KV cache";
    const FILE: &'static str = file::KV_EVENTS;
    const THREAD: &'static str = "bf-kv-events";

    fn listen(&mut self, into: &mut Vec<KvEvent>) -> Result<(), String> {
        self.events(into)
    }

    fn write(out: &mut impl Write, point: u32, said: &KvEvent) -> io::Result<()> {
        write_line(out, point, said)
    }

    fn gist(said: KvEvent) -> KvTally {
        said.tally()
    }
}
