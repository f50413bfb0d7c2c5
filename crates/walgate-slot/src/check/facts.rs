//! What is read only for a check.

use serde::{Deserialize, Deserializer};

use super::Wanted;
use super::query::{SETTINGS, TABLES};
use crate::error::WatchError;
use crate::watcher::Watcher;

/// Facts about settings, rights and publications.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Facts {
    /// The backend says another process id than the one that the connection was given: something
    /// between us hands sessions out.
    #[serde(skip)]
    pub pooled: bool,
    /// Parameters that were changed and need a restart.
    #[serde(deserialize_with = "list")]
    pub pending_restart: Vec<String>,
    /// Time-outs that are set on the role or the database, that hold for sessions of the role, and that
    /// Walgate does not set for its own: of each the one that wins.
    #[serde(deserialize_with = "list")]
    pub limits: Vec<LongSetting>,
    /// Newer servers: plugins that are allowed.
    pub output_plugin_libraries: Option<String>,
    /// `synchronous_commit`.
    pub synchronous_commit: Option<String>,
    /// `logical_decoding_work_mem`.
    pub logical_decoding_work_mem: Option<String>,
    /// The role may call `pg_logical_emit_message`.
    pub may_emit: Option<bool>,
    /// Policies of row security don't hold for the role.
    pub bypasses_row_security: Option<bool>,
    /// Those of the wanted publications that exist.
    #[serde(deserialize_with = "list")]
    pub publications: Vec<Publication>,
    /// The tables in them.
    #[serde(skip)]
    pub tables: Vec<PublishedTable>,
    /// Wanted tables that are not in them.
    #[serde(skip)]
    pub unpublished: Vec<UnpublishedTable>,
}

/// A setting of a role or a database.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct LongSetting {
    /// Its name.
    pub name: String,
    /// Its value, as it was set.
    pub value: String,
    /// It is set on the role, not for all roles.
    #[serde(default)]
    pub of_role: bool,
    /// It is set on the database, not for all databases.
    #[serde(default)]
    pub of_database: bool,
}

/// A publication.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Publication {
    /// Its name.
    pub name: String,
    /// `FOR ALL TABLES`.
    pub all_tables: bool,
    /// `publish_via_partition_root`.
    pub via_root: bool,
    /// It publishes inserts.
    pub insert: bool,
    /// It publishes updates.
    pub update: bool,
    /// It publishes deletes.
    pub delete: bool,
    /// It publishes truncates.
    pub truncate: bool,
    /// Transactions since it was created or altered.
    pub age: Option<i64>,
}

/// A published table.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct PublishedTable {
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// `relreplident`: `d`, `n`, `f` or `i`.
    pub identity: String,
    /// Updates or deletes of it are published.
    pub publishes_changes: bool,
    /// What has no replica identity: the table itself, or partitions of it.
    #[serde(deserialize_with = "list")]
    pub unidentified: Vec<Relation>,
    /// A unique index that can be its replica identity.
    pub candidate: Option<String>,
    /// It has columns whose large values are stored apart.
    pub large_values: bool,
    /// It has generated columns that are not published: before 18 none are.
    pub generated: bool,
    /// It is a partition, published by itself.
    pub partition: bool,
    /// The role may read it.
    pub readable: bool,
    /// It has row security.
    pub row_security: bool,
    /// Its size as it was last noted; without what is stored apart.
    pub bytes: u64,
    /// Columns that the publication needs in the replica identity and that are not, or the other way.
    #[serde(deserialize_with = "list")]
    pub outside_identity: Vec<OutsideIdentity>,
    /// Types of its columns that are delivered as PostgreSQL's own text.
    #[serde(deserialize_with = "list")]
    pub texts: Vec<String>,
}

/// A table, or a partition.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Relation {
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub name: String,
}

/// A column for which the server refuses updates and deletes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct OutsideIdentity {
    /// Its name.
    pub column: String,
    /// The row filter uses it, and the replica identity lacks it; else the column list lacks it, and
    /// the replica identity has it.
    pub filter: bool,
}

/// A table that is wanted and not published.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct UnpublishedTable {
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// `relkind`; none when there is no such table.
    pub kind: Option<String>,
    /// `relpersistence`.
    pub persistence: Option<String>,
    /// Its rows can be told apart in updates and deletes, also those of its partitions.
    pub has_identity: Option<bool>,
}

impl UnpublishedTable {
    /// Why it can't be published; none when it can.
    #[must_use]
    pub fn obstacle(&self) -> Option<&'static str> {
        match (self.kind.as_deref(), self.persistence.as_deref()) {
            (None, _) => Some("does not exist"),
            (Some("v"), _) => Some("is a view"),
            (Some("m"), _) => Some("is a materialized view"),
            (Some("f"), _) => Some("is a foreign table"),
            (_, Some("u")) => Some("is unlogged"),
            (_, Some("t")) => Some("is temporary"),
            _ => None,
        }
    }
}

impl PublishedTable {
    /// Whether rows can be named in updates and deletes, also those of partitions.
    #[must_use]
    pub fn has_identity(&self) -> bool {
        self.unidentified.is_empty()
    }
}

#[derive(Deserialize)]
struct Tables {
    #[serde(deserialize_with = "list")]
    tables: Vec<PublishedTable>,
    #[serde(deserialize_with = "list")]
    unpublished: Vec<UnpublishedTable>,
}

impl Facts {
    /// Reads them over the connection of a watcher.
    ///
    /// # Errors
    ///
    /// As [`Watcher::look`].
    pub async fn read(watcher: &Watcher, wanted: &Wanted) -> Result<Self, WatchError> {
        let doing = "read settings and publications";
        let malformed = |source| WatchError::Malformed { doing, source };
        let publications = &wanted.publications;
        let text = watcher.ask(doing, SETTINGS, &[publications]).await?;
        let mut facts: Self = serde_json::from_str(&text).map_err(malformed)?;
        let pid: BackendPid = serde_json::from_str(&text).map_err(malformed)?;
        facts.pooled = pid.backend_pid != watcher.backend_pid();
        let doing = "read the published tables";
        let malformed = |source| WatchError::Malformed { doing, source };
        let schemas: Vec<_> = wanted.tables.iter().map(|(schema, _)| schema).collect();
        let names: Vec<_> = wanted.tables.iter().map(|(_, name)| name).collect();
        let text = watcher
            .ask(doing, TABLES, &[publications, &schemas, &names])
            .await?;
        let Tables {
            tables,
            unpublished,
        } = serde_json::from_str(&text).map_err(malformed)?;
        Ok(Self {
            tables,
            unpublished,
            ..facts
        })
    }
}

#[derive(Deserialize)]
struct BackendPid {
    backend_pid: i32,
}

/// `jsonb_agg` of nothing is null.
fn list<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Vec<T>, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}
