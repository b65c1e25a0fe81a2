//! Oddities of an answer: marks on a request that completed and is not what was asked for.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::clock::Nanos;
use crate::record::request_record::{RequestRecord, StampSource};
use crate::warning::Code;

/// One mark. It takes nothing from other requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Oddity {
    /// Streaming was asked for, and the answer came in one piece.
    NotStreamed,
    /// The server counts output tokens, and no output came.
    UsageWithoutText,
    /// Text came, in which the tokenizer finds no token.
    NoTokensInText,
    /// More output tokens than were asked for.
    LongerThanAsked,
    /// Fewer output tokens than were asked for, although nothing may end the output earlier.
    ShorterThanAsked,
    /// Several tokens, all within a moment at the end of a long wait: something holds them back.
    Burst,
    /// Our tokenizer counts another number of output tokens than the server.
    CountDiffers,
    /// No streaming was asked for, and the answer came in pieces.
    StreamedUnasked,
    /// Text came in one piece, and nobody counted its tokens.
    Uncounted,
}

impl Oddity {
    /// Every mark, in the order of files.
    pub const ALL: [Self; 9] = [
        Self::NotStreamed,
        Self::UsageWithoutText,
        Self::NoTokensInText,
        Self::LongerThanAsked,
        Self::ShorterThanAsked,
        Self::Burst,
        Self::CountDiffers,
        Self::StreamedUnasked,
        Self::Uncounted,
    ];

    /// The word in files.
    pub const fn word(self) -> &'static str {
        match self {
            Self::NotStreamed => "not_streamed",
            Self::UsageWithoutText => "usage_without_text",
            Self::NoTokensInText => "no_tokens_in_text",
            Self::LongerThanAsked => "longer_than_asked",
            Self::ShorterThanAsked => "shorter_than_asked",
            Self::Burst => "burst",
            Self::CountDiffers => "count_differs",
            Self::StreamedUnasked => "streamed_unasked",
            Self::Uncounted => "uncounted",
        }
    }

    /// The code of the note on it.
    pub const fn code(self) -> Code {
        match self {
            Self::NotStreamed => Code::AnsweredWhole,
            Self::UsageWithoutText => Code::UsageWithoutText,
            Self::NoTokensInText => Code::NoTokensInText,
            Self::LongerThanAsked => Code::LongerThanAsked,
            Self::ShorterThanAsked => Code::ShorterThanAsked,
            Self::Burst => Code::Bursts,
            Self::CountDiffers => Code::CountDiffers,
            Self::StreamedUnasked => Code::StreamedUnasked,
            Self::Uncounted => Code::Uncounted,
        }
    }

    const fn bit(self) -> u16 {
        1 << self as u8
    }
}

/// What was asked of an answer beyond its length.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Asked {
    /// Tokens as they are made.
    pub streaming: bool,
    /// All tokens: neither an end token nor a text ends the output earlier.
    pub whole_length: bool,
}

/// Marks of one request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Oddities(u16);

impl Oddities {
    /// No mark.
    pub const NONE: Self = Self(0);

    /// With one mark more.
    #[must_use]
    pub const fn with(self, oddity: Oddity) -> Self {
        Self(self.0 | oddity.bit())
    }

    /// With all marks of both.
    #[must_use]
    pub const fn and(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    /// Whether it has this mark.
    pub const fn has(self, oddity: Oddity) -> bool {
        self.0 & oddity.bit() != 0
    }

    /// Its marks, in the order of files.
    pub fn iter(self) -> impl Iterator<Item = Oddity> {
        Oddity::ALL.into_iter().filter(move |oddity| self.has(*oddity))
    }

    /// What stamps and counts of a completed request say; `told` is what the target said.
    pub fn of(record: &RequestRecord, asked: Asked, told: Self) -> Self {
        let (came, wanted) = (record.output_tokens, record.requested_tokens);
        let has_output = came > 0 && record.first_token.is_some();
        let is_streamed = asked.streaming && !told.has(Oddity::NotStreamed);
        let other_count = record.other_counts.recounted.is_some_and(|count| count != came);
        let found = [
            (Oddity::UsageWithoutText, came > 0 && record.first_token.is_none()),
            (Oddity::LongerThanAsked, came > wanted),
            // An answer without any output, as of an embedding, has no length.
            (Oddity::ShorterThanAsked, asked.whole_length && has_output && came < wanted),
            (Oddity::Burst, is_streamed && is_burst(record)),
            (Oddity::CountDiffers, other_count),
        ];
        let found = found.into_iter().filter(|(_, applies)| *applies);
        found.fold(told, |marks, (oddity, _)| marks.with(oddity))
    }
}

/// Shorter latencies say nothing of a burst: a target that answers at once sends all tokens at once.
const WORTH_A_LOOK: Nanos = Nanos::from_millis(1);
/// Tokens that are further apart on average were made one after the other, however long the first one took.
const FASTEST_DECODE: Nanos = Nanos::from_millis(1);

/// Nobody makes tokens one after the other so fast: ten thousand in a second.
const BEYOND_ANY_DECODE: Nanos = Nanos::from_micros(100);

/// Whether all tokens of an answer, and there are several, came at once at the end of its latency: within 1 % of it, or within 10 %
/// and faster than they can be made, since many take a while to be handed on. Only a network can hold tokens back.
fn is_burst(record: &RequestRecord) -> bool {
    let stamps = (record.submit, record.first_token, record.last_token);
    let (Some(submit), Some(first), Some(last)) = stamps else { return false };
    let gaps = i64::from(record.output_tokens) - 1;
    let (latency, span) = (last - submit, last - first);
    record.stamp_source != StampSource::Engine
        && gaps > 0
        && latency >= WORTH_A_LOOK
        && [(100, FASTEST_DECODE), (10, BEYOND_ANY_DECODE)]
            .into_iter()
            .any(|(part, gap)| span.0 <= (latency.0 / part).min(gaps * gap.0))
}

impl fmt::Display for Oddities {
    /// The words, with `;` between.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, oddity) in self.iter().enumerate() {
            let between = if index == 0 { "" } else { ";" };
            write!(f, "{between}{}", oddity.word())?;
        }
        Ok(())
    }
}

