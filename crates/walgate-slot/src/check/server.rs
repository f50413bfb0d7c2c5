//! The server and its limits.

use std::time::Duration;

use super::{Finding, Subject};
use crate::history::Rate;
use crate::observation::seconds;
use crate::watcher::{Provider, Server};
use crate::words::{bytes, duration, rate};

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

/// PostgreSQL's default is 64 MB; a quarter of it spills what is not large.
const LEAST_DECODING_MEMORY: u64 = 16 << 20;

pub(super) fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let mut findings = vec![
        version(subject.server),
        wal_level(subject),
        standby(subject),
        keep_size(subject),
        walsenders(subject),
        sender_timeout(subject),
        idle_timeout(subject),
        synchronous(subject),
        decoding_memory(subject),
        transactions(subject),
    ];
    findings.extend(prepared(subject));
    findings.extend(plugin(subject));
    findings.extend(pending(subject));
    findings
}

/// How a parameter of the server is changed there.
pub(super) fn parameter(server: &Server, name: &str, value: &str) -> String {
    match server.provider {
        Provider::Rds => format!("in the DB parameter group: {name} = {value}"),
        Provider::Aurora => format!("in the DB cluster parameter group: {name} = {value}"),
        Provider::CloudSql => {
            // The option replaces the whole set: what is not named goes back to its default.
            format!(
                "gcloud sql instances patch … --database-flags FLAGS,{name}={value}, where FLAGS are all \
                 that are set now (gcloud sql instances describe … \
                 --format='value(settings.databaseFlags)'): those that are not named are reset"
            )
        }
        Provider::Azure => {
            format!("az postgres flexible-server parameter set --name {name} --value {value}")
        }
        Provider::SelfManaged => format!("ALTER SYSTEM SET {name} = '{value}'"),
    }
}

/// The same with a unit, which only a server's own settings take: providers want `number`, in the
/// parameter's unit.
fn sized(server: &Server, name: &str, text: &str, number: u64) -> String {
    match server.provider {
        Provider::SelfManaged => parameter(server, name, text),
        _ => parameter(server, name, &number.to_string()),
    }
}

fn version(server: &Server) -> Finding {
    Finding::pass(
        "version",
        format!(
            "PostgreSQL {} ({:?}), which speaks pgoutput {}",
            server.version,
            server.provider,
            match server.version_num {
                160_000.. => 4,
                150_000.. => 3,
                _ => 2,
            }
        ),
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
        let fix =
            sized(subject.server, CHECK, "50GB", 50 << 10) + " (half of the free disk), and reload";
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
    let mut seen = format!(
        "max_slot_wal_keep_size is {}: {lasts} without a consumer at {speed}",
        bytes(limit),
    );
    let average = subject
        .seen
        .average
        .and_then(|average| average.bytes_per_second());
    if let Some(average) = average {
        seen.push_str(&format!(
            " ({} since the statistics were reset)",
            rate(average)
        ));
    }
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
            sized(subject.server, CHECK, "3d", 3 * 86_400),
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
    let ours = subject.wanted.application_name.as_deref();
    let waiting = waited_for(subject);
    if waiting || ours.is_some_and(|ours| listed(names).any(|name| name.eq_ignore_ascii_case(ours)))
    {
        return Finding::fail(
            CHECK,
            format!("synchronous_standby_names is {names}, and that is Walgate"),
            "commits wait for Walgate, and hang while a required sink is down",
            "another application_name in the URL, or the list without it",
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

/// The names of a list, which may be `FIRST 1 (a, "b")`; compared without case, as the server does.
fn listed(names: &str) -> impl Iterator<Item = String> + '_ {
    let inner = names.split_once('(').map_or(names, |(_, inner)| inner);
    let inner = inner.trim_end().trim_end_matches(')');
    inner
        .split(',')
        .map(|name| name.trim().trim_matches('"').replace("\"\"", "\""))
}

/// Whether the server counts who reads the slot among those that commits may wait for.
fn waited_for(subject: &Subject<'_>) -> bool {
    let slot = subject.wanted.slot.as_deref();
    let slot = slot.and_then(|slot| subject.seen.slot(slot));
    let Some(pid) = slot.and_then(|slot| slot.active_pid) else {
        return false;
    };
    let mut senders = subject.seen.walsenders.iter();
    senders.any(|one| {
        one.pid == pid
            && one
                .sync_state
                .as_deref()
                .is_some_and(|state| state != "async")
    })
}

/// What a slot decodes in memory before it goes to the server's disk, or is streamed.
fn decoding_memory(subject: &Subject<'_>) -> Finding {
    const CHECK: &str = "logical_decoding_work_mem";
    let size = subject.facts.logical_decoding_work_mem.as_deref();
    let least = size.and_then(crate::setting::bytes);
    let seen = format!("{CHECK} is {}", size.unwrap_or("?"));
    match least {
        Some(bytes) if bytes < LEAST_DECODING_MEMORY => Finding::warn(
            CHECK,
            seen,
            "transactions of ordinary size are written to the server's disk while they are decoded",
            "set [source] logical_decoding_work_mem: it holds for Walgate's connection only",
        ),
        _ => Finding::pass(CHECK, seen),
    }
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
            match (subject.server.provider, allowed.trim()) {
                (_, "") => parameter(subject.server, "output_plugin_libraries", "pgoutput"),
                // ALTER SYSTEM takes a list as one name in quotes.
                (Provider::SelfManaged, others) => format!(
                    "output_plugin_libraries = '{others}, pgoutput' in postgresql.conf, and reload"
                ),
                (_, others) => {
                    let list = format!("{others},pgoutput");
                    parameter(subject.server, "output_plugin_libraries", &list)
                }
            },
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
