//! What this process knows of itself.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Instant, SystemTime};

use walgate_core::Lsn;
use walgate_journal::{Journal, JournalStats};
use walgate_pipeline::{Demand, SinkStatus, StatusHandle};
use walgate_replication::{HeartbeatState, SourceCounters, SourceMonitor, SourceState};
use walgate_sink_websocket::{PushMonitor, PushStats};
use walgate_slot::{History, Lag};
use walgate_source_kafka::{GatewayMonitor, GatewayStats};

use super::Pulse;
use crate::config::{Config, Destination};

/// The parts of a service as they come into being. Cheap to clone: all clones are the same process.
#[derive(Debug, Clone)]
pub(crate) struct Instance(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    started: SystemTime,
    slot: String,
    /// What is fsynced here is confirmed, whatever the sinks have.
    confirms: bool,
    /// Heartbeats are to be written.
    beats: bool,
    /// The sinks of the configuration, before they are made.
    configured: Vec<SinkStatus>,
    source: SourceMonitor,
    sinks: OnceLock<Vec<StatusHandle>>,
    /// The sinks that clients connect to.
    push_names: Vec<String>,
    pushes: OnceLock<Vec<(String, PushMonitor)>>,
    journal: OnceLock<Journal>,
    state_dir: OnceLock<PathBuf>,
    /// Where the log comes from a topic instead of a slot.
    gateway: OnceLock<GatewayMonitor>,
    stopping: AtomicBool,
    gaps: AtomicU64,
    shown: Mutex<Shown>,
    pulse: Pulse,
}

/// What the guard wants to have shown.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Shown {
    /// 0 ok, 1 warning, 2 critical, 3 emergency; none while it is not known.
    pub(crate) level: Option<u8>,
    /// What fires now.
    pub(crate) firing: Vec<Firing>,
    /// Notifications by channel and result (`sent`, `failed`, …); they only grow.
    pub(crate) notifications: BTreeMap<(String, &'static str), u64>,
}

/// An alert that fires.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Firing {
    /// The rule's name.
    pub(crate) rule: String,
    /// `warning`, `critical` or `emergency`.
    pub(crate) severity: &'static str,
    /// What it is about, where a rule can fire several times: a slot, a sink.
    pub(crate) about: Option<String>,
    pub(crate) since: SystemTime,
    /// In one sentence.
    pub(crate) summary: String,
}

/// The process at one moment.
#[derive(Debug, Clone)]
pub(crate) struct Moment {
    pub(crate) at: Instant,
    pub(crate) time: SystemTime,
    pub(crate) started: SystemTime,
    /// The configured slot.
    pub(crate) slot: String,
    /// What is fsynced here is confirmed, whatever the sinks have.
    pub(crate) confirms: bool,
    pub(crate) source: SourceState,
    pub(crate) counters: SourceCounters,
    /// None where none is to be written.
    pub(crate) heartbeat: Option<HeartbeatState>,
    pub(crate) sinks: Vec<SinkSight>,
    /// Those that clients connect to, by name.
    pub(crate) pushes: Vec<(String, PushStats)>,
    /// What reads the topic, where that takes the place of a slot.
    pub(crate) gateway: Option<GatewayStats>,
    /// None before it has begun.
    pub(crate) journal: Option<JournalStats>,
    pub(crate) stopping: bool,
    /// Gaps that were announced in this life.
    pub(crate) gaps: u64,
    pub(crate) shown: Shown,
}

impl Moment {
    /// Nothing more is read, because the journal has no room: that the server is not heard is no
    /// fault of its own.
    pub(crate) fn is_held_back(&self) -> bool {
        self.journal
            .as_ref()
            .is_some_and(|journal| journal.held_back)
    }

    /// What the required sink that is furthest behind keeps in the journal on disk, in bytes: what is
    /// kept for replay gives way. None without one.
    pub(crate) fn journal_held_bytes(&self) -> Option<u64> {
        let journal = self.journal.as_ref().filter(|it| it.disk.is_some())?;
        let readers = journal.readers.iter();
        let required = readers.filter(|reader| reader.demand == Demand::Required);
        let held = required.map(|reader| reader.behind_disk_bytes);
        Some(held.max().unwrap_or(0))
    }

    /// Since when a heartbeat should have come back; none while nothing is read anyway.
    pub(crate) fn heartbeat_due(&self) -> Option<Instant> {
        let heartbeat = self.heartbeat.as_ref()?;
        heartbeat.due.filter(|_| !self.is_held_back())
    }
}

/// A sink at one moment.
#[derive(Debug, Clone)]
pub(crate) struct SinkSight {
    pub(crate) status: SinkStatus,
    /// Whether the journal holds anything that it has not delivered; none before it has begun.
    pub(crate) undelivered: Option<bool>,
    /// Log that was received and not delivered; none before it has begun. 0 when nothing that it
    /// would be given is in it.
    pub(crate) backlog_bytes: Option<u64>,
    /// How long ago the oldest log that it has not delivered was written; none when nothing is
    /// undelivered, or it was written after the last look at the server.
    pub(crate) oldest: Option<Lag>,
}

impl SinkSight {
    /// Whether the slot waits for it.
    pub(crate) fn is_required(&self) -> bool {
        self.status.demand == Demand::Required
    }
}

