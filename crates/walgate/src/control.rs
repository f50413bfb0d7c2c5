//! The control socket: a service that runs is asked something, by `walgate rewind`, `walgate status` or any program of
//! its user.
//!
//! It is a Unix domain socket, `control.sock` in the state directory, for the user of the service
//! (and root) alone. One connection takes one request and gives one answer, each one line of JSON:
//!
//! ```text
//! {"v":1,"command":"rewind","sink":"kafka","to":"0/14A2F60","accept_reorder":true}
//! {"v":1,"ok":true,"rewind":{"id":"20261121T193000Z-3f2a","sink":"kafka","from":"…","delivered":"…"}}
//! {"v":1,"command":"status"}
//! {"v":1,"ok":true,"status":{"version":"0.1.0","healthy":true,…}}
//! {"v":1,"ok":false,"error":{"code":2,"message":"there is no sink kafka","hint":"…"}}
//! ```
//!
//! `code` is the exit code of a command that fails so. A request with another version, an unknown
//! command or an unknown key is refused. Sizes and times are bounded, and nothing that delivers waits
//! for the socket or for who uses it.

mod asking;
mod desk;
mod protocol;
mod server;

pub(crate) use asking::ask;
pub(crate) use desk::{Desk, replay_id};
pub(crate) use protocol::{Command, RewindAsked};
pub(crate) use server::ControlSocket;

use std::path::{Path, PathBuf};

/// The socket of a state directory.
fn socket(state_dir: &Path) -> PathBuf {
    state_dir.join("control.sock")
}

/// Most bytes of a request, which has some hundred: nobody fills memory.
const MAX_LINE_BYTES: u64 = 64 << 10;

/// Most bytes of an answer: a status with fifty slots has 100 KiB.
const MAX_ANSWER_BYTES: u64 = 4 << 20;
