//! What may go: by what readers still need, by what replay may keep, by budget and free space.

use walgate_core::{PgMicros, Position};

use super::catalogue::{Catalogue, Segment, SegmentState};
use super::options::LogOptions;
use crate::Demand;
use crate::storage::Space;

/// What a reader needs: everything behind a position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Need {
    /// Its name.
    pub name: String,
    /// Whether the log keeps what it needs.
    pub demand: Demand,
    /// What it needs no more, durably: the checkpoint's position of a sink, not the position that
    /// it has just released, since after a crash it begins again at the checkpoint.
    pub has: Position,
}

/// What is to be done about the size of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retention {
    /// Segments to delete, oldest first: no required reader needs them.
    pub delete: Vec<u64>,
    /// Whether there is room when they are deleted.
    pub room: Room,
}

/// Whether there is room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Room {
    /// There is.
    Free,
    /// The log is at its budget, or the file system at what has to stay free, and nothing more can
    /// be deleted.
    Full {
        /// The required readers that need the oldest segment, those furthest behind first. Empty
        /// when only the active segment is left: others use the space.
        held_by: Vec<String>,
        /// How many bytes there are too many.
        over_bytes: u64,
    },
}

impl Catalogue {
    /// What may be deleted and whether there is room, by the wall clock `now`. `space` is that of
    /// the file system, where it says it. Readers that are optional are never waited for, and need
    /// not be named. A reader that must not lose anything has to be named *before* it begins to
    /// read.
    pub fn retention(
        &self,
        options: &LogOptions,
        now: PgMicros,
        needs: &[Need],
        space: Option<Space>,
    ) -> Retention {
        let segments = self.segments();
        decide(&segments, options, now, needs, space)
    }
}

fn decide(
    segments: &[Segment],
    options: &LogOptions,
    now: PgMicros,
    needs: &[Need],
    space: Option<Space>,
) -> Retention {
    let required = || needs.iter().filter(|need| need.demand == Demand::Required);
    let least = required().map(|need| need.has).min();
    // The oldest segments that nobody needs and that can go: what is kept for replay.
    let replay: Vec<&Segment> = segments
        .iter()
        .zip(segments.iter().skip(1))
        .take_while(|(segment, next)| {
            // The next has to be there after a power cut: numbers go on from it.
            segment.synced >= segment.bytes
                && next.synced > 0
                && least.is_none_or(|least| needed_up_to(segment, next) <= least)
        })
        .map(|(segment, _)| segment)
        .collect();
    let mut replay_bytes: u64 = replay.iter().map(|segment| segment.total_bytes()).sum();
    let mut over_bytes = over(segments, options, space);
    let mut delete = Vec::new();
    for segment in replay {
        let too_old = segment
            .closed
            .is_some_and(|closed| is_older(closed, now, options));
        if replay_bytes <= options.replay_bytes && !too_old && over_bytes == 0 {
            break;
        }
        replay_bytes -= segment.total_bytes();
        over_bytes = over_bytes.saturating_sub(segment.total_bytes());
        delete.push(segment.number);
    }
    let room = match over_bytes {
        0 => Room::Free,
        over_bytes => Room::Full {
            held_by: holders(segments.get(delete.len()), required()),
            over_bytes,
        },
    };
    Retention { delete, room }
}

/// Whoever has everything up to here needs the segment no more. Where the next one begins behind a
/// hole, that is the end of the hole: a reader learns of it by crossing it, and would be told that
/// retention took it if it began there.
fn needed_up_to(segment: &Segment, next: &Segment) -> Position {
    match next.before.epoch() == segment.highest.epoch() {
        true => segment.highest.max(next.before),
        false => segment.highest,
    }
}

/// How many bytes have to go.
fn over(segments: &[Segment], options: &LogOptions, space: Option<Space>) -> u64 {
    let bytes: u64 = segments.iter().map(Segment::total_bytes).sum();
    let over_budget = bytes.saturating_sub(options.budget(space));
    let over_space = space.map_or(0, |space| {
        let keep = space.total / 100 * u64::from(options.keep_free_percent.min(100));
        keep.saturating_sub(space.available)
    });
    over_budget.max(over_space)
}

fn is_older(closed: PgMicros, now: PgMicros, options: &LogOptions) -> bool {
    let age = u64::try_from(now.0.saturating_sub(closed.0)).unwrap_or(0);
    u128::from(age) > options.replay_age.as_micros()
}

