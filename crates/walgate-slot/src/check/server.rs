//! The server, the role, and the limits.

use std::time::Duration;

use super::{Finding, Subject};
use crate::history::Rate;
use crate::observation::seconds;
use crate::watcher::{Provider, Server};
use crate::words::{bytes, duration, identifier, rate};

/// An open transaction of this age will make the creation of a slot wait.
const LONG_TRANSACTION: Duration = Duration::from_secs(300);

/// Less room than this at the present rate is no time to react in.
const LEAST_HEADROOM: Duration = Duration::from_secs(4 * 3600);

/// What lasts longer need not be told to the day.
const VERY_LONG: Duration = Duration::from_secs(365 * 86_400);

/// A shorter `wal_sender_timeout` cuts connections that are only slow.
const LEAST_SENDER_TIMEOUT: Duration = Duration::from_secs(30);

/// A shorter `idle_replication_slot_timeout` does not span a maintenance.
const LEAST_IDLE_TIMEOUT: Duration = Duration::from_secs(24 * 3600);

pub(super) fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let mut findings = vec![
        version(subject.server),
        encryption(subject.server),
        wal_level(subject),
        role(subject),
        replication(subject),
        standby(subject),
        keep_size(subject),
        walsenders(subject),
        sender_timeout(subject),
        idle_timeout(subject),
        synchronous(subject),
        transactions(subject),
        visibility(subject.server),
    ];
    findings.extend(prepared(subject));
    findings.extend(plugin(subject));
    findings.extend(pending(subject));
    findings.extend(limits(subject));
    findings
}

/// How a parameter of the server is changed there.
pub(super) fn parameter(server: &Server, name: &str, value: &str) -> String {
    match server.provider {
        Provider::Rds => format!("in the DB parameter group: {name} = {value}"),
        Provider::Aurora => format!("in the DB cluster parameter group: {name} = {value}"),
        Provider::CloudSql => {
            format!("gcloud sql instances patch … --database-flags {name}={value}")
        }
        Provider::Azure => {
            format!("az postgres flexible-server parameter set --name {name} --value {value}")
        }
        Provider::SelfManaged => format!("ALTER SYSTEM SET {name} = '{value}'"),
    }
}

fn version(server: &Server) -> Finding {
    Finding::pass(
        "version",
        format!("PostgreSQL {} ({:?})", server.version, server.provider),
    )
}

fn encryption(server: &Server) -> Finding {
    const LOCAL: [&str; 4] = ["/", "127.", "localhost", "[::1]"];
    if server.encrypted {
        return Finding::pass("encryption", "the connection is encrypted");
    }
    if LOCAL.iter().any(|begin| server.endpoint.starts_with(begin)) {
        return Finding::pass("encryption", "the connection does not leave this machine");
    }
    Finding::warn(
        "encryption",
        "the connection is not encrypted",
        "everybody on the way can read passwords and rows",
        "sslmode=verify-full in the URL, with sslrootcert",
    )
}

