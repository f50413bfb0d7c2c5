//! Which slot of which server a receiver of ours reads.

use clap::Args;

/// A slot and its publication.
#[derive(Args)]
pub(crate) struct SlotArgs {
    /// The server.
    #[arg(long)]
    pub(crate) url: String,
    /// The slot.
    #[arg(long)]
    pub(crate) slot: String,
    /// The publication.
    #[arg(long)]
    pub(crate) publication: String,
}
