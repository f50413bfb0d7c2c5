//! Snapshots for clients of push, from the source itself.

use std::sync::Arc;
use std::time::Duration;

use walgate_core::{Table, Tuple};
use walgate_pipeline::Selection;
use walgate_replication::{
    SnapshotTrouble, SnapshotTroubleKind, SourceConfig, SourceMonitor, TableSnapshot,
};
use walgate_sink_websocket::{
    Moment, RowReader, Snapshot, SnapshotError, SnapshotErrorKind, SnapshotFuture, Snapshots,
    WantedTables,
};

/// Where rows are read from.
#[derive(Clone)]
pub(crate) struct RowSource {
    /// How the source is reached, and what it publishes.
    config: Arc<SourceConfig>,
    /// Of the stream that the changes come on.
    monitor: SourceMonitor,
}

impl RowSource {
    /// The rows of the source with this configuration, whose stream is watched by `monitor`.
    pub(super) fn new(config: Arc<SourceConfig>, monitor: &SourceMonitor) -> Self {
        Self {
            config,
            monitor: monitor.clone(),
        }
    }

    /// The rows as a sink with this selection is given them.
    pub(super) fn snapshots(self, selection: &Arc<Selection>) -> Arc<dyn Snapshots> {
        Arc::new(SelectedRows {
            source: self,
            selection: Arc::clone(selection),
        })
    }
}

struct SelectedRows {
    source: RowSource,
    selection: Arc<Selection>,
}

impl Snapshots for SelectedRows {
    fn begin(
        &self,
        wanted: WantedTables,
        within: Duration,
    ) -> SnapshotFuture<'_, Box<dyn Snapshot>> {
        Box::pin(async move {
            let selection = Arc::clone(&self.selection);
            let wants = move |schema: &str, table: &str| {
                selection.takes(schema, table) && wanted(schema, table)
            };
            let rows = TableSnapshot::take(&self.source.config, &wants, within).await;
            let rows = rows.map_err(of_trouble)?;
            let at = rows.moment();
            let moment = Moment::parse(&at.snapshot, at.age, at.end, at.has_standbys);
            let moment = moment.ok_or_else(|| {
                let message = format!("the source gives no snapshot: {:?}", at.snapshot);
                SnapshotError::new(SnapshotErrorKind::Unavailable, message)
            })?;
            let snapshot: Box<dyn Snapshot> = Box::new(Reading {
                rows,
                moment,
                selection: Arc::clone(&self.selection),
                table: None,
                begun: 0,
            });
            Ok(snapshot)
        })
    }

    fn hurry(&self) {
        self.source.monitor.hurry();
    }
}

struct Reading {
    rows: TableSnapshot,
    moment: Moment,
    selection: Arc<Selection>,
    /// What is read, as the selection sees it.
    table: Option<Arc<Table>>,
    /// Tables that were met.
    begun: u32,
}

impl Snapshot for Reading {
    fn moment(&self) -> &Moment {
        &self.moment
    }

    fn next<'a>(&'a mut self, reader: &'a mut dyn RowReader) -> SnapshotFuture<'a, bool> {
        Box::pin(async move {
            loop {
                if self.table.is_none() {
                    match self.begin(reader).await? {
                        Some(table) => self.table = Some(table),
                        None => return Ok(false),
                    }
                }
                let batch = self.rows.next().await.map_err(of_trouble)?;
                let Some((batch, table)) = batch.zip(self.table.as_ref()) else {
                    self.table = None;
                    continue;
                };
                let mut start = 0;
                for end in &batch.ends {
                    let row = batch.bytes.get(start..*end).unwrap_or_default();
                    start = *end;
                    let row = Tuple::parse(row).map_err(|error| {
                        let name = &table.relation.name;
                        let message = format!("a row of table {name} makes no sense: {error}");
                        SnapshotError::new(SnapshotErrorKind::Unavailable, message)
                    })?;
                    reader.take(table, row);
                }
                return Ok(true);
            }
        })
    }
}

impl Reading {
    /// Begins the next table of which something is taken; none at the end.
    async fn begin(
        &mut self,
        reader: &mut dyn RowReader,
    ) -> Result<Option<Arc<Table>>, SnapshotError> {
        while let Some(relation) = self.rows.table() {
            let table = self.selection.table(relation, self.begun);
            self.begun += 1;
            let table = table.map_err(|failure| {
                SnapshotError::new(SnapshotErrorKind::Refused, failure.message)
            })?;
            let Some(table) = table.map(Arc::new) else {
                self.rows.skip();
                continue;
            };
            let keys = reader.keys(&table)?;
            self.rows.read(keys.as_deref()).await.map_err(of_trouble)?;
            return Ok(Some(table));
        }
        Ok(None)
    }
}

fn of_trouble(trouble: SnapshotTrouble) -> SnapshotError {
    let kind = match trouble.kind {
        SnapshotTroubleKind::Refused => SnapshotErrorKind::Refused,
        SnapshotTroubleKind::TooLong => SnapshotErrorKind::TooLarge,
        SnapshotTroubleKind::Unavailable => SnapshotErrorKind::Unavailable,
    };
    SnapshotError::new(kind, trouble.message)
}
