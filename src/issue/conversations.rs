//! Issuer of conversations: a turn waits for the one before and for its user to think, and its prompt repeats what was answered.
//!
//! So many conversations are open at once as the load has slots; one that has ended makes room for the next of the plan. A turn
//! that fails ends its conversation: what would follow is not sent.

use crate::clock::{self, MonoNs};
use crate::issue::pace::{DRAW_LOOK, LOOK_UP, Pace, Played};
use crate::issue::shots::{Lane, Look, Shots};
use crate::issue::stop::Stop;
use crate::load::Load;
use crate::load::plan::Shot;
use crate::record::answers::Answer;
use crate::record::event::{Ending, Event};
use crate::record::gate::Gate;
use crate::record::oddity::Asked;
use crate::record::request_record::NotSentReason;
use crate::record::sink::Sink;
use crate::request::exchange::{Exchange, with_history};
use crate::request::spec::Prompt;
use crate::request::{Failure, FailureKind, Prepared, RequestId};
use crate::targets::Session;
use crate::workload::dataset::History;

/// Plays the conversations of `shots` and returns when every turn has ended or been given up.
pub fn play_conversations(
    shots: &mut Shots<'_>,
    pace: &Pace,
    session: &mut dyn Session,
    sink: &mut Sink,
    gate: &Gate,
    stop: &Stop,
) -> Played {
    gate.wake_this_thread();
    gate.forget_freed();
    let slots = match pace.load {
        Load::Closed { concurrency } => concurrency as usize,
        // Refused when settings are resolved.
        Load::Open { .. } | Load::Batch => 1,
    };
    let start = clock::now();
    let player = Player {
        session,
        sink,
        gate,
        stop,
        pace,
        until: pace.duration.map_or(MonoNs(i64::MAX), |span| start + span),
        open: Vec::with_capacity(slots),
        unsent: Vec::new(),
        all_began: false,
        taken: 0,
        given_up: 0,
    };
    player.play(shots, slots, start)
}

/// A conversation that has begun.
struct Conversation {
    /// Turns that are still to be sent, the next one first.
    later: std::collections::VecDeque<Shot>,
    /// What was said so far, where later prompts repeat it.
    said: Vec<Exchange>,
    now: State,
}

/// What a conversation waits for.
enum State {
    /// For its user to think: the next turn is due then.
    Thinking(MonoNs),
    /// For the answer to this, asked at the instant.
    Asked { id: RequestId, own: Prompt, deadline: MonoNs, cancelled: Option<MonoNs> },
    /// For nothing.
    Over,
}

struct Player<'a> {
    session: &'a mut dyn Session,
    sink: &'a mut Sink,
    gate: &'a Gate,
    stop: &'a Stop,
    pace: &'a Pace,
    /// No turn leaves later.
    until: MonoNs,
    open: Vec<Conversation>,
    /// Turns that will not be sent.
    unsent: Vec<RequestId>,
    /// Every conversation of the plan has begun.
    all_began: bool,
    /// Turns that were taken from the plan, sent or not.
    taken: usize,
    /// Requests that the target went on with after a cancel for as long as it may, and longer.
    given_up: u64,
}

