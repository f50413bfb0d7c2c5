//! The connection and its role.

use super::{Finding, Subject};
use crate::watcher::{Provider, Server};
use crate::words::identifier;

/// Where a connection that begins so goes does not leave the machine.
const LOCAL: [&str; 4] = ["/", "127.", "localhost", "[::1]"];

pub(super) fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let mut findings = vec![
        encryption(subject),
        role(subject),
        replication(subject),
        visibility(subject.server),
    ];
    findings.extend(pooler(subject));
    findings.extend(limits(subject));
    findings.extend(heartbeat(subject));
    findings
}

fn is_local(server: &Server) -> bool {
    LOCAL.iter().any(|begin| server.endpoint.starts_with(begin))
}

fn encryption(subject: &Subject<'_>) -> Finding {
    let server = subject.server;
    if server.encrypted && subject.wanted.unverified && !is_local(server) {
        return Finding::warn(
            "encryption",
            "the connection is encrypted, and nobody verifies who the server is",
            "whoever stands in between can pose as the server, and read passwords and rows",
            "sslmode=verify-full in the URL, with sslrootcert",
        );
    }
    if server.encrypted {
        return Finding::pass("encryption", "the connection is encrypted");
    }
    if is_local(server) {
        return Finding::pass("encryption", "the connection does not leave this machine");
    }
    Finding::warn(
        "encryption",
        "the connection is not encrypted",
        "everybody on the way can read passwords and rows",
        "sslmode=verify-full in the URL, with sslrootcert",
    )
}

fn role(subject: &Subject<'_>) -> Finding {
    let server = subject.server;
    if server.may_replicate {
        return Finding::pass(
            "role",
            format!("role {} may use replication slots", server.role),
        );
    }
    let fix = match server.provider {
        Provider::Rds | Provider::Aurora => {
            format!("GRANT rds_replication TO {}", identifier(&server.role))
        }
        Provider::CloudSql | Provider::Azure | Provider::SelfManaged => {
            format!("ALTER ROLE {} REPLICATION", identifier(&server.role))
        }
    };
    let seen = format!("role {} may not use replication slots", server.role);
    let statement = fix.clone();
    Finding::fail("role", seen, "it can't read the log", fix).with_statement(statement)
}

fn replication(subject: &Subject<'_>) -> Finding {
    match subject.replication {
        Ok(_) => Finding::pass("replication", "a connection for replication works"),
        Err((error, hint)) => Finding::fail(
            "replication",
            error,
            "a connection for SQL works, and one for replication does not",
            hint.unwrap_or(
                "let it in (pg_hba.conf), use the server's own port and not a pooler's; on RDS with \
                 IAM set rds.iam_auth_for_replication = 1",
            ),
        ),
    }
}

fn visibility(server: &Server) -> Finding {
    match server.unseen().first() {
        None => Finding::pass("statistics", "other sessions can be seen"),
        Some(unseen) => Finding::warn(
            "statistics",
            "other sessions can't be seen",
            unseen.clone(),
            format!("GRANT pg_monitor TO {}", identifier(&server.role)),
        )
        .with_statement(format!("GRANT pg_monitor TO {}", identifier(&server.role))),
    }
}

/// Only who gives sessions to several clients has them under other process ids.
fn pooler(subject: &Subject<'_>) -> Option<Finding> {
    subject.facts.pooled.then(|| {
        Finding::fail(
            "pooler",
            "the connection goes through a pooler",
            "a pooler hands sessions out between statements, and most don't let replication through",
            "use the server's own address and port in the URL",
        )
    })
}

/// Only told: who the role is, and what else logs in as it, is not known here.
fn limits(subject: &Subject<'_>) -> Vec<Finding> {
    let set = subject.facts.limits.iter();
    let set = set.filter(|limit| !limit.value.starts_with('0'));
    let role = identifier(&subject.server.role);
    let database = identifier(&subject.server.database);
    set.map(|limit| {
        let (whose, scope) = match (limit.of_role, limit.of_database) {
            (true, true) => ("role in this database", format!(" IN DATABASE {database}")),
            (true, false) => ("role", String::new()),
            (false, _) => ("database", String::new()),
        };
        Finding::warn(
            "session_limits",
            format!("{} is {} for this {whose}", limit.name, limit.value),
            "it ends sessions that are meant to last",
            format!(
                "ALTER ROLE {role}{scope} SET {} = 0, when nobody but Walgate logs in as it",
                limit.name
            ),
        )
    })
    .collect()
}

fn heartbeat(subject: &Subject<'_>) -> Option<Finding> {
    const CHECK: &str = "heartbeat";
    if !subject.wanted.heartbeat {
        return None;
    }
    if subject.seen.in_recovery {
        return Some(Finding::warn(
            CHECK,
            "a heartbeat is configured, and the server is a standby",
            "a standby writes no log: the heartbeat stays off",
            "leave [source] heartbeat out, or connect to the primary",
        ));
    }
    if subject.facts.may_emit == Some(false) {
        let role = identifier(&subject.server.role);
        let statement = format!(
            "GRANT EXECUTE ON FUNCTION pg_catalog.pg_logical_emit_message(boolean, text, text{}) TO {role}",
            // 17 has an argument more.
            if subject.server.version_num >= 170_000 {
                ", boolean"
            } else {
                ""
            }
        );
        return Some(
            Finding::fail(
                CHECK,
                "the role may not call pg_logical_emit_message",
                "the heartbeat stays off",
                statement.clone(),
            )
            .with_statement(statement),
        );
    }
    Some(Finding::pass(CHECK, "the role may write the heartbeat"))
}
