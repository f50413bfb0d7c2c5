//! The connection that looks.

use std::time::Duration;

use serde::Deserialize;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Statement, ToStatement};
use walgate_connection::{ConnectionConfig, SqlClient};

use crate::error::WatchError;
use crate::observation::Observation;
use crate::query::{
    CONNECTION_SETTINGS, IDENTITY, LOOK, SYSTEM_IDENTIFIER, WRITE_NOTHING, look_without_statements,
};
use crate::words::identifier;

/// The oldest server that is supported.
const OLDEST_VERSION_NUM: i32 = 140_000;

/// How long a server may be silent: `statement_timeout` ends what runs too long, and only a server
/// or a network that hangs is silent for longer than that.
const PATIENCE: Duration = Duration::from_secs(8);

/// Who runs the server. It decides how parameters are changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Provider {
    /// Amazon RDS.
    Rds,
    /// Amazon Aurora.
    Aurora,
    /// Google Cloud SQL.
    CloudSql,
    /// Azure Database for PostgreSQL.
    Azure,
    /// Nobody that is recognised.
    SelfManaged,
}

/// The server, as it was when the connection was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// `server_version_num`: 170010 for 17.10.
    pub version_num: i32,
    /// `server_version`.
    pub version: String,
    /// The role of the connection.
    pub role: String,
    /// The database of the connection.
    pub database: String,
    /// The role may read all statistics (`pg_read_all_stats`, which `pg_monitor` has). Without it who
    /// other sessions are, since when and what they do is hidden.
    pub sees_everything: bool,
    /// The role may create and drop slots.
    pub may_replicate: bool,
    /// `system_identifier`, where the role may read it.
    pub system_id: Option<u64>,
    /// Who runs it.
    pub provider: Provider,
    /// Where it is, for messages.
    pub endpoint: String,
    /// The connection is encrypted.
    pub encrypted: bool,
}

impl Server {
    /// What this role can't see, in words; empty when it sees everything.
    #[must_use]
    pub fn unseen(&self) -> Vec<String> {
        if self.sees_everything {
            return Vec::new();
        }
        vec![format!(
            "who other sessions are, their age and their queries are hidden from {role}: \
             GRANT pg_monitor TO {name}",
            role = self.role,
            name = identifier(&self.role)
        )]
    }
}

#[derive(Deserialize)]
struct Identity {
    version_num: i32,
    version: String,
    role: String,
    database: String,
    sees_everything: bool,
    may_replicate: bool,
    is_rds: bool,
    is_aurora: bool,
    is_cloud_sql: bool,
    is_azure: bool,
}

impl Identity {
    const fn provider(&self) -> Provider {
        match self {
            Self {
                is_aurora: true, ..
            } => Provider::Aurora,
            Self { is_rds: true, .. } => Provider::Rds,
            Self {
                is_cloud_sql: true, ..
            } => Provider::CloudSql,
            Self { is_azure: true, .. } => Provider::Azure,
            Self { .. } => Provider::SelfManaged,
        }
    }
}

/// An ordinary connection with one prepared query. A look takes no lock that anybody could wait
/// for, waits at most 500 ms for one, and ends after 5 s; it writes nothing.
#[derive(Debug)]
pub struct Watcher {
    sql: SqlClient,
    look: Statement,
    server: Server,
}

impl Watcher {
    /// Connects and prepares.
    ///
    /// # Errors
    ///
    /// When the server can't be reached, refuses, or is older than 14.
    pub async fn connect(config: &ConnectionConfig) -> Result<Self, WatchError> {
        let sql = Box::pin(config.connect_sql(CONNECTION_SETTINGS)).await?;
        let doing = "make the connection read-only";
        in_time(doing, async {
            let set = sql.batch_execute(WRITE_NOTHING).await;
            set.map_err(WatchError::sql(doing))
        })
        .await?;
        let server = in_time("ask who the server is", identify(&sql)).await?;
        let doing = "prepare the look at the slots";
        let look = in_time(doing, async {
            sql.prepare(LOOK).await.map_err(WatchError::sql(doing))
        })
        .await?;
        Ok(Self { sql, look, server })
    }

    /// Who is looked at.
    #[must_use]
    pub const fn server(&self) -> &Server {
        &self.server
    }

    /// The process id of the connection's backend.
    #[must_use]
    pub fn backend_pid(&self) -> i32 {
        self.sql.backend_pid()
    }

    /// Looks.
    ///
    /// # Errors
    ///
    /// When the connection is gone, or the answer is late or makes no sense. After
    /// [`Silent`](WatchError::Silent) the connection is of no use any more.
    pub async fn look(&self) -> Result<Observation, WatchError> {
        let doing = "look at the slots";
        let read = |text: &str| {
            Observation::read(text).map_err(|source| WatchError::Malformed { doing, source })
        };
        match self.ask(doing, &self.look, &[]).await {
            Err(error) if error.is_of_encoding() => {
                let query = look_without_statements();
                let mut seen = read(&self.ask(doing, query.as_str(), &[]).await?)?;
                seen.statements_left_out = true;
                Ok(seen)
            }
            text => read(&text?),
        }
    }

    /// Asks for one text, which comes as bytes.
    pub(crate) async fn ask(
        &self,
        doing: &'static str,
        query: &(impl ToStatement + ?Sized),
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<String, WatchError> {
        in_time(doing, async {
            let row = self.sql.query_one(query, parameters).await;
            let row = row.map_err(WatchError::sql(doing))?;
            let text: &[u8] = row.try_get(0).map_err(WatchError::sql(doing))?;
            Ok(String::from_utf8_lossy(text).into_owned())
        })
        .await
    }
}

/// Gives up on a server that says nothing at all.
pub(crate) async fn in_time<T>(
    doing: &'static str,
    work: impl Future<Output = Result<T, WatchError>>,
) -> Result<T, WatchError> {
    let silent = || WatchError::Silent {
        doing,
        seconds: PATIENCE.as_secs(),
    };
    tokio::time::timeout(PATIENCE, work)
        .await
        .map_err(|_| silent())?
}

async fn identify(sql: &SqlClient) -> Result<Server, WatchError> {
    let doing = "ask who the server is";
    let row = sql.query_one(IDENTITY, &[]).await;
    let row = row.map_err(WatchError::sql(doing))?;
    let text: &str = row.try_get(0).map_err(WatchError::sql(doing))?;
    let identity: Identity =
        serde_json::from_str(text).map_err(|source| WatchError::Malformed { doing, source })?;
    if identity.version_num < OLDEST_VERSION_NUM {
        let Identity { version, .. } = identity;
        return Err(WatchError::TooOld { version });
    }
    let system_id = sql.query_one(SYSTEM_IDENTIFIER, &[]).await.ok();
    let system_id = system_id.and_then(|row| row.try_get::<_, String>(0).ok());
    Ok(Server {
        provider: identity.provider(),
        version_num: identity.version_num,
        version: identity.version,
        role: identity.role,
        database: identity.database,
        sees_everything: identity.sees_everything,
        may_replicate: identity.may_replicate,
        system_id: system_id.and_then(|text| text.parse().ok()),
        endpoint: sql.endpoint().to_owned(),
        encrypted: sql.tls().is_some(),
    })
}
