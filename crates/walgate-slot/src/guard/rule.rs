//! The rules, and what they say of themselves.

use std::time::Duration;

use super::level::Thresholds;

/// What is watched. The names are those in alerts, metrics, the configuration and the runbooks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// Our slot holds back many bytes.
    RetainedBytes,
    /// Little is left until the nearest limit.
    Headroom,
    /// What we have not confirmed is old.
    Lag,
    /// The headroom will be used up soon.
    TimeToLimit,
    /// Nobody uses our slot.
    SlotInactive,
    /// Our slot is `extended`, `unreserved`, or lost.
    SlotStatus,
    /// The server says nothing.
    ServerSilent,
    /// What was committed to see whether it arrives does not.
    HeartbeatLate,
    /// A sink takes nothing.
    SinkDown,
    /// A sink fails often.
    ErrorRate,
    /// A sink has not got much of what was received.
    Backlog,
    /// A sink has refused records for good.
    DeadLetters,
    /// Our slot keeps old catalog rows from being cleaned up.
    CatalogXmin,
    /// Slots of others hold back log, and nobody uses them.
    OrphanSlots,
    /// Tables are configured, and not published any more.
    PublicationTables,
    /// Commits wait for us.
    SynchronousStandby,
    /// The journal on disk is nearly full.
    JournalFull,
    /// Changes were lost.
    Gap,
    /// No look at the server succeeds.
    WatchBlind,
    /// The process has ended and needs a human. It is raised at that end, and over when changes flow
    /// again.
    Down,
}

impl Rule {
    /// All of them.
    pub const ALL: [Self; 20] = [
        Self::RetainedBytes,
        Self::Headroom,
        Self::Lag,
        Self::TimeToLimit,
        Self::SlotInactive,
        Self::SlotStatus,
        Self::ServerSilent,
        Self::HeartbeatLate,
        Self::SinkDown,
        Self::ErrorRate,
        Self::Backlog,
        Self::DeadLetters,
        Self::CatalogXmin,
        Self::OrphanSlots,
        Self::PublicationTables,
        Self::SynchronousStandby,
        Self::JournalFull,
        Self::Gap,
        Self::WatchBlind,
        Self::Down,
    ];

    /// The name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::RetainedBytes => "retained_bytes",
            Self::Headroom => "headroom",
            Self::Lag => "lag",
            Self::TimeToLimit => "time_to_limit",
            Self::SlotInactive => "slot_inactive",
            Self::SlotStatus => "slot_status",
            Self::ServerSilent => "server_silent",
            Self::HeartbeatLate => "heartbeat_late",
            Self::SinkDown => "sink_down",
            Self::ErrorRate => "error_rate",
            Self::Backlog => "backlog",
            Self::DeadLetters => "dead_letters",
            Self::CatalogXmin => "catalog_xmin",
            Self::OrphanSlots => "orphan_slots",
            Self::PublicationTables => "publication_tables",
            Self::SynchronousStandby => "synchronous_standby",
            Self::JournalFull => "journal_full",
            Self::Gap => "gap",
            Self::WatchBlind => "watch_blind",
            Self::Down => "down",
        }
    }

    /// The rule of a name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|rule| rule.name() == name)
    }

    /// It is about log that our slot holds back on the server's disk. Policies act on these.
    #[must_use]
    pub const fn is_of_server_disk(self) -> bool {
        matches!(
            self,
            Self::RetainedBytes | Self::Headroom | Self::TimeToLimit
        )
    }

    /// It judges what a look at the server has found.
    pub(super) const fn is_of_look(self) -> bool {
        matches!(
            self,
            Self::RetainedBytes
                | Self::Headroom
                | Self::Lag
                | Self::TimeToLimit
                | Self::SlotInactive
                | Self::SlotStatus
                | Self::CatalogXmin
                | Self::OrphanSlots
                | Self::SynchronousStandby
        )
    }

    /// It is about the journal's disk. Policies that free that act on it.
    #[must_use]
    pub const fn is_of_journal(self) -> bool {
        matches!(self, Self::JournalFull)
    }
}

/// From which values on each rule raises what.
#[derive(Debug, Clone, PartialEq)]
pub struct Rules([Thresholds; Rule::ALL.len()]);

impl Default for Rules {
    fn default() -> Self {
        Self(Rule::ALL.map(shipped))
    }
}

impl Rules {
    /// The thresholds of a rule.
    #[must_use]
    pub fn of(&self, rule: Rule) -> Thresholds {
        let place = Rule::ALL.iter().position(|other| *other == rule);
        let found = place.and_then(|place| self.0.get(place).copied());
        found.unwrap_or_else(|| Thresholds::rising(&[]))
    }

    /// Sets the thresholds of a rule: warning, critical, emergency; without any it is off. Bytes,
    /// seconds, percent, or how many.
    pub fn set(&mut self, rule: Rule, bounds: &[f64]) {
        let lower_is_worse = matches!(rule, Rule::Headroom | Rule::TimeToLimit);
        let place = Rule::ALL.iter().position(|other| *other == rule);
        if let Some(thresholds) = place.and_then(|place| self.0.get_mut(place)) {
            *thresholds = match lower_is_worse {
                true => Thresholds::falling(bounds),
                false => Thresholds::rising(bounds),
            };
        }
    }
}

/// What a rule has when nobody has said anything else. The configuration has the same numbers, with
/// the reasons.
fn shipped(rule: Rule) -> Thresholds {
    const GIB: f64 = (1_u64 << 30) as f64;
    let seconds = |times: &[u64]| -> Vec<f64> {
        let seconds = times.iter().map(|time| Duration::from_secs(*time));
        seconds.map(|time| time.as_secs_f64()).collect()
    };
    match rule {
        Rule::RetainedBytes => Thresholds::rising(&[10.0 * GIB, 50.0 * GIB]),
        Rule::Headroom => Thresholds::falling(&[30.0, 10.0, 3.0]),
        Rule::Lag | Rule::HeartbeatLate | Rule::WatchBlind => {
            Thresholds::rising(&seconds(&[60, 600]))
        }
        Rule::TimeToLimit => Thresholds::falling(&seconds(&[6 * 3600, 3600, 600])),
        Rule::SlotInactive => Thresholds::rising(&seconds(&[300, 1800])),
        Rule::SlotStatus => Thresholds::rising(&[1.0, 2.0, 3.0]),
        Rule::ServerSilent => Thresholds::rising(&seconds(&[60, 300])),
        Rule::SinkDown => Thresholds::rising(&seconds(&[30, 300])),
        Rule::ErrorRate => Thresholds::rising(&[5.0, 50.0]),
        Rule::Backlog => Thresholds::rising(&[GIB, 10.0 * GIB]),
        Rule::DeadLetters => Thresholds::rising(&[1.0, 1000.0]),
        Rule::CatalogXmin => Thresholds::rising(&[1e8, 5e8]),
        Rule::OrphanSlots | Rule::PublicationTables => Thresholds::rising(&[1.0]),
        Rule::SynchronousStandby | Rule::Gap | Rule::Down => Thresholds::rising(&[1.0, 1.0]),
        Rule::JournalFull => Thresholds::rising(&[70.0, 90.0, 100.0]),
    }
}
