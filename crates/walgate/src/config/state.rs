//! `[state]`: what survives a restart.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

/// What Walgate remembers between two runs.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default)]
pub struct State {
    /// Folder of the checkpoint; created when missing, used by one Walgate at a time. It is small.
    /// Keep it with the slot: without it, the slot alone decides where to go on. A relative path
    /// starts at the folder of the configuration file.
    #[schemars(with = "String", length(min = 1), extend("x-active" = true))]
    pub dir: PathBuf,
}

impl Default for State {
    fn default() -> Self {
        Self {
            dir: PathBuf::from("walgate-state"),
        }
    }
}