/// A word that is no mark.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is no mark of a request")]
pub struct UnknownOddity(String);

impl FromStr for Oddities {
    type Err = UnknownOddity;

    fn from_str(text: &str) -> Result<Self, UnknownOddity> {
        text.split(';').filter(|word| !word.is_empty()).try_fold(Self::NONE, |marks, word| {
            let found = Oddity::ALL.into_iter().find(|oddity| oddity.word() == word);
            found.map(|oddity| marks.with(oddity)).ok_or_else(|| UnknownOddity(word.to_owned()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::MonoNs;
    use crate::request::RequestId;

    const ASKED: Asked = Asked { streaming: true, whole_length: true };

    /// Submitted at 0, tokens from `first` to `last` in ms.
    fn answer(first: i64, last: i64, tokens: u32) -> RequestRecord {
        let ms = |ms: i64| Some(MonoNs(ms * 1_000_000));
        RequestRecord {
            submit: ms(0),
            first_token: ms(first),
            last_token: ms(last),
            output_tokens: tokens,
            stamp_source: StampSource::Kernel,
            ..RequestRecord::planned(RequestId(0), 1, 10)
        }
    }

    fn marks(record: &RequestRecord) -> String {
        Oddities::of(record, ASKED, Oddities::NONE).to_string()
    }

    #[test]
    fn an_answer_as_asked_has_no_mark() {
        assert_eq!(marks(&answer(20, 120, 10)), "");
    }

    #[test]
    fn a_length_other_than_asked_is_marked_where_nothing_may_end_it_earlier() {
        assert_eq!(marks(&answer(20, 120, 30)), "longer_than_asked");
        let short = answer(20, 120, 3);
        assert_eq!(marks(&short), "shorter_than_asked");
        let may_stop = Asked { whole_length: false, ..ASKED };
        assert_eq!(Oddities::of(&short, may_stop, Oddities::NONE), Oddities::NONE);
        assert_eq!(marks(&answer(20, 20, 0)), "", "an embedding has no length");
    }

    #[test]
    fn tokens_that_all_come_at_the_end_of_a_wait_are_a_burst() {
        assert_eq!(marks(&answer(200, 202, 10)), "burst");
        assert_eq!(marks(&answer(200, 200, 10)), "burst");
        assert_eq!(marks(&answer(200, 210, 10)), "", "10 ms are more than 1 %");
        let many = |last| RequestRecord { requested_tokens: 200, ..answer(200, last, 200) };
        assert_eq!(marks(&many(210)), "burst", "0.05 ms for each");
        assert_eq!(marks(&many(221)), "", "0.1 ms for each");
        assert_eq!(marks(&RequestRecord { submit: Some(MonoNs(190_000_000)), ..many(210) }), "");
        let two = RequestRecord { requested_tokens: 2, ..answer(2_000, 2_005, 2) };
        assert_eq!(marks(&two), "", "5 ms are a decode step, however long the prompt took");
        let engine = RequestRecord { stamp_source: StampSource::Engine, ..answer(200, 200, 10) };
        assert_eq!(marks(&engine), "");
    }

    #[test]
    fn an_answer_in_one_piece_is_no_burst() {
        let told = Oddities::NONE.with(Oddity::NotStreamed);
        assert_eq!(Oddities::of(&answer(200, 200, 10), ASKED, told), told);
        let not_asked = Asked { streaming: false, ..ASKED };
        let marks = Oddities::of(&answer(200, 200, 10), not_asked, Oddities::NONE);
        assert_eq!(marks, Oddities::NONE);
    }

    #[test]
    fn marks_are_read_back_as_they_were_written() {
        let all = Oddity::ALL.into_iter().fold(Oddities::NONE, Oddities::with);
        for marks in [Oddities::NONE, Oddities::NONE.with(Oddity::Burst), all] {
            assert_eq!(marks.to_string().parse::<Oddities>().unwrap(), marks);
        }
        assert!("burst;what".parse::<Oddities>().is_err());
    }
}
