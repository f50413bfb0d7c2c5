//! `walgate gateway`: push clients, from a topic of Kafka instead of a slot.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use walgate_core::{
    Failure, Feed, Gap, GapReason, Lsn, Position, Source, SourceIdentity, StopReason, Watermark,
    Xid,
};
use walgate_journal::segment::{Keyring, SegmentFacts};
use walgate_pgoutput::Dialect;
use walgate_pipeline::{
    CheckpointFile, CheckpointStore, ConfirmBy, ConfirmOptions, Pipeline, PipelineOptions, Rewinds,
    Stop,
};
use walgate_replication::{OnGap, SourceMonitor};
use walgate_source_kafka::{
    GatewayMonitor, GatewayState, KafkaSource, KafkaSourceOptions, Started,
};

use crate::config::{Config, Destination, Loaded, TopicName};
use crate::control::{ControlSocket, Desk};
use crate::ending::Ending;
use crate::entry::Console;
use crate::http::HttpServer;
use crate::signals::{Request, Signals};
use crate::status::StatusReport;
use crate::watch::{Instance, Watch};
use crate::wiring::{
    Added, Begin, Begun, JournalKeys, Keeping, Known, Opening, Origin, Push, add_sinks, beat,
    block_on, gateway_source, on_worker,
};

/// How often it is looked whether the window is full.
const LOOK: Duration = Duration::from_millis(50);

/// Serves the sinks of type websocket until it is told to end.
///
/// # Errors
///
/// When it can't go on without a human.
pub fn gateway(loaded: &Loaded, console: &Console) -> Result<(), Ending> {
    block_on(Box::pin(serve(&loaded.config, console)))
}

async fn serve(config: &Config, console: &Console) -> Result<(), Ending> {
    let mut signals = Signals::new()
        .map_err(|error| Ending::other(format!("can't take over the signals: {error}")))?;
    let topic = check(config)?;
    let monitor = GatewayMonitor::new(topic.as_str());
    let instance = Instance::new(config, SourceMonitor::new()).of_gateway(monitor.clone());
    // From here to the end, whatever happens: what is wrong with a start is seen too.
    let watch = Watch::of_itself(instance.clone(), config.watch.interval.0);
    let pulse = instance.pulse().clone();
    let http = HttpServer::start(&config.http, Arc::new(watch.view()), pulse).await?;
    let gateway = Gateway {
        config,
        topic,
        console,
        monitor,
        instance,
        watch: &watch,
        http: http.as_ref(),
    };
    let ended = Box::pin(gateway.run(&mut signals)).await;
    watch.stop();
    ended
}

/// What a gateway needs beyond what every configuration does. Returns the topic.
fn check(config: &Config) -> Result<&TopicName, Failure> {
    let refused =
        |message: &str, hint: &str| Err(Failure::new(StopReason::Config, message).hint(hint));
    let Some(topic) = &config.gateway.topic else {
        return refused(
            "the configuration names no topic for the gateway",
            "give [gateway] brokers and topic: the stream_topic of a kafka sink of walgate run",
        );
    };
    let others = config.sinks.iter();
    let mut others =
        others.filter(|(_, sink)| !matches!(sink.destination, Destination::Websocket(_)));
    if let Some((name, sink)) = others.next() {
        let kind = sink.destination.name();
        return refused(
            &format!("sink {name} is of type {kind}, and a gateway serves clients only"),
            "keep it in the configuration of walgate run, and give the gateway a file of its own",
        );
    }
    Ok(topic)
}

/// A gateway before it runs.
struct Gateway<'a> {
    config: &'a Config,
    topic: &'a TopicName,
    console: &'a Console,
    monitor: GatewayMonitor,
    instance: Instance,
    watch: &'a Watch,
    http: Option<&'a HttpServer>,
}

/// What it has of earlier runs.
struct Kept {
    begin: Begin,
    options: KafkaSourceOptions,
    tail: Option<Position>,
}

