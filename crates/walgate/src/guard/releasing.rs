//! Releasing a sink by policy.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use walgate_core::{Failure, Lsn, StopReason};
use walgate_pipeline::Releases;

use crate::wiring::blocking;

/// How long the state directory's disk is waited for.
const WITHIN: Duration = Duration::from_secs(10);

/// Releases sinks, once there is a pipeline. Cheap to clone: all clones are the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct Releasing(Arc<OnceLock<Releases>>);

impl Releasing {
    /// There is one.
    pub(crate) fn can(&self, releases: Releases) {
        self.0.get_or_init(|| releases);
    }

    /// Releases a sink. Returns up to where it has everything.
    pub(super) async fn release(&self, sink: &str) -> Result<Lsn, Failure> {
        let refused = |why: &str| Failure::new(StopReason::State, why.to_owned());
        let releases = self.0.get().cloned();
        let releases = releases.ok_or_else(|| refused("nothing is delivered yet"))?;
        let sink = sink.to_owned();
        let released = blocking(move || releases.release(&sink));
        let released = tokio::time::timeout(WITHIN, released).await;
        released.unwrap_or_else(|_| Err(refused("the state directory is too slow")))
    }
}
