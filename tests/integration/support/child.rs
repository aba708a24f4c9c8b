//! Child processes that never outlive their test.

use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::Child;

/// Kills its process with SIGKILL when dropped, so that a failing assertion leaves nothing running.
#[derive(Debug)]
pub struct KillOnDrop(pub Child);

impl KillOnDrop {
    /// Kills the process now (SIGKILL) and waits until it is gone.
    pub fn kill(&mut self) {
        // It may have ended by itself already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The `tsq` that this build made.
pub fn tsq_binary() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_tsq"))
}

/// A loopback port that was free a moment ago. Another process could take it before it is used; tests that cannot bear
/// that let the server choose its port.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has a free port");
    listener.local_addr().expect("a bound socket has an address").port()
}
