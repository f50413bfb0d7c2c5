//! `walgate follow`: a client of a push server, for a terminal and for scripts.
//!
//! - `follower` makes connections again and again, and decides what an end means.
//! - `line` is one connection, over `websocket` or as an `event_stream`; `said` is what comes on it.
//! - `writer` is a thread that writes: output that nobody reads holds back the reading, not the talking.

mod address;
mod back_off;
mod event_stream;
mod follower;
mod http;
mod line;
mod place;
mod refusal;
mod resume_file;
mod said;
mod tables;
mod token;
mod websocket;
mod writer;

use std::io::Write as _;

use crate::args::FollowArgs;
use crate::ending::Ending;
use crate::entry::Console;
use crate::signals::{Request, Signals};
use crate::wiring::block_on;

use follower::Follower;

/// Writes the events of a push server to stdout.
///
/// # Errors
///
/// When it can't go on without a human.
pub fn follow(args: &FollowArgs, console: &Console) -> Result<(), Ending> {
    if args.list_tables {
        return block_on(async {
            let tables = tables::tables(args).await?;
            let written = std::io::stdout().lock().write_all(tables.as_bytes());
            written.map_err(|error| Ending::of_output(&error))
        });
    }
    block_on(Box::pin(async {
        let mut signals = Signals::new()
            .map_err(|error| Ending::other(format!("can't take over the signals: {error}")))?;
        let (mut follower, writer) = Follower::new(args, console)?;
        let followed = tokio::select! {
            followed = follower.run() => followed,
            () = end_asked(&mut signals) => Ok(()),
        };
        // What was received is written whole; who has no patience asks a second time.
        drop(follower);
        let written = tokio::select! {
            written = writer.finished() => written,
            () = end_asked(&mut signals) => Ok(()),
        };
        // Output that can't be written is why the following has ended, if it is.
        written.and(followed)
    }))
}

async fn end_asked(signals: &mut Signals) {
    while signals.next().await == Request::Reload {}
}
