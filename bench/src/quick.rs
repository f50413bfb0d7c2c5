//! Each kind of measurement in miniature, so that none rots: what is delivered is checked, time is not.

use anyhow::Result;

use crate::{all, say};

/// Runs them all.
pub(crate) fn run() -> Result<()> {
    let folder = tempfile::tempdir()?;
    all::in_miniature(&folder.path().join("results"))?;
    say("everything is as it should be");
    Ok(())
}
