//! Certificates made for one test, and a server that shows them.

use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::{FaultServer, Next, Out, Request, Wire};

impl Wire for StreamOwned<ServerConnection, TcpStream> {
    fn socket(&self) -> &TcpStream {
        &self.sock
    }
}

/// A server's configuration for `name`, signed by a CA whose certificate is written to `ca_file`.
pub fn server_config(name: &str, ca_file: &Path, alpn: &[&[u8]]) -> Arc<ServerConfig> {
    let mut authority = CertificateParams::new(Vec::new()).expect("no names");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority_key = KeyPair::generate().expect("a key");
    let authority = CertifiedIssuer::self_signed(authority, authority_key).expect("a certificate");
    std::fs::write(ca_file, authority.pem()).expect("the test's own folder");

    let key = KeyPair::generate().expect("a key");
    let server = CertificateParams::new(vec![name.to_owned()]).expect("a name");
    let server = server.signed_by(&key, &authority).expect("a certificate");
    showing(server.der().clone(), &key, alpn)
}

/// A server that shows the certificate of an authority as its own.
pub fn authority_config(name: &str, ca_file: &Path) -> Arc<ServerConfig> {
    let mut authority = CertificateParams::new(vec![name.to_owned()]).expect("a name");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("a key");
    let authority = authority.self_signed(&key).expect("a certificate");
    std::fs::write(ca_file, authority.pem()).expect("the test's own folder");
    showing(authority.der().clone(), &key, &[])
}

fn showing(
    certificate: CertificateDer<'static>,
    key: &KeyPair,
    alpn: &[&[u8]],
) -> Arc<ServerConfig> {
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring knows TLS 1.3")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .expect("key and certificate belong together");
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    Arc::new(config)
}

/// A fault server behind TLS.
pub fn start(
    config: Arc<ServerConfig>,
    answer: impl Fn(&Request, &mut Out<'_>) -> Next + Send + Sync + 'static,
) -> FaultServer {
    let wrap = move |mut socket: TcpStream| -> Option<Box<dyn Wire>> {
        let mut connection = ServerConnection::new(Arc::clone(&config)).ok()?;
        while connection.is_handshaking() {
            connection.complete_io(&mut socket).ok()?;
        }
        Some(Box::new(StreamOwned::new(connection, socket)))
    };
    FaultServer::start_over(wrap, answer)
}
