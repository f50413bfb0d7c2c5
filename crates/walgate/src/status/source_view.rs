//! What the page of a push server shows of the source.

use std::sync::Arc;

use serde_json::{Value, json};
use walgate_sink_websocket::SourceView;

use super::StatusReport;
use crate::watch::Sight;

/// Gives it at each moment.
pub(crate) fn source_view(look: impl Fn() -> Sight + Send + Sync + 'static) -> SourceView {
    Arc::new(move || of(&look()))
}

/// The source, our slot with what follows for it, and the guard's level: parts of the status document, by the same
/// names. Slots and sessions of others are nobody's who only follows changes.
fn of(sight: &Sight) -> Value {
    let report = StatusReport::new(sight).value();
    let slots = report["slots"].as_array();
    let ours = slots.and_then(|slots| slots.iter().find(|slot| slot["ours"] == true));
    let view = sight.current();
    let past = view.and_then(|view| view.report.slots.iter().find(|slot| slot.ours));
    json!({
        "at": report["at"],
        "source": {
            "state": report["source"]["state"],
            "received_lsn": report["source"]["received_lsn"],
            "confirmed_lsn": report["source"]["confirmed_lsn"],
            "reconnects": report["source"]["reconnects"],
            "gaps": report["source"]["gaps"],
        },
        "slot": ours,
        "slot_past_bytes": past.map(|slot| &slot.past),
        "wal_bytes_per_second": report["server"]["wal_bytes_per_second"],
        "level": report["guard"]["level"],
        "last_look_seconds": report["watch"]["last_look_seconds"],
    })
}
