//! What is asked only for a check.

use serde::{Deserialize, Deserializer};

use crate::error::WatchError;
use crate::watcher::Watcher;

/// Asked once. `$1` are the names of the publications.
const FACTS: &str = "
SELECT pg_catalog.textsend(pg_catalog.jsonb_build_object(
    'pending_restart', (SELECT pg_catalog.jsonb_agg(s.name) FROM pg_catalog.pg_settings AS s
        WHERE s.pending_restart),
    'limits', (SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object(
            'name', pg_catalog.split_part(c.setting, '=', 1),
            'value', pg_catalog.split_part(c.setting, '=', 2)))
        FROM pg_catalog.pg_db_role_setting AS d, pg_catalog.unnest(d.setconfig) AS c(setting)
        WHERE d.setrole IN (0, (SELECT r.oid FROM pg_catalog.pg_roles AS r
                                WHERE r.rolname = current_user))
          AND d.setdatabase IN (0, (SELECT b.oid FROM pg_catalog.pg_database AS b
                                    WHERE b.datname = pg_catalog.current_database()))
          AND pg_catalog.split_part(c.setting, '=', 1) IN
              ('idle_session_timeout', 'statement_timeout', 'transaction_timeout')),
    'output_plugin_libraries', pg_catalog.current_setting('output_plugin_libraries', true),
    'synchronous_commit', pg_catalog.current_setting('synchronous_commit'),
    'publications', (SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object(
            'name', p.pubname, 'all_tables', p.puballtables, 'via_root', p.pubviaroot,
            'insert', p.pubinsert, 'update', p.pubupdate, 'delete', p.pubdelete,
            'truncate', p.pubtruncate))
        FROM pg_catalog.pg_publication AS p WHERE p.pubname = ANY ($1)),
    'tables', (SELECT pg_catalog.jsonb_agg(DISTINCT pg_catalog.jsonb_build_object(
            'schema', n.nspname, 'name', c.relname, 'identity', c.relreplident,
            'publishes_changes', EXISTS (SELECT FROM pg_catalog.pg_publication AS p
                JOIN pg_catalog.pg_publication_tables AS o ON o.pubname = p.pubname
                WHERE p.pubname = ANY ($1) AND (p.pubupdate OR p.pubdelete)
                  AND o.schemaname = n.nspname AND o.tablename = c.relname),
            'has_key', EXISTS (SELECT FROM pg_catalog.pg_index AS i
                WHERE i.indrelid = c.oid AND i.indisprimary AND i.indisvalid),
            'candidate', (SELECT x.relname FROM pg_catalog.pg_index AS i
                JOIN pg_catalog.pg_class AS x ON x.oid = i.indexrelid
                WHERE i.indrelid = c.oid AND i.indisunique AND i.indisvalid AND i.indimmediate
                  AND i.indpred IS NULL AND i.indexprs IS NULL
                  AND NOT EXISTS (SELECT FROM pg_catalog.pg_attribute AS a
                      WHERE a.attrelid = c.oid AND a.attnum = ANY (i.indkey)
                        AND NOT a.attnotnull)
                ORDER BY i.indnatts, x.relname LIMIT 1),
            'large_values', EXISTS (SELECT FROM pg_catalog.pg_attribute AS a
                WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
                  AND a.attstorage IN ('x', 'e')),
            'generated', EXISTS (SELECT FROM pg_catalog.pg_attribute AS a
                WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
                  AND a.attgenerated <> ''),
            'partition', c.relispartition))
        FROM pg_catalog.pg_publication_tables AS t
        JOIN pg_catalog.pg_namespace AS n ON n.nspname = t.schemaname
        JOIN pg_catalog.pg_class AS c ON c.relnamespace = n.oid AND c.relname = t.tablename
        WHERE t.pubname = ANY ($1))
)::pg_catalog.text)";

/// Facts about settings and publications.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Facts {
    /// Parameters that were changed and need a restart.
    #[serde(deserialize_with = "list")]
    pub pending_restart: Vec<String>,
    /// Time-outs that are set on the role or the database, and hold for every session.
    #[serde(deserialize_with = "list")]
    pub limits: Vec<LongSetting>,
    /// Newer servers: plugins that are allowed.
    pub output_plugin_libraries: Option<String>,
    /// `synchronous_commit`.
    pub synchronous_commit: Option<String>,
    /// Those of the wanted publications that exist.
    #[serde(deserialize_with = "list")]
    pub publications: Vec<Publication>,
    /// The tables in them.
    #[serde(deserialize_with = "list")]
    pub tables: Vec<PublishedTable>,
}

/// A setting of a role or a database.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct LongSetting {
    /// Its name.
    pub name: String,
    /// Its value, as it was set.
    pub value: String,
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
    /// It has a primary key.
    pub has_key: bool,
    /// A unique index that can be its replica identity.
    pub candidate: Option<String>,
    /// It has columns whose large values are stored apart.
    pub large_values: bool,
    /// It has generated columns.
    pub generated: bool,
    /// It is a partition, published by itself.
    pub partition: bool,
}

impl PublishedTable {
    /// Whether rows can be named in updates and deletes.
    #[must_use]
    pub fn has_identity(&self) -> bool {
        match self.identity.as_str() {
            "f" | "i" => true,
            "d" => self.has_key,
            _ => false,
        }
    }
}

impl Facts {
    /// Reads them over the connection of a watcher.
    ///
    /// # Errors
    ///
    /// As [`Watcher::look`].
    pub async fn read(watcher: &Watcher, publications: &[String]) -> Result<Self, WatchError> {
        let text = watcher
            .ask("read settings and publications", FACTS, &[&publications])
            .await?;
        serde_json::from_str(&text).map_err(|source| WatchError::Malformed {
            doing: "read settings and publications",
            source,
        })
    }
}

/// `jsonb_agg` of nothing is null.
fn list<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Vec<T>, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}
