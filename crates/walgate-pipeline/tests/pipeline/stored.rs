//! A checkpoint that outlives a process, in memory.

use std::sync::{Arc, Mutex};

use walgate_core::{Checkpoint, Failure, Lsn, SourceIdentity, StopReason};
use walgate_pipeline::CheckpointStore;

type Check = Arc<dyn Fn(&Checkpoint) + Send + Sync>;

#[derive(Clone)]
pub(crate) struct Stored {
    last: Arc<Mutex<Checkpoint>>,
    /// Called with each checkpoint before it is kept.
    check: Check,
    pub(crate) fails: Arc<std::sync::atomic::AtomicBool>,
    written: Arc<std::sync::atomic::AtomicBool>,
}

pub(crate) fn checkpoint(confirmed: Lsn) -> Checkpoint {
    Checkpoint {
        source: SourceIdentity {
            system_id: 1,
            timeline: 1,
            epoch: 0,
            slot: "slot".into(),
            consistent_point: Lsn::ZERO,
            created_by_us: false,
        },
        confirmed,
        sinks: [].into(),
        received: None,
        gaps: Vec::new(),
    }
}

impl Stored {
    pub(crate) fn new(confirmed: Lsn, check: impl Fn(&Checkpoint) + Send + Sync + 'static) -> Self {
        Self {
            last: Arc::new(Mutex::new(checkpoint(confirmed))),
            check: Arc::new(check),
            fails: Arc::default(),
            written: Arc::default(),
        }
    }

    /// Whether there is a checkpoint at all.
    pub(crate) fn is_written(&self) -> bool {
        self.written.load(std::sync::atomic::Ordering::SeqCst)
    }

    pub(crate) fn get(&self) -> Checkpoint {
        self.last.lock().expect("not poisoned").clone()
    }
}

impl CheckpointStore for Stored {
    fn save(&mut self, checkpoint: &Checkpoint) -> Result<(), Failure> {
        if self.fails.load(std::sync::atomic::Ordering::SeqCst) {
            return Err(Failure::new(StopReason::State, "disk full"));
        }
        (self.check)(checkpoint);
        self.written
            .store(true, std::sync::atomic::Ordering::SeqCst);
        *self.last.lock().expect("not poisoned") = checkpoint.clone();
        Ok(())
    }
}
