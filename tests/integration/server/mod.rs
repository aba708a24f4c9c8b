//! The HTTP server over a real socket: remote write in, SQL out, statuses, limits, shutdown.

mod attacks;
mod auth;
mod client;
mod documentation;
mod http;
mod limits;
mod message;
mod operation;
mod remote_write;
mod remote_write_v2;
mod tls;
