//! Benchmark server: a process of its own with a known token schedule and a log of when it sent each token.
//!
//! It speaks just enough HTTP/1.1: head and role chunk at once, then one write per token, then the finish, the usage and
//! `[DONE]`. Chunks are built before the first token is due, have the size of a real server's (about 230 bytes) and
//! differ in their text. Without delays every stream gets its turn after each token, as in a batch of an engine.
//!
//! Its log holds, for each request, the prompt's number, when the request had been read, and the instant right before
//! the write of each token, in nanoseconds of `CLOCK_MONOTONIC`: the client's clock, since both run on one machine.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::time::{Duration, Instant};

use bareflight::clock::{MonoNs, Nanos, now};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::LocalSet;

/// The argument with which a benchmark runs itself as the server.
const SERVE: &str = "serve";
const WORDS: [&str; 8] = [" the", " of", " a", " token", " is", " measurement", " by", " server"];
/// Text of a chunk: every word begins with a space.
pub const TEXT_MARK: &[u8] = b"\"content\":\" ";
/// The last bytes of every answer.
pub const LAST_BYTES: &[u8; 5] = b"0\r\n\r\n";

/// When tokens are due.
#[derive(Debug, Clone, Copy)]
pub struct Schedule {
    /// From the request to its first token; zero for at once.
    pub ttft: Duration,
    /// From one token to the next; zero for at once.
    pub itl: Duration,
    /// Tokens of each answer.
    pub tokens: u32,
}

/// Log of one request.
#[derive(Debug, Clone)]
pub struct Truth {
    /// The number in its prompt.
    pub id: u32,
    /// All of the request had been read.
    pub read: MonoNs,
    /// Right before the write of each token.
    pub sent: Vec<MonoNs>,
}

/// A running server; it ends with this handle.
pub struct Server {
    process: Child,
    address: String,
    log: PathBuf,
    tokens: u32,
    _folder: tempfile::TempDir,
}

impl Server {
    /// Runs this very program again, as the server.
    pub fn start(schedule: Schedule) -> io::Result<Self> {
        let folder = tempfile::tempdir()?;
        let log = folder.path().join("log");
        let micros = |span: Duration| span.as_micros().to_string();
        let mut process = Command::new(std::env::current_exe()?)
            .args([SERVE, &micros(schedule.ttft), &micros(schedule.itl)])
            .arg(schedule.tokens.to_string())
            .arg(&log)
            .stdout(Stdio::piped())
            .spawn()?;
        let stdout = process.stdout.take().ok_or_else(|| io::Error::other("no pipe"))?;
        let mut address = String::new();
        BufReader::new(stdout).read_line(&mut address)?;
        let address = address.trim().to_owned();
        Ok(Self { process, address, log, tokens: schedule.tokens, _folder: folder })
    }

    /// Where it listens.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The log so far; waits until that is at least `requests` in all.
    pub fn truths(&self, requests: usize) -> io::Result<Vec<Truth>> {
        let row = 8 * (2 + self.tokens as usize);
        let give_up = Instant::now() + Duration::from_secs(20);
        loop {
            let log = std::fs::read(&self.log)?;
            if log.len() >= requests * row {
                return Ok(log.chunks_exact(row).map(truth_of).collect());
            }
            if Instant::now() > give_up {
                return Err(io::Error::other("the server's log lacks requests"));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself; it is gone afterwards either way.
        let _already_gone = self.process.kill().and_then(|()| self.process.wait());
    }
}

fn truth_of(row: &[u8]) -> Truth {
    let mut numbers = row
        .chunks_exact(8)
        .map(|bytes| i64::from_ne_bytes(bytes.try_into().expect("a chunk of eight")));
    let id = numbers.next().expect("a row has an id") as u32;
    let read = MonoNs(numbers.next().expect("a row has the instant of the read"));
    Truth { id, read, sent: numbers.map(MonoNs).collect() }
}

/// Serves for ever if this program was started as the server.
pub fn serve_if_asked() -> io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [first, ttft, itl, tokens, log] = arguments.as_slice() else { return Ok(()) };
    if first != SERVE {
        return Ok(());
    }
    let number = |text: &str| text.parse::<u64>().map_err(io::Error::other);
    let schedule = Schedule {
        ttft: Duration::from_micros(number(ttft)?),
        itl: Duration::from_micros(number(itl)?),
        tokens: number(tokens)? as u32,
    };
    let log = Rc::new(File::create(log)?);
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
    LocalSet::new().block_on(&runtime, async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        println!("{}", listener.local_addr()?);
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            tokio::task::spawn_local(answer_all(stream, schedule, Rc::clone(&log)));
        }
    })
}

