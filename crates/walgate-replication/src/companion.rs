//! What goes on beside the stream over ordinary SQL: facts for definitions, a look at the
//! publications every 30 s, and whether the server is shutting down while we don't read.
//!
//! The SQL connection is opened when it is needed and closed soon after: one that stays would keep
//! a server from a smart shutdown.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::JoinHandle;
use walgate_connection::SqlClient;
use walgate_core::{Failure, Relation};

use crate::catalog;
use crate::config::{OnMissingTable, SourceConfig};
use crate::definition::{Definition, Facts};
use crate::facts;
use crate::publication;
use crate::reporter::Shared;
use crate::sql;
use crate::synchrony::{self, Synchrony};
use crate::trouble::Trouble;
use crate::unstreamed::Passing;

/// Between two looks at the publications and our walsender.
const LOOK: Duration = Duration::from_secs(30);
/// A connection is kept for so long: definitions come in bursts.
const KEEP: Duration = Duration::from_secs(5);
/// While we don't read, we can't hear that the server shuts down: so long without reading, and so
/// often, we ask.
const PROBE: Duration = Duration::from_secs(5);
/// A commit becomes visible within moments, unless it waits for a synchronous standby.
const VISIBLE: Duration = Duration::from_secs(5);
/// First and last wait before the catalog is asked again.
const AGAIN: Duration = Duration::from_millis(200);
const AGAIN_AT_MOST: Duration = Duration::from_secs(5);

struct Request {
    definition: Definition,
    answer: oneshot::Sender<Relation>,
}

/// The running task. Dropping it ends it.
pub(crate) struct Companion {
    requests: mpsc::Sender<Request>,
    alarm: Arc<Alarm>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Alarm {
    trouble: Mutex<Option<Trouble>>,
    raised: Notify,
}

impl Alarm {
    fn take(&self) -> Option<Trouble> {
        self.trouble
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }
}

impl Drop for Companion {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Companion {
    /// Starts the task; `sql` is the connection of the start, `pid` our walsender's process, and
    /// `passing` a transaction whose end is awaited.
    pub(crate) fn start(
        config: Arc<SourceConfig>,
        sql: SqlClient,
        pid: Option<i32>,
        passing: Option<Passing>,
        shared: Arc<Shared>,
    ) -> Self {
        // One definition waits at a time: the reader goes no further.
        let (requests, inbox) = mpsc::channel(1);
        let alarm = Arc::new(Alarm::default());
        let worker = Worker {
            config,
            sql: Some(sql),
            last_used: Instant::now(),
            last_probe: Instant::now(),
            pid,
            warned_sync: false,
            warned_tables: Vec::new(),
            passing,
            running: None,
            shared,
            alarm: Arc::clone(&alarm),
        };
        Self {
            requests,
            alarm,
            task: tokio::spawn(worker.run(inbox)),
        }
    }

    /// The relation of a definition, with its facts, once the catalog has given them.
    pub(crate) fn ask(
        &self,
        definition: Definition,
    ) -> Pin<Box<dyn Future<Output = Relation> + Send>> {
        let requests = self.requests.clone();
        Box::pin(async move {
            let (answer, answered) = oneshot::channel();
            if requests.send(Request { definition, answer }).await.is_ok()
                && let Ok(relation) = answered.await
            {
                return relation;
            }
            // The task has ended, which it does only with the session.
            std::future::pending().await
        })
    }

    /// Waits for something that ends the connection. Cancel-safe.
    pub(crate) async fn trouble(&self) -> Trouble {
        loop {
            let raised = self.alarm.raised.notified();
            let trouble = self.alarm.take();
            if let Some(trouble) = trouble {
                return trouble;
            }
            raised.await;
        }
    }
}

struct Worker {
    config: Arc<SourceConfig>,
    sql: Option<SqlClient>,
    last_used: Instant,
    last_probe: Instant,
    pid: Option<i32>,
    warned_sync: bool,
    warned_tables: Vec<crate::TableName>,
    passing: Option<Passing>,
    /// Transactions from here on had not begun at the first look.
    running: Option<u64>,
    shared: Arc<Shared>,
    alarm: Arc<Alarm>,
}

impl Worker {
    async fn run(mut self, mut inbox: mpsc::Receiver<Request>) {
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut tick = tokio::time::interval(Duration::from_secs(1));
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                request = inbox.recv() => match request {
                    Some(request) => self.answer(request).await,
                    None => return,
                },
                _ = look.tick() => self.look().await,
                _ = tick.tick() => self.tick().await,
            }
        }
    }

