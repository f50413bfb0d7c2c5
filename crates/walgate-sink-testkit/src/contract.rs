//! The contract of a sink, as checks that a sink's tests call one by one.

use std::future::Future;
use std::time::{Duration, Instant};

use walgate_core::{Position, Sink};

use crate::{batch, event, position};

/// A destination and the sinks on it.
pub trait Rig {
    /// The sink under test.
    type Sink: Sink;

    /// A new sink on the same destination, as a process has it after a start.
    fn sink(&mut self) -> impl Future<Output = Self::Sink>;

    /// All values that the destination holds durably, in its order (for one key or partition).
    fn held(&mut self) -> impl Future<Output = Vec<String>>;
}

/// More than any queue of a sink holds, so that it has to wait.
const MANY_BATCHES: u64 = 64;
const BATCH_RECORDS: u32 = 256;
/// Only bounds a test that hangs.
const PATIENCE: Duration = Duration::from_secs(60);

fn transaction(lsn: u64) -> impl Iterator<Item = Position> {
    (2..2 + BATCH_RECORDS).map(move |index| position(lsn, index))
}

/// What was written comes out, all of it, in order, and the delivered position says so; also when
/// more is written than the sink can hold at a time.
///
/// # Panics
///
/// When the sink breaks the contract.
pub async fn order_and_saturation(rig: &mut impl Rig) {
    let mut sink = rig.sink().await;
    sink.open().await.expect("the sink opens");
    let delivered = sink.delivered();
    for lsn in 1..=MANY_BATCHES {
        let mut events = batch(transaction(lsn));
        sink.write(&mut events)
            .await
            .expect("the sink takes a batch");
        assert!(
            delivered.get() <= position(lsn, 1 + BATCH_RECORDS),
            "delivered before it was written"
        );
    }
    let last = position(MANY_BATCHES, 1 + BATCH_RECORDS);
    assert_eq!(sink.flush().await.expect("the sink flushes"), last);
    assert_eq!(delivered.get(), last);
    let expected: Vec<_> = (1..=MANY_BATCHES)
        .flat_map(transaction)
        .map(event)
        .collect();
    assert!(
        rig.held().await == expected,
        "the destination holds all events once and in order"
    );
    sink.close(Instant::now() + PATIENCE)
        .await
        .expect("the sink closes");
}

/// What the delivered position covers is in the destination at that moment.
///
/// # Panics
///
/// When the sink breaks the contract.
pub async fn durability(rig: &mut impl Rig) {
    let mut sink = rig.sink().await;
    sink.open().await.expect("the sink opens");
    let delivered = sink.delivered();
    for lsn in 1..=8 {
        sink.write(&mut batch(transaction(lsn)))
            .await
            .expect("the sink takes a batch");
        // Also published without a call.
        let mark = tokio::time::timeout(PATIENCE, delivered.above(position(lsn, 0)));
        let mark = mark.await.expect("the delivered position grows by itself");
        let held = rig.held().await;
        for position in transaction(lsn).take_while(|position| *position <= mark) {
            assert!(
                held.contains(&event(position)),
                "{position} is delivered but not held"
            );
        }
    }
    sink.close(Instant::now() + PATIENCE)
        .await
        .expect("the sink closes");
}

/// A sink that is dropped without a word, in the middle of its work, loses nothing that it called
/// delivered; a new sink that gets everything behind its starting point again completes the log,
/// in order, with whole repeats only.
///
/// # Panics
///
/// When the sink breaks the contract.
pub async fn repeat_after_crash(rig: &mut impl Rig) {
    let mut sink = rig.sink().await;
    sink.open().await.expect("the sink opens");
    for lsn in 1..=4 {
        sink.write(&mut batch(transaction(lsn)))
            .await
            .expect("the sink takes a batch");
    }
    let delivered = sink.delivered().get();
    drop(sink);

    let mut sink = rig.sink().await;
    let held = sink.open().await.expect("the sink opens again");
    let start = held.unwrap_or(delivered);
    assert!(start >= delivered, "what was delivered is still held");
    let again = |lsn| transaction(lsn).filter(move |position| *position > start);
    for lsn in 1..=6 {
        let mut events = batch(again(lsn));
        sink.write(&mut events)
            .await
            .expect("the sink takes a batch");
    }
    sink.flush().await.expect("the sink flushes");
    let values = rig.held().await;
    let mut highest: Option<&String> = None;
    let mut unique = Vec::new();
    for value in &values {
        if highest.is_none_or(|highest| value > highest) {
            unique.push(value.clone());
            highest = Some(value);
        }
    }
    let expected: Vec<_> = (1..=6).flat_map(transaction).map(event).collect();
    assert!(
        unique == expected,
        "skipping ids that are not above the highest gives the log"
    );
    sink.close(Instant::now() + PATIENCE)
        .await
        .expect("the sink closes");
}

/// Closing delivers what was accepted; an empty batch and an idle flush are nothing special.
///
/// # Panics
///
/// When the sink breaks the contract.
pub async fn close_delivers(rig: &mut impl Rig) {
    let mut sink = rig.sink().await;
    sink.open().await.expect("the sink opens");
    sink.flush().await.expect("an idle sink flushes");
    sink.write(&mut batch([]))
        .await
        .expect("an empty batch is taken");
    sink.write(&mut batch(transaction(1)))
        .await
        .expect("the sink takes a batch");
    sink.close(Instant::now() + PATIENCE)
        .await
        .expect("the sink closes");
    let expected: Vec<_> = transaction(1).map(event).collect();
    assert!(
        rig.held().await == expected,
        "what was accepted is held after a close"
    );
}