/// Answers every request of a connection; ends when the client has gone.
async fn answer_all(stream: TcpStream, schedule: Schedule, log: Rc<File>) -> io::Result<()> {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let length = read_request(&stream, &mut buffer).await?;
        let read = now();
        let id = id_of(&buffer[..length]).ok_or_else(|| io::Error::other("no number in prompt"))?;
        let sent = answer(&stream, &schedule, id, read).await?;
        let row = [i64::from(id), read.0].into_iter().chain(sent);
        let bytes: Vec<u8> = row.flat_map(i64::to_ne_bytes).collect();
        (&*log).write_all(&bytes)?;
    }
}

async fn read_request(stream: &TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    loop {
        stream.readable().await?;
        match stream.try_read(&mut buffer[filled..]) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(error) => return Err(error),
        }
        let Some((whole, waits)) = whole_length(&buffer[..filled]) else { continue };
        if filled >= whole {
            return Ok(filled);
        }
        // libcurl sends the body of a long request only after `100 Continue`, or a second later.
        if waits && buffer[..filled].ends_with(b"\r\n\r\n") {
            write_all(stream, b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        }
    }
}

/// Bytes of the whole request, once its head is there, and whether the client waits before it sends the body.
fn whole_length(bytes: &[u8]) -> Option<(usize, bool)> {
    let end = memchr::memmem::find(bytes, b"\r\n\r\n")?;
    let head = std::str::from_utf8(&bytes[..end]).ok()?.to_ascii_lowercase();
    let length = head.split("content-length: ").nth(1)?.lines().next()?;
    Some((end + 4 + length.parse::<usize>().ok()?, head.contains("expect: 100-continue")))
}

/// Every prompt begins with a number.
fn id_of(request: &[u8]) -> Option<u32> {
    let mark = b"\"content\":\"";
    let start = memchr::memmem::find(request, mark)? + mark.len();
    let digits = request[start..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    std::str::from_utf8(&request[start..start + digits]).ok()?.parse().ok()
}

async fn answer(
    stream: &TcpStream,
    schedule: &Schedule,
    id: u32,
    read: MonoNs,
) -> io::Result<Vec<i64>> {
    let chunks = Chunks::of(id);
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n";
    write_all(stream, &[head.as_bytes(), &chunks.role].concat()).await?;
    let mut sent = Vec::with_capacity(schedule.tokens as usize);
    let mut due = read + span(schedule.ttft);
    for word in chunks.words.iter().cycle().take(schedule.tokens as usize) {
        wait_until(due).await;
        due = due + span(schedule.itl);
        sent.push(now().0);
        write_all(stream, word).await?;
    }
    write_all(stream, &chunks.ending(schedule.tokens)).await?;
    Ok(sent)
}

fn span(duration: Duration) -> Nanos {
    Nanos(duration.as_nanos() as i64)
}

/// Tokens without delay wait for their turn.
async fn wait_until(due: MonoNs) {
    match u64::try_from((due - now()).0) {
        Ok(left @ 1..) => tokio::time::sleep(Duration::from_nanos(left)).await,
        _ => tokio::task::yield_now().await,
    }
}

async fn write_all(stream: &TcpStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match stream.try_write(bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => stream.writable().await?,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Everything that one answer sends.
struct Chunks {
    common: String,
    role: Vec<u8>,
    words: Vec<Vec<u8>>,
}

impl Chunks {
    fn of(id: u32) -> Self {
        let common = format!(
            r#""id":"chatcmpl-{id:032x}","object":"chat.completion.chunk","created":1700000000,"model":"a-model-of-8b""#
        );
        let chunk = |delta: &str, finish: &str| {
            event(&format!(
                r#"{{{common},"choices":[{{"index":0,"delta":{{{delta}}},"logprobs":null,"finish_reason":{finish}}}]}}"#
            ))
        };
        let role = chunk(r#""role":"assistant","content":"""#, "null");
        let word = |word: &str| chunk(&format!(r#""content":"{word}""#), "null");
        let words = WORDS.into_iter().map(word).collect();
        Self { common, role, words }
    }

    fn ending(&self, tokens: u32) -> Vec<u8> {
        let common = &self.common;
        let finish = event(&format!(
            r#"{{{common},"choices":[{{"index":0,"delta":{{}},"logprobs":null,"finish_reason":"length"}}]}}"#
        ));
        let usage = event(&format!(
            r#"{{{common},"choices":[],"usage":{{"prompt_tokens":200,"total_tokens":{},"completion_tokens":{tokens}}}}}"#,
            200 + tokens
        ));
        [finish, usage, event("[DONE]"), LAST_BYTES.to_vec()].concat()
    }
}

fn event(data: &str) -> Vec<u8> {
    format!("{:x}\r\ndata: {data}\n\n\r\n", data.len() + 8).into_bytes()
}
