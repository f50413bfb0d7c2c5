//! `[journal]`: where changes wait.

use schemars::JsonSchema;
use serde::Deserialize;

use super::Size;

/// Where changes wait between the database and the sinks.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Journal {
    /// Memory for changes that wait for a sink. When a required sink lets it fill, reading from the
    /// database pauses and the slot holds the rest back; an optional sink loses its place instead.
    #[schemars(extend("x-min" = "1MiB", "x-max" = "1TiB"))]
    pub memory: Size,
}

impl Default for Journal {
    fn default() -> Self {
        // A second of a fast drain; larger buffers only hide a slow sink for longer.
        Self {
            memory: Size::mib(64),
        }
    }
}
