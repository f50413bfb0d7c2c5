//! What is remembered of earlier runs, and waiting for whoever else remembers it.
//!
//! Two instances of one slot never fight: the second waits, quietly, until the folder's lock and the slot
//! are free, and only then reads the checkpoint. With the checkpoint in Kafka it then takes the slot's
//! place in the topic, after which an older instance can save nothing, and so confirm nothing.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use walgate_connection::ConnectionConfig;
use walgate_core::{Checkpoint, ErrorClass, Failure, SinkError, StopReason};
use walgate_pipeline::{CheckpointFile, CheckpointStore, checkpoint_of_bytes, checkpoint_to_bytes};
use walgate_replication::SourceMonitor;
use walgate_sink_kafka::{CheckpointTopic, KafkaConfig, TopicError};
use walgate_slot::words::duration;
use walgate_slot::{Observation, Slot, Watcher};

use super::{Finish, blocking, kafka_cluster};
use crate::config::Config;
use crate::ending::Ending;

/// Between two looks at what is waited for: a take-over takes about so long, and a look costs the
/// server less than a millisecond.
const LOOK: Duration = Duration::from_secs(1);

/// Between two attempts to reach a cluster or a server.
const AGAIN: Duration = Duration::from_secs(2);

/// Whoever has the slot and has not spoken for so long is stuck, or cut off: PostgreSQL ends it after
/// `wal_sender_timeout`, a minute unless it is set.
const STUCK_SECONDS: f64 = 30.0;

/// How often it is asked whether the place is still ours: an instance that was stopped for a while
/// learns of its successor within this time after it goes on.
const STILL_OURS: Duration = Duration::from_secs(5);

/// What is remembered, and where.
pub(crate) struct Memory {
    /// Where the checkpoint is kept.
    pub(crate) store: Box<dyn CheckpointStore>,
    /// What is known of earlier runs.
    pub(crate) checkpoint: Option<Checkpoint>,
    /// Our place, when others can take it.
    pub(crate) place: Option<Place>,
    /// The folder's lock, when the checkpoint is elsewhere.
    _lock: Option<CheckpointFile>,
}

impl Memory {
    /// Takes the state folder, and waits for others where that is configured; `monitor` shows that it waits.
    ///
    /// # Errors
    ///
    /// When the folder is in use and nobody is to wait, when folder or topic can't be used, and when the
    /// checkpoint can't be read or is of another slot.
    pub(crate) async fn open(
        config: &Config,
        connection: &ConnectionConfig,
        monitor: &SourceMonitor,
    ) -> Result<Self, Failure> {
        let slot = config.source.slot.as_str();
        let (file, remembered) = folder(config, monitor).await?;
        let topic = config.checkpoint_topic();
        if config.state.standby || topic.is_some() {
            slot_is_free(connection, slot, monitor).await;
        }
        monitor.begins();
        let Some((kafka, topic)) = topic else {
            return Ok(Self {
                store: Box::new(file),
                checkpoint: remembered,
                place: None,
                _lock: None,
            });
        };
        let topic = topic.to_string();
        let (place, bytes) = take(kafka_cluster(kafka), &topic, slot).await?;
        let place = Place(Arc::new(Mutex::new(place)));
        let checkpoint = match bytes {
            Some(bytes) => Some(checkpoint_of_bytes(&bytes, &in_topic(&topic), slot)?),
            // The first start with a topic goes on where the folder was.
            None => remembered,
        };
        tracing::info!(topic, slot, "took the slot's place in the topic");
        Ok(Self {
            store: Box::new(place.clone()),
            checkpoint,
            place: Some(place),
            _lock: Some(file),
        })
    }
}

fn in_topic(topic: &str) -> String {
    format!("in topic {topic}")
}

/// The last checkpoint, without taking anybody's place; blocks, on a thread of the runtime that may.
///
/// # Errors
///
/// When it can't be read.
pub(crate) fn remembered(config: &Config) -> Result<Option<Checkpoint>, Failure> {
    let slot = config.source.slot.as_str();
    if let Some((kafka, topic)) = config.checkpoint_topic() {
        let topic = topic.to_string();
        let bytes = CheckpointTopic::peek(&kafka_cluster(kafka), &topic, slot);
        let bytes = bytes.map_err(|error| of_topic(error, StopReason::State))?;
        if let Some(bytes) = bytes {
            return checkpoint_of_bytes(&bytes, &in_topic(&topic), slot).map(Some);
        }
    }
    CheckpointFile::peek(&config.state.dir, slot)
}

