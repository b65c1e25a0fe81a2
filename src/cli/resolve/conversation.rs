//! Resolution of conversations: their rules, and what of a load they do not have.

use super::{SettingsError, tasks};
use crate::cli::typed::Settings;
use crate::clock::Nanos;
use crate::load::course::WindowKind;
use crate::settings::served::ServedEndpoint;
use crate::settings::{DEFAULT_TARGET, Resolved};
use crate::targets::registry::{self, ServerProtocol};
use crate::workload::PromptKind;
use crate::workload::dataset::{ConversationRules, FileKind, History};

/// How conversations are played; `None` where a file of this kind holds none.
pub(super) fn rules(typed: &Settings, kind: FileKind) -> Option<ConversationRules> {
    let flags = &typed.workload;
    if kind != FileKind::Conversation {
        return None;
    }
    let target = typed.target.as_deref().unwrap_or(DEFAULT_TARGET);
    let is_http = registry::abilities_of(target).server == Some(ServerProtocol::Http);
    Some(ConversationRules {
        history: flags.history.unwrap_or_default(),
        think: flags.think_time.map_or(Nanos::ZERO, |span| span.0),
        sessions: flags.sessions,
        as_messages: is_http && tasks::endpoint(typed) == ServedEndpoint::Chat,
    })
}

/// Sizes and the window of a run of conversations, and what they do not have.
pub(super) fn settle(typed: &Settings, resolved: &mut Resolved) -> Result<(), SettingsError> {
    let flags = &typed.workload;
    let rules = resolved.workload.conversation();
    let Some(rules) = rules else {
        let given = [
            ("--history", flags.history.is_some()),
            ("--think-time", flags.think_time.is_some()),
            ("--sessions", flags.sessions.is_some()),
        ];
        let given = given.into_iter().find(|(_, given)| *given);
        let needed = "conversations (`--workload conversation:FILE`)";
        return given.map_or(Ok(()), |(flag, _)| Err(SettingsError::Needs(flag, needed)));
    };
    refuse_beside(typed)?;
    if rules.sessions == Some(0) {
        return Err(SettingsError::Zero("--sessions", "give at least 1, or leave it out"));
    }
    if !resolved.served.endpoint.has_output() {
        let needed = "`--endpoint chat` or `completions`: nothing else answers in turns";
        return Err(SettingsError::Needs("--workload conversation", needed));
    }
    let can = registry::abilities_of(&resolved.target);
    if rules.history == History::Model && !can.tells_answers {
        let needed = "a target that tells its answers (`local:`, `sim:`, `trtllm:`, `openai:`); `--history recorded` needs none";
        return Err(SettingsError::Needs("--history model", needed));
    }
    let is_http = can.server == Some(ServerProtocol::Http);
    if rules.history == History::Model && !is_http && resolved.workload.prompts == PromptKind::Text
    {
        let needed = "`--prompts ids` at this target, which tells its answers as ids";
        return Err(SettingsError::Needs("--history model", needed));
    }
    if rules.history == History::Model && is_http && resolved.workload.prompts == PromptKind::Ids {
        let needed = "`--prompts text` at a server, which tells its answers as text";
        return Err(SettingsError::Needs("--history model", needed));
    }
    // Every turn is known and none is like another: nothing stands before or behind those that are measured.
    resolved.warmup = Some(0);
    resolved.window = WindowKind::Whole;
    Ok(())
}

fn refuse_beside(typed: &Settings) -> Result<(), SettingsError> {
    let flags = &typed.workload;
    let why = "conversations are played in a closed loop of sessions, from first turn to last";
    for (name, given) in [
        ("--rate", typed.rate.is_some()),
        ("--batch", typed.batch == Some(true)),
        ("--warmup", typed.warmup.is_some_and(|count| count > 0)),
        ("--ramp", typed.ramp.is_some()),
        ("--spawn-rate", typed.spawn_rate.is_some()),
        ("--window steady", typed.window == Some(WindowKind::Steady)),
        ("--num-prompts", flags.num_prompts.is_some()),
    ] {
        if given {
            return Err(SettingsError::Apart(name, "`--workload conversation`", why));
        }
    }
    if flags.sessions.is_some() && (typed.requests.is_some() || typed.duration.is_some()) {
        let why = "both say how much is asked";
        let other = "`--requests` or `--duration`";
        return Err(SettingsError::Apart("--sessions", other, why));
    }
    Ok(())
}
