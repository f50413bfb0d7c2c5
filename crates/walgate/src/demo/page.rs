//! The page of the demo: a push server on this machine, for everybody on it.

use std::path::Path;
use std::sync::Arc;

use walgate_core::{Encoder, Failure};
use walgate_format::{NativeJson, NativeJsonOptions};
use walgate_pipeline::{Demand, Pipeline, SinkOptions, StatusHandle};
use walgate_replication::SourceConfig;
use walgate_sink_websocket::SourceView;

use crate::config::{Config, PushDelivery, Size, Websocket};
use crate::status::source_view;
use crate::watch::{Instance, Watch, WatchOptions};
use crate::wiring::{Added, MakeEncoder, Push};

/// What the journal keeps for a page that is opened later, or again: hours of the demo.
pub(super) const KEPT: Size = Size::mib(64);

/// Adds it beside the demo's own sink. It never holds that back.
pub(super) fn add(
    pipeline: &mut Pipeline,
    shown: StatusHandle,
    source: Option<SourceView>,
) -> Result<Added, Failure> {
    let encoder: MakeEncoder =
        Arc::new(|| Box::new(NativeJson::new(NativeJsonOptions::default())) as Box<dyn Encoder>);
    let mut websocket = Websocket {
        delivery: PushDelivery::Resumable,
        ..Websocket::default()
    };
    let options = || {
        let mut options = SinkOptions::new("page");
        options.demand = Demand::Optional;
        options
    };
    let added = Push::add(
        pipeline,
        options(),
        &websocket,
        Arc::clone(&encoder),
        source.clone(),
    );
    let (push, status) = match added {
        Ok(added) => added,
        // Another demo, or a service, has the port.
        Err(_) => {
            "127.0.0.1:0".clone_into(&mut websocket.listen);
            Push::add(pipeline, options(), &websocket, encoder, source)?
        }
    };
    Ok(Added {
        sinks: vec![shown, status],
        pushes: vec![push],
    })
}

/// Looks at the slot for as long as somebody may ask. What it remembers goes into `folder`.
pub(super) fn look(source: &SourceConfig, folder: &Path) -> Option<SourceView> {
    let mut config = Config::default();
    config.source.slot = source.slot.name.parse().ok()?;
    config.state.dir = folder.to_owned();
    let instance = Instance::new(&config, source.monitor.clone());
    let options = WatchOptions::new(&config, source.connection.clone());
    let watch = Watch::start(instance, options);
    Some(source_view(move || watch.view()()))
}

/// Where people open it.
pub(super) fn url(added: &Added) -> Option<String> {
    let push = added.pushes.first()?;
    Some(format!("http://{}/", push.address()))
}
