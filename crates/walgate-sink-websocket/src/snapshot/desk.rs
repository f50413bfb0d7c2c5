//! Where snapshots are asked for: equal ones that wait share one, and not too many run at once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;

use super::run::{Part, Run};
use super::{SnapshotError, SnapshotErrorKind, SnapshotLimits, Snapshots};
use crate::counters::Counters;
use crate::feed::MakeEncoder;
use crate::frame::Carrier;
use crate::history::History;
use crate::hub::Hub;
use crate::interest::Interest;

/// Pieces of about 64 KiB that wait for a client of a snapshot: one that reads slowly slows those with whom it shares
/// it, and none takes more memory than this.
const PIECES: usize = 4;

/// Different snapshots that may wait for others to end.
const MAX_WAITING: usize = 256;

/// Where snapshots are asked for.
pub(crate) struct SnapshotDesk {
    pub(super) source: Option<Arc<dyn Snapshots>>,
    pub(super) limits: SnapshotLimits,
    pub(super) hub: Arc<Hub>,
    pub(super) history: Arc<dyn History>,
    pub(super) encoder: MakeEncoder,
    turns: Semaphore,
    /// Who waits for a snapshot that has not begun, by what is wanted.
    waiting: Mutex<HashMap<Wanted, Vec<mpsc::Sender<Part>>>>,
}

/// Equal for equal snapshots.
type Wanted = (String, bool);

impl SnapshotDesk {
    pub(crate) fn new(
        source: Option<Arc<dyn Snapshots>>,
        limits: SnapshotLimits,
        hub: &Arc<Hub>,
        history: &Arc<dyn History>,
        encoder: &MakeEncoder,
    ) -> Arc<Self> {
        Arc::new(Self {
            source: source.filter(|_| limits.at_once > 0),
            limits,
            hub: Arc::clone(hub),
            history: Arc::clone(history),
            encoder: Arc::clone(encoder),
            turns: Semaphore::new(limits.at_once),
            waiting: Mutex::default(),
        })
    }

    /// Asks for the rows of `interest`; they come as soon as it is their turn. Dropping what is returned takes the
    /// request back.
    pub(crate) fn ask(
        self: &Arc<Self>,
        interest: &Arc<Interest>,
        carrier: Carrier,
    ) -> mpsc::Receiver<Part> {
        let (sender, receiver) = mpsc::channel(PIECES);
        let refuse = |kind, message: &str| {
            Counters::count(&self.hub.counters.snapshots_failed);
            // Nobody can have filled it.
            let _sent = sender.try_send(Part::Failed(SnapshotError::new(kind, message)));
        };
        let Some(source) = &self.source else {
            refuse(
                SnapshotErrorKind::Refused,
                "there are no snapshots here: a gateway has no database to read rows from, and snapshots = 0 turns them off; ask a walgate run for the rows, and resume here behind the snapshot's position",
            );
            return receiver;
        };
        let wanted = (interest.key(), carrier == Carrier::EventStream);
        let mut waiting = self.waiting();
        if let Some(senders) = waiting.get_mut(&wanted) {
            senders.push(sender);
            return receiver;
        }
        if waiting.len() >= MAX_WAITING {
            refuse(
                SnapshotErrorKind::Unavailable,
                "too many snapshots wait: come back",
            );
            return receiver;
        }
        waiting.insert(wanted.clone(), vec![sender]);
        drop(waiting);
        let run = Run {
            desk: Arc::clone(self),
            source: Arc::clone(source),
            interest: Arc::clone(interest),
            carrier,
        };
        tokio::spawn(Arc::clone(self).take_turn(wanted, run));
        receiver
    }

    async fn take_turn(self: Arc<Self>, wanted: Wanted, run: Run) {
        let turn = timeout(self.limits.time, self.turns.acquire()).await;
        let mut readers = self.waiting().remove(&wanted).unwrap_or_default();
        readers.retain(|reader| !reader.is_closed());
        if readers.is_empty() {
            return;
        }
        let counters = &self.hub.counters;
        let error = match turn {
            Ok(Ok(_turn)) => match run.serve(&mut readers).await {
                Ok(()) => return Counters::count(&counters.snapshots),
                Err(error) => error,
            },
            _ => SnapshotError::new(
                SnapshotErrorKind::Unavailable,
                "other snapshots have taken too long: come back",
            ),
        };
        if readers.is_empty() {
            tracing::debug!("a snapshot was given up: nobody waits for it");
            return;
        }
        Counters::count(&counters.snapshots_failed);
        tracing::info!(kind = ?error.kind, "no snapshot for a client of push: {}", error.message);
        for reader in readers {
            // Who has gone by now needs no answer.
            let _gone = reader.send(Part::Failed(error.clone())).await;
        }
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<Wanted, Vec<mpsc::Sender<Part>>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
