//! What sinks do: read, deliver, go back.

use walgate_core::{Lsn, Position};
use walgate_journal::Demand;
use walgate_journal::storage::Storage;

use crate::world::{World, below};

impl World {
    /// A sink reads some chunks.
    pub(crate) fn read(&mut self) {
        let Some(log) = &self.log else {
            return;
        };
        let place = self.random.usize(0..self.readers.len());
        let Some(reader) = self.readers.get_mut(place) else {
            return;
        };
        let chunks = self.random.usize(1..4);
        for _ in 0..chunks {
            match reader.read(&log.view, &self.model, &mut self.server) {
                Ok(true) => {}
                Ok(false) => break,
                Err(failure) => {
                    // A folder without one segment looks like one that is not mounted.
                    let names = self.disk.list().unwrap_or_default();
                    let empty = !names.iter().any(|name| name.ends_with(".segment"));
                    assert!(
                        self.may_fail || empty,
                        "{} can't read: {failure}, there are {names:?}",
                        reader.name
                    );
                    self.trace.push(format!("{failure}"));
                    break;
                }
            }
        }
        self.trace
            .push(format!("{} reads to {}", reader.name, reader.at));
    }

    /// Reads all there is. Returns where the reader is then.
    pub(crate) fn read_to_end(&mut self, place: usize) -> Position {
        let (Some(log), Some(reader)) = (&self.log, self.readers.get_mut(place)) else {
            return Position::ZERO;
        };
        for _ in 0..100_000 {
            let read = reader.read(&log.view, &self.model, &mut self.server);
            if !read.expect("the disk is sound") {
                return reader.at;
            }
        }
        panic!("reading comes to no end");
    }

    /// A reader's position is in the checkpoint.
    pub(crate) fn release(&mut self) {
        let place = self.random.usize(0..self.readers.len());
        if let Some(reader) = self.readers.get_mut(place) {
            reader.has = reader.has.max(reader.at);
            self.trace
                .push(format!("{} has {}", reader.name, reader.has));
        }
    }

    /// A reader goes back to what it has, or anywhere if it is optional.
    pub(crate) fn rewind(&mut self) {
        let place = self.random.usize(0..self.readers.len());
        let anywhere = Lsn(self.random.u64(0..=self.model.whole.0));
        if let Some(reader) = self.readers.get_mut(place) {
            let to = match reader.demand {
                Demand::Required => reader.has,
                Demand::Optional => below(anywhere),
            };
            reader.rewind(to);
            self.trace
                .push(format!("{} goes back to {to}", reader.name));
        }
    }

    /// A reader begins anew at the number that it is at, as after memory has run out.
    pub(crate) fn reopen_reader(&mut self) {
        let place = self.random.usize(0..self.readers.len());
        if let Some(reader) = self.readers.get_mut(place) {
            reader.reopen();
        }
    }
}
