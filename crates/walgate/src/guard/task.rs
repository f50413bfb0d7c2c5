//! The task that judges, tells and acts.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, UNIX_EPOCH};

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use walgate_alert::{Dispatcher, Told};
use walgate_core::{Failure, StopReason};
use walgate_pipeline::Stop;
use walgate_slot::guard::{Book, Guard, Level, Notice, Rule, Standing, Step, Verdict};

use super::book_file;
use super::dropping::Dropping;
use super::releasing::Releasing;
use super::saying::{answer, message, now};
use super::settings::Settings;
use crate::watch::{Firing, Instance, Shown, Sight};

/// What is sent at an end may take this long: a supervisor waits for it.
const CLOSE_WITHIN: Duration = Duration::from_secs(3);

/// How long the state directory's disk is waited for.
const SAVE_WITHIN: Duration = Duration::from_secs(5);

/// All is well for so long after it was last seen to be, and never for less than a minute.
const WELL_FOR: Duration = Duration::from_secs(60);

/// What the guard can do.
#[derive(Debug, Clone)]
pub(crate) struct Actions {
    /// Ends the stream, for a drop.
    pub(crate) stop: Stop,
    /// Hears that our slot is to be dropped.
    pub(crate) dropping: Dropping,
    /// Releases sinks.
    pub(crate) releasing: Releasing,
}

/// The guard, beside everything else.
#[derive(Debug)]
pub(crate) struct GuardTask {
    task: JoinHandle<()>,
    reload: mpsc::UnboundedSender<Settings>,
    end: Option<oneshot::Sender<Last>>,
    slot: String,
}

/// What a guard hears at the end.
#[derive(Debug, Default)]
struct Last {
    /// What people are told.
    standing: Option<Standing>,
    /// Our slot was to be dropped, and was not.
    not_dropped: bool,
}

impl GuardTask {
    /// Begins to judge. The state directory is used once it is this process's.
    pub(crate) fn start(
        settings: Settings,
        instance: Instance,
        sights: watch::Receiver<Arc<Sight>>,
        actions: Actions,
    ) -> Self {
        let (well, _) = watch::channel(None);
        let switch = switch(&settings, &well);
        let channels = settings.channels.all.clone();
        let (dispatcher, told) = Dispatcher::start(channels, &settings.channels.client);
        let (end, ended) = oneshot::channel();
        let (reload, reloads) = mpsc::unbounded_channel();
        let slot = settings.slot.clone();
        let worker = Worker {
            guard: Guard::new(settings.rules.clone(), settings.dwell, &Book::default()),
            book: Book::default(),
            state_dir: None,
            dispatcher,
            told,
            instance,
            actions,
            looking_since: Instant::now(),
            last_loss: None,
            said_refusal: None,
            well,
            switch,
            earlier: BTreeMap::new(),
            settings,
        };
        let task = tokio::spawn(Box::pin(worker.run(sights, reloads, ended)));
        Self {
            task,
            reload,
            end: Some(end),
            slot,
        }
    }

    /// Takes new thresholds, times and channels. The policy stays what it was.
    pub(crate) fn reload(&self, settings: Settings) {
        // A task that has broken off hears nothing.
        drop(self.reload.send(settings));
    }

    /// Ends judging. When the process ends for a failure, people are told. A drop that was decided and
    /// did not come about is forgotten. Takes a few seconds at most.
    pub(crate) async fn stop(mut self, failure: Option<&Failure>, not_dropped: bool) {
        let standing = failure.map(|failure| of_end(&self.slot, failure));
        let last = Last {
            standing,
            not_dropped,
        };
        if let Some(end) = self.end.take() {
            // A task that has broken off hears nothing.
            drop(end.send(last));
        }
        let within = CLOSE_WITHIN + SAVE_WITHIN + SAVE_WITHIN;
        if tokio::time::timeout(within, &mut self.task).await.is_err() {
            tracing::warn!("the guard did not end in time");
        }
    }
}

