//! HOT PATH. Generated output of a choice: texts of every channel, calls of tools, sound.

use std::ops::Range;

use crate::targets::openai::chunk::Chunk;
use crate::targets::openai::json::{BadJson, Kind, Scanner};

impl Chunk {
    /// `delta` or `message`.
    pub(super) fn delta(&mut self, scan: &mut Scanner<'_>) -> Result<(), BadJson> {
        let mut reasoning = None;
        scan.object(|scan, key| self.delta_member(scan, key, &mut reasoning))
    }

    fn delta_member(
        &mut self,
        scan: &mut Scanner<'_>,
        key: &[u8],
        reasoning: &mut Option<Range<usize>>,
    ) -> Result<(), BadJson> {
        match (key, scan.kind()?) {
            (b"content" | b"refusal", Kind::Text) => self.output(scan),
            // Servers disagree about the name, and some send the same text under two.
            (b"reasoning" | b"reasoning_content" | b"thinking", Kind::Text) => {
                self.once(reasoning, |chunk| chunk.output(scan))
            }
            (b"reasoning_details" | b"thinking_blocks", Kind::Array) => {
                self.once(reasoning, |chunk| scan.array(|scan| chunk.part(scan)))
            }
            // Some servers send content as a list of parts.
            (b"content" | b"tool_calls", Kind::Array) => scan.array(|scan| self.part(scan)),
            (b"function_call", Kind::Object) => self.part(scan),
            (b"audio", Kind::Object) => scan.object(|scan, key| self.sound(scan, key)),
            (b"token_ids", Kind::Array) => scan.array(|scan| self.token_id(scan)),
            (b"error", _) => {
                self.is_error |= scan.skip_and_judge()?;
                Ok(())
            }
            _ => scan.skip(),
        }
    }

    /// Reads a text that may have come before under another name; the second time it is dropped.
    pub(super) fn once(
        &mut self,
        before: &mut Option<Range<usize>>,
        read: impl FnOnce(&mut Self) -> Result<(), BadJson>,
    ) -> Result<(), BadJson> {
        let start = self.text.len();
        read(self)?;
        let now = start..self.text.len();
        match before {
            Some(before) if !now.is_empty() && self.text[before.clone()] == self.text[start..] => {
                self.text.truncate(start);
                self.text_at = None;
            }
            Some(_) => {}
            None => *before = Some(now).filter(|range| !range.is_empty()),
        }
        Ok(())
    }

    /// A part of a content, or a call: `text`, or `function` with a name and arguments.
    fn part(&mut self, scan: &mut Scanner<'_>) -> Result<(), BadJson> {
        if scan.kind()? != Kind::Object {
            return scan.skip();
        }
        scan.object(|scan, key| match (key, scan.kind()?) {
            (
                b"text" | b"name" | b"arguments" | b"input" | b"summary" | b"thinking",
                Kind::Text,
            ) => self.output(scan),
            (b"function" | b"custom", Kind::Object) => self.part(scan),
            _ => scan.skip(),
        })
    }

    /// A member of `audio`: its words, or the sound itself.
    fn sound(&mut self, scan: &mut Scanner<'_>, key: &[u8]) -> Result<(), BadJson> {
        match (key, scan.kind()?) {
            (b"transcript", Kind::Text) => self.output(scan),
            (b"data", Kind::Text) => {
                self.has_sound |= !scan.text()?.raw.is_empty();
                Ok(())
            }
            _ => scan.skip(),
        }
    }

    #[inline]
    pub(super) fn output(&mut self, scan: &mut Scanner<'_>) -> Result<(), BadJson> {
        let text = scan.text()?;
        text.append_to(&mut self.text);
        self.texts += 1;
        self.text_at = scan.place_of(text);
        Ok(())
    }
}
