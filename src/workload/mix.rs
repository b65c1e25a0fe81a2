//! Weighted choice among values.

use std::fmt;
use std::str::FromStr;

use rand_xoshiro::Xoshiro256PlusPlus;

use crate::workload::seeds::unit;

/// Things with their shares of the requests, each once: `1:0.5,2:0.25,0:0.25`.
#[derive(Debug, Clone, PartialEq)]
pub struct Mix<T>(Vec<(T, f64)>);

impl<T: FromStr + PartialEq> Mix<T> {
    /// Reads things with their shares; a thing without one has the share 1. `None` where the text is no such list, a share
    /// is no number above 0, or a thing is named twice.
    pub fn read(text: &str) -> Option<Self> {
        let part = |part: &str| {
            let (thing, share) = part.split_once(':').unwrap_or((part, "1"));
            let share: f64 = share.trim().parse().ok()?;
            let usable = share > 0.0 && share.is_finite();
            Some((thing.trim().parse().ok()?, share)).filter(|_| usable)
        };
        let parts: Vec<(T, f64)> = text.split(',').map(part).collect::<Option<_>>()?;
        let named = |thing: &T| parts.iter().filter(|(other, _)| other == thing).count();
        let twice = parts.iter().any(|(thing, _)| named(thing) > 1);
        (!twice).then_some(Self(parts))
    }
}

impl<T> Mix<T> {
    /// One thing for every request.
    pub fn only(thing: T) -> Self {
        Self(vec![(thing, 1.0)])
    }

    /// Everything on offer.
    pub fn things(&self) -> impl Iterator<Item = &T> {
        self.0.iter().map(|(thing, _)| thing)
    }

    /// The thing of one request; `None` only where nothing is on offer.
    pub fn draw(&self, rng: &mut Xoshiro256PlusPlus) -> Option<&T> {
        let total: f64 = self.0.iter().map(|(_, share)| share).sum();
        let mut left = unit(rng) * total;
        let chosen = self.0.iter().find(|(_, share)| {
            left -= share;
            left < 0.0
        });
        // Rounding may leave a rest beyond the last share.
        chosen.or(self.0.last()).map(|(thing, _)| thing)
    }
}

impl<T: fmt::Display> fmt::Display for Mix<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (thing, share)) in self.0.iter().enumerate() {
            write!(f, "{}{thing}:{share}", if index == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}
