//! How many connections there may be.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The places for connections.
#[derive(Debug, Clone)]
pub(crate) struct Seats(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    taken: Mutex<Taken>,
    all: usize,
    of_one: usize,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    by_address: BTreeMap<IpAddr, usize>,
}

/// A place that is taken until it is dropped.
#[derive(Debug)]
pub(crate) struct Seat(Seats, IpAddr);

impl Seats {
    /// So many in all, and of one address.
    pub(crate) fn new(all: usize, of_one: usize) -> Self {
        Self(Arc::new(Inner {
            taken: Mutex::default(),
            all,
            of_one,
        }))
    }

    /// A place, if there is one.
    pub(crate) fn take(&self, address: IpAddr) -> Option<Seat> {
        // ::ffff:a.b.c.d is a.b.c.d.
        let address = address.to_canonical();
        let mut taken = self.lock();
        let of_one = taken.by_address.get(&address).copied().unwrap_or_default();
        if taken.all >= self.0.all || of_one >= self.0.of_one {
            return None;
        }
        taken.all += 1;
        taken.by_address.insert(address, of_one + 1);
        drop(taken);
        Some(Seat(self.clone(), address))
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.0.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let Self(seats, address) = self;
        let mut taken = seats.lock();
        taken.all -= 1;
        if let Some(of_one) = taken.by_address.get_mut(address) {
            *of_one -= 1;
            if *of_one == 0 {
                taken.by_address.remove(address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_end_in_all_and_for_each_address() {
        let seats = Seats::new(3, 2);
        let (one, two) = ([10, 0, 0, 1].into(), [10, 0, 0, 2].into());
        let mapped = "::ffff:10.0.0.1".parse().expect("an address");
        let first = seats.take(one).expect("a place");
        let _second = seats.take(mapped).expect("a place");
        assert!(seats.take(one).is_none(), "two of one address");
        let _third = seats.take(two).expect("a place");
        assert!(seats.take(two).is_none(), "three in all");
        drop(first);
        assert!(seats.take(one).is_some());
    }
}
