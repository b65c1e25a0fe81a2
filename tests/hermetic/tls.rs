//! Words for connections on which one side speaks TLS and the other does not, or shows a certificate that nobody can trust.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;

use bareflight::request::FailureKind;
use bareflight::targets::openai::OpenAiOptions;

use crate::support::fault_server::harness::{options, play_one};
use crate::support::fault_server::tls;

/// A port that does this with each connection.
fn port(with: impl Fn(TcpStream) + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("a bound socket");
    thread::spawn(move || listener.incoming().flatten().for_each(with));
    address
}

/// The kind and words of a request that fails there.
fn refused(options: OpenAiOptions) -> (FailureKind, String) {
    let story = play_one(options);
    (story.failure(), story.message().to_owned())
}

fn reads_something(socket: &mut TcpStream) {
    let _client_may_be_gone = socket.read(&mut [0; 4096]);
}

#[test]
fn a_port_that_answers_a_handshake_in_plain_http_suggests_http() {
    let address = port(|mut socket| {
        reads_something(&mut socket);
        let answer = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n";
        let _client_may_be_gone = socket.write_all(answer);
    });
    let mut options = options(&format!("https://{address}"));
    options.tls.insecure = true;
    let (kind, words) = refused(options);
    assert_eq!(kind, FailureKind::Tls, "{words}");
    assert!(words.contains("write http:// in place of https://"), "{words}");
}

#[test]
fn a_port_that_closes_in_the_handshake_suggests_http() {
    let address = port(|mut socket| reads_something(&mut socket));
    let mut options = options(&format!("https://{address}"));
    options.tls.insecure = true;
    let (kind, words) = refused(options);
    assert_eq!(kind, FailureKind::Tls, "{words}");
    assert!(words.contains("if it speaks no TLS, write http://"), "{words}");
}

#[test]
fn a_port_that_speaks_tls_suggests_https() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = tls::server_config("localhost", &folder.path().join("ca.pem"), &[]);
    let server = tls::start(config, |_, out| out.good(4));
    let (_, words) = refused(options(&format!("http://{}", server.address)));
    assert!(words.contains("https://"), "{words}");
}

#[test]
fn a_port_that_answers_with_a_tls_alert_suggests_https() {
    let address = port(|mut socket| {
        reads_something(&mut socket);
        // Fatal, unexpected message.
        let _client_may_be_gone = socket.write_all(&[0x15, 3, 3, 0, 2, 2, 10]);
    });
    let (kind, words) = refused(options(&format!("http://{address}")));
    assert_eq!(kind, FailureKind::Malformed, "{words}");
    assert!(words.contains("write https:// in place of http://"), "{words}");
}

#[test]
fn a_port_that_closes_after_a_plain_request_suggests_https() {
    let address = port(|mut socket| reads_something(&mut socket));
    let (kind, words) = refused(options(&format!("http://{address}")));
    assert_eq!(kind, FailureKind::Disconnected, "{words}");
    assert!(words.contains("is it https://?"), "{words}");
}

#[test]
fn an_authority_s_certificate_as_the_server_s_own_is_explained() {
    let folder = tempfile::tempdir().expect("a folder");
    let ca_file = folder.path().join("ca.pem");
    let server = tls::start(tls::authority_config("localhost", &ca_file), |_, out| out.good(4));
    let mut options = options(&format!("https://localhost:{}", server.address.port()));
    options.tls.ca_file = Some(ca_file);
    let (kind, words) = refused(options.clone());
    assert_eq!(kind, FailureKind::Tls, "{words}");
    for part in ["CaUsedAsEndEntity", "signed by it", "`CA:FALSE`", "`--insecure`"] {
        assert!(words.contains(part), "{part} in {words}");
    }
    options.tls.insecure = true;
    assert_eq!(play_one(options).tokens(), 4);
}

#[test]
fn an_unknown_authority_and_another_name_are_explained() {
    let folder = tempfile::tempdir().expect("a folder");
    let (ca_file, other) = (folder.path().join("ca.pem"), folder.path().join("other.pem"));
    tls::server_config("localhost", &other, &[]);
    let server = tls::start(tls::server_config("localhost", &ca_file, &[]), |_, out| out.good(4));
    let mut unknown = options(&format!("https://localhost:{}", server.address.port()));
    unknown.tls.ca_file = Some(other);
    let (_, words) = refused(unknown.clone());
    assert!(words.contains("`--ca-file`") && words.contains("`--insecure`"), "{words}");
    let mut by_address = options(&format!("https://127.0.0.1:{}", server.address.port()));
    by_address.tls.ca_file = Some(ca_file);
    let (_, words) = refused(by_address);
    assert!(words.contains("name the server as its certificate does"), "{words}");
}