fn holders<'a>(oldest: Option<&Segment>, required: impl Iterator<Item = &'a Need>) -> Vec<String> {
    let Some(oldest) = oldest else {
        return Vec::new();
    };
    if oldest.state == SegmentState::Active {
        return Vec::new();
    }
    let mut holders: Vec<&Need> = required.filter(|need| need.has < oldest.highest).collect();
    holders.sort_by_key(|need| need.has);
    holders.into_iter().map(|need| need.name.clone()).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use walgate_core::Lsn;

    use super::*;

    fn at(lsn: u64) -> Position {
        Position::new(0, Lsn(lsn), 0)
    }

    /// Segments of 100 bytes; number n holds what lies in (100 n - 100, 100 n], and was closed at
    /// second n. The last is active.
    fn segments(count: u64) -> Vec<Segment> {
        let segment = |number: u64| Segment {
            number,
            first_entry: number,
            end_entry: number + 1,
            before: at(100 * number - 100),
            highest: at(100 * number),
            whole: at(100 * number),
            created: PgMicros(number as i64 * 1_000_000 - 1_000_000),
            closed: (number < count).then_some(PgMicros(number as i64 * 1_000_000)),
            commit_times: None,
            bytes: 100,
            spool_bytes: 0,
            packed_from: None,
            written: 100,
            synced: 100,
            data_end: 100,
            state: match number < count {
                true => SegmentState::Sealed,
                false => SegmentState::Active,
            },
        };
        (1..=count).map(segment).collect()
    }

    fn options() -> LogOptions {
        LogOptions {
            replay_bytes: 300,
            replay_age: Duration::from_secs(1000),
            budget_bytes: Some(10_000),
            ..LogOptions::default()
        }
    }

    fn need(name: &str, demand: Demand, has: u64) -> Need {
        Need {
            name: name.to_owned(),
            demand,
            has: at(has),
        }
    }

    const NOW: PgMicros = PgMicros(10_000_000);

    #[test]
    fn replay_ends_at_its_bytes() {
        let retention = decide(&segments(8), &options(), NOW, &[], None);
        assert_eq!(retention.delete, [1, 2, 3, 4]);
        assert_eq!(retention.room, Room::Free);
    }

    #[test]
    fn replay_ends_at_its_age() {
        let mut options = options();
        options.replay_bytes = 10_000;
        options.replay_age = Duration::from_secs(7);
        let retention = decide(&segments(8), &options, NOW, &[], None);
        assert_eq!(retention.delete, [1, 2], "closed 9 and 8 seconds ago");
    }

    #[test]
    fn what_a_required_reader_needs_stays_and_is_no_replay() {
        let needs = [
            need("kafka", Demand::Required, 250),
            need("tail", Demand::Optional, 0),
        ];
        let mut options = options();
        options.replay_bytes = 100;
        let retention = decide(&segments(8), &options, NOW, &needs, None);
        assert_eq!(retention.delete, [1], "2 is replay, from 3 on it is needed");
        options.replay_bytes = 0;
        let retention = decide(&segments(8), &options, NOW, &needs, None);
        assert_eq!(retention.delete, [1, 2]);
    }

    #[test]
    fn a_reader_that_has_exactly_a_segment_does_not_hold_it() {
        let mut options = options();
        options.replay_bytes = 0;
        for (has, delete) in [(200, vec![1, 2]), (199, vec![1])] {
            let needs = [need("kafka", Demand::Required, has)];
            let retention = decide(&segments(4), &options, NOW, &needs, None);
            assert_eq!(retention.delete, delete);
        }
    }

    #[test]
    fn replay_gives_way_before_the_budget_is_touched() {
        let mut options = options();
        options.budget_bytes = Some(450);
        let needs = [need("kafka", Demand::Required, 400)];
        let retention = decide(&segments(6), &options, NOW, &needs, None);
        assert_eq!(
            retention.delete,
            [1, 2],
            "150 bytes too many are 2 segments"
        );
    }

    #[test]
    fn at_the_budget_those_who_hold_the_oldest_are_named() {
        let mut options = options();
        options.budget_bytes = Some(350);
        let needs = [
            need("late", Demand::Required, 150),
            need("later", Demand::Required, 120),
            need("good", Demand::Required, 600),
            need("tail", Demand::Optional, 0),
        ];
        let retention = decide(&segments(6), &options, NOW, &needs, None);
        assert_eq!(retention.delete, [1]);
        assert_eq!(
            retention.room,
            Room::Full {
                held_by: vec!["later".to_owned(), "late".to_owned()],
                over_bytes: 150,
            }
        );
    }

    #[test]
    fn a_part_of_the_file_system_stays_free() {
        let space = |available| {
            Some(Space {
                total: 10_000,
                available,
            })
        };
        let free = decide(&segments(4), &options(), NOW, &[], space(1_000));
        assert_eq!((free.delete.len(), free.room), (0, Room::Free));
        let some = decide(&segments(4), &options(), NOW, &[], space(850));
        assert_eq!((some.delete, some.room), (vec![1, 2], Room::Free));
        let others = decide(&segments(4), &options(), NOW, &[], space(0));
        assert_eq!(others.delete, [1, 2, 3], "the active segment stays");
        assert_eq!(
            others.room,
            Room::Full {
                held_by: Vec::new(),
                over_bytes: 700,
            }
        );
    }

    #[test]
    fn the_budget_is_a_part_of_a_small_file_system() {
        let space = Some(Space {
            total: 1 << 30,
            available: 1 << 30,
        });
        assert_eq!(LogOptions::default().budget(space), 512 << 20);
        assert_eq!(LogOptions::default().budget(None), 20 << 30);
    }
}
