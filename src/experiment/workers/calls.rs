//! Calls of workers from other hosts: TCP to the leading process, which says who is which.
//!
//! The leading process opens with one line, a worker greets in one and is answered in one, and from then on the connection is a
//! link as any other. Where there is a key, greeting and answer prove it.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::time::Duration;

use nix::sys::socket::{Backlog, listen, setsockopt, sockopt};

use super::key::{Key, Nonces, Prover, random_text};
use crate::clock::{self, Nanos};
use crate::console;
use crate::issue::stop::Stop;
use crate::issue::workers::link::Link;

/// The first word of the leading process's opening; the version of the program and a random text follow.
const OPENING: &str = "bareflight-leader";
/// The first word of a worker's greeting; version, random text, proof of the key and a number follow.
const GREETING: &str = "bareflight-worker";
/// In place of a proof where no key was agreed, and of a number where any will do.
const NONE: &str = "-";
/// The first word of the answer to a worker that takes part; a proof follows.
const WELCOME: &str = "welcome";
/// Not known to either side which of them has a wrong key, and no more is told.
const WRONG_KEY: &str =
    "its key is not that of this run: give all of them `--workers-key-env` and the same key";
/// A line is no longer.
const LONGEST_LINE: usize = 512;
/// How long a caller may take for its greeting.
const GREETS: Duration = Duration::from_secs(5);
/// How long workers are awaited, and how long one tries to call.
const AWAITED: Nanos = Nanos::from_millis(600_000);
const CALLS: Nanos = Nanos::from_millis(60_000);
/// How long one attempt at one address may take.
const ATTEMPT: Duration = Duration::from_secs(3);
/// Between two looks or attempts.
const LOOK: Nanos = Nanos::from_millis(10);
const PAUSE: Nanos = Nanos::from_millis(200);
/// A host that is gone without a word: after so much silence the kernel asks, so often, so far apart.
const SILENCE_S: u32 = 5;
const ASKS: u32 = 3;
const ASKS_EVERY_S: u32 = 2;
/// How long what was sent may stay unconfirmed.
const UNCONFIRMED_MS: u32 = 15_000;

/// A leading process that workers call.
pub struct Listening {
    listener: TcpListener,
    key: Option<Key>,
    /// How many workers, the first ones, it starts itself.
    started: u32,
}

impl Listening {
    /// Where whoever knows the key is a worker, or whoever calls where there is none.
    ///
    /// # Errors
    /// When nobody can listen there.
    pub fn at(address: &str, key: Option<Key>) -> io::Result<Self> {
        Ok(Self { listener: open(address)?, key, started: 0 })
    }

    /// At all addresses of this host, for those that know the key; the first worker is started here.
    ///
    /// # Errors
    /// When nobody can listen.
    #[cfg(feature = "mpi")]
    pub fn for_job(key: Key) -> io::Result<Self> {
        let listener = open("[::]:0").or_else(|_| open("0.0.0.0:0"))?;
        Ok(Self { listener, key: Some(key), started: 1 })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    pub(super) const fn started(&self) -> u32 {
        self.started
    }

    /// Waits until each worker that is not started here has called; in the order of their numbers.
    pub(super) fn gather(
        &self,
        workers: u32,
        is_quiet: bool,
        stop: &Stop,
    ) -> io::Result<Vec<TcpStream>> {
        self.listener.set_nonblocking(true)?;
        let mut called: Vec<Option<TcpStream>> = (self.started..workers).map(|_| None).collect();
        let give_up = clock::now() + AWAITED;
        // Ranks of a job find their way by themselves.
        let is_quiet = is_quiet || self.started > 0;
        let mut is_told = is_quiet;
        while let Some(missing) = called.iter().position(Option::is_none) {
            match self.listener.accept() {
                Ok((stream, from)) => match self.welcome(stream, &called) {
                    Ok((place, stream)) => {
                        called[place] = Some(stream);
                        if !is_quiet {
                            let number = place as u32 + self.started + 1;
                            console::print_notice(format_args!(
                                "worker {number} of {workers} has called from {from}"
                            ));
                        }
                    }
                    Err(error) => {
                        console::print_notice(format_args!(
                            "a call from {from} was turned away: {error}"
                        ));
                    }
                },
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if !std::mem::replace(&mut is_told, true) {
                        console::print_notice(format_args!(
                            "waiting for {workers} workers at {}: on each host, type the same command with \
                             `--worker-of HOST:{}` in place of `--workers-listen`",
                            self.address()?,
                            self.address()?.port()
                        ));
                    }
                    clock::sleep(LOOK);
                }
                Err(error) => return Err(error),
            }
            let why = if stop.is_asked() {
                "the end was asked for"
            } else if clock::now() > give_up {
                "10 minutes are over"
            } else {
                continue;
            };
            let number = missing as u32 + self.started + 1;
            let words = format!("worker {number} of {workers} had not called when {why}");
            return Err(io::Error::other(words));
        }
        Ok(called.into_iter().flatten().collect())
    }

