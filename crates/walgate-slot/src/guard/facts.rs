//! What the rules judge.

use std::time::{Duration, Instant};

use crate::cause::{Cause, Culprit};
use crate::forecast::{Forecast, Limit, TimeLeft};
use crate::history::Lag;
use crate::observation::{Observation, Slot};
use crate::words::{bytes, duration};

/// Everything that is known at one moment. What is not known is none.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Facts {
    /// The name of our slot.
    pub slot: String,
    /// Changes flow, or would if there were any; none while that is not decided yet.
    pub streaming: Option<bool>,
    /// For how long no look at the server has succeeded.
    pub blind_for: Option<Duration>,
    /// Why there is no look.
    pub blind_because: Option<String>,
    /// What the last look has found; none when that is not of now.
    pub seen: Option<SlotFacts>,
    /// When that look was: judged a second time, it is not a second look. None is now.
    pub looked_at: Option<Instant>,
    /// For how long the server has said nothing over the replication connection; zero while another
    /// instance has the slot.
    pub silent_for: Option<Duration>,
    /// The heartbeat; none when none is to be written.
    pub heartbeat: Option<HeartbeatFacts>,
    /// The sinks.
    pub sinks: Vec<SinkFacts>,
    /// The journal on disk; none without one.
    pub journal: Option<JournalFacts>,
    /// The journal has not begun yet: what it holds is not known.
    pub journal_opens: bool,
    /// Gaps that were declared since the start.
    pub gaps: Option<u64>,
    /// Tables that are configured and not published any more.
    pub missing_tables: Option<u64>,
}

/// How the heartbeat does.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HeartbeatFacts {
    /// For how long one should have come back; zero while none should, none while nothing is read
    /// anyway.
    pub late_for: Option<Duration>,
    /// What keeps it from being written.
    pub kept_by: Option<String>,
}

/// A disk is not full of less: so much log stays on it anyway, by the default of `max_wal_size`.
const FILLS_A_DISK: u64 = 1 << 30;

/// How far a slot is on its way to the end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// Within `max_wal_size`.
    #[default]
    Reserved,
    /// Beyond it, and kept.
    Extended,
    /// The next checkpoint may remove what it needs.
    Unreserved,
    /// It can't be read any more, or is not there.
    Lost,
}

/// What a look has found of our slot.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct SlotFacts {
    /// Bytes of log that it holds back.
    pub retained_bytes: Option<u64>,
    /// Bytes until the nearest limit; none without a limit.
    pub headroom_bytes: Option<u64>,
    /// Which limit that is.
    pub limit: Option<&'static str>,
    /// How old the oldest change is that we have not confirmed; zero for a source that is idle.
    pub lag: Option<Duration>,
    /// How long the headroom lasts at the present trend. [`Duration::MAX`] is for ever.
    pub time_left: Option<Duration>,
    /// The forecast, in words.
    pub forecast: Option<String>,
    /// For how long nobody has used it; zero while somebody does.
    pub inactive_for: Option<Duration>,
    /// How near it is to being lost.
    pub stage: Option<Stage>,
    /// Why it is lost, in PostgreSQL's word.
    pub lost: Option<String>,
    /// Transactions since the oldest whose catalog rows it keeps.
    pub catalog_xmin_age: Option<i64>,
    /// Commits wait for us.
    pub synchronous: Option<bool>,
    /// Slots of others that hold back log and that nobody uses.
    pub orphans: Vec<Orphan>,
    /// Why log is held back, in one sentence.
    pub culprit: Option<String>,
    /// What to do about it.
    pub fix: Option<String>,
}

/// A slot of somebody else that was left behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Orphan {
    /// Its name.
    pub slot: String,
    /// Bytes that it holds back.
    pub retained_bytes: u64,
}

/// How a sink is doing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SinkFacts {
    /// Its name.
    pub name: String,
    /// The slot waits for it.
    pub required: bool,
    /// For how long it has been down; zero while it is not.
    pub down_for: Option<Duration>,
    /// Its last error.
    pub last_error: Option<String>,
    /// Attempts that have failed since the start.
    pub failures: u64,
    /// Events that went to the dead letters since the start.
    pub dead_letters: u64,
    /// Gaps of its own since the start: changes that it alone has lost.
    pub gaps: u64,
    /// Bytes of log that were received and are not delivered.
    pub backlog_bytes: Option<u64>,
}

/// How full the journal on disk is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JournalFacts {
    /// What the sink that is furthest behind keeps in it, in bytes.
    pub held_bytes: u64,
    /// What it may take.
    pub budget_bytes: u64,
    /// It takes no more.
    pub full: bool,
    /// Who holds it, furthest behind first.
    pub held_by: Vec<String>,
}

/// What has been concluded of our slot at the same look.
#[derive(Debug, Clone, Copy)]
pub struct Concluded<'a> {
    /// What becomes of it.
    pub forecast: &'a Forecast,
    /// Why it holds back log.
    pub culprit: &'a Culprit,
    /// How old the oldest change is that is not confirmed.
    pub lag: Option<Lag>,
    /// For how long nobody has used it.
    pub unused: Option<Duration>,
}

