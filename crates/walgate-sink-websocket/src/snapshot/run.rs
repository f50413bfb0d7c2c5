//! One snapshot, for all who wait for the same.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::future::join_all;
use tokio::sync::mpsc::Sender;
use tokio::time::{Instant, sleep, timeout};
use walgate_core::{Body, Change, Encoder, Failure, Lsn, Position, RowKey, Table, Tuple, Xid};

use super::desk::SnapshotDesk;
use super::{
    RowReader, Settling, Snapshot, SnapshotError, SnapshotErrorKind, Snapshots, WantedTables,
    Window,
};
use crate::encoder::PushEncoder;
use crate::frame::{Carrier, put_read};
use crate::history::{Backlog, History, Read};
use crate::interest::Interest;
use crate::parcel::parts;

/// What a piece of rows has, at least but for the last.
const PIECE_BYTES: usize = 64 << 10;

/// A log in memory lets go of what has passed all the time: as often it is tried to hold it at its end.
const HOLDS: usize = 1000;
const HOLD_AGAIN: Duration = Duration::from_millis(2);

/// First and last wait before a snapshot is taken again whose window is too short, or not known.
const AGAIN: Duration = Duration::from_millis(50);
const AGAIN_AT_MOST: Duration = Duration::from_secs(1);

/// What comes of a snapshot.
#[derive(Clone)]
pub(crate) enum Part {
    /// It was taken: read the log from here on.
    Begun(Arc<Window>),
    /// Framed rows.
    Rows(Bytes),
    /// That was all, so many rows.
    Done(u64),
    /// There is none.
    Failed(SnapshotError),
}

/// A snapshot whose turn it is.
pub(super) struct Run {
    pub(super) desk: Arc<SnapshotDesk>,
    pub(super) source: Arc<dyn Snapshots>,
    pub(super) interest: Arc<Interest>,
    pub(super) carrier: Carrier,
}

/// A snapshot whose window is held.
struct Taken {
    snapshot: Box<dyn Snapshot>,
    window: Arc<Window>,
    /// Holds the log from the cursor on while the snapshot is taken.
    _held: Box<dyn Backlog>,
}

impl Run {
    /// Serves those who wait, of whom some may go.
    pub(super) async fn serve(self, readers: &mut Vec<Sender<Part>>) -> Result<(), SnapshotError> {
        let limit = self.desk.limits.time;
        let waiting: Vec<_> = readers.clone();
        let all_gone = join_all(waiting.iter().map(Sender::closed));
        let served = tokio::select! {
            served = timeout(limit, self.serve_all(readers)) => served,
            _ = all_gone => {
                readers.clear();
                return Err(unavailable("nobody waits for it any more"));
            }
        };
        served.unwrap_or_else(|_| {
            let message = format!(
                "the snapshot takes longer than {} s: narrow it with table and where, or raise snapshot_time",
                limit.as_secs_f32()
            );
            Err(SnapshotError::new(SnapshotErrorKind::TooLarge, message))
        })
    }

    async fn serve_all(&self, readers: &mut Vec<Sender<Part>>) -> Result<(), SnapshotError> {
        let Taken {
            mut snapshot,
            window,
            _held,
        } = self.take().await?;
        give(readers, &Part::Begun(Arc::clone(&window))).await;
        let encoder = PushEncoder::for_one((self.desk.encoder)(), &self.interest);
        let mut rows = Rows {
            encoder,
            carrier: self.carrier,
            at: window.from,
            count: 0,
            most: self.desk.limits.rows,
            framed: BytesMut::new(),
            out: BytesMut::new(),
            error: None,
        };
        loop {
            let more = snapshot.next(&mut rows).await?;
            if let Some(error) = rows.error.take() {
                return Err(error);
            }
            if rows.framed.len() >= PIECE_BYTES || !more && !rows.framed.is_empty() {
                give(
                    readers,
                    &Part::Rows(self.desk.hub.weigh(rows.framed.split())),
                )
                .await;
            }
            if !more {
                break;
            }
        }
        // It ends before those who read slowly have all of it.
        drop(snapshot);
        let counters = &self.desk.hub.counters;
        counters
            .snapshot_rows
            .fetch_add(rows.count, Ordering::Relaxed);
        give(readers, &Part::Done(rows.count)).await;
        Ok(())
    }

    /// Takes a snapshot whose window can be read.
    async fn take(&self) -> Result<Taken, SnapshotError> {
        let began = Instant::now();
        let mut wait = AGAIN;
        loop {
            let left = self.desk.limits.time.saturating_sub(began.elapsed());
            let why = match self.try_to_take(left).await? {
                Ok(taken) => return Ok(taken),
                Err(why) => why,
            };
            // What is left of the time has to do for the rows.
            if left < self.desk.limits.time / 2 {
                return Err(unavailable(why));
            }
            tracing::debug!("a snapshot is taken again: {why}");
            sleep(wait).await;
            wait = (wait * 2).min(AGAIN_AT_MOST);
        }
    }

    /// Fixes the cursor, and has the log kept from there on as long as there is room.
    async fn hold_the_log(&self) -> Result<(Position, Box<dyn Backlog>), SnapshotError> {
        let desk = &self.desk;
        for _ in 0..HOLDS {
            // What a log in memory has let go of has passed the encoder too.
            let cursor = desk.hub.passed().max(behind(desk.history.retained()));
            let held = desk.history.read(cursor).map_err(failed)?;
            // Nothing has gone in between, and no transaction in part.
            if desk.history.retained() <= cursor {
                return Ok((cursor, held));
            }
            sleep(HOLD_AGAIN).await;
        }
        Err(unavailable("the log moves on too fast for a snapshot"))
    }

