//! Requests that a server never looked at are sent again and counted; those that it may have worked on are not.

use std::sync::Mutex;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, Sender, channel};

use bareflight::clock::now;
use bareflight::request::FailureKind;
use bareflight::targets::openai::{HttpVersion, OpenAiTarget};
use bareflight::targets::triton::TritonTarget;
use bareflight::targets::triton::options::TritonOptions;

use crate::support::fault_server::harness::{Range, Story, options, shot};
use crate::support::fault_server::http2_frames::{Fate, FrameServer, start};
use crate::support::fault_server::{
    FaultServer, LENGTH, Next, Out, Request, TOKEN, generate_endpoint, pause, usage,
};
use crate::support::triton_fault_server;
use crate::support::watch::{self, Seen, Watch};

/// What a server sends over a connection that was idle for too long for it, and then closes it.
const TIMED_OUT: &str = "HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\n\r\n";

fn posts(server: &FaultServer) -> usize {
    server.requests().iter().filter(|request| request.method == "POST").count()
}

/// Plays so many shots for three tokens, one after the other; `between` comes after each.
fn openai(server: &str, http: HttpVersion, shots: u32, between: impl Fn()) -> Vec<Story> {
    let mut options = options(server);
    options.http = http;
    let mut range = Range::open(OpenAiTarget::new(options).unwrap(), shots as usize);
    for id in 0..shots {
        range.fire(&shot(id, 3));
        range.wait();
        between();
    }
    range.finish(now()).1
}

/// The same against Triton.
fn triton(options: TritonOptions, shots: u32, between: impl Fn()) -> Vec<Seen> {
    let mut watch = Watch::open(TritonTarget::new(options).unwrap());
    for id in 0..shots {
        watch.fire(&watch::shot(id, 3));
        watch.wait(20.0);
        between();
    }
    watch.finish(1.0).0.into_values().collect()
}

fn generate_options(server: &FaultServer) -> TritonOptions {
    TritonOptions::new(server.url().replace("/v1", "/m").parse().unwrap())
}

/// Three ids, as `generate_stream` sends them.
fn three_ids(out: &mut Out<'_>) -> Next {
    out.stream_head();
    (7..10).for_each(|id| _ = out.event(&format!("{{\"output_ids\":[{id}]}}")));
    out.end()
}

/// Both ends of what a test and its server tell each other.
struct Partings {
    over: Sender<()>,
    parted: Receiver<()>,
}

impl Partings {
    /// The test's end, and what the server does behind each answer: as soon as the test says that the answer is over, it parts.
    fn new() -> (Self, impl Fn(&mut Out<'_>) -> Next + Send + Sync) {
        let ((over, is_over), (parts, parted)) = (channel(), channel());
        let (is_over, parts) = (Mutex::new(is_over), Mutex::new(parts));
        let part = move |out: &mut Out<'_>| {
            let _test_is_over = is_over.lock().unwrap().recv();
            out.raw(TIMED_OUT);
            let _test_is_over = parts.lock().unwrap().send(());
            Next::Close
        };
        (Self { over, parted }, part)
    }

    /// Has the server part, and waits until it has: what it said lies on the connection then.
    fn part(&self) {
        self.over.send(()).unwrap();
        self.parted.recv().unwrap();
    }
}

#[test]
fn a_408_that_lies_on_an_idle_connection_fails_no_request() {
    let (partings, part) = Partings::new();
    let server = FaultServer::start(move |_, out| {
        out.good(3);
        part(out)
    });
    let stories = openai(&server.url(), HttpVersion::Http1, 4, || partings.part());
    assert!(stories.iter().all(|story| story.tokens() == 3), "{stories:?}");
    assert_eq!(posts(&server), 4, "the server saw each once");

    let (partings, part) = Partings::new();
    let server = generate_endpoint(move |_, out| {
        three_ids(out);
        part(out)
    });
    let seen = triton(generate_options(&server), 4, || partings.part());
    assert!(seen.iter().all(|seen| seen.tokens() == 3), "{seen:?}");
    assert_eq!(posts(&server), 4, "the server saw each once");
}

#[test]
fn a_408_that_crosses_a_request_is_of_the_connection_and_the_request_is_sent_again() {
    let parts = |request: &Request| request.number % 3 == 1;
    let server = FaultServer::start(move |request, out| {
        if !parts(request) {
            return out.good(3);
        }
        out.raw(TIMED_OUT);
        Next::Close
    });
    let stories = openai(&server.url(), HttpVersion::Http1, 6, || ());
    let resent: u32 = stories.iter().map(|story| story.connection.resent).sum();
    assert_eq!(posts(&server), 6 + resent as usize);
    // On a busy machine it may come later than an idle connection's would.
    let is_right =
        |story: &Story| story.tokens() == 3 || story.failure() == FailureKind::HttpClient;
    assert!(stories.iter().all(is_right), "{stories:?}");

    let asked = std::sync::atomic::AtomicUsize::new(0);
    let server = generate_endpoint(move |_, out| {
        if asked.fetch_add(1, Ordering::SeqCst) % 3 != 1 {
            return three_ids(out);
        }
        out.raw(TIMED_OUT);
        Next::Close
    });
    let seen = triton(generate_options(&server), 6, || ());
    let resent: u32 = seen.iter().map(|seen| seen.resent).sum();
    assert_eq!(posts(&server), 6 + resent as usize);
    let is_right = |seen: &Seen| seen.tokens() == 3 || seen.failure() == FailureKind::HttpClient;
    assert!(seen.iter().all(is_right), "{seen:?}");
}

