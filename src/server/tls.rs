//! TLS and mutual TLS, in the manner of the `tls_server_config` of Prometheus' exporters.
//!
//! By rustls over ring: TLS 1.2 and 1.3 with the suites that rustls holds to be safe. The files are read whole and checked
//! whole, at the start and whenever they change; connections that are open keep what they began with.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::RwLock;
use serde::{Deserialize, Serialize};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::client::danger::HandshakeSignatureValid;
use tokio_rustls::rustls::client::verify_server_name;
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tokio_rustls::rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use tokio_rustls::rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error as TlsError, RootCertStore, ServerConfig,
    SignatureScheme,
};

use super::secret_file::read_secret_file;

/// What is asked of the certificates of clients, by the names that Go and so Prometheus give it. The two kinds that take
/// certificates without verifying them are not offered: they look like a check and are none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
pub enum ClientAuth {
    /// Clients are not asked.
    #[default]
    NoClientCert,
    /// A certificate that is presented has to be valid; none is fine.
    VerifyClientCertIfGiven,
    /// Clients need a valid certificate.
    RequireAndVerifyClientCert,
}

/// The least version of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
pub enum TlsVersion {
    /// TLS 1.2.
    #[default]
    #[serde(rename = "TLS12")]
    Tls12,
    /// TLS 1.3.
    #[serde(rename = "TLS13")]
    Tls13,
}

/// How connections are encrypted.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct TlsOptions {
    /// The certificate of the server and those that lead from it to an authority, in PEM.
    pub cert_file: PathBuf,
    /// Its key, in PEM; other users of the machine must not be able to read it.
    pub key_file: PathBuf,
    /// What is asked of clients.
    #[serde(default)]
    pub client_auth_type: ClientAuth,
    /// The authorities of the certificates of clients, in PEM.
    #[serde(default)]
    pub client_ca_file: Option<PathBuf>,
    /// Names, DNS or addresses, of which the certificate of a client has to have one; any when empty.
    #[serde(default)]
    pub client_allowed_sans: Vec<String>,
    /// The least version.
    #[serde(default)]
    pub min_version: TlsVersion,
}

impl TlsOptions {
    /// The files that are read.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        [&self.cert_file, &self.key_file].into_iter().chain(&self.client_ca_file).cloned().collect()
    }
}

/// What new connections are encrypted with; exchanged when the files change.
pub(super) struct Tls {
    options: TlsOptions,
    current: RwLock<TlsAcceptor>,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").field("options", &self.options).finish_non_exhaustive()
    }
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// Which of them is wrong, and why.
    pub(super) fn load(options: TlsOptions) -> Result<Self, String> {
        let current = RwLock::new(acceptor(&options)?);
        Ok(Self { options, current })
    }

    /// Reads the files again, for connections from now on.
    ///
    /// # Errors
    /// As [`Tls::load`]; then nothing changes.
    pub(super) fn reload(&self) -> Result<(), String> {
        let acceptor = acceptor(&self.options)?;
        *self.current.write() = acceptor;
        Ok(())
    }

    /// What the next connection is encrypted with.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        self.current.read().clone()
    }

    /// The options.
    pub(super) fn options(&self) -> &TlsOptions {
        &self.options
    }
}

fn acceptor(options: &TlsOptions) -> Result<TlsAcceptor, String> {
    let provider = Arc::new(ring::default_provider());
    let versions: &[_] = match options.min_version {
        TlsVersion::Tls12 => &[&TLS12, &TLS13],
        TlsVersion::Tls13 => &[&TLS13],
    };
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider)).with_protocol_versions(versions);
    let builder = builder.map_err(|error| format!("TLS: {error}"))?;
    let builder = match client_verifier(options, &provider)? {
        Some(verifier) => builder.with_client_cert_verifier(verifier),
        None => builder.with_no_client_auth(),
    };
    let certificates = certificates(&options.cert_file)?;
    let key = PrivateKeyDer::from_pem_slice(read_secret_file(&options.key_file)?.as_bytes())
        .map_err(|_| format!("{} holds no private key in PEM", options.key_file.display()))?;
    let mut config = builder
        .with_single_cert(certificates, key)
        .map_err(|error| format!("{} does not go with its key: {error}", options.cert_file.display()))?;
    // HTTP/2 is not offered, see `connection.rs`.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let bytes = std::fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    let certificates = CertificateDer::pem_slice_iter(&bytes).collect::<Result<Vec<_>, _>>();
    match certificates {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        _ => Err(format!("{} holds no certificate in PEM", path.display())),
    }
}

fn client_verifier(
    options: &TlsOptions,
    provider: &Arc<CryptoProvider>,
) -> Result<Option<Arc<dyn ClientCertVerifier>>, String> {
    let file = match (options.client_auth_type, &options.client_ca_file) {
        (ClientAuth::NoClientCert, None) if options.client_allowed_sans.is_empty() => return Ok(None),
        (ClientAuth::NoClientCert, _) => {
            return Err("client_ca_file and client_allowed_sans mean nothing with client_auth_type NoClientCert: use \
                        RequireAndVerifyClientCert"
                .into());
        }
        (_, None) => return Err("client_auth_type needs client_ca_file, the authorities of the clients".into()),
        (_, Some(file)) => file,
    };
    let mut roots = RootCertStore::empty();
    for certificate in certificates(file)? {
        roots.add(certificate).map_err(|error| format!("{}: {error}", file.display()))?;
    }
    let mut builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
    if options.client_auth_type == ClientAuth::VerifyClientCertIfGiven {
        builder = builder.allow_unauthenticated();
    }
    let verifier = builder.build().map_err(|error| format!("{}: {error}", file.display()))?;
    let names = options.client_allowed_sans.iter().map(|name| {
        ServerName::try_from(name.clone())
            .map_err(|_| format!("client_allowed_sans: '{name}' is neither a DNS name nor an address"))
    });
    let names = names.collect::<Result<Vec<_>, _>>()?;
    Ok(Some(if names.is_empty() { verifier } else { Arc::new(NamedClients { verifier, names }) }))
}

/// Takes the certificates that another verifier takes, when they bear one of some names.
#[derive(Debug)]
struct NamedClients {
    verifier: Arc<dyn ClientCertVerifier>,
    names: Vec<ServerName<'static>>,
}

impl ClientCertVerifier for NamedClients {
    fn offer_client_auth(&self) -> bool {
        self.verifier.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.verifier.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.verifier.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, TlsError> {
        let verified = self.verifier.verify_client_cert(end_entity, intermediates, now)?;
        let certificate = ParsedCertificate::try_from(end_entity)?;
        if self.names.iter().any(|name| verify_server_name(&certificate, name).is_ok()) {
            Ok(verified)
        } else {
            Err(TlsError::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        self.verifier.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        self.verifier.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}
