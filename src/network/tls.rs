//! TLS trust: the system's certificates, a file of one's own, or, on request, any certificate.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, DigitallySignedStruct, Error as RustlsError, RootCertStore, SignatureScheme,
};

/// Trust in certificates.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsOptions {
    /// Trust the certificates in this PEM file instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// Trust every certificate.
    pub insecure: bool,
}

/// Error of setting up TLS. The message names the thing and the remedy.
#[derive(Debug, thiserror::Error)]
pub enum TlsSetupError {
    /// The file holds no certificate that can be read.
    #[error("the CA file `{path}` cannot be used: {reason}")]
    CaFile {
        /// Which file.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// There is no certificate to verify against.
    #[error("this system has no trusted certificates ({0}): name a PEM file with the server's CA")]
    NoRoots(String),
    /// The cryptography refuses.
    #[error("TLS cannot be set up: {0}")]
    Rustls(#[from] RustlsError),
}

/// The configuration for clients that offer the application protocols `alpn`.
///
/// # Errors
/// When there is nothing to verify certificates against.
pub fn client_config(
    options: &TlsOptions,
    alpn: &[&[u8]],
) -> Result<Arc<ClientConfig>, TlsSetupError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?;
    let mut config = if options.insecure {
        let trusting = Arc::new(TrustsEverybody(provider));
        builder.dangerous().with_custom_certificate_verifier(trusting).with_no_client_auth()
    } else {
        builder.with_root_certificates(roots(options)?).with_no_client_auth()
    };
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    Ok(Arc::new(config))
}

fn roots(options: &TlsOptions) -> Result<RootCertStore, TlsSetupError> {
    let mut roots = RootCertStore::empty();
    let Some(path) = &options.ca_file else {
        let found = rustls_native_certs::load_native_certs();
        roots.add_parsable_certificates(found.certs);
        if roots.is_empty() {
            let reason = found.errors.first().map_or("none found".to_owned(), ToString::to_string);
            return Err(TlsSetupError::NoRoots(reason));
        }
        return Ok(roots);
    };
    let fault = |reason: String| TlsSetupError::CaFile { path: path.display().to_string(), reason };
    for certificate in CertificateDer::pem_file_iter(path).map_err(|e| fault(e.to_string()))? {
        let certificate = certificate.map_err(|error| fault(error.to_string()))?;
        roots.add(certificate).map_err(|error| fault(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(fault("it holds no certificate".to_owned()));
    }
    Ok(roots)
}

/// Accepts every certificate and still checks that the peer holds its key. Only for `insecure`.
#[derive(Debug)]
struct TrustsEverybody(Arc<CryptoProvider>);

impl TrustsEverybody {
    fn algorithms(&self) -> &WebPkiSupportedAlgorithms {
        &self.0.signature_verification_algorithms
    }
}

impl ServerCertVerifier for TrustsEverybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, RustlsError> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, RustlsError> {
        verify_tls12_signature(message, certificate, signed, self.algorithms())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, RustlsError> {
        verify_tls13_signature(message, certificate, signed, self.algorithms())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms().supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ca_file_without_a_certificate_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path().to_path_buf();
        let options = TlsOptions { ca_file: Some(path.clone()), insecure: false };
        let error = client_config(&options, &[]).unwrap_err().to_string();
        assert!(error.contains(&path.display().to_string()), "{error}");
    }
}
