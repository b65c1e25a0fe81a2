//! Tests of the in-flight table.

use super::*;
use std::sync::mpsc::channel;

use crate::clock::now;
use crate::record::event::Event;
use crate::record::gate::Gate;
use crate::record::sink::SideMessage;
use crate::request::spec::Prompt;
use crate::targets::triton::in_flight_request::Streaming;
use crate::targets::triton::model_io::{ModelIo, OutputAs};
use crate::targets::triton::output_counter::OutputCounter;

const ID: RequestId = RequestId(0);
const THREE: &[u8] = &[1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0];

/// A table with one open request for three tokens, and the receivers of its sink.
struct Scene {
    table: InFlightTable,
    gate: Arc<Gate>,
    ring: rtrb::Consumer<Event>,
    side_messages: std::sync::mpsc::Receiver<SideMessage>,
}

impl Scene {
    fn new() -> Self {
        let (side_channel, side_messages) = channel();
        let gate = Arc::new(Gate::new(2, 2));
        let sink = Sink::new(Arc::clone(&gate), side_channel, Arc::default());
        let Ok(SideMessage::Ring(ring)) = side_messages.recv() else {
            panic!("the ring is announced first")
        };
        let settings = SessionSettings {
            timeouts: Timeouts::default(),
            count_tokens: None,
            same_host: true,
            stamps: StampSource::Kernel,
            tokens: TokenSource::Ids,
        };
        let mut table = InFlightTable::new(sink, Arc::new(settings));
        gate.open(ID);
        let prompt = Prompt { ids: [9].into(), text: None };
        table.insert(
            ID,
            InFlightRequest::new(prompt, 3, OutputCounter::new(&model_io(), false), now()),
        );
        Self { table, gate, ring, side_messages }
    }

    fn respond(&mut self, reading: &Reading<'_>) {
        let stamp = ReadStamp { at: now(), lag_ns: 7, source: StampSource::Kernel };
        self.table.response(ID, stamp, reading);
    }

    /// The only ending, and its failure message.
    fn end(mut self) -> (Ending, String) {
        let mut ends = Vec::new();
        while let Ok(event) = self.ring.pop() {
            if let Event::End { ending, .. } = event {
                ends.push(ending);
            }
        }
        assert_eq!((ends.len(), self.gate.stray_ends()), (1, 0), "{ends:?}");
        assert!(self.table.is_empty());
        let message = self.side_messages.try_iter().find_map(|side_message| match side_message {
            SideMessage::FailureMessage(_, message) => Some(message),
            _ => None,
        });
        (ends[0], message.unwrap_or_default())
    }
}

fn model_io() -> ModelIo {
    ModelIo {
        model: "m".into(),
        inputs: Vec::new(),
        output: OutputAs::Ids,
        requested: Vec::new(),
        decoupled: true,
        accumulates: None,
    }
}

fn ids(ids: &[u8], is_final: bool) -> Reading<'_> {
    Reading { ids: Some(ids), is_final, ..Reading::default() }
}

#[test]
fn several_responses_where_one_was_asked_for_are_streamed_unasked() {
    let odd = |streaming, responses: &[(&[u8], bool)]| {
        let mut scene = Scene::new();
        scene.table.requests.get_mut(&ID).unwrap().streaming = streaming;
        for (bytes, is_final) in responses {
            scene.respond(&ids(bytes, *is_final));
        }
        scene.side_messages.try_iter().find_map(|message| match message {
            SideMessage::Odd(_, oddity) => Some(oddity),
            _ => None,
        })
    };
    let pieces = [(&THREE[..4], false), (&THREE[4..], true)];
    assert_eq!(odd(Streaming::NotAsked, &pieces), Some(Oddity::StreamedUnasked));
    assert_eq!(odd(Streaming::NotAsked, &[(THREE, true)]), None);
    assert_eq!(odd(Streaming::Asked, &pieces), None);
    assert_eq!(odd(Streaming::AskedInVain, &[(THREE, true)]), Some(Oddity::NotStreamed));
}

#[test]
fn an_error_before_any_response_and_without_a_final_marker_is_a_refusal() {
    let mut scene = Scene::new();
    scene.table.error_message(ID, now(), "unexpected input", false);
    let refused = (Ending::Failed(FailureKind::Refused), "unexpected input".to_owned());
    assert_eq!(scene.end(), refused);
}

#[test]
fn an_error_of_the_model_is_an_error_in_the_stream() {
    for (begun, is_final) in [(true, false), (false, true), (true, true)] {
        let mut scene = Scene::new();
        if begun {
            scene.respond(&ids(&THREE[..4], false));
        }
        scene.table.error_message(ID, now(), "out of blocks", is_final);
        assert_eq!(scene.end().0, Ending::Failed(FailureKind::ErrorInStream));
    }
}

#[test]
fn responses_after_the_end_are_ignored() {
    let mut scene = Scene::new();
    scene.respond(&ids(THREE, true));
    scene.respond(&ids(THREE, true));
    scene.table.error_message(ID, now(), "late", true);
    scene.table.stream_over(ID, now());
    assert!(scene.table.cancel(ID, now()).is_none());
    assert_eq!(scene.end().0, Ending::Completed(FinishReason::Length));
}

#[test]
fn a_stream_that_ends_without_a_marker_is_complete_only_with_all_tokens() {
    let mut short = Scene::new();
    short.respond(&ids(&THREE[..8], false));
    short.table.stream_over(ID, now());
    let (ending, message) = short.end();
    assert_eq!(ending, Ending::Failed(FailureKind::Truncated));
    assert!(message.contains("after 2 of 3 tokens"), "{message}");
    let mut whole = Scene::new();
    whole.respond(&ids(THREE, false));
    whole.table.stream_over(ID, now());
    assert_eq!(whole.end().0, Ending::Completed(FinishReason::Length));
}

#[test]
fn an_answer_without_a_token_is_empty() {
    let mut scene = Scene::new();
    scene.respond(&Reading { is_final: true, ..Reading::default() });
    assert_eq!(scene.end().0, Ending::Failed(FailureKind::Empty));
}

#[test]
fn a_finish_reason_that_means_failure_is_one() {
    let mut scene = Scene::new();
    scene.respond(&Reading { finish: Some(b"abort"), ..ids(THREE, true) });
    let (ending, message) = scene.end();
    assert_eq!(ending, Ending::Failed(FailureKind::Engine));
    assert!(message.contains("`abort`"), "{message}");
}

#[test]
fn silence_and_stalling_are_distinguished() {
    let later = || now() + Nanos::from_secs_f64(1_000.0);
    let mut silent = Scene::new();
    silent.table.fail_idle(now());
    assert!(!silent.table.is_empty(), "not yet");
    silent.table.fail_idle(later());
    assert_eq!(silent.end().0, Ending::Failed(FailureKind::Silent));
    let mut stalled = Scene::new();
    stalled.respond(&ids(&THREE[..4], false));
    stalled.table.fail_idle(later());
    assert_eq!(stalled.end().0, Ending::Failed(FailureKind::Idle));
}

#[test]
fn a_stamp_that_is_not_the_kernels_is_reported() {
    let mut scene = Scene::new();
    let own = ReadStamp { at: now(), lag_ns: 0, source: StampSource::User };
    scene.table.response(ID, own, &ids(THREE, true));
    let user_stamp =
        |side_message| matches!(side_message, SideMessage::StampsOf(ID, StampSource::User));
    assert!(scene.side_messages.try_iter().any(user_stamp));
}