impl Drop for GuardTask {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Begins to ask for the dead man's switch, where there is one. Ends with `well`.
fn switch(settings: &Settings, well: &watch::Sender<Option<Instant>>) -> Option<JoinHandle<()>> {
    let switch = settings.channels.dead_mans_switch.clone()?;
    let client = settings.channels.client.clone();
    Some(tokio::spawn(switch.run(client, well.subscribe())))
}

fn of_end(slot: &str, failure: &Failure) -> Standing {
    let rule = match failure.reason {
        StopReason::Gap => Rule::Gap,
        _ => Rule::Down,
    };
    let command = failure.hint.clone();
    let command = command.unwrap_or_else(|| "walgate check".to_owned());
    Standing::of_end(
        slot,
        rule,
        format!("walgate has stopped: {failure}"),
        command,
    )
}

pub(super) struct Worker {
    pub(super) settings: Settings,
    guard: Guard,
    pub(super) book: Book,
    /// Once it is this process's.
    pub(super) state_dir: Option<PathBuf>,
    dispatcher: Dispatcher,
    told: mpsc::UnboundedReceiver<Told>,
    instance: Instance,
    pub(super) actions: Actions,
    pub(super) looking_since: Instant,
    pub(super) last_loss: Option<Instant>,
    /// Why the slot is not dropped, as it was said last.
    pub(super) said_refusal: Option<String>,
    /// Until when all is well.
    well: watch::Sender<Option<Instant>>,
    switch: Option<JoinHandle<()>>,
    /// What channels have done that are no more.
    earlier: BTreeMap<(String, &'static str), u64>,
}

impl Drop for Worker {
    fn drop(&mut self) {
        if let Some(switch) = &self.switch {
            switch.abort();
        }
    }
}

impl Worker {
    async fn run(
        mut self,
        mut sights: watch::Receiver<Arc<Sight>>,
        mut reloads: mpsc::UnboundedReceiver<Settings>,
        mut ended: oneshot::Receiver<Last>,
    ) {
        let last = loop {
            tokio::select! {
                biased;
                last = &mut ended => break last.unwrap_or_default(),
                Some(settings) = reloads.recv() => self.reload(settings).await,
                Some(told) = self.told.recv() => self.hear(&told),
                changed = sights.changed() => {
                    if changed.is_err() {
                        break ended.await.unwrap_or_default();
                    }
                    let sight = Arc::clone(&sights.borrow_and_update());
                    self.judge(&sight).await;
                }
            }
            self.keep().await;
        };
        // Also when the end came before the first look: it was told by the process before, perhaps.
        self.remember();
        if last.not_dropped {
            self.book.undo(&Step::DropSlot.name());
        }
        if let Some(standing) = last.standing.filter(|_| self.settings.plan.alerts()) {
            let notices = self.book.raise(now(), &standing, &self.settings.telling);
            self.tell(&notices);
        }
        self.close().await;
    }

    /// What can change does; the policy does not.
    async fn reload(&mut self, new: Settings) {
        self.guard.judge_by(new.rules.clone(), new.dwell);
        // What was seen by other thresholds is no reason to lose anything.
        self.looking_since = Instant::now();
        let others = new.alerts != self.settings.alerts;
        self.settings = Settings {
            plan: self.settings.plan.clone(),
            run: self.settings.run.clone(),
            ..new
        };
        if !others {
            return;
        }
        let channels = &self.settings.channels;
        let (dispatcher, told) = Dispatcher::start(channels.all.clone(), &channels.client);
        self.earlier = self.notifications();
        let old = std::mem::replace(&mut self.dispatcher, dispatcher);
        old.close(CLOSE_WITHIN).await;
        self.hear_the_rest();
        self.told = told;
        self.book.forget_answers();
        if let Some(switch) = self.switch.take() {
            switch.abort();
        }
        self.switch = switch(&self.settings, &self.well);
    }

    async fn close(mut self) {
        // What arrives while the queues are emptied counts as told.
        let none = Dispatcher::start(Vec::new(), &self.settings.channels.client).0;
        std::mem::replace(&mut self.dispatcher, none)
            .close(CLOSE_WITHIN)
            .await;
        self.hear_the_rest();
        let (state_dir, changed) = (self.state_dir.take(), self.book.take_changed());
        if let (Some(state_dir), true) = (state_dir, changed) {
            save(state_dir, self.book.to_json()).await;
        }
    }