impl Gateway<'_> {
    async fn run(self, signals: &mut Signals) -> Result<(), Ending> {
        let config = self.config;
        let kept = self.kept().await?;
        self.instance.owns(&config.state.dir);
        let look = self.watch.view();
        let desk = Desk::new(Rewinds::open(&config.state.dir)?, config);
        let desk = desk.with_status(move || StatusReport::new(&look()).value());
        let _control = ControlSocket::start(&config.state.dir, desk);
        let mut pipeline = Pipeline::new(PipelineOptions {
            drain_for: config.shutdown_timeout.0,
            confirm: ConfirmOptions {
                by: match config.journal.confirms() {
                    true => ConfirmBy::Fsync,
                    false => ConfirmBy::Sinks,
                },
                ..ConfirmOptions::default()
            },
        });
        let known = Known {
            database: "",
            tables: &[],
            console: self.console,
            keys: Keyring::default(),
            replay: None,
            // There is no slot to show.
            source: None,
        };
        let Added { sinks, pushes } = add_sinks(&mut pipeline, config, &known)?;
        self.instance.has_sinks(&sinks);
        pipeline.open().await?;
        let topic = self.topic.as_str();
        let Some(started) = self.start(kept.options, signals).await? else {
            return Ok(());
        };
        let origin = origin(topic, started.from);
        let begun = kept.begin.begin(&pipeline, origin).await?;
        tracing::info!(topic, from = %started.from, "reading");
        let source = Behind {
            hole: hole(kept.tail, started.from),
            source: started.source,
            instance: self.instance.clone(),
        };
        self.deliver(pipeline, source, begun, &pushes, signals)
            .await
    }

    /// Opens what is remembered: the checkpoint, and the journal with the window.
    async fn kept(&self) -> Result<Kept, Ending> {
        let config = self.config;
        let name = identity_name(self.topic.as_str());
        let (file, checkpoint) = CheckpointFile::open(&config.state.dir, &name)?;
        let keys = JournalKeys::of(config);
        let journal = Keeping::open(&config.journal, &keys, checkpoint.as_ref()).await?;
        let tail = journal.tail();
        // Without a window nothing that was remembered says anything.
        let checkpoint = checkpoint.filter(|_| tail.is_some());
        let options = gateway_source(&config.gateway, self.topic, tail);
        let store: Option<Box<dyn CheckpointStore>> = match journal.is_on_disk() {
            true => Some(Box::new(file)),
            false => None,
        };
        let reached = journal.reached(checkpoint.as_ref());
        Ok(Kept {
            begin: Begin {
                journal,
                checkpoint,
                reached,
                store,
                on_gap: OnGap::Continue,
            },
            options,
            tail,
        })
    }

    /// Finds where to begin; none when it is told to end before.
    async fn start(
        &self,
        options: KafkaSourceOptions,
        signals: &mut Signals,
    ) -> Result<Option<Started>, Failure> {
        let mut starting = pin!(KafkaSource::start(options, self.monitor.clone()));
        let mut beating = pin!(beat(Some(self.instance.clone())));
        loop {
            tokio::select! {
                started = &mut starting => return started.map(Some),
                never = &mut beating => match never {},
                request = signals.next() => match request {
                    Request::Reload => self.reload(),
                    Request::Drain | Request::End => return Ok(None),
                },
            }
        }
    }

    fn reload(&self) {
        if let Some(http) = self.http {
            http.reload();
        }
    }

    async fn deliver(
        &self,
        pipeline: Pipeline,
        source: Behind,
        begun: Begun,
        pushes: &[Push],
        signals: &mut Signals,
    ) -> Result<(), Ending> {
        let (stop, confirmed) = (Stop::new(), Watermark::<Lsn>::default());
        self.instance.has_journal(&begun.log.journal);
        self.instance
            .has_pushes(pushes.iter().map(Push::monitor).collect());
        let openings = pushes
            .iter()
            .map(|push| push.opening(&begun.log, &begun.checkpoint));
        let mut openings: Vec<Opening<'_>> = openings.collect();
        let run = pipeline.run(
            source,
            begun.log,
            begun.checkpoint,
            begun.store,
            confirmed,
            stop.clone(),
        );
        let mut run = pin!(on_worker(run, Some(self.instance.clone())));
        let mut looks = tokio::time::interval(LOOK);
        let ended = loop {
            tokio::select! {
                outcome = &mut run => break outcome.map(drop),
                _ = looks.tick(), if !openings.is_empty() => {
                    if self.monitor.stats().state == GatewayState::Live {
                        openings.drain(..).for_each(|opening| opening.open(None));
                    }
                }
                request = signals.next() => match request {
                    Request::Reload => self.reload(),
                    Request::Drain => {
                        self.instance.stops();
                        tracing::info!("stopping: clients are told, and resume elsewhere");
                        stop.drain();
                    }
                    Request::End => stop.now(),
                },
            }
        };
        if ended.is_ok() {
            tracing::info!("stopped");
        }
        Ok(ended?)
    }
}

