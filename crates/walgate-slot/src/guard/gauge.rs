//! A level that does not flap.

use std::time::{Duration, Instant};

use super::level::{Level, Thresholds};

/// How long something must be seen before it counts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Dwell {
    /// A level must be seen at every look for this long before it is reached.
    pub raise_after: Duration,
    /// A value must be well on the good side for this long before a level falls.
    pub settle_after: Duration,
    /// How far on the good side, as a share of the threshold.
    pub hysteresis: f64,
    /// The longest time between two looks: after a longer one nothing is known of what lies between,
    /// and the time begins anew.
    pub longest_gap: Duration,
}

impl Default for Dwell {
    fn default() -> Self {
        Self {
            raise_after: Duration::from_secs(10),
            settle_after: Duration::from_secs(120),
            hysteresis: 0.1,
            longest_gap: Duration::from_secs(60),
        }
    }
}

/// The level of one value over time.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Gauge {
    level: Level,
    /// Since when at least each level above [`level`](Self::level) was seen at every look.
    rising: [Option<Instant>; 3],
    /// Since when it was on the good side at every look, and the worst that was seen since.
    falling: Option<(Instant, Level)>,
    last: Option<Instant>,
}

impl Gauge {
    /// One that stands at a level from before.
    #[must_use]
    pub fn at(level: Level) -> Self {
        Self {
            level,
            ..Self::default()
        }
    }

    /// The level.
    #[must_use]
    pub const fn level(&self) -> Level {
        self.level
    }

    /// Takes a value, none when it is not known, and returns the level.
    pub fn observe(
        &mut self,
        now: Instant,
        value: Option<f64>,
        thresholds: &Thresholds,
        dwell: Dwell,
    ) -> Level {
        // A look that is not later than the last says nothing about a time in between.
        if self.last.is_some_and(|last| now <= last) {
            return self.level;
        }
        let gap = self.last.map(|last| now.duration_since(last));
        self.last = Some(now);
        if gap.is_some_and(|gap| gap > dwell.longest_gap) {
            self.forget();
        }
        let seen = value.and_then(|value| {
            let level = thresholds.level(value)?;
            Some((
                level,
                thresholds.level_with_margin(value, dwell.hysteresis)?,
            ))
        });
        let Some((level, with_margin)) = seen else {
            self.forget();
            return self.level;
        };
        self.rise(now, level, dwell);
        self.fall(now, with_margin, dwell);
        self.level
    }

    fn rise(&mut self, now: Instant, seen: Level, dwell: Dwell) {
        let levels = [Level::Warning, Level::Critical, Level::Emergency];
        for (level, since) in levels.into_iter().zip(&mut self.rising) {
            if seen < level {
                *since = None;
                continue;
            }
            let since = *since.get_or_insert(now);
            // Once seen is never enough, however short the time is.
            if level > self.level && since < now && now.duration_since(since) >= dwell.raise_after {
                self.level = level;
                self.falling = None;
            }
        }
    }

    fn fall(&mut self, now: Instant, with_margin: Level, dwell: Dwell) {
        if with_margin >= self.level {
            self.falling = None;
            return;
        }
        let (since, worst) = self.falling.unwrap_or((now, with_margin));
        let worst = worst.max(with_margin);
        self.falling = Some((since, worst));
        if since < now && now.duration_since(since) >= dwell.settle_after {
            self.level = worst;
            self.falling = None;
            self.rising = [None; 3];
        }
    }

    fn forget(&mut self) {
        self.rising = [None; 3];
        self.falling = None;
    }
}
