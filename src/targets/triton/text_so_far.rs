//! HOT PATH. Output text of one response so far, for models that send deltas and for models that send all text so far.

/// Text as it comes: only what is new in each response, or all so far again.
#[derive(Debug)]
pub(super) struct TextSoFar {
    /// All text, if responses hold only what is new.
    joined: Vec<u8>,
    /// The last response.
    last: Vec<u8>,
    kind: TextKind,
    keep: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TextKind {
    /// This many responses began with the one before; perhaps cumulative.
    PerhapsWhole(u32),
    /// Each response holds all so far.
    Whole,
    /// Each response holds what is new.
    Delta,
}

/// Responses that began with the one before until the text counts as cumulative.
const CUMULATIVE_AFTER: u32 = 3;

impl TextSoFar {
    /// `accumulates`: responses hold all text so far, if that is known; `keep` keeps the whole text.
    pub(super) fn new(accumulates: Option<bool>, keep: bool) -> Self {
        let kind = match accumulates {
            None => TextKind::PerhapsWhole(0),
            Some(true) => TextKind::Whole,
            Some(false) => TextKind::Delta,
        };
        Self { joined: Vec::new(), last: Vec::new(), kind, keep }
    }

    /// Adds a response's text; returns whether it held anything new.
    #[inline]
    pub(super) fn take(&mut self, text: &[u8]) -> bool {
        if text.is_empty() {
            return false;
        }
        let longer = text.len() > self.last.len();
        let repeats = longer && !self.last.is_empty() && text.starts_with(&self.last);
        let has_new = match self.kind {
            TextKind::Delta => true,
            // The detokeniser may replace a half character by the whole one.
            TextKind::Whole => longer || !self.last.starts_with(text),
            TextKind::PerhapsWhole(0) if self.last.is_empty() => true,
            TextKind::PerhapsWhole(times) if repeats => {
                self.kind = match times + 1 {
                    CUMULATIVE_AFTER => TextKind::Whole,
                    times => TextKind::PerhapsWhole(times),
                };
                true
            }
            // It grew before and is unchanged now: the detokeniser holds a character back.
            TextKind::PerhapsWhole(1..) if text == self.last => false,
            TextKind::PerhapsWhole(_) => {
                self.kind = TextKind::Delta;
                true
            }
        };
        self.remember(text);
        has_new
    }

    #[inline]
    fn remember(&mut self, text: &[u8]) {
        if self.kind == TextKind::Whole {
            self.joined = Vec::new();
        } else if self.keep {
            self.joined.extend_from_slice(text);
        }
        if self.kind == TextKind::Delta {
            self.last = Vec::new();
        } else {
            self.last.clear();
            self.last.extend_from_slice(text);
        }
    }

    /// All text; `None` where it was not kept.
    pub(super) fn whole(&self) -> Option<&[u8]> {
        let bytes = match self.kind {
            // A single response is both.
            TextKind::Whole | TextKind::PerhapsWhole(1..) => &self.last,
            TextKind::Delta | TextKind::PerhapsWhole(0) => &self.joined,
        };
        self.keep.then_some(bytes.as_slice())
    }
}
