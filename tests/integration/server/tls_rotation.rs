//! Certificates and credentials that are exchanged while clients write: no request fails, and new connections see the new
//! ones.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use lynxstore::server::{ServerOptions, hash_token};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::client::TestServer;
use super::tls::{Authority, Files, write_secret};

/// How often everything is exchanged.
const ROTATIONS: usize = 6;

type TlsStream = StreamOwned<ClientConnection, TcpStream>;

/// What clients know of the server.
struct Site {
    server: TestServer,
    client: Arc<ClientConfig>,
}

impl Site {
    fn connect(&self) -> TlsStream {
        let connection = ClientConnection::new(Arc::clone(&self.client), "localhost".try_into().unwrap()).unwrap();
        let socket = TcpStream::connect(self.server.address()).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        StreamOwned::new(connection, socket)
    }

    /// The certificate that a new connection sees, and the status that a write gets with a token.
    fn probe(&self, token: &str) -> (CertificateDer<'static>, String) {
        let mut stream = self.connect();
        let status = write(&mut stream, token, "m,client=probe v=1 1\n");
        (stream.conn.peer_certificates().unwrap()[0].clone().into_owned(), status)
    }
}

/// Writes a body of line protocol over a connection that stays open; the first line of the answer.
fn write(stream: &mut TlsStream, token: &str, body: &str) -> String {
    let len = body.len();
    let head = format!("POST /write HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\n");
    stream.write_all(format!("{head}content-length: {len}\r\n\r\n{body}").as_bytes()).unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        let read = stream.read(&mut byte).unwrap();
        assert_eq!(read, 1, "the connection ended within an answer: {}", String::from_utf8_lossy(&answer));
        answer.push(byte[0]);
    }
    String::from_utf8(answer).unwrap().lines().next().unwrap().to_owned()
}

fn token(generation: usize) -> String {
    format!("token-of-generation-{generation}-which-is-long-enough")
}

/// A file that lets in the tokens of a generation and of the one before.
fn put_credentials(path: &Path, generation: usize) {
    let users = [generation.saturating_sub(1), generation].map(|generation| {
        let hash = hash_token(&token(generation));
        format!("[[users]]\nname = \"writer-{generation}\"\ntoken_sha256 = \"{hash}\"\nroles = [\"write\"]\n")
    });
    let users = if generation == 0 { users[1].clone() } else { users.concat() };
    write_secret(path, &users);
}

/// Lets the clients end, whatever happens to the thread that waits for them.
struct EndOnDrop<'a>(&'a AtomicBool);

impl Drop for EndOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

const NO_CONTENT: &str = "HTTP/1.1 204 No Content";

#[test]
fn certificates_and_credentials_are_exchanged_while_clients_write_and_no_request_fails() {
    let authority = Authority::new();
    let mut certified = authority.certify("localhost");
    let files = Files::new(&certified, &authority);
    let credentials = files.path("credentials.toml");
    put_credentials(&credentials, 0);
    let server = TestServer::start_with(ServerOptions {
        tls: Some(files.options()),
        credentials_file: Some(credentials.clone()),
        reload_interval: Duration::from_millis(20),
        ..ServerOptions::default()
    });
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.pem().as_bytes()).unwrap()).unwrap();
    let client = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let site = Site { server, client: Arc::new(client) };

    // The newest generation that is in force, and for each client the one that it last wrote with.
    let (newest, is_over) = (AtomicUsize::new(0), AtomicBool::new(false));
    let used: [AtomicUsize; 4] = std::array::from_fn(|_| AtomicUsize::new(0));
    let written: usize = std::thread::scope(|scope| {
        let clients: Vec<_> = used
            .iter()
            .enumerate()
            .map(|(number, used)| {
                let (site, newest, is_over) = (&site, &newest, &is_over);
                scope.spawn(move || {
                    let mut stream = site.connect();
                    let mut count = 0;
                    while !is_over.load(Ordering::Acquire) {
                        // Half of the clients keep their connection throughout, the others come anew each time.
                        if number % 2 == 0 && count > 0 {
                            stream = site.connect();
                        }
                        let generation = newest.load(Ordering::Acquire);
                        count += 1;
                        let answer =
                            write(&mut stream, &token(generation), &format!("m,client={number} v=1 {count}\n"));
                        assert_eq!(answer, NO_CONTENT, "client {number}, request {count}, generation {generation}");
                        used.store(generation, Ordering::Release);
                    }
                    count
                })
            })
            .collect();
        let end = EndOnDrop(&is_over);
        // A client that failed would be waited for without end.
        let is_fine = || clients.iter().all(|client| !client.is_finished());
        for generation in 1..=ROTATIONS {
            certified = authority.certify("localhost");
            files.put(&certified);
            put_credentials(&credentials, generation);
            let expected = CertificateDer::from_pem_slice(certified.certificate.as_bytes()).unwrap();
            let (mut seen, mut status) = site.probe(&token(generation));
            for _ in 0..3_000 {
                if !is_fine() || (seen == expected && status == NO_CONTENT) {
                    break;
                }
                std::thread::sleep(Duration::from_millis(5));
                (seen, status) = site.probe(&token(generation));
            }
            assert!(seen == expected, "generation {generation}: the certificate is not served");
            assert_eq!(status, NO_CONTENT, "generation {generation}: the token is not taken");
            newest.store(generation, Ordering::Release);
            while is_fine() && used.iter().any(|used| used.load(Ordering::Acquire) < generation) {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        drop(end);
        clients.into_iter().map(|client| client.join().expect("every request of a client is answered with 204")).sum()
    });
    assert_eq!(newest.into_inner(), ROTATIONS);
    let (_, refused) = site.probe(&token(ROTATIONS - 2));
    assert!(refused.starts_with("HTTP/1.1 401"), "a token of before: {refused}");
    let rows = site.server.database.query("SELECT count(*) FROM m WHERE client <> 'probe'").unwrap();
    let count = rows.batches[0].column(0).as_primitive::<Int64Type>().value(0);
    assert_eq!(count as usize, written);
}
