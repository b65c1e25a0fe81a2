//! Calls of workers from other hosts: TCP to the leading process, which says who is which.
//!
//! A worker greets in one line, is answered in one, and from then on the connection is a link as any other.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::time::Duration;

use nix::sys::socket::{setsockopt, sockopt};

use crate::clock::{self, Nanos};
use crate::console;
use crate::issue::stop::Stop;
use crate::issue::workers::link::Link;

/// The first word of a worker's greeting; the version of the program, a key and a number follow.
const GREETING: &str = "bareflight-worker";
/// In place of a key where none was agreed, and of a number where any will do.
const NONE: &str = "-";
/// The answer to a worker that takes part.
const WELCOME: &str = "welcome";
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
#[derive(Debug)]
pub struct Listening {
    listener: TcpListener,
    key: Option<String>,
    /// How many workers, the first ones, it starts itself.
    started: u32,
}

impl Listening {
    /// Where whoever calls is a worker.
    ///
    /// # Errors
    /// When nobody can listen there.
    pub fn at(address: &str) -> io::Result<Self> {
        Ok(Self { listener: TcpListener::bind(address)?, key: None, started: 0 })
    }

    /// At all addresses of this host, for those that know the key; the first worker is started here.
    ///
    /// # Errors
    /// When nobody can listen.
    pub fn for_key(key: String) -> io::Result<Self> {
        let listener = TcpListener::bind("[::]:0").or_else(|_| TcpListener::bind("0.0.0.0:0"))?;
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
        let mut is_told = is_quiet || self.key.is_some();
        while let Some(missing) = called.iter().position(Option::is_none) {
            match self.listener.accept() {
                Ok((stream, from)) => match self.welcome(stream, &called) {
                    Ok((place, stream)) => {
                        called[place] = Some(stream);
                        if !is_quiet && self.key.is_none() {
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
        let greeting = read_line(&mut &stream)?;
        let place = self.place_of(&greeting, called);
        let answer = match &place {
            Ok(_) => WELCOME.to_owned(),
            Err(words) => words.clone(),
        };
        (&stream).write_all(format!("{answer}\n").as_bytes())?;
        stream.set_read_timeout(None)?;
        Ok((place.map_err(io::Error::other)?, stream))
    }

    fn place_of<T>(&self, greeting: &str, called: &[Option<T>]) -> Result<usize, String> {
        let words: Vec<&str> = greeting.split(' ').collect();
        let [GREETING, version, key, number] = words[..] else {
            return Err("it does not greet as a worker does".to_owned());
        };
        if version != env!("CARGO_PKG_VERSION") {
            return Err(format!(
                "it is version {version}, and the leading process is {}: use one version on all hosts",
                env!("CARGO_PKG_VERSION")
            ));
        }
        if key != self.key.as_deref().unwrap_or(NONE) {
            return Err("it belongs to another run".to_owned());
        }
        let place = if number == NONE {
            called.iter().position(Option::is_none)
        } else {
            let number: Option<u32> = number.parse().ok();
            number.and_then(|number| number.checked_sub(self.started)).map(|it| it as usize)
        };
        match place {
            Some(place) if called.get(place).is_some_and(Option::is_none) => Ok(place),
            _ => Err("all workers of this run have called already".to_owned()),
        }
    }
}

/// Calls the leading process at the first of its addresses that answers, for a minute; `number` counts from 0.
///
/// # Errors
/// When it cannot be reached at any of them.
pub fn call(
    addresses: &[SocketAddr],
    key: Option<&str>,
    number: Option<u32>,
) -> io::Result<TcpStream> {
    let give_up = clock::now() + CALLS;
    let mut last = io::Error::other("it has no address");
    loop {
        for address in addresses {
            match TcpStream::connect_timeout(address, ATTEMPT) {
                Ok(stream) => {
                    settle(&stream)?;
                    let number = number.map_or(NONE.to_owned(), |number| number.to_string());
                    let (version, key) = (env!("CARGO_PKG_VERSION"), key.unwrap_or(NONE));
                    let greeting = format!("{GREETING} {version} {key} {number}\n");
                    (&stream).write_all(greeting.as_bytes())?;
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

/// Waits for the answer to a greeting.
///
/// # Errors
/// When this worker is turned away, with the words of the leading process, or that process is gone.
pub fn welcomed(stream: TcpStream) -> io::Result<Link> {
    let answer = read_line(&mut &stream)?;
    if answer != WELCOME {
        return Err(io::Error::other(format!("the leading process turns it away: {answer}")));
    }
    Ok(Link::over(stream.try_clone()?, stream))
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

    fn listening(key: Option<&str>, started: u32) -> Listening {
        let key = key.map(str::to_owned);
        Listening { key, started, ..Listening::at("127.0.0.1:0").expect("a port") }
    }

    fn greeting(key: &str, number: &str) -> String {
        format!("{GREETING} {} {key} {number}", env!("CARGO_PKG_VERSION"))
    }

    #[test]
    fn a_caller_gets_its_number_or_the_next_one_that_is_free() {
        let leads = listening(None, 0);
        assert_eq!(leads.place_of(&greeting(NONE, NONE), &[Some(()), None, None]), Ok(1));
        let leads = listening(Some("k"), 1);
        assert_eq!(leads.place_of(&greeting("k", "2"), &[None::<()>, None]), Ok(1));
    }

    #[test]
    fn whoever_is_no_worker_of_this_run_is_turned_away_with_the_reason() {
        let leads = listening(Some("k"), 1);
        let free = [None::<()>, None];
        for (line, reason) in [
            ("GET / HTTP/1.1".to_owned(), "does not greet"),
            (format!("{GREETING} 0.0.0 k 1"), "version 0.0.0"),
            (greeting("other", "1"), "another run"),
            (greeting("k", "0"), "called already"),
            (greeting("k", "3"), "called already"),
        ] {
            let said = leads.place_of(&line, &free).expect_err(&line);
            assert!(said.contains(reason), "{line}: {said}");
        }
        let said = leads.place_of(&greeting("k", "1"), &[Some(()), None]).expect_err("taken");
        assert!(said.contains("called already"), "{said}");
    }

    #[test]
    fn workers_that_call_are_gathered_and_strangers_are_not() {
        let leads = listening(None, 0);
        let address = [leads.address().expect("an address")];
        let stranger = TcpStream::connect(address[0]).expect("it listens");
        (&stranger).write_all(b"GET / HTTP/1.1\r\n\r\n").expect("sent");
        let calls: Vec<_> = (0..2)
            .map(|_| std::thread::spawn(move || welcomed(call(&address, None, None)?)))
            .collect();
        let called = leads.gather(2, true, &Stop::never()).expect("both call");
        assert_eq!(called.len(), 2);
        for call in calls {
            assert!(call.join().expect("it ends").is_ok());
        }
    }
}
