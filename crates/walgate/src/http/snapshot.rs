//! What is known, made once for everybody who asks at about the same time.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use axum::body::Bytes;

use crate::metrics::{self, Format};
use crate::status::StatusReport;
use crate::watch::{Sight, readiness};

/// Where the numbers come from.
pub(super) type Look = Arc<dyn Fn() -> Sight + Send + Sync>;

/// So long one answer is good for all: a sight takes locks that the delivery takes too, and a page is
/// some 100 KiB. Far less than any scrape interval, and ten in a second cost nothing.
const GOOD_FOR: Duration = Duration::from_millis(100);

/// Gives the present snapshot; makes a new one when that is too old.
pub(super) struct Snapshots {
    look: Look,
    last: Mutex<Option<Arc<Snapshot>>>,
}

/// A sight, and what was written of it.
pub(super) struct Snapshot {
    made: Instant,
    sight: Sight,
    ready: OnceLock<Result<(), Vec<String>>>,
    prometheus: OnceLock<Bytes>,
    openmetrics: OnceLock<Bytes>,
    status: OnceLock<Bytes>,
}

impl Snapshots {
    pub(super) fn new(look: Look) -> Self {
        Self {
            look,
            last: Mutex::default(),
        }
    }

    pub(super) fn present(&self) -> Arc<Snapshot> {
        // Held while one is made: whoever else asks wants the same.
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(last) = last.as_ref().filter(|last| last.made.elapsed() < GOOD_FOR) {
            return Arc::clone(last);
        }
        let fresh = Arc::new(Snapshot {
            made: Instant::now(),
            sight: (self.look)(),
            ready: OnceLock::new(),
            prometheus: OnceLock::new(),
            openmetrics: OnceLock::new(),
            status: OnceLock::new(),
        });
        *last = Some(Arc::clone(&fresh));
        fresh
    }
}

impl Snapshot {
    /// Whether changes flow, and why not.
    pub(super) fn ready(&self) -> &Result<(), Vec<String>> {
        self.ready.get_or_init(|| readiness(&self.sight))
    }

    /// The page of metrics.
    pub(super) fn metrics(&self, format: Format) -> Bytes {
        let page = match format {
            Format::Prometheus => &self.prometheus,
            Format::OpenMetrics => &self.openmetrics,
        };
        let page = page.get_or_init(|| metrics::page(&self.sight, format).into());
        page.clone()
    }

    /// The status, as JSON.
    pub(super) fn status(&self) -> Bytes {
        let json = || StatusReport::new(&self.sight).json() + "\n";
        self.status.get_or_init(|| json().into()).clone()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use walgate_replication::SourceMonitor;
    use walgate_slot::History;

    use super::*;
    use crate::config::Config;
    use crate::watch::{Instance, Looks};

    #[test]
    fn who_asks_often_makes_nothing_anew_and_what_changes_is_seen() {
        let instance = Instance::new(&Config::default(), SourceMonitor::new());
        let looks = Arc::new(AtomicU64::new(0));
        let (of, counted) = (instance.clone(), Arc::clone(&looks));
        let snapshots = Snapshots::new(Arc::new(move || {
            counted.fetch_add(1, Ordering::Relaxed);
            Sight {
                moment: of.moment(&History::new()),
                looks: Looks::default(),
                view: None,
            }
        }));
        let begin = Instant::now();
        for _ in 0..10_000 {
            let snapshot = snapshots.present();
            assert!(snapshot.ready().is_err());
            assert!(snapshot.metrics(Format::Prometheus).starts_with(b"# HELP"));
            assert!(snapshot.status().starts_with(b"{"));
        }
        let most = begin.elapsed().as_millis() / GOOD_FOR.as_millis() + 1;
        let made = u128::from(looks.load(Ordering::Relaxed));
        assert!((1..=most).contains(&made), "{made} of {most}");

        instance.stops();
        let stops = |snapshot: &Snapshot| {
            let reasons = snapshot.ready().clone().err().unwrap_or_default();
            reasons.contains(&"it stops".to_owned())
        };
        while !stops(&snapshots.present()) {
            assert!(begin.elapsed() < Duration::from_secs(60), "never seen");
            std::thread::sleep(GOOD_FOR / 4);
        }
    }
}
