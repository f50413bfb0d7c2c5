//! A sink that fails as it is told to, and a destination that outlives it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use walgate_core::{Batch, Position, Sink, SinkError, Watermark};

/// What a destination holds durably, in the order in which it came.
#[derive(Debug, Clone, Default)]
pub(crate) struct Destination(Arc<Mutex<Vec<(Position, String)>>>);

impl Destination {
    pub(crate) fn events(&self) -> MutexGuard<'_, Vec<(Position, String)>> {
        self.0.lock().expect("not poisoned")
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.events().iter().map(|(_, line)| line.clone()).collect()
    }
}

/// What a call does instead of going well.
#[derive(Debug, Clone)]
pub(crate) enum Fault {
    /// It goes well.
    None,
    /// It fails, and nothing of it is taken.
    Reject(SinkError),
    /// This many events become durable, in secret, and then it fails.
    FailAfter(usize, SinkError),
    /// It takes this long.
    Slow(Duration),
    /// It takes until the gate is opened.
    Gate(Arc<tokio::sync::Notify>),
    /// It never ends.
    Hang,
}

/// Takes events as Kafka does: what was accepted becomes durable by and by.
#[derive(Debug)]
pub(crate) struct ScriptedSink {
    pub(crate) destination: Destination,
    delivered: Watermark<Position>,
    accepted: VecDeque<(Position, String)>,
    pub(crate) opens: VecDeque<Fault>,
    pub(crate) writes: VecDeque<Fault>,
    pub(crate) flushes: VecDeque<Fault>,
    /// Random faults, when the scripts are at their end.
    pub(crate) random: Option<fastrand::Rng>,
    /// How long a random fault takes at most.
    pub(crate) slowest: Duration,
    /// It can tell what the destination holds.
    pub(crate) can_tell: bool,
    /// Events that it refuses for good.
    pub(crate) refuses: Vec<Position>,
    pub(crate) closed: Arc<std::sync::atomic::AtomicBool>,
    /// Closing never ends.
    pub(crate) close_hangs: bool,
}

impl ScriptedSink {
    pub(crate) fn new(destination: &Destination) -> Self {
        Self {
            destination: destination.clone(),
            delivered: Watermark::new(Position::ZERO),
            accepted: VecDeque::new(),
            opens: VecDeque::new(),
            writes: VecDeque::new(),
            flushes: VecDeque::new(),
            random: None,
            slowest: Duration::from_secs(2),
            can_tell: false,
            refuses: Vec::new(),
            closed: Arc::default(),
            close_hangs: false,
        }
    }

    fn random_fault(random: &mut Option<fastrand::Rng>, slowest: Duration) -> Fault {
        let Some(random) = random else {
            return Fault::None;
        };
        let error = SinkError::transient("by chance");
        match random.u32(0..20) {
            0 => Fault::Reject(error),
            1 => Fault::FailAfter(random.usize(0..20), error),
            2..=4 => Fault::Slow(slowest.mul_f64(random.f64())),
            _ => Fault::None,
        }
    }

    /// The first `count` accepted events become durable. Returns the last of them.
    fn settle(&mut self, count: usize) -> Option<Position> {
        let count = count.min(self.accepted.len());
        let settled: Vec<_> = self.accepted.drain(..count).collect();
        let last = settled.last().map(|(position, _)| *position);
        self.destination.events().extend(settled);
        last
    }

    async fn suffer(&mut self, fault: Fault) -> Result<(), SinkError> {
        match fault {
            Fault::None => Ok(()),
            Fault::Slow(time) => {
                tokio::time::sleep(time).await;
                Ok(())
            }
            Fault::Gate(gate) => {
                gate.notified().await;
                Ok(())
            }
            Fault::Hang => std::future::pending().await,
            Fault::Reject(error) => Err(error),
            Fault::FailAfter(count, error) => {
                self.settle(count);
                Err(error)
            }
        }
    }
}

impl Sink for ScriptedSink {
    fn delivered(&self) -> Watermark<Position> {
        self.delivered.clone()
    }

    async fn open(&mut self) -> Result<Option<Position>, SinkError> {
        self.accepted.clear();
        let fault = self.opens.pop_front();
        let fault = fault.unwrap_or_else(|| Self::random_fault(&mut self.random, self.slowest));
        self.suffer(fault).await?;
        let last = self
            .destination
            .events()
            .iter()
            .map(|(position, _)| *position)
            .max();
        Ok(last.filter(|_| self.can_tell))
    }

    async fn write(&mut self, batch: &mut Batch) -> Result<(), SinkError> {
        let fault = self.writes.pop_front();
        let fault = fault.unwrap_or_else(|| Self::random_fault(&mut self.random, self.slowest));
        if let Fault::Reject(error) = fault {
            return Err(error);
        }
        for record in &batch.records {
            if self.refuses.contains(&record.position) {
                self.settle(usize::MAX);
                return Err(SinkError::definite(record.position, "refused"));
            }
            let line = String::from_utf8_lossy(batch.slice(record.value)).into_owned();
            self.accepted.push_back((record.position, line));
        }
        self.suffer(fault).await?;
        if let Some(random) = &mut self.random {
            let count = random.usize(0..=self.accepted.len());
            if let Some(last) = self.settle(count) {
                self.delivered.advance(last);
            }
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<Position, SinkError> {
        let fault = self.flushes.pop_front();
        let fault = fault.unwrap_or_else(|| Self::random_fault(&mut self.random, self.slowest));
        self.suffer(fault).await?;
        if let Some(last) = self.settle(usize::MAX) {
            self.delivered.advance(last);
        }
        Ok(self.delivered.get())
    }

    async fn close(&mut self, _deadline: Instant) -> Result<(), SinkError> {
        self.closed.store(true, std::sync::atomic::Ordering::SeqCst);
        if self.close_hangs {
            std::future::pending::<()>().await;
        }
        Ok(())
    }
}