    /// Reads a caller's greeting and answers it; its place among those that call.
    fn welcome(
        &self,
        stream: TcpStream,
        called: &[Option<TcpStream>],
    ) -> io::Result<(usize, TcpStream)> {
        stream.set_nonblocking(false)?;
        settle(&stream)?;
        stream.set_read_timeout(Some(GREETS))?;
        let nonce = random_text()?;
        say(&stream, &format!("{OPENING} {} {nonce}", env!("CARGO_PKG_VERSION")))?;
        let greeting = read_line(&mut &stream)?;
        let place = self.place_of(&greeting, &nonce, called);
        let answer = match &place {
            Ok((_, proof)) => format!("{WELCOME} {proof}"),
            Err(words) => words.clone(),
        };
        say(&stream, &answer)?;
        stream.set_read_timeout(None)?;
        let (place, _) = place.map_err(io::Error::other)?;
        Ok((place, stream))
    }

    /// The place of a worker, and what proves to it that it has called the right process.
    fn place_of<T>(
        &self,
        greeting: &str,
        leader: &str,
        called: &[Option<T>],
    ) -> Result<(usize, String), String> {
        let words: Vec<&str> = greeting.split(' ').collect();
        let [GREETING, version, worker, proof, number] = words[..] else {
            return Err("it does not greet as a worker does".to_owned());
        };
        if version != env!("CARGO_PKG_VERSION") {
            return Err(format!(
                "it is version {version}, and the leading process is {}: use one version on all hosts",
                env!("CARGO_PKG_VERSION")
            ));
        }
        let nonces = Nonces { leader, worker };
        let is_known = match &self.key {
            Some(key) => key.is_proved(proof, Prover::Worker, nonces),
            None => proof == NONE,
        };
        if !is_known {
            return Err(WRONG_KEY.to_owned());
        }
        let own = self.key.as_ref().map(|key| key.proof(Prover::Leader, nonces));
        let place = if number == NONE {
            called.iter().position(Option::is_none)
        } else {
            let number: Option<u32> = number.parse().ok();
            number.and_then(|number| number.checked_sub(self.started)).map(|it| it as usize)
        };
        match place {
            Some(place) if called.get(place).is_some_and(Option::is_none) => {
                Ok((place, own.unwrap_or_else(|| NONE.to_owned())))
            }
            _ => Err("all workers of this run have called already".to_owned()),
        }
    }
}

/// Listens with as many calls waiting as the system allows: all ranks of a job call before the first is answered.
fn open(address: &str) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    listen(&listener, Backlog::MAXALLOWABLE)?;
    Ok(listener)
}