    async fn try_to_take(
        &self,
        within: Duration,
    ) -> Result<Result<Taken, &'static str>, SnapshotError> {
        let desk = &self.desk;
        let mut taking = desk.hub.unsettled.take();
        let (cursor, mut held) = self.hold_the_log().await?;
        let interest = Arc::clone(&self.interest);
        // What may not be seen is not read either: not even why that would fail is to be told.
        let wanted: WantedTables = Arc::new(move |schema, table| interest.is_about(schema, table));
        let snapshot = self.source.begin(wanted, within).await?;
        let moment = snapshot.moment().clone();
        let first = match taking.settle(&moment, Instant::now()) {
            Settling::Known(first) => first,
            Settling::Unknown(_, false) => {
                return Ok(Err(
                    "transactions run that may have been streamed before the start",
                ));
            }
            Settling::Unknown(below, true) => {
                if moment.has_standbys && !desk.history.is_durable() {
                    return Ok(Err(
                        "transactions run that may wait for a synchronous standby since before the start, and no \
                         journal on disk could tell",
                    ));
                }
                let found = search(&*desk.history, below, &moment).await?;
                taking.searched(below, found);
                match taking.settle(&moment, Instant::now()) {
                    Settling::Known(first) => first,
                    Settling::Unknown(..) => return Ok(Err("too much is going on")),
                }
            }
        };
        let first = first.map(|begin| Position::new(begin.epoch(), begin.lsn(), 0));
        let from = first.map_or(cursor, |first| first.min(cursor));
        if from < cursor {
            held = desk.history.read(from).map_err(failed)?;
            if from < desk.history.retained() {
                return Ok(Err(
                    "a transaction was streamed before it is visible, and the journal does not reach back to it",
                ));
            }
        }
        let window = Window {
            moment,
            from,
            cursor: cursor.lsn(),
            source: Arc::clone(&self.source),
        };
        Ok(Ok(Taken {
            snapshot,
            window: Arc::new(window),
            _held: held,
        }))
    }
}

/// Rows as they are framed.
struct Rows<E> {
    encoder: PushEncoder<E>,
    carrier: Carrier,
    at: Position,
    count: u64,
    most: u64,
    framed: BytesMut,
    out: BytesMut,
    error: Option<SnapshotError>,
}

impl<E: Encoder> RowReader for Rows<E> {
    fn keys(&mut self, table: &Arc<Table>) -> Result<Option<Vec<Vec<RowKey>>>, SnapshotError> {
        let keys = self.encoder.row_keys(table);
        match self.encoder.take_misfit() {
            Some(misfit) => Err(SnapshotError::new(SnapshotErrorKind::Refused, misfit)),
            None => Ok(keys),
        }
    }

    fn take(&mut self, table: &Arc<Table>, row: Tuple<'_>) {
        self.put(&Body::Read { table, new: row });
    }
}

impl<E: Encoder> Rows<E> {
    fn put(&mut self, body: &Body<'_>) {
        if self.error.is_some() {
            return;
        }
        self.out.clear();
        let change = Change {
            position: self.at,
            transaction: None,
            body: *body,
        };
        let encoded = self.encoder.encode(&change, &mut self.out);
        let refused = match encoded {
            Ok(_) => self.encoder.take_misfit(),
            Err(error) => Some(error.message),
        };
        if let Some(message) = refused {
            self.error = Some(SnapshotError::new(SnapshotErrorKind::Refused, message));
            return;
        }
        for part in parts(&self.out) {
            self.count += 1;
            put_read(self.carrier, part.event, &mut self.framed);
        }
        if self.count > self.most {
            let message = format!(
                "the snapshot has more than {} rows: narrow it with table and where, or raise snapshot_rows",
                self.most
            );
            self.error = Some(SnapshotError::new(SnapshotErrorKind::TooLarge, message));
        }
    }
}

/// Gives something to all who are still there, at the pace of the slowest.
async fn give(readers: &mut Vec<Sender<Part>>, part: &Part) {
    for reader in readers.iter() {
        // Who has gone is taken off below.
        let _gone = reader.send(part.clone()).await;
    }
    readers.retain(|reader| !reader.is_closed());
}

/// The place behind everything that commits at or before a position, or in front of the transaction that it lies in.
pub(crate) fn behind(position: Position) -> Position {
    let lsn = match position.index() {
        Position::COMMIT => Lsn(position.lsn().0.saturating_add(1)),
        _ => position.lsn(),
    };
    Position::new(position.epoch(), lsn, 0)
}

/// Searches what is retained below a position for what a snapshot does not contain.
async fn search(
    history: &dyn History,
    below: Position,
    moment: &super::Moment,
) -> Result<Vec<(Position, Xid)>, SnapshotError> {
    let from = behind(history.retained());
    let mut found = Vec::new();
    if from >= below {
        return Ok(found);
    }
    let mut backlog = history.read(from).map_err(failed)?;
    let mut take = |change: &Change<'_>| {
        if let (Body::Begin, Some(transaction)) = (&change.body, change.transaction)
            && change.position < below
            && !moment.contains(transaction.xid)
        {
            found.push((change.position, transaction.xid));
        }
    };
    loop {
        match backlog.next(&mut take).await.map_err(failed)? {
            Read::More(upto) if upto < below => tokio::task::yield_now().await,
            Read::More(_) | Read::End(_) => return Ok(found),
            Read::Gone(_) => return Err(unavailable("the journal does not reach back far enough")),
        }
    }
}

fn failed(failure: Failure) -> SnapshotError {
    unavailable(failure.message)
}

fn unavailable(message: impl Into<String>) -> SnapshotError {
    SnapshotError::new(SnapshotErrorKind::Unavailable, message)
}
