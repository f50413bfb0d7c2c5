//! What is seen of slots, Kafka, memory and disk, once a second.

use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use postgres::Client;
use serde::{Deserialize, Serialize};
use walgate_throwaway::Kafka;

use super::SLOTS;
use super::load::Load;
use crate::measure;

/// Time between samples.
const EVERY: Duration = Duration::from_secs(1);

/// One look.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Sample {
    /// Since the start of the load.
    pub(crate) seconds: f64,
    /// `pg_current_wal_lsn() - confirmed_flush_lsn` of Walgate's slot, in bytes.
    pub(crate) unconfirmed: i64,
    /// `pg_current_wal_lsn() - restart_lsn` of Walgate's slot, in bytes.
    pub(crate) retained: i64,
    /// The same of the slot that pg_recvlogical drains.
    pub(crate) retained_beside: i64,
    /// Rows that are committed.
    pub(crate) committed: u64,
    /// Rows that Kafka holds, as far as it was asked.
    pub(crate) delivered: u64,
    /// Walgate's resident memory, in bytes.
    pub(crate) memory: u64,
    /// Bytes of the journal's folder.
    pub(crate) journal: u64,
}

impl Sample {
    /// Rows that are committed and not in Kafka.
    pub(crate) const fn missing(&self) -> u64 {
        self.committed.saturating_sub(self.delivered)
    }
}

/// Takes the samples.
pub(crate) struct Sampler {
    admin: Client,
    topic: String,
    pid: u32,
    journal: PathBuf,
    start: Instant,
    delivered: u64,
    /// What was seen so far.
    pub(crate) samples: Vec<Sample>,
}

impl Sampler {
    pub(crate) fn new(admin: Client, topic: &str, pid: u32, journal: PathBuf) -> Self {
        Self {
            admin,
            topic: topic.to_owned(),
            pid,
            journal,
            start: Instant::now(),
            delivered: 0,
            samples: Vec::new(),
        }
    }

    /// Since the start.
    pub(crate) fn seconds(&self) -> f64 {
        self.start.elapsed().as_secs_f64()
    }

    /// Looks once a second for so long. Without `kafka`, it is not asked.
    pub(crate) fn run_for(
        &mut self,
        time: Duration,
        load: &Load,
        kafka: Option<&Kafka>,
    ) -> Result<()> {
        let end = Instant::now() + time;
        while Instant::now() < end {
            self.sample(load, kafka)?;
            self.pause();
        }
        Ok(())
    }

    /// Waits for the next look.
    pub(crate) fn pause(&self) {
        let since_start = self.start.elapsed();
        let next = EVERY * (since_start.as_secs() as u32 + 1);
        thread::sleep(next.saturating_sub(since_start));
    }

    /// Rows in Kafka, now.
    pub(crate) fn delivered_now(&mut self, kafka: &Kafka) -> Result<u64> {
        // Until the first record has come, there may be no topic.
        if let Ok(ends) = walgate_tests::ends(&kafka.bootstrap(), &self.topic) {
            self.delivered = ends.iter().sum::<i64>() as u64;
        }
        Ok(self.delivered)
    }

    /// Looks.
    pub(crate) fn sample(&mut self, load: &Load, kafka: Option<&Kafka>) -> Result<&Sample> {
        let committed = load.committed();
        if let Some(kafka) = kafka {
            self.delivered_now(kafka)?;
        }
        let lag = "select slot_name, (pg_current_wal_lsn() - confirmed_flush_lsn)::bigint,
            (pg_current_wal_lsn() - restart_lsn)::bigint
            from pg_replication_slots where slot_name = any($1)";
        let (mut ours, mut beside) = ((0, 0), 0);
        for row in self.admin.query(lag, &[&SLOTS.as_slice()])? {
            match row.get::<_, &str>(0) == SLOTS[0] {
                true => ours = (row.get(1), row.get(2)),
                false => beside = row.get(2),
            }
        }
        self.samples.push(Sample {
            seconds: self.seconds(),
            unconfirmed: ours.0,
            retained: ours.1,
            retained_beside: beside,
            committed,
            delivered: self.delivered,
            memory: measure::memory_bytes(self.pid).unwrap_or_default(),
            journal: bytes_of(&self.journal),
        });
        self.samples.last().context("a sample")
    }
}

/// Bytes of the files in a folder; 0 when it is not there.
fn bytes_of(folder: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return 0;
    };
    let sizes = entries.filter_map(|entry| Some(entry.ok()?.metadata().ok()?.len()));
    sizes.sum()
}
