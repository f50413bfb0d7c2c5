//! What the figures are meant to be, and whether they are.

use crate::cost::figures::BASELINE;
use crate::live::follower::Follower;
use crate::rates::figures::{KAFKA_ALONE, Of};
use crate::results::{Drained, Measured};
use crate::statistics::Estimate;

/// One goal.
pub(crate) enum Goal {
    /// Of a drain.
    Drain {
        work: &'static str,
        contender: &'static str,
        wanted: Wanted,
    },
    /// Of the age of changes at a steady rate: at most so many times that with another contender.
    Age {
        rate: u32,
        contender: &'static str,
        other: &'static str,
        percentile: &'static str,
        bound: f64,
    },
    /// Of the source's CPU: at most so many times that with the bare receiver.
    Source { contender: &'static str, bound: f64 },
}

/// Which figure of a drain, and its bound.
pub(crate) enum Wanted {
    /// Times the rate of another contender, at least.
    RateOver(&'static str, f64),
    /// Times the CPU of another contender, at most.
    CpuOver(&'static str, f64),
    /// CPU-seconds for a million changes, at most.
    Cpu(f64),
    /// MiB of memory, at most.
    Memory(f64),
}

/// Whether a goal is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// All of the interval is.
    Reached,
    /// The interval has both sides.
    Open,
    /// None of the interval is.
    Missed,
    /// A figure that it needs is not there.
    NotMeasured,
}

/// What was measured of a goal.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Figure {
    /// A figure.
    Of(Estimate),
    /// Who is to be compared can't be: a rate that is not held has no percentiles.
    NotHeld,
    /// Nothing.
    None,
}

const TAIL: &str = "walgate tail";
const BINARY: &str = "walgate run, binary";
const KAFKA: &str = "walgate run into kafka";

/// The goals of drains.
const DRAINS: [(&str, &str, Wanted); 16] = [
    ("orders", TAIL, Wanted::RateOver("bare receiver", 0.97)),
    ("orders", TAIL, Wanted::RateOver("pg_recvlogical", 1.12)),
    (
        "orders",
        BINARY,
        Wanted::RateOver("bare receiver, binary", 0.97),
    ),
    ("orders", BINARY, Wanted::RateOver("pg_recvlogical", 1.2)),
    ("orders", TAIL, Wanted::Cpu(0.9)),
    // The journal's ring of 16 MiB, and 32 MiB beside.
    ("orders", TAIL, Wanted::Memory(48.0)),
    ("orders", KAFKA, Wanted::RateOver(TAIL, 0.9)),
    ("orders", KAFKA, Wanted::Cpu(2.0)),
    ("orders", KAFKA, Wanted::Memory(128.0)),
    ("orders", TAIL, Wanted::RateOver("debezium embedded", 4.0)),
    (
        "orders",
        TAIL,
        Wanted::CpuOver("debezium embedded", 1.0 / 30.0),
    ),
    ("orders", TAIL, Wanted::RateOver("go-pq-cdc", 1.0)),
    ("orders", TAIL, Wanted::CpuOver("go-pq-cdc", 1.0)),
    (
        "orders over TLS",
        TAIL,
        Wanted::RateOver("bare receiver", 0.97),
    ),
    ("orders over TLS", TAIL, Wanted::Cpu(1.4)),
    ("tiny", TAIL, Wanted::RateOver("pg_recvlogical", 1.0)),
];

/// The rates that goals are set for.
const RATES: [u32; 3] = [1_000, 10_000, 50_000];

/// All goals, for contenders and works that a run may lack.
pub(crate) fn goals() -> Vec<Goal> {
    let mut goals: Vec<Goal> = DRAINS
        .into_iter()
        .map(|(work, contender, wanted)| Goal::Drain {
            work,
            contender,
            wanted,
        })
        .collect();
    let notify = Follower::Notify.name();
    for rate in RATES {
        let mut age = |contender: Follower, other, percentile, bound| {
            goals.push(Goal::Age {
                rate,
                contender: contender.name(),
                other,
                percentile,
                bound,
            });
        };
        for contender in [Follower::Stdout, Follower::WebSocket] {
            age(contender, notify, "p50", 1.0);
            age(contender, notify, "p99", 1.2);
        }
        age(Follower::Kafka, KAFKA_ALONE, "p50", 2.0);
    }
    goals.push(Goal::Source {
        contender: Follower::Stdout.name(),
        bound: 1.02,
    });
    goals
}

impl Goal {
    /// In words.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Drain {
                work,
                contender,
                wanted,
            } => {
                let wanted = match wanted {
                    Wanted::RateOver(other, bound) => {
                        format!("at least {bound:.2} times the rate of {other}")
                    }
                    Wanted::CpuOver(other, bound) => {
                        format!("at most {bound:.3} times the CPU of {other}")
                    }
                    Wanted::Cpu(bound) => format!("at most {bound:.1} CPU-s a million changes"),
                    Wanted::Memory(bound) => format!("at most {bound:.0} MiB"),
                };
                format!("{work}: {contender} {wanted}")
            }
            Self::Age {
                rate,
                contender,
                other,
                percentile,
                bound,
            } => format!(
                "{rate} changes a second: {percentile} of {contender} at most {bound:.1} times that of {other}"
            ),
            Self::Source { contender, bound } => format!(
                "CPU of the source with {contender} at most {bound:.2} times that with the {BASELINE}"
            ),
        }
    }

    /// What was measured, and whether that reaches it.
    pub(crate) fn judge(&self, measured: &Measured) -> (Figure, Verdict) {
        match self {
            Self::Drain {
                work,
                contender,
                wanted,
            } => {
                let works = measured.drains.iter().flat_map(|own| &own.works);
                let mut works = works.filter(|own| own.work == *work);
                let found = works.find_map(|own| wanted.measured(own, contender));
                found.map_or((Figure::None, Verdict::NotMeasured), |figure| {
                    judged(figure, wanted.is_least(), wanted.bound())
                })
            }
            Self::Age {
                rate,
                contender,
                other,
                percentile,
                bound,
            } => {
                let Some(rates) = &measured.rates else {
                    return (Figure::None, Verdict::NotMeasured);
                };
                let (held, rounds) = rates.held(contender, *rate);
                let (held_beside, rounds_beside) = rates.held(other, *rate);
                let of: Of = match *percentile {
                    "p50" => |own| own.p50_us,
                    _ => |own| own.p99_us,
                };
                match rates.age_over(contender, other, *rate, of) {
                    _ if rounds == 0 || rounds_beside == 0 => (Figure::None, Verdict::NotMeasured),
                    Some(estimate) => judged(estimate, false, *bound),
                    // Who holds a rate that the other does not has no need of a percentile.
                    None if held == rounds && held_beside < rounds_beside => {
                        (Figure::NotHeld, Verdict::Reached)
                    }
                    None => (Figure::NotHeld, Verdict::Missed),
                }
            }
            Self::Source { contender, bound } => {
                let costs = measured.costs.as_ref();
                let over = costs.and_then(|own| own.source_over(contender, BASELINE));
                over.map_or((Figure::None, Verdict::NotMeasured), |estimate| {
                    judged(estimate, false, *bound)
                })
            }
        }
    }
}

