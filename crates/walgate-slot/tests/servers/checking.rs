//! The checks on real servers.

use std::time::Duration;

use walgate_slot::check::{Facts, Finding, Level, Subject, Wanted, check};
use walgate_throwaway::PgVersion;

use crate::bed::{Bed, options};

async fn findings(bed: &mut Bed, wanted: &Wanted) -> Vec<Finding> {
    bed.look().await;
    tokio::time::sleep(Duration::from_millis(600)).await;
    let seen = bed.look().await;
    let facts = Facts::read(&bed.watcher, wanted).await;
    check(&Subject {
        server: bed.watcher.server(),
        seen: &seen,
        history: &bed.history,
        facts: &facts.expect("facts"),
        replication: Ok(None),
        remembered: None,
        wanted,
    })
}

fn troubles(findings: &[Finding], level: Level) -> Vec<&'static str> {
    let found = findings.iter().filter(|one| one.level == level);
    found.map(|one| one.check).collect()
}

fn fix(findings: &[Finding], check: &str) -> String {
    let mut found = findings.iter().filter(|one| one.check == check);
    found.find_map(|one| one.fix.clone()).expect("a fix")
}

/// Makes what `good` has found nothing in wrong in several ways.
async fn spoil(bed: &mut Bed, wanted: &mut Wanted) {
    bed.sql(
        "CREATE TABLE bad (id int NOT NULL, body text, twice int GENERATED ALWAYS AS (id * 2) STORED);
         CREATE UNIQUE INDEX by_id ON bad (id);
         CREATE UNIQUE INDEX by_body ON bad (body);
         ALTER PUBLICATION p ADD TABLE bad;
         CREATE TABLE gone (id int PRIMARY KEY);
         ALTER ROLE postgres SET statement_timeout = '1min';
         ALTER DATABASE postgres SET idle_session_timeout = '1h'",
    );
    bed.sql("ALTER SYSTEM SET max_slot_wal_keep_size = -1");
    bed.sql("ALTER SYSTEM SET max_wal_senders = 3");
    bed.server.reload().expect("reloaded");
    bed.until_seen("reloaded", |seen| seen.settings.keep_size_bytes().is_none())
        .await;
    wanted.tables = vec![("public".into(), "gone".into())];
    wanted.publications.push("nope".into());
}

#[tokio::test(flavor = "multi_thread")]
async fn good_and_bad_on_every_version() {
    for version in PgVersion::ALL {
        let options = options(version).setting("max_slot_wal_keep_size", "10GB");
        let mut bed = Bed::with(&options).await;
        bed.sql("CREATE TABLE good (id int PRIMARY KEY); CREATE PUBLICATION p FOR TABLE good");
        bed.create_slot("s");
        let mut wanted = Wanted {
            slot: Some("s".into()),
            publications: vec!["p".into()],
            ..Wanted::default()
        };
        let found = findings(&mut bed, &wanted).await;
        assert_eq!(
            troubles(&found, Level::Fail),
            [""; 0],
            "{version}: {found:?}"
        );
        assert_eq!(
            troubles(&found, Level::Warn),
            [""; 0],
            "{version}: {found:?}"
        );

        spoil(&mut bed, &mut wanted).await;
        let found = findings(&mut bed, &wanted).await;
        assert_eq!(
            troubles(&found, Level::Fail),
            [
                "max_slot_wal_keep_size",
                "publication",
                "tables",
                "replica_identity"
            ],
            "{version}: {found:?}"
        );
        assert_eq!(
            troubles(&found, Level::Warn),
            [
                "pending_restart",
                "session_limits",
                "more_tables",
                "large_values",
                "generated_columns"
            ],
            "{version}: {found:?}"
        );

        // What the role has wins over what the database has, and Walgate sets the other one itself.
        bed.sql(
            &fix(&found, "session_limits").replace(", when nobody but Walgate logs in as it", ""),
        );

        // The fixes work.
        let identity = fix(&found, "replica_identity");
        assert_eq!(
            identity,
            "ALTER TABLE public.bad REPLICA IDENTITY USING INDEX by_id"
        );
        bed.sql(&identity);
        bed.sql(&fix(&found, "tables"));
        wanted.publications.pop();
        wanted.accept_unlimited = true;
        let found = findings(&mut bed, &wanted).await;
        assert!(
            !troubles(&found, Level::Warn).contains(&"session_limits"),
            "{version}: {found:?}"
        );
        assert_eq!(
            troubles(&found, Level::Fail),
            [""; 0],
            "{version}: {found:?}"
        );
    }
}

/// From 18 on they may be published, and are then in the log.
#[tokio::test(flavor = "multi_thread")]
async fn generated_columns_are_missed_only_where_they_are_not_published() {
    let mut bed = Bed::with(&options(PgVersion::V18)).await;
    bed.sql(
        "CREATE TABLE made (id int PRIMARY KEY, twice int GENERATED ALWAYS AS (id * 2) STORED);
         CREATE PUBLICATION p FOR TABLE made",
    );
    let wanted = Wanted {
        publications: vec!["p".into()],
        ..Wanted::default()
    };
    for (value, missed) in [("none", true), ("stored", false)] {
        bed.sql(&format!(
            "ALTER PUBLICATION p SET (publish_generated_columns = {value})"
        ));
        let found = findings(&mut bed, &wanted).await;
        let warned = troubles(&found, Level::Warn).contains(&"generated_columns");
        assert_eq!(warned, missed, "{value}: {found:?}");
    }
}

