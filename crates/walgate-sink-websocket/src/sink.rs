//! The sink at the end of the chain: parcels into queues.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use walgate_core::{Batch, Position, Sink, SinkError, Watermark};

use crate::chunk::Chunk;
use crate::close::Close;
use crate::frame::{Carrier, put_event};
use crate::hub::Hub;
use crate::parcel::{InterestId, Part, parts};

/// How long clients may take to be told that the process ends.
const FAREWELL: Duration = Duration::from_secs(1);

/// How often it is looked whether they have been.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// Frames each event once and gives it to those whom it concerns. It delivers to queues, never waits
/// for a client, and never fails.
#[derive(Debug)]
pub struct PushSink {
    hub: Arc<Hub>,
    framing: BTreeMap<(InterestId, bool), Building>,
}

/// A chunk that is being put together.
#[derive(Debug, Default)]
struct Building {
    /// Bytes of the carrier's frames, from the first to one past the last of each run.
    runs: Vec<(usize, usize)>,
    ends: Vec<(Position, usize)>,
    len: usize,
}

impl Building {
    fn push(&mut self, position: Position, (start, end): (usize, usize)) {
        match self.runs.last_mut() {
            Some(last) if last.1 == start => last.1 = end,
            _ => self.runs.push((start, end)),
        }
        self.len += end - start;
        self.ends.push((position, self.len));
    }
}

impl PushSink {
    pub(crate) fn new(hub: Arc<Hub>) -> Self {
        Self {
            hub,
            framing: BTreeMap::new(),
        }
    }

    fn dispatch(&mut self, batch: &Batch) {
        let Some(last) = batch.last() else { return };
        let mut frames = [BytesMut::new(), BytesMut::new()];
        let mut carriers: BTreeMap<InterestId, (bool, bool)> = BTreeMap::new();
        for record in &batch.records {
            for part in parts(batch.slice(record.value)) {
                self.frame(part, &mut frames, &mut carriers);
            }
        }
        let frames = frames.map(|frames| self.hub.weigh(frames));
        let mut chunks = Vec::with_capacity(self.framing.len());
        for ((interest, is_stream), building) in std::mem::take(&mut self.framing) {
            let place = usize::from(is_stream);
            let slices = building
                .runs
                .iter()
                .map(|(start, end)| frames[place].slice(*start..*end));
            let chunk = Chunk::new(slices.collect(), building.ends, frames[place].len());
            let carrier = match is_stream {
                true => Carrier::EventStream,
                false => Carrier::WebSocket,
            };
            chunks.push((interest, carrier, Arc::new(chunk)));
        }
        self.hub.dispatch(&chunks, last);
    }

    /// Frames a form of an event once for each carrier that somebody has who gets it.
    fn frame(
        &mut self,
        part: Part<'_>,
        frames: &mut [BytesMut; 2],
        carriers: &mut BTreeMap<InterestId, (bool, bool)>,
    ) {
        let mut framed: [Option<(usize, usize)>; 2] = [None, None];
        for interest in part.interests() {
            let hub = &self.hub;
            let (socket, stream) = *carriers
                .entry(interest)
                .or_insert_with(|| hub.carriers(interest));
            let wanted = [
                (socket, Carrier::WebSocket, 0),
                (stream, Carrier::EventStream, 1),
            ];
            for (_, carrier, place) in wanted.into_iter().filter(|(wants, _, _)| *wants) {
                let range = *framed[place].get_or_insert_with(|| {
                    let out = &mut frames[place];
                    let start = out.len();
                    put_event(carrier, part.position, part.event, out);
                    (start, out.len())
                });
                let building = self.framing.entry((interest, place == 1)).or_default();
                building.push(part.position, range);
            }
        }
    }
}

impl Sink for PushSink {
    fn delivered(&self) -> Watermark<Position> {
        self.hub.watermark()
    }

    async fn open(&mut self) -> Result<Option<Position>, SinkError> {
        Ok(None)
    }

    async fn write(&mut self, batch: &mut Batch) -> Result<(), SinkError> {
        self.dispatch(batch);
        Ok(())
    }

    async fn flush(&mut self) -> Result<Position, SinkError> {
        Ok(self.hub.dispatched())
    }

    async fn close(&mut self, deadline: Instant) -> Result<(), SinkError> {
        self.hub.close(Close::GoingAway);
        // So that they hear of it before the process has gone. Who does not read is not waited for.
        let deadline = deadline.min(Instant::now() + FAREWELL);
        while self.hub.present() > 0 && Instant::now() < deadline {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        Ok(())
    }
}
