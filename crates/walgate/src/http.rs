//! HTTP: metrics, probes and the state of a service, to read only.
//!
//! It answers from before the slot is opened to the end of the last delivery, and whoever asks delays
//! nothing: connections, sizes and times are bounded, and an answer is made from what is known
//! already. `STATUS.md` and `METRICS.md` beside this crate say what comes.

mod answers;
mod server;
mod snapshot;
mod tls;

pub(crate) use server::HttpServer;
pub(crate) use tls::{TlsFiles, server_tls};

#[cfg(test)]
mod tests;
