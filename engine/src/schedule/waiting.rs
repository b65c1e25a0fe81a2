//! Queue of waiting requests: highest priority first, equal priorities in order of arrival.

use std::collections::VecDeque;

use crate::inbox::Arrival;

#[derive(Default)]
pub(crate) struct Waiting(VecDeque<Arrival>);

impl Waiting {
    pub(crate) fn insert(&mut self, arrival: Arrival) {
        let priority = arrival.request.priority;
        let at =
            self.0.partition_point(|other| other.request.priority.total_cmp(&priority).is_ge());
        self.0.insert(at, arrival);
    }

    pub(crate) fn first(&self) -> Option<&Arrival> {
        self.0.front()
    }

    pub(crate) fn take_first(&mut self) -> Option<Arrival> {
        self.0.pop_front()
    }

    pub(crate) fn remove(&mut self, id: u64) -> Option<Arrival> {
        let at = self.0.iter().position(|arrival| arrival.request.id == id)?;
        self.0.remove(at)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::Request;

    #[test]
    fn priority_goes_before_arrival_and_arrival_decides_between_equals() {
        let mut waiting = Waiting::default();
        for (id, priority) in [(1, 0.0), (2, 1.0), (3, 0.0), (4, 1.0), (5, -2.0)] {
            let mut request = Request::greedy(id, [0], 1);
            request.priority = priority;
            waiting.insert(Arrival { request, arrival_ns: 0 });
        }
        assert_eq!(waiting.remove(3).unwrap().request.id, 3);
        let order: Vec<u64> =
            std::iter::from_fn(|| waiting.take_first()).map(|a| a.request.id).collect();
        assert_eq!(order, [2, 4, 1, 5]);
    }
}
