//! A random order, for `load_balance_hosts=random`.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;

/// Fisher and Yates, with the randomness that the standard library seeds its hash maps with. Good
/// enough to spread load, not for secrets.
pub(crate) fn shuffle<T>(items: &mut [T]) {
    let random = RandomState::new();
    for last in (1..items.len()).rev() {
        let bound = u64::try_from(last + 1).unwrap_or(u64::MAX);
        let other = usize::try_from(random.hash_one(last) % bound).unwrap_or(0);
        items.swap(last, other);
    }
}

#[cfg(test)]
mod tests {
    use super::shuffle;

    #[test]
    fn every_item_stays_and_the_order_changes() {
        let mut items: Vec<u32> = (0..100).collect();
        shuffle(&mut items);
        assert_ne!(items, (0..100).collect::<Vec<_>>());
        items.sort_unstable();
        assert_eq!(items, (0..100).collect::<Vec<_>>());
        shuffle::<u32>(&mut []);
    }
}
