//! How a connection begins: what the client wants, and what its token opens.

use std::time::SystemTime;

use tokio::io::{AsyncRead, AsyncWrite};

use super::key_wait::Purpose;
use super::{MAX_MESSAGE, Talk};
use crate::access::{Access, JwtRefusal};
use crate::close::Close;
use crate::frame::Carrier;
use crate::protocol::{SNAPSHOT_OR_AFTER, Start};
use crate::session::Session;

impl<S: AsyncRead + AsyncWrite + Unpin> Talk<S> {
    pub(super) fn start(&mut self, start: Start) {
        let now = SystemTime::now();
        let judged = match (&self.access, &start.token) {
            (Some(access), None) => Some(access.clone())
                .filter(|access| access.holds(now))
                .ok_or(JwtRefusal::Expired),
            (_, token) => {
                let token = token.as_ref().map(|token| token.0.as_str());
                self.desk.policy().judge(token, now)
            }
        };
        match (judged, start.token.clone()) {
            (Ok(access), _) => self.begin(start, access),
            (Err(JwtRefusal::UnknownKey), Some(token)) => {
                self.wait_for_key(token, Purpose::Start(Box::new(start)));
            }
            (Err(_), _) => self.close(Close::Unauthorized, None),
        }
    }

    /// Begins with what its token opens.
    pub(super) fn begin(&mut self, start: Start, access: Access) {
        let with_snapshot = start.snapshot;
        let after = start
            .after
            .as_deref()
            .map(|after| self.desk.resume_point(after))
            .transpose();
        let session = after.map_err(|error| error.to_string()).and_then(|after| {
            let since = start.since()?;
            if with_snapshot && (after.is_some() || since.is_some()) {
                return Err(SNAPSHOT_OR_AFTER.to_owned());
            }
            let session = Session::new(&self.desk, access, start.subscriptions);
            Ok((session, after, since))
        });
        let session = session.and_then(|(session, after, since)| match session {
            Ok(session) => Ok((Some(session), after, since)),
            // Nothing is wrong with what it asks for.
            Err(refusal) if refusal.is_crowd() => Ok((None, after, since)),
            Err(refusal) => {
                let message = refusal.message.clone();
                self.say(&refusal.answer());
                Err(message)
            }
        });
        match session {
            Ok((None, ..)) => self.close(Close::Crowded, None),
            Ok((Some(session), after, since)) => {
                tracing::debug!(subject = session.subject(), ?after, "a client follows");
                self.context.set_config(|config| {
                    config.max_message_size = Some(MAX_MESSAGE);
                    config.max_frame_size = Some(MAX_MESSAGE);
                });
                let feed = session.feed(Carrier::WebSocket, after, with_snapshot);
                self.feed = Some(feed.since(since));
                self.session = Some(session);
            }
            Err(message) => self.close(Close::Refused, Some(message)),
        }
    }
}
