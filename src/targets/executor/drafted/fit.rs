//! Compatibility check of a target engine and its draft engine, before the first request.

use crate::request::Limits;
use crate::settings::engine::Drafting;

/// Error of a target that was built for drafts, without a draft engine.
pub const NO_DRAFTS: &str = "it was built to verify draft tokens and ends every request after one step: name the engine that \
    drafts for it with `--draft-engine`, or build it without";

/// What a target engine was built for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verifier {
    /// Its limits.
    pub limits: Limits,
    /// Most drafts that one of its steps verifies; 0 if it was not built for drafts. It reserves that many tokens per sequence.
    pub most_drafts: u32,
    /// How to build an engine that verifies drafts.
    pub remedy: &'static str,
}

/// Combined limits of both engines.
///
/// # Errors
/// One sentence that names the mismatch and the remedy.
pub fn combined_limits(
    drafting: &Drafting,
    target: &Verifier,
    draft: &Limits,
) -> Result<Limits, String> {
    let (asked, most) = (drafting.tokens, target.most_drafts);
    if most == 0 {
        return Err(format!("it was not built to verify draft tokens: {}", target.remedy));
    }
    if asked > most {
        return Err(format!(
            "it was built to verify {most} draft tokens and `--draft-tokens` asks for {asked}: ask for fewer, or {}",
            target.remedy
        ));
    }
    if let (Some(ours), Some(theirs)) = (target.limits.vocab_size, draft.vocab_size)
        && ours != theirs
    {
        return Err(format!(
            "its vocabulary has {ours} tokens and that of its draft engine `{}` has {theirs}: both must come from models \
             with the same tokenizer",
            drafting.engine
        ));
    }
    let smaller = |ours: Option<u32>, theirs: Option<u32>| match (ours, theirs) {
        (Some(ours), Some(theirs)) => Some(ours.min(theirs)),
        (one, other) => one.or(other),
    };
    let room = |length: u32| length.saturating_sub(target.most_drafts);
    let target = Limits {
        max_sequence_tokens: target.limits.max_sequence_tokens.map(room),
        ..target.limits
    };
    Ok(Limits {
        // The output so far is part of the next round's prompt.
        max_prompt_tokens: smaller(target.max_prompt_tokens, draft.max_prompt_tokens),
        max_sequence_tokens: [
            target.max_sequence_tokens,
            draft.max_sequence_tokens,
            target.max_prompt_tokens.map(|most| most.saturating_add(1)),
            draft.max_prompt_tokens.map(|most| most.saturating_add(1)),
        ]
        .into_iter()
        .fold(None, smaller),
        vocab_size: target.vocab_size.or(draft.vocab_size),
        max_batch_size: smaller(target.max_batch_size, draft.max_batch_size),
        max_queue_size: smaller(target.max_queue_size, draft.max_queue_size),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(prompt: u32, sequence: u32, vocabulary: u32) -> Limits {
        Limits {
            max_prompt_tokens: Some(prompt),
            max_sequence_tokens: Some(sequence),
            vocab_size: Some(vocabulary),
            ..Limits::default()
        }
    }

    fn verifier(most_drafts: u32) -> Verifier {
        Verifier { limits: limits(1_000, 2_000, 100), most_drafts, remedy: "build it again" }
    }

    fn asked(tokens: u32) -> Drafting {
        Drafting { engine: "small".into(), tokens, ..Drafting::default() }
    }

    #[test]
    fn what_would_fail_in_every_request_is_refused_with_its_remedy() {
        let draft = limits(500, 600, 100);
        for (tokens, target, draft, named) in [
            (4, verifier(0), draft, ["not built", "build it again"]),
            (4, verifier(3), draft, ["verify 3", "--draft-tokens"]),
            (4, verifier(4), limits(500, 600, 99), ["has 99", "`small`"]),
        ] {
            let error = combined_limits(&asked(tokens), &target, &draft).expect_err(named[0]);
            assert!(named.iter().all(|part| error.contains(part)), "{error}");
        }
    }

    #[test]
    fn the_target_keeps_room_for_the_drafts_of_one_step() {
        let draft = limits(5_000, 5_000, 100);
        let wide = Verifier { limits: limits(5_000, 2_000, 100), ..verifier(4) };
        // The engine reserves what it was built for, even if fewer drafts are used.
        let both = combined_limits(&asked(2), &wide, &draft).expect("they do");
        assert_eq!(both.max_sequence_tokens, Some(1_996));
    }

    #[test]
    fn a_sequence_must_go_through_both_as_a_prompt() {
        let both =
            combined_limits(&asked(4), &verifier(4), &limits(500, 600, 100)).expect("they do");
        assert_eq!((both.max_prompt_tokens, both.max_sequence_tokens), (Some(500), Some(501)));
    }
}