/// By the whole interval.
fn judged(estimate: Estimate, is_least: bool, bound: f64) -> (Figure, Verdict) {
    let reaches = |value: f64| {
        if is_least {
            value >= bound
        } else {
            value <= bound
        }
    };
    let verdict = match (reaches(estimate.low), reaches(estimate.high)) {
        (true, true) => Verdict::Reached,
        (false, false) => Verdict::Missed,
        _ => Verdict::Open,
    };
    (Figure::Of(estimate), verdict)
}

impl Wanted {
    const fn is_least(&self) -> bool {
        matches!(self, Self::RateOver(..))
    }

    const fn bound(&self) -> f64 {
        match self {
            Self::RateOver(_, bound)
            | Self::CpuOver(_, bound)
            | Self::Cpu(bound)
            | Self::Memory(bound) => *bound,
        }
    }

    fn measured(&self, work: &Drained, own: &str) -> Option<Estimate> {
        match self {
            Self::RateOver(other, _) => work.rate_over(own, other),
            Self::CpuOver(other, _) => work.cpu_over(own, other),
            Self::Cpu(_) => work.cpu_a_million(own),
            Self::Memory(_) => {
                let peak = work.peak_mebibytes(own)?;
                Some(Estimate {
                    median: peak,
                    low: peak,
                    high: peak,
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rates::figures::tests::{latency, rates};

    fn verdict(own: Option<u64>, other: Option<u64>) -> Verdict {
        let measured = Measured {
            rates: Some(rates(vec![
                latency("own", 1_000, 1, own),
                latency("other", 1_000, 1, other),
            ])),
            ..Measured::default()
        };
        let goal = Goal::Age {
            rate: 1_000,
            contender: "own",
            other: "other",
            percentile: "p50",
            bound: 1.0,
        };
        goal.judge(&measured).1
    }

    #[test]
    fn who_does_not_hold_a_rate_misses_and_who_alone_holds_it_has_reached_the_goal() {
        assert_eq!(verdict(Some(900), Some(1_000)), Verdict::Reached);
        assert_eq!(verdict(Some(1_100), Some(1_000)), Verdict::Missed);
        assert_eq!(verdict(Some(900), None), Verdict::Reached);
        assert_eq!(verdict(None, Some(900)), Verdict::Missed);
        assert_eq!(verdict(None, None), Verdict::Missed);
    }

    #[test]
    fn what_was_not_measured_is_neither_reached_nor_missed() {
        for goal in goals() {
            let judged = goal.judge(&Measured::default());
            assert_eq!(
                judged,
                (Figure::None, Verdict::NotMeasured),
                "{}",
                goal.text()
            );
        }
    }
}
