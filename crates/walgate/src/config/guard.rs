//! `[guard]`: from when on it is bad, and what is done then.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::text::{Refused, TextKind, text_value};
use super::{Period, Size};

/// From when on it is bad, and what is done then. Each rule has up to three thresholds: of warning,
/// critical and emergency; a list that is shorter leaves the upper levels out, an empty one turns the
/// rule off. SIGHUP changes thresholds, `raise_after`, `settle_after` and `hysteresis` while Walgate
/// runs. What the policy does waits for the next start: that changes may be lost is not changed in
/// passing. With new thresholds a step that loses changes waits `effect_after` anew.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(extend("x-reload" = true))]
pub struct Guard {
    /// Write-ahead log that our slot holds back.
    pub retained_bytes: Vec<Size>,
    /// What is left until the nearest limit (`max_slot_wal_keep_size`, `watch.budget`, the disk), in
    /// percent of what there is from nothing held back to the limit.
    #[schemars(inner(range(max = 100)))]
    pub headroom: Vec<u8>,
    /// Age of the oldest change that is not confirmed. An idle source is not behind.
    pub lag: Vec<Period>,
    /// Time until the nearest limit is reached, at the present trend.
    pub time_to_limit: Vec<Period>,
    /// For how long nobody has used our slot.
    pub slot_inactive: Vec<Period>,
    /// Our slot is extended (a warning), unreserved (critical), or lost (an emergency).
    pub slot_status: bool,
    /// For how long the server has said nothing over the replication connection.
    pub server_silent: Vec<Period>,
    /// For how long a heartbeat (`source.heartbeat`) should have come back and has not, or could not
    /// be written.
    pub heartbeat_late: Vec<Period>,
    /// For how long a sink has been failing.
    pub sink_down: Vec<Period>,
    /// How often an attempt of a sink fails: at how many of the looks of the last 5 minutes there was a
    /// new failure, in percent.
    #[schemars(inner(range(min = 1, max = 100)))]
    pub error_rate: Vec<u8>,
    /// Log that was received and that a sink has not got.
    pub backlog: Vec<Size>,
    /// Records that a sink has refused for good within an hour.
    #[schemars(inner(range(min = 1)))]
    pub dead_letters: Vec<u32>,
    /// Transactions since the oldest whose catalog rows our slot keeps from being cleaned up.
    #[schemars(inner(range(min = 1)))]
    pub catalog_xmin: Vec<u32>,
    /// Slots of others that hold back log and that nobody uses: how many.
    #[schemars(inner(range(min = 1)))]
    pub orphan_slots: Vec<u32>,
    /// A configured table is not published any more (a warning).
    pub publication_tables: bool,
    /// Commits on the server wait for us (critical).
    pub synchronous_standby: bool,
    /// What the sink that is furthest behind keeps in the journal on disk, in percent of its budget.
    #[schemars(inner(range(min = 1, max = 100)))]
    pub journal_full: Vec<u8>,
    /// Changes were lost within an hour (critical).
    pub gap: bool,
    /// For how long no look at the server has succeeded.
    pub watch_blind: Vec<Period>,
    /// A threshold counts when it was passed at every look for this long.
    #[schemars(extend("x-min" = "1s", "x-max" = "1h"))]
    pub raise_after: Period,
    /// A level falls when the value was on the good side at every look for this long.
    #[schemars(extend("x-min" = "1s", "x-max" = "1d"))]
    pub settle_after: Period,
    /// How far on the good side, in percent of the threshold.
    #[schemars(range(max = 50))]
    pub hysteresis: u8,
    /// What is done, in this order: "alert" (tell people, as `[alerts]` says), "run" (run
    /// `run_command`), "release-sink NAME" (a required sink becomes optional until the next start, and
    /// loses what nobody keeps for it any more), "drop-slot" (stop, drop our slot, end with exit code
    /// 4). Each but the first acts on `retained_bytes`, `headroom` and `time_to_limit`, and but for
    /// drop-slot on `journal_full`. A step is taken once until all is well again.
    #[schemars(extend("x-reload" = false))]
    pub policy: Vec<PolicyStep>,
    /// The program of "run" and its arguments, run without a shell; what is known is in its environment
    /// (`WALGATE_…`), and as JSON on its standard input.
    #[schemars(length(min = 1), extend("examples" = [["/usr/local/bin/grow-disk", "db1"]]))]
    #[schemars(extend("x-reload" = false))]
    pub run_command: Option<Vec<String>>,
    /// How long it may take before it is killed, with all that it has started.
    #[schemars(extend("x-min" = "1s", "x-max" = "10m"))]
    #[schemars(extend("x-reload" = false))]
    pub run_timeout: Period,
    /// From which level on it is run.
    #[schemars(extend("x-reload" = false))]
    pub run_at: Severity,
    /// From which level on sinks are released.
    #[schemars(extend("x-reload" = false))]
    pub release_at: Severity,
    /// From which level on the slot is dropped.
    #[schemars(extend("x-reload" = false))]
    pub drop_at: Severity,
    /// How long a step that loses changes has to show its effect before the next is taken.
    #[schemars(extend("x-min" = "1s", "x-max" = "1h"))]
    #[schemars(extend("x-reload" = false))]
    pub effect_after: Period,
    /// That changes may be lost: "release-sink" and "drop-slot" need it. Like all of the policy it changes
    /// with the next start only.
    #[schemars(extend("x-reload" = false))]
    pub allow_data_loss: bool,
}

