//! Everything that is known, at one moment.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use walgate_source_kafka::{GatewayState, GatewayStats};

use super::{Moment, View};

/// What is found at a look is news for this many intervals, and never for less than [`FRESH`].
const FRESH_INTERVALS: u32 = 4;

/// A look may take some seconds, and one may fail.
const FRESH: Duration = Duration::from_secs(30);

/// The process and its server.
#[derive(Debug, Clone)]
pub(crate) struct Sight {
    pub(crate) moment: Moment,
    pub(crate) looks: Looks,
    /// The last look that went well.
    pub(crate) view: Option<Arc<View>>,
}

/// How the looks at the server go.
#[derive(Debug, Clone, Default)]
pub(crate) struct Looks {
    pub(crate) interval: Duration,
    /// Attempts.
    pub(crate) total: u64,
    pub(crate) failures: u64,
    /// When the last one went well.
    pub(crate) last: Option<SystemTime>,
    /// How long that took, from the question to the answer.
    pub(crate) seconds: Option<f64>,
    /// Why there is nothing to be seen now.
    pub(crate) blind: Option<Blind>,
}

/// Looks fail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Blind {
    pub(crate) since: Instant,
    /// The last error.
    pub(crate) why: String,
    pub(crate) hint: Option<String>,
}

impl Sight {
    /// What the source does, in one word; `slot_lost` when the server says so, whatever we have
    /// noticed.
    pub(crate) fn source_state(&self) -> &'static str {
        if let Some(gateway) = &self.moment.gateway {
            return of_topic(gateway);
        }
        let ours = self.current().and_then(View::ours);
        match ours.is_some_and(|(slot, _)| slot.lost().is_some()) {
            true => "slot_lost",
            false => self.moment.source.name(),
        }
    }

    /// What the server shows now; none when the last look that went well is too long ago to say.
    pub(crate) fn current(&self) -> Option<&View> {
        let fresh = FRESH.max(self.looks.interval.saturating_mul(FRESH_INTERVALS));
        let view = self.view.as_deref()?;
        let age = self.moment.at.saturating_duration_since(view.at);
        (age <= fresh).then_some(view)
    }
}

/// A topic in the place of a slot: by the same names.
fn of_topic(gateway: &GatewayStats) -> &'static str {
    match (&gateway.down, &gateway.state) {
        (Some(_), _) => "down",
        (None, GatewayState::Beginning { .. } | GatewayState::Filling) => "connecting",
        (None, GatewayState::Live) => "streaming",
    }
}
