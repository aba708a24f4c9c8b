//! TLS and mutual TLS over a real socket, with certificates made for the test.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use lynxstore::server::{ClientAuth, Server, ServerOptions, TlsOptions, TlsVersion};
use lynxstore::{Database, ErrorKind};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion};

use super::client::TestServer;
use crate::support::scratch_dir;

/// An authority that signs certificates.
pub(super) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key, in PEM.
pub(super) struct Certified {
    pub(super) certificate: String,
    pub(super) key: String,
}

impl Authority {
    pub(super) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub(super) fn pem(&self) -> String {
        self.0.pem()
    }

    pub(super) fn certify(&self, name: &str) -> Certified {
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        Certified { certificate: certificate.pem(), key: key.serialize_pem() }
    }
}

pub(super) fn write_secret(path: &Path, text: &str) {
    let new = path.with_extension("new");
    std::fs::write(&new, text).unwrap();
    std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o600)).unwrap();
    std::fs::rename(new, path).unwrap();
}

pub(super) struct Files {
    dir: tempfile::TempDir,
}

impl Files {
    pub(super) fn new(server: &Certified, authority: &Authority) -> Self {
        let files = Self { dir: scratch_dir() };
        files.put(server);
        std::fs::write(files.path("ca.pem"), authority.pem()).unwrap();
        files
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(super) fn put(&self, server: &Certified) {
        write_secret(&self.path("cert.pem"), &server.certificate);
        write_secret(&self.path("key.pem"), &server.key);
    }

    pub(super) fn options(&self) -> TlsOptions {
        TlsOptions {
            cert_file: self.path("cert.pem"),
            key_file: self.path("key.pem"),
            client_auth_type: ClientAuth::NoClientCert,
            client_ca_file: None,
            client_allowed_sans: Vec::new(),
            min_version: TlsVersion::Tls12,
        }
    }

    fn mutual(&self) -> TlsOptions {
        TlsOptions {
            client_auth_type: ClientAuth::RequireAndVerifyClientCert,
            client_ca_file: Some(self.path("ca.pem")),
            ..self.options()
        }
    }
}

fn start(tls: TlsOptions) -> TestServer {
    TestServer::start_with(ServerOptions {
        tls: Some(tls),
        reload_interval: Duration::from_millis(20),
        ..ServerOptions::default()
    })
}

/// The first line of the answer to a request over TLS; an error when there is no connection.
fn ask(
    server: &TestServer,
    authority: &Authority,
    client: Option<&Certified>,
    versions: &[&'static SupportedProtocolVersion],
) -> Result<String, String> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.pem().as_bytes()).unwrap()).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots);
    let config = match client {
        None => builder.with_no_client_auth(),
        Some(client) => builder
            .with_client_auth_cert(
                vec![CertificateDer::from_pem_slice(client.certificate.as_bytes()).unwrap()],
                PrivateKeyDer::from_pem_slice(client.key.as_bytes()).unwrap(),
            )
            .unwrap(),
    };
    let connection = ClientConnection::new(Arc::new(config), "localhost".try_into().unwrap()).unwrap();
    let socket = TcpStream::connect(server.address()).map_err(|error| error.to_string())?;
    socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let mut stream = StreamOwned::new(connection, socket);
    let request = b"GET /-/healthy HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    stream.write_all(request).map_err(|error| error.to_string())?;
    let mut answer = String::new();
    match stream.read_to_string(&mut answer) {
        Err(error) if answer.is_empty() => Err(error.to_string()),
        _ => Ok(answer.lines().next().unwrap_or_default().to_owned()),
    }
}

const BOTH: &[&SupportedProtocolVersion] = &[&TLS12, &TLS13];
const OK: &str = "HTTP/1.1 200 OK";