/// The state folder, when nobody else has it.
async fn folder(
    config: &Config,
    monitor: &SourceMonitor,
) -> Result<(CheckpointFile, Option<Checkpoint>), Failure> {
    let (dir, slot) = (&config.state.dir, config.source.slot.as_str());
    let mut said = false;
    loop {
        let failure = match CheckpointFile::open(dir, slot) {
            Ok(opened) => {
                if said {
                    tracing::info!("the state folder is free: taking over");
                }
                return Ok(opened);
            }
            Err(failure) if config.state.standby && CheckpointFile::is_in_use(dir) => failure,
            Err(failure) => return Err(failure),
        };
        if !said {
            said = true;
            monitor.waits(Instant::now(), None);
            tracing::info!("waiting as a standby: {}", failure.message);
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Returns when nobody uses the slot. What is wrong with it, or with the server, the session says.
async fn slot_is_free(connection: &ConnectionConfig, name: &str, monitor: &SourceMonitor) {
    let begun = Instant::now();
    let mut told = Told::default();
    let mut watcher = None;
    loop {
        let seen = match watcher.take() {
            None => Box::pin(Watcher::connect(connection)).await,
            Some(watcher) => Ok(watcher),
        };
        let seen = match seen {
            Ok(eyes) => {
                let seen = eyes.look().await;
                watcher = Some(eyes);
                seen
            }
            Err(error) => Err(error),
        };
        match seen {
            Ok(seen) => match seen.slot(name).filter(|slot| slot.active) {
                Some(slot) => {
                    monitor.waits(begun, slot.active_pid);
                    told.tell(&seen, slot);
                }
                None => {
                    if told.waiting {
                        tracing::info!(slot = name, "the slot is free: taking over");
                    }
                    return;
                }
            },
            // Also a role without a right: the session has the words for it.
            Err(error) if !error.is_transient() => return,
            Err(error) => {
                tracing::debug!(%error, "can't look at the slot, trying again");
                watcher = None;
                tokio::time::sleep(AGAIN).await;
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// What was said while waiting.
#[derive(Debug, Default)]
struct Told {
    waiting: bool,
    stuck: Option<i32>,
}

impl Told {
    fn tell(&mut self, seen: &Observation, slot: &Slot) {
        let holder = slot.holder().unwrap_or_else(|| "somebody".to_owned());
        if !self.waiting {
            self.waiting = true;
            tracing::info!(
                slot = slot.name,
                "waiting as a standby: the slot is in use by {holder}"
            );
        }
        let walsender = seen
            .walsenders
            .iter()
            .find(|one| Some(one.pid) == slot.active_pid);
        let silent = walsender.and_then(|one| one.silent_seconds);
        match (silent, slot.active_pid) {
            (Some(silent), Some(pid)) if silent >= STUCK_SECONDS => {
                if self.stuck != Some(pid) {
                    self.stuck = Some(pid);
                    let silent = Duration::try_from_secs_f64(silent).unwrap_or_default();
                    let ends = seen.settings.sender_timeout();
                    let ends = ends.map_or_else(
                        || "wal_sender_timeout is off: the server never ends it".to_owned(),
                        |ends| format!("the server ends it after {}", duration(ends)),
                    );
                    tracing::warn!(
                        slot = slot.name,
                        hint = format!("SELECT pg_terminate_backend({pid})"),
                        "{holder} has the slot and has not spoken for {}: {ends}",
                        duration(silent)
                    );
                }
            }
            _ => self.stuck = None,
        }
    }
}

/// Takes the slot's place, as soon as the cluster can be reached.
async fn take(
    cluster: KafkaConfig,
    topic: &str,
    slot: &str,
) -> Result<(CheckpointTopic, Option<Vec<u8>>), Failure> {
    let mut said = false;
    loop {
        let (cluster, topic, slot) = (cluster.clone(), topic.to_owned(), slot.to_owned());
        let taken = blocking(move || Ok(CheckpointTopic::take(&cluster, &topic, &slot))).await?;
        match taken {
            Ok(taken) => return Ok(taken),
            Err(error) if error.class == ErrorClass::Transient => {
                if !said {
                    said = true;
                    let hint = error.hint.as_deref();
                    tracing::warn!(
                        hint,
                        "the checkpoint can't be read, trying again: {}",
                        error.message
                    );
                }
                tokio::time::sleep(AGAIN).await;
            }
            Err(error) => return Err(of_topic(error, StopReason::State)),
        }
    }
}

fn of_topic(error: SinkError, reason: StopReason) -> Failure {
    let failure = Failure::new(reason, error.message);
    match error.hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

/// Our place in the topic of checkpoints.
#[derive(Debug, Clone)]
pub(crate) struct Place(Arc<Mutex<CheckpointTopic>>);

impl Place {
    /// Ends when another instance has taken the place, or nothing can be saved any more, with why.
    pub(crate) async fn lost(&self) -> Failure {
        loop {
            tokio::time::sleep(STILL_OURS).await;
            if let Some(failure) = self.is_lost().await {
                return failure;
            }
        }
    }

    /// Why the place is not ours any more; none when it is, or when nobody knows.
    pub(crate) async fn is_lost(&self) -> Option<Failure> {
        let place = Arc::clone(&self.0);
        let asked = blocking(move || {
            let mut place = place.lock().unwrap_or_else(PoisonError::into_inner);
            place.still_ours().map_err(failure)
        });
        asked
            .await
            .err()
            .filter(|failure| failure.reason == StopReason::SlotBusy)
    }
}

/// Runs an engine until it ends, or another instance has taken our place.
///
/// # Errors
///
/// The engine's, and that we were replaced.
pub(crate) async fn unless_replaced(
    place: Option<Place>,
    run: impl Future<Output = Result<Finish, Ending>>,
) -> Result<(), Ending> {
    let Some(place) = place else {
        return run.await.map(drop);
    };
    let finished = tokio::select! {
        finished = run => finished.map(drop),
        failure = place.lost() => return Err(failure.into()),
    };
    // Who was replaced sees a slot that somebody else has moved, before it sees by whom.
    match (&finished, place.is_lost().await) {
        (Err(_), Some(failure)) => Err(failure.into()),
        _ => finished,
    }
}

/// What can be tried again is the store's failure; what can't ends the program.
fn failure(error: TopicError) -> Failure {
    match error {
        TopicError::Fenced(error) | TopicError::Broken(error) => {
            of_topic(error, StopReason::SlotBusy)
        }
        TopicError::Failed(error) => of_topic(error, StopReason::State),
        _ => Failure::new(StopReason::State, "the checkpoint is not saved"),
    }
}

impl CheckpointStore for Place {
    fn save(&mut self, checkpoint: &Checkpoint) -> Result<(), Failure> {
        let mut place = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let saved = place.save(&checkpoint_to_bytes(checkpoint));
        saved.map_err(failure)
    }
}