    /// The state directory is ours: what stood when the last process ended still stands.
    fn remember(&mut self) {
        if self.state_dir.is_some() {
            return;
        }
        let Some(state_dir) = self.instance.state_dir() else {
            return;
        };
        self.book.take_over(book_file::load(state_dir));
        self.book.begin_process();
        self.guard = Guard::new(self.settings.rules.clone(), self.settings.dwell, &self.book);
        self.state_dir = Some(state_dir.to_owned());
        // What was seen while somebody else did the work says nothing about what this one mends.
        self.looking_since = Instant::now();
    }

    async fn judge(&mut self, sight: &Sight) {
        self.remember();
        let waits = self.state_dir.is_none();
        if sight.is_idle_standby(waits) {
            self.show(&Verdict::default());
            return;
        }
        // At a stop everything comes to rest, which is no news.
        if sight.moment.stopping {
            return;
        }
        let mut facts = sight.facts();
        if waits {
            // One that waits for its turn has neither a stream nor sinks that could be down.
            facts.silent_for = Some(Duration::ZERO);
            facts.sinks.clear();
        }
        let verdict = self.guard.judge(sight.moment.at, &facts);
        if self.settings.plan.alerts() {
            let notices = self
                .book
                .update(now(), &verdict.standings, &self.settings.telling);
            self.tell(&notices);
        }
        self.show(&verdict);
        let worst = verdict
            .standings
            .iter()
            .map(|standing| standing.level)
            .max();
        if worst.unwrap_or_default() < Level::Critical && sight.current().is_some() {
            let well_for = WELL_FOR.max(self.settings.dwell.longest_gap);
            self.well.send_replace(Some(Instant::now() + well_for));
        } else {
            self.well.send_replace(None);
        }
        // A process that does not have the state directory does nothing but tell.
        if self.state_dir.is_some() {
            self.act(sight, &verdict).await;
        }
    }

    fn tell(&self, notices: &[Notice]) {
        for notice in notices {
            let message = message(notice, &self.settings.source, now());
            for channel in &notice.channels {
                self.dispatcher.tell(channel, &message);
            }
        }
    }

    fn hear_the_rest(&mut self) {
        while let Ok(told) = self.told.try_recv() {
            self.hear(&told);
        }
    }

    /// Each channel counts for itself: another one may have got it, and this one gets it all the same.
    fn hear(&mut self, told: &Told) {
        self.book.answered(now(), &answer(told));
    }

    fn show(&self, verdict: &Verdict) {
        let firing = verdict.standings.iter().map(|standing| {
            let since = self.book.since(standing.rule.name(), &standing.subject);
            Firing {
                rule: standing.rule.name().to_owned(),
                severity: standing.level.name(),
                about: Some(standing.subject.clone()),
                since: UNIX_EPOCH + Duration::from_secs(since.unwrap_or_else(now)),
                summary: standing.summary.clone(),
            }
        });
        self.instance.show(Shown {
            level: Some(verdict.level() as u8),
            firing: firing.collect(),
            notifications: self.notifications(),
        });
    }

    fn notifications(&self) -> BTreeMap<(String, &'static str), u64> {
        let mut notifications = self.earlier.clone();
        for numbers in self.dispatcher.numbers() {
            let results = [
                ("sent", numbers.sent),
                ("failed", numbers.failed),
                ("dropped", numbers.dropped),
            ];
            for (result, count) in results {
                let of = notifications.entry((numbers.channel.to_owned(), result));
                *of.or_default() += count;
            }
        }
        notifications
    }

    /// Keeps the book when it has changed.
    pub(super) async fn keep(&mut self) {
        let Some(state_dir) = self.state_dir.clone() else {
            return;
        };
        if self.book.take_changed() {
            save(state_dir, self.book.to_json()).await;
        }
    }
}

async fn save(state_dir: PathBuf, bytes: Vec<u8>) {
    let path = state_dir.display().to_string();
    let saving = tokio::task::spawn_blocking(move || book_file::save(&state_dir, &bytes));
    match tokio::time::timeout(SAVE_WITHIN, saving).await {
        Ok(Ok(Ok(()))) => {}
        Ok(Ok(Err(error))) => {
            tracing::warn!(
                path,
                "the alerts are not kept: {error}; after a restart they are told again"
            );
        }
        Ok(Err(_)) | Err(_) => {
            tracing::warn!(
                path,
                "the alerts are not kept in time; after a restart they are told again"
            );
        }
    }
}