#[test]
fn a_408_after_work_is_the_answer_of_its_request() {
    let server = FaultServer::start(|request, out| {
        if request.number == 0 {
            return out.good(3);
        }
        pause(60);
        out.raw(TIMED_OUT);
        Next::Close
    });
    let stories = openai(&server.url(), HttpVersion::Http1, 2, || ());
    assert_eq!(stories[1].failure(), FailureKind::HttpClient);
    assert_eq!((stories[1].connection.resent, posts(&server)), (0, 2));

    let asked = std::sync::atomic::AtomicUsize::new(0);
    let server = generate_endpoint(move |_, out| {
        if asked.fetch_add(1, Ordering::SeqCst) == 0 {
            return three_ids(out);
        }
        pause(60);
        out.raw(TIMED_OUT);
        Next::Close
    });
    let seen = triton(generate_options(&server), 2, || ());
    assert_eq!((seen[1].failure(), seen[1].resent), (FailureKind::HttpClient, 0));
    assert_eq!(posts(&server), 2);
}

/// A server of HTTP/2 with this fate for each request.
fn http2(fate: impl Fn(usize) -> Fate + Send + Sync + 'static) -> FrameServer {
    const OK: &[u8] = &[0x88];
    let events = [TOKEN, TOKEN, TOKEN, LENGTH, &usage(3), "[DONE]"];
    let body = format!("data: {}\n\n", events.join("\n\ndata: "));
    start(OK, body.into_bytes(), fate)
}

fn over_http2(server: &FrameServer, shots: u32) -> Vec<Story> {
    openai(&format!("http://{}", server.address), HttpVersion::Http2, shots, || ())
}

fn resent(stories: &[Story]) -> Vec<u32> {
    stories.iter().map(|story| story.connection.resent).collect()
}

#[test]
fn a_stream_that_http2_refuses_was_not_processed_and_is_sent_again() {
    for fate in [Fate::Refused, Fate::GoesAway] {
        let server =
            http2(move |number| if matches!(number, 0 | 3 | 4) { fate } else { Fate::Answered });
        let stories = over_http2(&server, 4);
        assert!(stories.iter().all(|story| story.tokens() == 3), "{fate:?}: {stories:?}");
        assert_eq!(resent(&stories), [1, 0, 2, 0], "{fate:?}");
        assert_eq!(server.requests.load(Ordering::SeqCst), 7, "{fate:?}");
    }
}

#[test]
fn a_server_that_refuses_each_stream_has_failed_the_request() {
    for fate in [Fate::Refused, Fate::GoesAway] {
        let server = http2(move |_| fate);
        let stories = over_http2(&server, 1);
        assert_eq!(stories[0].failure(), FailureKind::Disconnected, "{fate:?}");
        assert_eq!(resent(&stories), [3], "{fate:?}");
        assert_eq!(server.requests.load(Ordering::SeqCst), 4, "{fate:?}");
    }
}

#[test]
fn a_stream_that_the_server_looked_at_before_it_went_away_is_not_sent_again() {
    let server = http2(|number| match number {
        1 => {
            pause(60);
            Fate::LookedAtAndGone
        }
        _ => Fate::Answered,
    });
    let stories = over_http2(&server, 3);
    assert_eq!(stories[1].failure(), FailureKind::Disconnected);
    assert_eq!((resent(&stories), stories[2].tokens()), (vec![0, 0, 0], 3));
}

#[test]
fn a_stream_that_grpc_refuses_is_sent_again_and_not_for_ever() {
    let refusing = |model: &str, calls: &str| {
        let mut options = TritonOptions::new(
            format!("{}/{model}", triton_fault_server::start()).parse().unwrap(),
        );
        options.headers.insert("x-refuse-stream", calls.parse().unwrap());
        triton(options, 1, || ()).remove(0)
    };
    for (model, call) in [("whole", "ModelStreamInfer"), ("unary", "ModelInfer")] {
        let seen = refusing(model, call);
        assert_eq!((seen.tokens(), seen.resent), (3, 2), "{call}: {seen:?}");
        let seen = refusing(model, &format!("always /inference.GRPCInferenceService/{call}"));
        assert_eq!((seen.failure(), seen.resent), (FailureKind::Disconnected, 3), "{call}");
    }
}
