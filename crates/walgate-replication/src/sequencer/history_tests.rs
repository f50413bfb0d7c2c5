//! What is read of a history is the same with and without streaming.

use fastrand::Rng;
use walgate_core::Position;

use super::again::Why;
use super::history::{History, Server, lsn_of};
use super::spool::Spools;
use super::wire::{STREAMING, Wire};
use super::*;
use crate::definition::Facts;

/// One event of a feed: id, message, definitions.
type Event = (Position, FrameKind, Vec<u8>, Vec<Relation>);

/// What a reader makes of a feed: whole transactions, in order.
#[derive(Default)]
struct Feed {
    spools: Spools,
    part: Vec<Event>,
    whole: Vec<Event>,
    unstreamed: u32,
    streamed: u32,
}

impl Feed {
    fn take(&mut self, frames: &Frames) {
        let mut open = frames.open;
        for frame in &frames.frames {
            open = frames.begun(frame).or(open);
            let lsn = match frame.kind {
                FrameKind::Standalone => {
                    // Its own position lies in the message.
                    let one = Frames {
                        frames: vec![*frame],
                        ..frames.clone()
                    };
                    one.last().expect("a position").lsn()
                }
                _ => open.expect("a transaction").commit_lsn,
            };
            let relations: Vec<Relation> = match frame.kind {
                FrameKind::Truncate => {
                    let first = usize::from(frame.relation);
                    let tables = frames.tables_of(frame) as usize;
                    let places = &frames.truncated[first..first + tables];
                    let relation = |place: &u16| (*frames.relations[usize::from(*place)]).clone();
                    places.iter().map(relation).collect()
                }
                FrameKind::Insert => vec![(**frames.relation(frame).expect("known")).clone()],
                _ => Vec::new(),
            };
            let id = Position::new(0, lsn, frame.index);
            let message = frames.message(frame).to_vec();
            self.part.push((id, frame.kind, message, relations));
            if matches!(frame.kind, FrameKind::Commit | FrameKind::Standalone) {
                self.whole.append(&mut self.part);
            }
        }
    }
}

/// Reads a history to its end, over as many connections as it takes.
fn read(rng: &mut Rng, history: &History, streams: bool) -> Feed {
    let mut feed = Feed::default();
    let mut streaming = streams;
    let mut known = KnownRelations::default();
    let mut resume = Lsn(50);
    'connection: loop {
        let dialect = if streaming {
            STREAMING
        } else {
            Dialect::default()
        };
        let mut sequencer = Sequencer::new(dialect, 0, resume, None).with_known(known);
        let mut server = Server::new(streaming, resume.0);
        let mut wire = Wire::default();
        for (at, record) in history.records.iter().enumerate() {
            server.decode(rng, at, record, &mut wire);
            let is_last = at + 1 == history.records.len();
            if !is_last && rng.u32(..3) > 0 {
                continue;
            }
            sequencer.feed(wire.run());
            while let Some(output) = sequencer.next().expect("legal") {
                match output {
                    Output::Frames(frames) => feed.take(&frames),
                    Output::Streamed(streamed) => {
                        if let Some(frames) = feed.spools.take(streamed) {
                            feed.streamed += 1;
                            feed.take(&frames);
                        }
                    }
                    Output::Undefined(definition) => {
                        let primary_key = vec![definition.relation().columns[0].name.clone()];
                        let facts = Facts {
                            primary_key,
                            ..Facts::default()
                        };
                        sequencer.define(definition.with_facts(&facts));
                    }
                    Output::Again(Again::Unstream(unstream)) => {
                        assert!(matches!(unstream.why, Why::WhoseMessage { .. }));
                        feed.unstreamed += 1;
                        streaming = false;
                        known = sequencer.take_known();
                        resume = sequencer.resume();
                        feed.spools.take(Streamed::DiscardAll);
                        feed.part.clear();
                        continue 'connection;
                    }
                    other => panic!("{other:?}"),
                }
            }
            if streams && !is_last && rng.u32(..60) == 0 {
                // The connection breaks.
                known = sequencer.take_known();
                resume = sequencer.resume();
                feed.spools.take(Streamed::DiscardAll);
                feed.part.clear();
                continue 'connection;
            }
        }
        assert!(!sequencer.has_streams(), "everything has ended");
        assert_eq!(feed.spools.len(), 0);
        let last = lsn_of(history.records.len());
        assert!(sequencer.resume() < Lsn(last));
        return feed;
    }
}

#[test]
fn the_fold_of_a_streamed_history_is_the_plain_history() {
    let (mut streamed_ones, mut unstreamed, mut plain_ones) = (0, 0, 0);
    for seed in 0..2000 {
        let mut rng = Rng::with_seed(seed);
        let messages = [0, 1, 10][rng.usize(..3)];
        let history = History::random(&mut rng, 150, messages);
        let plain = read(&mut rng, &history, false);
        let streamed = read(&mut rng, &history, true);
        let differs = plain
            .whole
            .iter()
            .zip(&streamed.whole)
            .position(|(a, b)| a != b);
        if let Some(place) = differs {
            panic!(
                "seed {seed}: {:?} became {:?}",
                plain.whole[place], streamed.whole[place]
            );
        }
        assert_eq!(plain.whole.len(), streamed.whole.len(), "seed {seed}");
        assert!(messages > 0 || streamed.unstreamed == 0, "seed {seed}");
        streamed_ones += streamed.streamed;
        unstreamed += streamed.unstreamed;
        plain_ones += plain.streamed;
    }
    assert!(streamed_ones > 2000, "{streamed_ones}");
    assert!(unstreamed > 100, "{unstreamed}");
    assert_eq!(plain_ones, 0);
}
