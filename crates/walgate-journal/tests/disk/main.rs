//! The journal on disk: readers that lag, what becomes durable, what survives, what a full or
//! failing disk does.
#![expect(clippy::expect_used, reason = "a test that can't go on says so")]

mod bed;
mod damage;
mod lagging;
mod packing;
mod recovery;
mod review_epochs;
mod runs;
mod said;
mod space;
mod streamed;
mod stress;
mod sync;