impl Instance {
    /// Before anything of it is there.
    pub(crate) fn new(config: &Config, source: SourceMonitor) -> Self {
        let configured = config.sinks.iter().map(|(name, sink)| {
            let demand = if sink.required {
                Demand::Required
            } else {
                Demand::Optional
            };
            SinkStatus::starting(name, demand)
        });
        let sinks = config.sinks.iter();
        let pushes =
            sinks.filter(|(_, sink)| matches!(sink.destination, Destination::Websocket(_)));
        Self(Arc::new(Shared {
            started: SystemTime::now(),
            slot: config.source.slot.as_str().to_owned(),
            confirms: config.journal.confirms(),
            beats: config.source.heartbeat.is_some(),
            configured: configured.collect(),
            source,
            sinks: OnceLock::new(),
            push_names: pushes.map(|(name, _)| name.clone()).collect(),
            pushes: OnceLock::new(),
            journal: OnceLock::new(),
            state_dir: OnceLock::new(),
            gateway: OnceLock::new(),
            stopping: AtomicBool::new(false),
            gaps: AtomicU64::new(0),
            shown: Mutex::default(),
            pulse: Pulse::default(),
        }))
    }

    /// The same, for a process that reads a topic instead of a slot.
    pub(crate) fn of_gateway(self, monitor: GatewayMonitor) -> Self {
        self.0.gateway.get_or_init(|| monitor);
        self
    }

    /// The state directory is this process's from now on.
    pub(crate) fn owns(&self, state_dir: &Path) {
        self.0.state_dir.get_or_init(|| state_dir.to_owned());
    }

    /// The state directory, once it is this process's.
    pub(crate) fn state_dir(&self) -> Option<&Path> {
        self.0.state_dir.get().map(PathBuf::as_path)
    }

    /// The sinks are made.
    pub(crate) fn has_sinks(&self, sinks: &[StatusHandle]) {
        self.0.sinks.get_or_init(|| sinks.to_vec());
    }

    /// Clients can connect.
    pub(crate) fn has_pushes(&self, pushes: Vec<(String, PushMonitor)>) {
        self.0.pushes.get_or_init(|| pushes);
    }

    /// The journal has begun.
    pub(crate) fn has_journal(&self, journal: &Journal) {
        self.0.journal.get_or_init(|| journal.clone());
    }

    /// It was asked to stop.
    pub(crate) fn stops(&self) {
        self.0.stopping.store(true, Ordering::Relaxed);
    }

    /// The source has announced a gap.
    pub(crate) fn has_gap(&self) {
        self.0.gaps.fetch_add(1, Ordering::Relaxed);
    }

    /// What the guard wants to have shown from now on.
    pub(crate) fn show(&self, shown: Shown) {
        *self.0.shown.lock().unwrap_or_else(PoisonError::into_inner) = shown;
    }

    /// The loops that have to go round.
    pub(crate) fn pulse(&self) -> &Pulse {
        &self.0.pulse
    }

    /// What the source does.
    pub(crate) fn source(&self) -> &SourceMonitor {
        &self.0.source
    }

    /// The process now. `history` says when log was written.
    pub(crate) fn moment(&self, history: &History) -> Moment {
        let shared = &*self.0;
        let now = Instant::now();
        let counters = shared.source.counters();
        let journal = shared.journal.get().map(Journal::stats);
        let sinks = match shared.sinks.get() {
            Some(handles) => handles.iter().map(StatusHandle::get).collect(),
            None => shared.configured.clone(),
        };
        let received = received(&counters, journal.as_ref());
        let sinks = sinks.into_iter();
        let shown = shared.shown.lock();
        Moment {
            at: now,
            time: SystemTime::now(),
            started: shared.started,
            slot: shared.slot.clone(),
            confirms: shared.confirms,
            source: shared.source.state(),
            heartbeat: shared.beats.then(|| shared.source.heartbeat()),
            sinks: sinks
                .map(|status| sink(status, received, journal.as_ref(), history, now))
                .collect(),
            pushes: shared.pushes(),
            gateway: shared.gateway.get().map(GatewayMonitor::stats),
            counters,
            journal,
            stopping: shared.stopping.load(Ordering::Relaxed),
            gaps: shared.gaps.load(Ordering::Relaxed),
            shown: shown.unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }
}

impl Shared {
    fn pushes(&self) -> Vec<(String, PushStats)> {
        match self.pushes.get() {
            Some(pushes) => pushes
                .iter()
                .map(|(name, push)| (name.clone(), push.stats()))
                .collect(),
            None => {
                let names = self.push_names.iter().cloned();
                names.map(|name| (name, PushStats::default())).collect()
            }
        }
    }
}

/// How far the log was received, also in a life before.
fn received(counters: &SourceCounters, journal: Option<&JournalStats>) -> Lsn {
    let kept = journal.map(|journal| journal.newest.lsn());
    counters.received_lsn.max(kept.unwrap_or_default())
}

fn sink(
    status: SinkStatus,
    received: Lsn,
    journal: Option<&JournalStats>,
    history: &History,
    now: Instant,
) -> SinkSight {
    let reader = journal.and_then(|journal| {
        let mut readers = journal.readers.iter();
        readers.find(|reader| reader.name == status.name)
    });
    let undelivered = reader
        .map(|reader| reader.behind_bytes > 0 || reader.behind_disk_bytes > 0 || !reader.in_memory);
    let behind = undelivered == Some(true) && status.confirmable > Lsn::ZERO;
    let backlog = behind.then(|| received.bytes_since(status.confirmable));
    let oldest = behind.then(|| history.written_behind(status.confirmable, now));
    SinkSight {
        undelivered,
        backlog_bytes: undelivered.map(|_| backlog.unwrap_or(0)),
        oldest: oldest.filter(|lag| *lag != Lag::None),
        status,
    }
}