impl Player<'_> {
    fn play(mut self, shots: &mut Shots<'_>, slots: usize, start: MonoNs) -> Played {
        let mut drain_until = None;
        loop {
            let now = clock::now();
            self.hear_answers(now);
            let is_over = self.is_over(now);
            if is_over {
                let until = *drain_until.get_or_insert(now + self.pace.drain);
                self.drop_later_turns(now >= until, now);
            } else {
                self.begin(shots, slots, now);
                self.send_due(now);
            }
            self.open.retain(|it| !matches!(it.now, State::Over));
            if self.open.is_empty() && (is_over || self.all_began) {
                break;
            }
            self.enforce_deadlines(now);
            let next = self.next_look(now);
            self.gate.wait(next);
        }
        let end = clock::now();
        let (is_asked, is_enough) = (self.stop.is_asked(), self.stop.is_enough());
        let ran_out = self.pace.duration.is_some() && self.all_began && end < self.until;
        let given_up = self.given_up;
        let is_left = self.leave_unsent(shots);
        let interrupted = is_asked || (is_enough && is_left);
        Played {
            start,
            end,
            interrupted,
            ran_out: ran_out && !interrupted,
            ramp_ran_out: false,
            given_up,
        }
    }

    fn is_over(&self, now: MonoNs) -> bool {
        let ended = self.stop.is_asked() || self.stop.is_enough();
        ended || now >= self.until || self.gate.broken().is_some()
    }

    /// Opens conversations in free slots, as far as their turns are drawn.
    fn begin(&mut self, shots: &mut Shots<'_>, slots: usize, now: MonoNs) {
        while self.open.len() < slots && !self.all_began {
            let mut later = std::collections::VecDeque::new();
            loop {
                match shots.look(Lane::Counted) {
                    Look::Ready => {}
                    Look::NotDrawn if self.is_over(clock::now()) => break,
                    Look::NotDrawn => {
                        self.gate.wait(clock::now() + DRAW_LOOK);
                        continue;
                    }
                    Look::End => {
                        self.all_began = true;
                        break;
                    }
                }
                let Some(shot) = shots.take_away(Lane::Counted) else { break };
                later.push_back(shot);
                self.taken += 1;
                self.all_began = self.taken == shots.len();
                if self.all_began || shots.begins_conversation(self.taken) {
                    break;
                }
            }
            if later.is_empty() {
                return;
            }
            self.open.push(Conversation { later, said: Vec::new(), now: State::Thinking(now) });
        }
    }

    /// Sends each turn that is due.
    fn send_due(&mut self, now: MonoNs) {
        for place in 0..self.open.len() {
            let State::Thinking(due) = self.open[place].now else { continue };
            if due <= now {
                self.send(place, due);
            }
        }
    }

    fn send(&mut self, place: usize, due: MonoNs) {
        let conversation = &mut self.open[place];
        let Some(mut shot) = conversation.later.pop_front() else {
            conversation.now = State::Over;
            return;
        };
        let own = shot.request.prompt.clone();
        let repeats = shot.turn.filter(|turn| turn.history == History::Model);
        if let Some(turn) = repeats.filter(|turn| turn.number > 0) {
            let before = &conversation.said;
            let (prompt, beside) = with_history(before, own.clone(), turn.as_messages);
            (shot.request.prompt, shot.request.beside) = (prompt, beside);
            // What was made ahead lacks what was said.
            shot.prepared = Prepared::default();
        }
        let id = shot.id;
        self.gate.open(id);
        let at = clock::now();
        let request = &shot.request;
        let may_end = request.terms.stop_words.is_some() || request.terms.allotted.is_some();
        let asked = Asked {
            streaming: request.streaming,
            whole_length: request.output.ignore_eos && !may_end,
        };
        let submitted = Event::Submitted { id, intended: due, ready: due, at, asked };
        // Before the call, so that the recorder never meets an end whose submission it has not seen.
        self.sink.push_blocking(submitted);
        // Of ids the length is known now; a server says it itself.
        let length = request.prompt.ids.len() as u32;
        if repeats.is_some() && request.prompt.text.is_none() && length > 0 {
            self.sink.prompt_count(id, length);
        }
        let refused = self.session.submit(&shot).err();
        if let Some(failure) = refused {
            self.sink.fail(id, clock::now(), failure);
        }
        let deadline = at + self.pace.timeout;
        self.open[place].now = State::Asked { id, own, deadline, cancelled: None };
    }

    /// Looks which answers are complete, and when their users have thought.
    fn hear_answers(&mut self, now: MonoNs) {
        let Some(answers) = self.gate.answers() else { return };
        for conversation in &mut self.open {
            let State::Asked { id, own, .. } = &conversation.now else { continue };
            if self.gate.is_open(*id) {
                continue;
            }
            let answer = answers.take(*id);
            // The slots that became free tell when; which of them is this one does not matter to within a look.
            let ended = self.gate.take_freed().unwrap_or(now);
            let next = conversation.later.front().and_then(|shot| shot.turn);
            match next {
                Some(turn) if answer.is_complete => {
                    conversation.said.push(said(own.clone(), answer));
                    conversation.now = State::Thinking(ended + turn.think);
                }
                _ => {
                    self.unsent.extend(conversation.later.drain(..).map(|shot| shot.id));
                    conversation.now = State::Over;
                }
            }
        }
    }

    /// Sends nothing more; `give_up` cancels what is open.
    fn drop_later_turns(&mut self, give_up: bool, now: MonoNs) {
        for place in 0..self.open.len() {
            let conversation = &mut self.open[place];
            self.unsent.extend(conversation.later.drain(..).map(|shot| shot.id));
            match &conversation.now {
                State::Thinking(_) => conversation.now = State::Over,
                State::Asked { id, .. } => {
                    let id = *id;
                    if let Some(words) = self.gate.broken() {
                        self.sink.fail(id, now, Failure::new(FailureKind::Engine, words));
                    } else if give_up {
                        self.cancel(place, now);
                    }
                }
                State::Over => {}
            }
        }
    }

    fn cancel(&mut self, place: usize, now: MonoNs) {
        let State::Asked { id, cancelled, .. } = &mut self.open[place].now else { return };
        if cancelled.is_none() {
            *cancelled = Some(now + self.pace.graces.cancelled);
            let id = *id;
            self.sink.push_blocking(Event::CancelAsked { id, at: now });
            self.session.cancel(id);
        }
    }

    /// Cancels what has taken too long, and gives up what did not even answer the cancel.
    fn enforce_deadlines(&mut self, now: MonoNs) {
        for place in 0..self.open.len() {
            let State::Asked { id, deadline, cancelled, .. } = &self.open[place].now else {
                continue;
            };
            let (id, deadline, cancelled) = (*id, *deadline, *cancelled);
            if !self.gate.is_open(id) {
                continue;
            }
            match cancelled {
                None if deadline <= now => {
                    self.sink.push_blocking(Event::TimedOut { id, at: now });
                    self.cancel(place, now);
                }
                Some(give_up) if give_up <= now && self.gate.abandon(id) => {
                    // It was cancelled, or its time was up; that the target did not say so changes neither.
                    self.given_up += 1;
                    self.sink.push_blocking(Event::End { id, at: now, ending: Ending::Cancelled });
                }
                _ => {}
            }
        }
    }

    fn next_look(&self, now: MonoNs) -> MonoNs {
        let due = self.open.iter().filter_map(|conversation| match &conversation.now {
            State::Thinking(due) => Some(*due),
            State::Asked { deadline, cancelled, .. } => Some(cancelled.unwrap_or(*deadline)),
            State::Over => None,
        });
        due.min().unwrap_or(now).min(now + LOOK_UP).min(self.until.max(now + DRAW_LOOK))
    }

    /// Notes what was never sent; whether there was any.
    fn leave_unsent(mut self, shots: &Shots<'_>) -> bool {
        let reason = match self.gate.broken() {
            Some(_) => NotSentReason::TargetFailed,
            None if self.stop.is_asked() || self.stop.is_enough() => NotSentReason::Interrupted,
            None => NotSentReason::NotReached,
        };
        self.unsent.extend(shots.facts().skip(self.taken).map(|shot| shot.id));
        for id in &self.unsent {
            let event = Event::NotSent { id: *id, intended: None, reason };
            self.sink.push_blocking_uncounted(event);
        }
        !self.unsent.is_empty()
    }
}

fn said(asked: Prompt, answer: Answer) -> Exchange {
    let text = asked.text.is_some().then(|| answer.text.into());
    Exchange { asked, answered: Prompt { ids: answer.ids.into(), text } }
}
