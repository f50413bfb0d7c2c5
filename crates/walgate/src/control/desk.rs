//! What a service answers.

use std::collections::BTreeMap;
use std::time::SystemTime;

use serde_json::Value;
use walgate_core::{Failure, StopReason};
use walgate_pipeline::{RewindTo, Rewinds};

use super::protocol::{Answer, Command, RewindAsked};
use crate::args::Bound;
use crate::config::{Config, Destination};

/// Answers requests. It blocks.
pub(crate) struct Desk {
    rewinds: Rewinds,
    sinks: BTreeMap<String, Kind>,
    status: Option<Status>,
}

/// Says how the service does.
type Status = Box<dyn Fn() -> Value + Send + Sync>;

/// What a rewind means for a sink.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Who reads sees the repeats by their ids.
    Stdout,
    /// It holds each event once, in order.
    File,
    /// What comes again stands behind newer events.
    Kafka,
    /// Each client goes back by itself.
    Websocket,
}

impl Desk {
    /// For the sinks of a configuration.
    pub(crate) fn new(rewinds: Rewinds, config: &Config) -> Self {
        let kind = |destination: &Destination| match destination {
            Destination::Stdout(_) => Kind::Stdout,
            Destination::File(_) => Kind::File,
            Destination::Kafka(_) => Kind::Kafka,
            Destination::Websocket(_) => Kind::Websocket,
        };
        let sinks = config.sinks.iter();
        let sinks = sinks.map(|(name, sink)| (name.clone(), kind(&sink.destination)));
        Self {
            rewinds,
            sinks: sinks.collect(),
            status: None,
        }
    }

    /// Answers with this how the service does.
    pub(crate) fn with_status(
        mut self,
        status: impl Fn() -> Value + Send + Sync + 'static,
    ) -> Self {
        self.status = Some(Box::new(status));
        self
    }

    /// Answers a line.
    pub(crate) fn answer(&self, line: &[u8]) -> Answer {
        let answer = Command::parse(line).and_then(|command| match command {
            Command::Rewind(asked) => self.rewind(asked),
            Command::Status => self.status(),
        });
        answer.unwrap_or_else(Answer::refused)
    }

    fn status(&self) -> Result<Answer, Failure> {
        let none = || Failure::new(StopReason::Config, "this service does not say how it does");
        let status = self.status.as_ref().ok_or_else(none)?;
        Ok(Answer::status(status()))
    }

    fn rewind(&self, asked: RewindAsked) -> Result<Answer, Failure> {
        let sink = asked.sink.as_str();
        let refused = |message: String| Failure::new(StopReason::Config, message);
        match self.sinks.get(sink) {
            Some(Kind::File) => {
                let message = format!(
                    "sink {sink} is a file, which holds each event once and in order: it can't be \
                     given events again"
                );
                return Err(refused(message).hint(
                    "replay the journal into another file: a copy of the configuration with \
                     another path, and walgate replay JOURNAL -c COPY --sink NAME",
                ));
            }
            Some(Kind::Websocket) => {
                let message = format!(
                    "sink {sink} is for clients that follow: each of them goes back by itself"
                );
                return Err(refused(message)
                    .hint("let the client connect with after=POSITION, as it resumes"));
            }
            Some(Kind::Kafka) if !asked.accept_reorder => {
                let message = format!(
                    "sink {sink} is a Kafka: until the rewind is over, older events stand behind \
                     newer ones in its topics"
                );
                return Err(refused(message).hint(
                    "say --accept-reorder when its consumers bear that; what comes again has the \
                     header walgate-replay",
                ));
            }
            Some(Kind::Kafka | Kind::Stdout) | None => {}
        }
        let to = match asked.to.parse().map_err(refused)? {
            Bound::Lsn(lsn) => RewindTo::Lsn(lsn),
            Bound::Position(position) => RewindTo::Position(position),
            Bound::Time(time) => RewindTo::Time(time),
        };
        let accepted = self.rewinds.ask(sink, to, replay_id(SystemTime::now()))?;
        let (id, from) = (accepted.id.as_str(), accepted.from);
        tracing::info!(sink, id, %from, "a rewind was asked for");
        Ok(Answer::rewinding(asked.sink, accepted))
    }
}

/// An id for what comes again: the time for people, and a number against two in one second.
pub(crate) fn replay_id(now: SystemTime) -> String {
    let mut id = humantime::format_rfc3339_seconds(now).to_string();
    id.retain(|c| c != '-' && c != ':');
    format!("{id}-{:04x}", fastrand::u16(..))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    #[test]
    fn an_id_says_when() {
        let id = replay_id(UNIX_EPOCH + Duration::from_secs(1_795_219_200));
        assert_eq!(id.len(), "20261121T000000Z-3f2a".len());
        assert!(id.starts_with("20261121T000000Z-"), "{id}");
    }
}
