//! What to do about an error that the server answers a start-up with.

use crate::server_error::ServerError;
use crate::startup::Purpose;

/// What the remedy depends on.
pub(crate) struct Circumstances<'a> {
    pub(crate) endpoint: &'a str,
    pub(crate) user: &'a str,
    pub(crate) dbname: &'a str,
    pub(crate) purpose: Purpose,
    pub(crate) encrypted: bool,
    /// Where the password came from.
    pub(crate) password_origin: &'a str,
}

const DIRECT: &str = "connect to the database's own endpoint: poolers such as PgBouncer (port 6432) \
     and RDS Proxy (.proxy-) cannot pass replication on";

/// Decides on SQLSTATE first. The texts that are looked at come from poolers (never translated) or
/// only refine the remedy.
pub(crate) fn remedy(error: &ServerError, circumstances: &Circumstances<'_>) -> Option<String> {
    let replication = circumstances.purpose == Purpose::Replication;
    let user = quote(circumstances.user);
    match error.sqlstate.as_str() {
        _ if replication && is_pooler_refusal(error) => Some(DIRECT.to_owned()),
        "28P01" | "28000" if error.message.contains("PAM") => Some(pam(replication)),
        "28P01" => Some(format!(
            "the password came from {}",
            circumstances.password_origin
        )),
        "28000" if error.message.contains("pg_hba.conf") => {
            Some(no_entry(circumstances, &user, replication))
        }
        "28000" => Some(format!(
            "check that the role exists and may log in: ALTER ROLE {user} LOGIN"
        )),
        "42501" if replication => Some(format!(
            "ALTER ROLE {user} REPLICATION; on Amazon RDS: GRANT rds_replication TO {user}"
        )),
        "53300" if is_walsender_limit(error) => {
            Some("raise max_wal_senders, or end replication connections that are not needed".into())
        }
        "53300" => Some(
            "raise max_connections (or the limit of the role or database), or close connections"
                .into(),
        ),
        "3D000" => Some(format!(
            "check dbname: there is no database {}",
            quote(circumstances.dbname)
        )),
        "57P03" => Some("the server starts, stops or recovers: try again".into()),
        _ if replication && looks_like_pooler(circumstances.endpoint) => Some(DIRECT.to_owned()),
        _ => None,
    }
}

fn pam(replication: bool) -> String {
    if replication {
        "the token may have expired; for replication Amazon RDS also needs \
         rds.iam_auth_for_replication=1 in the parameter group"
            .into()
    } else {
        "the token may have expired: use password_command to get a new one for each connection"
            .into()
    }
}

fn no_entry(circumstances: &Circumstances<'_>, user: &str, replication: bool) -> String {
    let mut text = String::from("add a line to pg_hba.conf for database ");
    // A walsender with a database is matched by the database, not by the word "replication".
    text.push_str(&quote(circumstances.dbname));
    text.push_str(" and user ");
    text.push_str(user);
    if !circumstances.encrypted {
        text.push_str(", or use sslmode=require if the server only accepts encrypted connections");
    }
    if replication {
        text.push_str(" (the keyword replication does not match logical replication)");
    }
    text
}

/// PgBouncer, Neon and RDS Proxy refuse the start-up parameter itself.
fn is_pooler_refusal(error: &ServerError) -> bool {
    let about_startup = error.message.contains("startup parameter");
    about_startup && error.message.contains("replication")
        || error.message.contains("replication connection") && error.sqlstate == "08P01"
}

fn looks_like_pooler(endpoint: &str) -> bool {
    endpoint.contains(".proxy-") || endpoint.contains("-pooler.") || endpoint.contains(":6432")
}

/// `InitWalSender`'s own limit, told by the C function, or by the setting that the text names in
/// every language.
fn is_walsender_limit(error: &ServerError) -> bool {
    error.message.contains("max_wal_senders")
}

fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::{Circumstances, remedy};
    use crate::server_error::ServerError;
    use crate::startup::Purpose;

    fn advice(purpose: Purpose, endpoint: &str, sqlstate: &str, message: &str) -> String {
        let error = ServerError {
            sqlstate: sqlstate.to_owned(),
            message: message.to_owned(),
            ..ServerError::default()
        };
        let circumstances = Circumstances {
            endpoint,
            user: "wal\"gate",
            dbname: "app",
            purpose,
            encrypted: false,
            password_origin: "PGPASSWORD",
        };
        remedy(&error, &circumstances).unwrap_or_default()
    }

    #[test]
    fn each_refusal_has_its_remedy() {
        let replication =
            |sqlstate, message| advice(Purpose::Replication, "db:5432", sqlstate, message);
        for (sqlstate, message, expected) in [
            (
                "08P01",
                "unsupported startup parameter: replication",
                "own endpoint",
            ),
            (
                "08P01",
                "extended query protocol not supported in a replication connection",
                "own endpoint",
            ),
            (
                "28P01",
                "password authentication failed for user \"u\"",
                "PGPASSWORD",
            ),
            (
                "28000",
                "PAM authentication failed for user \"u\"",
                "rds.iam_auth_for_replication",
            ),
            (
                "28000",
                "no pg_hba.conf entry for host \"h\", no encryption",
                "sslmode=require",
            ),
            (
                "28000",
                "role \"u\" is not permitted to log in",
                "\"wal\"\"gate\" LOGIN",
            ),
            (
                "42501",
                "permission denied to start WAL sender",
                "rds_replication",
            ),
            (
                "53300",
                "number of requested standby connections exceeds max_wal_senders (currently 1)",
                "max_wal_senders",
            ),
            (
                "53300",
                "sorry, too many clients already",
                "max_connections",
            ),
            ("3D000", "database \"x\" does not exist", "\"app\""),
            ("57P03", "the database system is starting up", "try again"),
        ] {
            let text = replication(sqlstate, message);
            assert!(text.contains(expected), "{sqlstate} {message}: {text}");
        }
    }

    #[test]
    fn the_name_of_a_pooler_is_recognised() {
        for endpoint in [
            "app.proxy-abc.eu-west-1.rds.amazonaws.com:5432",
            "ep-x-pooler.eu.neon.tech:5432",
            "localhost:6432",
        ] {
            let text = advice(Purpose::Replication, endpoint, "0A000", "no");
            assert!(text.contains("own endpoint"), "{endpoint}: {text}");
            assert_eq!(advice(Purpose::Sql, endpoint, "0A000", "no"), "");
        }
    }
}