#[test]
fn requests_come_over_tls_and_plain_ones_do_not() {
    let authority = Authority::new();
    let files = Files::new(&authority.certify("localhost"), &authority);
    let server = start(files.options());
    for versions in [BOTH, &[&TLS12], &[&TLS13]] {
        assert_eq!(ask(&server, &authority, None, versions).as_deref(), Ok(OK));
    }
    // Nobody else's certificate is taken by a client that knows the authority.
    assert!(ask(&server, &Authority::new(), None, BOTH).is_err());
    let mut plain = TcpStream::connect(server.address()).unwrap();
    plain.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    plain.write_all(b"GET /-/healthy HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
}

#[test]
fn the_least_version_is_kept() {
    let authority = Authority::new();
    let files = Files::new(&authority.certify("localhost"), &authority);
    let server = start(TlsOptions { min_version: TlsVersion::Tls13, ..files.options() });
    assert!(ask(&server, &authority, None, &[&TLS12]).is_err());
    assert_eq!(ask(&server, &authority, None, &[&TLS13]).as_deref(), Ok(OK));
}

#[test]
fn clients_need_a_certificate_of_the_authority_and_one_of_the_names() {
    let authority = Authority::new();
    let files = Files::new(&authority.certify("localhost"), &authority);
    let (agent, stranger) = (authority.certify("agent.example"), Authority::new().certify("agent.example"));
    let mutual = start(files.mutual());
    let named = start(TlsOptions { client_allowed_sans: vec!["other.example".into()], ..files.mutual() });
    let optional = start(TlsOptions { client_auth_type: ClientAuth::VerifyClientCertIfGiven, ..files.mutual() });
    for versions in [&[&TLS12][..], &[&TLS13]] {
        assert_eq!(ask(&mutual, &authority, Some(&agent), versions).as_deref(), Ok(OK));
        assert!(ask(&mutual, &authority, None, versions).is_err(), "without a certificate");
        assert!(ask(&mutual, &authority, Some(&stranger), versions).is_err(), "of another authority");
        assert!(ask(&named, &authority, Some(&agent), versions).is_err(), "with another name");
        let other = authority.certify("other.example");
        assert_eq!(ask(&named, &authority, Some(&other), versions).as_deref(), Ok(OK));
        assert_eq!(ask(&optional, &authority, None, versions).as_deref(), Ok(OK));
        assert!(ask(&optional, &authority, Some(&stranger), versions).is_err());
    }
}

#[test]
fn certificates_change_under_the_running_server_and_broken_ones_do_not() {
    let (authority, next) = (Authority::new(), Authority::new());
    let files = Files::new(&authority.certify("localhost"), &authority);
    let server = start(files.options());
    assert_eq!(ask(&server, &authority, None, BOTH).as_deref(), Ok(OK));
    std::fs::write(files.path("cert.pem"), "nothing").unwrap();
    for _ in 0..10 {
        std::thread::sleep(Duration::from_millis(20));
        assert_eq!(ask(&server, &authority, None, BOTH).as_deref(), Ok(OK), "the old one stays");
    }
    files.put(&next.certify("localhost"));
    let changed = (0..500).any(|_| {
        std::thread::sleep(Duration::from_millis(10));
        ask(&server, &next, None, BOTH).as_deref() == Ok(OK)
    });
    assert!(changed, "the new certificate is not served");
    assert!(ask(&server, &authority, None, BOTH).is_err());
}

#[test]
fn options_that_make_no_sense_are_refused_at_the_start() {
    let authority = Authority::new();
    let files = Files::new(&authority.certify("localhost"), &authority);
    let dir = scratch_dir();
    let database = Database::open(dir.path()).unwrap();
    let bind = |listen: [u8; 4], tls: TlsOptions| {
        let options = ServerOptions { listen: (listen, 0).into(), tls: Some(tls), ..ServerOptions::default() };
        Server::bind(database.clone(), options).map(drop).map_err(|error| error.kind())
    };
    assert_eq!(bind([127, 0, 0, 1], files.options()), Ok(()));
    let invalid = Err(ErrorKind::InvalidInput);
    let absent = files.path("absent.pem");
    assert_eq!(bind([127, 0, 0, 1], TlsOptions { cert_file: absent.clone(), ..files.options() }), invalid);
    assert_eq!(bind([127, 0, 0, 1], TlsOptions { key_file: files.path("cert.pem"), ..files.options() }), invalid);
    assert_eq!(bind([127, 0, 0, 1], TlsOptions { client_ca_file: None, ..files.mutual() }), invalid);
    assert_eq!(bind([127, 0, 0, 1], TlsOptions { client_ca_file: Some(absent), ..files.options() }), invalid);
    let sans = vec!["spiffe://x".to_owned()];
    assert_eq!(bind([127, 0, 0, 1], TlsOptions { client_allowed_sans: sans, ..files.mutual() }), invalid);
    // Encryption alone lets everybody in; certificates of clients do not.
    assert_eq!(bind([0, 0, 0, 0], files.options()), invalid);
    assert_eq!(bind([0, 0, 0, 0], files.mutual()), Ok(()));
    std::fs::set_permissions(files.path("key.pem"), std::fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(bind([127, 0, 0, 1], files.options()), invalid, "a key that others can read");
}
