//! What a proxy has been told, and what it has counted: shared by all its threads.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::proxy::Direction;

/// A command takes effect within one poll of the threads; longer means that a thread died.
const PATIENCE: Duration = Duration::from_secs(10);

/// Orders and counters. Arrays are indexed by `Direction`.
#[derive(Debug, Default)]
pub(crate) struct Orders {
    pub(crate) target: Option<SocketAddr>,
    /// Raised by each cut; a connection of an older generation resets itself.
    pub(crate) generation: u64,
    pub(crate) stalled: [bool; 2],
    pub(crate) slice: Option<(usize, Duration)>,
    /// Bytes that may still go to clients.
    pub(crate) limit: Option<u64>,
    /// Raised when the limit is used up; a connection of an older epoch closes in order.
    pub(crate) closed_epoch: u64,
    pub(crate) refusing: bool,
    pub(crate) ending: bool,
    pub(crate) listening: bool,
    pub(crate) accepted: u64,
    /// Open connections by the generation in which they were accepted.
    pub(crate) open: BTreeMap<u64, u64>,
    pub(crate) forwarded: [u64; 2],
}

#[derive(Debug, Default)]
pub(crate) struct State {
    orders: Mutex<Orders>,
    changed: Condvar,
}

impl State {
    pub(crate) fn read<T>(&self, look: impl FnOnce(&Orders) -> T) -> T {
        look(&self.lock())
    }

    pub(crate) fn change<T>(&self, act: impl FnOnce(&mut Orders) -> T) -> T {
        let result = act(&mut self.lock());
        self.changed.notify_all();
        result
    }

    /// Counts what was forwarded; nobody waits for that.
    pub(crate) fn count(&self, direction: Direction, bytes: usize) {
        self.lock().forwarded[direction as usize] += bytes as u64;
    }

    /// Waits as long as `unwanted` holds, at most `patience`.
    pub(crate) fn wait(&self, patience: Duration, unwanted: impl Fn(&Orders) -> bool) {
        let waited = self
            .changed
            .wait_timeout_while(self.lock(), patience, |o| unwanted(o));
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }

    /// A connection was accepted; gives its generation and closing epoch.
    pub(crate) fn opened(&self) -> (u64, u64) {
        self.change(|orders| {
            orders.accepted += 1;
            *orders.open.entry(orders.generation).or_default() += 1;
            (orders.generation, orders.closed_epoch)
        })
    }

    /// A connection of this generation is closed.
    pub(crate) fn closed(&self, generation: u64) {
        self.change(|orders| {
            if let Some(count) = orders.open.get_mut(&generation) {
                *count -= 1;
                if *count == 0 {
                    orders.open.remove(&generation);
                }
            }
        });
    }

    /// Waits until the acceptor has opened or closed its listener.
    pub(crate) fn until_listening(&self, wanted: bool) {
        self.wait(PATIENCE, |orders| orders.listening != wanted);
    }

    /// Waits until every connection that was open before a cut is gone.
    pub(crate) fn until_closed(&self) {
        let now = self.read(|orders| orders.generation);
        self.wait(PATIENCE, |orders| orders.open.range(..now).next().is_some());
    }

    fn lock(&self) -> MutexGuard<'_, Orders> {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
