//! Proxies on the way to a server: tunnels for TLS, passwords, refusals, and variables that name none.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};
use std::thread;

use tempfile::TempDir;

use crate::support::NOBODY;
use crate::support::fault_server::{FaultServer, Next, Out, tls};
use crate::support::left_behind::{directory, read, words};
use crate::support::served_run::{done, tokens};

fn good(out: &mut Out<'_>) -> Next {
    out.stream_head();
    out.raw(tokens(4).concat());
    out.raw(done(4));
    Next::KeepAlive
}

/// A proxy that makes tunnels to one server, whatever it is asked for, and keeps each head.
struct Tunnels {
    address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Tunnels {
    fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("a bound socket");
        let heads = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&heads);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let kept = Arc::clone(&kept);
                thread::spawn(move || carry(client, server, &kept));
            }
        });
        Self { address, heads }
    }
}

fn carry(mut client: TcpStream, server: SocketAddr, heads: &Mutex<Vec<String>>) {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        if client.read_exact(&mut byte).is_err() {
            return;
        }
        head.push(byte[0]);
    }
    heads.lock().expect("no panic").push(String::from_utf8_lossy(&head).into_owned());
    let mut server = TcpStream::connect(server).expect("it listens");
    client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").expect("a client");
    let (mut from_client, mut to_server) =
        (client.try_clone().expect("a socket"), server.try_clone().expect("a socket"));
    thread::spawn(move || {
        let _either_has_gone = std::io::copy(&mut from_client, &mut to_server);
        let _gone = to_server.shutdown(Shutdown::Write);
    });
    let _either_has_gone = std::io::copy(&mut server, &mut client);
    let _gone = client.shutdown(Shutdown::Write);
}

/// A run of eight requests under these variables.
fn run(out: &TempDir, url: &str, more: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bareflight"));
    command.args(["run", "--target", &format!("openai:{url}"), "--endpoint", "completions"]);
    command.args(["--model", "m", "--scenario", "D(8,4)", "--concurrency", "2"]);
    command.args(["--requests", "8", "--warmup", "0", "--window", "whole"]).args(more);
    for name in ["http_proxy", "https_proxy", "all_proxy", "no_proxy"] {
        command.env_remove(name).env_remove(name.to_uppercase());
    }
    command.envs(environment.iter().copied()).current_dir(out.path());
    command.output().expect("the binary runs")
}

fn new_folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

#[test]
fn a_server_behind_tls_is_reached_through_a_tunnel_and_the_password_is_written_nowhere() {
    let out = new_folder();
    let ca = out.path().join("ca.pem");
    let server = tls::start(tls::server_config("model.invalid", &ca, &[]), |_, out| good(out));
    let proxy = Tunnels::to(server.address);
    let place = format!("http://me:s%40fe@{}", proxy.address);
    let ca = ca.display().to_string();
    let variables = [("https_proxy", &*place)];
    let ran = run(&out, "https://model.invalid:8443/v1", &["--ca-file", &ca], &variables);
    assert!(matches!(ran.status.code(), Some(0 | 4)), "{}", words(&ran.stderr));
    let heads = proxy.heads.lock().expect("no panic").clone();
    assert!(!heads.is_empty());
    for head in &heads {
        assert!(head.starts_with("CONNECT model.invalid:8443 HTTP/1.1\r\n"), "{head}");
        // `me:s@fe`.
        assert!(head.contains("proxy-authorization: Basic bWU6c0BmZQ==\r\n"), "{head}");
    }
    let seen = server.requests();
    assert!(
        seen.iter()
            .all(|it| it.path.starts_with('/') && it.header("proxy-authorization").is_none())
    );
    let folder = directory(&out);
    let kept = ["manifest.json", "summary.json", "resolved.toml", "report.html"]
        .map(|name| read(&folder, name));
    let told = format!("{}{}{}", kept.concat(), words(&ran.stdout), words(&ran.stderr));
    for secret in ["s%40fe", "s@fe", "bWU6c0BmZQ"] {
        assert!(!told.contains(secret), "{secret}");
    }
    assert!(told.contains(&proxy.address.to_string()), "the proxy is told");
    assert!(words(&ran.stdout).contains("went through the proxy"), "{}", words(&ran.stdout));
}

#[test]
fn a_proxy_that_wants_a_password_refuses_a_tunnel_or_is_not_there_stops_the_run_by_name() {
    let wants = FaultServer::start(|_, out| {
        out.whole(407, "proxy-authenticate: Basic realm=\"p\"\r\n", "who are you?")
    });
    let place = format!("http://{}", wants.address);
    for (url, variable) in [
        ("http://model.invalid/v1", "http_proxy"),
        ("http://model.invalid/v1/completions", "http_proxy"),
        ("https://model.invalid/v1", "https_proxy"),
    ] {
        let ran = run(&new_folder(), url, &[], &[(variable, &place)]);
        let told = words(&ran.stderr);
        assert_eq!(ran.status.code(), Some(3), "{url}: {told}");
        assert!(told.contains("407"), "{url}: {told}");
        assert!(told.contains(variable) && told.contains("--no-proxy"), "{url}: {told}");
    }
    let place = format!("http://{NOBODY}");
    let ran = run(&new_folder(), "http://model.invalid/v1", &[], &[("all_proxy", &place)]);
    let told = words(&ran.stderr);
    assert_eq!(ran.status.code(), Some(3), "{told}");
    assert!(told.contains("all_proxy") && told.contains("--no-proxy"), "{told}");
}

#[test]
fn a_variable_that_names_no_proxy_of_ours_is_refused_by_name() {
    for place in ["socks5://127.0.0.1:1080", "https://127.0.0.1:1", "http://", "http://h:many"] {
        let ran = run(&new_folder(), "http://model.invalid/v1", &[], &[("all_proxy", place)]);
        let told = words(&ran.stderr);
        assert_eq!(ran.status.code(), Some(3), "{place}: {told}");
        assert!(told.contains("`all_proxy`") && told.contains("--no-proxy"), "{place}: {told}");
    }
}

#[test]
fn a_server_that_is_excluded_by_name_number_or_network_is_asked_itself() {
    let server = FaultServer::start(|_, out| good(out));
    for excluded in ["127.0.0.1", "127.0.0.0/8", "*", "10.0.0.1, 127.0.0.1"] {
        let variables = [("http_proxy", "http://proxy.invalid:1"), ("no_proxy", excluded)];
        let ran = run(&new_folder(), &server.url(), &[], &variables);
        assert!(matches!(ran.status.code(), Some(0 | 4)), "{excluded}: {}", words(&ran.stderr));
        assert!(!words(&ran.stdout).contains("went through the proxy"));
    }
}
