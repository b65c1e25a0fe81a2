//! Events of requests: fixed-size facts, made on hot threads.

use crate::clock::MonoNs;
use crate::record::oddity::Asked;
use crate::record::request_record::{EngineUse, FinishReason, NotSentReason, PackedTimes};
use crate::request::FailureKind;
use crate::request::RequestId;

/// A polynomial hash over token ids that does not depend on how tokens were split into deliveries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenHash(pub u64);

const BASE: u64 = 0x9E37_79B9_7F4A_7C15;

impl TokenHash {
    /// Of no token.
    pub const EMPTY: Self = Self(0);

    /// Of these tokens, in order.
    #[inline]
    pub fn of(tokens: impl Iterator<Item = u32>) -> Self {
        Self(
            tokens.fold(0_u64, |hash, token| {
                hash.wrapping_mul(BASE).wrapping_add(u64::from(token) + 1)
            }),
        )
    }

    /// The hash of everything so far followed by `next`, which held `count` tokens.
    #[inline]
    #[must_use]
    pub fn then(self, next: Self, count: u32) -> Self {
        let shift = BASE.wrapping_pow(count);
        Self(self.0.wrapping_mul(shift).wrapping_add(next.0))
    }
}

/// One fact about one request.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Event {
    /// The issuer is about to hand the request over.
    Submitted {
        /// Which request.
        id: RequestId,
        /// When it should have arrived.
        intended: MonoNs,
        /// The earliest instant at which the harness was allowed to send it (a cap on requests in flight may
        /// hold it back after `intended`).
        ready: MonoNs,
        /// Taken right before the call.
        at: MonoNs,
        /// What is asked beyond a length.
        asked: Asked,
    },
    /// The request really left, later than the hand-over that [`Event::Submitted`] stamps: a network target hands
    /// over to a thread of its own and stamps right before the first byte is written. It replaces `t_submit`, so
    /// that our own hand-over is schedule lag and never part of TTFT.
    Sent {
        /// Which request.
        id: RequestId,
        /// Right before the first byte.
        at: MonoNs,
    },
    /// The issuer will never send it.
    NotSent {
        /// Which request.
        id: RequestId,
        /// When it should have arrived, where the schedule says so.
        intended: Option<MonoNs>,
        /// Why.
        reason: NotSentReason,
    },
    /// The request took longer than it may; a cancel was sent.
    TimedOut {
        /// Which request.
        id: RequestId,
        /// When the issuer noticed.
        at: MonoNs,
    },
    /// The issuer has asked the target to end it early.
    CancelAsked {
        /// Which request.
        id: RequestId,
        /// When.
        at: MonoNs,
    },
    /// Output arrived.
    Delivery {
        /// Which request.
        id: RequestId,
        /// When it became visible (see METRICS.md, `t_k`).
        at: MonoNs,
        /// Tokens it carried, possibly none.
        tokens: u32,
        /// Their hash.
        hash: TokenHash,
        /// How much later our own thread saw it, where a better stamp than our own was at hand; 0 else.
        pull_lag: u32,
    },
    /// Output arrived whose ids someone wants; instead of [`Event::Delivery`] where the sink serves and does not measure.
    Ids {
        /// Which request.
        id: RequestId,
        /// When it became visible.
        at: MonoNs,
        /// The ids, or the next few of them.
        ids: FewIds,
    },
    /// The engine's own stamps of a request.
    Times(RequestId, PackedTimes),
    /// What the engine says of its caches and drafts.
    Use(RequestId, EngineUse),
    /// The last thing that happens to a request.
    End {
        /// Which request.
        id: RequestId,
        /// When the end was seen.
        at: MonoNs,
        /// How it ended.
        ending: Ending,
    },
}

/// Up to [`FewIds::MOST`] token ids in a fixed size, for the ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FewIds {
    count: u8,
    ids: [u32; Self::MOST],
}

impl FewIds {
    /// As many as one event has room for.
    pub const MOST: usize = 8;

    /// The next ids of an iterator; empty when it has no more.
    #[inline]
    pub fn take(from: &mut impl Iterator<Item = u32>) -> Self {
        let mut few = Self { count: 0, ids: [0; Self::MOST] };
        for (place, id) in few.ids.iter_mut().zip(from) {
            *place = id;
            few.count += 1;
        }
        few
    }

    /// The ids.
    #[inline]
    pub fn as_slice(&self) -> &[u32] {
        &self.ids[..usize::from(self.count)]
    }
}

/// How a request ended, as the target saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// All output arrived.
    Completed(FinishReason),
    /// A cancel took effect.
    Cancelled,
    /// The target ended it after the time that it was allotted.
    TimedOut,
    /// It failed; the words travel beside the ring, since they have no fixed size.
    Failed(FailureKind),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_hash_does_not_depend_on_how_deliveries_were_cut() {
        let all = TokenHash::of([5, 0, 7, 9].into_iter());
        let cut = TokenHash::EMPTY
            .then(TokenHash::of([5].into_iter()), 1)
            .then(TokenHash::EMPTY, 0)
            .then(TokenHash::of([0, 7, 9].into_iter()), 3);
        assert_eq!(all, cut);
    }

    #[test]
    fn the_token_hash_sees_order_and_length() {
        let hash = |tokens: &[u32]| TokenHash::of(tokens.iter().copied());
        assert_ne!(hash(&[1, 2]), hash(&[2, 1]));
        assert_ne!(hash(&[0]), hash(&[0, 0]));
    }

    #[test]
    fn ids_are_taken_a_few_at_a_time_and_none_is_lost() {
        let mut ids = 0..19;
        let taken: Vec<_> = std::iter::repeat_with(|| FewIds::take(&mut ids))
            .take_while(|few| !few.as_slice().is_empty())
            .map(|few| few.as_slice().to_vec())
            .collect();
        assert_eq!(taken.iter().map(Vec::len).collect::<Vec<_>>(), [8, 8, 3]);
        assert_eq!(taken.concat(), (0..19).collect::<Vec<_>>());
    }

    #[test]
    fn an_event_fits_one_cache_line() {
        assert!(size_of::<Event>() <= 64, "{}", size_of::<Event>());
    }
}
