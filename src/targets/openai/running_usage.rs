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
    /// The same, ahead of the chunk.
    Ahead,
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
    /// Chunks since the latest count that came without output.
    since: u32,
    /// The probe has seen that they say nothing of chunks.
    is_known_apart: bool,
    /// The latest count, and the sum of those that came with output.
    latest: Option<u32>,
    sum: u32,
    came_with_output: bool,
    /// How often a count beside output was more, or less, than the one before.
    rises: u32,
    falls: u32,
}

impl RunningUsage {
    /// Where the server is known to send counts of another kind with its chunks.
    pub fn apart() -> Self {
        Self { counts: Counts::Apart, is_known_apart: true, ..Self::default() }
    }

    /// Takes a count that came without output, after so many tokens that were counted; how many more the chunk before it had.
    /// `is_over` where nothing but the total can follow. A count before all output is of the chunk behind it, one after the
    /// first chunk and before the second is of the chunk before it, and so are all that follow.
    #[inline]
    pub fn take(&mut self, count: Option<u32>, (before, untold): (u32, u32), is_over: bool) -> u32 {
        let Some(so_far) = count else { return 0 };
        let has_grown = self.latest.is_some_and(|latest| latest < so_far);
        (self.latest, self.came_with_output) = (count, false);
        let is_of_first = self.chunks == 1 || (untold > 0 && untold == before);
        self.counts = match self.counts {
            Counts::Undecided if !is_over => Counts::Ahead,
            Counts::Apart if is_of_first && !is_over && self.sum == 0 && !self.is_known_apart => {
                Counts::Behind
            }
            counts => counts,
        };
        let since = std::mem::take(&mut self.since);
        // Of several chunks that came one after the other nothing tells which the count is of.
        if self.counts == Counts::Behind && since > untold.max(1) {
            self.counts = Counts::Apart;
        }
        if !matches!(self.counts, Counts::Behind | Counts::Ahead) {
            return 0;
        }
        self.has_grown |= has_grown;
        if self.counts == Counts::Behind { so_far.saturating_sub(before) } else { 0 }
    }

    /// Takes the count beside a chunk with output, after so many tokens; how many tokens the chunk has. `new` is how many for want
    /// of a count: none where its text is not new.
    #[inline]
    pub fn tokens_of(&mut self, count: Option<u32>, new: u32, before: u32) -> u32 {
        if self.counts == Counts::Undecided {
            self.counts = if count.is_some() { Counts::Running } else { Counts::Apart };
        }
        self.chunks += new.min(1);
        self.since += new.min(1);
        if let Some(count) = count {
            let before = self.latest.filter(|_| self.came_with_output);
            self.rises += u32::from(before.is_some_and(|before| before < count));
            self.falls += u32::from(before.is_some_and(|before| before > count));
            (self.latest, self.came_with_output) = (Some(count), true);
            self.sum = self.sum.saturating_add(count);
        }
        let count = match self.counts {
            Counts::Running => count,
            Counts::Ahead => self.latest,
            Counts::Undecided | Counts::Behind | Counts::Apart => return new,
        };
        match count.map(|so_far| so_far.saturating_sub(before)) {
            Some(more @ 1..) => {
                self.has_grown |= before > 0;
                more
            }
            Some(0) | None => self.pass_over(new),
        }
    }

    #[cold]
    fn pass_over(&mut self, new: u32) -> u32 {
        self.passed_over += new.min(1);
        if self.passed_over < PASSED_OVER {
            return 0;
        }
        self.counts = Counts::Apart;
        new
    }

    /// Whether counts run along with the chunks.
    pub fn is_running(&self) -> bool {
        matches!(self.counts, Counts::Running | Counts::Behind | Counts::Ahead)
    }

    /// Whether a whole stream showed that counts run along, or that they don't; `None` where it had no output, or one chunk and a
    /// count behind it, which is the total and may be more.
    pub fn was_running(&self) -> Option<bool> {
        match self.counts {
            _ if self.chunks == 0 => None,
            Counts::Undecided => None,
            Counts::Running => Some(self.has_grown || self.passed_over == 0),
            Counts::Behind | Counts::Ahead => Some(self.has_grown),
            Counts::Apart if self.chunks < 2 && self.sum == 0 => None,
            Counts::Apart => Some(false),
        }
    }

    /// The server's count of the whole answer. Counts that came with each chunk and are fewer than the chunks are of each
    /// chunk alone.
    pub fn total(&self) -> Option<u32> {
        let of_each = self.came_with_output && self.counts != Counts::Running;
        let latest = self.latest?;
        if !of_each || latest >= self.chunks {
            return Some(latest);
        }
        (!self.began_anew()).then_some(self.sum)
    }

