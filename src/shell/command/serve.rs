//! `tsq serve`: the HTTP server on a database.

use std::io::{self, Write};
use std::time::Duration;

use crate::server::{Exposure, Server, ServerOptions, shutdown_signal};
use crate::shell::cli::ServeArgs;
use crate::shell::error::{CommandError, Result};
use crate::{Database, Options};

/// A request that waits for memory is answered with 503 after this long: before its sender, which commonly gives up after
/// 30 s, would send it again beside the one that still waits.
const WRITE_DEADLINE: Duration = Duration::from_secs(10);

/// Serves until Ctrl-C or SIGTERM.
pub(super) fn run(args: &ServeArgs) -> Result<()> {
    if !args.listen.ip().is_loopback() && !args.insecure {
        return Err(CommandError::input(format!(
            "{} can be reached from other machines and the server asks for no credentials: \
             listen on 127.0.0.1, or add --insecure",
            args.listen
        )));
    }
    let defaults = ServerOptions::default();
    let options = ServerOptions {
        listen: args.listen,
        exposure: if args.insecure { Exposure::AnyAddress } else { Exposure::LoopbackOnly },
        statement_memory_bytes_max: args
            .limits
            .statement_memory
            .map_or(defaults.statement_memory_bytes_max, |mib| mib << 20),
        statement_time_max: args.limits.statement_timeout.map_or(defaults.statement_time_max, Duration::from_secs),
        ..defaults
    };
    let database = Database::open_with(&args.directory, Options::default().write_deadline(WRITE_DEADLINE))?;
    let server = Server::bind(database, options)?;
    // Nobody may be reading; the server serves all the same.
    let _ = writeln!(
        io::stderr(),
        "Serving {directory} on http://{address}: remote write at /api/v1/write, SQL at /api/v1/sql. Ctrl-C stops it.",
        directory = args.directory.display(),
        address = server.local_addr(),
    );
    Ok(server.run(shutdown_signal())?)
}