/// What the window is of, in the checkpoint and in the files of the journal.
fn identity_name(topic: &str) -> String {
    format!("kafka/{topic}")
}

/// What the journal is to know of a topic.
fn origin(topic: &str, from: Position) -> Origin {
    let name = identity_name(topic);
    // It is told by its name: ids are those of the database behind it, wherever the topic lies.
    let (system_id, timeline) = (0, 1);
    Origin {
        resume: from.lsn(),
        flushed: from.lsn(),
        cut: false,
        facts: SegmentFacts {
            system_id,
            timeline,
            epoch: from.epoch(),
            slot: name.clone(),
            dialect: Dialect::default(),
            server_version: "kafka".to_owned(),
            settings: Vec::new(),
        },
        identity: SourceIdentity {
            system_id,
            timeline,
            epoch: from.epoch(),
            slot: name,
            consistent_point: Lsn::ZERO,
            created_by_us: false,
        },
    }
}

/// What the topic lost before it was read: clients that need it take a new copy. A raised epoch is a gap
/// by itself.
fn hole(tail: Option<Position>, from: Position) -> Option<Gap> {
    let tail = tail.filter(|tail| tail.epoch() == from.epoch() && *tail < from)?;
    Some(Gap {
        from: tail.lsn(),
        to: from.lsn(),
        reason: GapReason::SinkFellBehind,
    })
}

/// The source, behind what is lost.
struct Behind {
    hole: Option<Gap>,
    source: KafkaSource,
    instance: Instance,
}

impl Source for Behind {
    async fn next(&mut self) -> Result<Feed, Failure> {
        if let Some(gap) = self.hole.take() {
            let (from, to) = (gap.from, gap.to);
            tracing::warn!(%from, %to, "the topic lost this before it was read: clients that need it take a new copy");
            self.instance.has_gap();
            return Ok(Feed::Gap(gap));
        }
        let feed = self.source.next().await?;
        if let Feed::Gap(gap) = &feed {
            self.instance.has_gap();
            let (from, to) = (gap.from, gap.to);
            tracing::warn!(%from, %to, "the topic says that changes are lost: {}", gap.reason);
        }
        Ok(feed)
    }

    fn unstream(&mut self, xid: Xid, why: String) -> Result<(), Failure> {
        self.source.unstream(xid, why)
    }

    async fn close(&mut self) -> Result<(), Failure> {
        self.source.close().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_between_the_window_and_the_topic_is_a_hole() {
        let at = |epoch, lsn| Position::new(epoch, Lsn(lsn), 0);
        let hole = |tail, from| hole(tail, from).map(|gap| (gap.from.0, gap.to.0));
        assert_eq!(hole(None, at(0, 7)), None);
        assert_eq!(hole(Some(at(0, 7)), at(0, 7)), None);
        assert_eq!(hole(Some(at(0, 5)), at(0, 7)), Some((5, 7)));
        assert_eq!(hole(Some(at(0, 5)), at(1, 7)), None);
    }
}