    /// Whether counts ran along and then fell: those of each chunk alone fall about as often as they rise. They are of no
    /// part that is known.
    const fn began_anew(&self) -> bool {
        self.falls > 0 && self.rises > 4 * self.falls
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
            let new = usage.tokens_of(*count, 1, before);
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
    fn counts_that_ran_along_and_fell_are_no_count() {
        let resets = counts([1, 2, 3, 4, 1, 2, 3, 4, 1, 2, 3, 4]);
        let goes_down = counts([1, 2, 3, 4, 5, 6, 7, 8, 2, 3, 4, 5]);
        for usage in [RunningUsage::default(), RunningUsage::apart()] {
            assert_eq!(played(usage, &resets).1.total(), None);
            assert_eq!(played(usage, &goes_down).1.total(), None);
        }
        let (_, each_alone) = played(RunningUsage::default(), &counts([1, 3, 2, 1, 2, 1]));
        assert_eq!(each_alone.total(), Some(10));
    }

    #[test]
    fn a_count_right_behind_each_chunk_says_what_that_had() {
        let mut usage = RunningUsage::default();
        assert_eq!(usage.tokens_of(None, 1, 0), 1);
        assert_eq!(usage.take(Some(20), (1, 1), false), 19, "the first held 20");
        assert_eq!(usage.tokens_of(None, 1, 20), 1);
        assert_eq!(usage.take(Some(21), (21, 1), false), 0);
        assert_eq!((usage.was_running(), usage.total()), (Some(true), Some(21)));
        let mut total_first = RunningUsage::default();
        total_first.tokens_of(None, 1, 0);
        total_first.take(Some(4), (1, 1), false);
        assert_eq!(total_first.was_running(), Some(false), "it never grows");
        assert_eq!(RunningUsage::default().was_running(), None);
    }

    #[test]
    fn a_count_that_comes_when_its_chunk_was_told_of_says_how_many_more_that_had() {
        let mut late = RunningUsage::default();
        late.tokens_of(None, 1, 0);
        assert_eq!(late.take(Some(20), (1, 0), false), 19);
        late.tokens_of(None, 1, 20);
        assert_eq!(late.take(Some(24), (21, 0), true), 3);
        assert_eq!((late.was_running(), late.total()), (Some(true), Some(24)));
        let mut total = RunningUsage::default();
        total.tokens_of(None, 1, 0);
        assert_eq!(total.take(Some(20), (1, 0), true), 0, "nothing else could follow");
        assert_eq!(total.was_running(), None);
        let mut one_alone = RunningUsage::default();
        one_alone.tokens_of(None, 1, 0);
        assert_eq!(one_alone.take(Some(1), (1, 0), false), 0);
        (1..4).for_each(|before| assert_eq!(one_alone.tokens_of(None, 1, before), 1));
        assert_eq!(one_alone.take(Some(40), (4, 0), true), 0, "no chunk is known to have the rest");
        assert_eq!(one_alone.was_running(), Some(false));
        let mut behind_two = RunningUsage::default();
        behind_two.tokens_of(None, 1, 0);
        behind_two.tokens_of(None, 1, 1);
        assert_eq!(behind_two.take(Some(20), (2, 0), false), 0, "nothing tells of which chunk");
        assert_eq!(behind_two.was_running(), Some(false));
    }

    #[test]
    fn a_count_before_all_output_is_of_the_chunk_behind_it() {
        let mut usage = RunningUsage::default();
        for (count, before, tokens) in [(20, 0, 20), (21, 20, 1), (24, 21, 3)] {
            assert_eq!(usage.take(Some(count), (before, 0), false), 0);
            assert_eq!(usage.tokens_of(None, 1, before), tokens);
        }
        assert_eq!((usage.was_running(), usage.total()), (Some(true), Some(24)));
        let mut total = RunningUsage::default();
        total.take(Some(4), (0, 0), false);
        let tokens = [0, 4, 4, 5].map(|before| total.tokens_of(None, 1, before));
        assert_eq!((tokens, total.was_running()), ([4, 0, 1, 1], Some(false)), "it never grows");
    }

    #[test]
    fn a_total_behind_the_output_stands_however_few_tokens_it_has() {
        let (_, mut usage) = played(RunningUsage::default(), &counts([0, 0, 0]));
        assert_eq!(usage.take(Some(2), (3, 1), true), 0);
        assert_eq!(usage.total(), Some(2));
        assert_eq!(RunningUsage::default().was_running(), None);
    }
}