/// How bad something is.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// somebody should look today
    Warning,
    /// somebody should look now
    Critical,
    /// it hurts already, or will within minutes
    Emergency,
}

impl Default for Guard {
    fn default() -> Self {
        let hours = |hours: u64| Period::seconds(hours * 3600);
        let minutes = |minutes: u64| Period::seconds(minutes * 60);
        Self {
            // Disks of small databases have 20 GiB, and 50 GiB take an hour to send.
            retained_bytes: vec![Size::mib(10 << 10), Size::mib(50 << 10)],
            headroom: vec![30, 10, 3],
            lag: vec![minutes(1), minutes(10)],
            // A working day's time to react, an hour, and what a page takes to be read.
            time_to_limit: vec![hours(6), hours(1), minutes(10)],
            // A deployment takes less.
            slot_inactive: vec![minutes(5), minutes(30)],
            slot_status: true,
            // Six intervals of a status.
            server_silent: vec![minutes(1), minutes(5)],
            // As the lag: it waits behind everything that was committed before it.
            heartbeat_late: vec![minutes(1), minutes(10)],
            sink_down: vec![Period::seconds(30), minutes(5)],
            error_rate: vec![5, 50],
            backlog: vec![Size::mib(1 << 10), Size::mib(10 << 10)],
            dead_letters: vec![1, 1000],
            // Half of what starts a vacuum against wraparound, and a quarter of all there is.
            catalog_xmin: vec![100_000_000, 500_000_000],
            orphan_slots: vec![1],
            publication_tables: true,
            synchronous_standby: true,
            journal_full: vec![70, 90, 100],
            gap: true,
            watch_blind: vec![minutes(1), minutes(10)],
            // Three looks.
            raise_after: Period::seconds(10),
            settle_after: minutes(2),
            hysteresis: 10,
            policy: vec![PolicyStep::Alert],
            run_command: None,
            run_timeout: Period::seconds(30),
            run_at: Severity::Critical,
            release_at: Severity::Critical,
            drop_at: Severity::Emergency,
            effect_after: minutes(1),
            allow_data_loss: false,
        }
    }
}

/// A step of the policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PolicyStep {
    /// Tell people.
    Alert,
    /// Run the command.
    Run,
    /// Release this sink.
    ReleaseSink(String),
    /// Drop our slot.
    DropSlot,
}

const RELEASE: &str = "release-sink ";

impl FromStr for PolicyStep {
    type Err = Refused;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const ALLOWED: &str = "write \"alert\", \"run\", \"release-sink NAME\" or \"drop-slot\"";
        match text.trim() {
            "alert" => Ok(Self::Alert),
            "run" => Ok(Self::Run),
            "drop-slot" => Ok(Self::DropSlot),
            step => match step.strip_prefix(RELEASE).map(str::trim) {
                Some(sink) if !sink.is_empty() => Ok(Self::ReleaseSink(sink.to_owned())),
                _ => Err(Refused::new("is no step of a policy", ALLOWED)),
            },
        }
    }
}

impl fmt::Display for PolicyStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Alert => f.write_str("alert"),
            Self::Run => f.write_str("run"),
            Self::ReleaseSink(sink) => write!(f, "{RELEASE}{sink}"),
            Self::DropSlot => f.write_str("drop-slot"),
        }
    }
}

text_value!(
    PolicyStep,
    TextKind::PolicyStep,
    Some(r"^\s*(alert|run|drop-slot|release-sink\s+[A-Za-z0-9_-]+)\s*$")
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_read_as_they_are_printed() {
        for text in ["alert", "run", "drop-slot", "release-sink kafka"] {
            let step = text.parse::<PolicyStep>().map(|step| step.to_string());
            assert_eq!(step, Ok(text.to_owned()));
        }
        for text in ["", "drop", "release-sink", "release-sink ", "alert run"] {
            assert!(text.parse::<PolicyStep>().is_err(), "{text}");
        }
    }
}
