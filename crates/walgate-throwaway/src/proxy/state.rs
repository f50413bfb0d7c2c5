//! What a proxy has been told, and what it has counted: shared by all its threads.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::proxy::Direction;

/// A command takes effect within one poll of the threads; longer means that a thread died.
const PATIENCE: Duration = Duration::from_secs(10);

/// What may still go to clients before every connection closes.
#[derive(Debug, Default)]
pub(crate) struct Limit {
    /// Bytes that nobody has taken yet.
    pub(crate) left: u64,
    /// Bytes that are taken and not written yet.
    pub(crate) taken: u64,
}

/// Bytes that a pump may write now.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Grant {
    pub(crate) bytes: usize,
    /// Whether they were taken off a limit.
    limited: bool,
}

/// Orders and counters. Arrays are indexed by `Direction`.
#[derive(Debug, Default)]
pub(crate) struct Orders {
    pub(crate) target: Option<SocketAddr>,
    /// Raised by each cut; a connection of an older generation resets itself.
    pub(crate) generation: u64,
    pub(crate) stalled: [bool; 2],
    pub(crate) slice: Option<(usize, Duration)>,
    pub(crate) limit: Option<Limit>,
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

    /// Takes up to `wanted` bytes off the limit, if there is one, and counts them as forwarded.
    /// Before the write, so that who has received a byte finds it counted.
    pub(crate) fn take(&self, direction: Direction, wanted: usize) -> Grant {
        let mut orders = self.lock();
        let mut grant = Grant {
            bytes: wanted,
            limited: false,
        };
        if let (Direction::ToClient, Some(limit)) = (direction, &mut orders.limit) {
            grant.limited = true;
            grant.bytes = usize::try_from(limit.left).map_or(wanted, |left| wanted.min(left));
            limit.left -= grant.bytes as u64;
            limit.taken += grant.bytes as u64;
        }
        orders.forwarded[direction as usize] += grant.bytes as u64;
        grant
    }

    /// Gives back what was taken and not written; at the limit's end every connection closes.
    pub(crate) fn settle(&self, direction: Direction, grant: Grant, written: usize) {
        let unwritten = grant.bytes.saturating_sub(written) as u64;
        let mut orders = self.lock();
        orders.forwarded[direction as usize] -= unwritten;
        let Some(limit) = orders.limit.as_mut().filter(|_| grant.limited) else {
            return;
        };
        limit.taken = limit.taken.saturating_sub(grant.bytes as u64);
        limit.left += unwritten;
        if limit.left == 0 && limit.taken == 0 {
            orders.limit = None;
            orders.closed_epoch += 1;
            drop(orders);
            self.changed.notify_all();
        }
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