impl SlotFacts {
    /// From a look at a slot of this name; none has been concluded of one that is not there.
    #[must_use]
    pub fn of(
        seen: &Observation,
        name: &str,
        concluded: Option<Concluded<'_>>,
        orphans: Vec<Orphan>,
    ) -> Self {
        let Some((slot, concluded)) = seen.slot(name).zip(concluded) else {
            return Self {
                orphans,
                ..Self::default()
            };
        };
        let Concluded {
            forecast, culprit, ..
        } = concluded;
        let idle = matches!(culprit.cause, Cause::Nothing);
        let unused = concluded.unused.filter(|_| !slot.active);
        Self {
            retained_bytes: seen.retained_bytes(slot).or(Some(0)),
            headroom_bytes: forecast.headroom.map(|headroom| headroom.bytes),
            limit: forecast.headroom.map(|headroom| limit(headroom.limit)),
            lag: concluded.lag.map(age),
            time_left: time_left(forecast, idle),
            forecast: Some(in_words(forecast)),
            inactive_for: unused.or_else(|| slot.active.then_some(Duration::ZERO)),
            stage: stage(slot),
            lost: slot.lost().map(str::to_owned),
            catalog_xmin_age: slot.catalog_xmin_age,
            synchronous: seen.walsender(slot).map(|sender| {
                let state = sender.sync_state.as_deref();
                matches!(state, Some("sync" | "quorum"))
            }),
            orphans,
            culprit: culprit.sentence(),
            fix: culprit.fix(),
        }
    }

    /// The slot is gone: there was one, and the server does not have it any more.
    #[must_use]
    pub fn gone(mut self) -> Self {
        self.stage = Some(Stage::Lost);
        self.lost = Some("there is no such slot".to_owned());
        self
    }

    /// What it holds back is what comes near to the limit, so that it would help to let it go. A lost
    /// slot holds back nothing, and a disk may be full of something else.
    #[must_use]
    pub fn is_the_reason(&self) -> bool {
        let little = self.retained_bytes.unwrap_or(0) < FILLS_A_DISK;
        let by_others = self.limit == Some(limit(Limit::Disk)) && little;
        self.stage != Some(Stage::Lost) && !by_others
    }

    /// What is left of all that there is, in percent: 100 when nothing is held back, 0 at the limit.
    #[must_use]
    pub fn headroom_percent(&self) -> Option<f64> {
        let (headroom, retained) = (self.headroom_bytes?, self.retained_bytes?);
        #[expect(clippy::cast_precision_loss, reason = "a share")]
        let (headroom, retained) = (headroom as f64, retained as f64);
        let all = headroom + retained;
        Some(if all > 0.0 {
            headroom * 100.0 / all
        } else {
            0.0
        })
    }
}

const fn age(lag: Lag) -> Duration {
    match lag {
        Lag::None => Duration::ZERO,
        Lag::About(age) | Lag::AtLeast(age) => age,
    }
}

const fn limit(limit: Limit) -> &'static str {
    match limit {
        Limit::KeepSize => "max_slot_wal_keep_size",
        Limit::Budget => "the budget",
        Limit::Disk => "the disk",
    }
}

/// What always waits grows steeply for a moment after every pause, and is no trend.
fn time_left(forecast: &Forecast, idle: bool) -> Option<Duration> {
    let at_trend = match forecast.at_trend {
        _ if idle => Some(Duration::MAX),
        TimeLeft::In(time) => Some(time),
        TimeLeft::Never => Some(Duration::MAX),
        TimeLeft::NoLimit | TimeLeft::Unknown => None,
    };
    match (at_trend, forecast.idle_left) {
        (Some(one), Some(two)) => Some(one.min(two)),
        (one, two) => one.or(two),
    }
}

fn in_words(forecast: &Forecast) -> String {
    let Some(headroom) = forecast.headroom else {
        return "no limit is known: the disk of the server is the only one".to_owned();
    };
    let left = |time: TimeLeft| match time {
        TimeLeft::In(time) => duration(time),
        TimeLeft::Never => "for ever, as things go".to_owned(),
        TimeLeft::NoLimit | TimeLeft::Unknown => "unknown".to_owned(),
    };
    format!(
        "{} left until {}; at the present trend: {}; if the consumer stopped now: {}; bursts above \
         any rate seen are excluded",
        bytes(headroom.bytes),
        limit(headroom.limit),
        left(forecast.at_trend),
        left(forecast.if_stopped),
    )
}

fn stage(slot: &Slot) -> Option<Stage> {
    if slot.lost().is_some() {
        return Some(Stage::Lost);
    }
    match slot.wal_status.as_deref()? {
        "reserved" => Some(Stage::Reserved),
        "extended" => Some(Stage::Extended),
        "unreserved" => Some(Stage::Unreserved),
        "lost" => Some(Stage::Lost),
        _ => None,
    }
}
