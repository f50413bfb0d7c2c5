//! Errors by their consequence.

use std::fmt;

/// What an error means for what is tried next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorClass {
    /// Try again, with back-off.
    Transient,
    /// This record can never be taken: dead letter or stop, by policy.
    Definite,
    /// Nothing helps but a change of the configuration: stop, with the remedy.
    Fatal,
    /// Whoever read the output has gone (a closed pipe): end, without an alarm.
    Closed,
}

/// Why the program stops; each has an exit code of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StopReason {
    /// The configuration, or what it names on the server, is wrong.
    Config,
    /// A right is missing, or a password wrong.
    Permission,
    /// The slot is lost or changes are missing.
    Gap,
    /// Somebody else uses the slot.
    SlotBusy,
    /// A sink can't go on.
    Sink,
    /// Whoever read the output has gone ([`ErrorClass::Closed`]).
    OutputClosed,
    /// Data or protocol: a record that can never be taken, bytes that make no sense.
    Data,
    /// The state directory can't be used.
    State,
}

impl StopReason {
    /// The exit code; 0 is a clean end and 1 everything that has no code of its own.
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Config => 2,
            Self::Permission => 3,
            Self::Gap => 4,
            Self::SlotBusy => 5,
            Self::Sink | Self::OutputClosed => 6,
            Self::Data => 7,
            Self::State => 8,
        }
    }
}

/// An error that needs a human: what happened and where, and the one command that fixes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Decides the exit code.
    pub reason: StopReason,
    /// What happened and where (slot, table, LSN): lowercase, no period.
    pub message: String,
    /// What to do, with the command.
    pub hint: Option<String>,
}

impl Failure {
    /// A failure without a hint.
    pub fn new(reason: StopReason, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
            hint: None,
        }
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}
