//! NVTX ranges for Nsight Systems: one for each phase, and one for each request from when it is sent
//! until its end (NVTX), where `--nvtx` asks for them.

use std::ffi::CString;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::ffi::nvtx::{self, Domain, Kind, RangeId};
use crate::request::RequestId;

pub use crate::ffi::nvtx::NvtxError;

/// Numbers that group ranges in the tool.
const PHASE: u32 = 1;
const REQUEST: u32 = 2;

/// Where ranges go. Each use of it is a call into the tool, so there is none of them where nobody asked.
#[derive(Debug, Clone, Copy)]
pub struct Tool {
    domain: &'static Domain,
}

impl Tool {
    /// The tool that is attached to this process.
    ///
    /// # Errors
    /// When there is none, or it does not listen to ranges.
    pub fn find() -> Result<Self, NvtxError> {
        let domain = nvtx::attach()?;
        // Names the category; phases are called by their points.
        domain.kind(PHASE, c"phase");
        Ok(Self { domain })
    }

    /// A phase begins on this thread; it ends with what is returned.
    pub fn phase(self, words: &str) -> Phase {
        // A label without a zero byte in it, as all are, is shown as it is.
        let words = CString::new(words).unwrap_or_default();
        self.domain.push(PHASE, &words);
        Phase { tool: self, stays: PhantomData }
    }

    /// Room for the ranges of so many requests.
    pub fn requests(self, requests: usize) -> RequestRanges {
        RequestRanges {
            tool: self,
            kind: self.domain.kind(REQUEST, c"request"),
            begun: (0..requests).map(|_| AtomicU64::new(NONE)).collect(),
        }
    }
}

/// A phase that lasts as long as this does, on the thread where it began.
#[derive(Debug)]
pub struct Phase {
    tool: Tool,
    stays: PhantomData<*const ()>,
}

impl Drop for Phase {
    fn drop(&mut self) {
        self.tool.domain.pop();
    }
}

/// The requests of a session: all are called alike, and a range's payload says which one it is.
#[derive(Debug)]
pub struct RequestRanges {
    tool: Tool,
    kind: Kind,
    /// The tool's number of each request's range.
    begun: Box<[AtomicU64]>,
}

/// No range has begun; a tool counts up to this in no run.
const NONE: u64 = u64::MAX;

impl RequestRanges {
    /// Who hears of them.
    pub fn tool(&self) -> Tool {
        self.tool
    }

    /// A request is about to be sent.
    #[inline]
    pub fn begin(&self, id: RequestId) {
        let range = self.tool.domain.start(&self.kind, id.0.into());
        if let Some(slot) = self.begun.get(id.0 as usize) {
            slot.store(range.map_or(NONE, |range| range.0), Ordering::Release);
        }
    }

    /// Its last word has come.
    #[inline]
    pub fn end(&self, id: RequestId) {
        let Some(slot) = self.begun.get(id.0 as usize) else { return };
        let range = slot.swap(NONE, Ordering::AcqRel);
        if range != NONE {
            self.tool.domain.end(RangeId(range));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::now;
    use crate::ffi::nvtx::stand_in::{self, ENDED, MESSAGE, PAYLOAD, REGISTERED_HANDLE, STARTED};
    use crate::record::gate::Gate;

    #[test]
    fn a_request_is_one_range_with_its_number_and_neither_side_of_it_allocates() {
        let tool = Tool { domain: stand_in::domain() };
        let gate = Gate::new(8, 1).with_ranges(Some(tool));
        let range_counts = || (STARTED.load(Ordering::Relaxed), ENDED.load(Ordering::Relaxed));
        let (started, ended) = range_counts();
        let counted = allocation_counter::measure(|| {
            gate.open(RequestId(5));
            gate.open(RequestId(7));
            assert_eq!(PAYLOAD.load(Ordering::Relaxed), 7);
            assert!(gate.close(RequestId(7), now()));
            assert!(gate.abandon(RequestId(5)));
        });
        assert_eq!(counted.count_total, 0);
        assert_eq!(MESSAGE.load(Ordering::Relaxed), REGISTERED_HANDLE);
        assert_eq!(range_counts(), (started + 2, ended + 2));
        // An end that comes twice, or after the request was given up, ends no range.
        gate.close(RequestId(7), now());
        gate.close(RequestId(5), now());
        gate.close(RequestId(1), now());
        assert_eq!(range_counts(), (started + 2, ended + 2));
    }
}
