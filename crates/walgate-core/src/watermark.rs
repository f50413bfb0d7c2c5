//! A value that only grows, and can be waited for.

use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

/// A shared value that only grows: a delivered position, a confirmed LSN.
///
/// Any number of threads may [`advance`](Self::advance) and [`get`](Self::get) it; any number of
/// tasks may wait for it to grow. It needs no runtime.
#[derive(Debug)]
pub struct Watermark<T>(Arc<Mutex<State<T>>>);

#[derive(Debug)]
struct State<T> {
    value: T,
    /// Who waits, by a number of its own.
    waiting: Vec<(u64, Waker)>,
    next: u64,
}

/// A place among those who wait; it is given up when whoever waits is dropped.
struct Waiting<'w, T> {
    mark: &'w Watermark<T>,
    number: Option<u64>,
}

impl<T> Drop for Waiting<'_, T> {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            let mut state = self.mark.state();
            state.waiting.retain(|(other, _)| *other != number);
        }
    }
}

impl<T> Clone for Watermark<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T: Copy + Ord + Default> Default for Watermark<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T: Copy + Ord> Watermark<T> {
    /// A watermark at `value`.
    pub fn new(value: T) -> Self {
        Self(Arc::new(Mutex::new(State {
            value,
            waiting: Vec::new(),
            next: 0,
        })))
    }

    /// The value now.
    pub fn get(&self) -> T {
        self.state().value
    }

    /// Raises it to `value`; does nothing when it is there already. Returns whether it grew.
    pub fn advance(&self, value: T) -> bool {
        let waiting = {
            let mut state = self.state();
            if value <= state.value {
                return false;
            }
            state.value = value;
            std::mem::take(&mut state.waiting)
        };
        for (_, waker) in waiting {
            waker.wake();
        }
        true
    }

    /// Waits until it is above `seen`, and returns it. Cancel-safe.
    pub async fn above(&self, seen: T) -> T {
        let mut waiting = Waiting {
            mark: self,
            number: None,
        };
        poll_fn(|cx| {
            let mut guard = self.state();
            let state = &mut *guard;
            if state.value > seen {
                return Poll::Ready(state.value);
            }
            let number = *waiting.number.get_or_insert_with(|| {
                state.next += 1;
                state.next
            });
            match state.waiting.iter_mut().find(|(other, _)| *other == number) {
                Some((_, waker)) => waker.clone_from(cx.waker()),
                None => state.waiting.push((number, cx.waker().clone())),
            }
            Poll::Pending
        })
        .await
    }
}

impl<T> Watermark<T> {
    fn state(&self) -> MutexGuard<'_, State<T>> {
        // Nothing panics while the lock is held; a poisoned value is still a value.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Context, Wake};

    use super::*;

    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn never_falls() {
        let mark = Watermark::new(5);
        assert!(!mark.advance(3));
        assert!(mark.advance(7));
        assert_eq!(mark.clone().get(), 7);
    }

    #[test]
    fn wakes_who_waits_once_it_is_above() {
        let mark = Watermark::new(1);
        let count = Arc::new(Count(AtomicUsize::new(0)));
        let waker = Waker::from(Arc::clone(&count));
        let mut cx = Context::from_waker(&waker);
        let mut wait = pin!(mark.above(1));
        assert_eq!(wait.as_mut().poll(&mut cx), Poll::Pending);
        assert_eq!(wait.as_mut().poll(&mut cx), Poll::Pending);
        mark.advance(2);
        assert_eq!(count.0.load(Ordering::SeqCst), 1);
        assert_eq!(wait.as_mut().poll(&mut cx), Poll::Ready(2));
    }

    #[test]
    fn a_wait_that_is_given_up_leaves_nothing_behind_and_disturbs_no_other() {
        let mark = Watermark::new(1);
        let count = Arc::new(Count(AtomicUsize::new(0)));
        let waker = Waker::from(Arc::clone(&count));
        let mut cx = Context::from_waker(&waker);
        let mut stays = pin!(mark.above(1));
        assert_eq!(stays.as_mut().poll(&mut cx), Poll::Pending);
        let before = Arc::strong_count(&count);
        for _ in 0..100 {
            let other = Waker::from(Arc::new(Count(AtomicUsize::new(0))));
            let given_up = pin!(mark.above(1)).poll(&mut Context::from_waker(&other));
            assert_eq!(given_up, Poll::Pending);
            assert_eq!(pin!(mark.above(1)).poll(&mut cx), Poll::Pending);
        }
        assert_eq!(mark.state().waiting.len(), 1);
        assert_eq!(Arc::strong_count(&count), before);
        mark.advance(2);
        assert_eq!(count.0.load(Ordering::SeqCst), 1);
        assert_eq!(stays.as_mut().poll(&mut cx), Poll::Ready(2));
    }
}