    /// Asks until there is an answer: nothing may be guessed.
    async fn answer(&mut self, request: Request) {
        let Request { definition, answer } = request;
        let mut wait = AGAIN;
        loop {
            match self.ask_catalog(&definition).await {
                Ok(None) => continue,
                Ok(Some(facts)) => {
                    // The session may be gone by now; then nobody needs the answer.
                    drop(answer.send(definition.with_facts(&facts)));
                    return;
                }
                Err(trouble) => {
                    let table = &definition.relation().name;
                    tracing::info!(
                        table,
                        error = trouble.what(),
                        "could not ask the catalog yet"
                    );
                    self.sql = None;
                }
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(AGAIN_AT_MOST);
        }
    }

    /// None when the transaction that brought the definition is not visible yet.
    async fn ask_catalog(&mut self, definition: &Definition) -> Result<Option<Facts>, Trouble> {
        let failed = |error: &tokio_postgres::Error| Trouble::sql(error, "ask the catalog");
        let pid = self.pid;
        let sql = self.client().await?;
        let facts = facts::ask(sql, definition, VISIBLE)
            .await
            .map_err(|error| failed(&error))?;
        if facts.is_some() {
            return Ok(facts);
        }
        let Some(pid) = pid else { return Ok(None) };
        let synchrony = synchrony::look(sql, pid)
            .await
            .map_err(|error| failed(&error))?;
        if synchrony == Synchrony::Async {
            return Ok(None);
        }
        // The transaction becomes visible when we have confirmed it, and we would confirm it when
        // it is visible.
        tracing::warn!(table = %definition.relation().name, "the commit waits for us as a synchronous standby: asking the catalog as it was before");
        facts::ask_now(sql, definition)
            .await
            .map(Some)
            .map_err(|error| failed(&error))
    }

    async fn look(&mut self) {
        if let Err(trouble) = self.try_look().await {
            // The stream tells of a server that is gone; this only could not look.
            tracing::debug!(error = trouble.what(), "could not look at the publications");
            self.sql = None;
        }
    }

    /// Finds out whether the transaction for which streaming is off has ended. One that was rolled
    /// back leaves no trace in the stream.
    async fn look_for_the_end(&mut self) -> Result<(), Trouble> {
        let Some(passing) = self.passing.clone() else {
            return Ok(());
        };
        let doing = "ask for the end of a transaction";
        let failed = |error: &tokio_postgres::Error| Trouble::sql(error, doing);
        let running = self.running;
        let sql = self.client().await?;
        let ended = if let Some(xid) = passing.xid {
            facts::is_visible(sql, xid)
                .await
                .map_err(|error| failed(&error))?
        } else {
            let (oldest, next) = catalog::running(sql)
                .await
                .map_err(|error| failed(&error))?;
            self.running = running.or(Some(next));
            running.is_some_and(|then| oldest >= then)
        };
        if ended {
            // Asked after the look: the record of its end lies before this.
            let sql = self.client().await?;
            let (insert, _) = catalog::log_end(sql)
                .await
                .map_err(|error| failed(&error))?;
            passing.ended.tell(insert);
            self.passing = None;
        }
        Ok(())
    }

    async fn try_look(&mut self) -> Result<(), Trouble> {
        self.look_for_the_end().await?;
        let config = Arc::clone(&self.config);
        let pid = self.pid;
        let sql = self.client().await?;
        let doing = "look at the publications";
        let published = publication::look(sql, &config)
            .await
            .map_err(|error| Trouble::sql(&error, doing))?;
        let synchrony = match pid {
            Some(pid) => synchrony::look(sql, pid)
                .await
                .map_err(|error| Trouble::sql(&error, doing))?,
            None => Synchrony::Async,
        };
        if let Some(sync_state) = synchrony.state().filter(|_| !self.warned_sync) {
            self.warned_sync = true;
            tracing::warn!(
                sync_state,
                "the server treats us as a synchronous standby: commits of the application wait for us; take us out of synchronous_standby_names (it may be '*')"
            );
        }
        config.monitor.missing_tables(published.missing.len());
        let absent = config
            .publications
            .iter()
            .find(|name| !published.names.contains(name));
        if let Some(absent) = absent {
            let what = format!("publication {absent} is gone");
            let at = self.shared.feedback().last_status().received;
            self.raise(Trouble::Stop(crate::trouble::publication_missing(what, at)));
        } else if published.missing != self.warned_tables {
            if !published.missing.is_empty() {
                self.missing(publication::missing_tables(
                    &published.missing,
                    &config.publications,
                ));
            }
            self.warned_tables = published.missing;
        }
        Ok(())
    }

    fn missing(&self, failure: Failure) {
        match self.config.on_missing_table {
            OnMissingTable::Stop => self.raise(Trouble::Stop(failure)),
            OnMissingTable::Warn => {
                tracing::warn!(hint = failure.hint, "{failure}");
            }
        }
    }

    async fn tick(&mut self) {
        if self.last_used.elapsed() >= KEEP {
            self.sql = None;
        }
        let paused = self.shared.feedback().paused_since();
        let blind = paused.is_some_and(|since| since.elapsed() >= PROBE);
        if !blind || self.last_probe.elapsed() < PROBE {
            return;
        }
        self.last_probe = Instant::now();
        self.sql = None;
        if let Err(Trouble::Retry(retry)) = self.client().await {
            tracing::debug!(
                error = retry.what,
                "could not reach the server beside the stream"
            );
        }
    }

    /// The connection, opened if need be. Also finds out that the server shuts down: it refuses
    /// new connections while the one that we stream from still stands.
    async fn client(&mut self) -> Result<&SqlClient, Trouble> {
        self.last_used = Instant::now();
        if self.sql.as_ref().is_some_and(|sql| sql.is_closed()) {
            self.sql = None;
        }
        if self.sql.is_none() {
            match sql::connect(&self.config).await {
                Ok(client) => {
                    self.shared.feedback().server_goes_on();
                    self.sql = Some(client);
                }
                Err(error) => {
                    if error
                        .server()
                        .is_some_and(|error| error.sqlstate == "57P03")
                    {
                        self.shared.feedback().server_stops(Instant::now());
                        self.shared.wake();
                    }
                    return Err(Trouble::connect(&error));
                }
            }
        }
        self.sql
            .as_ref()
            .ok_or_else(|| Trouble::retry("no connection"))
    }

    fn raise(&self, trouble: Trouble) {
        *self
            .alarm
            .trouble
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(trouble);
        self.alarm.raised.notify_one();
    }
}
