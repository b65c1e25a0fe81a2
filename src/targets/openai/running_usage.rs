//! HOT PATH. The server's own counts of output tokens: whether they run along with the chunks, and what they add up to.

/// What the counts beside the chunks of a stream are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Counts {
    /// No output has come yet.
    #[default]
    Undecided,
    /// Each is of all tokens so far.
    Running,
    /// Each is of all tokens so far, in an event of its own behind the chunk.
    Behind,
    /// They say nothing of the chunk that they came with.
    Apart,
}

/// Chunks with new text that a running count passes over before it is none: a server may hold text back, and send the
/// rest after the last token.
const PASSED_OVER: u32 = 2;

/// The server's counts of one response.
#[derive(Debug, Clone, Copy, Default)]
pub struct RunningUsage {
    counts: Counts,
    /// Chunks with new text, and those of them that a running count passed over.
    chunks: u32,
    passed_over: u32,
    has_grown: bool,
    /// The probe has seen that they say nothing of chunks.
    is_known_apart: bool,
    /// The latest count, and the sum of those that came with output.
    latest: Option<u32>,
    sum: u32,
    came_with_output: bool,
}

impl RunningUsage {
    /// Where the server is known to send counts of another kind with its chunks.
    pub fn apart() -> Self {
        Self { counts: Counts::Apart, is_known_apart: true, ..Self::default() }
    }

    /// Takes a count that came without output, after so many tokens, of which so many came in the same read and are not yet told
    /// of; how many more those are. `is_over` where nothing but the total can follow.
    #[inline]
    pub fn take(&mut self, count: Option<u32>, (before, untold): (u32, u32), is_over: bool) -> u32 {
        let Some(so_far) = count else { return 0 };
        let has_grown = self.latest.is_some_and(|latest| latest < so_far);
        (self.latest, self.came_with_output) = (count, false);
        if is_over || untold == 0 {
            return 0;
        }
        let is_first = untold == before && self.sum == 0 && !self.is_known_apart;
        if self.counts == Counts::Apart && is_first {
            self.counts = Counts::Behind;
        }
        if self.counts != Counts::Behind {
            return 0;
        }
        self.has_grown |= has_grown;
        so_far.saturating_sub(before)
    }

    /// Takes the count beside a chunk with output, after so many tokens; how many tokens the chunk has.
    #[inline]
    pub fn tokens_of(&mut self, count: Option<u32>, has_new_text: bool, before: u32) -> u32 {
        if self.counts == Counts::Undecided {
            self.counts = if count.is_some() { Counts::Running } else { Counts::Apart };
        }
        self.chunks += u32::from(has_new_text);
        if let Some(count) = count {
            (self.latest, self.came_with_output) = (Some(count), true);
            self.sum = self.sum.saturating_add(count);
        }
        if self.counts != Counts::Running {
            return u32::from(has_new_text);
        }
        match count.map(|so_far| so_far.saturating_sub(before)) {
            Some(new @ 1..) => {
                self.has_grown |= before > 0;
                new
            }
            Some(0) | None => self.pass_over(has_new_text),
        }
    }

    #[cold]
    fn pass_over(&mut self, has_new_text: bool) -> u32 {
        self.passed_over += u32::from(has_new_text);
        if self.passed_over < PASSED_OVER {
            return 0;
        }
        self.counts = Counts::Apart;
        u32::from(has_new_text)
    }

    /// Whether counts run along with the chunks.
    pub fn is_running(&self) -> bool {
        matches!(self.counts, Counts::Running | Counts::Behind)
    }

    /// Whether a whole stream showed that counts run along, or that they don't; `None` where it had no output.
    pub fn was_running(&self) -> Option<bool> {
        match self.counts {
            Counts::Undecided => None,
            Counts::Running => Some(self.has_grown || self.passed_over == 0),
            Counts::Behind => Some(self.has_grown),
            Counts::Apart => Some(false),
        }
    }