fn wal_level(subject: &Subject<'_>) -> Finding {
    let level = subject.seen.settings.wal_level.as_deref().unwrap_or("?");
    if level == "logical" {
        return Finding::pass("wal_level", "wal_level is logical");
    }
    let fix = match subject.server.provider {
        Provider::Rds | Provider::Aurora => {
            parameter(subject.server, "rds.logical_replication", "1") + "; then reboot"
        }
        Provider::CloudSql => parameter(subject.server, "cloudsql.logical_decoding", "on"),
        Provider::Azure | Provider::SelfManaged => {
            parameter(subject.server, "wal_level", "logical") + "; then restart"
        }
    };
    let seen = format!("wal_level is {level}");
    Finding::fail(
        "wal_level",
        seen,
        "the log lacks what logical decoding needs",
        fix,
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
    Finding::fail("role", seen, "it can't read the log", fix)
}

fn replication(subject: &Subject<'_>) -> Finding {
    match subject.replication {
        Ok(()) => Finding::pass("replication", "a connection for replication works"),
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

fn standby(subject: &Subject<'_>) -> Finding {
    const FIRST_ON_STANDBY: i32 = 160_000;
    if !subject.seen.in_recovery {
        return Finding::pass("primary", "the server is a primary");
    }
    if subject.server.version_num < FIRST_ON_STANDBY {
        return Finding::fail(
            "primary",
            "the server is a standby",
            "logical decoding on a standby needs PostgreSQL 16",
            "connect to the primary (target_session_attrs=read-write)",
        );
    }
    if subject.seen.settings.hot_standby_feedback.as_deref() != Some("on") {
        return Finding::fail(
            "primary",
            "the server is a standby, and hot_standby_feedback is off",
            "the primary cleans up what decoding here still needs, and the slot is lost",
            parameter(subject.server, "hot_standby_feedback", "on"),
        );
    }
    Finding::warn(
        "primary",
        "the server is a standby",
        "a slot here ends with it",
        "connect to the primary (target_session_attrs=read-write), unless that is meant",
    )
}

fn keep_size(subject: &Subject<'_>) -> Finding {
    const CHECK: &str = "max_slot_wal_keep_size";
    let written = subject.history.highest_rate();
    let speed = written.map_or_else(
        || "an unknown rate".to_owned(),
        |written: Rate| rate(written.bytes_per_second),
    );
    let Some(limit) = subject.seen.settings.keep_size_bytes() else {
        let seen = format!("max_slot_wal_keep_size is -1; log is written at {speed}");
        let why =
            "a slot that nobody reads fills the server's disk: this is the last line of defence";
        let fix = parameter(subject.server, CHECK, "50GB") + " (half of the free disk), and reload";
        return match subject.wanted.accept_unlimited {
            true => Finding::warn(CHECK, seen, why, fix),
            false => Finding::fail(CHECK, seen, why, fix),
        };
    };
    let per_second = written.map_or(0.0, |written| written.bytes_per_second);
    #[expect(clippy::cast_precision_loss, reason = "a time needs no byte")]
    let headroom = seconds(limit as f64 / per_second.max(1.0)).unwrap_or(Duration::MAX);
    let lasts = match headroom < VERY_LONG {
        true => duration(headroom),
        false => "more than a year".to_owned(),
    };
    let seen = format!(
        "max_slot_wal_keep_size is {}: {lasts} without a consumer at {speed}",
        bytes(limit),
    );
    if headroom < LEAST_HEADROOM {
        let why = "a consumer that is down for longer loses its slot";
        return Finding::warn(CHECK, seen, why, parameter(subject.server, CHECK, "…"));
    }
    Finding::pass(CHECK, seen)
}

fn walsenders(subject: &Subject<'_>) -> Finding {
    const CHECK: &str = "max_wal_senders";
    let most = subject.seen.settings.max_wal_senders.as_deref();
    let most: usize = most.and_then(|most| most.parse().ok()).unwrap_or(0);
    let used = subject.seen.walsenders.len();
    let seen = format!("{used} of {most} walsenders are in use");
    if used < most {
        return Finding::pass(CHECK, seen);
    }
    let more = (most + 5).to_string();
    let fix = parameter(subject.server, CHECK, &more) + ", and restart";
    Finding::fail(
        CHECK,
        seen,
        "there is none left for Walgate, unless one of them is its own",
        fix,
    )
}

fn sender_timeout(subject: &Subject<'_>) -> Finding {
    const CHECK: &str = "wal_sender_timeout";
    match subject.seen.settings.sender_timeout() {
        None => Finding::pass(CHECK, "wal_sender_timeout is off"),
        Some(time) if time < LEAST_SENDER_TIMEOUT => Finding::warn(
            CHECK,
            format!("wal_sender_timeout is {}", duration(time)),
            "connections that are only slow for a moment are cut, and begin again",
            "set [source] wal_sender_timeout: it holds for Walgate's connection only",
        ),
        Some(time) => Finding::pass(CHECK, format!("wal_sender_timeout is {}", duration(time))),
    }
}

fn idle_timeout(subject: &Subject<'_>) -> Finding {
    const CHECK: &str = "idle_replication_slot_timeout";
    match subject.seen.settings.idle_slot_timeout() {
        Some(time) if time < LEAST_IDLE_TIMEOUT => Finding::warn(
            CHECK,
            format!("idle_replication_slot_timeout is {}", duration(time)),
            "a slot is lost when Walgate is down for longer",
            parameter(subject.server, CHECK, "3d"),
        ),
        Some(time) => Finding::pass(CHECK, format!("{CHECK} is {}", duration(time))),
        None => Finding::pass(CHECK, "slots are not invalidated for being unused"),
    }
}

fn synchronous(subject: &Subject<'_>) -> Finding {
    const CHECK: &str = "synchronous_standby_names";
    let names = subject.seen.settings.synchronous_standby_names.as_deref();
    let names = names.unwrap_or_default();
    if names.contains('*') {
        return Finding::warn(
            CHECK,
            format!("synchronous_standby_names is {names}"),
            "commits wait for whoever streams, Walgate too",
            "name the standbys instead of *",
        );
    }
    let commit = subject.facts.synchronous_commit.as_deref();
    if commit == Some("off") {
        return Finding::pass(
            CHECK,
            "no commit waits for Walgate; synchronous_commit is off, which adds about 150 ms \
             before a change can be read (the rounds of the WAL writer)",
        );
    }
    Finding::pass(CHECK, "no commit waits for Walgate")
}

fn transactions(subject: &Subject<'_>) -> Finding {
    const CHECK: &str = "open_transactions";
    let wrote = subject
        .seen
        .transactions
        .iter()
        .filter(|open| open.xid_age.is_some());
    let oldest = wrote
        .filter_map(|open| open.seconds.and_then(seconds).map(|age| (age, open.pid)))
        .max();
    match oldest {
        Some((age, pid)) if age >= LONG_TRANSACTION => Finding::warn(
            CHECK,
            format!("pid {pid} has had a transaction open for {}", duration(age)),
            "a slot can't be created before it ends, and no slot moves past it",
            format!("SELECT pg_terminate_backend({pid})"),
        ),
        _ => Finding::pass(CHECK, "no transaction that writes has been open for long"),
    }
}

fn prepared(subject: &Subject<'_>) -> Option<Finding> {
    let oldest = subject.seen.prepared.first()?;
    let age = oldest.seconds.and_then(seconds)?;
    (age >= LONG_TRANSACTION).then(|| {
        Finding::warn(
            "prepared_transactions",
            format!("'{}' was prepared {} ago", oldest.gid, duration(age)),
            "a slot can't be created before it ends, and no slot moves past it",
            format!(
                "ask who prepared it; then COMMIT PREPARED '{gid}' or ROLLBACK PREPARED '{gid}'",
                gid = oldest.gid.replace('\'', "''")
            ),
        )
    })
}

fn visibility(server: &Server) -> Finding {
    match server.unseen().first() {
        None => Finding::pass("statistics", "other sessions can be seen"),
        Some(unseen) => Finding::warn(
            "statistics",
            "other sessions can't be seen",
            unseen.clone(),
            format!("GRANT pg_monitor TO {}", identifier(&server.role)),
        ),
    }
}

fn plugin(subject: &Subject<'_>) -> Option<Finding> {
    let allowed = subject.facts.output_plugin_libraries.as_deref()?;
    let listed = allowed
        .split(',')
        .any(|name| matches!(name.trim().trim_matches('"'), "pgoutput" | "*"));
    let seen = format!("output_plugin_libraries is {allowed}");
    Some(match listed {
        true => Finding::pass("output_plugin", seen),
        false => Finding::fail(
            "output_plugin",
            seen,
            "the server refuses pgoutput",
            parameter(subject.server, "output_plugin_libraries", "pgoutput"),
        ),
    })
}

fn pending(subject: &Subject<'_>) -> Option<Finding> {
    let names = &subject.facts.pending_restart;
    (!names.is_empty()).then(|| {
        Finding::warn(
            "pending_restart",
            format!("changed and not in effect: {}", names.join(", ")),
            "what is configured is not what runs",
            "restart the server",
        )
    })
}

fn limits(subject: &Subject<'_>) -> Vec<Finding> {
    let set = subject
        .facts
        .limits
        .iter()
        .filter(|limit| limit.value != "0");
    set.map(|limit| {
        Finding::warn(
            "session_limits",
            format!(
                "{} is {} for this role or database",
                limit.name, limit.value
            ),
            "it ends sessions that are meant to last",
            format!(
                "ALTER ROLE {} SET {} = 0 (Walgate sets statement_timeout itself)",
                identifier(&subject.server.role),
                limit.name
            ),
        )
    })
    .collect()
}