/// Calls the leading process at the first of its addresses that answers, for a minute.
///
/// # Errors
/// When it cannot be reached at any of them.
pub fn call(addresses: &[SocketAddr]) -> io::Result<TcpStream> {
    let give_up = clock::now() + CALLS;
    let mut last = io::Error::other("it has no address");
    loop {
        for address in addresses {
            match TcpStream::connect_timeout(address, ATTEMPT) {
                Ok(stream) => {
                    settle(&stream)?;
                    return Ok(stream);
                }
                Err(error) => {
                    last = io::Error::new(error.kind(), format!("{address}: {error}"));
                }
            }
        }
        if clock::now() > give_up {
            return Err(last);
        }
        clock::sleep(PAUSE);
    }
}

/// The addresses of `HOST:PORT`.
///
/// # Errors
/// When the name is not known.
pub fn addresses_of(name: &str) -> io::Result<Vec<SocketAddr>> {
    Ok(name.to_socket_addrs()?.collect())
}

/// Greets the leading process that was called, once it looks, and waits for its answer; `number` counts from 0.
///
/// # Errors
/// When this worker is turned away, with the words of the leading process, or that process is gone or does not know the key.
pub fn welcomed(stream: TcpStream, key: Option<&Key>, number: Option<u32>) -> io::Result<Link> {
    let opening = read_line(&mut &stream)?;
    let words: Vec<&str> = opening.split(' ').collect();
    let [OPENING, _version, leader] = words[..] else {
        return Err(io::Error::other("what answers there is no leading process of a run"));
    };
    let own = random_text()?;
    let nonces = Nonces { leader, worker: &own };
    let none = || NONE.to_owned();
    let proof = key.map_or_else(none, |key| key.proof(Prover::Worker, nonces));
    let number = number.map_or_else(none, |number| number.to_string());
    say(&stream, &format!("{GREETING} {} {own} {proof} {number}", env!("CARGO_PKG_VERSION")))?;
    let answer = read_line(&mut &stream)?;
    let proof = answer
        .strip_prefix(WELCOME)
        .map(str::trim)
        .ok_or_else(|| io::Error::other(format!("the leading process turns it away: {answer}")))?;
    let is_known = key.is_none_or(|key| key.is_proved(proof, Prover::Leader, nonces));
    if !is_known {
        return Err(io::Error::other("what answers there does not know the key of this run"));
    }
    Ok(Link::over(stream.try_clone()?, stream))
}

fn say(mut stream: &TcpStream, line: &str) -> io::Result<()> {
    stream.write_all(format!("{line}\n").as_bytes())
}

/// Frames leave at once, and a host that is gone is noticed.
fn settle(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    setsockopt(stream, sockopt::KeepAlive, &true)?;
    setsockopt(stream, sockopt::TcpKeepIdle, &SILENCE_S)?;
    setsockopt(stream, sockopt::TcpKeepCount, &ASKS)?;
    setsockopt(stream, sockopt::TcpKeepInterval, &ASKS_EVERY_S)?;
    setsockopt(stream, sockopt::TcpUserTimeout, &UNCONFIRMED_MS)?;
    Ok(())
}