    /// The server's count of the whole answer. Counts that came with each chunk and are fewer than the chunks are of each
    /// chunk alone.
    pub fn total(&self) -> Option<u32> {
        let of_each = self.came_with_output && self.counts != Counts::Running;
        self.latest.map(|latest| if of_each && latest < self.chunks { self.sum } else { latest })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Plays the counts beside chunks with text; the tokens of each chunk.
    fn played(mut usage: RunningUsage, counts: &[Option<u32>]) -> (Vec<u32>, RunningUsage) {
        let mut before = 0;
        let mut tokens = Vec::new();
        for count in counts {
            let new = usage.tokens_of(*count, true, before);
            before += new;
            tokens.push(new);
        }
        (tokens, usage)
    }

    fn counts<const N: usize>(counts: [u32; N]) -> [Option<u32>; N] {
        counts.map(|count| (count > 0).then_some(count))
    }

    #[test]
    fn counts_that_grow_say_what_each_chunk_has() {
        let (tokens, usage) = played(RunningUsage::default(), &counts([4, 5, 8]));
        assert_eq!((tokens, usage.was_running()), (vec![4, 1, 3], Some(true)));
        assert_eq!(usage.total(), Some(8));
    }

    #[test]
    fn text_that_was_held_back_and_comes_last_has_no_token_of_its_own() {
        let (tokens, usage) = played(RunningUsage::default(), &counts([1, 2, 2]));
        assert_eq!((tokens, usage.was_running()), (vec![1, 1, 0], Some(true)));
    }

    #[test]
    fn a_total_in_the_first_chunk_or_in_each_does_not_run() {
        for told in [counts([4, 4, 4, 4]), counts([4, 0, 0, 0])] {
            let (_, usage) = played(RunningUsage::default(), &told);
            assert_eq!(usage.was_running(), Some(false), "{told:?}");
            let (tokens, usage) = played(RunningUsage::apart(), &told);
            assert_eq!((tokens, usage.total()), (vec![1; 4], Some(4)), "{told:?}");
        }
        let (_, short) = played(RunningUsage::default(), &counts([2, 2]));
        assert_eq!(short.was_running(), Some(false));
    }

    #[test]
    fn counts_of_each_chunk_alone_add_up() {
        for usage in [RunningUsage::default(), RunningUsage::apart()] {
            let (_, usage) = played(usage, &counts([1, 1, 1, 1, 1]));
            assert_eq!((usage.was_running(), usage.total()), (Some(false), Some(5)));
        }
    }

    #[test]
    fn a_count_right_behind_each_chunk_says_what_that_had() {
        let mut usage = RunningUsage::default();
        assert_eq!(usage.tokens_of(None, true, 0), 1);
        assert_eq!(usage.take(Some(20), (1, 1), false), 19, "the first held 20");
        assert_eq!(usage.tokens_of(None, true, 20), 1);
        assert_eq!(usage.take(Some(21), (21, 1), false), 0);
        assert_eq!((usage.was_running(), usage.total()), (Some(true), Some(21)));
        let mut total_first = RunningUsage::default();
        total_first.tokens_of(None, true, 0);
        total_first.take(Some(4), (1, 1), false);
        assert_eq!(total_first.was_running(), Some(false), "it never grows");
        let mut late = RunningUsage::default();
        late.tokens_of(None, true, 0);
        assert_eq!(late.take(Some(20), (1, 0), false), 0, "the chunk was told of before");
        assert_eq!(late.was_running(), Some(false));
    }

    #[test]
    fn a_total_behind_the_output_stands_however_few_tokens_it_has() {
        let (_, mut usage) = played(RunningUsage::default(), &counts([0, 0, 0]));
        assert_eq!(usage.take(Some(2), (3, 1), true), 0);
        assert_eq!(usage.total(), Some(2));
        assert_eq!(RunningUsage::default().was_running(), None);
    }
}
