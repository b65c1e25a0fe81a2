//! Reader of an executor's KV cache events.

use crate::clock::{MonoNs, now};
use crate::ffi::engine::{Engine, KvEvent as Wire, KvEventKind};
use crate::record::kv_event::{BlockHash, KvChange, KvEvent};
use crate::targets::KvEvents;

/// KV cache events of an opened executor.
pub struct ExecutorKvEvents {
    engine: Engine,
    looked: MonoNs,
}

impl ExecutorKvEvents {
    /// Of a handle that no other thread uses.
    pub fn new(engine: Engine) -> Self {
        Self { engine, looked: now() }
    }
}

impl KvEvents for ExecutorKvEvents {
    fn events(&mut self, into: &mut Vec<KvEvent>) -> Result<(), String> {
        let reported = self.engine.kv_events().map_err(|error| error.to_string())?;
        let at = now();
        let since = std::mem::replace(&mut self.looked, at);
        into.extend(reported.events.iter().map(|event| KvEvent {
            event: event.id,
            since,
            at,
            window: u32::try_from(event.window).ok(),
            change: change_of(event, &reported.numbers),
        }));
        Ok(())
    }
}

fn change_of(event: &Wire, numbers: &[u64]) -> KvChange {
    let numbers = &numbers[event.first as usize..][..event.count as usize];
    let hashes = || numbers.iter().copied().map(BlockHash).collect();
    match event.kind {
        KvEventKind::Created => KvChange::Created { blocks_per_level: numbers.to_vec() },
        KvEventKind::Stored => KvChange::Stored {
            parent: event.has_parent.then_some(BlockHash(event.parent)),
            blocks: hashes(),
            beyond_gpu: event.beyond_gpu,
        },
        KvEventKind::Removed => KvChange::Removed { blocks: hashes() },
        // The bridge has no other kind.
        _ => KvChange::Updated {
            block: BlockHash(numbers.first().copied().unwrap_or(0)),
            level: both(event.level_before, event.level_after),
            priority: both(event.priority_before, event.priority_after),
        },
    }
}

/// Before and after; `None` where it did not change.
fn both(before: i32, after: i32) -> Option<(u32, u32)> {
    u32::try_from(before).ok().zip(u32::try_from(after).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ffi::engine::EngineConfig;
    use crate::settings::engine::EngineSettings;
    use crate::targets::sim::wire_config;

    fn config(settings: &EngineSettings) -> EngineConfig {
        wire_config("null,kv_tokens=256", settings)
    }

    #[test]
    fn an_executor_without_reuse_is_refused_by_what_it_lacks() {
        let settings = EngineSettings { kv_events: Some(10), ..EngineSettings::default() };
        let error = Engine::open_simulated(&config(&settings)).err().expect("no reuse").to_string();
        assert!(error.contains("block reuse"), "{error}");
    }

    #[test]
    fn the_first_event_says_how_many_blocks_there_are_and_reading_drains() {
        let settings =
            EngineSettings { kv_reuse: true, kv_events: Some(10), ..EngineSettings::default() };
        let engine = Engine::open_simulated(&config(&settings)).expect("a profile");
        let mut events = ExecutorKvEvents::new(engine.for_another_thread());
        let mut reported = Vec::new();
        events.events(&mut reported).expect("it is open");
        events.events(&mut reported).expect("it is open");
        let [created] = &reported[..] else { panic!("one event, not {reported:?}") };
        assert_eq!(created.change, KvChange::Created { blocks_per_level: vec![8, 0] });
        assert!(created.event == 0 && created.window.is_some() && created.since <= created.at);
        engine.close().expect("closes");
    }

    #[test]
    fn what_went_to_the_host_and_back_keeps_its_levels() {
        let wire = |level_before, level_after| Wire {
            id: 3,
            kind: KvEventKind::Updated,
            window: -1,
            first: 1,
            count: 1,
            has_parent: false,
            parent: 0,
            beyond_gpu: 0,
            level_before,
            level_after,
            priority_before: -1,
            priority_after: -1,
        };
        let block = BlockHash(9);
        for (before, after, level) in [(0, 1, Some((0, 1))), (1, 0, Some((1, 0))), (-1, -1, None)] {
            let change = change_of(&wire(before, after), &[7, 9]);
            assert_eq!(change, KvChange::Updated { block, level, priority: None });
        }
    }
}
