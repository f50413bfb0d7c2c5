//! A token whose key is not known: it waits for the keys to be read again.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};

use super::Talk;
use crate::access::Access;
use crate::close::Close;
use crate::protocol::{Bearer, Start};

/// A token that waits for its key.
pub(super) struct KeyWait {
    purpose: Purpose,
    admitted: Pin<Box<dyn Future<Output = Option<Access>> + Send>>,
}

/// What a token was shown for.
pub(super) enum Purpose {
    Start(Box<Start>),
    Renewal,
}

/// What the token that waits opens; never anything where none does. Cancel-safe.
pub(super) async fn over(key_wait: &mut Option<KeyWait>) -> Option<Access> {
    match key_wait {
        Some(key_wait) => key_wait.admitted.as_mut().await,
        None => std::future::pending().await,
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Talk<S> {
    /// Goes on with [`after_key_wait`](Self::after_key_wait) when the key has come, or does not come. What
    /// the client says meanwhile waits, and what it is sent does not.
    pub(super) fn wait_for_key(&mut self, token: Bearer, purpose: Purpose) {
        let desk = Arc::clone(&self.desk);
        self.key_wait = Some(KeyWait {
            purpose,
            admitted: Box::pin(async move { desk.policy().admit(Some(&token.0)).await }),
        });
    }

    pub(super) fn after_key_wait(&mut self, access: Option<Access>) {
        let Some(KeyWait { purpose, .. }) = self.key_wait.take() else {
            return;
        };
        match (purpose, access) {
            (Purpose::Start(start), Some(access)) => self.begin(*start, access),
            (Purpose::Start(_), None) => self.close(Close::Unauthorized, None),
            (Purpose::Renewal, access) => self.renew_with(access),
        }
        // What it has said since.
        self.unheard = true;
    }
}
