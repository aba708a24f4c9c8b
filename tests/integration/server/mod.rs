//! The HTTP server over a real socket: remote write in, SQL out, statuses, limits, shutdown.

mod client;
mod http;
mod message;
mod remote_write;
mod remote_write_v2;
