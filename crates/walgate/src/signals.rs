//! What the operating system asks of us.

use std::io;

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    /// Deliver what is in flight, confirm it, and end: the first SIGINT or SIGTERM.
    Drain,
    /// End at once: any further one.
    End,
    /// Read the configuration again: SIGHUP.
    Reload,
}

/// Turns the repeated wish to end into its two stages.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Escalation {
    asked: bool,
}

impl Escalation {
    /// Somebody wants us to end.
    pub const fn ask(&mut self) -> Request {
        if self.asked {
            return Request::End;
        }
        self.asked = true;
        Request::Drain
    }
}

/// The signals of this process. From its creation on they no longer end the process by themselves;
/// a closed pipe is an error of writing (Rust ignores SIGPIPE).
#[derive(Debug)]
pub struct Signals {
    escalation: Escalation,
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    #[cfg(unix)]
    hangup: tokio::signal::unix::Signal,
}

impl Signals {
    /// An end was asked for already.
    #[must_use]
    pub const fn is_asked(&self) -> bool {
        self.escalation.asked
    }

    /// Takes the signals over. Only inside of a tokio runtime.
    ///
    /// # Errors
    ///
    /// When the operating system refuses.
    #[cfg(unix)]
    pub fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            escalation: Escalation::default(),
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Takes the signals over. Only inside of a tokio runtime.
    ///
    /// # Errors
    ///
    /// Never, where there is only Ctrl-C.
    #[cfg(not(unix))]
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            escalation: Escalation::default(),
        })
    }

    /// The next request. May be dropped and called again: no signal is lost.
    #[cfg(unix)]
    pub async fn next(&mut self) -> Request {
        tokio::select! {
            // An end goes before a reload that came with it.
            biased;
            _ = self.interrupt.recv() => self.escalation.ask(),
            _ = self.terminate.recv() => self.escalation.ask(),
            _ = self.hangup.recv() => Request::Reload,
        }
    }

    /// The next request. May be dropped and called again.
    #[cfg(not(unix))]
    pub async fn next(&mut self) -> Request {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        self.escalation.ask()
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    fn send(signal: &str) {
        let me = std::process::id().to_string();
        let sent = std::process::Command::new("kill")
            .args(["-s", signal, &me])
            .status();
        assert!(sent.expect("kill runs").success());
    }

    #[tokio::test]
    async fn the_first_drains_the_second_ends() {
        let mut signals = Signals::new().expect("signals");
        send("HUP");
        assert_eq!(signals.next().await, Request::Reload);
        assert!(!signals.is_asked());
        send("TERM");
        assert_eq!(signals.next().await, Request::Drain);
        assert!(signals.is_asked());
        send("INT");
        assert_eq!(signals.next().await, Request::End);
        send("TERM");
        assert_eq!(signals.next().await, Request::End);
    }
}
