//! `[watch]`: the eye on what slots hold back.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Period, Size};

/// The look at the server beside the stream: what its slots hold back, why, and until when. It goes
/// over a connection of its own, and costs the server less than a millisecond each time.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Watch {
    /// Time between two looks.
    #[schemars(extend("x-min" = "500ms", "x-max" = "10m"))]
    pub interval: Period,
    /// The most write-ahead log that a slot may hold back before it is a danger; only the server's
    /// own limit (max_slot_wal_keep_size) counts when it is not set.
    #[schemars(extend("x-min" = "1MiB", "x-max" = "1024TiB", "examples" = ["50GiB"]))]
    pub budget: Option<Size>,
    /// A program and its arguments, run without a shell at most once a minute; the first line that it
    /// prints is how many bytes are free on the server's disk. For a server whose disk is not ours to
    /// see.
    #[schemars(length(min = 1), extend("examples" = [["/etc/walgate/free-space"]]))]
    pub free_space_command: Option<Vec<String>>,
    /// What of the server's disk must stay free: other things than the log are written there too.
    #[schemars(extend("x-min" = "0B", "x-max" = "1024TiB"))]
    pub free_space_reserve: Size,
    /// Show no statements of other sessions: they may hold data.
    pub hide_queries: bool,
}

impl Default for Watch {
    fn default() -> Self {
        Self {
            interval: Period::seconds(5),
            budget: None,
            free_space_command: None,
            // What a checkpoint or a sort may take in a moment, on a small disk too.
            free_space_reserve: Size::mib(1024),
            hide_queries: false,
        }
    }
}
