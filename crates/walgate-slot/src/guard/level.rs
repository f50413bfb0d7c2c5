//! How bad something is, and from which values on.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How bad it is.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// All is well, as far as is known.
    #[default]
    Ok,
    /// Somebody should look today.
    Warning,
    /// Somebody should look now.
    Critical,
    /// It hurts already, or will within minutes.
    Emergency,
}

impl Level {
    /// All of them, least first.
    pub const ALL: [Self; 4] = [Self::Ok, Self::Warning, Self::Critical, Self::Emergency];

    /// The name in alerts and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Critical => "critical",
            Self::Emergency => "emergency",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// From which values on a level is reached: warning, critical, emergency.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Thresholds {
    bounds: [Option<f64>; 3],
    /// A lower value is worse.
    falling: bool,
}

impl Thresholds {
    /// A higher value is worse: a level is reached at its bound. Levels that are missing are never
    /// reached.
    #[must_use]
    pub fn rising(bounds: &[f64]) -> Self {
        Self::new(bounds, false)
    }

    /// A lower value is worse.
    #[must_use]
    pub fn falling(bounds: &[f64]) -> Self {
        Self::new(bounds, true)
    }

    fn new(bounds: &[f64], falling: bool) -> Self {
        let bound = |place: usize| bounds.get(place).copied();
        Self {
            bounds: [bound(0), bound(1), bound(2)],
            falling,
        }
    }

    /// The same without the levels below this one.
    #[must_use]
    pub const fn from(mut self, least: Level) -> Self {
        let [warning, critical, _] = &mut self.bounds;
        if matches!(least, Level::Critical | Level::Emergency) {
            *warning = None;
        }
        if matches!(least, Level::Emergency) {
            *critical = None;
        }
        self
    }

    /// Nothing is ever reached.
    #[must_use]
    pub fn is_off(&self) -> bool {
        self.bounds.iter().all(Option::is_none)
    }

    /// The bound of a level.
    #[must_use]
    pub fn bound(&self, level: Level) -> Option<f64> {
        let [warning, critical, emergency] = self.bounds;
        match level {
            Level::Ok => None,
            Level::Warning => warning,
            Level::Critical => critical,
            Level::Emergency => emergency,
        }
    }

    /// The level of a value. A number that is none is no level.
    #[must_use]
    pub fn level(&self, value: f64) -> Option<Level> {
        if value.is_nan() {
            return None;
        }
        let reached = |level: &Level| {
            self.bound(*level).is_some_and(|bound| match self.falling {
                true => value <= bound,
                false => value >= bound,
            })
        };
        let reached = Level::ALL.into_iter().rev().find(reached);
        Some(reached.unwrap_or_default())
    }

    /// The level of a value that is worse by this share: what it must be well below to be over.
    #[must_use]
    pub fn level_with_margin(&self, value: f64, share: f64) -> Option<Level> {
        let worse = match self.falling {
            true => value / (1.0 + share),
            false => value * (1.0 + share),
        };
        // Infinity times a share stays what it is, zero as well.
        self.level(worse)
    }
}
