//! The contract of a source.

use std::future::Future;

use walgate_pgoutput::Xid;

use crate::{Failure, Frames, Gap, StopReason, Streamed};

/// What a source hands over next.
#[derive(Debug, Clone)]
pub enum Feed {
    /// Frames, in the order of the log. After a reconnect they start again at the begin of the
    /// transaction that was cut, with the same positions.
    Frames(Frames),
    /// News of a transaction that runs; only from a source that was asked to stream them.
    Streamed(Streamed),
    /// Changes are lost, and the policy says to go on.
    Gap(Gap),
    /// The source has ended, for example because it was asked to stop at a position.
    End,
}

/// Hands over the log. It reconnects by itself; an error of it needs a human.
pub trait Source: Send {
    /// Waits for the next run of frames. Cancel-safe. While nobody calls it, nothing is read, and
    /// the server is still answered.
    fn next(&mut self) -> impl Future<Output = Result<Feed, Failure>> + Send;

    /// There is no room for a transaction that is streamed, for this reason: every spool is void
    /// ([`Streamed::DiscardAll`] comes next), and the transaction comes after its commit. A source
    /// that [streams nothing](streams_nothing) has no such transaction; one that stands before
    /// another must hand this on.
    ///
    /// # Errors
    ///
    /// When the source is to stop instead.
    fn unstream(&mut self, xid: Xid, why: String) -> Result<(), Failure>;

    /// The timeline that is streamed now, where the source knows it. It may change when the source
    /// has reconnected to a promoted standby; the checkpoint follows it.
    fn timeline(&self) -> Option<u32> {
        None
    }

    /// Ends the replication cleanly: what was confirmed has reached the server when it returns,
    /// if the server could be reached.
    fn close(&mut self) -> impl Future<Output = Result<(), Failure>> + Send;
}

/// What a source that streams nothing says when it is told to send a transaction in another way.
pub fn streams_nothing(xid: Xid, why: &str) -> Failure {
    let message = format!("transaction {xid} is streamed and can't be kept: {why}: this is a bug");
    Failure::new(StopReason::State, message)
}
