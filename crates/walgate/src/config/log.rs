//! `[log]`: what is said on stderr.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The log, on stderr. Data never goes there, and nothing else goes to stdout.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Log {
    /// How much is said; -v and -q on the command line go one level up and down from here.
    #[schemars(extend("x-reload" = true))]
    pub level: LogLevel,
    /// For people or for machines.
    pub format: LogFormat,
}

/// How much is said.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum LogLevel {
    /// a person must act
    Error,
    /// something is not as it should be, and Walgate goes on
    Warn,
    /// each change of state
    Info,
    /// what leads to it
    Debug,
    /// everything
    Trace,
}

/// For whom the log is.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema, clap::ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    /// one readable line an entry, with colours on a terminal
    Human,
    /// one JSON object a line
    Json,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            level: LogLevel::Info,
            format: LogFormat::Human,
        }
    }
}
