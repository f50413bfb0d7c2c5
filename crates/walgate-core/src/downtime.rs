//! Since when a destination takes nothing.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// Since when a destination takes nothing, shared by the sink that waits this out with whoever looks.
///
/// A sink whose outages are errors has no need of it: the chain knows of those.
#[derive(Debug, Clone, Default)]
pub struct Downtime(Arc<Mutex<Option<Instant>>>);

impl Downtime {
    /// Down since then, or up again.
    pub fn set(&self, since: Option<Instant>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = since;
    }

    /// Since when it is down.
    #[must_use]
    pub fn since(&self) -> Option<Instant> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