/// What PostgreSQL itself refuses to update is not said to have an identity.
#[tokio::test(flavor = "multi_thread")]
async fn identities_are_those_that_the_server_takes() {
    for version in [PgVersion::V14, PgVersion::V18] {
        let mut bed = Bed::with(&options(version).setting("max_slot_wal_keep_size", "10GB")).await;
        bed.sql(
            "CREATE TABLE good (id int PRIMARY KEY);
             CREATE TABLE root (id int PRIMARY KEY) PARTITION BY RANGE (id);
             CREATE TABLE leaf PARTITION OF root FOR VALUES FROM (0) TO (10);
             CREATE TABLE fine PARTITION OF root FOR VALUES FROM (10) TO (20);
             ALTER TABLE leaf REPLICA IDENTITY NOTHING;
             CREATE TABLE dropped (id int NOT NULL);
             CREATE UNIQUE INDEX dropped_id ON dropped (id);
             ALTER TABLE dropped REPLICA IDENTITY USING INDEX dropped_id;
             DROP INDEX dropped_id;
             CREATE TABLE deferred (id int PRIMARY KEY DEFERRABLE);
             CREATE PUBLICATION p FOR TABLE good WITH (publish_via_partition_root)",
        );
        let table = |name: &str| ("public".to_owned(), name.to_owned());
        let mut wanted = Wanted {
            publications: vec!["p".into()],
            tables: ["good", "root", "dropped", "deferred"].map(table).into(),
            ..Wanted::default()
        };
        let found = findings(&mut bed, &wanted).await;
        let ran: Vec<_> = found.iter().flat_map(|one| &one.statements).collect();
        assert_eq!(ran, [""; 0], "{version}: none of them is safe to publish");

        bed.sql("ALTER PUBLICATION p ADD TABLE root, dropped, deferred");
        wanted.tables.clear();
        let found = findings(&mut bed, &wanted).await;
        let found = found.iter().filter(|one| one.check == "replica_identity");
        let mut named: Vec<_> = found
            .flat_map(|one| one.only_for.iter().zip(&one.statements))
            .collect();
        named.sort();
        let full = |name: &str| format!("ALTER TABLE public.{name} REPLICA IDENTITY FULL");
        let expected = [
            ("deferred", "deferred"),
            ("dropped", "dropped"),
            ("root", "leaf"),
        ];
        let expected = expected.map(|(table, part)| (format!("public.{table}"), full(part)));
        assert_eq!(named.len(), expected.len(), "{version}: {named:?}");
        for (named, (table, statement)) in named.into_iter().zip(&expected) {
            assert_eq!(named, (table, statement), "{version}");
            bed.sql(statement);
        }
        bed.sql("UPDATE root SET id = id; UPDATE dropped SET id = 1; DELETE FROM deferred");
        let found = findings(&mut bed, &wanted).await;
        assert_eq!(troubles(&found, Level::Fail), [""; 0], "{version}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_and_lists_are_read_where_there_are_any() {
    for version in [PgVersion::V15, PgVersion::V18] {
        let mut bed = Bed::with(&options(version).setting("max_slot_wal_keep_size", "10GB")).await;
        bed.sql(
            "CREATE TABLE f (id int PRIMARY KEY, state text);
             CREATE TABLE l (id int PRIMARY KEY, state text, area int4range);
             CREATE TABLE ok (id int PRIMARY KEY, state text, more text);
             CREATE UNLOGGED TABLE u (id int PRIMARY KEY);
             CREATE VIEW v AS SELECT 1;
             CREATE PUBLICATION p FOR TABLE f WHERE (id > 3 AND state = 'x'), l (state, area),
                 ok (id, more) WHERE (id > 3)",
        );
        let table = |name: &str| ("public".to_owned(), name.to_owned());
        let wanted = Wanted {
            publications: vec!["p".into()],
            tables: ["f", "l", "ok", "u", "v", "gone"].map(table).into(),
            heartbeat: true,
            ..Wanted::default()
        };
        let found = findings(&mut bed, &wanted).await;
        let seen = |check: &str| -> Vec<&str> {
            let of = found.iter().filter(|one| one.check == check);
            of.map(|one| one.seen.as_str()).collect()
        };
        assert_eq!(
            seen("publication_columns"),
            [
                "the row filter of table public.f uses what is not in its replica identity: state",
                "the column list of table public.l lacks what is in its replica identity: id",
            ],
            "{version}"
        );
        assert_eq!(
            seen("tables"),
            [
                "public.gone is configured, and does not exist",
                "public.u is configured, and is unlogged",
                "public.v is configured, and is a view",
            ],
            "{version}"
        );
        assert_eq!(seen("pooler"), [""; 0], "{version}");
        assert_eq!(
            seen("heartbeat"),
            ["the role may write the heartbeat"],
            "{version}"
        );
        let size = seen("table_size").join("");
        assert!(
            size.ends_with("as PostgreSQL's own text: int4range"),
            "{version}: {size}"
        );
    }
}