/// One line, byte by byte: what follows it belongs to others.
fn read_line(from: &mut dyn Read) -> io::Result<String> {
    let mut line = Vec::new();
    let mut byte = [0];
    loop {
        from.read_exact(&mut byte)?;
        match byte[0] {
            b'\n' => return String::from_utf8(line).map_err(io::Error::other),
            _ if line.len() >= LONGEST_LINE => {
                return Err(io::Error::other("it does not greet as a worker does"));
            }
            other => line.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "0123456789abcdef";

    fn listening(key: Option<&str>, started: u32) -> Listening {
        let key = key.map(Key::of);
        Listening { started, ..Listening::at("127.0.0.1:0", key).expect("a port") }
    }

    fn greeting(key: Option<&str>, number: &str) -> String {
        let nonces = Nonces { leader: "l", worker: "w" };
        let proof = key.map(|key| Key::of(key).proof(Prover::Worker, nonces));
        let proof = proof.as_deref().unwrap_or(NONE);
        format!("{GREETING} {} w {proof} {number}", env!("CARGO_PKG_VERSION"))
    }

    #[test]
    fn a_caller_gets_its_number_or_the_next_one_that_is_free() {
        let place = |leads: &Listening, greeting: &str, free: &[Option<()>]| {
            leads.place_of(greeting, "l", free).map(|(place, _)| place)
        };
        let leads = listening(None, 0);
        assert_eq!(place(&leads, &greeting(None, NONE), &[Some(()), None, None]), Ok(1));
        let leads = listening(Some(KEY), 1);
        assert_eq!(place(&leads, &greeting(Some(KEY), "2"), &[None, None]), Ok(1));
    }

    #[test]
    fn whoever_is_no_worker_of_this_run_is_turned_away_with_the_reason() {
        let leads = listening(Some(KEY), 1);
        let free = [None::<()>, None];
        for (line, reason) in [
            ("GET / HTTP/1.1".to_owned(), "does not greet"),
            (format!("{GREETING} 0.0.0 w - 1"), "version 0.0.0"),
            (greeting(Some("another key of them"), "1"), "its key is not"),
            (greeting(None, "1"), "its key is not"),
            (greeting(Some(KEY), "0"), "called already"),
            (greeting(Some(KEY), "3"), "called already"),
        ] {
            let said = leads.place_of(&line, "l", &free).expect_err(&line);
            assert!(said.contains(reason) && !said.contains(KEY), "{line}: {said}");
        }
        let overheard = leads.place_of(&greeting(Some(KEY), "1"), "other", &free);
        assert!(overheard.expect_err("of another call").contains("its key is not"));
        let taken = leads.place_of(&greeting(Some(KEY), "1"), "l", &[Some(()), None]);
        assert!(taken.expect_err("taken").contains("called already"));
        let open = listening(None, 0);
        assert!(open.place_of(&greeting(Some(KEY), NONE), "l", &free).is_err());
    }

    #[test]
    fn workers_that_call_are_gathered_and_strangers_are_not() {
        for key in [None, Some(KEY)] {
            let leads = listening(key, 0);
            let address = [leads.address().expect("an address")];
            let stranger = TcpStream::connect(address[0]).expect("it listens");
            (&stranger).write_all(b"GET / HTTP/1.1\r\n\r\n").expect("sent");
            let calls: Vec<_> = (0..2)
                .map(|_| {
                    let key = key.map(Key::of);
                    std::thread::spawn(move || welcomed(call(&address)?, key.as_ref(), None))
                })
                .collect();
            let called = leads.gather(2, true, &Stop::never()).expect("both call");
            assert_eq!(called.len(), 2);
            for call in calls {
                assert!(call.join().expect("it ends").is_ok());
            }
        }
    }

    #[test]
    fn a_worker_does_not_work_for_who_does_not_know_its_key() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = [listener.local_addr().expect("an address")];
        let worker = std::thread::spawn(move || {
            welcomed(call(&address)?, Some(&Key::of(KEY)), None).map(|_| ())
        });
        let (stream, _) = listener.accept().expect("a call");
        say(&stream, &format!("{OPENING} 1 nonce")).expect("sent");
        read_line(&mut &stream).expect("a greeting");
        say(&stream, &format!("{WELCOME} {}", "0".repeat(64))).expect("sent");
        let error = worker.join().expect("it ends").expect_err("a stranger").to_string();
        assert!(error.contains("does not know the key"), "{error}");
    }

    #[test]
    fn every_rank_of_a_large_job_can_call_before_the_first_is_answered() {
        let allowed = std::fs::read_to_string("/proc/sys/net/core/somaxconn").expect("Linux");
        let allowed: usize = allowed.trim().parse().expect("a number");
        let leads = listening(Some(KEY), 1);
        let address = leads.address().expect("an address");
        let calls: Vec<_> = (0..allowed.min(300))
            .map(|_| TcpStream::connect_timeout(&address, ATTEMPT).expect("room for a call"))
            .collect();
        assert!(calls.len() == allowed || calls.len() == 300);
    }
}
